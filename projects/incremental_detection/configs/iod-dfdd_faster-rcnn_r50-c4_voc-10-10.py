_base_ = ['_base_/voc.py', '_base_/voc_10-10.py', '_base_/iod_dfdd.py']
