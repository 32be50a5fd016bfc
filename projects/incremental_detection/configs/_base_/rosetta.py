# ROSETTA (CVPR 2022): gates choose channels of the backbone for each task,
# the more of their own the further its classes are from the old ones, and
# what earlier tasks use is kept. Of a config: model = _base_.rosetta_model.
gate_noise = 1.0
rosetta_model = dict(
    type='mmood.GatedFasterRCNN',
    sparsity=0.1,
    diversity=0.1,
    backbone=dict(
        type='mmood.GatedResNet',
        task='$task',
        gate=dict(noise='$gate_noise'),
    ),
)
custom_hooks = [dict(type='mmood.SubModelHook')]
ood = dict(
    losses=[dict(type='mmood.ClassPrototypes', num_old='$num_old', size=20)],
)
