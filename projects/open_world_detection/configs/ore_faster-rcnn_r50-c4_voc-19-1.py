_base_ = [
    '../../incremental_detection/configs/_base_/voc.py',
    '_base_/voc_19-1.py',
    '_base_/ore_c4.py',
]
