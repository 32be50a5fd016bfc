# mmdet's runtime, reproducible.
_base_ = 'mmdet::_base_/default_runtime.py'
randomness = dict(seed=0)
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
    logger=dict(type='LoggerHook', interval=50),
    visualization=dict(type='mmood.OODVisualizationHook'),
    check_data=dict(type='mmood.CheckDataHook'),
)
visualizer = dict(type='mmood.OODDetLocalVisualizer')
