"""What the backends of visualizers get of a validation: measures, pictures."""

import json
import struct

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import LoggerHook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch.utils.data import DataLoader, Dataset

from mmood.det.visualizer import OODDetLocalVisualizer  # noqa: F401
from mmood.hooks import OODVisualizationHook

MEASURES = {'far/energy/AUROC': 0.875, 'far/energy/FPR95': 0.25}


class Pictures(Dataset):
    metainfo = dict(classes=('cat', 'dog'))

    def __init__(self, folder):
        self.paths = [str(folder / f'{i}.png') for i in range(2)]
        for path in self.paths:
            cv2.imwrite(path, np.full((40, 60, 3), 90, np.uint8))

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.paths[index]


class Detector(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def val_step(self, data):
        samples = []
        for path in data:
            sample = DetDataSample(metainfo=dict(img_path=path, origin='far'))
            sample.pred_instances = InstanceData(
                bboxes=torch.tensor([[5.0, 5, 30, 30]]),
                labels=torch.tensor([1]),
                scores=torch.tensor([0.9]),
                ood_scores=torch.tensor([-1.0]),
                is_ood=torch.tensor([True]),
            )
            samples.append(sample)
        return samples

    forward = None


class Measures(BaseMetric):
    default_prefix = 'ood'

    def process(self, data_batch, data_samples):
        self.results.extend(data_samples)

    def compute_metrics(self, results):
        return MEASURES


@pytest.fixture
def validate(tmp_path):
    """Function: the folder of a validation with these backends."""

    def run(name, **options):
        runner = Runner(
            Detector(),
            str(tmp_path / 'work'),
            val_dataloader=DataLoader(
                Pictures(tmp_path), batch_size=1, collate_fn=list
            ),
            val_cfg=dict(),
            val_evaluator=[Measures()],
            default_hooks=dict(
                logger=LoggerHook(),
                visualization=OODVisualizationHook(draw=True, interval=1),
            ),
            visualizer=dict(
                type='mmood.OODDetLocalVisualizer',
                name=str(tmp_path),
                vis_backends=[dict(type=name, **options)],
            ),
            default_scope='mmdet',
            cfg=Config(dict(work_dir=str(tmp_path / 'work'), seed=5)),
        )
        runner.val()
        return tmp_path / 'work'

    return run


def assert_drawn(picture):
    """Enlarged, with an unknown box and its legend."""
    assert picture.shape[1] == 60 * 9
    assert (picture[..., ::-1] == (0, 190, 60)).all(-1).sum() > 500


def test_tensorboard(validate):
    reader = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator'
    )
    folder = validate('TensorboardVisBackend')
    (file,) = folder.rglob('events.out.tfevents.*')
    events = reader.EventAccumulator(str(file.parent))
    events.Reload()
    for name, value in MEASURES.items():
        (scalar,) = events.Scalars(f'ood/{name}')
        assert scalar.value == value
    assert events.Tags()['images'] == ['val_far_0', 'val_far_1']
    (image,) = events.Images('val_far_0')
    content = np.frombuffer(image.encoded_image_string, np.uint8)
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert_drawn(picture)


def test_local_files(validate):
    folder = validate('LocalVisBackend')
    (scalars,) = folder.rglob('scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    (found,) = [line for line in lines if 'ood/far/energy/AUROC' in line]
    for name, value in MEASURES.items():
        assert found[f'ood/{name}'] == value
    names = sorted(path.name for path in folder.rglob('val_*.png'))
    assert names == ['val_far_0_0.png', 'val_far_1_0.png']


def wandb_history(file):
    """Values that were logged to a file, by name.

    It is one of LevelDB's logs: blocks of 32 KiB, after 7 bytes of which
    parts of records follow, behind a checksum, their length and kind.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts, found = file.read_bytes(), 7, b'', {}
    while at + 7 <= len(data):
        if at % 32768 > 32768 - 7:  # too little for another one
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack('<HB', data[at + 4 : at + 7])
        at += 7 + length
        parts += data[at - length : at]
        if kind in (1, 4):  # whole, or the last part
            for item in Record.FromString(parts).history.item:
                found['/'.join(item.nested_key)] = json.loads(item.value_json)
            parts = b''
    return found


def test_wandb(validate):
    pytest.importorskip('wandb')
    offline = dict(project='mmood', mode='offline')
    folder = validate('WandbVisBackend', init_kwargs=offline)
    (file,) = folder.rglob('run-*.wandb')
    logged = wandb_history(file)
    for name, value in MEASURES.items():
        assert logged[f'ood/{name}'] == value
    for name in ('val_far_0', 'val_far_1'):
        picture = file.parent / 'files' / logged[f'{name}/path']
        assert_drawn(cv2.imread(str(picture)))


@pytest.fixture
def mlflow(monkeypatch, tmp_path):
    """The package, with a database and a folder of the test's own."""
    package = pytest.importorskip('mlflow')
    address = f'sqlite:///{tmp_path}/mlflow.db'
    monkeypatch.setenv('MLFLOW_TRACKING_URI', address)
    monkeypatch.chdir(tmp_path)
    yield package
    package.set_tracking_uri(None)


def test_mlflow(validate, mlflow):
    keys = dict(tracked_config_keys=['seed'])
    validate('mmood.MLflowBackend', exp_name='mine', **keys)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name('mine')
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == 'FINISHED'
    for name, value in MEASURES.items():
        assert run.data.metrics[f'ood/{name}'] == value
    assert run.data.params == dict(seed='5')
    files = {one.path for one in client.list_artifacts(run.info.run_id)}
    assert 'config.py' in files
    images = client.list_artifacts(run.info.run_id, 'images')
    (first,) = [
        one.path
        for one in images
        if one.path.startswith('images/val_far_0+step+0+')
        and one.path.endswith('.png')
    ]
    path = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path=first
    )
    assert_drawn(cv2.imread(path))
