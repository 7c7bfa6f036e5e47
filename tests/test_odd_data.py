"""Data as users bring it: resized, turned, huge, half there, with labels of odd forms."""

import json
import os
import shutil
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from test_readers import write_kitti, write_lanes, write_signs, write_small_data, write_test_signs

from mtl_course.cli.data import mtl_data
from mtl_course.config import Config
from mtl_course.core.errors import UserError
from mtl_course.core.task import TASKS
from mtl_course.data.checking import check_data, check_labels
from mtl_course.data.gtsrb import GTSRB
from mtl_course.data.gtsrb_tables import TRAINING
from mtl_course.data.images import read_image, read_picture
from mtl_course.data.kitti import KITTI
from mtl_course.data.kitti_labels import IMAGES, LABELS, box_faults, parse_label
from mtl_course.data.tusimple import TuSimple
from mtl_course.data.tusimple_labels import LaneLabel, reach_faults
from mtl_course.metrics import kitti_ap, tusimple_metric
from mtl_course.metrics.gtsrb_files import read_gtsrb
from mtl_course.metrics.kitti_files import write_kitti as write_official
from mtl_course.models.checkpoint import read_checkpoint

SIGN_CSV = f"{TRAINING}/00014/GT-00014.csv"
FRAME_LABEL = f"{LABELS}/000004.txt"
LANE_JSON = "tusimple/label_data_0313.json"
READERS = {"classification": GTSRB, "detection": KITTI, "lane": TuSimple}
PICTURES = {"classification": "gtsrb/**/*.ppm", "detection": "kitti/**/*.png", "lane": "tusimple/**/*.jpg"}


@pytest.fixture
def data(tmp_path):
    write_small_data(tmp_path)
    return tmp_path


def resize_all(root, task, width, height):
    "All images of a task scaled, the labels left alone."
    for path in root.glob(PICTURES[task]):
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (width, height)))


def with_orientation(path, orientation):
    "Writes an EXIF orientation into an image file and leaves its pixels as they are."
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, **({"quality": 95} if path.suffix == ".jpg" else {}))


def huge_png(width, height) -> bytes:
    "A few bytes that claim to be a picture of any size."
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", b"x"), (b"IEND", b""))
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in chunks:
        parts.append(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
    return b"".join(parts)


def huge_jpeg(width, height) -> bytes:
    "A small JPEG whose header says another size."
    data = bytearray(cv2.imencode(".jpg", cv2.UMat(64, 64, cv2.CV_8UC3).get())[1].tobytes())
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


# --------------- what the readers rely on
RESIZED = [("classification", 224, 224), ("classification", 24, 24), ("detection", 50, 15), ("lane", 107, 60)]
RESIZED += [("lane", 428, 240)]


@pytest.mark.parametrize("task,width,height", RESIZED)
def test_reading_refuses_images_of_another_size(data, task, width, height):
    resize_all(data, task, width, height)
    with pytest.raises(UserError, match=f"{width}x{height}") as error:
        READERS[task](data, "all")[0]
    assert any(word in str(error.value) for word in PICTURES[task].split("/**/*"))


@pytest.mark.parametrize("task,width,height", RESIZED[2:])
def test_records_refuse_images_of_another_size(data, task, width, height):
    resize_all(data, task, width, height)
    with pytest.raises(UserError, match=f"{width}x{height}"):
        READERS[task](data, "all").record(0)


@pytest.mark.parametrize("task", READERS)
def test_a_reader_refuses_what_check_finds_in_pixels(data, task):
    resize_all(data, task, 40, 13)
    told = check_data(data, (task,), progress=False).problems[0]
    with pytest.raises(UserError) as error:
        READERS[task](data, "all")[0]
    assert str(error.value) == str(told)


def test_a_box_that_leaves_a_smaller_image_is_refused(data):
    resize_all(data, "detection", 105, 60)
    faults = check_data(data, ("detection",), progress=False).problems
    assert any("reaches far out of the image of 105x60" in fault.message for fault in faults)


OBJECTS = """Car 0.00 0 1.85 387.63 181.54 423.81 203.12 1.67 1.87 3.69 -16.53 2.39 58.49 1.57
Car 0.48 0 1.85 1100.00 181.54 1241.00 374.00 1.67 1.87 3.69 6.53 2.39 8.49 1.57
"""  # of a frame of 1242×375 pixels, the second cut off by its lower right corner


@pytest.mark.parametrize("width, height", [(1216, 352), (1152, 352), (1024, 320), (2484, 750), (1280, 384)])
def test_labels_of_kitti_do_not_fit_a_resized_frame(width, height):
    objects = parse_label(OBJECTS, "000000.txt", [])
    assert box_faults(objects, (375, 1242)) == []
    assert len(box_faults(objects, (height, width))) == 1


@pytest.mark.parametrize("width, height", [(1920, 1080), (640, 360), (1280, 640), (800, 288)])
def test_labels_of_tusimple_do_not_fit_a_resized_frame(width, height):
    heights = np.arange(160, 720, 10, dtype=np.float32)
    label = LaneLabel("", "", np.linspace(640, 1270, len(heights), dtype=np.float32)[None], heights)
    assert reach_faults(label, (720, 1280)) == []
    assert len(reach_faults(label, (height, width))) == 1


@pytest.mark.parametrize("task", ["detection", "lane"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_a_labelled_image_with_an_orientation_is_refused(data, task, orientation):
    path = sorted(data.glob(PICTURES[task]))[0]
    with_orientation(path, orientation)
    assert f"EXIF orientation is {orientation}" in str(check_data(data, (task,), progress=False))
    with pytest.raises(UserError, match=f"EXIF orientation is {orientation}: expected 1"):
        READERS[task](data, "all")[0]


def test_an_orientation_of_one_is_no_fault(data):
    with_orientation(sorted(data.glob(PICTURES["lane"]))[0], 1)
    assert check_data(data, ("lane",), progress=False).ok


# --------------- files that claim too much, or never end
HUGE = {"a.jpg": huge_jpeg(30_000, 30_000), "b.png": huge_png(60_000, 60_000), "c.png": huge_png(2**31 - 1, 1)}


@pytest.mark.parametrize("name", HUGE)
def test_a_picture_that_claims_to_be_huge_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(HUGE[name])
    began = time.perf_counter()
    with pytest.raises(UserError, match=f"{name}.*expected at most 134 million"):
        read_image(tmp_path / name)
    assert time.perf_counter() - began < 1


def test_an_error_of_opencv_names_the_file(tmp_path):
    (tmp_path / "a.png").write_bytes(huge_png(2**25, 1))  # few pixels, and wider than OpenCV allows
    with pytest.raises(UserError, match="a.png: not a usable image"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("file", [SIGN_CSV, FRAME_LABEL, LANE_JSON, f"{IMAGES}/000004.png"])
def test_a_pipe_in_place_of_a_file_is_refused(data, file):
    (data / file).unlink()
    os.mkfifo(data / file)
    problems = check_data(data, progress=False).problems
    assert any(p.file == file and "is a pipe or a device" in p.message for p in problems)


def many_lanes(data):
    entry = json.loads((data / LANE_JSON).read_text().split("\n")[0])
    (data / LANE_JSON).write_text(json.dumps(entry | dict(lanes=entry["lanes"] * 5000)) + "\n")


def many_objects(data):
    (data / FRAME_LABEL).write_text((data / FRAME_LABEL).read_text() * 5000)


@pytest.mark.parametrize("fill,file", [(many_lanes, LANE_JSON), (many_objects, FRAME_LABEL)])
def test_a_label_of_thousands_of_objects_is_refused(data, fill, file):
    fill(data)
    assert [p.file for p in check_labels(data).problems if "expected at most" in p.message] == [file]


# --------------- a part alone
def test_the_lane_test_set_alone_can_be_evaluated(tmp_path):
    write_lanes(tmp_path, table="test_label.json", date="0601")
    for split, split_rule in (("test", "held_out"), ("all", "held_out"), ("test", "specification")):
        assert len(TuSimple(tmp_path, split, split_rule)) == 6
    with pytest.raises(UserError, match="holds no label_data_"):
        TuSimple(tmp_path, "train")


def write_sign_test(root):
    write_test_signs(root)


def write_lane_test(root):
    write_lanes(root, table="test_label.json", date="0601")


@pytest.mark.parametrize("write,task", [(write_sign_test, "classification"), (write_lane_test, "lane")])
def test_check_accepts_a_test_set_alone(tmp_path, write, task):
    write(tmp_path)
    assert check_data(tmp_path, (task,), progress=False).ok


WRITERS = {"classification": write_signs, "detection": write_kitti, "lane": write_lanes}


@pytest.mark.parametrize("task", READERS)
def test_a_missing_data_set_says_how_to_do_without_it(tmp_path, task):
    WRITERS[task](tmp_path)
    for problem in check_labels(tmp_path).problems:
        assert problem.message.endswith(f"or choose the tasks whose data is there (--tasks {task})")


@pytest.mark.parametrize("task", READERS)
def test_a_reader_of_missing_data_names_the_other_tasks(data, task):
    shutil.rmtree(data / {"classification": "gtsrb", "detection": "kitti", "lane": "tusimple"}[task])
    others = ",".join(other for other in READERS if other != task)
    with pytest.raises(UserError, match=f"--tasks {others}"):
        READERS[task](data)


@pytest.mark.parametrize("task,file", [("detection", FRAME_LABEL), ("lane", "tusimple/label_data_0601.json")])
def test_empty_labels_are_accepted_where_asked(data, task, file):
    (data / file).write_bytes(b"")
    with pytest.raises(UserError, match="is empty"):
        READERS[task](data, "all")
    assert len(READERS[task](data, "all", empty_labels="ok")) and check_labels(data, empty_labels="ok").ok


def test_an_empty_table_of_signs_is_never_accepted(data):
    (data / SIGN_CSV).write_bytes(b"")
    assert not check_labels(data, empty_labels="ok").ok


# --------------- check lists all, and briefly
@pytest.mark.parametrize("file", [SIGN_CSV, FRAME_LABEL, LANE_JSON])
def test_check_goes_on_behind_an_unreadable_file(data, file, monkeypatch):
    read_text = type(data).read_text

    def unreadable(path, **options):
        if path == data / file:
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, **options)

    (data / SIGN_CSV.replace("14", "38")).write_text("no header")
    (data / LABELS / "000001.txt").write_text("no label")
    monkeypatch.setattr(type(data), "read_text", unreadable)
    files = {problem.file for problem in check_labels(data).problems}
    assert {file, SIGN_CSV.replace("14", "38"), f"{LABELS}/000001.txt"} <= files


def test_an_unreadable_table_is_one_problem(data):
    (data / SIGN_CSV).write_bytes(b"\xff\xfe\x00")
    assert [problem.file for problem in check_labels(data).problems] == [SIGN_CSV]


def test_check_goes_on_behind_an_unreadable_folder(data, monkeypatch):
    scandir = os.scandir

    def unreadable(path):
        if str(path).endswith("00014"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    (data / FRAME_LABEL).write_text("no label")
    monkeypatch.setattr(os, "scandir", unreadable)
    problems = check_labels(data).problems
    assert len(problems) == 2 and "Permission denied" in str(problems[0]) and problems[1].file == FRAME_LABEL


LONG = "9" * 100_000


def long_column(data):
    (data / FRAME_LABEL).write_text(f"Car {LONG} 0 1 2 3 4 5 6 7 8 9 10 11 12\n")


def long_class(data):
    (data / FRAME_LABEL).write_text(f"{LONG} 0 0 1 2 3 4 5 6 7 8 9 10 11 12\n")


def long_number_in_json(data):
    (data / LANE_JSON).write_text('{"raw_file": "' + LONG + '", "lanes": [], "h_samples": [1, 2]}\n')


def long_row(data):
    lines = (data / SIGN_CSV).read_text().split("\n")
    (data / SIGN_CSV).write_text("\n".join([lines[0], f"00000_00000.ppm;{LONG};{LONG};4;3;28;27;14", *lines[2:]]))


@pytest.mark.parametrize("damage", [long_column, long_class, long_number_in_json, long_row])
def test_a_value_of_many_digits_is_not_repeated(data, damage):
    damage(data)
    report = check_labels(data)
    assert report.problems and max(len(str(problem)) for problem in report.problems) < 1000


@pytest.mark.parametrize("text", [LONG, "1 2 " * 50_000])
def test_an_error_stays_readable_whatever_it_repeats(text):
    assert len(str(UserError(f"seed is {text!r}: expected a whole number"))) < 4000


# --------------- the truth of the official KITTI score
CARS = "Car 0.00 {occluded} 1.50 {x}.00 10.00 {end}.00 90.00 1.50 1.60 3.90 1.00 1.60 20.00 1.57\n"


def label_text(occluded=("0", "1", "2")) -> str:
    lines = []
    for k, value in enumerate(occluded):
        lines.append(CARS.format(occluded=value, x=20 + 100 * k, end=80 + 100 * k))
    return "".join(lines)


FORMS = {
    "occlusion as a float": label_text(("0.0", "1.0", "2.")).encode(),
    "occlusion with an exponent": label_text(("0e0", "1e0", "2")).encode(),
    "a byte-order mark": b"\xef\xbb\xbf" + label_text().encode(),
    "a byte-order mark and CR LF": b"\xef\xbb\xbf" + label_text().replace("\n", "\r\n").encode(),
    "digits with underscores": label_text().replace("1.60 20.00", "1.60 2_0.00").encode(),
    "spaces that do not break": label_text().replace(" ", "\N{NO-BREAK SPACE}").encode(),
    "digits of another script": label_text().replace("1.60 20.00", "1.60 \N{ARABIC-INDIC DIGIT TWO}0.0").encode(),
}


def official_objects(folder, label: bytes) -> list:
    "The numbers of cars that the official program counts after `write_kitti` wrote the truth."
    folder.mkdir()
    (folder / "000000.txt").write_bytes(label)
    write_official(folder / "out", [folder / "000000.txt"], [""])
    return list(kitti_ap(folder / "out" / "label_2", folder / "out" / "data")["Car"]["n_gt"])


@pytest.mark.parametrize("form", FORMS)
def test_the_official_score_reads_labels_as_the_course_does(tmp_path, form):
    assert official_objects(tmp_path / "odd", FORMS[form]) == [1, 2, 3]


def test_a_label_of_the_official_form_is_copied_byte_for_byte(tmp_path):
    label = label_text().replace(" ", "  ").encode()
    official_objects(tmp_path / "k", label)
    assert (tmp_path / "k" / "out" / "label_2" / "000000.txt").read_bytes() == label


@pytest.mark.parametrize("form", list(FORMS)[:4])
def test_labels_that_the_official_program_misreads_are_told(tmp_path, form):
    for folder, content in (("label_2", FORMS[form]), ("data", b"")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "000000.txt").write_bytes(content)
    with pytest.warns(UserWarning, match="1 label file.*000000.txt.*not read by the official"):
        kitti_ap(tmp_path / "label_2", tmp_path / "data")


# ---------------- other files that users name
def read_official_folder(path):
    path.with_name("label_2").mkdir()
    path.rename(path.with_name("label_2") / "000000.txt")
    path.with_name("data").mkdir()
    kitti_ap(path.with_name("label_2"), path.with_name("data"))


FILE_READERS = {
    "checkpoint": read_checkpoint,
    "config": Config.load,
    "classes of signs": read_gtsrb,
    "labels of KITTI": read_official_folder,
    "predicted lanes": lambda path: tusimple_metric(path, path),
    "picture": read_picture,
}


@pytest.mark.parametrize("kind", FILE_READERS)
def test_a_pipe_is_no_file(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is a pipe or a device: expected a regular file"):
        FILE_READERS[kind](tmp_path / "pipe")


def test_one_failed_download_does_not_end_the_others(tmp_path, monkeypatch, capsys):
    def fail(self, root):
        raise UserError("no network")

    monkeypatch.setattr(type(TASKS["classification"]), "download", fail)
    monkeypatch.setattr(type(TASKS["detection"]), "download", lambda self, root: None)
    with pytest.raises(SystemExit) as ending:
        mtl_data("download", str(tmp_path / "real"), tasks="classification,detection")
    told = capsys.readouterr()
    assert ending.value.code == 2 and "no network" in told.err and "detection: in" in told.out
