_base_ = ['_base_/voc.py', '_base_/voc_15-5.py', '_base_/iod_dfdd.py']
