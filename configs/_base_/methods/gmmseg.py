# GMMSeg (NeurIPS 2022): Gaussian mixtures in the place of the last layer of
# the decode head.
runner_type = 'mmood.OODRunner'
mixtures = dict(channels=64, num_components=5, queue_size=32000)
ood = dict(
    scores=['gmmseg', 'energy', 'msp', 'max_logit', 'entropy'],
    decode_head=dict(type='mmood.GMMSegHead', mixtures='$mixtures'),
    head=dict(upsample='bilinear'),
)
