# mmdet's runtime, reproducible, with the hooks every OOD model wants.
_base_ = 'mmdet::_base_/default_runtime.py'
randomness = dict(seed=0)
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
    logger=dict(type='LoggerHook', interval=50),
    visualization=dict(type='mmood.OODVisualizationHook'),
    check_data=dict(type='mmood.CheckDataHook'),
)
custom_hooks = [
    dict(type='mmood.IdlePartsHook'),  # speaks even if a validation fails
    dict(type='mmood.FitScoresHook'),
    dict(type='mmood.CalibrateOODHook'),
    dict(type='mmood.FiniteLossHook'),
]
visualizer = dict(type='mmood.OODDetLocalVisualizer')
log_processor = dict(type='mmood.OODLogProcessor')
