"""Every config is parsed and its model built; every index entry exists."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import load_checkpoint
from mmseg.models.segmentors import EncoderDecoder

from helpers import ROOT, config_depth, write_coco
from mmood.det.models import OODRoIHead
from mmood.hooks import fit_scores
from mmood.necks import DFDDNeck
from mmood.registry import DATASETS
from mmood.seg.datasets import LoadOODAnnotations, OODSegDataset
from mmood.seg.models import OODEncoderDecoder

CONFIGS = sorted(
    path
    for path in (ROOT / 'configs').glob('*/*.py')
    if path.parent.name != '_base_'
)
_PARSED = {path: Config.fromfile(path) for path in CONFIGS}
SEGMENTORS = [p for p in CONFIGS if _PARSED[p].default_scope == 'mmseg']
DETECTORS = [path for path in CONFIGS if path not in SEGMENTORS]
DOOD = [path for path in SEGMENTORS if path.parent.name == 'dood']
# DOoD configs that inherit from the config of their segmentor.
TWINS = [
    (path, (path.parent / base).resolve())
    for path in DOOD
    for base in Config._get_base_files(str(path))
    if '/posthoc/' in base
]


def parse(path: Path | str) -> Config:
    """A config of its own, for a file or its place below configs/."""
    return copy.deepcopy(_PARSED[ROOT / 'configs' / path])


def by_name(paths: list) -> pytest.MarkDecorator:
    return pytest.mark.parametrize('path', paths, ids=lambda path: path.stem)


@pytest.fixture
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def test_each_folder_holds_what_its_name_says():
    assert len(SEGMENTORS) >= 8 and len(DETECTORS) >= 8
    sets = {path.stem.split('_')[-1] for path, _ in TWINS}
    assert sets == {'shapes', 'camvid'}
    for path in CONFIGS:
        scope = parse(path).default_scope
        assert scope in ('mmdet', 'mmseg')
        assert {'dfdd': 'mmdet', 'dood': 'mmseg'}.get(
            path.parent.name, scope
        ) == scope


@by_name(DETECTORS)
def test_detector_is_built_as_the_config_says(path):
    cfg = parse(path)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    assert isinstance(model.roi_head, OODRoIHead)
    train_set = cfg.train_dataloader.dataset
    if train_set.type == 'ConcatDataset':  # plain and painted images
        train_set = train_set.datasets[0]
    classes = train_set.metainfo.classes
    assert model.roi_head.bbox_head.num_classes == len(classes)
    necks = [m for m in model.modules() if isinstance(m, DFDDNeck)]
    assert len(necks) == (path.parent.name == 'dfdd')
    sets = cfg.test_dataloader.dataset.datasets
    assert sets[0].type == 'mmood.IDCocoDataset'
    assert {s.type for s in sets[1:]} == {'mmood.OODCocoDataset'}
    assert 'mmood.CalibrateOODHook' in [h.type for h in cfg.custom_hooks]


def build_segmentor(cfg: Config) -> EncoderDecoder:
    """The model; a ViT with one layer, of the config's width."""
    cfg.model.pretrained = None
    backbone = cfg.model.backbone
    if isinstance(backbone.get('num_layers'), int):
        backbone.update(num_layers=1, out_indices=-1)
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(model.state_dict())  # "trained"
    return model


def images_of(dataset: Config) -> Config:
    """The set of images behind a set of features."""
    is_features = dataset.type == 'mmood.FeatureDataset'
    return dataset.dataset if is_features else dataset


def where(dataset: Config) -> tuple:
    """What decides which images a set has."""
    return dataset.type, dataset.data_root, dataset.data_prefix.to_dict()


@by_name(SEGMENTORS)
def test_segmentor_has_the_classes_of_its_set(path, mmseg_scope):
    cfg = parse(path)
    train_set = images_of(cfg.train_dataloader.dataset)
    classes = DATASETS.get(train_set.type).METAINFO['classes']
    assert cfg.model.decode_head.num_classes == len(classes)
    assert len(set(classes)) == len(classes)


@by_name(SEGMENTORS)
def test_segmentor_is_tested_on_ood_sets(path, mmseg_scope):
    cfg = parse(path)
    dataset = cfg.test_dataloader.dataset
    assert dataset.type == 'ConcatDataset'
    assert {'classes', 'palette'} <= set(dataset.ignore_keys)
    for part in dataset.datasets:
        assert issubclass(DATASETS.get(part.type), OODSegDataset)
        assert loads_ood_labels(part.pipeline)
    names = [set_name(part) for part in dataset.datasets]
    assert len(set(names)) == len(names) and 'id' not in names
    assert cfg.test_evaluator.type == 'mmood.OODSegMetric'
    assert cfg.test_dataloader.sampler.shuffle is False


def loads_ood_labels(pipeline: list) -> bool:
    types = [transform.type.split('.')[-1] for transform in pipeline]
    assert types[0] == 'LoadImageFromFile' and types[-1] == 'PackSegInputs'
    return LoadOODAnnotations.__name__ in types


def set_name(dataset: Config) -> str:
    preset = getattr(DATASETS.get(dataset.type), 'defaults', {})
    return dataset.get('name') or preset['name']


@by_name([path for path in SEGMENTORS if path not in DOOD])
def test_plain_segmentor_is_mmsegs_own(path, mmseg_scope):
    cfg = parse(path)
    model = build_segmentor(cfg)
    assert type(model) is EncoderDecoder
    assert cfg.val_evaluator.type == 'mmseg.IoUMetric'
    assert all(p.requires_grad for p in model.parameters())


@by_name(DOOD)
def test_dood_head_fits_the_probed_layer(path, mmseg_scope):
    cfg = parse(path)
    # Cached features need this one; the crops and the ViT's grid are as
    # large as what it pads to.
    assert cfg.model.data_preprocessor.type == 'mmood.OODSegDataPreProcessor'
    if 'img_size' in cfg.model.backbone:
        size = tuple(cfg.model.data_preprocessor.size)
        assert tuple(cfg.model.backbone.img_size) == size
        assert cfg.get('crop_size', size) == size
    model = build_segmentor(cfg)
    assert isinstance(model, OODEncoderDecoder)
    assert cfg.model.test_cfg.mode == 'whole'
    features = model.extract_features(torch.zeros(1, 3, 64, 64))
    assert features.shape[1] == model.ood_head.channels
    trained = {n.split('.')[0] for n, p in model.named_parameters()
               if p.requires_grad}  # fmt: skip
    assert trained == {'ood_head'}
    # The paper's score: 25 times, cosine, weights of Eq. 8.
    assert model.ood_head.score == dict(
        kind='cosine', timesteps=list(range(25)), weighted=True
    )
    assert model.ood_head.diffusion.num_steps == 1000


@by_name(DOOD)
def test_dood_fits_on_id_images_only(path):
    """Statistics on training images, the threshold on validation images."""
    cfg = parse(path)
    hooks = {hook.type: hook for hook in cfg.custom_hooks}
    assert set(hooks) == {
        'mmood.FitScoresHook',
        'mmood.CalibrateOODHook',
        'mmood.FiniteLossHook',
        'mmood.CheckFeaturesHook',
    }
    loader = hooks['mmood.FitScoresHook'].dataloader
    train_set = images_of(cfg.train_dataloader.dataset)
    assert where(loader.dataset) == where(train_set)
    assert loader.sampler.shuffle  # max_images of them, not the first
    random = ('Random', 'Photo')
    for transform in loader.dataset.pipeline:
        assert not transform.type.split('.')[-1].startswith(random)

    assert cfg.val_evaluator.type == 'mmood.OODSegMetric'
    val_set = cfg.val_dataloader.dataset
    assert val_set.type == 'mmood.OODSegDataset'
    assert (val_set.name, tuple(val_set.ood_ids)) == ('id', ())
    assert loads_ood_labels(val_set.pipeline)
    assert val_set.data_prefix != train_set.data_prefix
    # Only then, at the end, are there statistics to validate with.
    assert cfg.train_cfg.val_begin > cfg.train_cfg.max_iters


@by_name([path for path in DOOD if '70k' in path.stem])
def test_dood_trains_as_in_the_paper(path):
    cfg = parse(path)
    assert cfg.train_cfg.max_iters == 70_000
    assert cfg.optim_wrapper.optimizer.lr == 5e-5
    loader = cfg.train_dataloader
    assert loader.batch_size * loader.dataset.vectors == 4096
    assert cfg.model.ood_head.get('batch_size', 4096) == 4096
    # The released models; the paper's network where there is none.
    denoiser = cfg.model.ood_head.get('denoiser', {})
    form = (
        denoiser.get('num_blocks', 6),
        denoiser.get('num_middle_blocks', 3),
        denoiser.get('time_embedding', 'scalar'),
    )
    dataset = path.stem.split('_')[-1]
    expected = dict(cityscapes=(6, 3, 'periodic'), ade20k=(8, 4, 'scalar'))
    assert form == expected.get(dataset, (6, 3, 'scalar'))


@pytest.mark.parametrize(('path', 'twin'), TWINS, ids=lambda path: path.stem)
def test_dood_differs_from_its_plain_twin_by_dood_alone(path, twin):
    cfg, plain = parse(path).to_dict(), parse(twin).to_dict()
    model = cfg.pop('model')
    assert model.pop('type') == 'mmood.OODEncoderDecoder'
    del model['probe'], model['ood_head']
    assert dict(model, type='mmseg.EncoderDecoder') == plain.pop('model')

    # The same images, without augmentation, as features.
    train, plain_train = (c.pop('train_dataloader') for c in (cfg, plain))
    features, images = train.pop('dataset'), plain_train.pop('dataset')
    assert features['type'] == 'mmood.FeatureDataset'
    images['pipeline'] = plain['plain_pipeline']
    assert features['dataset'] == images
    del train['batch_size'], plain_train['batch_size']
    assert train == plain_train
    # The same validation images, without their classes.
    val, plain_val = (c.pop('val_dataloader') for c in (cfg, plain))
    for key in ('data_root', 'data_prefix'):
        assert val['dataset'][key] == plain_val['dataset'][key]
    del val['dataset'], plain_val['dataset']
    assert val == plain_val

    for c in (cfg, plain):
        del c['optim_wrapper']['optimizer'], c['param_scheduler']
        del c['train_cfg'], c['max_iters'], c['val_evaluator']
    assert cfg.pop('custom_hooks') == plain['dood_hooks']
    del plain['custom_hooks']
    assert cfg == plain


@by_name(CONFIGS)
def test_config_is_short_and_shallow(path):
    assert len(path.read_text().splitlines()) <= 40
    assert config_depth(path) <= 3  # itself and two levels of ours


@by_name(CONFIGS)
def test_the_name_says_the_iterations(path):
    found = re.search(r'_(\d+)(k?)_[a-z0-9-]+$', path.stem)
    train_cfg = parse(path).train_cfg
    assert bool(found) == ('max_iters' in train_cfg)
    if found:
        factor = 1000 if found[2] else 1
        assert int(found[1]) * factor == train_cfg.max_iters


@by_name(CONFIGS)
def test_a_schedule_is_one_number(path):
    """What names no end of its own ends with the training."""
    cfg = parse(path)
    length = cfg.train_cfg.get('max_iters') or cfg.train_cfg.max_epochs
    for part in cfg.param_scheduler:
        assert length not in (part.get('end'), part.get('T_max'))


# What a trained method may change in its plain detector.
OWN = (
    'scores',
    'outliers',
    'outlier_start_share',
    'loss_uncertainty',
    'loss_consistency',
    'auxiliary',
)
# What the shared parts of configs are called.
FRAGMENTS = [
    key
    for path in sorted((ROOT / 'configs/_base_/methods').glob('*.py'))
    for key in Config.fromfile(path)
]
# Dream-Box's, of other images too, are in test_dream_box_configs.py.
TRAINED = [
    path
    for path in DETECTORS
    if path.parent.name not in ('posthoc', 'dream_box')
]


@by_name(TRAINED)
def test_method_differs_from_its_plain_twin_by_itself_alone(path):
    cfg = parse(path)
    method, rest = path.name.split('_', 1)
    plain = parse(f'posthoc/{rest}')
    for key in OWN:
        for roi_head in (cfg.model.roi_head, plain.model.roi_head):
            roi_head.pop(key, None)
    if method in ('dfdd', 'ddpm'):
        cfg.model.neck = cfg.model.neck[0]
        del cfg.optim_wrapper['paramwise_cfg']
    if method == 'godin':
        del cfg.model.roi_head.bbox_head['cls_predictor_cfg']
    if method == 'vos-blur-aug':
        for pipeline in (
            cfg.train_pipeline,
            cfg.train_dataloader.dataset.pipeline,
        ):
            assert pipeline.pop(-2).type == 'mmood.RandomGaussianBlur'
    extra = set(cfg) - set(plain)
    assert extra <= {'noise', *FRAGMENTS}
    left = {k: v for k, v in cfg.to_dict().items() if k not in extra}
    assert left == plain.to_dict()


def test_every_method_comes_for_every_set():
    sets = ('r18_fpn_shapes', 'r50_fpn_18k_voc', 'r50_fpn_90k_bdd100k')
    methods = {path.name.split('_')[0] for path in TRAINED}
    assert len(methods) == 9
    names = {path.stem for path in TRAINED}
    for method in methods:
        assert {f'{method}_faster-rcnn_{one}' for one in sets} <= names


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'configs/tables').glob('table1_*.yaml'))
)
def test_tables_name_configs_and_scores_that_exist(path):
    rows = yaml.safe_load(path.read_text())['rows']
    assert len({row['name'] for row in rows}) == len(rows) == 18
    suffix = {row['config'].split('_', 1)[1] for row in rows[8:]}
    assert len(suffix) == 1
    for row in rows:
        scores = parse(row['config'].removeprefix('configs/')).model.roi_head
        named = [s if isinstance(s, str) else s.name for s in scores.scores]
        assert row['score'] in named


def test_the_model_index_lists_every_config():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    listed = []
    for metafile in index['Import']:
        content = yaml.safe_load((ROOT / metafile).read_text())
        collections = {entry['Name'] for entry in content['Collections']}
        for collection in content['Collections']:
            assert (ROOT / collection['README']).is_file()
        for model in content['Models']:
            listed.append(model['Config'])
            assert model['Name'] == Path(model['Config']).stem
            assert model['In Collection'] in collections
            train_cfg = parse(ROOT / model['Config']).train_cfg
            length = train_cfg.get('max_iters') or train_cfg.max_epochs
            unit = 'Iterations' if 'max_iters' in train_cfg else 'Epochs'
            assert model['Metadata'][unit] == length
    own = [str(path.relative_to(ROOT)) for path in CONFIGS]
    assert sorted(listed) == sorted(own)


@by_name(CONFIGS)
def test_each_config_stands_in_its_folders_readme(path):
    page = (path.parent / 'README.md').read_text()
    assert f']({path.name})' in page


def example(base: str) -> str:
    """The config of docs/en/new_dataset.md that has this base."""
    page = (ROOT / 'docs/en/new_dataset.md').read_text()
    found = [b for b in re.findall('```python\n(.*?)```', page, re.S)
             if base in b]  # fmt: skip
    assert len(found) == 1
    assert len(found[0].strip().splitlines()) <= 25
    # The working tree's configs, not those that are installed.
    return found[0].replace('mmood::', f'{ROOT}/configs/')


def test_own_coco_set_as_the_docs_say(tmp_path):
    """The config of docs/en/new_dataset.md trains on three new classes."""
    text = example('mmood::dfdd/')
    classes = ('bolt', 'nut', 'washer')
    ann = write_coco(tmp_path, [[[4, 4, 20, 20]], [[9, 9, 30, 30]]], classes)
    for name in ('train', 'val'):
        (tmp_path / f'{name}.json').write_text(ann.read_text())
    write_coco(tmp_path, [[[4, 4, 20, 20]]], ['hammer']).rename(
        tmp_path / 'ood.json'
    )
    text = text.replace('data/screws/', f'{tmp_path}/')
    path = tmp_path / 'my_dfdd.py'
    path.write_text(text)

    cfg = Config.fromfile(path)
    assert 'ann_file' not in cfg.val_evaluator  # that of the set
    cfg.train_dataloader.dataset.pipeline[2] = dict(
        type='Resize', scale=(64, 64)
    )
    train = DATASETS.build(cfg.train_dataloader.dataset)
    assert train.metainfo['classes'] == classes
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    losses = model.parse_losses(
        model(**model.data_preprocessor(pseudo_collate([train[0]]), True),
              mode='loss')
    )[1]  # fmt: skip
    assert {'loss_uncertainty', 'loss_deblur'} <= set(losses)
    assert torch.isfinite(torch.stack(list(losses.values()))).all()

    test = DATASETS.build(cfg.test_dataloader.dataset)
    origins = [sample['data_samples'].origin for sample in test]
    assert origins == ['id', 'id', 'unknown']
    assert test.metainfo['classes'] == classes


def test_other_detectors_as_the_docs_say(tmp_path):
    """Each set says which it is, and no metric has a file of its own."""
    path = tmp_path / 'other.py'
    path.write_text(example("'mmdet::faster_rcnn/"))
    cfg = Config.fromfile(path)
    for part in ('train', 'val', 'test'):
        loader = cfg[f'{part}_dataloader']
        assert loader.dataset.type == 'mmood.IDCocoDataset'
        assert loader.dataset.ann_file.startswith('annotations/')
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert evaluator.type == 'mmood.OODDetMetric'


def write_seg_set(folder: Path, ids: list[int], count: int = 2) -> None:
    """Noise images of 80 x 64 pixels, each id in a column of the label."""
    rng = np.random.default_rng(0)
    columns = np.arange(80) * len(ids) // 80
    label = np.broadcast_to(np.array(ids)[columns], (64, 80))
    for sub in ('images', 'labels'):
        (folder / sub).mkdir(parents=True)
    for i in range(count):
        pixels = rng.integers(0, 255, (64, 80, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'images/{i}.jpg'), pixels)
        path = str(folder / f'labels/{i}.png')
        cv2.imwrite(path, label.astype(np.uint8))


def test_own_segmentation_set_as_the_docs_say(tmp_path, mmseg_scope):
    """The config of docs/en/new_dataset.md trains on three new classes."""
    write_seg_set(tmp_path / 'train', [0, 1, 2, 255])
    write_seg_set(tmp_path / 'val', [0, 1, 2, 255])
    write_seg_set(tmp_path / 'ood', [0, 9, 2, 255])
    text = example('mmood::dood/').replace('data/screws/', f'{tmp_path}/')
    text = text.replace("'segmenter.pth'", f"'{tmp_path}/segmenter.pth'")
    text = text.replace('(512, 512)', '(64, 64)')
    path = tmp_path / 'my_dood.py'
    path.write_text(text)
    cfg = Config.fromfile(path)
    cfg.model.ood_head.denoiser.update(num_blocks=1, num_middle_blocks=0)

    segmentor = cfg.model.to_dict()
    for key in ('ood_head', 'probe'):
        del segmentor[key]
    plain = Config(dict(model=dict(segmentor, type='EncoderDecoder')))
    plain.model.data_preprocessor.type = 'SegDataPreProcessor'
    weights = build_segmentor(plain).state_dict()
    torch.save(dict(state_dict=weights), cfg.load_from)
    model = build_segmentor(cfg)
    load_checkpoint(model, cfg.load_from)
    head = model.ood_head.denoiser.head[-1]
    assert not head.bias.any()

    train = DATASETS.build(cfg.train_dataloader.dataset)
    assert train.metainfo['classes'] == ('bolt', 'nut', 'washer')
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batch = pseudo_collate([train[0], train[1]])
    model.train()
    losses = model.train_step(batch, wrapper)
    # An untrained denoiser says zero, where the noise has unit variance.
    assert float(losses['loss_denoise']) == pytest.approx(1, abs=0.1)
    assert head.bias.any()
    for name, value in model.state_dict().items():
        assert name not in weights or torch.equal(value, weights[name])

    fitted = DATASETS.build(cfg.custom_hooks[0].dataloader.dataset)
    fit_scores(model, [pseudo_collate([fitted[0]])])
    mean, std = model.ood_head.score_mean, model.ood_head.score_std
    assert torch.isfinite(mean).all() and (std > 0).all()
    for loader, name, labels in (
        (cfg.val_dataloader, 'id', {0, 255}),
        (cfg.test_dataloader, 'unknown', {0, 1, 255}),
    ):
        for sample in DATASETS.build(loader.dataset):
            assert sample['data_samples'].origin == name
            found = sample['data_samples'].gt_sem_seg.data.unique()
            assert set(found.tolist()) == labels


def test_another_segmentor_as_the_docs_say(tmp_path, mmseg_scope):
    path = tmp_path / 'segformer.py'
    path.write_text(example('mmseg::_base_/models/segformer'))
    cfg = Config.fromfile(path)
    model = build_segmentor(cfg)
    features = model.extract_features(torch.zeros(1, 3, 64, 64))
    assert features.shape[1] == model.ood_head.channels
    assert cfg.train_cfg.max_iters == 70_000
