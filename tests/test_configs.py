"""Every config is resolved and its model built; every index entry exists."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmseg.models.segmentors import EncoderDecoder

from helpers import ROOT, config_depth
from mmood.backbones import FrozenBackbone
from mmood.det.models import OODRoIHead
from mmood.det.models.adapter import BoxAdapter
from mmood.necks import DFDDNeck
from mmood.recipe import load
from mmood.registry import DATASETS
from mmood.seg.datasets import LoadOODAnnotations, OODSegDataset
from mmood.seg.models import OODEncoderDecoder

CONFIGS = sorted(
    path
    for path in (ROOT / 'configs').glob('*/*.py')
    if path.parent.name != '_base_'
)
_RESOLVED = {path: load(path) for path in CONFIGS}
SEGMENTORS = [p for p in CONFIGS if _RESOLVED[p].default_scope == 'mmseg']
DETECTORS = [path for path in CONFIGS if path not in SEGMENTORS]
DOOD = [path for path in SEGMENTORS if path.parent.name == 'dood']
GMMSEG = [path for path in SEGMENTORS if path.parent.name == 'gmmseg']
RPL = [path for path in SEGMENTORS if path.parent.name == 'rpl']
OF_SEGMENTORS = ('dood', 'gmmseg', 'rpl', 'mask2former')
OF_SEGMENTORS += ('rba', 'mask2anomaly', 'energy_hinge')
PLAIN = ('posthoc', 'fmiyc')  # detectors as they are
TRAINED = [path for path in DETECTORS if path.parent.name not in PLAIN]
TWO_STAGE = [path for path in TRAINED if 'faster-rcnn' in path.stem]
FMIYC = [path for path in DETECTORS if path.parent.name == 'fmiyc']


def resolved(path: Path | str) -> Config:
    """A config of its own, for a file or its place below configs/."""
    return copy.deepcopy(_RESOLVED[ROOT / 'configs' / path])


def by_name(paths: list) -> pytest.MarkDecorator:
    return pytest.mark.parametrize('path', paths, ids=lambda path: path.stem)


@pytest.fixture
def mmseg_scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def test_each_folder_holds_what_its_name_says():
    assert len(DOOD) == 10 and len(SEGMENTORS) == 36 and len(DETECTORS) == 69
    for path in CONFIGS:
        scope = resolved(path).default_scope
        known = {'posthoc': scope}
        known.update(dict.fromkeys(OF_SEGMENTORS, 'mmseg'))
        assert scope == known.get(path.parent.name, 'mmdet')


@by_name(DETECTORS)
def test_detector_is_built_as_the_config_says(path):
    cfg = resolved(path)
    backbone = cfg.model.backbone
    backbone.get('backbone', backbone).init_cfg = None  # if it is frozen
    model = MODELS.build(cfg.model)
    if 'bbox_head' in cfg.model:
        head = model.bbox_head
        assert isinstance(head, BoxAdapter)
    else:
        assert isinstance(model.roi_head, OODRoIHead)
        head = model.roi_head.bbox_head
    train_set = cfg.train_dataloader.dataset
    if train_set.type == 'ConcatDataset':  # plain and painted images
        train_set = train_set.datasets[0]
    classes = train_set.metainfo.classes
    assert head.num_classes == len(classes)
    necks = [m for m in model.modules() if isinstance(m, DFDDNeck)]
    assert len(necks) == (path.parent.name == 'dfdd')
    sets = cfg.test_dataloader.dataset.datasets
    assert sets[0].type == 'mmood.IDCocoDataset'
    assert {s.type for s in sets[1:]} == {'mmood.OODCocoDataset'}
    for part in sets:
        assert part.pipeline == cfg.test_pipeline
    hooks = [hook.type for hook in cfg.custom_hooks]
    assert hooks[:3] == [
        'mmood.IdlePartsHook',
        'mmood.FitScoresHook',
        'mmood.CalibrateOODHook',
    ]


def build_segmentor(cfg: Config) -> EncoderDecoder:
    """The model; a ViT with one layer, of the config's width."""
    cfg.model.pretrained = None
    backbone = cfg.model.backbone
    if backbone.type == 'mmood.FrozenBackbone':
        backbone.update(cache=None, probes=[])
        backbone = backbone.backbone
    if isinstance(backbone.get('num_layers'), int):
        backbone.update(num_layers=1, out_indices=-1)
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(model.state_dict())  # "trained"
    return model


def want_timm(path: Path, request: pytest.FixtureRequest) -> None:
    """Skip a config whose backbone is timm's where there is none."""
    if 'dinov2' in path.stem:
        request.getfixturevalue('timm')


def images_of(dataset: Config) -> Config:
    """The set of images behind a set of features."""
    is_features = dataset.type == 'mmood.FeatureDataset'
    return dataset.dataset if is_features else dataset


def where(dataset: Config) -> tuple:
    """What decides which images a set has."""
    return dataset.type, dataset.data_root, dataset.data_prefix.to_dict()


@by_name(SEGMENTORS)
def test_segmentor_has_the_classes_of_its_set(path, mmseg_scope):
    cfg = resolved(path)
    train_set = images_of(cfg.train_dataloader.dataset)
    classes = DATASETS.get(train_set.type).METAINFO['classes']
    assert cfg.model.decode_head.num_classes == len(classes)
    assert len(set(classes)) == len(classes)


@by_name(SEGMENTORS)
def test_segmentor_is_tested_on_ood_sets(path, mmseg_scope):
    cfg = resolved(path)
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


@by_name(SEGMENTORS)
def test_segmentor_is_fitted_and_calibrated_on_id_images(path, mmseg_scope):
    """On training images, the thresholds on validation images."""
    cfg = resolved(path)
    train_set = images_of(cfg.train_dataloader.dataset)
    fit = cfg.fit_dataloader
    assert where(fit.dataset) == where(train_set)
    assert fit.sampler.shuffle  # max_images of them, not the first
    kinds = [step.type.split('.')[-1] for step in fit.dataset.pipeline]
    assert not [kind for kind in kinds if kind.startswith(('Random', 'Photo'))]
    assert kinds.count('LoadIDAnnotations') == 1
    val_set = cfg.val_dataloader.dataset
    assert DATASETS.get(val_set.type).origin == 'id' or val_set.name == 'id'
    assert val_set.data_prefix != train_set.data_prefix
    evaluator = cfg.val_evaluator
    metrics = evaluator if isinstance(evaluator, list) else [evaluator]
    assert metrics[-1].type == 'mmood.OODSegMetric'
    hooks = [hook.type for hook in cfg.custom_hooks]
    assert ('mmood.CheckFeaturesHook' in hooks) == (path in DOOD)


@by_name([p for p in SEGMENTORS if p.parent.name not in OF_SEGMENTORS])
def test_plain_segmentor_trains_as_mmsegs_own(path, mmseg_scope, request):
    want_timm(path, request)
    model = build_segmentor(resolved(path))
    assert type(model) is OODEncoderDecoder and not model.losses
    assert model.scores.names == ('energy', 'msp', 'max_logit', 'entropy')
    assert all(p.requires_grad for p in model.decode_head.parameters())
    trained = [p.requires_grad for p in model.backbone.parameters()]
    if isinstance(model.backbone, FrozenBackbone):
        assert not any(trained)
    else:
        backbone = resolved(path).model.backbone
        assert any(trained) and (all(trained) or backbone.frozen_stages)
    assert resolved(path).val_evaluator[0].type == 'mmseg.IoUMetric'


@by_name(DOOD)
def test_dood_learns_the_probed_features(path, mmseg_scope, request):
    want_timm(path, request)
    cfg = resolved(path)
    processor = cfg.model.data_preprocessor
    assert processor.type == 'mmood.OODSegDataPreProcessor'
    if 'crop_size' in cfg:
        # The crops and the ViT's grid are as large as what it pads to.
        crop_size = tuple(processor.size)
        assert crop_size == cfg.crop_size
        assert cfg.model.backbone.get('img_size', crop_size) == crop_size
    else:  # whole images
        assert processor.size_divisor % cfg.size_divisor == 0
    assert cfg.model.test_cfg.mode == 'whole'
    model = build_segmentor(cfg)
    features = model.extract_features(torch.zeros(1, 3, 112, 112))
    assert features.shape[1] == model.losses.DenoisingLoss.channels
    trained = {n.split('.')[0] for n, p in model.named_parameters()
               if p.requires_grad}  # fmt: skip
    assert trained == {'losses'}
    assert model.scores.names[:3] == ('compound', 'diffusion', 'energy')
    # The paper's score: 25 times.
    score = dict(type='diffusion', timesteps=25)
    assert cfg.model.scores[1].to_dict() == score
    assert model.losses.DenoisingLoss.diffusion.num_steps == 1000
    # Only at the end are there statistics to validate with.
    assert cfg.train_cfg.val_begin > cfg.train_cfg.max_iters


@by_name(DOOD)
def test_dood_trains_as_in_the_paper(path):
    cfg = resolved(path)
    loss, loader = cfg.model.losses[0], cfg.train_dataloader
    assert loader.batch_size * loader.dataset.vectors == loss.batch_size
    if '70k' not in path.stem:
        return
    assert cfg.train_cfg.max_iters == 70_000
    assert cfg.optim_wrapper.optimizer.lr == 5e-5
    assert loss.batch_size == 4096
    # The released models; the paper's network where there is none.
    form = (
        loss.denoiser.get('num_blocks', 6),
        loss.denoiser.get('num_middle_blocks', 3),
        loss.denoiser.get('time_embedding', 'scalar'),
    )
    dataset = path.stem.split('_')[-1]
    expected = dict(cityscapes=(6, 3, 'periodic'), ade20k=(8, 4, 'scalar'))
    assert form == expected.get(dataset, (6, 3, 'scalar'))


@by_name(GMMSEG)
def test_gmmseg_takes_the_last_layer_of_the_heads(path, mmseg_scope):
    cfg = resolved(path)
    model = build_segmentor(cfg)
    mixtures = model.decode_head.conv_seg.mixtures
    classes = cfg.model.decode_head.num_classes
    assert mixtures.means.shape == (classes, 5, 64)
    assert model.scores.first == 'gmmseg'
    assert model.probe.module == 'decode_head.conv_seg.embed'
    assert type(model.decode_head).__name__.startswith('GMMSeg')
    if 'cityscapes' in path.stem:  # as published
        assert cfg.train_cfg.max_iters == 80_000
        assert mixtures.queues.size == 32_000
        assert mixtures.kept == (0.999, 0.0) and mixtures.interval == 5
        assert mixtures.max_enqueued == 20
        assert mixtures.contrast_weight == 0.01


@by_name(RPL)
def test_rpl_trains_the_block_alone(path, mmseg_scope):
    cfg = resolved(path)
    model = build_segmentor(cfg)
    trained = {n.split('.')[0] for n, p in model.named_parameters()
               if p.requires_grad}  # fmt: skip
    assert trained == {'pixel_losses'} and not model.supervised
    assert model.scores.first == 'rpl'
    size = 112
    with model.pixel_losses.RPLLoss.beside(), torch.no_grad():
        logits = model._forward(torch.zeros(1, 3, size, size))
    assert logits.shape[1] == cfg.model.decode_head.num_classes
    pipeline = cfg.train_dataloader.dataset.pipeline
    paste = [t for t in pipeline if t.type == 'mmood.PasteOutliers']
    assert len(paste) == 1 and paste[0].prob == 1.0
    if 'cityscapes' in path.stem:  # as published
        assert cfg.train_cfg.max_iters == 40 * (2975 // 8)
        assert cfg.optim_wrapper.optimizer.lr == 7.5e-5
        assert model.pixel_losses.RPLLoss.energy_weight == 0.05


@by_name(CONFIGS)
def test_config_is_short_and_shallow(path):
    assert len(path.read_text().splitlines()) <= 40
    assert config_depth(path) <= 3  # itself and two levels of ours


@by_name([path for path in SEGMENTORS if '-s14_' in path.stem])
def test_a_segmentor_on_a_frozen_backbone_takes_thirty_lines(path):
    assert len(path.read_text().splitlines()) <= 30
    cfg = resolved(path)
    # No two steps paste the same objects: what they see cannot be stored.
    if not cfg.model.get('pixel_losses'):
        assert cfg.model.backbone.type == 'mmood.FrozenBackbone'
        assert cfg.model.backbone.cache
    names = [part.name for part in cfg.test_dataloader.dataset.datasets]
    assert names == ['anomaly_track', 'fs_static']


@by_name(CONFIGS)
def test_the_name_says_the_iterations(path):
    found = re.search(r'_(\d+)(k?)_[a-z0-9-]+$', path.stem)
    train_cfg = resolved(path).train_cfg
    assert bool(found) == ('max_iters' in train_cfg)
    if found:
        factor = 1000 if found[2] else 1
        assert int(found[1]) * factor == train_cfg.max_iters


@by_name(CONFIGS)
def test_a_schedule_is_one_number(path):
    """Of a training a tenth as long all points lie at a tenth."""
    cfg = resolved(path)
    key = 'max_iters' if 'max_iters' in cfg.train_cfg else 'max_epochs'
    length = cfg.train_cfg[key]
    other = load(path, {key: 10 * length})
    assert other.train_cfg[key] == 10 * length
    assert cfg.train_cfg.get('val_begin', 1) in (1, 10**9)
    for short, long in zip(cfg.param_scheduler, other.param_scheduler):
        assert length not in (short.get('end'), short.get('T_max'))
        if short.get('end') == 500:  # iterations, as Dream-Box published
            continue
        for point in ('begin', 'end'):
            if point in short:
                assert long[point] == pytest.approx(10 * short[point])
        for a, b in zip(
            short.get('milestones', ()), long.get('milestones', ())
        ):
            assert b == 10 * a


# What is not part of a method: what is trained on, how long, on what.
SAME = ('val_dataloader', 'test_dataloader', 'fit_dataloader', 'train_cfg')
SAME += ('param_scheduler', 'val_evaluator', 'test_evaluator', 'randomness')
SAME += ('default_hooks', 'custom_hooks', 'auto_scale_lr')
METHOD = ('scores', 'outliers', 'losses', 'type')


@by_name([path for path in TWO_STAGE if path.parent.name != 'dream_box'])
def test_method_differs_from_its_plain_twin_by_itself_alone(path):
    cfg = resolved(path).to_dict()
    method, rest = path.name.split('_', 1)
    plain = resolved(f'posthoc/{rest}').to_dict()
    for one in (cfg, plain):
        for key in METHOD:
            one['model']['roi_head'].pop(key, None)
    if method in ('dfdd', 'ddpm'):
        neck, added = cfg['model']['neck']
        assert added['channels'] == neck['out_channels']
        cfg['model']['neck'] = neck
        del cfg['optim_wrapper']['paramwise_cfg']
    if method == 'godin':
        del cfg['model']['roi_head']['bbox_head']['cls_predictor_cfg']
    if method == 'vos-blur-aug':
        blur = cfg['train_dataloader']['dataset']['pipeline'].pop(-2)
        assert blur == dict(type='mmood.RandomGaussianBlur')
    for key in (*SAME, 'model', 'optim_wrapper', 'train_dataloader'):
        assert cfg.get(key) == plain.get(key)


@by_name(FMIYC)
def test_fmiyc_tests_what_its_plain_twin_trains(path):
    cfg = resolved(path)
    plain = resolved(f'posthoc/{path.name.removeprefix("fmiyc_")}')
    for key in ('train_dataloader', 'val_dataloader', *SAME[3:5]):
        assert cfg[key] == plain[key]
    for one in (cfg, plain):
        one.model.get('bbox_head', one.model.get('roi_head')).pop('scores')
    assert cfg.model == plain.model
    assert cfg.test_evaluator.open_set


def test_fmiyc_comes_with_every_family_for_both_sets():
    kinds = {path.stem.split('_')[1] for path in FMIYC}
    assert kinds == {'faster-rcnn', 'retinanet', 'rtmdet', 'dino-4scale'}
    for kind in kinds:
        own = [path.stem for path in FMIYC if f'_{kind}_' in path.stem]
        assert {name.split('_')[-1] for name in own} == {'voc', 'bdd100k'}


def test_any_method_is_tested_on_fmiycs_sets(tmp_path):
    page = (ROOT / 'configs/fmiyc/README.md').read_text()
    text = re.search('```python\n# vos_on_fmiyc.py\n(.*?)```', page, re.S)[1]
    path = tmp_path / 'vos_on_fmiyc.py'
    path.write_text(text.replace('mmood::', f'{ROOT}/configs/'))
    cfg, vos = load(path), resolved('vos/vos_faster-rcnn_r50_fpn_18k_voc.py')
    names = [part.name for part in cfg.test_dataloader.dataset.datasets[1:]]
    assert names == ['near_coco', 'far_coco', 'near_oi', 'far_oi']
    assert cfg.test_evaluator.open_set
    assert cfg.model == vos.model


@pytest.mark.parametrize(
    'name, channels',
    [
        ('r50_50e_voc', 16),
        ('r50_50e_bdd100k', 64),
        ('r18_shapes', 16),
    ],
)
def test_siren_on_deformable_detr_is_as_published(name, channels):
    cfg = resolved(f'siren/siren_deformable-detr_{name}.py')
    (loss,) = cfg.model.bbox_head.losses
    assert (loss.channels, loss.loss_weight) == (channels, 1.5)
    assert cfg.model.bbox_head.of == 'DeformableDETRHead'
    assert cfg.train_cfg.max_epochs == 50
    assert cfg.param_scheduler[-1].milestones == [40]
    if name.startswith('r50'):
        mmdets = get_config(
            'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py'
        )
        assert cfg.optim_wrapper == mmdets.optim_wrapper
        assert cfg.train_dataloader.batch_size == 2


def test_every_method_comes_for_every_set():
    sets = (
        'r18_fpn_shapes',
        'mobilenet-v2_fpn_voc-animals',
        'r50_fpn_18k_voc',
        'r50_fpn_90k_bdd100k',
    )
    names = {path.stem for path in TRAINED}
    methods = {name.split('_')[0] for name in names} - {'dream-box'}
    assert len(methods) == 9
    for method in methods:
        assert {f'{method}_faster-rcnn_{one}' for one in sets} <= names


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'configs/tables').glob('table1_*.yaml'))
)
def test_tables_name_configs_and_scores_that_exist(path):
    rows = yaml.safe_load(path.read_text())['rows']
    assert len({row['name'] for row in rows}) == len(rows) == 18
    check_rows(rows)
    assert len({row['config'].split('_', 1)[1] for row in rows[8:]}) == 1


def test_table_of_photographs_has_every_method():
    rows = yaml.safe_load(
        (ROOT / 'configs/tables/voc-animals.yaml').read_text()
    )['rows']
    check_rows(rows)
    trained = {path for path in TRAINED if 'voc-animals' in path.stem}
    assert trained == {ROOT / row['config'] for row in rows} & set(TRAINED)
    plain = 'configs/posthoc/faster-rcnn_mobilenet-v2_fpn_voc-animals.py'
    scores = resolved(ROOT / plain).model.roi_head.scores
    named = [row['score'] for row in rows if row.get('tag') == 'more']
    assert sorted(named) == sorted(map(score_name, scores))


def score_name(score: str | dict) -> str:
    """A score's own name, or that of its type."""
    return score if isinstance(score, str) else score.get('name', score.type)


def check_rows(rows: list[dict]) -> None:
    """Their configs are there, and have their scores."""
    for row in rows:
        model = resolved(row['config'].removeprefix('configs/')).model
        head = model.get('roi_head') or model.bbox_head
        assert row['score'] in map(score_name, head.scores)


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'configs/tables').glob('dood_*.yaml'))
)
def test_tables_of_segmentors_name_scores_that_exist(path):
    rows = yaml.safe_load(path.read_text())['rows']
    tests = {}
    for row in rows:
        options = {**row.get('cfg_options', {}), **row.get('test_options', {})}
        key = row['config'], str(options)
        if key not in tests:
            tests[key] = [
                s if isinstance(s, str) else s.get('name', s.type)
                for s in load(ROOT / row['config'], options).model.scores
            ]
        assert row['score'] in tests[key]
        start = row.get('load_from', row['config'])
        assert (ROOT / start) in CONFIGS
    assert len(tests) > 1


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
            train_cfg = resolved(ROOT / model['Config']).train_cfg
            length = train_cfg.get('max_iters') or train_cfg.max_epochs
            unit = 'Iterations' if 'max_iters' in train_cfg else 'Epochs'
            assert model['Metadata'][unit] == length
    own = [str(path.relative_to(ROOT)) for path in CONFIGS]
    assert sorted(listed) == sorted(own)


@by_name(CONFIGS)
def test_each_config_stands_in_its_folders_readme(path):
    page = (path.parent / 'README.md').read_text()
    assert f']({path.name})' in page
