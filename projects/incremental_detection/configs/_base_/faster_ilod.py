# Faster ILOD (Pattern Recognition Letters 2020): backbone, proposals and
# RoI head are held to the detector of the step before.
increment = dict(
    model=dict(
        distillation=dict(
            adaptive_backbone={}, adaptive_rpn={}, centred_roi={}
        )
    )
)
