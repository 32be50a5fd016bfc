# 4 + 2 classes of Shapes: how long and how fast each kind of stage learns.
# The images of the base classes are gone when the others come. What is known
# of them, the statistics of batch normalization too, is kept from then on.
incremental = dict(
    steps=[['circle', 'bar', 'triangle', 'star'], ['cross', 'ring']],
    exemplars=10,
    base=dict(max_epochs=6),
    increment={
        'max_epochs': 4,
        'optim_wrapper.optimizer.lr': 0.01,
        'model.backbone.norm_eval': True,
    },
    finetune={
        'max_epochs': 10,
        'param_scheduler': [],
        'optim_wrapper.optimizer.lr': 0.002,
        'model.backbone.norm_eval': True,
    },
)
