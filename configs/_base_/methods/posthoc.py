# Scores of any trained detector; the first one rules is_ood.
runner_type = 'mmood.OODRunner'
ood = dict(
    scores=[
        'energy',
        'msp',
        'max_logit',
        'entropy',
        'odin',
        'mahalanobis',
        'gram',
        'knn',
    ]
)
