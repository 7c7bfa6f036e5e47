"""What `mtl_predict` writes: never over a file of somebody else's, and never half a video."""

import errno
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import mtl_course.cli.predict as predict


@pytest.fixture
def picture(tmp_path, monkeypatch):
    "A picture, and a network that sees nothing."
    monkeypatch.setattr(predict, "load_model", lambda *_: None)
    monkeypatch.setattr(predict, "check_tasks", lambda *_: None)
    monkeypatch.setattr(predict, "predict_image", lambda *_, **__: {})
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "1.png"), np.zeros((40, 60, 3), np.uint8))
    return tmp_path / "in" / "1.png"


def written(picture, out) -> dict:  # name -> bytes
    predict.mtl_predict([str(picture)], out=str(out))
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.parametrize("name", ["1.json", "1.png"])
def test_a_foreign_file_is_not_overwritten(picture, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text('{"labels": [1, 2]}')
    files = written(picture, tmp_path / "out")
    assert files.keys() == {name, "1_2.png", "1_2.json"}
    assert files[name] == b'{"labels": [1, 2]}'


def test_a_second_prediction_replaces_the_first(picture, tmp_path):
    assert written(picture, tmp_path / "out") == written(picture, tmp_path / "out")


def write_video(path):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for k in range(3):
        writer.write(np.full((64, 96, 3), 40 * k, np.uint8))
    writer.release()


def test_a_second_prediction_of_a_video_replaces_the_first(picture, tmp_path):
    write_video(tmp_path / "in" / "drive.avi")
    for _ in range(2):
        files = written(tmp_path / "in" / "drive.avi", tmp_path / "out")
    assert files.keys() == {"drive.mp4", "drive.jsonl"}


class FullDisk:
    "A writer that loses what it is given, as OpenCV's does when the disk is full."

    def __init__(self, path, *_):
        open(path, "wb").close()

    def isOpened(self):
        return True

    def write(self, frame):
        pass

    def release(self):
        pass


def test_a_video_without_frames_is_no_success(picture, tmp_path, monkeypatch):
    write_video(tmp_path / "in" / "drive.avi")
    monkeypatch.setattr(cv2, "VideoWriter", FullDisk)
    monkeypatch.setattr(cv2, "VideoWriter_fourcc", lambda *_: 0, raising=False)
    with pytest.raises(SystemExit):
        predict.mtl_predict([str(tmp_path / "in" / "drive.avi")], out=str(tmp_path / "out"))
    assert not list((tmp_path / "out").iterdir())


def test_a_picture_that_cannot_be_written_is_told(picture, tmp_path, monkeypatch, capsys):
    def write_bytes(path, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(SystemExit) as ending:
        predict.mtl_predict([str(picture)], out=str(tmp_path / "out"))
    assert ending.value.code == 2 and "the disk is full" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_the_json_names_its_picture(picture, tmp_path):
    assert json.loads(written(picture, tmp_path / "out")["1.json"])["file"] == "1.png"
