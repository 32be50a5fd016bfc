# Classes of the ID file that a training does without, as unknown objects to
# choose settings on, so that no OOD test set is needed for that. With
# id_set.without=$held_out in the config and the options
#     classes='[...]' held_out='[...]' test_sets='$held_out_sets'
# no image that is trained on has an object of them, and the test is on the
# images that have one and none of the classes; those of the training file
# are as new. And on a far set: painted objects that
# configs/dream_box/generation/voc_animals_far.py makes.
held_out = ()
painted_root = 'data/voc_painted/'
held_out_sets = [
    '$id_test_set',
    *[
        dict(
            type='mmood.OODCocoDataset',
            name=f'held_out_{name}',
            data_root='$data_root',
            ann_file=f'${name}_ann',
            data_prefix=dict(img=f'${name}_images'),
            with_any='$held_out',
            without='$classes',
            pipeline='$test_pipeline',
            test_mode=True,
        )
        for name in ('train', 'val')
    ],
    dict(
        type='mmood.OODCocoDataset',
        name='painted',
        data_root='$painted_root',
        ann_file='annotations.json',
        data_prefix=dict(img=''),
        pipeline='$test_pipeline',
        test_mode=True,
    ),
]
