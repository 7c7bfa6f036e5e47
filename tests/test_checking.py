"""Damaged data: `check_data` lists all of it, `check_labels` what the labels show, and the readers
refuse to start.
"""

import json, shutil
from pathlib import Path
import pytest
from mtl_course.config import TASKS
from mtl_course.core.errors import UserError
from mtl_course.core.files import real_data_root
from mtl_course.data.checking import check_data, check_labels
from mtl_course.data.download import download, how_to_get
from mtl_course.data.gtsrb import GTSRB
from mtl_course.data.gtsrb_tables import TEST_CSV, TEST_IMAGES, TRAINING
from mtl_course.data.kitti import KITTI
from mtl_course.data.kitti_labels import IMAGES, LABELS
from mtl_course.data.tusimple import TuSimple
from mtl_course.world.build import make_world
from test_readers import needs_real_data, write_small_data, write_test_signs

READER = {"classification": GTSRB, "detection": KITTI, "lane": TuSimple}
CSV = f"{TRAINING}/00014/GT-00014.csv"
SIGN = f"{TRAINING}/00014/00001_00000.ppm"
LABEL = f"{LABELS}/000004.txt"
FRAME = f"{IMAGES}/000004.png"
JSON = "tusimple/label_data_0313.json"
LANE = "tusimple/clips/0313/3/20.jpg"
GOOD_CAR = "Car 0.00 0 1.50 20.00 10.00 60.00 40.00 1.50 1.60 3.90 1.00 1.60 20.00 1.50"


@pytest.fixture
def data(tmp_path):
    write_small_data(tmp_path)
    return tmp_path


def line(n, change):
    "Damage to line n (from 1) of a text file."

    def damage(path):
        lines = path.read_text().split("\n")
        lines[n - 1] = change(lines[n - 1]) if callable(change) else change
        path.write_text("\n".join(lines))

    return damage


def column(n, k, value, separator=";"):
    "Damage to column k of line n of a text file."

    def change(text):
        parts = text.split(separator)
        parts[k] = value
        return separator.join(parts)

    return line(n, change)


def entry(n, **changes):
    "Damage to the JSON object in line n; a value may be a function of the old one."

    def change(text):
        e = json.loads(text)
        for k, v in changes.items():
            e[k] = v(e[k]) if callable(v) else v
        return json.dumps(e)

    return line(n, change)


def without(key):
    return lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != key})


def write(data):
    return lambda path: path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2])


def flip(path):
    b = bytearray(path.read_bytes())
    b[len(b) // 2] ^= 1
    path.write_bytes(bytes(b))


def remove(path):
    path.unlink()


def remove_folder(path):
    shutil.rmtree(path)


def empty_folder(path):
    shutil.rmtree(path)
    path.mkdir()


def repeat(n):
    return line(n, lambda text: f"{text}\n{text}")


def no_numbers(path):
    path.rename(path.with_name("sign.ppm"))
    table = path.parent / "GT-00014.csv"
    table.write_text(table.read_text().replace(path.name, "sign.ppm"))


LABEL_DAMAGES = [  # task, damaged file, damage, file and line of the problem, what the message says
    ("classification", CSV, column(3, 7, "43"), CSV, "line 3", "ClassId is 43, expected 0-42"),
    ("classification", CSV, column(3, 7, "-1"), CSV, "line 3", "ClassId is -1, expected 0-42"),
    ("classification", CSV, column(3, 7, "13"), CSV, "line 3", "ClassId is 13, expected 14"),
    ("classification", CSV, column(4, 1, "wide"), CSV, "line 4", "Width is 'wide', expected a whole number"),
    ("classification", CSV, column(4, 3, "1e99"), CSV, "line 4", "Roi.X1 is '1e99', expected a whole number"),
    ("classification", CSV, column(4, 3, "9" * 30), CSV, "line 4", "expected a whole number below a million"),
    ("classification", CSV, column(5, 5, "2"), CSV, "line 5", "turned round or empty"),
    ("classification", CSV, column(5, 6, "3"), CSV, "line 5", "turned round or empty"),
    ("classification", CSV, column(5, 5, "99"), CSV, "line 5", "leaves the image of 32x30"),
    ("classification", CSV, line(6, lambda t: t.rpartition(";")[0]), CSV, "line 6", "7 columns, expected 8"),
    ("classification", CSV, line(1, "00000_00000.ppm;32;30;4;3;28;27;14"), CSV, "line 1", "the header is"),
    ("classification", CSV, line(1, lambda t: t.replace(";", ",")), CSV, "line 1", "the header is"),
    ("classification", CSV, write(b""), CSV, "", "is empty (0 bytes)"),
    ("classification", CSV, write(b"\xff\xfe\x00binary"), CSV, "", "cannot be read as text"),
    ("classification", CSV, remove, CSV, "", "no such file"),
    (
        "classification",
        CSV,
        column(2, 0, "00009_00000.ppm"),
        CSV,
        "line 2",
        "names 00009_00000.ppm, which is not there",
    ),
    ("classification", CSV, line(7, ""), f"{TRAINING}/00014/00001_00002.ppm", "", "has no line in GT-00014.csv"),
    ("classification", CSV, repeat(5), CSV, "line 6", "was named in line 5 already"),
    ("classification", SIGN, remove, CSV, "line 5", "names 00001_00000.ppm, which is not there"),
    ("classification", SIGN, no_numbers, CSV, "line 5", "expected TTTTT_FFFFF.ppm"),
    ("classification", f"{TRAINING}/00014", empty_folder, f"{TRAINING}/00014", "", "is an empty folder"),
    (
        "classification",
        f"{TRAINING}/00014",
        lambda p: p.rename(p.with_name("00043")),
        f"{TRAINING}/00043",
        "",
        "is not the folder of a class",
    ),
    (
        "classification",
        TRAINING,
        empty_folder,
        TRAINING,
        "",
        "is an empty folder, expected gtsrb/GTSRB/Training/000cc/TTTTT_FFFFF.ppm",
    ),
    ("classification", TRAINING, remove_folder, TRAINING, "", "no such folder"),
    ("detection", LABEL, line(1, GOOD_CAR.rpartition(" ")[0]), LABEL, "line 1", "14 columns, expected 15"),
    ("detection", LABEL, line(1, GOOD_CAR + " 0.9"), LABEL, "line 1", "16 columns, expected 15"),
    ("detection", LABEL, column(3, 0, "Bus", " "), LABEL, "line 3", "'Bus' is not a class of KITTI"),
    ("detection", LABEL, column(1, 0, "car", " "), LABEL, "line 1", "'car' is not a class of KITTI"),
    ("detection", LABEL, column(2, 8, "tall", " "), LABEL, "line 2", "height is 'tall', expected a finite number"),
    ("detection", LABEL, column(2, 11, "nan", " "), LABEL, "line 2", "x is 'nan', expected a finite number"),
    ("detection", LABEL, column(1, 4, "70.00", " "), LABEL, "line 1", "turned round or empty, expected x1 < x2"),
    ("detection", LABEL, column(4, 7, "5.00", " "), LABEL, "line 4", "turned round or empty"),
    ("detection", LABEL, column(1, 1, "30", " "), LABEL, "line 1", "truncated is 30, expected 0 to 1"),
    ("detection", LABEL, column(1, 2, "4", " "), LABEL, "line 1", "occluded is 4"),
    ("detection", LABEL, column(1, 13, "1e7", " "), LABEL, "line 1", "beyond a million"),
    ("detection", LABEL, write(b""), LABEL, "", "is empty (0 bytes)"),
    ("detection", LABEL, remove, FRAME, "", "has no label"),
    ("detection", FRAME, remove, LABEL, "", "has no image"),
    ("detection", IMAGES, empty_folder, IMAGES, "", "is an empty folder"),
    ("detection", LABELS, remove_folder, LABELS, "", "no such folder"),
    ("lane", JSON, line(4, lambda t: t[:-20]), JSON, "line 4", "is not JSON"),
    ("lane", JSON, line(4, "[1, 2]"), JSON, "line 4", "expected an object with lanes, h_samples and raw_file"),
    (
        "lane",
        JSON,
        line(4, without("h_samples")),
        JSON,
        "line 4",
        "expected an object with lanes, h_samples and raw_file",
    ),
    (
        "lane",
        JSON,
        entry(4, h_samples=lambda h: h[:-1]),
        JSON,
        "line 4",
        "lane 0 has 8 values, expected 7 as h_samples has",
    ),
    ("lane", JSON, entry(4, lanes=lambda l: [l[0], l[1] + [5]]), JSON, "line 4", "lane 1 has 9 values, expected 8"),
    ("lane", JSON, entry(4, lanes=lambda l: [l[0], ["a"] * 8]), JSON, "line 4", "lane 1 is not a list of numbers"),
    ("lane", JSON, entry(4, lanes=lambda l: [[float("nan")] * 8]), JSON, "line 4", "lane 0 is not a list of numbers"),
    ("lane", JSON, entry(4, lanes=3), JSON, "line 4", "lanes is not a list"),
    ("lane", JSON, entry(4, h_samples=[]), JSON, "line 4", "h_samples is not a list of rising numbers"),
    ("lane", JSON, entry(4, h_samples=lambda h: h[::-1]), JSON, "line 4", "h_samples is not a list of rising numbers"),
    (
        "lane",
        JSON,
        entry(4, raw_file="clips/0313/77/20.jpg"),
        JSON,
        "line 4",
        "names clips/0313/77/20.jpg, which is not there",
    ),
    ("lane", JSON, entry(4, raw_file="../../etc/20.jpg"), JSON, "line 4", "raw_file is not a path below tusimple/"),
    ("lane", JSON, entry(4, raw_file=None), JSON, "line 4", "raw_file is not a path"),
    (
        "lane",
        JSON,
        entry(4, raw_file="/clips/0313/1/20.jpg"),
        JSON,
        "line 4",
        "was labelled in tusimple/label_data_0313.json, line 2 already",
    ),
    ("lane", JSON, write(b""), JSON, "", "is empty (0 bytes)"),
    ("lane", JSON, write(b"\n\n"), "tusimple", "", "hold no label"),
    ("lane", JSON, remove, "tusimple", "", "holds no label_data_*.json"),
    ("lane", LANE, remove, JSON, "line 4", "names clips/0313/3/20.jpg, which is not there"),
    ("lane", "tusimple", remove_folder, "tusimple", "", "no such folder"),
]


@pytest.mark.parametrize("task, target, damage, file, where, message", LABEL_DAMAGES)
def test_damaged_label(data, task, target, damage, file, where, message):
    damage(data / target)
    for report in (check_labels(data), check_data(data, progress=False)):
        found = [p for p in report.problems if p.file == file and p.where == where and message in p.message]
        assert len(found) == 1 and not report.ok, report
        assert str(found[0]) in str(report)
    with pytest.raises(UserError) as e:
        for split in ("train", "val", "test"):
            READER[task](data, split=split)  # whatever split the fault is in: each parses all labels
    assert str(e.value).startswith(str(check_labels(data, (task,)).problems[0]))
    for other in set(TASKS) - {task}:
        assert len(READER[other](data)) and check_labels(data, (other,)).ok  # the other tasks are not disturbed


PIXEL_DAMAGES = [
    *[
        ("classification", SIGN, d, SIGN, m)
        for d, m in (
            (cut, "cut off"),
            (write(b""), "is empty"),
            (write(b"P5\n1 1\n255\n0"), "neither a PNG"),
            (write(b"P6\n0 0\n255\n"), "0x0"),
        )
    ],
    *[
        ("detection", FRAME, d, FRAME, m)
        for d, m in (
            (cut, "cut off"),
            (flip, "checksum"),
            (write(b""), "is empty"),
            (write(b"GIF89a"), "neither a PNG"),
        )
    ],
    *[
        ("lane", LANE, d, LANE, m)
        for d, m in ((cut, "cut off"), (write(b""), "is empty"), (write(b"\xff\xd8\xff\xd9"), "cut off"))
    ],
    ("classification", CSV, column(5, 1, "33"), SIGN, "has 32x30 pixels, but its csv says 33x30"),
    (
        "detection",
        LABEL,
        line(1, GOOD_CAR.replace("20.00 10.00 60.00", "220.00 10.00 260.00")),
        FRAME,
        "lies outside the image of 200x60",
    ),
    ("lane", JSON, entry(4, lanes=lambda l: [[900] * 8]), LANE, "outside the image of 214x120"),
    ("lane", JSON, entry(4, h_samples=lambda h: [10 * y for y in h]), LANE, "outside the image"),
]


@pytest.mark.parametrize("task, target, damage, file, message", PIXEL_DAMAGES)
def test_damaged_pixels(data, task, target, damage, file, message):
    damage(data / target)
    assert check_labels(data).ok  # not seen without the pixels
    report = check_data(data, progress=False)
    assert len(report.problems) == 1 and report.problems[0].file == file and message in report.problems[0].message, (
        report
    )
    with pytest.raises(UserError, match="mtl_data check|checksum|cut off|empty|neither|0x0|outside|csv says"):
        report.raise_problems()


def test_all_problems_are_listed_at_once(data):
    for damage, target in (
        (column(3, 7, "43"), CSV),
        (column(9, 7, "99"), CSV),
        (cut, SIGN),
        (line(1, "Car 1 2"), LABEL),
        (cut, FRAME),
        (line(2, "{"), JSON),
        (entry(3, lanes=[[1]]), JSON),
        (cut, LANE),
    ):
        damage(data / target)
    report = check_data(data, progress=False)
    assert {(p.file, p.where) for p in report.problems} == {
        (CSV, "line 3"),
        (CSV, "line 9"),
        (SIGN, ""),
        (LABEL, "line 1"),
        (FRAME, ""),
        (JSON, "line 2"),
        (JSON, "line 3"),
        (LANE, ""),
    }
    assert str(report).count("\n  ") == 8 and "8 problems:" in str(report)
    with pytest.raises(UserError, match=r"\(7 more: `mtl_data check FOLDER` lists them all\)"):
        report.raise_problems()


def test_images_of_broken_labels_are_checked_too(data):
    column(5, 7, "43")(data / CSV)
    cut(data / SIGN)
    line(1, "Car")(data / LABEL)
    cut(data / FRAME)
    line(4, "{")(data / JSON)
    cut(data / LANE)
    assert {p.file for p in check_data(data, progress=False).problems} == {CSV, SIGN, LABEL, FRAME, JSON, LANE}


def test_official_test_set_needs_both_halves(data):
    write_test_signs(data)
    assert check_data(data, progress=False).counts["classification"]["official test images"] == 6
    (data / TEST_CSV).rename(data / "csv")
    assert [p.file for p in check_labels(data).problems] == [TEST_CSV]
    (data / "csv").rename(data / TEST_CSV)
    shutil.rmtree(data / TEST_IMAGES)
    assert [p.file for p in check_labels(data).problems] == [TEST_IMAGES]


def test_counts_of_whole_data(data):
    report = check_data(data, progress=False)
    assert report.ok and str(report).endswith("no problems")
    signs, frames, lanes = (report.counts[t] for t in TASKS)
    assert (signs["images"], signs["classes"], signs["tracks"]) == (27, 3, 9) and signs["images per class"] == {
        0: 9,
        14: 9,
        38: 9,
    }
    assert signs["image sizes"] == {"32x30": 9, "37x35": 9, "42x40": 9}
    assert (
        frames["images"] == 10
        and frames["boxes"] == {"Car": 10, "Misc": 10, "DontCare": 10, "Person_sitting": 10}
        and frames["image sizes"] == {"200x60": 10}
    )
    assert lanes["images"] == 6 and lanes["lanes"] == 12 and lanes["heights per lane"] == {8: 6}
    json.dumps(report.counts)  # plain numbers and names


def test_wrong_arguments(tmp_path):
    assert "no such folder" in str(check_data(tmp_path / "nowhere", progress=False))
    assert (
        len(check_labels(tmp_path).problems) == 4
    )  # an empty folder: three sets are missing, KITTI with both of its folders
    with pytest.raises(UserError, match="tasks is .'lanes',.: expected one or more of"):
        check_labels(tmp_path, ("lanes",))
    with pytest.raises(UserError, match="unknown task 'lanes'"):
        how_to_get("lanes")


def test_the_world_is_valid(tmp_path):
    make_world(
        tmp_path / "world",
        size="tiny",
        workers=1,
        progress=False,
        signs=43 * 3,
        sign_test=43,
        scenes=8,
        lanes=6,
        lane_test=2,
        joint=2,
    )
    report = check_data(tmp_path / "world", progress=False)
    assert report.ok, report
    assert (
        report.counts["classification"]["classes"] == 43
        and report.counts["detection"]["images"] == 8
        and report.counts["lane"]["official test images"] == 2
    )
    for reader in READER.values():
        assert len(reader(tmp_path / "world" / "joint", split="test" if reader is GTSRB else "all"))


@needs_real_data
def test_real_data_is_valid():
    report = check_data(real_data_root(), progress=False)
    assert report.ok, report
    signs, frames, lanes = (report.counts[t] for t in TASKS)
    assert (signs["images"], signs["classes"], signs["tracks"]) == (6650, 43, 667)
    assert frames["images"] == 60 and frames["boxes"] == dict(
        Car=175, Van=18, Cyclist=8, Tram=4, Pedestrian=25, Truck=8, Misc=2, DontCare=165
    )
    assert lanes["images"] == 6 and lanes["image sizes"] == {"1280x720": 6}


# getting the real sets


@pytest.mark.parametrize("task", TASKS)
def test_how_to_get_names_archives_and_layout(task):
    assert ".zip" in how_to_get(task) and "Layout:" in how_to_get(task)


def test_download_lays_kitti_out(tmp_path, monkeypatch):
    def fake(root, download):
        (Path(root) / "Kitti" / "raw").mkdir(parents=True)
        write_small_data(tmp_path / "other")
        shutil.copytree(tmp_path / "other" / "kitti" / "training", Path(root) / "Kitti" / "raw" / "training")

    monkeypatch.setattr("torchvision.datasets.Kitti", fake)
    download("detection", tmp_path / "data")
    assert len(KITTI(tmp_path / "data", split="all")) == 10
    download("detection", tmp_path / "data")  # nothing left to do


def test_failed_download_is_one_sentence(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("network is unreachable")

    monkeypatch.setattr("torchvision.datasets.GTSRB", fail)
    with pytest.raises(
        UserError,
        match="download of the classification data.*network is unreachable.*`mtl_data get --tasks classification`",
    ) as e:
        download("classification", tmp_path)
    assert "\n" not in str(e.value)
    with pytest.raises(UserError, match="no downloader.*`mtl_data get --tasks lane`"):
        download("lane", tmp_path)


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_nothing_is_downloaded_into_the_built_in_world(tmp_path, monkeypatch, task):
    """Its folders have the names of the real ones: the downloaders would take the drawings for what
    they were asked to fetch.
    """

    def never(*_, **__):
        raise AssertionError("downloaded")

    for name in ("GTSRB", "Kitti"):
        monkeypatch.setattr(f"torchvision.datasets.{name}", never)
    write_small_data(tmp_path)
    (tmp_path / "manifest.json").write_text('{"hash": ""}')
    with pytest.raises(UserError, match="is the built-in world: choose another folder"):
        download(task, tmp_path)
