# Scores of any trained segmentor; the first one rules is_ood. Those that read
# features, 'mahalanobis' and 'knn', want ood.probe to say which these are.
runner_type = 'mmood.OODRunner'
ood = dict(scores=['energy', 'msp', 'max_logit', 'entropy'])
