# Scores of any trained one-stage or DETR head; the first one rules is_ood.
# Of a sigmoid head's logits, where each class is judged for itself, entropies
# and scores of a softmax have no meaning.
runner_type = 'mmood.OODRunner'
ood = dict(
    scores=[
        'energy',
        'msp',
        'max_logit',
        'knn',
        'mahalanobis',
        'rmds',
        'nnguide',
        'she',
    ]
)
