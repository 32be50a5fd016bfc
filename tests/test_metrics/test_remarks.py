"""Scores that rank the wrong way round are named, with a better one."""

from mmood.metrics.remarks import aurocs_by_set, separation_remarks

NAN = float('nan')
ROWS = dict(
    near=dict(energy=0.06, msp=0.4, knn=0.99, react=NAN),
    far=dict(energy=0.5, msp=0.8, knn=0.7, react=NAN),
    both=dict(energy=0.3, msp=0.45),
    empty=dict(energy=NAN),
)


def test_a_set_has_a_sentence_if_a_score_is_inverted_there():
    near, both = separation_remarks(ROWS)
    assert near == (
        'near: AUROC below 50 of energy (6.0), msp (40.0): unknown boxes '
        'score lower than known ones; knn separates them best (99.0). is_ood '
        "follows the first of the model's scores"
    )
    assert 'no score of this test separates them' in both


def test_scores_that_are_not_asked_for_are_remedies():
    (near,) = separation_remarks(dict(near=ROWS['near']), ['msp'], 'pixels')
    assert near.startswith('near: AUROC below 50 of msp (40.0): unknown pixel')
    assert 'knn separates' in near and 'energy' not in near
    assert near.endswith("follows the first of the model's scores")
    assert separation_remarks(ROWS, ['knn']) == []
    assert separation_remarks({}) == []


def test_aurocs_are_found_among_all_measures():
    metrics = {'near/a/AUROC': 0.1, 'near/b/AUROC': 0.2, 'far/a/AUROC': 0.3}
    others = {'bbox_mAP': 0.4, 'near/a/FPR95': 0.5, 'near/AUROC': 0.6}
    assert aurocs_by_set({**metrics, **others}) == dict(
        near=dict(a=0.1, b=0.2), far=dict(a=0.3)
    )
