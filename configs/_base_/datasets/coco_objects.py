# Objects of COCO that are of no class of Cityscapes, as the source of
# outliers: objects='$coco_objects'.
coco_objects = dict(
    type='mmood.CocoObjects',
    ann_file='data/coco/annotations/instances_train2017.json',
    img_prefix='data/coco/train2017',
    id_classes=['road', 'sidewalk', 'building', 'wall', 'fence', 'pole',
                'traffic light', 'traffic sign', 'vegetation', 'terrain',
                'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train',
                'motorcycle', 'bicycle'],
    exclude=['stop sign', 'parking meter', 'potted plant'],
    overlap='drop',
)  # fmt: skip
