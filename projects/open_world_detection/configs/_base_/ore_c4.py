# ORE on a C4 detector.
_base_ = './ore.py'
pseudo_head = 'mmood.PseudoUnknownC4BBoxHead'
