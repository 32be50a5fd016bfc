"""LoadIDAnnotations is mmseg's LoadAnnotations where that is right."""

import numpy as np
import pytest
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from mmood.registry import DATASETS
from mmood.seg.datasets import LoadIDAnnotations

IDS = np.array([[0, 1, 2], [3, 254, 255]], np.uint8)


def sample(path, size=(2, 3), **more):
    defaults = dict(
        seg_map_path=str(path),
        ori_shape=size,
        reduce_zero_label=False,
        label_map=None,
        seg_fields=[],
    )
    return {**defaults, **more}


@pytest.mark.parametrize(
    'more',
    [{}, dict(reduce_zero_label=True), dict(label_map={1: 0, 2: 255})],
)
def test_labels_are_the_parents(tmp_path, more):
    path = tmp_path / 'a.png'
    Image.fromarray(IDS).save(path)
    expected = LoadAnnotations()(sample(path, **more))
    result = LoadIDAnnotations()(sample(path, **more))
    assert result['gt_seg_map'].tolist() == expected['gt_seg_map'].tolist()
    assert result['seg_fields'] == ['gt_seg_map']


def test_a_picture_beyond_pillows_limit(tmp_path, monkeypatch):
    path = tmp_path / 'a.png'
    Image.fromarray(IDS).save(path)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1)
    result = LoadIDAnnotations()(sample(path))
    assert result['gt_seg_map'].tolist() == IDS.tolist()


@pytest.mark.parametrize(
    ('ids', 'message'),
    [
        (
            IDS.astype(np.int32) + 1,
            'holds labels from 1 to 256; ids must be in',
        ),
        (IDS.astype(np.float32) / 2, 'holds 0.5, where ids are whole'),
        (np.dstack([IDS] * 3), 'has 3 channels'),
        (IDS.T.copy(), r'has \(3, 2\) pixels .* its image \(2, 3\)'),
    ],
)
def test_what_the_parent_would_misread(tmp_path, ids, message):
    path = tmp_path / 'a.tif'
    Image.fromarray(ids).save(path)
    with pytest.raises(ValueError, match=f'a.tif {message}'):
        LoadIDAnnotations()(sample(path))


def test_ids_without_a_class(tmp_path):
    """Those of the set, after its mapping; 255 is none."""
    path = tmp_path / 'a.png'
    Image.fromarray(np.array([[0, 3, 255]], np.uint8)).save(path)
    size, load = (1, 3), LoadIDAnnotations()
    for more in (
        dict(num_classes=4),
        dict(num_classes=0),  # a set that names none
        dict(num_classes=3, label_map={3: 255}),
    ):
        assert load(sample(path, size, **more))['gt_seg_map'].shape == size
    with pytest.raises(ValueError, match='a.png has pixels of class 3, and '):
        load(sample(path, size, num_classes=3))


def test_own_classes(tmp_path):
    for part, suffix in (('images', 'jpg'), ('labels', 'png')):
        (tmp_path / part).mkdir()
        Image.fromarray(IDS % 4).save(tmp_path / part / f'a.{suffix}')

    def build(classes):
        return DATASETS.build(
            dict(
                type='mmood.IDSegDataset',
                data_root=str(tmp_path),
                data_prefix=dict(img_path='images', seg_map_path='labels'),
                metainfo=dict(classes=classes),
                pipeline=[LoadIDAnnotations()],
                serialize_data=False,
            )
        )

    with pytest.raises(ValueError, match='class 3, and the set has 3 classes'):
        build(('bolt', 'nut', 'washer'))[0]
    with pytest.raises(ValueError, match="must be a list .*got 'bolt'"):
        build('bolt')  # not four classes of a letter
    with pytest.raises(ValueError, match=r"names \['nut'\] more than once"):
        build(('bolt', 'nut', 'nut'))


def test_a_backend_that_gives_colours_for_ids(tmp_path):
    picture = Image.fromarray(IDS, 'P')
    picture.putpalette(list(range(255, -1, -1)) * 3)
    picture.save(tmp_path / 'a.png')
    result = LoadIDAnnotations()(sample(tmp_path / 'a.png'))
    assert result['gt_seg_map'].tolist() == IDS.tolist()
    load = LoadIDAnnotations(imdecode_backend='cv2')
    with pytest.raises(ValueError, match="a.png is a palette .*use 'pillow'"):
        load(sample(tmp_path / 'a.png'))
