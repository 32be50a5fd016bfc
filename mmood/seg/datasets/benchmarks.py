"""Benchmarks of OOD segmentation.

Docstrings say where files lie under ``data_root``: "verified" in the code
they name, or "expected here", where no code that reads the publisher's files
was found. Numbers of frames are not enforced.
"""

from __future__ import annotations

import os.path as osp

from mmood.registry import DATASETS

from .ood_seg import OODSegDataset, Preset

_PLAIN = dict(img_path='images', seg_map_path='labels_masks')


@DATASETS.register_module()
class RoadAnomalyDataset(Preset, OODSegDataset):
    """RoadAnomaly, 60 frames of unusual objects on and near roads.

    Layout (verified: DOoD, RbA): ``frames/NAME.jpg`` and
    ``frames/NAME.labels/labels_semantic.png``.
    Ids: 2 OOD, the others (0) ID, 255 ignored.
    Source: Lis et al., "Detecting the Unexpected via Image Resynthesis",
    ICCV 2019; the site of EPFL's CVLab.
    """

    defaults = dict(
        name='road_anomaly',
        data_prefix=dict(img_path='frames', seg_map_path='frames'),
        seg_map_suffix='.labels/labels_semantic.png',
        ood_ids=(2,),
    )


@DATASETS.register_module()
class FishyscapesDataset(Preset, OODSegDataset):
    """Fishyscapes Static (30 frames) or Lost & Found (100), validation.

    Layout (expected here, and how some repositories pass the sets on):
    ``images/NAME.png`` and ``labels_masks/NAME.png``; for JPEG images set
    ``img_suffix='.jpg'``. The publisher's Static files are overlays to be
    added to Cityscapes images (docs/en/dataset_prepare.md).
    Ids: 0 ID, 1 OOD, 255 ignored. 10 of Static's frames have no OOD pixel.
    Source: Blum et al., "The Fishyscapes Benchmark", IJCV 2021.
    As these are two sets, ``name`` has to be given.
    """

    defaults = dict(data_prefix=_PLAIN, img_suffix='.png')

    def __init__(self, *args, name: str | None = None, **kwargs) -> None:
        if name is None:
            raise ValueError(
                'FishyscapesDataset is for two sets: say which one it is by '
                "name='fs_static' or name='fs_lost_and_found'"
            )
        super().__init__(*args, name=name, **kwargs)


@DATASETS.register_module()
class FishyscapesLostAndFoundDataset(Preset, OODSegDataset):
    """Fishyscapes Lost & Found validation, 100 frames, as published.

    Layout (verified: the loaders of PyTorch-OOD and RbA): labels
    ``fishyscapes_lostandfound/NUMBER_FRAME_labels.png``, and the images of
    Lost and Found, ``leftImg8bit/**/FRAME_leftImg8bit.png``.
    Ids and source: as ``FishyscapesDataset``.
    """

    defaults = dict(
        name='fs_lost_and_found',
        data_prefix=dict(
            img_path='leftImg8bit', seg_map_path='fishyscapes_lostandfound'
        ),
        img_suffix='_leftImg8bit.png',
        seg_map_suffix='_labels.png',
    )

    def find_files(self) -> list[dict]:
        images: dict[str, str] = {}
        for path in self.named_images().values():
            frame = osp.basename(path)[: -len(self.img_suffix)]
            if frame in images:
                raise ValueError(
                    f'{images[frame]} and {path} are of one frame; remove one'
                )
            images[frame] = path
        pairs = []
        for name, label in self.named_labels().items():
            frame = osp.basename(name).partition('_')[2]
            if frame not in images:
                raise FileNotFoundError(
                    f'{osp.basename(label)} has no image '
                    f'{frame}{self.img_suffix} in '
                    f'{self.data_prefix["img_path"]}; it needs the images of '
                    'Lost and Found, both train and test'
                )
            pairs.append(self.pair(images[frame], label))
        return pairs


@DATASETS.register_module()
class AnomalyTrackDataset(Preset, OODSegDataset):
    """SegmentMeIfYouCan AnomalyTrack (RoadAnomaly21), 10 labelled frames.

    Layout (verified: the benchmark's kit): ``images/NAME.jpg`` and
    ``labels_masks/NAME_labels_semantic.png``. Only the frames whose names
    start with ``validation`` have labels; the 100 of the test are left out.
    Ids: 0 ID, 1 OOD, 255 ignored.
    Source: Chan et al., "SegmentMeIfYouCan: A Benchmark for Anomaly
    Segmentation", NeurIPS 2021 Datasets and Benchmarks.
    """

    defaults = dict(
        name='anomaly_track',
        data_prefix=_PLAIN,
        seg_map_suffix='_labels_semantic.png',
        name_pattern='validation',
    )


@DATASETS.register_module()
class ObstacleTrackDataset(Preset, OODSegDataset):
    """SegmentMeIfYouCan ObstacleTrack (RoadObstacle21), 30 labelled frames.

    Layout, ids and source: as ``AnomalyTrackDataset``, but the images are
    ``.webp``. As in the benchmark's kit, the validation frames numbered 19
    and 21 to 29 do not count.
    """

    defaults = dict(
        name='obstacle_track',
        data_prefix=_PLAIN,
        img_suffix='.webp',
        seg_map_suffix='_labels_semantic.png',
        name_pattern='validation_(?!19|2[1-9])',
    )


@DATASETS.register_module()
class LostAndFoundNoKnownDataset(Preset, OODSegDataset):
    """Lost and Found, test frames without known objects (1043 frames).

    Layout (verified: SegmentMeIfYouCan's kit):
    ``leftImg8bit/test/SCENE/NAME_leftImg8bit.png`` and
    ``gtCoarse/test/SCENE/NAME_gtCoarse_labelIds.png``.
    Ids: 1 (road) ID, 2 to 200 OOD, all others (not on the road) ignored.
    "NoKnown", by the same kit: of the 1203 test frames, those of scene 15
    (children) and three sequences with bicycles are left out, which
    ``name_pattern`` does, and so are 17 frames without any label. Some of
    these stay here, up to 17 above 1043; with all pixels ignored they change
    no pixel metric. For the exact frames, give a file with their names
    (``SCENE/NAME``, one a line) as ``ann_file``.
    Source: Pinggera et al., "Lost and Found: Detecting Small Road Hazards
    for Self-Driving Vehicles", IROS 2016.
    """

    defaults = dict(
        name='lost_and_found',
        data_prefix=dict(
            img_path='leftImg8bit/test', seg_map_path='gtCoarse/test'
        ),
        img_suffix='_leftImg8bit.png',
        seg_map_suffix='_gtCoarse_labelIds.png',
        ood_ids=range(2, 201),
        ignore_ids=(0, 255),
        id_ids=(1,),
        name_pattern='(?!15_Rechbergstr_Deckenpfronn|10_Schlossberg_9_000004'
        '|01_Hanns_Klemm_Str_45_00000[67])',
    )


@DATASETS.register_module()
class ADEOoDDataset(Preset, OODSegDataset):
    """ADE-OoD, 111 images of indoor and outdoor scenes; ID is ADE20k.

    Layout (verified: the benchmark's code and DOoD's config):
    ``images/NAME.jpg`` and ``annotations/NAME_mask.png``.
    tools/dataset_converters/build_ood_seg_set.py writes the same.
    Ids: 1 OOD, 255 ignored, the others (0) ID.
    Source: Galesso et al., "Diffusion for Out-of-Distribution Detection on
    Road Scenes and Beyond", ECCV 2024; ade-ood.github.io.
    """

    defaults = dict(
        name='ade_ood',
        data_prefix=dict(img_path='images', seg_map_path='annotations'),
        seg_map_suffix='_mask.png',
    )


@DATASETS.register_module()
class WDPascalDataset(Preset, OODSegDataset):
    """WD-Pascal: animals of PASCAL VOC 2007 pasted into WildDash val (70).

    Its code pastes at random while testing and writes no files, so copies
    differ. Layout (expected here): ``images/*.png``, ``labels_masks/*.png``.
    Ids: 0 ID, 1 OOD, 255 ignored.
    Source: Bevandić et al., "Simultaneous Semantic Segmentation and Outlier
    Detection in Presence of Domain Shift", GCPR 2019.
    """

    defaults = dict(name='wd_pascal', data_prefix=_PLAIN, img_suffix='.png')


@DATASETS.register_module()
class DLRSDDataset(Preset, OODSegDataset):
    """DLRSD, 2100 aerial images (256 px), tested after training on WHDLD.

    Layout (verified: few-shot loaders, which differ in the labels' folder):
    ``UCMerced_LandUse/Images/CLASS/NAME.tif``, ``DLRSD/Images/CLASS/*.png``.
    Ids: OOD are the classes that only DLRSD has, airplane (1), cars (4),
    court (6), sand (12), ship (14), tanks (15); the others up to 17 are ID;
    0 and 255 are ignored.
    Source: Shao et al., "Performance Evaluation of Single-Label and
    Multi-Label Remote Sensing Image Retrieval Using a Dense Labeling
    Dataset", Remote Sensing 2018; the split is DOoD's, Appendix F.
    """

    defaults = dict(
        name='dlrsd',
        data_prefix=dict(
            img_path='UCMerced_LandUse/Images', seg_map_path='DLRSD/Images'
        ),
        img_suffix='.tif',
        ood_ids=(1, 4, 6, 12, 14, 15),
        ignore_ids=(0, 255),
    )
