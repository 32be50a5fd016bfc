# ORE (CVPR 2021): auto-labelled unknowns and the energy-based identifier.
ore = dict(
    unknown_class=True,
    scores=[dict(name='ore', type='mmood.EnergyWeibulls', size=1000)],
    rejects=True,
    reject_above=0.0,
    bbox_head=dict(
        type='mmood.PseudoUnknownBBoxHead',
        num_pseudo=1,
        reg_class_agnostic=True,
    ),
)
