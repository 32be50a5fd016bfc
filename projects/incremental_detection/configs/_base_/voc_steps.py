# VOC's classes in the order of their names there (aeroplane, ...,
# motorbike, ..., sofa, ..., tvmonitor), as tools/dataset_converters/voc.py
# writes them. All that the splits have in common stands here too.
order = [
    'airplane', 'bicycle', 'bird', 'boat', 'bottle',
    'bus', 'car', 'cat', 'chair', 'cow',
    'dining table', 'dog', 'horse', 'motorcycle', 'person',
    'potted plant', 'sheep', 'couch', 'train', 'tv',
]  # fmt: skip
incremental = dict(
    exemplars=10,
    finetune={'param_scheduler': [], 'optim_wrapper.optimizer.lr': 0.0001},
)
