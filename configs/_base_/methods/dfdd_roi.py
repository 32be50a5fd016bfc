# DFDD whose outliers are made after RoI pooling, so that they have passed Psi
# like the known objects; they teach the box head alone, from two thirds of
# the training on. docs/en/dfdd.md says what each change is for.
_base_ = 'dfdd.py'
ood = dict(
    outliers=dict(
        after_pooling=dict(
            type='blur', num_steps=5, sigma_start=0.1, sigma_end=0.8
        ),
        detach=True,
        start_share=2 / 3,
    )
)
