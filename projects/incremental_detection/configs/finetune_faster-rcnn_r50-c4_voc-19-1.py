_base_ = ['_base_/voc.py', '_base_/voc_19-1.py']
