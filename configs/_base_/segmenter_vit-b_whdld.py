# A Segmenter with ViT-B. ID: WHDLD. OOD: the classes that only DLRSD has.
_base_ = [
    'mmseg::_base_/models/segmenter_vit-b16_mask.py',
    'datasets/segmentation.py',
    'schedules/dood.py',
    'seg_runtime.py',
]
dataset_type = 'mmood.WHDLDDataset'
data_root = 'data/whdld/'
train_prefix = dict(img_path='train/images', seg_map_path='train/labels')
val_prefix = dict(img_path='val/images', seg_map_path='val/labels')
load_labels = dict(reduce_zero_label=True)
crop_size = (256, 256)
max_fit_images = 500
model = dict(
    data_preprocessor=dict(
        type='mmood.OODSegDataPreProcessor', size='$crop_size'
    ),
    backbone=dict(img_size='$crop_size'),
    decode_head=dict(num_classes=6),
    test_cfg=dict(mode='whole'),
)
val_set = '$id_val_set'
test_sets = [
    dict(
        type='mmood.DLRSDDataset',
        data_root='data/dlrsd',
        pipeline='$test_pipeline',
        test_mode=True,
    )
]
val_evaluator = [dict(type='mmseg.IoUMetric')]
