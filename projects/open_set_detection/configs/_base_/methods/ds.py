# Dropout sampling (ICRA 2018).
runner_type = 'mmood.OODRunner'
custom_imports = dict(
    imports=['projects.open_set_detection.open_set_detection']
)
ood = dict(
    scores=['entropy'],
    classifier=dict(type='mmood.DropoutSamplingLinear', p=0.5, samples=30),
    head=dict(type='mmood.OpenSetRoIHead', rejects=True),
)
