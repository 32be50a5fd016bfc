# All classes of Shapes at once, for learn_unknowns.py to go on from. A mined
# set is small, so an increment has more epochs than in shapes_4-2.py.
_base_ = ['_base_/shapes_lite0.py', '_base_/faster_ilod.py']
incremental = dict(
    steps=[
        [
            *('circle', 'bar', 'triangle', 'star'),
            *('cross', 'ring', 'crescent', 'arrow'),
        ],
    ],
    exemplars=10,
    increment={'max_epochs': 15, 'optim_wrapper.optimizer.lr': 0.005},
    finetune={
        'max_epochs': 10,
        'param_scheduler': [],
        'optim_wrapper.optimizer.lr': 0.001,
    },
)
