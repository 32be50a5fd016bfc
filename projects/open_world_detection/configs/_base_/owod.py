# The tasks that build_owod.py makes, each from files of its own, with R50-C4.
# Iterations of 8 images as in ORE's public configs, but one length for all
# increments (there 52 000, 40 000, 41 000) and fine-tunings (4 000, 2 500,
# 3 000).
_base_ = '../../../incremental_detection/configs/_base_/voc.py'
data_root = 'data/'
tasks = 'owod/${protocol}/t${task}'
train_ann = '${tasks}_train.json'
val_ann = test_ann = '${tasks}_test.json'
optim_wrapper = dict(optimizer=dict(lr=0.01))
incremental = dict(
    exemplars=50,
    open_world=dict(closed_style='area'),
    increment=dict(
        max_iters=40000,
        param_scheduler=[
            dict(
                type='MultiStepLR',
                by_epoch=False,
                milestones=[36000, 38000],
                gamma=0.1,
            )
        ],
    ),
    finetune={
        'max_iters': 3000,
        'param_scheduler': [],
        'optim_wrapper.optimizer.lr': 0.0001,
        # Nothing but stored images is in it.
        'train_ann': '${tasks}_ft.json',
        'train_dataloader.dataset.exemplars': None,
    },
)
