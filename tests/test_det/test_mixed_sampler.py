"""How many painted images an epoch has, and which."""

from collections import Counter

import mmengine.dataset.sampler
import pytest
from mmengine.dataset import BaseDataset, ConcatDataset, DefaultSampler
from mmengine.runner import Runner

from mmood.det.datasets import MixedSampler
from mmood.registry import DATA_SAMPLERS

PLAIN, PAINTED = 12, 7


class Images(BaseDataset):
    """``size`` images, high and wide in turn."""

    def __init__(self, size):
        self.size = size
        super().__init__(serialize_data=False)

    def load_data_list(self):
        return [
            dict(width=40 + 20 * (i % 2), height=50) for i in range(self.size)
        ]


def mixed(plain=PLAIN, painted=PAINTED):
    return ConcatDataset([Images(plain), Images(painted)])


def build(share=None, seed=3, sizes=(PLAIN, PAINTED), **kwargs):
    return MixedSampler(
        mixed(*sizes), painted_share=share, seed=seed, **kwargs
    )


def epochs(sampler, count):
    """Indices of each epoch; painted ones are those from the plain on."""
    result = []
    for epoch in range(count):
        sampler.set_epoch(epoch)
        result.append(list(sampler))
        assert len(result[-1]) == len(sampler)
    return result


@pytest.fixture
def rank_of(monkeypatch):
    """Function: a sampler as one of several ranks builds it."""

    def build_rank(rank, world_size, *args, **kwargs):
        monkeypatch.setattr(
            mmengine.dataset.sampler,
            'get_dist_info',
            lambda: (rank, world_size),
        )
        return build(*args, **kwargs)

    return build_rank


@pytest.mark.parametrize(
    ('share', 'plain', 'painted'),
    [
        (0, 12, 0),
        (0.0, 12, 0),
        (0.25, 12, 4),
        (0.5, 12, 12),
        (0.1, 12, 1),  # 4 / 3 of an image
        (0.01, 12, 0),
        (0.75, 12, 36),
        (1, 0, 7),
        (1.0, 0, 7),
        (None, 12, 7),
    ],
)
def test_counts_of_an_epoch(share, plain, painted):
    for indices in epochs(build(share), 3):
        kinds = Counter(index >= PLAIN for index in indices)
        assert (kinds[False], kinds[True]) == (plain, painted)
        assert max(indices) < PLAIN + PAINTED
        # Each plain image once, painted ones about equally often.
        known = [index for index in indices if index < PLAIN]
        assert len(set(known)) == len(known)
        drawn = Counter(index for index in indices if index >= PLAIN)
        times = [drawn[PLAIN + i] for i in range(PAINTED)]
        assert max(times) - min(times) <= 2


@pytest.mark.parametrize('share', [0.15, 0.25, 0.5, 0.75, 1, None])
def test_no_painted_image_comes_twice_before_all_came_once(share):
    sampler = build(share)
    drawn = Counter()
    complete = 0
    for indices in epochs(sampler, 30):
        drawn.update(index for index in indices if index >= PLAIN)
        times = [drawn[PLAIN + i] for i in range(PAINTED)]
        assert max(times) - min(times) <= 1
        complete = min(times)
    assert complete >= 30 * sampler.painted // PAINTED > 0


def test_each_pass_over_the_painted_images_has_its_own_order():
    sampler = build(0.2, sizes=(12, 6))
    drawn = [
        frozenset(index for index in indices if index >= 12)
        for indices in epochs(sampler, 60)
    ]
    for first, second in zip(drawn[::2], drawn[1::2]):
        assert first | second == set(range(12, 18))
    assert len(set(drawn)) > 15  # of 20 that there are


def test_an_epoch_follows_from_seed_and_number_alone():
    first = epochs(build(0.25), 4)
    assert epochs(build(0.25), 4) == first
    late = build(0.25)  # as after a restart
    late.set_epoch(3)
    assert list(late) == first[3] == list(late)
    assert first[0] != first[1]
    assert epochs(build(0.25, seed=4), 4) != first


def test_shuffling_moves_painted_ones_among_the_plain():
    (indices,) = epochs(build(0.5, sizes=(400, 400)), 1)
    early = sum(index >= 400 for index in indices[:400])
    assert 150 < early < 250
    (indices,) = epochs(build(0.25, shuffle=False), 1)
    assert indices[:PLAIN] == list(range(PLAIN))
    assert all(index >= PLAIN for index in indices[PLAIN:])


@pytest.mark.parametrize('round_up', [True, False])
@pytest.mark.parametrize('share', [0.25, 1, None])
@pytest.mark.parametrize('world_size', [2, 3, 8])
def test_ranks_share_the_images_of_one(rank_of, world_size, share, round_up):
    whole = rank_of(0, 1, share)
    ranks = [
        rank_of(rank, world_size, share, round_up=round_up)
        for rank in range(world_size)
    ]
    for epoch in range(3):
        for sampler in (whole, *ranks):
            sampler.set_epoch(epoch)
        one, parts = list(whole), [list(sampler) for sampler in ranks]
        for part, sampler in zip(parts, ranks):
            assert len(part) == len(sampler)
        # They take turns; rounding up repeats the first ones.
        total = sum(map(len, parts))
        together = [
            parts[i % world_size][i // world_size] for i in range(total)
        ]
        assert together[: len(one)] == one
        assert together[len(one) :] == one[: total - len(one)]
        assert total == (-(-len(one) // world_size) * world_size
                         if round_up else len(one))  # fmt: skip


def test_lengths_are_those_of_the_stock_sampler_on_both_sets():
    stock = DefaultSampler(mixed(), seed=0)
    assert len(build(None)) == len(stock) == PLAIN + PAINTED
    (indices,) = epochs(build(None), 1)
    assert sorted(indices) == sorted(stock)


@pytest.mark.parametrize(
    ('sizes', 'share', 'expected'),
    [
        ((5, 0), 0, 5),
        ((5, 0), None, 5),
        ((0, 5), None, 5),
        ((0, 5), 0.5, 0),
        ((0, 5), 1, 5),
        ((5, 1), 0.5, 10),
    ],
)
def test_empty_and_tiny_sets(sizes, share, expected):
    for indices in epochs(build(share, sizes=sizes), 2):
        assert len(indices) == expected


@pytest.mark.parametrize('share', [-0.1, 1.5, 25, float('nan')])
def test_refuses_other_shares(share):
    with pytest.raises(ValueError, match=rf'in \[0, 1\].*got {share}'):
        build(share)


@pytest.mark.parametrize('share', [0.25, 1])
def test_refuses_to_draw_from_an_empty_set(share):
    with pytest.raises(ValueError, match=f'{share} of an empty painted set'):
        build(share, sizes=(5, 0))


def test_refuses_another_number_of_sets():
    with pytest.raises(ValueError, match='plain and the painted.*Images of 0'):
        MixedSampler(Images(5))
    three = ConcatDataset([Images(2), Images(2), Images(2)])
    with pytest.raises(ValueError, match='ConcatDataset of 3'):
        MixedSampler(three)


def test_a_dataloader_groups_its_images_by_aspect_ratio():
    """As mmengine's runner builds it, painted images included."""
    loader = Runner.build_dataloader(
        dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='mmood.MixedSampler', painted_share=0.25),
            batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'),
            dataset=mixed(12, 8),
        ),
        seed=5,
    )
    sampler = loader.batch_sampler.sampler
    assert isinstance(sampler, MixedSampler) and sampler.seed == 5
    assert len(loader) == 8
    expected = DATA_SAMPLERS.build(
        dict(type='mmood.MixedSampler', painted_share=0.25, seed=5),
        default_args=dict(dataset=mixed(12, 8)),
    )
    for epoch in range(3):
        sampler.set_epoch(epoch)
        expected.set_epoch(epoch)
        batches = list(loader.batch_sampler)
        drawn = [index for batch in batches for index in batch]
        assert sorted(drawn) == sorted(expected)
        # Both sets are even in size: an odd index is a wide image. What is
        # left of both at the end goes together.
        mixes = [batch for batch in batches if sum(batch) % 2]
        assert len(mixes) <= 1
