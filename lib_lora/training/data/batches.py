"""Computes which pictures are trained together at any step, without replaying the steps before it.

A batch holds pictures of one bucket. The order is a pure function of the seed and the epoch. The module knows
pictures as whole numbers that the caller gave them, and nothing else about them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lib_lora.errors import Misfit
from lib_lora.training.objective.randomness import python_random

Bucket = tuple[int, int]
KeysByBucket = Mapping[Bucket, Sequence[int]]


def epoch_batches(keys_by_bucket: KeysByBucket, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """All batches of one epoch, shuffled; every picture is in at least one.

    A bucket's last batch is filled up with other pictures of the same bucket, and with repeats where there
    are too few: nothing is dropped, and every batch is full. Which pictures fill up changes with the epoch.

    Args:
        keys_by_bucket: the pictures of each bucket (width, height); a key given twice is trained twice.
        batch_size: pictures a step, over all processes.
        seed: the run's seed.
        epoch: 0, 1, 2, ...

    Raises:
        ValueError: no picture at all, or a batch size below 1.
    """
    _check(keys_by_bucket, batch_size)
    batches: list[list[int]] = []
    for bucket in sorted(keys_by_bucket):
        keys = sorted(keys_by_bucket[bucket])  # the order in which a folder was listed must not matter
        draw = python_random(seed, "order", epoch, *bucket)
        draw.shuffle(keys)
        for start in range(0, len(keys), batch_size):
            batch = keys[start : start + batch_size]
            batches.append(batch + _filling(keys, batch, batch_size - len(batch), draw.random()))
    python_random(seed, "batches", epoch).shuffle(batches)
    return batches


def _filling(keys: list[int], batch: list[int], missing: int, turn: float) -> list[int]:
    """`missing` more pictures: first those not yet in the batch, then all again; `turn` 0..1 says where to begin."""
    inside = set(batch)
    others = list(dict.fromkeys(key for key in keys if key not in inside))
    start = int(turn * len(others))
    others = others[start:] + others[:start]
    while len(others) < missing:
        others += list(dict.fromkeys(keys))
    return others[:missing]


def batches_per_epoch(instances: KeysByBucket, batch_size: int, classes: KeysByBucket | None = None) -> int:
    """How many steps one epoch has; the same for every epoch.

    Raises:
        ValueError: no picture at all, or a batch size below 1.
    """
    _check(instances, batch_size)
    counts = {bucket: len(keys) for bucket, keys in instances.items()}
    for bucket, count in _class_counts(instances, classes or {}).items():
        counts[bucket] = counts.get(bucket, 0) + count
    return sum(-(-count // batch_size) for count in counts.values())


def batch_for_step(
    step: int, instances: KeysByBucket, batch_size: int, seed: int, classes: KeysByBucket | None = None
) -> list[int]:
    """The pictures of one global step: `batch_size` keys, of one bucket.

    Class pictures (prior preservation) are mixed in, as many an epoch as there are instance pictures, whatever
    their number: fewer are repeated, more take turns from epoch to epoch. Each of their buckets keeps its share
    (at least one), so every epoch has the same number of steps and any step can be found at once.

    Args:
        step: 0, 1, 2, ... over the whole run.
        instances: the photos of the character, by bucket.
        batch_size: pictures a step, over all processes.
        seed: the run's seed.
        classes: pictures of the class; their keys differ from the instances' keys.

    Raises:
        ValueError: no instance picture, a batch size below 1, a negative step, or a key in both.
    """
    if step < 0:
        raise Misfit(f"a step is 0 or more, got {step}", "step")
    classes = classes or {}
    if {key for keys in instances.values() for key in keys} & {key for keys in classes.values() for key in keys}:
        raise Misfit("class pictures and instance pictures must have different keys", "classes")
    epoch, position = divmod(step, batches_per_epoch(instances, batch_size, classes))
    mixed = {bucket: list(keys) for bucket, keys in instances.items()}
    for bucket, count in _class_counts(instances, classes).items():
        mixed.setdefault(bucket, []).extend(_turns(sorted(classes[bucket]), count, seed, epoch, bucket))
    return epoch_batches(mixed, batch_size, seed, epoch)[position]


def _turns(keys: list[int], count: int, seed: int, epoch: int, bucket: Bucket) -> list[int]:
    """The next `count` of `keys`, going round and round in one shuffled order."""
    python_random(seed, "class order", *bucket).shuffle(keys)
    return [keys[(epoch * count + place) % len(keys)] for place in range(count)]


def _class_counts(instances: KeysByBucket, classes: KeysByBucket) -> dict[Bucket, int]:
    """How many class pictures an epoch each bucket gives: its share of the number of instances (largest remainders)."""
    total = sum(map(len, classes.values()))
    wanted = sum(map(len, instances.values()))
    used = sorted(bucket for bucket, keys in classes.items() if keys)
    counts = {bucket: max(1, wanted * len(classes[bucket]) // total) for bucket in used}
    by_rest = sorted(used, key=lambda bucket: -(wanted * len(classes[bucket]) % total))
    for bucket in by_rest[: max(0, wanted - sum(counts.values()))]:
        counts[bucket] += 1
    return counts


def _check(keys_by_bucket: KeysByBucket, batch_size: int) -> None:
    if batch_size < 1:
        raise Misfit(f"a batch holds 1 picture or more, got {batch_size}", "batch_size")
    if not any(keys_by_bucket.values()):
        raise Misfit("there is no picture to train on", "instances")
