_base_ = ['_base_/voc.py', '_base_/methods/ore.py']
