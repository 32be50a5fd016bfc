_base_ = ['_base_/voc.py', '_base_/32k.py']
