_base_ = [
    '../../incremental_detection/configs/_base_/voc.py',
    '_base_/voc_10-10.py',
    '_base_/ore_c4.py',
]
