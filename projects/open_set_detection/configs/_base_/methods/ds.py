# Dropout sampling (ICRA 2018).
ds = dict(
    scores=['entropy'],
    rejects=True,
    bbox_head=dict(
        cls_predictor_cfg=dict(
            type='mmood.DropoutSamplingLinear', p=0.5, samples=30
        )
    ),
)
