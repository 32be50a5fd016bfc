# OW-DETR on the tasks of build_owod.py, one length for all increments (in its
# public configs 5 or 6, later 11 epochs) and fine-tunings (21 to 132).
_base_ = './owdetr_r50.py'
data_root = 'data/'
tasks = 'owod/${protocol}/t${task}'
train_ann = '${tasks}_train.json'
val_ann = test_ann = '${tasks}_test.json'
incremental = dict(
    exemplars=50,
    open_world=dict(closed_style='area'),
    base=_base_.lengths.base,
    increment=_base_.lengths.increment,
    finetune={
        **_base_.lengths.finetune,
        # Nothing but stored images is in it.
        'train_ann': '${tasks}_ft.json',
        'train_dataloader.dataset.exemplars': None,
    },
)
