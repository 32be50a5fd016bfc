# Eight classes of VOC 2012, most of them animals, as ID; COCO images without
# VOC's classes and raccoons as OOD: docs/en/dataset_prepare.md has the
# commands. MMOOD_DATA names the folder that holds them, MMOOD_WEIGHTS that
# of MobileNetV2's ImageNet weights. And the backbone that all detectors of
# these photographs share, frozen.
folder = '{{$MMOOD_DATA:data/animals}}/'
pretrained = '{{$MMOOD_WEIGHTS:data/weights}}/mobilenet_v2_imagenet.pth'
cache = None  # folder that keeps the backbone's outputs
data_root = '${folder}voc/'
classes = ('person', 'cat', 'dog', 'horse', 'cow', 'sheep', 'chair', 'sofa')
train_ann = 'annotations/train.json'
val_ann = test_ann = 'annotations/test.json'
train_images = val_images = 'images/'
image_scale = (400, 300)
train_scales = [(400, 300)]  # one, and flips: few tensors, fit for a cache
test_sets = [
    '$id_test_set',
    *[
        dict(
            type='mmood.OODCocoDataset',
            name=name,
            data_root='${folder}' + f'{place}/',
            ann_file='annotations/test.json',
            data_prefix=dict(img='images/'),
            pipeline='$test_pipeline',
            test_mode=True,
        )
        for name, place in (('coco', 'coco_ood'), ('raccoon', 'raccoon'))
    ],
]
frozen_backbone = dict(
    type='mmood.FrozenBackbone',
    cache='$cache',
    backbone=dict(
        type='mmdet.MobileNetV2',
        out_indices=(2, 4, 7),
        init_cfg=dict(type='Pretrained', checkpoint='$pretrained'),
    ),
)
backbone_channels = [32, 96, 1280]
# The same picture is the same tensor in each batch: 416 x 320, or 416 x 416
# upright.
one_size = [dict(type='BatchFixedSizePad', size=(320, 416), pad_mask=False)]
