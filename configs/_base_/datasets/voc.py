# VOC07+12 as ID, COCO and OpenImages as OOD: the sets of VOS and DFDD.
# docs/en/dataset_prepare.md says how to make the files.
data_root = 'data/VOCdevkit/'
classes = ('person', 'bird', 'cat', 'cow', 'dog', 'horse', 'sheep',
           'airplane', 'bicycle', 'boat', 'bus', 'car', 'motorcycle',
           'train', 'bottle', 'chair', 'dining table', 'potted plant',
           'couch', 'tv')  # fmt: skip
train_ann = 'annotations/voc0712_train.json'
val_ann = test_ann = 'annotations/voc2007_test.json'
train_images = val_images = ''
image_scale = (1333, 800)
train_scales = [(1333, side) for side in range(480, 801, 32)]
test_sets = [
    '$id_test_set',
    *[
        dict(
            type='mmood.OODCocoDataset',
            name=name,
            data_root=f'data/{name}/',
            ann_file='annotations/ood_wrt_voc.json',
            data_prefix=dict(img=images),
            pipeline='$test_pipeline',
            test_mode=True,
        )
        for name, images in (('coco', 'val2017/'), ('openimages', 'images/'))
    ],
]
