"""What follows from what in a config."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from helpers import ROOT
from mmood.changes import merge_options
from mmood.config import ConfigError
from mmood.families import ADAPTERS, support_table
from mmood.recipe import load, resolve

SHAPES = sorted((ROOT / 'configs').glob('*/*_shapes.py'))
SHAPES = [path for path in SHAPES if path.parent.name != '_base_']


def detector(**more) -> Config:
    """A plain Faster R-CNN with the training of a COCO set."""
    train = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True, poly2mask=False),
        dict(type='PackDetInputs'),
    ]
    test = [train[0], dict(type='Resize', scale=(9, 9)), *train[1:]]
    test[2] = dict(type='LoadAnnotations', with_bbox=True)
    sets = dict(type='CocoDataset', data_root='a/', metainfo=dict(classes='b'))
    return Config(
        dict(
            model=dict(
                type='FasterRCNN',
                backbone=dict(type='ResNet', depth=50),
                neck=dict(type='FPN', out_channels=64),
                rpn_head=dict(type='RPNHead', in_channels=64),
                roi_head=dict(
                    type='StandardRoIHead',
                    bbox_head=dict(type='Shared2FCBBoxHead', num_classes=80),
                ),
            ),
            train_dataloader=dict(
                batch_size=4,
                dataset=dict(
                    type='RepeatDataset',
                    dataset=dict(sets, pipeline=train),
                ),
            ),
            val_dataloader=dict(
                batch_size=2,
                num_workers=1,
                dataset=dict(sets, pipeline=test, test_mode=True),
            ),
            val_evaluator=dict(type='CocoMetric', ann_file='a/b.json'),
            **more,
        )
    )


def segmentor(**more) -> Config:
    model = dict(
        type='mmseg.EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor'),
        decode_head=dict(type='FCNHead', num_classes=19),
        auxiliary_head=[dict(type='FCNHead'), dict(type='FCNHead')],
    )
    images = dict(type='A', pipeline=[dict(type='PackSegInputs')])
    loader = dict(batch_size=4, dataset=images)
    return Config(
        dict(
            model=model,
            train_dataloader=loader,
            val_dataloader=loader,
            val_evaluator=dict(type='IoUMetric'),
            **more,
        )
    )


def test_references_are_copies_of_variables_at_any_depth():
    cfg = Config(
        dict(
            root='data/',
            scale=(3, 4),
            steps=[dict(type='Resize', scale='$scale'), '$packer'],
            packer=dict(type='Pack', root='${root}images/'),
            sets=[dict(pipeline='$steps'), dict(pipeline='$steps')],
            height='$scale.1',
            name='$sets.0.pipeline.1.type',
        )
    )
    found = resolve(cfg)
    steps = [
        dict(type='Resize', scale=(3, 4)),
        dict(type='Pack', root='data/images/'),
    ]
    assert [part.to_dict() for part in found.steps] == steps
    for part in found.sets:
        assert [step.to_dict() for step in part.pipeline] == steps
    assert found.sets[0].pipeline[0] is not found.sets[1].pipeline[0]
    assert (found.height, found.name) == (4, 'Pack')
    assert cfg.height == '$scale.1'  # what was given is as it was


@pytest.mark.parametrize(
    ('variables', 'message'),
    [
        (dict(a=dict(b=['$c'])), r'a\.b\.0 refers to \$c.* no variable c'),
        (dict(a='$b.1', b=[0]), r'a refers to \$b\.1'),
        (dict(a='$b', b=['$c'], c='x${b}'), r'a.0: \$b -> \$c -> \$b goes in'),
        (dict(a='$a'), r'a: \$a -> \$a goes in a circle'),
    ],
)
def test_a_reference_to_nothing_or_to_itself_is_refused(variables, message):
    with pytest.raises(ConfigError, match=message):
        resolve(Config(variables))


@pytest.mark.parametrize(
    'text', ['$', '$5', 'a$b', '$a b', '$HOME/a', '{{a}}']
)
def test_other_text_with_a_dollar_stays(text):
    assert resolve(Config(dict(key=text))).key == text


def test_options_also_go_through_references():
    cfg = Config(dict(a='$b', b=[dict(c='$d', e=1)], d=dict(f=2), g='$b'))
    merge_options(cfg, {'a.0.c.f': 3, 'b.0.e': 4})
    found = resolve(cfg)
    assert found.a[0].to_dict() == dict(c=dict(f=3), e=1)
    assert found.g[0].to_dict() == dict(c=dict(f=2), e=4)
    with pytest.raises(ConfigError, match=r'g refers to \$x'):
        merge_options(Config(dict(g='$x')), {'g.h': 1})


def test_shares_of_the_training_follow_its_length():
    schedule = [
        dict(type='LinearLR', end='1/180', by_epoch=False),
        dict(type='MultiStepLR', milestones=['2/3', 17000], by_epoch=False),
        dict(type='PolyLR', begin='1/180', end=5, by_epoch=False),
    ]
    cfg = Config(
        dict(
            max_iters=18000,
            train_cfg=dict(max_iters='$max_iters'),
            param_scheduler=schedule,
        )
    )
    warmup, steps, rest = resolve(cfg).param_scheduler
    assert (warmup.end, rest.begin, rest.end) == (100, 100, 5)
    assert steps.milestones == [12000, 17000]
    merge_options(cfg, {'max_iters': 60})
    warmup, steps, rest = resolve(cfg).param_scheduler
    assert (warmup.end, steps.milestones) == (1, [40, 17000])


def test_shares_of_epochs_may_be_parts_of_one():
    parts = dict(type='LinearLR', end='1/15', convert_to_iter_based=True)
    cfg = Config(
        dict(
            train_cfg=dict(max_epochs=10),
            param_scheduler=[parts, dict(type='A', milestones=['2/3'])],
        )
    )
    found = resolve(cfg)
    warmup, steps = found.param_scheduler
    # As MMEngine counts iterations, which truncates: 100 of 150 an epoch.
    assert int(warmup.end * 150) == 100 and steps.milestones == [7]
    assert resolve(found).to_dict() == found.to_dict()
    cfg.param_scheduler[0] = dict(type='LinearLR', end='1/2', by_epoch=False)
    with pytest.raises(ConfigError, match='1/2 in LinearLR .*iters is None'):
        resolve(cfg)


def test_all_heads_have_the_classes():
    found = resolve(segmentor(classes=('a', 'b', 'c'))).model
    heads = [found.decode_head, *found.auxiliary_head]
    assert [head.num_classes for head in heads] == [3] * 3
    cfg = detector(classes=('a', 'b'))
    stage = cfg.model.roi_head.bbox_head
    cfg.model.roi_head.update(
        bbox_head=[stage, dict(stage)], mask_head=dict(type='FCNMaskHead')
    )
    head = resolve(cfg).model.roi_head
    counts = [part.num_classes for part in (*head.bbox_head, head.mask_head)]
    assert counts == [2] * 3
    cfg.ood = dict(head=dict(type='mmood.OpenSetRoIHead', unknown_class=True))
    head = resolve(cfg).model.roi_head
    assert [part.num_classes for part in head.bbox_head] == [3, 3]
    detr = dict(type='DETR', bbox_head=dict(type='DETRHead'))
    ood = dict(head=dict(unknown_class=True))
    found = resolve(Config(dict(model=detr, classes=('a', 'b'), ood=ood)))
    assert found.model.bbox_head.num_classes == 3


def test_a_method_goes_into_the_model_and_the_models_own_words_win():
    neck = dict(type='mmood.DFDDNeck', loss_weight=0.1)
    losses = [dict(type='mmood.UncertaintyLoss')]
    cfg = detector(
        ood=dict(
            scores=['energy'],
            losses=losses,
            outliers=dict(type='mmood.BlurredOutliers', start_iter=5),
            neck=neck,
            classifier=dict(type='mmood.DecomposedLinear'),
            rpn_head=dict(type='mmood.OODRPNHead', ood='ignore'),
            optim_wrapper=dict(paramwise_cfg=dict(norm_decay_mult=0)),
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD')),
    )
    cfg.model.roi_head.update(scores=['msp'], outliers=dict(start_iter=7))
    found = resolve(cfg)
    model, head = found.model, found.model.roi_head
    assert (head.type, head.scores) == ('mmood.OODRoIHead', ['msp'])
    assert [loss.to_dict() for loss in head.losses] == losses
    assert head.outliers.to_dict() == dict(
        type='mmood.BlurredOutliers', start_iter=7
    )
    assert head.bbox_head.cls_predictor_cfg.type == 'mmood.DecomposedLinear'
    assert model.neck[0] == cfg.model.neck
    assert model.neck[1].to_dict() == dict(neck, channels=64)
    assert model.rpn_head.to_dict() == dict(
        type='mmood.OODRPNHead', in_channels=64, ood='ignore'
    )
    assert found.optim_wrapper.to_dict() == dict(
        optimizer=dict(type='SGD'), paramwise_cfg=dict(norm_decay_mult=0)
    )
    assert 'ood' not in found and 'ood' in cfg


def test_a_part_of_the_block_that_is_none_is_left_out():
    parts = ('losses', 'outliers', 'neck', 'classifier', 'rpn_head', 'packer')
    parts += ('optim_wrapper', 'train_transforms', 'painted', 'features')
    cfg = detector(ood=dict(dict.fromkeys(parts), scores=['energy']))
    plain = detector(ood=dict(scores=['energy']))
    assert resolve(cfg).to_dict() == resolve(plain).to_dict()


def test_one_flag_freezes_a_backbone_and_keeps_what_it_says():
    cfg = detector(ood=dict(frozen=dict(cache='kept')))
    plain = detector(ood={})
    backbone = resolve(cfg).model.backbone
    assert backbone == dict(
        type='mmood.FrozenBackbone',
        backbone=resolve(plain).model.backbone,
        cache='kept',
    )
    options = [(('ood', 'frozen'), None)]
    assert resolve(cfg, options).model.backbone == backbone.backbone


def test_a_neck_alone_is_as_wide_as_what_the_rpn_sees():
    cfg = detector(ood=dict(neck=dict(type='mmood.DFDDNeck')))
    del cfg.model['neck']
    cfg.model.rpn_head.in_channels = 1024
    assert resolve(cfg).model.neck.channels == 1024
    del cfg.model['rpn_head']
    with pytest.raises(ConfigError, match=r'set ood\.neck\.channels'):
        resolve(cfg)


def test_plain_sets_metrics_and_hooks_become_those_of_a_method():
    cfg = detector(
        ood=dict(scores=['knn'], train_transforms=[dict(type='mmood.Blur')]),
        custom_hooks=[dict(type='EMAHook')],
        default_hooks=dict(check=dict(type='mmood.CheckDataHook')),
        max_fit_images=50,
    )
    found = resolve(cfg)
    assert found.val_evaluator.to_dict() == dict(type='mmood.OODDetMetric')
    assert [hook.type for hook in found.custom_hooks] == [
        'EMAHook',
        'mmood.IdlePartsHook',
        'mmood.FitScoresHook',
        'mmood.CalibrateOODHook',
        'mmood.FiniteLossHook',
    ]
    assert found.custom_hooks[2].max_images == 50
    train = found.train_dataloader.dataset.dataset
    assert train.type == 'mmood.IDCocoDataset'
    kinds = [step.type for step in train.pipeline]
    assert kinds[-2:] == ['mmood.Blur', 'PackDetInputs']
    fit = found.fit_dataloader
    assert (fit.batch_size, fit.num_workers) == (2, 1)
    assert fit.sampler.shuffle and fit.sampler.seed == 0
    images = fit.dataset.to_dict()
    assert images.pop('test_mode') is True
    # The test's pipeline, which reads labels as the training does.
    labels = dict(type='LoadAnnotations', with_bbox=True, poly2mask=False)
    pipeline = [
        step.to_dict() for step in found.val_dataloader.dataset.pipeline
    ]
    assert images.pop('pipeline') == [*pipeline[:2], labels, pipeline[3]]
    assert images == {k: v for k, v in train.to_dict().items() if k in images}


@pytest.mark.parametrize(
    ('own', 'expected'),
    [
        ({}, dict(type='mmood.OODLogProcessor')),
        (
            dict(type='LogProcessor', by_epoch=False),
            dict(type='mmood.OODLogProcessor', by_epoch=False),
        ),
        (dict(type='Other'), dict(type='Other')),
    ],
)
def test_a_method_has_a_log_that_repeats_nothing(own, expected):
    cfg = detector(ood=dict(scores=['energy']), log_processor=own)
    assert resolve(cfg).log_processor == expected
    assert 'log_processor' not in resolve(detector())


@pytest.mark.parametrize('path', SHAPES[:2], ids=lambda path: path.stem)
def test_a_part_of_the_loader_to_fit_on_changes_that_part(path):
    plain = load(path).fit_dataloader
    options = {
        'fit_dataloader.batch_size': 7,
        'fit_dataloader.dataset.data_root': 'mine/',
    }
    found = load(path, options).fit_dataloader
    assert (found.batch_size, found.dataset.data_root) == (7, 'mine/')
    found.batch_size = plain.batch_size
    found.dataset.data_root = plain.dataset.data_root
    assert found == plain


def test_masks_keep_their_metric():
    cfg = detector(ood=dict(scores=['energy']))
    cfg.val_evaluator.metric = ['bbox', 'segm']
    kinds = [metric.type for metric in resolve(cfg).val_evaluator]
    assert kinds == ['CocoMetric', 'mmood.OODDetMetric']


def test_painted_images_join_the_plain_ones():
    cfg = detector(
        ood=dict(
            painted=dict(type='mmood.OODFlagCocoDataset', data_root='p/'),
            painted_share=0.5,
            packer=dict(type='mmood.PackOODInputs'),
        )
    )
    train = resolve(cfg).train_dataloader
    plain, painted = train.dataset.datasets
    assert plain.type == 'RepeatDataset'
    assert painted.metainfo == plain.dataset.metainfo
    assert painted.pipeline == plain.dataset.pipeline
    assert painted.pipeline[-1].type == 'mmood.PackOODInputs'
    assert painted.data_root == 'p/'
    assert train.sampler.to_dict() == dict(
        type='mmood.MixedSampler', painted_share=0.5
    )


def test_features_are_trained_on_in_the_losses_number():
    loss = dict(type='mmood.DenoisingLoss', batch_size=1024)
    cfg = segmentor(ood=dict(scores=['a'], losses=[loss], features={}))
    found = resolve(cfg)
    train = found.train_dataloader.dataset
    assert (train.type, train.vectors) == ('mmood.FeatureDataset', 256)
    assert train.dataset == cfg.train_dataloader.dataset
    model = found.model
    assert model.type == 'mmood.OODEncoderDecoder'
    assert model.data_preprocessor.type == 'mmood.OODSegDataPreProcessor'
    kinds = [metric.type for metric in found.val_evaluator]
    assert kinds == ['IoUMetric', 'mmood.OODSegMetric']
    assert found.custom_hooks[-1].type == 'mmood.CheckFeaturesHook'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(ood=['energy']), 'ood must be a dict'),
        (dict(ood=dict(score=['msp'])), r"keys \['score'\].* scores, losses"),
        (
            dict(ood=dict(rpn_head=dict(type='mmood.OODRPNHead'))),
            'place of an RPNHead, and model.rpn_head is GARPNHead',
        ),
    ],
)
def test_a_block_that_means_nothing_is_refused(change, message):
    cfg = detector(**change)
    cfg.model.rpn_head.type = 'GARPNHead'
    with pytest.raises(ConfigError, match=message):
        resolve(cfg)


@pytest.mark.parametrize('key', ['probe', 'features', 'decode_head'])
def test_a_segmentors_part_on_a_detector_is_refused(key):
    message = rf'ood\.{key} is for segmentors, and the model is a FasterRCNN'
    with pytest.raises(ConfigError, match=message):
        resolve(detector(ood={key: dict(keys=-1)}))


@pytest.mark.parametrize('key', ['classifier', 'rpn_head', 'painted'])
def test_a_detectors_part_on_a_segmentor_is_refused(key):
    message = rf'ood\.{key} is for detectors, and the model is a Enc.*={None}'
    with pytest.raises(ConfigError, match=message):
        resolve(segmentor(ood={key: dict(type='A')}))


def test_a_decode_head_goes_around_the_models_own():
    """Once, and what the model says of it wins."""
    wrapper = dict(type='mmood.GMMSegHead', mixtures=dict(channels=8))
    method = dict(scores=['gmmseg'], decode_head=wrapper)
    cfg = resolve(segmentor(ood=method))
    expected = dict(wrapper, of='FCNHead', num_classes=19)
    assert cfg.model.decode_head.to_dict() == expected
    cfg.ood = dict(
        method, decode_head=dict(wrapper, mixtures=dict(channels=9))
    )
    assert resolve(cfg).model.decode_head.to_dict() == expected


def test_one_class_is_no_text():
    with pytest.raises(ConfigError, match=r"'bolt' is a text: .*\('bolt',\)"):
        resolve(detector(classes='bolt'))


@pytest.mark.parametrize('length', ['3k', 0, None])
def test_a_share_of_no_length_is_refused(length):
    schedule = dict(type='LinearLR', end='1/9', by_epoch=False)
    cfg = Config(
        dict(param_scheduler=schedule, train_cfg=dict(max_iters=length))
    )
    message = f'1/9 in LinearLR .*train_cfg.max_iters is {length!r}: set it'
    with pytest.raises(ConfigError, match=message):
        resolve(cfg)


@pytest.mark.parametrize('share', ['1/0', '4/3'])
def test_what_is_no_share_is_refused(share):
    schedule = dict(type='LinearLR', end=share, by_epoch=False)
    cfg = Config(dict(param_scheduler=schedule, train_cfg=dict(max_iters=9)))
    with pytest.raises(ConfigError, match=f'{share} in LinearLR is no share'):
        resolve(cfg)


def test_a_model_without_an_adapter_is_shown_those_that_have_one():
    model = dict(type='RPN', rpn_head=dict(type='RPNHead'))
    cfg = Config(dict(model=model, ood=dict(scores=['energy'])))
    with pytest.raises(ConfigError, match='RPN with rpn_head RPNHead') as e:
        resolve(cfg)
    assert str(e.value).endswith(support_table())
    cfg.pop('ood')
    assert resolve(cfg).model.to_dict() == model
    for adapter in ADAPTERS:
        assert f'`{adapter.type}`' in support_table()


def test_any_bbox_head_is_named_to_its_adapter():
    model = dict(type='RetinaNet', bbox_head=dict(type='RetinaHead'))
    cfg = dict(model=model, ood=dict(scores=['knn']), classes=('a', 'b'))
    head = resolve(Config(cfg)).model.bbox_head
    assert head.to_dict() == dict(
        type='mmood.OODHead', of='RetinaHead', scores=['knn'], num_classes=2
    )
    again = Config(dict(model=dict(bbox_head=head), ood=cfg['ood']))
    assert resolve(again).model.bbox_head.of == 'RetinaHead'


def test_a_cascade_of_segmentation_heads_has_no_adapter():
    heads = [dict(type='FPNHead'), dict(type='PointHead')]
    model = dict(type='CascadeEncoderDecoder', decode_head=heads)
    cfg = Config(dict(model=model, ood=dict(scores=['energy'])))
    message = 'CascadeEncoderDecoder with decode_head FPN.*, .* PointHead'
    with pytest.raises(ConfigError, match=message) as e:
        resolve(cfg)
    assert str(e.value).endswith(support_table())


def test_the_docs_have_the_table_of_what_is_supported():
    page = (ROOT / 'docs/en/config.md').read_text()
    assert support_table() in page


def test_a_method_beside_a_resolved_config_is_not_forgotten():
    cfg = resolve(detector(ood=dict(scores=['energy'])))
    assert resolve(cfg).to_dict() == cfg.to_dict()
    cfg.ood = dict(losses=[dict(type='mmood.CSILoss')])
    head = resolve(cfg).model.roi_head
    assert (head.scores, head.losses[0].type) == (['energy'], 'mmood.CSILoss')


def test_a_part_of_ours_stays():
    cfg = detector(ood=dict(scores=['msp']))
    cfg.model.roi_head.type = 'mmood.OpenSetRoIHead'
    assert resolve(cfg).model.roi_head.type == 'mmood.OpenSetRoIHead'


@pytest.mark.parametrize('path', SHAPES, ids=lambda path: path.stem)
def test_a_final_config_is_whole_for_tools_of_others(path, tmp_path):
    """It is what ours make of it, and moves on as the recipe says."""
    stock, ours = Config.fromfile(path), load(path)
    assert set(stock) - set(ours) <= {'ood', 'recipe', 'classes'}
    for key in set(ours) - {'resolved'}:
        assert stock[key] == ours[key], key
    assert resolve(stock).to_dict() == ours.to_dict()
    key = 'max_iters' if 'max_iters' in ours else 'max_epochs'
    changed = {key: 30, 'data_root': 'x/', 'ood.scores': ['msp']}
    stock.merge_from_dict(changed)
    expected = load(path, changed)
    assert resolve(stock).to_dict() == expected.to_dict()
    assert expected.train_cfg[key] == 30
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = '{path}'\ndata_root = 'y/'\n{key} = 40\n")
    found = load(child)
    assert found.train_cfg[key] == 40
    train = found.train_dataloader.dataset
    while 'data_root' not in train:
        train = train.get('dataset') or train.datasets[0]
    assert (train.data_root, found.val_dataloader.dataset.data_root) == (
        'y/',
        'y/',
    )


@pytest.mark.parametrize('path', SHAPES, ids=lambda path: path.stem)
def test_a_written_config_is_the_same_again(path, tmp_path):
    """What a training leaves in its work folder needs nobody to resolve it."""
    found = load(path)
    found.dump(tmp_path / 'written.py')
    again = Config.fromfile(tmp_path / 'written.py')
    assert resolve(again).to_dict() == again.to_dict() == found.to_dict()
    assert not re.search(
        r"'\$[A-Za-z_]", Path(tmp_path / 'written.py').read_text()
    )


PASTE = dict(type='mmood.PasteOutliers', source=dict(type='A'))


def with_outliers(fit=None, steps=None, **more) -> Config:
    steps = steps or [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(9, 9)),
        dict(type='mmood.LoadIDAnnotations'),
        dict(type='PackSegInputs'),
    ]
    fit = dict(transforms=[PASTE]) if fit is None else fit
    cfg = segmentor(ood=dict(scores=['energy'], outlier_fit=fit), **more)
    cfg.val_dataloader.dataset.pipeline = steps
    return cfg


def test_outliers_are_pasted_into_the_validation_images():
    """Where image and labels have one size, in a loader of its own."""
    cfg = with_outliers()
    found = resolve(cfg)
    steps = found.outlier_dataloader.dataset.pipeline
    assert [step.type for step in steps] == [
        'LoadImageFromFile',
        'mmood.LoadIDAnnotations',
        'mmood.PasteOutliers',
        'Resize',
        'PackSegInputs',
    ]
    assert steps[2] == PASTE
    assert found.val_dataloader == cfg.val_dataloader
    rest = dict(found.outlier_dataloader)
    rest['dataset'] = cfg.val_dataloader.dataset
    assert rest == cfg.val_dataloader
    assert 'outlier_dataloader' not in resolve(segmentor(ood={}))


def test_what_a_config_says_of_the_loader_of_outliers_stays():
    cfg = with_outliers(outlier_dataloader=dict(batch_size=7))
    found = resolve(cfg, [(('outlier_dataloader', 'num_workers'), 3)])
    assert found.outlier_dataloader.batch_size == 7
    assert found.outlier_dataloader.num_workers == 3
    assert found.val_dataloader.batch_size == 4


@pytest.mark.parametrize('transforms', [None, [], 'paste', PASTE])
def test_outliers_without_transforms(transforms):
    with pytest.raises(ConfigError, match='outlier_fit.transforms is .*: li'):
        resolve(with_outliers(dict(transforms=transforms)))


def test_outliers_without_images_to_paste_them_into():
    cfg = with_outliers()
    cfg.pop('val_dataloader')
    with pytest.raises(ConfigError, match='no val_dataloader: add it'):
        resolve(cfg)
    with pytest.raises(ConfigError, match='outlier_fit is for segmentors'):
        resolve(detector(ood=dict(outlier_fit=dict(transforms=[PASTE]))))


def test_outliers_come_before_colours_change_by_a_sampler_that_tells_epochs():
    paste = dict(type='mmood.PasteOutliers', prob=0.5)
    blur = dict(type='mmood.Blur')
    path = ROOT / 'configs/posthoc/fcn_lite0_1k_shapes.py'
    colours = dict(type='mmseg.PhotoMetricDistortion')
    changes = [
        (('ood', 'train_transforms'), [paste, blur]),
        (('flip_pipeline', 2), colours),
    ]
    cfg = resolve(Config.fromfile(path), changes)
    steps = cfg.train_dataloader.dataset.pipeline
    kinds = [step.type.split('.')[-1] for step in steps]
    assert kinds[2:] == [
        'PasteOutliers', 'PhotoMetricDistortion', 'Blur', 'PackSegInputs',
    ]  # fmt: skip
    sampler = cfg.train_dataloader.sampler
    assert sampler.type == 'mmood.InfiniteEpochSampler' and sampler.shuffle
    plain = load(path).train_dataloader.sampler
    assert plain.type == 'InfiniteSampler'
    assert 'PasteOutliers' not in str(cfg.fit_dataloader)
