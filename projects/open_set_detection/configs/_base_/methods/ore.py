# ORE (CVPR 2021): auto-labelled unknowns and the energy-based identifier.
runner_type = 'mmood.OODRunner'
ood = dict(
    scores=['ore'],
    losses=[dict(type='mmood.EnergyWeibulls', size=1000)],
    head=dict(
        type='mmood.OpenSetRoIHead',
        unknown_class=True,
        rejects=True,
        reject_above=0.0,
        bbox_head=dict(
            type='mmood.PseudoUnknownBBoxHead',
            num_pseudo=1,
            reg_class_agnostic=True,
        ),
    ),
)
