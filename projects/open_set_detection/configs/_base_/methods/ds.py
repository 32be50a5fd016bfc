# Dropout sampling (ICRA 2018).
runner_type = 'mmood.OODRunner'
ood = dict(
    scores=['entropy'],
    classifier=dict(type='mmood.DropoutSamplingLinear', p=0.5, samples=30),
    head=dict(rejects=True),
)
