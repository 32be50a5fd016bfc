# The post-hoc scores that FMIYC compares on two-stage detectors; the first
# one rules is_ood.
runner_type = 'mmood.OODRunner'
ood = dict(
    scores=[
        'energy',
        'msp',
        dict(type='gen', gamma=0.1),
        dict(type='ash', percentile=90),
        dict(type='react', percentile=90),
        dict(type='dice', percentile=90),
        'knn',
        'mahalanobis',
    ]
)
