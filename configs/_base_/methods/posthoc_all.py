# All scores of any trained detector, for comparisons; the first one rules
# is_ood. Those that change features or logits score them by the energy.
runner_type = 'mmood.OODRunner'
ood = dict(
    scores=[
        'energy',
        'msp',
        'max_logit',
        'entropy',
        'gen',
        'temperature',
        'odin',
        'gradnorm',
        'react',
        *[
            dict(type='ash', name=f'ash_{kind.lower()}', kind=kind)
            for kind in 'SPB'
        ],
        'scale',
        'dice',
        'mahalanobis',
        dict(
            type='mahalanobis', name='mahalanobis_normalized', normalize=True
        ),
        'rmds',
        'residual',
        'vim',
        'knn',
        'nnguide',
        'fdbd',
        'she',
        'kl_matching',
        'openmax',
        'gram',
    ]
)
