# A segmentor with scores that have to be fitted, and a mean of two scores.
_base_ = '../../../configs/posthoc/segmenter_vit_1500_shapes.py'
ood = dict(
    scores=[
        dict(type='compound', of=['energy', 'mahalanobis']),
        'energy',
        'mahalanobis',
        'knn',
    ]
)
