# mmseg's runtime, reproducible, in iterations.
_base_ = 'mmseg::_base_/default_runtime.py'
randomness = dict(seed=0)
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook', by_epoch=False, interval=1000, max_keep_ckpts=2
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='mmood.OODVisualizationHook'),
    check_data=dict(type='mmood.CheckDataHook'),
)
visualizer = dict(
    type='mmood.OODSegLocalVisualizer',
    vis_backends=[dict(type='LocalVisBackend')],
    name='visualizer',
)
