"""Which folders are reported on, and what is said of the others."""

from pathlib import Path

import pytest

from mmood.visualization.report import NoTestError
from mmood.visualization.report.runs import facts_of, find_runs, run_names


@pytest.mark.parametrize(
    ('files', 'reason'),
    [
        ((), 'has no test'),
        (('epoch_2.pth',), 'was trained only, or the test was broken off'),
        (('ood/ood_scores_energy.npz',), 'the test was broken off'),
        (('ood/metrics.json',), 'left no details.json'),
    ],
)
def test_folders_without_a_finished_test(tmp_path, files, reason):
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('{}')
    with pytest.raises(NoTestError, match=reason) as error:
        find_runs([tmp_path])
    # The remedy is a command.
    assert f'tools/test.py CONFIG CHECKPOINT --out-dir {tmp_path}' in str(
        error.value
    )


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        find_runs([tmp_path / 'nowhere'])


def test_a_file_that_is_cut_off(box_test):
    folder, _ = box_test()
    (folder / 'metrics.json').write_text('{"a": ')
    with pytest.raises(NoTestError, match='is no JSON'):
        find_runs([folder])


def test_each_test_once_in_the_order_given(box_test, tmp_path):
    box_test('b/seed_0/ood', images=1)
    box_test('b/seed_1/ood', images=1)
    box_test('a/ood', images=1)
    runs = find_runs([tmp_path / 'b', tmp_path / 'a', tmp_path])
    assert [run.name for run in runs] == ['b/seed_0', 'b/seed_1', 'a']
    assert runs[0].sets == ['far', 'near']


def test_boxes_and_pixels_do_not_share_a_page(box_test, pixel_test, tmp_path):
    box_test('a/ood', images=1)
    pixel_test('b/ood')
    with pytest.raises(NoTestError, match='make one of each'):
        find_runs([tmp_path])


def test_names_that_are_alike_are_whole_paths():
    paths = [Path('/x/demo/ood'), Path('/y/demo/ood'), Path('/z/ood')]
    assert run_names(paths) == ['/x/demo/ood', '/y/demo/ood', 'z']
    paths = [Path('/t/a/seed_0/ood_smiyc'), Path('/t/a/seed_0/ood')]
    assert run_names(paths) == ['a/seed_0 (smiyc)', 'a/seed_0']


def test_what_it_was_made_with(box_test):
    folder, _ = box_test()
    (run,) = find_runs([folder])
    facts = dict(facts_of(run))
    assert facts['SHA-256 of it'] == 'ab' * 32
    assert facts['Seed of the training'] == '7'
    assert facts['Seed of the test'] == '3'
    assert facts['Trained until'] == 'epoch 2, iteration 90'
    assert facts['Versions'] == 'mmood 0.2.0, torch 2.13.0'
    (folder / 'run.json').unlink()
    (run,) = find_runs([folder])
    assert 'Seed of the test' not in dict(facts_of(run))
