"""Batches: one bucket each, always full, nothing dropped, and any step found without the ones before."""

from __future__ import annotations

import itertools
from collections import Counter

from faults import misfit
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora.training.data.batches import batch_for_step, batches_per_epoch, epoch_batches

Layout = dict[tuple[int, int], list[int]]
SIZES = [(512, 512), (448, 576), (576, 448), (384, 640)]


def _layout(counts: list[int], first: int = 0) -> Layout:
    """Buckets with so many pictures each, numbered on from `first`."""
    layout: Layout = {}
    for size, count in zip(SIZES, counts, strict=False):
        layout[size] = list(range(first, first + count))
        first += count
    return layout


COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any)
SEEDS = st.integers(0, 2**32)


@settings(deadline=None)
@given(COUNTS, st.integers(1, 6), SEEDS, st.integers(0, 50))
def test_every_batch_is_full_and_of_one_bucket_and_every_picture_is_there(
    counts: list[int], batch_size: int, seed: int, epoch: int
) -> None:
    layout = _layout(counts)
    batches = epoch_batches(layout, batch_size, seed, epoch)
    seen = Counter(key for batch in batches for key in batch)
    assert set(seen) == {key for keys in layout.values() for key in keys}
    for batch in batches:
        assert len(batch) == batch_size
        homes = [size for size, keys in layout.items() if set(batch) <= set(keys)]
        assert len(homes) == 1
        # A picture twice in a batch only where the bucket has too few.
        most = -(-batch_size // len(layout[homes[0]]))
        assert max(Counter(batch).values()) <= most
    for keys in layout.values():
        padded = -len(keys) % batch_size
        assert sum(seen[key] for key in keys) == len(keys) + padded


@settings(deadline=None)
@given(COUNTS, SEEDS, st.integers(0, 50))
def test_where_nothing_is_left_over_each_picture_is_seen_once(counts: list[int], seed: int, epoch: int) -> None:
    layout = _layout([count * 3 for count in counts])
    keys = [key for batch in epoch_batches(layout, 3, seed, epoch) for key in batch]
    assert sorted(keys) == sorted(key for bucket in layout.values() for key in bucket)


def test_padding_is_spread_over_the_bucket() -> None:
    """5 pictures in batches of 4: 3 of 5 are seen a second time each epoch, and not always the same."""
    layout = _layout([5])
    seen = Counter(key for epoch in range(400) for batch in epoch_batches(layout, 4, 1, epoch) for key in batch)
    assert sum(seen.values()) == 400 * 8
    assert all(abs(seen[key] - 640) < 60 for key in range(5)), seen


def test_the_order_changes_with_the_epoch_and_the_seed_and_stays_otherwise() -> None:
    layout = _layout([6, 6])
    assert epoch_batches(layout, 2, 1, 0) == epoch_batches(layout, 2, 1, 0)
    assert epoch_batches(layout, 2, 1, 0) != epoch_batches(layout, 2, 1, 1)
    assert epoch_batches(layout, 2, 1, 0) != epoch_batches(layout, 2, 2, 0)


def test_the_order_in_which_a_folder_was_listed_does_not_matter() -> None:
    layout = _layout([7, 4])
    shuffled = {size: list(reversed(layout[size])) for size in reversed(list(layout))}
    assert epoch_batches(layout, 3, 5, 2) == epoch_batches(shuffled, 3, 5, 2)


def test_buckets_are_mixed_and_not_trained_one_after_the_other() -> None:
    layout = _layout([30, 30])
    homes = [batch[0] < 30 for batch in epoch_batches(layout, 1, 3, 0)]
    changes = sum(one != other for one, other in itertools.pairwise(homes))
    assert changes > 15


def test_the_order_never_changes_between_versions() -> None:
    assert epoch_batches(_layout([5, 3]), 2, 42, 0) == [[6, 5], [4, 2], [7, 6], [3, 1], [1, 0]]


@given(COUNTS, COUNTS | st.just([]), st.integers(1, 5), SEEDS)
@settings(max_examples=60, deadline=None)
def test_any_step_is_the_step_of_its_epoch(
    counts: list[int], class_counts: list[int], batch_size: int, seed: int
) -> None:
    layout, classes = _layout(counts), _layout(class_counts, first=1000)
    length = batches_per_epoch(layout, batch_size, classes)
    order = list(range(3 * length))
    steps = {step: batch_for_step(step, layout, batch_size, seed, classes) for step in reversed(order)}
    for epoch in range(3):
        seen = {key for step in order[epoch * length : (epoch + 1) * length] for key in steps[step]}
        assert {key for keys in layout.values() for key in keys} <= seen
    both = {size: layout.get(size, []) + classes.get(size, []) for size in SIZES}
    for batch in steps.values():
        assert len(batch) == batch_size
        assert any(set(batch) <= set(keys) for keys in both.values())
    if not any(class_counts):
        assert [steps[step] for step in order[:length]] == epoch_batches(layout, batch_size, seed, 0)


def _class_seen(photos: int, classes: int, epochs: int) -> list[Counter[int]]:
    """Of each epoch, how often each class picture is trained, at batch size 1 (so nothing is padded)."""
    layout, prior = _layout([photos]), _layout([classes], first=1000)
    length = batches_per_epoch(layout, 1, prior)
    assert length == 2 * photos
    return [
        Counter(
            key
            for step in range(epoch * length, (epoch + 1) * length)
            for key in batch_for_step(step, layout, 1, 7, prior)
            if key >= 1000
        )
        for epoch in range(epochs)
    ]


def test_too_few_class_pictures_are_repeated_evenly() -> None:
    for seen in _class_seen(photos=10, classes=4, epochs=3):
        assert sum(seen.values()) == 10
        assert sorted(seen.values()) == [2, 2, 3, 3]


def test_many_class_pictures_take_turns_until_all_were_seen() -> None:
    epochs = _class_seen(photos=10, classes=25, epochs=5)
    assert all(sum(seen.values()) == 10 and max(seen.values()) == 1 for seen in epochs)
    assert len(set().union(*epochs[:2])) == 20
    assert sum(epochs, Counter()) == dict.fromkeys(range(1000, 1025), 2)


def test_class_pictures_keep_the_shares_of_their_buckets() -> None:
    layout, classes = _layout([10]), _layout([60, 30, 9, 1], first=1000)
    length = batches_per_epoch(layout, 1, classes)
    keys = [batch_for_step(step, layout, 1, 3, classes)[0] for step in range(length)]
    shares = [sum(key in classes[size] for key in keys) for size in SIZES]
    assert shares == [6, 3, 1, 1]  # 10 asked for, and the rare bucket's one on top: no picture is for ever left out


def test_wrong_use_is_refused() -> None:
    with misfit("instances"):
        epoch_batches({(512, 512): []}, 2, 0, 0)
    with misfit("batch_size", 0):
        epoch_batches(_layout([3]), 0, 0, 0)
    with misfit("step", -1):
        batch_for_step(-1, _layout([3]), 2, 0)
    with misfit("classes"):
        batch_for_step(0, _layout([3]), 2, 0, _layout([3]))
