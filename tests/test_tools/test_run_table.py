import importlib.util
import json
import sys

import pytest

from helpers import ROOT, run

PATH = ROOT / 'tools/analysis_tools/run_table.py'


def load():
    spec = importlib.util.spec_from_file_location('run_table', PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def metrics(auroc):
    row = dict(FPR95=0.5, AUROC=auroc, AUPR=0.7, recall=0.2, flagged=0.1)
    return {
        'bbox_mAP': 0.4,
        **{f'near/energy/{key}': value for key, value in row.items()},
    }


def test_finished_runs_are_only_read(tmp_path):
    config = ROOT / 'configs/posthoc/faster-rcnn_r18_fpn_shapes.py'
    for seed, auroc in ((0, 0.8), (1, 0.9)):
        folder = tmp_path / config.stem / f'seed_{seed}/ood'
        folder.mkdir(parents=True)
        (folder / 'metrics.json').write_text(json.dumps(metrics(auroc)))
    output = run(
        sys.executable, PATH, config, '--seeds', 0, 1, '--out', tmp_path
    )
    # The sample deviation of 80 and 90 is 7.07.
    assert '| 85.0 ± 7.1 |' in output
    assert '[2/2] faster-rcnn_r18_fpn_shapes, seed 1' in output


def test_one_seed_has_no_deviation():
    columns, (row,) = load().summarize([metrics(0.8)])
    assert columns[:2] == ['ID mAP', 'FPR95']
    assert row[:4] == ['energy', 'near', '40.0 ± nan', '50.0 ± nan']


def test_segmentation_has_its_own_columns(tmp_path):
    config = ROOT / 'configs/dood/dood_segmenter_vit_1k_shapes.py'
    row = dict(AP=0.5, AUROC=0.75, FPR95=0.25, Fmax=0.6)
    content = {f'far/compound/{key}': value for key, value in row.items()}
    folder = tmp_path / config.stem / 'seed_0/ood_plain'
    folder.mkdir(parents=True)
    (folder / 'metrics.json').write_text(json.dumps(content))
    options = ('--seeds', 0, '--tag', 'plain', '--format', 'tsv')
    output = run(sys.executable, PATH, config, *options, '--out', tmp_path)
    cells = [cell.strip() for cell in output.splitlines()[2].split('\t')]
    expected = [f'{v:.1f} ± nan' for v in (50, 75, 25, 60)]
    assert cells[1:] == ['compound', 'far', *expected]


def test_missing_config_is_named(capsys):
    with pytest.raises(SystemExit):
        load().main(['nowhere.py'])
    assert 'nowhere.py does not exist' in capsys.readouterr().err
