# Faster R-CNN as it is, which never says unknown.
runner_type = 'mmood.OODRunner'
ood = dict(scores=['energy', 'msp'], head=dict(type='mmood.OpenSetRoIHead'))
