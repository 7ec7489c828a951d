"""Photos to items: buckets, cached latents, weight maps."""

import shutil
from pathlib import Path

import pytest
import torch
from faults import raises
from PIL import Image

from lib_lora.models.families.identify import identify
from lib_lora.models.vae import encode, to_tensor
from lib_lora.training.data.buckets import Bucket, placement
from lib_lora.training.data.dataset import load_items, place, weight_map
from lib_lora.training.plan.train_settings import TrainSettings

CPU = torch.device("cpu")


def _load(run):
    return lambda: identify(Path(run.file.base.path)).load_vae(torch.float32, CPU)


def test_latents_are_the_vaes_and_cached(make_run):
    run = make_run()
    items = load_items(run, run.file.photos, 128, _load(run))
    assert [item.mean.shape for item in items] == [(4, 16, 16)] * 3
    vae = _load(run)()
    with Image.open(run.photo_path(items[0].photo)) as photo:
        small = photo.convert("RGB").reduce(5)  # 640 to 128, an exact area mean
    mean, std = encode(vae, to_tensor(small))
    assert (items[0].mean - mean[0]).abs().mean() < 0.01 * mean.abs().mean() + 0.002
    assert (items[0].std - std[0]).abs().mean() < 0.02 * std.mean()

    def never():
        raise AssertionError("the VAE was loaded although everything is cached")

    again = load_items(run, run.file.photos, 128, never)
    assert all(torch.equal(a.mean, b.mean) and torch.equal(a.std, b.std) for a, b in zip(items, again))
    with pytest.raises(AssertionError, match="was loaded"):
        load_items(run, run.file.photos, 192, never)  # another size is another key


def test_photos_can_be_encoded_when_they_are_first_asked_for(make_run):
    run = make_run()
    asked = []

    def load():
        asked.append(1)
        return _load(run)()

    items = load_items(run, run.file.photos, 128, load, ahead=False)
    assert not asked
    encoder = items[0].encode.func
    first = items[2].mean
    assert asked == [1]
    assert encoder.vae is not None
    assert items[2].std is items[2].std
    _ = items[0].mean, items[1].mean
    assert asked == [1], "one VAE for all"
    assert encoder.vae is None, "the VAE has left memory with the last photo"
    assert torch.equal(load_items(run, run.file.photos, 128, load)[2].mean, first)


def test_a_photo_that_cannot_be_encoded_later_is_named_now(make_run):
    run = make_run()
    load_items(run, run.file.photos[:2], 128, _load(run))
    photo = run.photo_path(run.file.photos[2])
    load_items(run, run.file.photos, 128, _load(run), ahead=False)  # its size is known from now on
    photo.write_bytes(photo.read_bytes() + b" ")
    with raises("photo-changed", has=photo.name):
        load_items(run, run.file.photos, 128, _load(run), ahead=False)


def test_a_damaged_cache_file_is_made_again(make_run):
    run = make_run(photos=1)
    (item,) = load_items(run, run.file.photos, 128, _load(run))
    (path,) = (run.character_folder.cache / "latents").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    (again,) = load_items(run, run.file.photos, 128, _load(run))
    assert torch.equal(item.mean, again.mean)


def test_an_edited_photo_is_not_taken_from_the_cache(make_run, tmp_path):
    run = make_run(photos=1)
    (item,) = load_items(run, run.file.photos, 128, _load(run))
    path = run.photo_path(item.photo)
    Image.new("RGB", (200, 300), "red").save(path)
    shutil.copy(path, tmp_path / "source" / path.name)
    fresh = make_run(photos=0)
    (changed,) = load_items(fresh, fresh.file.photos, 128, _load(fresh))
    assert changed.placement.photo == (200, 300)
    assert not torch.equal(item.mean, changed.mean)


def test_sideways_photos_lie_upright_in_their_bucket(make_run, tmp_path):
    (tmp_path / "source").mkdir()
    image = Image.new("RGB", (300, 150), "red")
    exif = image.getexif()
    exif[274] = 6
    image.save(tmp_path / "source" / "turned.jpg", exif=exif)
    run = make_run(photos=0)
    (item,) = load_items(run, run.file.photos, 128, _load(run))
    assert item.placement.photo == (150, 300)
    assert item.placement.bucket.height > item.placement.bucket.width


def test_place_follows_the_settings():
    small = place((100, 100), TrainSettings(), 512)
    assert small.bucket == (512, 512)
    assert small.upscaled == pytest.approx(5.12)
    assert place((300, 200), TrainSettings(upscale=False), 512).bucket == (256, 192)


def test_weight_map_counts_faces_more_and_keeps_the_size_of_the_loss():
    placed = placement((1000, 500), Bucket(128, 128))  # the middle half of the width is kept
    cells = weight_map([[0.25, 0.0, 0.5, 0.5]], placed, 3.0)  # the upper left quarter of what is kept
    assert cells.shape == (1, 16, 16)
    assert cells.mean() == pytest.approx(1.0)
    assert cells[0, 0, 0] / cells[0, 15, 15] == pytest.approx(3.0)
    assert (cells[0, :8, :8] == cells[0, 0, 0]).all()
    assert (cells[0, 8:] == cells[0, 15, 15]).all()
    assert weight_map([[0, 0, 1, 1]], placed, 1.0) is None
    assert weight_map([], placed, 3.0) is None
