# Eight classes of VOC 2012, most of them animals, as ID; COCO images without
# VOC's classes and raccoons as OOD: docs/en/dataset_prepare.md has the
# commands. MMOOD_DATA names the folder that holds them, MMOOD_WEIGHTS that
# of MobileNetV2's ImageNet weights.
_base_ = [
    'models/shapes_detector.py',
    'datasets/detection.py',
    'datasets/held_out.py',
    'schedules/shapes.py',
    'det_runtime.py',
]
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
max_epochs = 16
id_set = dict(ignore_other_classes=True, without='$held_out')
id_test_set = id_set
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
train_dataloader = dict(
    batch_size=4, sampler=dict(type='DefaultSampler'), dataset=id_set
)
val_dataloader = dict(num_workers=1, dataset=id_set)
test_dataloader = dict(num_workers=1)
env_cfg = dict(float32_matmul_precision='medium')  # faster on a CPU
width = 96
strides = [8, 16, 32]
# From features of ImageNet AdamW gets further in as many steps than SGD.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=8e-4, weight_decay=0.02)
)
model = dict(
    # The same picture is the same tensor in each batch: 416 x 320, or 416 x
    # 416 upright.
    data_preprocessor=dict(
        batch_augments=[
            dict(type='BatchFixedSizePad', size=(320, 416), pad_mask=False)
        ]
    ),
    backbone=dict(
        _delete_=True,
        type='mmood.FrozenBackbone',
        cache='$cache',
        backbone=dict(
            type='mmdet.MobileNetV2',
            out_indices=(2, 4, 7),
            init_cfg=dict(type='Pretrained', checkpoint='$pretrained'),
        ),
    ),
    neck=dict(
        in_channels=[32, 96, 1280],
        out_channels=width,
        norm_cfg=dict(type='BN'),
    ),
    rpn_head=dict(
        in_channels=width,
        anchor_generator=dict(scales=[2.5, 5, 10], strides=strides),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            out_channels=width,
            finest_scale=56,
            featmap_strides=strides,
        ),
        bbox_head=dict(
            in_channels=width, fc_out_channels=512, reg_class_agnostic=True
        ),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=400, max_per_img=200),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(max_per_img=200)),
)
