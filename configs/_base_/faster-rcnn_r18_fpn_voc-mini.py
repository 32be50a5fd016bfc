# A small VOC 2012 part (500 + 200 images) as ID, small parts of COCO and of
# a raccoon set as OOD. MMOOD_DATA names the folder that holds them. From
# random weights and small, for a CPU; give model.backbone.init_cfg a
# checkpoint, and more epochs, where you have them.
_base_ = [
    'models/shapes_detector.py',
    'datasets/detection.py',
    'schedules/shapes.py',
    'det_runtime.py',
]
folder = '{{$MMOOD_DATA:data/mini}}/'
data_root = '${folder}voc/'
classes = ('person', 'cat', 'dog', 'horse', 'cow', 'sheep', 'chair', 'sofa')
train_ann = 'annotations/train.json'
val_ann = test_ann = 'annotations/test.json'
train_images = val_images = 'images/'
image_scale = (272, 160)
train_scales = [(272, 144), (272, 160), (272, 176)]
warmup = '4/25'
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='mmdet.PhotoMetricDistortion'),
    _base_.train_pipeline[-1],
]
id_set = dict(ignore_other_classes=True)
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
    batch_size=8, sampler=dict(type='DefaultSampler'), dataset=id_set
)
val_dataloader = dict(num_workers=1, dataset=id_set)
test_dataloader = dict(num_workers=1)
strides = [4, 8, 16, 32]
model = dict(
    backbone=dict(
        num_stages=4,
        strides=(1, 2, 2, 2),
        dilations=(1, 1, 1, 1),
        out_indices=(0, 1, 2, 3),
    ),
    neck=dict(in_channels=[32, 64, 128, 256], num_outs=4),
    rpn_head=dict(anchor_generator=dict(scales=[8], strides=strides)),
    roi_head=dict(
        bbox_roi_extractor=dict(
            finest_scale=56,
            featmap_strides=strides,
            roi_layer=dict(output_size=7),
        ),
        bbox_head=dict(roi_feat_size=7),
    ),
)
