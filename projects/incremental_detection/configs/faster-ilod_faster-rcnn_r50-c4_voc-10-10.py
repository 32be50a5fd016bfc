_base_ = [
    './_base_/voc.py',
    './_base_/voc_10-10.py',
    './_base_/faster_ilod.py',
]
incremental = dict(increment=dict(model=_base_.faster_ilod))
