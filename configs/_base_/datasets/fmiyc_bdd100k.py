# The OOD sets of FMIYC for BDD100k, farther than any for VOC, in the place of
# those of VOS: test_sets = '$fmiyc_sets'. Files as the benchmark's code names
# them; its OpenImages' ids are words, which are read as they are.
fmiyc_root = 'data/fmiyc/'
fmiyc_sets = [
    '$id_test_set',
    *[
        dict(
            type='mmood.OODCocoDataset',
            name=f'farther_{short}',
            data_root='$fmiyc_root',
            ann_file=f'{folder}/annotations/farther_{short}_wrt_bdd.json',
            data_prefix=dict(img=f'{folder}/farther_images_wrt_bdd/'),
            pipeline='$test_pipeline',
            test_mode=True,
        )
        for folder, short in (('coco', 'coco'), ('openimages', 'oi'))
    ],
]
