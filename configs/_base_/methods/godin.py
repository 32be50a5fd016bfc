# Generalized ODIN (CVPR 2020).
runner_type = 'mmood.OODRunner'
ood = dict(
    scores=['godin', 'msp'],
    classifier=dict(type='mmood.DecomposedLinear', kind='cosine'),
)
