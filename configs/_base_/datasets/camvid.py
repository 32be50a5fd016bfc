# ID: CamVid, 480 x 360. OOD: the validation images of AnomalyTrack and of
# Fishyscapes Static, all seen in the height of CamVid's. Beside
# segmentation.py; the folders camvid, road_anomaly21 and fs_static lie in
# MMOOD_DATA.
folder = '{{$MMOOD_DATA:data}}/'
dataset_type = 'mmood.CamVidDataset'
data_root = '${folder}camvid'
train_prefix = dict(img_path='images/train', seg_map_path='labels/train')
val_prefix = dict(img_path='images/val', seg_map_path='labels/val')
max_fit_images = 25
image_scale = (2000, 360)  # the second is the height
size_divisor = 1  # 14: whole patches of a ViT/14
resize = [
    dict(type='mmseg.Resize', scale='$image_scale', keep_ratio=True),
    dict(type='mmseg.ResizeToMultiple', size_divisor='$size_divisor'),
]
resized_train_pipeline = [
    dict(type='LoadImageFromFile'),
    '$load_labels',
    '$resize.0',
    '$resize.1',
    dict(type='mmseg.PackSegInputs'),
]
resized_val_pipeline = [
    dict(type='LoadImageFromFile'),
    '$resize.0',
    '$resize.1',
    '$load_labels',
    dict(type='mmseg.PackSegInputs'),
]
resized_test_pipeline = [
    dict(type='LoadImageFromFile'),
    '$resize.0',
    '$resize.1',
    dict(type='mmood.LoadOODAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
val_set = '$id_val_set'
# Enough for the quantile of pixels that is a threshold.
quarter_val_set = dict(
    type='$dataset_type',
    data_root='$data_root',
    data_prefix='$val_prefix',
    indices=[*range(0, 101, 4)],
    pipeline='$val_pipeline',
)
anomaly_track = dict(
    type='mmood.OODSegDataset',
    name='anomaly_track',
    data_root='${folder}road_anomaly21',
    data_prefix=dict(img_path='images', seg_map_path='labels_masks'),
    pipeline='$test_pipeline',
)
fs_static = dict(
    type='mmood.OODSegDataset',
    name='fs_static',
    data_root='${folder}fs_static',
    data_prefix=dict(img_path='images', seg_map_path='labels_masks'),
    pipeline='$test_pipeline',
)
test_sets = ['$anomaly_track', '$fs_static']
# COCO objects of no class of CamVid, in the folder coco_ood: what some methods
# learn from.
coco_objects = dict(
    type='mmood.CocoObjects',
    ann_file='${folder}coco_ood/annotations/test.json',
    img_prefix='${folder}coco_ood/images',
    id_classes=['person', 'bicycle', 'car', 'motorcycle', 'bus', 'train',
                'truck', 'traffic light', 'stop sign'],
    exclude=['parking meter', 'potted plant'],
    overlap='drop',
)  # fmt: skip
