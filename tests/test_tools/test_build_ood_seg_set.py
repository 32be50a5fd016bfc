"""The tool that makes an OOD segmentation set from a labelled one."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from mmseg.datasets.transforms import PackSegInputs
from PIL import Image

from helpers import SHARED
from mmood.seg.datasets import ADEOoDDataset, LoadOODAnnotations

TOOLS = Path(__file__).parents[2] / 'tools' / 'dataset_converters'
sys.path.insert(0, str(TOOLS))
masks, tool = map(
    importlib.import_module, ('ood_seg_masks', 'build_ood_seg_set')
)


def square(size=40, top=10, side=20, inside=0, outside=3):
    labels = np.full((size, size), outside, np.uint8)
    labels[top : top + side, top : top + side] = inside
    return labels


def write(root, name, labels, suffix='.jpg'):
    """An image and its labels; the image is as bright as the set is large."""
    for folder in ('images', 'labels'):
        (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
    grey = len(list((root / 'images').rglob('*'))) * 10
    image = np.full((*labels.shape[:2], 3), grey, np.uint8)
    Image.fromarray(image).save(root / 'images' / f'{name}{suffix}')
    Image.fromarray(labels).save(root / 'labels' / f'{name}.png')


@pytest.fixture
def source(tmp_path):
    """OOD shares 0.25, 0.25, 0.0625 and 0, in 40 x 40 pixels."""
    root = tmp_path / 'source'
    write(root, 'a', square())
    write(root, 'b', square(outside=4))
    write(root, 'c', square(side=10))
    write(root, 'd', square(inside=5))
    return root


def run(root, out, *options, radii=0):
    arguments = [root / 'images', root / 'labels', '--out', out]
    arguments += ['--unlabelled-ids', 0, '--min-region', 1]
    for name in ('opening', 'closing', 'dilation'):
        arguments += [f'--{name}', radii]
    tool.main([str(a) for a in [*arguments, *options]])
    return json.loads((out / 'statistics.json').read_text())


def files(out):
    return sorted(
        p.relative_to(out).as_posix() for p in out.rglob('*') if p.is_file()
    )


def images(out):
    return sorted(p.stem for p in (out / 'images').rglob('*.*'))


def test_a_set_is_made_and_loaded(source, tmp_path, capsys):
    write(source, 'sub/e & f', square(top=0))
    out = tmp_path / 'out'
    report = run(source, out, '--min-share', 0.1, radii=2)
    names = ['a', 'b', 'sub/e & f']
    rejected = {'OOD share below --min-share': 1, 'no OOD region': 1}
    assert report['images'] == 3
    assert report['images rejected'] == rejected
    assert files(out) == sorted(
        [
            *(f'images/{n}.jpg' for n in names),
            *(f'annotations/{n}_mask.png' for n in names),
            *(f'review/previews/{n}.jpg' for n in names),
            *('records.jsonl', 'statistics.json'),
            *('review/index.html', 'review/sheet_001.png'),
        ]
    )
    page = (out / 'review' / 'index.html').read_text()
    assert 'previews/sub/e%20%26%20f.jpg' in page and 'e &amp; f<br>' in page
    assert 'mmood.ADEOoDDataset' in capsys.readouterr().out
    for name in names:
        copy, original = out / 'images', source / 'images'
        assert (copy / f'{name}.jpg').read_bytes() == (
            original / f'{name}.jpg'
        ).read_bytes()
    dataset = ADEOoDDataset(
        data_root=str(out), pipeline=[LoadOODAnnotations(), PackSegInputs()]
    )
    assert len(dataset) == 3
    expected = masks.refine(square(), [0], opening=2, closing=2, dilation=2)
    labels = dataset[0]['data_samples'].gt_sem_seg.data[0]
    np.testing.assert_array_equal(labels, expected)
    assert set(np.unique(expected)) == {0, 1, 255}


def test_thirteen_previews_make_two_sheets(source, tmp_path):
    for i in range(11):
        write(source, f'ü{i}', square())
    run(source, tmp_path / 'out', '--min-share', 0.1)
    sheets = sorted((tmp_path / 'out' / 'review').glob('*.png'))
    assert [s.name for s in sheets] == ['sheet_001.png', 'sheet_002.png']
    run(source, tmp_path / 'out', '--min-share', 0.1, '--limit', 12)
    assert len(list((tmp_path / 'out' / 'review').glob('*.png'))) == 1


def test_images_of_another_format_keep_it(tmp_path, capsys):
    write(tmp_path / 'source', 'x_leftImg', square(), '.png')
    labels = tmp_path / 'source' / 'labels'
    (labels / 'x_leftImg.png').rename(labels / 'x_ids.png')
    options = ['--img-suffix', '_leftImg.png', '--seg-map-suffix', '_ids.png']
    run(tmp_path / 'source', tmp_path / 'out', *options)
    assert files(tmp_path / 'out')[:2] == [
        'annotations/x_mask.png',
        'images/x.png',
    ]
    assert "img_suffix='.png'" in capsys.readouterr().out


def test_a_stopped_run_goes_on(source, tmp_path, monkeypatch):
    out, whole = tmp_path / 'out', tmp_path / 'whole'
    expected = run(source, whole)
    save, calls = Image.Image.save, []

    def stop(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 5:  # in the mask of the third image
            arguments[0].write(b'half')
            raise KeyboardInterrupt
        save(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, 'save', stop)
        with pytest.raises(KeyboardInterrupt):
            run(source, out)
    assert images(out) == ['a', 'b']
    assert not list(out.rglob('*.part'))
    with (out / 'records.jsonl').open('a') as file:
        file.write('{"name": "d", "sha')
    seen = []
    monkeypatch.setattr(
        tool, 'describe', lambda *a: seen.append(1) or masks.describe(*a)
    )
    assert run(source, out) == expected
    assert len(seen) == 1  # d alone: a, b and c were recorded
    assert files(out) == files(whole)
    for name in files(whole):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    seen.clear()
    assert run(source, out) == expected and not seen


def test_reject_accept_and_limit(source, tmp_path, capsys):
    out, names = tmp_path / 'out', tmp_path / 'names.txt'
    names.write_text('# ambiguous\nb.jpg  # a mirror\n\nq\n')
    assert run(source, out)['images'] == 3
    report = run(source, out, '--reject', names)
    assert images(out) == ['a', 'c']
    assert report['images rejected'] == {'by --reject': 1, 'no OOD region': 1}
    assert 'names of no image: q' in capsys.readouterr().out
    run(source, out, '--reject', names, '--limit', 1)
    assert images(out) == ['a']
    run(source, out, '--accept', names)
    assert images(out) == ['b'] and len(files(out)) == 7
    run(source, out)
    assert images(out) == ['a', 'b', 'c']
    names.write_text('')
    with pytest.raises(SystemExit, match="'not in --accept': 4"):
        run(source, out, '--accept', names)


def test_other_radii_make_other_masks(source, tmp_path):
    out = tmp_path / 'out'
    for radii, ignored in ((0, 0), (3, 1)):
        run(source, out, radii=radii)
        with Image.open(out / 'annotations' / 'a_mask.png') as mask:
            assert (np.asarray(mask) == 255).any() == ignored


def test_pictures_that_cannot_be_used(source, tmp_path):
    broken = source / 'images' / 'a.jpg'
    broken.write_bytes(broken.read_bytes()[:200])
    Image.new('RGB', (20, 40)).save(source / 'images' / 'c.jpg')
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    labels = np.zeros((40, 20), np.uint8)
    labels[:20] = 8
    write(source, 'turned', labels)
    turned = Image.new('RGB', (40, 20))
    turned.save(source / 'images' / 'turned.jpg', exif=exif)
    report = run(source, tmp_path / 'out')
    assert images(tmp_path / 'out') == ['b', 'turned']
    assert report['images rejected'] == {
        'image or label not readable': 1,
        'image and label differ in size': 1,
        'no OOD region': 1,
    }


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--min-share', '0.5'], 'go from 0.0625 to 0.2500.* 100 to 400 pix'),
        (['--min-region', '500'], '--min-region.: 3.*lower --min-share or'),
        (['--unlabelled-ids', '77'], 'no image has an OOD region'),
        (['--img-suffix', '.tif'], r'no \*.tif in .*--img-suffix\?'),
        (['--seg-map-suffix', '_l.png'], '4 of 4 images have no label .*a_l'),
        (['--reject', 'nowhere.txt'], '--reject: no such file: nowhere.txt'),
    ],
)
def test_errors(source, tmp_path, options, message):
    with pytest.raises(SystemExit, match=message):
        run(source, tmp_path / 'out', *options)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--min-share', '1.5'], '--min-share must be in 0..1, got 1.5'),
        (['--dilation', '-1'], '--dilation is negative: -1'),
        (['--limit', '0'], '--limit must be positive, got 0'),
        (['--ignore-ids', '0'], '--ignore-ids share {0}'),
    ],
)
def test_arguments(source, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit):
        run(source, tmp_path / 'out', *options)
    assert message in capsys.readouterr().err


def test_labels_in_colours(source, tmp_path):
    Image.new('RGB', (40, 40)).save(source / 'labels' / 'b.png')
    with pytest.raises(SystemExit, match='labels: .*b.png has 3 channels'):
        run(source, tmp_path / 'out')


def test_links_suffixes_and_files_of_one_name(source, tmp_path):
    """All are taken, under the suffix of the option; none over another."""
    other, out = tmp_path / 'other', tmp_path / 'out'
    write(other, 'f', square(), '.JPG')
    for part in ('images', 'labels'):
        (source / part / 'more').symlink_to(other / part)
        (other / part / 'up').symlink_to(source / part)
        (source / part / '._a.jpg').write_bytes(b'')
    run(source, out)
    assert images(out) == ['a', 'b', 'c', 'f']
    assert (out / 'images/more/f.jpg').is_file()
    write(other, 'f', square())
    with pytest.raises(SystemExit, match=r"more/f.JPG .* name, 'more/f'"):
        run(source, out)


def test_files_of_others_are_safe(source, tmp_path):
    for out in (source, source / 'images', source / 'labels' / 'new'):
        with pytest.raises(SystemExit, match='overlap; take a new folder'):
            run(source, out)
    write(tmp_path / 'copy', 'a', square())
    with pytest.raises(SystemExit, match='has files of others'):
        run(source, tmp_path / 'copy')
    assert images(source) == ['a', 'b', 'c', 'd']
    assert images(tmp_path / 'copy') == ['a']


def test_real_data(tmp_path):
    root = SHARED / 'camvid'
    if not root.is_dir():
        pytest.skip(f'{root} is not there')
    out = tmp_path / 'out'
    arguments = [root / 'images/val', root / 'labels/val', '--out', out]
    arguments += ['--unlabelled-ids', 11, '--min-share', 0.02, '--limit', 5]
    tool.main([str(a) for a in arguments])
    dataset = ADEOoDDataset(
        data_root=str(out), pipeline=[LoadOODAnnotations()]
    )
    labels = [dataset[i]['gt_seg_map'] for i in range(len(dataset))]
    assert len(labels) == 5
    assert all((x == 1).mean() >= 0.02 for x in labels)
