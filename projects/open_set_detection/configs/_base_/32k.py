# The schedule of OpenDet: 32 000 iterations of 16 images, lr 0.02.
_base_ = '../../../../configs/_base_/schedules/18k.py'
max_iters = 32000
train_cfg = dict(max_iters=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[1]['milestones'] = [21000, 29000]
