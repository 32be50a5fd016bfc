# The OOD sets of FMIYC for VOC, near and far, in the place of those of VOS:
# test_sets = '$fmiyc_sets'. Files as the benchmark's code names them; its
# OpenImages' ids are words, which are read as they are.
fmiyc_root = 'data/fmiyc/'
fmiyc_sets = [
    '$id_test_set',
    *[
        dict(
            type='mmood.OODCocoDataset',
            name=f'{distance}_{short}',
            data_root='$fmiyc_root',
            ann_file=f'{folder}/annotations/{distance}_{short}_wrt_voc.json',
            data_prefix=dict(img=f'{folder}/{distance}_images/'),
            pipeline='$test_pipeline',
            test_mode=True,
        )
        for folder, short in (('coco', 'coco'), ('openimages', 'oi'))
        for distance in ('near', 'far')
    ],
]
