# ROSETTA (CVPR 2022): gates choose channels of the backbone for each task,
# the more of their own the further its classes are from the old ones, and
# what earlier tasks use is kept. Of a config: model = _base_.rosetta_model.
gate_noise = 1.0
# The losses of the gates are means over channels, so gradients are small for
# SGD. Where gates are learned faster they differ between images, and the list
# of a test fits none.
gate_lr_mult = 5
rosetta_model = dict(
    type='mmood.GatedFasterRCNN',
    sparsity=1.0,
    diversity=30.0,
    backbone=dict(
        type='mmood.GatedResNet',
        task='$task',
        gate=dict(noise='$gate_noise', start=1.0),
    ),
)
custom_hooks = [dict(type='mmood.SubModelHook')]
ood = dict(
    losses=[dict(type='mmood.ClassPrototypes', num_old='$num_old', size=20)],
    optim_wrapper=dict(
        paramwise_cfg=dict(
            custom_keys=dict(gates=dict(lr_mult='$gate_lr_mult', decay_mult=0))
        )
    ),
)
# The head of a task classifies its classes alone, until images of all tasks
# are shown.
increment = dict(
    model=dict(
        roi_head=dict(
            bbox_head=dict(cls_predictor_cfg=dict(num_old='$num_old'))
        )
    )
)
