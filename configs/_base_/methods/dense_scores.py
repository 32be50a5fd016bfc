# Lists of scores of pixels to compare in one test, for ood.scores. knn is
# cDNP (Galesso et al., ICCVW 2023): the nearest of the ID training keys.
nearest = dict(type='knn', k=1, normalize=False)
compared = [
    dict(type='compound', of=['energy', 'diffusion']),
    dict(type='diffusion', timesteps=25),
    'energy',
    'msp',
    'max_logit',
    'entropy',
    '$nearest',
    dict(type='compound', name='knn_energy', of=['knn', 'energy']),
    dict(type='compound', name='diffusion_msp', of=['msp', 'diffusion']),
    dict(
        type='compound',
        name='diffusion_max_logit',
        of=['max_logit', 'diffusion'],
    ),
    dict(
        type='compound', name='diffusion_entropy', of=['entropy', 'diffusion']
    ),
]
# Without a fit: numbers of times, and errors at the first and the 25th.
fewer_times = [
    dict(type='diffusion', name=f'diffusion_{t}', timesteps=t)
    for t in (1, 5, 10, 25, 50)
]
errors = [
    dict(type='diffusion', name=f'{kind}_{t}', kind=kind, timesteps=[t])
    for kind in ('cosine', 'mse_score', 'mse_recon')
    for t in (0, 24)
]
