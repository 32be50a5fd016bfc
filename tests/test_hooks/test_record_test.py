"""What a test writes down of itself."""

import hashlib
import json

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch import nn

import mmood
from mmood.runner import OODRunner


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, inputs, mode='tensor'):
        return list(self.layer(torch.stack(inputs)))


class Metric(BaseMetric):
    def __init__(self, out_dir=None):
        super().__init__()
        self.out_dir = out_dir

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(count=len(results))


@pytest.fixture
def run_test(tmp_path, request):
    def run(*metrics, load_from=None):
        path = tmp_path / 'config.py'
        path.write_text('width = 3\n')
        runner = OODRunner(
            Model(),
            str(tmp_path / 'work'),
            test_dataloader=dict(
                batch_size=2,
                dataset=[dict(inputs=torch.rand(3)) for _ in range(4)],
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            test_evaluator=list(metrics),
            test_cfg=dict(),
            load_from=load_from,
            default_scope='mmengine',
            randomness=dict(seed=5),
            experiment_name=request.node.name,
            cfg=Config.fromfile(str(path)),
        )
        assert runner.test()['count'] == 4
        return tmp_path

    return run


def checkpoint(path):
    meta = dict(
        seed=11, epoch=2, iter=90, dataset_meta=dict(classes=('a', 'b'))
    )
    torch.save(dict(state_dict=Model().state_dict(), meta=meta), path)
    return str(path)


def test_config_checkpoint_seeds_and_versions(run_test, tmp_path):
    path = checkpoint(tmp_path / 'a.pth')
    out = tmp_path / 'ood'
    run_test(Metric(str(out)), load_from=path)
    facts = json.loads((out / 'run.json').read_text())
    content = (tmp_path / 'a.pth').read_bytes()
    assert facts['checkpoint'] == dict(
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        seed=11,
        epoch=2,
        iter=90,
        classes=['a', 'b'],
    )
    assert (facts['seed'], facts['processes']) == (5, 1)
    assert facts['config_file'].endswith('config.py')
    assert 'width' in facts['config']
    assert facts['versions']['torch'] == torch.__version__
    assert facts['versions']['mmood'] == mmood.__version__


def test_without_a_folder_nothing_is_written(run_test):
    folder = run_test(Metric(), BaseCounter())
    assert not list(folder.rglob('run.json'))


class BaseCounter(Metric):
    """A metric of others, which has no ``out_dir``."""

    default_prefix = 'other'

    def __init__(self):
        super().__init__()
        del self.out_dir


def test_a_model_without_a_checkpoint(run_test, tmp_path):
    run_test(Metric(str(tmp_path / 'ood')))
    facts = json.loads((tmp_path / 'ood/run.json').read_text())
    assert facts['checkpoint'] is None
