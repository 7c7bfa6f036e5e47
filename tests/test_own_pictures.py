"""Pictures of users' own: arrays of other kinds, turned photos, folders with broken files."""

import json
import math
import os
import struct

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mtl_course.cli.predict import mtl_predict
from mtl_course.core.errors import UserError
from mtl_course.data.image_headers import image_header
from mtl_course.data.images import read_picture, to_image
from mtl_course.data.loaders import normalise
from mtl_course.evaluation.pictures import find_pictures
from mtl_course.evaluation.predict import draw_described, predict_image
from mtl_course.models import model_from_config
from mtl_course.models.lane_decoding import mask_to_lanes
from mtl_course.plots.drawing import draw_predictions
from mtl_course.widgets.samples import own_samples

PICTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8), (0, 0), 3)
ODD = {
    "gray": (PICTURE[..., 0], "gray"),
    "gray with a channel": (PICTURE[..., :1], "gray"),
    "RGBA": (np.dstack([PICTURE, PICTURE[..., :1]]), r"\[\.\.\., :3\]"),
    "floats": (PICTURE / 255, "255 *"),
    "16 bits": (PICTURE.astype(np.uint16), "uint16"),
    "channels first": (PICTURE.transpose(2, 0, 1), r"transpose\(1, 2, 0\)"),
    "a batch": (PICTURE[None], "one picture at a time"),
    "no pixels": (PICTURE[:0], "has pixels"),
    "a tensor": (torch.from_numpy(PICTURE), "type Tensor"),
    "a PIL image": (Image.fromarray(PICTURE), "type Image"),
    "a file name": ("road.png", "type str"),
}


@pytest.fixture(scope="module")
def model(smoke):
    torch.manual_seed(0)
    model = model_from_config(smoke)
    model.config = smoke
    return model.eval()


@pytest.fixture(scope="module")
def checkpoint(model, smoke, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.pt"
    torch.save(dict(model=model.state_dict(), config=smoke.to_dict()), path)
    return path


FUNCTIONS = {
    "draw_described": lambda image: draw_described(image, {}),
    "draw_predictions": draw_predictions,
    "to_image": to_image,
}


@pytest.mark.parametrize("kind", ODD)
def test_predicting_refuses_arrays_of_other_kinds(model, kind):
    image, remedy = ODD[kind]
    with pytest.raises(UserError, match=f"image is.*expected an RGB picture.*{remedy}|{remedy}.*expected an RGB"):
        predict_image(model, image)


@pytest.mark.parametrize("kind", ["gray", "RGBA", "floats", "a tensor"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_of_pictures_refuse_arrays_of_other_kinds(function, kind):
    with pytest.raises(UserError, match="expected an RGB picture"):
        FUNCTIONS[function](ODD[kind][0])


@pytest.mark.parametrize("images", [torch.rand(1, 3, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.int64)])
def test_normalising_takes_pixels_only(images):
    with pytest.raises(UserError, match="expected pixels, uint8"):
        normalise(images)


@pytest.mark.parametrize("mask", [255 * np.ones((9, 16)), -5 * np.ones((9, 16)), np.full((9, 16), np.nan)])
def test_decoding_lanes_refuses_what_is_no_probability(mask):
    with pytest.raises(ValueError, match="probabilities in 0..1"):
        mask_to_lanes(mask, [400, 500])


# --------------- which side is up
SHOWN = np.zeros((40, 60, 3), np.uint8)
SHOWN[:20, :30] = 255, 0, 0  # the picture as people see it: red in the upper left corner
SHOWN[:20, 30:] = 0, 255, 0
STORED = {  # EXIF orientation -> how such a camera stores it
    1: SHOWN,
    2: SHOWN[:, ::-1],
    3: SHOWN[::-1, ::-1],
    4: SHOWN[::-1],
    5: SHOWN.swapaxes(0, 1),
    6: np.rot90(SHOWN, 1),
    7: np.rot90(SHOWN.swapaxes(0, 1), 2),
    8: np.rot90(SHOWN, -1),
}


def save(path, pixels, orientation=1):
    image = Image.fromarray(np.ascontiguousarray(pixels))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, **({"quality": 98} if path.suffix == ".jpg" else {}))
    return path


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_photo_is_read_upright(tmp_path, orientation, ending):
    picture = read_picture(save(tmp_path / f"a.{ending}", STORED[orientation], orientation))
    assert picture.shape == SHOWN.shape and np.abs(picture[5, 5].astype(int) - [255, 0, 0]).max() < 30


def exif_block(orientation, order="<", kind="H"):
    "A segment of a JPEG; of TIFF's types H has two bytes and I four."
    start = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHI", 0x0112, {"H": 3, "I": 4}[kind], 1)
    value = struct.pack(order + kind, orientation).ljust(4, b"\0")
    tiff = start + struct.pack(f"{order}IH", 8, 1) + entry + value + bytes(4)
    return b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["H", "I"])
def test_an_orientation_has_two_bytes_or_four(order, kind):
    jpeg = cv2.imencode(".jpg", SHOWN)[1].tobytes()
    blocks = exif_block(6, order, kind) + exif_block(1)
    assert image_header(jpeg[:2] + blocks + jpeg[2:]).orientation == 6


def test_predictions_of_a_turned_photo_are_upright(checkpoint, tmp_path):
    save(tmp_path / "phone.jpg", STORED[6], 6)
    mtl_predict([str(tmp_path / "phone.jpg")], str(checkpoint), str(tmp_path / "out"), tasks="detection")
    found = json.loads((tmp_path / "out" / "phone.json").read_text())
    drawn = cv2.imread(str(tmp_path / "out" / "phone.png"))
    assert (found["height"], found["width"]) == drawn.shape[:2] == SHOWN.shape[:2]


# --------------- many files
@pytest.fixture
def folder(tmp_path):
    "Two good pictures and two broken ones between them."
    (tmp_path / "in").mkdir()
    for name in ("a.png", "d.png"):
        save(tmp_path / "in" / name, SHOWN)
    (tmp_path / "in" / "b.png").write_bytes(b"GIF89a")
    (tmp_path / "in" / "c.jpg").write_bytes(b"")
    return tmp_path


def predict(checkpoint, capsys, *names, out):
    "The exit code and what was said on stderr."
    with pytest.raises(SystemExit) as ending:
        mtl_predict([str(name) for name in names], str(checkpoint), str(out), tasks="classification")
    return ending.value.code, capsys.readouterr().err


def test_the_others_are_done_when_some_are_broken(checkpoint, folder, capsys):
    code, said = predict(checkpoint, capsys, folder / "in", folder / "missing.png", out=folder / "out")
    assert code == 2 and "3 of 5 pictures or videos could not be done" in said
    assert all(name in said for name in ("b.png", "c.jpg", "missing.png"))
    assert {path.name for path in (folder / "out").glob("*.png")} == {"a.png", "d.png"}


def test_a_single_broken_picture_is_one_sentence(checkpoint, folder, capsys):
    code, said = predict(checkpoint, capsys, folder / "in" / "b.png", out=folder / "out")
    assert code == 2 and len(said.strip().splitlines()) == 1 and "neither a PNG" in said


def test_the_browser_leaves_broken_pictures_out(folder, smoke):
    with pytest.warns(UserWarning, match="left out: .*neither a PNG"):
        pairs = list(own_samples(smoke, folder / "in", smoke.tasks, ("lane",)))
    assert [sample.name for sample, _ in pairs] == ["a.png", "d.png"]


def test_files_of_other_origin_are_not_overwritten(checkpoint, folder):
    (folder / "out").mkdir()
    (folder / "out" / "a.json").write_text('{"notes": "mine"}')
    for _ in range(2):
        mtl_predict([str(folder / "in" / "a.png")], str(checkpoint), str(folder / "out"), tasks="classification")
    assert json.loads((folder / "out" / "a.json").read_text()) == {"notes": "mine"}
    assert sorted(path.name for path in (folder / "out").glob("*.json")) == ["a.json", "a_2.json"]


def test_names_that_are_no_text_are_done_and_shown_as_escapes(checkpoint, tmp_path, capsys):
    "OpenCV ends the whole process at such a name."
    folder = tmp_path / "in"
    folder.mkdir()
    names = [b"Stra\xdfe.png", b"two\nlines.png", b"z.png"]
    for name in names:
        save(folder / "z.png", SHOWN)
        os.rename(os.fsencode(folder / "z.png"), os.path.join(os.fsencode(folder), name))
    (folder / os.fsdecode(b"Fu\xdf.mp4")).write_bytes(b"no video")
    code, said = predict(checkpoint, capsys, folder, out=tmp_path / "out")
    assert code == 2 and "Fu\\udcdf.mp4: expected a name of printable UTF-8" in said
    written = {name for name in os.listdir(os.fsencode(tmp_path / "out")) if name.endswith(b".png")}
    assert written == set(names)


def test_of_a_picture_and_a_link_to_it_the_picture_is_done(tmp_path):
    save(tmp_path / "a.png", SHOWN)
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "c.png").symlink_to(tmp_path / "missing.png")
    failures = []
    found = find_pictures([tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"], failures)
    assert found == [tmp_path / "a.png"]
    assert len(failures) == 1 and "c.png: a link to nothing" in failures[0]


@pytest.mark.parametrize(
    "arguments",
    [dict(tasks="lane"), dict(tasks=("lane", "rain")), dict(score_threshold="a"), dict(score_threshold=math.nan)],
)
def test_predicting_refuses_other_tasks_and_scores(model, arguments):
    with pytest.raises(UserError, match=f"{next(iter(arguments))} is .*expected"):
        predict_image(model, SHOWN, **arguments)
