# BDD100k as ID, parts of COCO and OpenImages as OOD: the sets of VOS and
# DFDD. docs/en/dataset_prepare.md says how to make the files.
data_root = 'data/bdd100k/'
classes = ('pedestrian', 'rider', 'car', 'truck', 'bus', 'train',
           'motorcycle', 'bicycle', 'traffic light',
           'traffic sign')  # fmt: skip
train_ann, val_ann = 'annotations/train.json', 'annotations/val.json'
test_ann = val_ann
train_images, val_images = 'images/100k/train/', 'images/100k/val/'
image_scale = (1333, 800)
train_scales = [(1333, side) for side in range(480, 801, 32)]
test_sets = [
    '$id_test_set',
    *[
        dict(
            type='mmood.OODCocoDataset',
            name=name,
            data_root=f'data/{name}/',
            ann_file='annotations/ood_wrt_bdd.json',
            data_prefix=dict(img=images),
            pipeline='$test_pipeline',
            test_mode=True,
        )
        for name, images in (('coco', 'val2017/'), ('openimages', 'images/'))
    ],
]
