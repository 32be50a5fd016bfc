# M-OWODB (ORE, CVPR 2021): the 20 classes of VOC, then three times 20 of COCO.
protocol = 'm-owodb'
steps = [
    [
        'airplane', 'bicycle', 'bird', 'boat', 'bottle',
        'bus', 'car', 'cat', 'chair', 'cow',
        'dining table', 'dog', 'horse', 'motorcycle', 'person',
        'potted plant', 'sheep', 'couch', 'train', 'tv',
    ],
    [
        'truck', 'traffic light', 'fire hydrant', 'stop sign',
        'parking meter', 'bench', 'elephant', 'bear', 'zebra', 'giraffe',
        'backpack', 'umbrella', 'handbag', 'tie', 'suitcase',
        'microwave', 'oven', 'toaster', 'sink', 'refrigerator',
    ],
    [
        'frisbee', 'skis', 'snowboard', 'sports ball', 'kite',
        'baseball bat', 'baseball glove', 'skateboard', 'surfboard',
        'tennis racket', 'banana', 'apple', 'sandwich', 'orange',
        'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake',
    ],
    [
        'bed', 'toilet', 'laptop', 'mouse', 'remote',
        'keyboard', 'cell phone', 'book', 'clock', 'vase',
        'scissors', 'teddy bear', 'hair drier', 'toothbrush',
        'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl',
    ],
]  # fmt: skip
