"""Drawn traffic signs: all classes, distinct, the same in every process, mirrored as promised."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mtl_course.world.sign_camera import SignCamera
from mtl_course.world.sign_crops import SignLook, draw_sign_crop, draw_sign_track, render_sign
from mtl_course.world.signs import SIGN_MIRROR, SIGN_NAMES, draw_sign


@pytest.fixture(scope="module")
def clean():
    return np.stack([draw_sign(c, 64) for c in range(43)])


def _digest() -> str:
    """Of clean signs, crops and tracks; also run in a fresh process."""
    digest = hashlib.sha256()
    for c in (0, 8, 12, 21, 42):
        digest.update(draw_sign(c, 48, np.random.default_rng(c)).tobytes())
        pictures = [draw_sign_crop(c, np.random.default_rng([1, c])), *draw_sign_track(c, seed=5, frames=4)]
        for image, roi in pictures:
            digest.update(image.tobytes() + repr((image.shape, roi)).encode())
    return digest.hexdigest()


def test_names():
    assert len(SIGN_NAMES) == len(set(SIGN_NAMES)) == 43


def test_every_class_is_drawn(clean):
    assert clean.shape == (43, 64, 64, 4)
    assert clean.dtype == np.uint8
    assert (clean[..., 3] > 250).mean((1, 2)).min() > 0.3
    assert (clean[:, 0, 0, 3] == 0).all()


def test_no_two_classes_look_alike(clean):
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
    path = [str(Path(__file__).parent), *sys.path]
    code = f"import sys\nsys.path[:0] = {path!r}\nimport test_signs\nprint(test_signs._digest())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == _digest() == _digest()


def test_state_of_global_generator_does_not_matter():
    np.random.seed(1)
    first = draw_sign_track(3, 4, frames=2)
    np.random.seed(2)
    second = draw_sign_track(3, 4, frames=2)
    assert all((x == y).all() and p == q for (x, p), (y, q) in zip(first, second))


def test_seeds_differ():
    one = draw_sign_track(3, 4, frames=2, first=30, last=60)[1][0]
    two = draw_sign_track(3, 5, frames=2, first=30, last=60)[1][0]
    assert one.shape != two.shape or (one != two).any()


@pytest.mark.parametrize("class_id", range(43))
def test_tracks_grow_and_hold_their_sign(class_id):
    track = draw_sign_track(class_id, seed=11, frames=6)
    widths = [image.shape[1] for image, _ in track]
    assert len(track) == 6 and widths == sorted(widths)
    assert 25 <= widths[0] <= 33 and widths[-1] > widths[0]
    for image, (x1, y1, x2, y2) in track:
        h, w = image.shape[:2]
        assert image.dtype == np.uint8 and image.shape[2] == 3 and 0.7 <= h / w <= 1.41
        assert 0 <= x1 < x2 < w and 0 <= y1 < y2 < h and (x2 - x1) * (y2 - y1) > 0.25 * w * h


@pytest.mark.parametrize("width", [25, 64, 71, 72, 200])
def test_a_crop_has_the_width_asked_for(width):
    image, _ = draw_sign_crop(7, np.random.default_rng(0), width=width)
    assert image.shape[1] == width


def test_a_track_has_the_widths_asked_for():
    track = draw_sign_track(7, 0, frames=3, first=30, last=90)
    assert track[0][0].shape[1] == 30 and track[-1][0].shape[1] == 90


@pytest.mark.parametrize("class_id", [-1, 43])
def test_unknown_class(class_id):
    with pytest.raises(KeyError):
        draw_sign(class_id)
    with pytest.raises(KeyError):
        draw_sign_crop(class_id, np.random.default_rng(0))


def test_more_light_makes_thinner_digits():
    """The lens blurs light before the sensor saturates."""

    def dark_share(gain):
        look = SignLook(4, gain=gain, camera=SignCamera(blur=1.0))
        middle = render_sign(look, 80, np.random.default_rng(0))[0][25:55, 25:55].min(-1).astype(float)
        return (middle < (middle.min() + middle.max()) / 2).mean()

    shares = [dark_share(gain) for gain in (1, 2, 4, 6)]
    assert shares == sorted(shares, reverse=True) and len(set(shares)) == 4
