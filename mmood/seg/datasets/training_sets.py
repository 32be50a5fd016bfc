"""Sets to train on for some of the benchmarks.

What docstrings say of files: see `benchmarks`.
"""

from __future__ import annotations

from mmood.generation import ID as SHAPES
from mmood.registry import DATASETS

from .ood_seg import OriginSegDataset, Preset


@DATASETS.register_module()
class WHDLDDataset(Preset, OriginSegDataset):
    """WHDLD, 4940 satellite images (256 px); the ID set of DLRSD.

    Layout (expected here): images ``*.jpg`` and labels ``*.png`` of the same
    name in the folders of ``data_prefix``.
    Ids: 1 to 6 are the classes in this order, 0 is ignored.
    Source: Shao et al., "Multilabel Remote Sensing Image Retrieval Based on
    Fully Convolutional Network", IEEE JSTARS 2020.
    """

    METAINFO = dict(
        classes=('building', 'road', 'pavement', 'vegetation', 'bare soil',
                 'water'),
        palette=[[255, 0, 0], [255, 255, 0], [192, 192, 0], [0, 255, 0],
                 [128, 128, 128], [0, 0, 255]],
    )  # fmt: skip
    defaults = dict(reduce_zero_label=True)


@DATASETS.register_module()
class CamVidDataset(OriginSegDataset):
    """CamVid road scenes in 11 classes (367 train, 101 val, 233 test).

    Layout (expected here): ``images/PART/NAME.jpg`` and
    ``labels/PART/NAME.png``, PART being train, val or test.
    Ids: 0 to 10 are the classes in this order; 11, void, becomes 255, which
    mmseg's losses and metrics ignore.
    Source: Brostow et al., "Semantic object classes in video", Pattern
    Recognition Letters 2009, in the 480 x 360 form of SegNet.
    """

    METAINFO = dict(
        classes=('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree',
                 'SignSymbol', 'Fence', 'Car', 'Pedestrian', 'Bicyclist'),
        palette=[[128, 128, 128], [128, 0, 0], [192, 192, 128],
                 [128, 64, 128], [60, 40, 222], [128, 128, 0],
                 [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0],
                 [0, 128, 192]],
    )  # fmt: skip

    @classmethod
    def get_label_map(cls, new_classes=None) -> dict[int, int]:
        return {**(super().get_label_map(new_classes) or {}), 11: 255}


@DATASETS.register_module()
class ShapesSegDataset(Preset, OriginSegDataset):
    """ID part of Shapes, made by tools/dataset_converters/shapes.py.

    Layout: ``images/*.png`` and ``semantic/*.png`` in each of train, val and
    test. Ids: 0 background, 1 to 8 the classes in this order. The parts near
    (9 to 14 OOD) and far (15 to 20 OOD) are for ``OODSegDataset``.
    """

    METAINFO = dict(
        classes=('background', *SHAPES),
        palette=[[0, 0, 0], [230, 25, 75], [60, 180, 75], [255, 225, 25],
                 [0, 130, 200], [245, 130, 48], [145, 30, 180],
                 [70, 240, 240], [240, 50, 230]],
    )  # fmt: skip
    defaults = dict(
        data_prefix=dict(img_path='images', seg_map_path='semantic'),
        img_suffix='.png',
    )
