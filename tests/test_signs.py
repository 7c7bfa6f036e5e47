"""Drawn traffic signs: all classes, distinct, deterministic in every process, mirrored as promised."""

import hashlib, subprocess, sys
from pathlib import Path

import numpy as np
import pytest

from mtl_course.world.signs import SIGN_MIRROR, SIGN_NAMES, draw_sign, draw_sign_crop, draw_sign_track


@pytest.fixture(scope="module")
def clean():
    return np.stack([draw_sign(c, 64) for c in range(43)])


def _digest() -> str:  # of clean signs, crops and tracks; also run in a fresh process
    h = hashlib.sha256()
    for c in (0, 8, 12, 21, 42):
        h.update(draw_sign(c, 48, np.random.default_rng(c)).tobytes())
        image, roi = draw_sign_crop(c, np.random.default_rng([1, c]))
        h.update(image.tobytes() + repr((image.shape, roi)).encode())
        for image, roi in draw_sign_track(c, seed=5, frames=4):
            h.update(image.tobytes() + repr((image.shape, roi)).encode())
    return h.hexdigest()


def test_names():
    assert len(SIGN_NAMES) == len(set(SIGN_NAMES)) == 43


def test_every_class_is_drawn_and_different(clean):
    assert clean.shape == (43, 64, 64, 4) and clean.dtype == np.uint8
    assert (clean[..., 3] > 250).mean((1, 2)).min() > 0.3 and (clean[:, 0, 0, 3] == 0).all()
    flat = clean.astype(float).reshape(43, -1)
    assert (np.abs(flat[:, None] - flat[None]).mean(-1) + 99 * np.eye(43)).min() > 1.5


def test_mirror_map_is_what_flipped_drawings_show(clean):
    flipped = clean[:, :, ::-1].astype(float)
    distance = np.abs(flipped[:, None] - clean[None]).mean((2, 3, 4))
    for c in range(43):
        if c in SIGN_MIRROR:
            assert distance[c].argmin() == SIGN_MIRROR[c] and distance[c].min() < 2
        else:
            assert distance[c].min() > 1
    assert all(SIGN_MIRROR[SIGN_MIRROR[c]] == c for c in SIGN_MIRROR)


def test_same_seed_same_pixels_in_another_process():
    code = f"import sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}; import test_signs; print(test_signs._digest())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == _digest() == _digest()


def test_state_of_global_generator_does_not_matter():
    np.random.seed(1)
    a = draw_sign_track(3, 4, frames=2)
    np.random.seed(2)
    b = draw_sign_track(3, 4, frames=2)
    assert all((x == y).all() and p == q for (x, p), (y, q) in zip(a, b))


def test_seeds_and_classes_differ():
    one, two = draw_sign_track(3, 4, frames=2, first=30, last=60), draw_sign_track(3, 5, frames=2, first=30, last=60)
    assert one[1][0].shape != two[1][0].shape or (one[1][0] != two[1][0]).any()


@pytest.mark.parametrize("class_id", range(43))
def test_tracks_grow_and_hold_their_sign(class_id):
    track = draw_sign_track(class_id, seed=11, frames=6)
    widths = [image.shape[1] for image, _ in track]
    assert len(track) == 6 and widths == sorted(widths) and 25 <= widths[0] <= 33 and widths[-1] > widths[0]
    for image, (x1, y1, x2, y2) in track:
        h, w = image.shape[:2]
        assert image.dtype == np.uint8 and image.shape[2] == 3 and 0.7 <= h / w <= 1.41
        assert 0 <= x1 < x2 < w and 0 <= y1 < y2 < h and (x2 - x1) * (y2 - y1) > 0.25 * w * h


def test_wanted_width_is_kept():
    for width in (25, 64, 71, 72, 200):
        image, _ = draw_sign_crop(7, np.random.default_rng(0), width=width)
        assert image.shape[1] == width
    track = draw_sign_track(7, 0, frames=3, first=30, last=90)
    assert track[0][0].shape[1] == 30 and track[-1][0].shape[1] == 90


@pytest.mark.parametrize("class_id", [-1, 43])
def test_unknown_class(class_id):
    with pytest.raises(KeyError):
        draw_sign(class_id)
    with pytest.raises(KeyError):
        draw_sign_crop(class_id, np.random.default_rng(0))
