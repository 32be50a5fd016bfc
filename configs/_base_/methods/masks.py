# Scores of mask-classification segmentors, such as Mask2Former; the first one
# rules is_ood. Maskomaly's queries are fitted on ID validation images with
# objects pasted in; those that are drawn by rules need no further data.
runner_type = 'mmood.OODRunner'
pasted_objects = dict(type='mmood.DrawnObjects')
ood = dict(
    scores=[
        'rba',
        'mask2anomaly',
        'eam',
        'maskomaly',
        'max_logit',
        'msp',
        'energy',
        'entropy',
    ],
    outlier_fit=dict(
        transforms=[
            dict(
                type='mmood.PasteOutliers',
                source='$pasted_objects',
                prob=1.0,
                area=(0.005, 0.05),
            )
        ]
    ),
)
