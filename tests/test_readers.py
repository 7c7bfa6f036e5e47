"The readers of GTSRB, KITTI and TuSimple: samples, splits, and what they say about broken files."

import dataclasses
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import tv_tensors

from mtl_course.config import DETECTION_CLASSES
from mtl_course.core.errors import UserError
from mtl_course.core.files import real_data_root
from mtl_course.data.base import split_groups
from mtl_course.data.gtsrb import GTSRB
from mtl_course.data.gtsrb_tables import CSV_COLUMNS, FINAL_TRAINING, TEST_CSV, TEST_IMAGES, TRAINING
from mtl_course.data.image_headers import image_header
from mtl_course.data.images import read_image
from mtl_course.data.kitti import KITTI
from mtl_course.data.kitti_labels import IMAGES, LABELS
from mtl_course.data.tusimple import TuSimple, draw_lanes

needs_real_data = pytest.mark.skipif(
    real_data_root() is None, reason="no real data: set MTL_REAL_DATA to a folder with gtsrb/, kitti/ and tusimple/"
)
HEADER = ";".join(CSV_COLUMNS)
CLASSES, FRAMES = (0, 14, 38), 3


def picture(height, width, seed=0):
    "Smooth coloured noise, uint8 (height, width, 3)."
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def write_signs(root, tracks=3, base=TRAINING):
    for c in CLASSES:
        rows = [HEADER]
        for t in range(tracks):
            for f in range(FRAMES):
                h = 30 + 5 * f
                w = 32 + 5 * f
                name = f"{t:05d}_{f:05d}.ppm"
                path = root / base / f"{c:05d}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), picture(h, w, c * 100 + t * 10 + f))
                rows.append(f"{name};{w};{h};4;3;{w - 4};{h - 3};{c}")
        (path.parent / f"GT-{c:05d}.csv").write_text("\n".join(rows) + "\n")


def write_test_signs(root, n=6):
    (root / TEST_IMAGES).mkdir(parents=True)
    for i in range(n):
        cv2.imwrite(str(root / TEST_IMAGES / f"{i:05d}.ppm"), picture(30, 32, i))
    (root / TEST_CSV).write_text(
        "\n".join([HEADER] + [f"{i:05d}.ppm;32;30;3;3;28;27;{CLASSES[i % 3]}" for i in range(n)]) + "\n"
    )


LABEL = (
    "Car 0.00 0 1.50 20.00 10.00 60.00 40.00 1.50 1.60 3.90 1.00 1.60 20.00 1.50\n"
    "Person_sitting 0.10 1 0.30 70.00 10.00 80.00 30.00 1.20 0.60 0.80 3.00 1.60 15.00 0.10\n"
    "Misc 0.00 2 1.50 100.50 10.25 120.00 40.00 1.50 1.60 3.90 1.00 1.60 20.00 1.50\n"
    "DontCare -1 -1 -10 150.00 5.00 190.00 20.00 -1 -1 -1 -1000 -1000 -1000 -10\n"
)


def write_kitti(root, n=10):
    for folder in (IMAGES, LABELS):
        (root / folder).mkdir(parents=True)
    for i in range(n):
        cv2.imwrite(str(root / IMAGES / f"{i:06d}.png"), picture(60, 200, i))
        (root / LABELS / f"{i:06d}.txt").write_text(LABEL)


def lane_entry(raw_file):
    heights = list(range(40, 120, 10))
    return dict(lanes=[[-2, -2, *range(90, 30, -10)], [100] * 5 + [-2] * 3], h_samples=heights, raw_file=raw_file)


def write_lanes(root, n=6, table="label_data_0313.json", date="0313"):
    entries = [lane_entry(f"clips/{date}/{i}/20.jpg") for i in range(n)]
    for i, e in enumerate(entries):
        path = root / "tusimple" / e["raw_file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture(120, 214, i))
    (root / "tusimple" / table).write_text("".join(json.dumps(e) + "\n" for e in entries))


def write_small_data(root):
    "All three data sets, a few frames each, in the published layouts."
    write_signs(root)
    write_kitti(root)
    write_lanes(root)


@pytest.fixture
def data(tmp_path):
    write_small_data(tmp_path)
    return tmp_path


READERS = (GTSRB, KITTI, TuSimple)


# samples


def test_sign_sample(data):
    signs = GTSRB(data, split="all")
    assert len(signs) == 27 and len(signs.files) == len(signs.labels) == len(signs.tracks) == 27
    sample = signs[0]
    assert set(sample) == {"image", "label", "file"} and type(sample["label"]) is int and type(sample["file"]) is str
    assert (
        isinstance(sample["image"], tv_tensors.Image)
        and sample["image"].dtype == torch.uint8
        and sample["image"].shape == (3, 30, 32)
    )
    assert sample["file"] == f"{TRAINING}/00000/00000_00000.ppm" and (data / sample["file"]).is_file()
    np.testing.assert_array_equal(
        sample["image"].permute(1, 2, 0), np.array(Image.open(data / sample["file"]))
    )  # red, green, blue
    assert dataclasses.asdict(signs.record(26)) == dict(
        file=f"{TRAINING}/00038/00002_00002.ppm", label=38, track=3_800_002, frame=2, size=(40, 42), roi=(4, 3, 38, 37)
    )


def test_sign_size_and_roi(data):
    assert GTSRB(data, size=(64, 48))[0]["image"].shape == (3, 64, 48)
    whole, sign, wide = (GTSRB(data, split="all", roi_margin=m)[0]["image"] for m in (None, 0, 5))
    assert sign.shape == (3, 24, 24) and (sign == whole[:, 3:27, 4:28]).all()
    assert (wide == whole).all()  # a margin stops at the edge


def test_detection_sample(data):
    frames = KITTI(data, split="all")
    sample = frames[3]
    assert set(sample) == {"image", "boxes", "labels", "ignore", "file"}
    assert (
        sample["image"].shape == (3, 60, 200)
        and isinstance(sample["boxes"], tv_tensors.BoundingBoxes)
        and isinstance(sample["ignore"], tv_tensors.BoundingBoxes)
    )
    assert sample["boxes"].dtype == torch.float32 and sample["boxes"].canvas_size == (60, 200)
    assert sample["boxes"].tolist() == [[20, 10, 60, 40], [100.5, 10.25, 120, 40]] and sample["ignore"].tolist() == [
        [70, 10, 80, 30],
        [150, 5, 190, 20],
    ]
    assert sample["labels"].dtype == torch.int64 and sample["labels"].tolist() == [
        DETECTION_CLASSES.index("Car") + 1,
        DETECTION_CLASSES.index("Misc") + 1,
    ]
    np.testing.assert_array_equal(sample["image"].permute(1, 2, 0), np.array(Image.open(data / sample["file"])))


def test_boxes_are_scaled_with_the_image(data):
    sample = KITTI(data, split="all", size=(30, 50))[0]  # half as high, a quarter as wide
    assert sample["image"].shape == (3, 30, 50) and sample["boxes"].canvas_size == sample["ignore"].canvas_size == (
        30,
        50,
    )
    assert sample["boxes"][0].tolist() == [5, 5, 15, 20] and sample["ignore"][1].tolist() == [37.5, 2.5, 47.5, 10]


def test_kitti_record(data):
    r = KITTI(data, split="all").record(0)
    assert r.image_size == (60, 200) and r.names.tolist() == ["Car", "Person_sitting", "Misc", "DontCare"]
    assert (
        r.truncation.tolist() == [0, 0.1, 0, -1]
        and r.occlusion.tolist() == [0, 1, 2, -1]
        and r.alpha.tolist() == [1.5, 0.3, 1.5, -10]
    )
    assert (
        r.boxes[0].tolist() == [20, 10, 60, 40]
        and r.dimensions[1].tolist() == [1.2, 0.6, 0.8]
        and r.location[0].tolist() == [1, 1.6, 20]
        and r.rotation_y[3] == -10
    )


def test_frame_without_objects(data):
    (data / LABELS / "000000.txt").write_text("\n")
    sample = KITTI(data, split="all", size=(32, 64))[0]
    assert sample["boxes"].shape == sample["ignore"].shape == (0, 4) and sample["labels"].shape == (0,)


def test_lane_sample(data):
    frames = TuSimple(data, split="all", size=(48, 96))
    sample = frames[0]
    assert set(sample) == {"image", "mask", "file"} and sample["image"].shape == (3, 48, 96)
    assert (
        isinstance(sample["mask"], tv_tensors.Mask)
        and sample["mask"].dtype == torch.uint8
        and sample["mask"].shape == (48, 96)
    )
    assert sample["mask"].unique().tolist() == [0, 1]
    r = frames.record(0)
    assert (
        r.raw_file == "clips/0313/0/20.jpg"
        and r.image_size == (120, 214)
        and r.lanes.shape == (2, 8)
        and r.h_samples.tolist() == list(range(40, 120, 10))
    )
    np.testing.assert_array_equal(sample["mask"], draw_lanes(r.lanes, r.h_samples, r.image_size, (48, 96)))


@pytest.mark.parametrize("size", [(72, 128), (360, 640), (720, 1280)])
def test_lanes_keep_their_place_and_width(size):
    lanes, heights = np.array([[640.0] * 20, [-2.0] * 20], np.float32), np.arange(300, 700, 20)
    mask = draw_lanes(lanes, heights, (720, 1280), size)
    rows = mask.any(1)
    assert np.isclose(rows.argmax() / size[0], 300 / 720, atol=2 / size[0] + 30 / 1280)
    columns = np.flatnonzero(mask[size[0] * 2 // 3])
    assert abs(columns.mean() - ((640.5) * size[1] / 1280 - 0.5)) <= 0.5
    assert abs(len(columns) - 30 * size[1] / 1280) < 1.5  # OpenCV draws even widths up to one pixel wider


def test_lane_gaps_stay_gaps():
    lane = np.array([[50, 50, 50, -2, -2, 50, 50, -2, 50]], np.float32)
    mask = draw_lanes(lane, np.arange(0, 90, 10), (100, 100), (100, 100), line_width=13)
    assert mask[10, 50] and not mask[30:46, 50].any() and mask[55, 50] and mask[80, 50]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("size", [None, (40, 56)])
def test_samples_can_be_edited_without_editing_the_data_set(data, reader, size):
    dataset, parts = reader(data, split="all", size=size), ("image", "boxes", "ignore", "labels", "mask")
    before = {k: v.clone() for k, v in dataset[1].items() if k in parts}
    for k, v in dataset[1].items():
        if k in parts:
            v.fill_(1)
    record = repr(dataset.record(1))
    for value in vars(dataset.record(1)).values():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            value[:] = 7
    assert repr(dataset.record(1)) == record
    for k, v in before.items():
        assert torch.equal(v, dataset[1][k])


@pytest.mark.parametrize("reader", READERS)
def test_readers_work_in_worker_processes(data, reader):
    loader = torch.utils.data.DataLoader(reader(data, split="all", size=(32, 32)), batch_size=None, num_workers=1)
    assert sum(s["image"].shape == (3, 32, 32) for s in loader) == len(reader(data, split="all"))


def test_large_jpegs_are_shrunk_well(tmp_path):
    cv2.imwrite(
        str(tmp_path / "a.jpg"), cv2.GaussianBlur(picture(720, 1280), (0, 0), 5), [cv2.IMWRITE_JPEG_QUALITY, 95]
    )
    image, native = read_image(tmp_path / "a.jpg", size=(192, 320))
    exact = cv2.resize(np.array(Image.open(tmp_path / "a.jpg")), (320, 192), interpolation=cv2.INTER_AREA)
    assert native == (720, 1280) and np.abs(image.permute(1, 2, 0).numpy().astype(float) - exact).mean() < 1


# splits


def three_splits(reader, root, split_rule="held_out", seed=0):
    return [reader(root, split, split_rule, seed) for split in ("train", "val", "test")]


@pytest.mark.parametrize("reader", READERS)
def test_splits_are_disjoint_and_complete(data, reader):
    files = [set(d.files) for d in three_splits(reader, data)]
    assert sum(map(len, files)) == len(set.union(*files)) == len(reader(data, split="all")) and all(files)


def test_no_track_in_two_splits_and_every_class_in_each(data):
    train, val, test = three_splits(GTSRB, data)
    assert (
        not set(train.tracks) & set(val.tracks)
        and not set(train.tracks) & set(test.tracks)
        and not set(val.tracks) & set(test.tracks)
    )
    assert all(set(d.labels) == set(CLASSES) for d in (train, val, test)) and len(train) == len(val) == len(test) == 9


def test_sizes_of_the_splits(data):
    assert [len(d) for d in three_splits(KITTI, data)] == [6, 2, 2] and [
        len(d) for d in three_splits(TuSimple, data)
    ] == [4, 1, 1]
    for reader, sizes in ((GTSRB, [24, 3, 3]), (KITTI, [8, 2, 2]), (TuSimple, [5, 1, 1])):
        train, val, test = three_splits(reader, data, "specification")
        assert [len(train), len(val), len(test)] == sizes and set(val.files) == set(test.files)


def test_official_test_sets(data):
    write_test_signs(data)
    write_lanes(data, 3, "test_label.json", "0530")
    for split_rule in ("held_out", "specification"):
        train, val, test = three_splits(GTSRB, data, split_rule)
        assert (
            set(test.files) == {f"{TEST_IMAGES}/{i:05d}.ppm" for i in range(6)}
            and len(train) + len(val) == 27
            and (test.tracks == -1).all()
        )
        train, val, test = three_splits(TuSimple, data, split_rule)
        assert set(test.files) == {f"tusimple/clips/0530/{i}/20.jpg" for i in range(3)} and len(train) + len(val) == 6
    assert len(GTSRB(data, split="all")) == 33 and [len(d) for d in three_splits(GTSRB, data)] == [18, 9, 6]


def test_test_signs_alone_can_be_evaluated(tmp_path):
    write_test_signs(tmp_path)
    assert len(GTSRB(tmp_path, split="test")) == 6
    with pytest.raises(UserError, match="no such folder"):
        GTSRB(tmp_path, split="train")


def test_larger_official_archive(tmp_path):
    write_signs(tmp_path, base=FINAL_TRAINING)
    assert len(GTSRB(tmp_path, split="all")) == 27 and GTSRB(tmp_path, split="all").files[0].startswith(FINAL_TRAINING)


class Listing(list):
    "What `os.scandir` returns, as far as it is used."

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("split_rule", ["held_out", "specification"])
def test_split_depends_on_the_seed_only(data, reader, split_rule, monkeypatch):
    before = [list(d.files) for d in three_splits(reader, data, split_rule)]
    scandir, glob = os.scandir, Path.glob
    monkeypatch.setattr(
        os, "scandir", lambda p: Listing(sorted(scandir(p), key=lambda e: e.name[::-1]))
    )  # another operating system lists in another order
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(list(glob(self, pattern))[::-1]))
    assert [list(d.files) for d in three_splits(reader, data, split_rule)] == before
    others = [three_splits(reader, data, split_rule, seed) for seed in (1, 2, 3)]
    assert any(list(train.files) != before[0] for train, _, _ in others)


def test_adding_a_class_leaves_the_others_where_they_are(data):
    before = {f for f in GTSRB(data).files}
    extra = data / TRAINING / "00005"
    extra.mkdir()
    cv2.imwrite(str(extra / "00000_00000.ppm"), picture(30, 30))
    (extra / "GT-00005.csv").write_text(f"{HEADER}\n00000_00000.ppm;30;30;1;1;29;29;5\n")
    assert before < set(GTSRB(data).files)


def test_split_is_the_same_on_every_machine():
    parts = split_groups([f"{i:03d}" for i in range(12)], (0.7, 0.15, 0.15), seed=0)
    assert "".join(map(str, parts)) == "010100000220"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=80),
    st.integers(0, 2**31),
    st.permutations(range(80)),
)
def test_split_groups_properties(items, seed, order):
    strata, groups = np.array(items).T
    names = strata * 100 + groups
    parts = split_groups(names, (0.7, 0.15, 0.15), seed, strata)
    for name in set(names):
        assert len(set(parts[names == name])) == 1  # whole groups
    for s in set(strata):
        n = len(set(names[strata == s]))
        expected = {1: {0}, 2: {0, 2}}
        assert set(parts[strata == s]) == expected.get(n, {0, 1, 2})
    order = np.array([i for i in order if i < len(items)])
    np.testing.assert_array_equal(split_groups(names[order], (0.7, 0.15, 0.15), seed, strata[order]), parts[order])


@pytest.mark.parametrize("reader", READERS)
def test_wrong_options(data, reader):
    with pytest.raises(UserError, match="split is 'training'.*train, val, test, all"):
        reader(data, split="training")
    with pytest.raises(UserError, match="split_rule is 'random'.*held_out, specification"):
        reader(data, split_rule="random")


def test_a_split_without_images(data):
    for i in range(1, 10):
        (data / IMAGES / f"{i:06d}.png").unlink()
        (data / LABELS / f"{i:06d}.txt").unlink()
    with pytest.raises(UserError, match="no image of task detection in split 'val'"):
        KITTI(data, split="val")


# pixels


@pytest.mark.parametrize("ending", [".png", ".jpg", ".ppm"])
def test_cut_images_are_refused_at_every_length(ending):
    encoded = cv2.imencode(ending, picture(24, 33))[1].tobytes()
    assert image_header(encoded).size == (24, 33)
    for keep in range(len(encoded)):
        with pytest.raises(ValueError):
            image_header(encoded[:keep])


def test_every_flipped_byte_of_a_png_is_noticed(tmp_path):
    encoded = bytearray(cv2.imencode(".png", picture(8, 9))[1].tobytes())
    for at in range(8, len(encoded)):
        encoded[at] ^= 0x10
        with pytest.raises(ValueError):
            image_header(bytes(encoded))
        encoded[at] ^= 0x10
    assert image_header(bytes(encoded)).size == (8, 9)


def test_formats_of_other_writers(tmp_path):
    image = Image.fromarray(picture(20, 30))
    for name, options in (
        ("p.jpg", dict(progressive=True)),
        ("o.png", dict(optimize=True)),
        ("g.jpg", dict(quality=100, subsampling=0)),
    ):
        image.save(tmp_path / name, **options)
        assert read_image(tmp_path / name)[0].shape == (3, 20, 30)
    Image.fromarray(picture(20, 30)).convert("L").save(tmp_path / "grey.png")
    Image.fromarray(picture(20, 30)).convert("RGBA").save(tmp_path / "alpha.png")
    (tmp_path / "comment.ppm").write_bytes(b"P6\n# made by hand\n2 1\n# largest\n255\n" + bytes([255, 0, 0, 0, 0, 255]))
    assert read_image(tmp_path / "grey.png")[0].shape == read_image(tmp_path / "alpha.png")[0].shape == (3, 20, 30)
    assert read_image(tmp_path / "comment.ppm")[0][:, 0].tolist() == [[255, 0], [0, 0], [0, 255]]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "content, reason", [(b"", "empty"), (b"not an image", "neither"), (None, "cut off"), ("gone", "no such file")]
)
def test_reading_a_broken_image_names_it(data, reader, content, reason):
    dataset = reader(data, split="all", size=(32, 32))
    path = dataset.path(2)
    if content == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-400] if content is None else content)
    with pytest.raises(UserError, match=reason) as e:
        dataset[2]
    assert str(e.value).startswith(dataset.files[2])
    assert dataset[1]["image"].shape == (3, 32, 32)


# real data


@needs_real_data
def test_real_signs():
    signs = GTSRB(real_data_root(), split="all")
    assert len(signs) == 6650 and len(set(signs.tracks)) == 667 and set(signs.labels) == set(range(43))
    parts = three_splits(GTSRB, real_data_root())
    assert sum(map(len, parts)) == 6650 and all(set(d.labels) == set(range(43)) for d in parts)
    assert 0.65 < len(parts[0]) / 6650 < 0.75 and not set(parts[0].tracks) & (
        set(parts[1].tracks) | set(parts[2].tracks)
    )


@needs_real_data
def test_real_frames():
    frames = KITTI(real_data_root(), split="all", size=(128, 416))
    assert (
        len(frames) == 60
        and sum(map(len, frames.labels)) == 175 + 18 + 8 + 4 + 25 + 8 + 2
        and sum(map(len, frames.ignored)) == 165
    )
    assert all(frames[i]["boxes"].min() >= 0 for i in range(0, 60, 20))
    lanes = TuSimple(real_data_root(), split="all", size=(192, 320))
    assert len(lanes) == 6 and all(0.05 < lanes[i]["mask"].float().mean() < 0.12 for i in range(6))
    assert lanes.record(0).lanes.shape[1] == 56 and lanes.record(0).image_size == (720, 1280)
