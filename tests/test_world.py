"""The writer of the world: layouts, determinism, interruption, refusal."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from mtl_course.config import make_config
from mtl_course.core.errors import UserError
from mtl_course.data.sources import prepare_data
from mtl_course.world import build as W
from mtl_course.world.layouts import Shelf
from mtl_course.world.options import sign_counts
from mtl_course.world.traffic import CLASS_WEIGHTS

TINY_HASH = "cc02f7864d11d9b5f3580c90d81c96c9fa600ddb1753ca9aa84c9f6df27033cc"
MADE_WITH = dict(numpy="2.4.6", opencv="5.0.0")  # other versions may round otherwise
SMALL = dict(signs=43, frames_per_track=1, sign_test=6, scenes=4, lanes=3, lane_test=2, joint=3)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    root = tmp_path_factory.mktemp("w") / "world"
    return root, W.make_world(root, "tiny", workers=1, progress=False, **SMALL)


def test_the_version_is_that_of_existing_worlds():
    assert W.WORLD_VERSION == "1.9a0b9f25", "raise it, and TINY_HASH with it, only where a pixel or a label changes"


def test_not_a_byte_of_the_tiny_world_changes(tmp_path):
    manifest = W.make_world(tmp_path / "world", "tiny", progress=False)
    drawn_with = manifest["made_with"]
    assert manifest["hash"] == TINY_HASH, f"hash of {MADE_WITH}; this world was drawn with {drawn_with}"


def test_same_bytes_without_the_newest_instructions(tmp_path):
    """NumPy's powers differ in the last bit between AVX2 and AVX-512."""
    program = (
        "import sys; from mtl_course.world.build import make_world; "
        "print(make_world(sys.argv[1], 'tiny', workers=1, progress=False)['hash'])"
    )
    environment = os.environ | dict(NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_SKX AVX512_ICL AVX512_SPR")
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "world")]
    drawn = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert drawn.returncode == 0, drawn.stderr
    assert drawn.stdout.split()[-1] == TINY_HASH


def test_same_bytes_with_two_workers(small, tmp_path):
    root, manifest = small
    other = W.make_world(tmp_path / "two", "tiny", workers=2, progress=False, **SMALL)
    assert other["hash"] == manifest["hash"]
    assert (root / "files.csv").read_bytes() == (tmp_path / "two" / "files.csv").read_bytes()
    seeded = W.make_world(tmp_path / "seed", "tiny", workers=1, progress=False, seed=1, **SMALL)
    assert seeded["hash"] != manifest["hash"]


def test_more_pictures_keep_the_old_ones(small, tmp_path):
    """A picture depends on its own seed only: a larger world begins with a smaller one's."""
    W.make_world(tmp_path / "more", "tiny", workers=1, progress=False, **{**SMALL, "scenes": 6, "lanes": 0})
    path = "kitti/training/image_2/000003.png"
    assert (tmp_path / "more" / path).read_bytes() == (small[0] / path).read_bytes()


def test_manifest_matches_the_files(small):
    root, manifest = small
    rows = [line.split(";") for line in (root / "files.csv").read_text().splitlines()]
    assert len(rows) == manifest["files"] and sum(int(r[2]) for r in rows) == manifest["bytes"]
    on_disk = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()} - {"manifest.json", "files.csv"}
    assert on_disk == {r[0] for r in rows}
    assert json.loads((root / "manifest.json").read_text()) == manifest == W.read_manifest(root)


def test_gtsrb_layout(small):
    root = small[0] / "gtsrb"
    folders = sorted((root / "GTSRB" / "Training").iterdir())
    assert [f.name for f in folders] == [f"{c:05d}" for c in range(43)]
    tables = [(f, f / f"GT-{f.name}.csv") for f in folders] + [
        (root / "GTSRB" / "Final_Test" / "Images", root / "GT-final_test.csv")
    ]
    for folder, table in tables:
        with open(table) as file:
            rows = list(csv.DictReader(file, delimiter=";"))
        assert len(rows) == len(list(folder.glob("*.ppm"))) > 0
        for row in rows:
            h, w = cv2.imread(str(folder / row["Filename"])).shape[:2]
            assert (w, h) == (int(row["Width"]), int(row["Height"]))
            assert 0 <= int(row["Roi.X1"]) < int(row["Roi.X2"]) < w and 0 <= int(row["Roi.Y1"]) < int(row["Roi.Y2"]) < h
            assert 0 <= int(row["ClassId"]) < 43


@pytest.mark.parametrize("root", ["kitti", "joint/kitti"])
def test_kitti_layout(small, root):
    root = small[0] / root / "training"
    images = sorted((root / "image_2").glob("*.png"))
    assert [p.stem for p in images] == [p.stem for p in sorted((root / "label_2").glob("*.txt"))] and images
    objects = 0
    for path in images:
        h, w = cv2.imread(str(path)).shape[:2]
        for line in (root / "label_2" / f"{path.stem}.txt").read_text().splitlines():
            name, *numbers = line.split()
            assert len(numbers) == 14 and name in (*CLASS_WEIGHTS, "DontCare")
            x1, y1, x2, y2 = (float(v) for v in numbers[3:7])
            assert 0 <= x1 < x2 <= w and 0 <= y1 < y2 <= h
            objects += name != "DontCare"
    assert objects


@pytest.mark.parametrize(
    "table", ["tusimple/label_data_0313.json", "tusimple/test_label.json", "joint/tusimple/label_data_joint.json"]
)
def test_tusimple_layout(small, table):
    table = small[0] / table
    for line in table.read_text().splitlines():
        row = json.loads(line)
        h, w = cv2.imread(str(table.parent / row["raw_file"])).shape[:2]
        assert max(row["h_samples"]) < h and all(len(lane) == len(row["h_samples"]) for lane in row["lanes"])
        assert all(x == -2 or 0 <= x < w for x in sum(row["lanes"], []))


def test_joint_signs(small):
    root = small[0] / "joint"
    with open(root / "signs.csv") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    for row in rows:
        h, w = cv2.imread(str(root / "kitti" / "training" / "image_2" / row["Filename"])).shape[:2]
        assert 0 <= int(row["X1"]) < int(row["X2"]) <= w and 0 <= int(row["Y1"]) < int(row["Y2"]) <= h
    assert len(rows) == len(list((root / "gtsrb" / "GTSRB" / "Final_Test" / "Images").glob("*.ppm"))) > 0


FEW = dict(SMALL, signs=0, sign_test=1, joint=0)


def _make(root, **changes):
    return W.make_world(root, "tiny", workers=1, progress=False, **{**FEW, **changes})


def test_a_world_that_matches_is_left_alone(tmp_path):
    root = tmp_path / "world"
    first = _make(root)
    stamp = (root / "manifest.json").stat().st_mtime_ns
    assert _make(root) == first
    assert (root / "manifest.json").stat().st_mtime_ns == stamp


def test_a_world_with_other_options_is_made_again(tmp_path):
    root = tmp_path / "world"
    first = _make(root)
    again = _make(root, scenes=2)
    assert again["hash"] != first["hash"] and not (root / "kitti/training/image_2/000003.png").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["world"]


def test_a_world_with_a_file_of_the_user_is_left_alone(tmp_path):
    root = tmp_path / "world"
    first = _make(root)
    (root / "kitti" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="notes.txt"):
        _make(root, scenes=2)
    assert (root / "kitti" / "notes.txt").read_text() == "mine" and W.read_manifest(root) == first


def test_foreign_folder_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="not empty"):
        W.make_world(tmp_path, "tiny", progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match="is a file"):
        W.make_world(tmp_path / "holiday.jpg", "tiny", progress=False)


def test_an_unreadable_manifest_is_named(tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="manifest.json"):
        W.make_world(tmp_path / "w", "tiny", progress=False)


def test_version_change_makes_it_again(tmp_path, monkeypatch):
    options = dict(SMALL, signs=0, sign_test=1, joint=0, scenes=1, lanes=1, lane_test=1)
    first = W.make_world(tmp_path / "w", "tiny", workers=1, progress=False, **options)
    monkeypatch.setattr(W, "WORLD_VERSION", "2.0")
    again = W.make_world(tmp_path / "w", "tiny", workers=1, progress=False, **options)
    assert again["version"] == "2.0" and again["hash"] == first["hash"]


CUSTOM = dict(
    SMALL,
    seed=7,
    signs=46,
    sign_test=2,
    scenes=2,
    lanes=1,
    lane_test=1,
    joint=1,
    sign_skew=0.5,
    class_weights={"Van": 1.0, "Tram": 0.5},
    scene_size=(128, 64),
    lane_size=(160, 96),
)


@pytest.mark.parametrize("by", ["prepare_data", "ensure_world"])
def test_an_outdated_world_is_made_again_with_its_own_options(tmp_path, monkeypatch, by):
    """Not with those of the recipe: seed, counts, imbalance and the size of its pictures stay."""
    root = tmp_path / "world-mine"
    first = W.make_world(root, "tiny", workers=1, progress=False, **CUSTOM)
    monkeypatch.setattr(W, "WORLD_VERSION", "2.0")
    config = make_config("smoke", data_root=str(root), world_size="tiny")
    if by == "prepare_data":
        prepare_data(config, progress=False)
    else:
        W.ensure_world(root, "tiny", workers=1, progress=False)
    again = W.read_manifest(root)
    assert again == {**first, "version": "2.0"} and again["options"]["seed"] == 7
    assert cv2.imread(str(root / "kitti/training/image_2/000001.png")).shape == (64, 128, 3)
    stamp = (root / "manifest.json").stat().st_mtime_ns
    assert (
        W.ensure_world(root, "tiny", progress=False) == again and (root / "manifest.json").stat().st_mtime_ns == stamp
    )


@pytest.mark.parametrize(
    "change, says",
    [
        (dict(options=None), "options .* missing"),
        (dict(options={"seed": 1, "moons": 2}), "'moons', which no longer exists"),
        (dict(options={"seed": -1}), "seed must be"),
        (dict(options={"scene_size": None}), "manifest.json"),
        (dict(options={"class_weights": 3}), "manifest.json"),
    ],
)
def test_an_outdated_world_whose_options_are_lost_is_left_alone(small, tmp_path, change, says):
    root = tmp_path / "world"
    shutil.copytree(small[0], root)
    (root / "manifest.json").write_text(json.dumps({**small[1], "version": "0", **change}))
    before = sorted((p, p.stat().st_mtime_ns) for p in root.rglob("*"))
    with pytest.raises(UserError, match=says) as e:
        prepare_data(make_config("smoke", data_root=str(root)), progress=False)
    sentence = str(e.value)
    assert str(root / "manifest.json") in sentence and f"mtl_data make {root}" in sentence and "\n" not in sentence
    assert sorted((p, p.stat().st_mtime_ns) for p in root.rglob("*")) == before
    W.make_world(
        root, "tiny", workers=1, progress=False, signs=0, sign_test=1, scenes=1, lanes=1, lane_test=1, joint=0
    )  # what the sentence advises


def test_a_manifest_that_does_not_parse_is_one_sentence(small, tmp_path):
    root = tmp_path / "world"
    shutil.copytree(small[0], root)
    (root / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="delete the folder and make the world again with mtl_data make"):
        prepare_data(make_config("smoke", data_root=str(root)), progress=False)
    assert (root / "kitti/training/image_2/000003.png").is_file()


@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_an_old_world_survives_an_interrupted_replacement(tmp_path, how):
    """Between the two renames neither the world nor its options may be lost."""
    root = tmp_path / "world"
    options = dict(SMALL, seed=7, signs=0, sign_test=1, joint=0, scenes=1, lanes=1, lane_test=1)
    first = W.make_world(root, "tiny", workers=1, progress=False, **options)
    stop = "os._exit(1)" if how == "killed" else "raise_interrupt()"
    code = (
        f"import os\nfrom mtl_course.world import build as W\nrename, n = os.rename, []\n"
        "def raise_interrupt(): raise KeyboardInterrupt\n"
        f"def stopping(*a):\n    n.append(a)\n    if len(n) == 2: {stop}\n    rename(*a)\n"
        "os.rename, W.WORLD_VERSION = stopping, '2.0'\n"
        f"W.ensure_world({str(root)!r}, workers=1, progress=False)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(W.__file__).parents[2], capture_output=True).returncode
    assert root.exists() == (how == "interrupted")
    assert W.ensure_world(root, "tiny", workers=1, progress=False) == first
    again = W.make_world(root, "tiny", workers=1, progress=False, **{**options, "scenes": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["world"] and W.read_manifest(root) == again


def _runs(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    return Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


@pytest.mark.skipif(os.name != "posix", reason="kills a process group by signal")
def test_killed_generation_leaves_nothing_that_looks_complete(tmp_path):
    root = tmp_path / "world"
    code = f"from mtl_course.world.build import make_world; make_world({str(root)!r}, workers=2, progress=False)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=Path(W.__file__).parents[2], start_new_session=True)
    for _ in range(2400):  # a busy machine takes its time
        if any(tmp_path.glob("world.making-*/kitti/training/image_2/*.png")):
            break
        time.sleep(0.05)
    else:
        pytest.fail("the generation did not start")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
    process.kill()
    process.wait()
    assert not root.exists() and len(list(tmp_path.glob("world.making-*"))) == 1
    for _ in range(1200):  # the workers notice that their parent has gone
        if not any(_runs(pid) for pid in workers):
            break
        time.sleep(0.05)
    else:
        pytest.fail("worker processes outlive their killed parent")
    manifest = W.make_world(root, "tiny", workers=1, progress=False, **{**SMALL, "signs": 0})
    assert [p.name for p in tmp_path.iterdir()] == ["world"] and W.read_manifest(root) == manifest


def test_failure_and_interrupt_remove_the_temporary_folder(tmp_path, monkeypatch):
    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(W, "draw_picture", broken)
    with pytest.raises(KeyboardInterrupt):
        W.make_world(tmp_path / "w", "tiny", workers=1, progress=False, **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Shelf, "put", full)
    with pytest.raises(UserError, match="disk is full"):
        W.make_world(tmp_path / "w", "tiny", workers=1, progress=False, **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        dict(size="huge"),
        dict(sings=3),
        dict(scenes=-1),
        dict(scenes=1.5),
        dict(frames_per_track=0),
        dict(frames_per_track=31),
        dict(sign_skew=-1),
        dict(class_weights={"Horse": 1}),
        dict(scene_size=(20, 20)),
        dict(workers=0),
        dict(seed=-1),
    ],
)
def test_bad_options(options, tmp_path):
    with pytest.raises(UserError):
        W.make_world(tmp_path / "w", progress=False, **options)
    assert list(tmp_path.iterdir()) == []


def test_even_sign_counts():
    assert sign_counts(430).tolist() == [10] * 43


def test_skewed_sign_counts_are_those_of_gtsrb():
    counts = sign_counts(4300, 1.0)
    assert counts.sum() == 4300 and counts.min() >= 1
    assert counts.argmax() == 2 and counts[2] > 7 * counts[0]


@pytest.mark.parametrize("total", [0, 5])
def test_few_signs_are_shared_out(total):
    assert sign_counts(total).sum() == total


def test_class_weights_change_the_scenes(tmp_path):
    options = {**SMALL, "signs": 0, "scenes": 6}
    W.make_world(tmp_path / "w", workers=1, progress=False, **options, class_weights={"Truck": 1.0})
    lines = []
    for path in (tmp_path / "w/kitti/training/label_2").iterdir():
        lines += path.read_text().splitlines()
    names = {line.split()[0] for line in lines}
    assert names <= {"Truck", "DontCare"} and "Truck" in names
