# Faster R-CNN as it is, which never says unknown.
runner_type = 'mmood.OODRunner'
custom_imports = dict(
    imports=['projects.open_set_detection.open_set_detection']
)
ood = dict(scores=['energy', 'msp'], head=dict(type='mmood.OpenSetRoIHead'))
