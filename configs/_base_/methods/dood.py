# DOoD (ECCV 2024), Sec. 6. Needs load_from: a trained segmentor, which stays
# as it is.
runner_type = 'mmood.OODRunner'
probed_channels = 768  # of the probed features
step_size = 4096  # features in a step
denoiser = dict(type='mmood.DenoisingMLP')
ood = dict(
    scores=[
        dict(type='compound', of=['energy', 'diffusion']),
        dict(type='diffusion', timesteps=25),
        'energy',
    ],
    probe=dict(keys=-1),
    losses=[
        dict(
            type='mmood.DenoisingLoss',
            channels='$probed_channels',
            batch_size='$step_size',
            denoiser='$denoiser',
        )
    ],
    # cache=FOLDER: those that tools/extract_features.py wrote.
    features=dict(cache=None),
)
