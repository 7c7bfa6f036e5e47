"""The published layouts of GTSRB, KITTI and TuSimple: one picture, its file and its label."""

import hashlib
import json
import math
from pathlib import Path

import cv2
import numpy as np

from ..core.errors import UserError
from .chance import picture_rng
from .options import WorldOptions
from .scene import Scene, draw_scene
from .sign_crops import draw_sign_crop, draw_sign_track

__all__ = []

_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 92)
_SIGN_COLUMNS = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
_JOINT_SIGN_COLUMNS = "Filename;X1;Y1;X2;Y2;ClassId"


class Shelf:
    """Writes files under a folder and remembers their hashes."""

    def __init__(self, root: Path):
        self.root = root
        self.files = []  # (path, SHA-256, bytes)
        self.labels = []  # (table, key to sort by, line)

    def put(self, path: str, data: bytes):
        """Write one file."""
        file = self.root / path
        try:
            file.write_bytes(data)
        except FileNotFoundError:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        self.files.append((path, hashlib.sha256(data).hexdigest(), len(data)))

    def image(self, path: str, rgb: np.ndarray, *flags):
        """Write a picture in the format that its name ends with."""
        self._encode(path, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), flags)

    def mask(self, path: str, mask: np.ndarray):
        """Write an (H, W) uint8 mask in the format that its name ends with."""
        self._encode(path, mask, ())

    def _encode(self, path: str, pixels: np.ndarray, flags: tuple):
        """Write pixels in OpenCV's order of channels."""
        ok, data = cv2.imencode(Path(path).suffix, pixels, list(flags))
        if not ok:
            raise UserError(f"OpenCV could not encode {path}.")
        self.put(path, data.tobytes())

    def label(self, table: str, key: tuple, line: str):
        """Remember a line of a label table."""
        self.labels.append((table, key, line))


def draw_picture(
    shelf: Shelf,
    options: WorldOptions,
    stream: str,  # "track", "sign_test", "kitti", "lane", "lane_test" or "joint"
    index: int,  # number of the picture (or track) in its stream
    class_id: int,  # of a sign
):
    """Draw one picture (or track) and write it with its labels."""
    if stream == "track":
        _draw_track(shelf, options, index, class_id)
    elif stream == "sign_test":
        _draw_sign_test(shelf, options, index, class_id)
    elif stream == "kitti":
        scene = draw_scene(
            picture_rng(options.seed, "kitti", index), "kitti", options.scene_size, options.class_weights
        )
        _write_kitti(shelf, scene, "kitti", index)
    elif stream == "joint":
        _draw_joint(shelf, options, index)
    else:
        _draw_lane(shelf, options, stream, index)


def _kitti_lines(scene: Scene) -> str:
    """KITTI's 15 columns per object.

    type truncated occluded alpha x1 y1 x2 y2 h w l X Y Z rotation_y"""
    lines = []
    for o in scene.objects:
        alpha = (o.yaw - math.atan2(o.place[0], o.place[2]) + math.pi) % (2 * math.pi) - math.pi
        numbers = " ".join(f"{v:.2f}" for v in [alpha, *o.box, *o.size, *o.place, o.yaw])
        lines.append(f"{o.name} {o.truncation:.2f} {o.occlusion} {numbers}\n")
    for box in scene.ignored:
        corners = " ".join(f"{v:.2f}" for v in box)
        lines.append(f"DontCare -1 -1 -10 {corners} -1 -1 -1 -1000 -1000 -1000 -10\n")
    return "".join(lines) or "\n"  # an empty file would read as a cut-off one


def write_tables(
    root: Path,
    labels: list,  # (table, key, line) of all pictures
    files: list,  # (path, SHA-256, bytes) of all pictures
) -> dict:  # number of files, bytes, hash of the world
    """Write the label tables in index order, then the list of files."""
    shelf = Shelf(root)
    tables = {}
    for table, key, line in labels:
        tables.setdefault(table, []).append((key, line))
    for table, lines in sorted(tables.items()):
        text = _head(table) + "".join(line + "\n" for _, line in sorted(lines))
        shelf.put(table, text.encode())
    return write_files_csv(root, files + shelf.files)


def write_files_csv(
    root: Path,
    files: list,  # (path, SHA-256, bytes)
) -> dict:  # number of files, bytes, hash of the list
    """Write the list of files; its hash is that of all of them."""
    listing = "".join(f"{path};{digest};{size}\n" for path, digest, size in sorted(files)).encode()
    (root / "files.csv").write_bytes(listing)
    size = sum(file[2] for file in files)
    return dict(files=len(files), bytes=size, hash=hashlib.sha256(listing).hexdigest())


def _head(table: str) -> str:
    """First line of a label table."""
    if table.endswith(".json"):
        return ""
    return (_JOINT_SIGN_COLUMNS if table.endswith("signs.csv") else _SIGN_COLUMNS) + "\n"


def _sign_row(name: str, image: np.ndarray, roi, class_id: int) -> str:
    """A line of GTSRB's tables."""
    columns = (name, image.shape[1], image.shape[0], *(int(r) for r in roi), class_id)
    return ";".join(str(v) for v in columns)


def _draw_track(shelf: Shelf, options: WorldOptions, index: int, class_id: int):
    """The frames of one sign of GTSRB's training set."""
    folder = f"gtsrb/GTSRB/Training/{class_id:05d}"
    seed = int(picture_rng(options.seed, "track", index).integers(2**31))
    for frame, (image, roi) in enumerate(draw_sign_track(class_id, seed, frames=options.frames_per_track)):
        name = f"{index:05d}_{frame:05d}.ppm"
        shelf.image(f"{folder}/{name}", image)
        shelf.label(f"{folder}/GT-{class_id:05d}.csv", (index, frame), _sign_row(name, image, roi, class_id))


def _draw_sign_test(shelf: Shelf, options: WorldOptions, index: int, class_id: int):
    """One picture of GTSRB's test set."""
    name = f"{index:05d}.ppm"
    image, roi = draw_sign_crop(class_id, picture_rng(options.seed, "sign_test", index))
    shelf.image(f"gtsrb/GTSRB/Final_Test/Images/{name}", image)
    shelf.label("gtsrb/GT-final_test.csv", (index, 0), _sign_row(name, image, roi, class_id))


def _write_kitti(shelf: Shelf, scene: Scene, root: str, index: int):
    """A frame of KITTI."""
    shelf.image(f"{root}/training/image_2/{index:06d}.png", scene.image)
    shelf.put(f"{root}/training/label_2/{index:06d}.txt", _kitti_lines(scene).encode())


def _write_lanes(shelf: Shelf, scene: Scene, root: str, table: str, raw_file: str, index: int):
    """A frame of TuSimple."""
    shelf.image(f"{root}/{raw_file}", scene.image, *_JPEG)
    line = json.dumps(dict(lanes=scene.lanes, h_samples=scene.h_samples, raw_file=raw_file))
    shelf.label(f"{root}/{table}", (index, 0), line)


def _draw_lane(shelf: Shelf, options: WorldOptions, stream: str, index: int):
    """A scene of TuSimple's training ("lane") or test set ("lane_test")."""
    scene = draw_scene(picture_rng(options.seed, stream, index), "tusimple", options.lane_size, options.class_weights)
    date, table = ("0313", "label_data_0313.json") if stream == "lane" else ("0530", "test_label.json")
    _write_lanes(shelf, scene, "tusimple", table, f"clips/{date}/{index:06d}/20.jpg", index)


def _draw_joint(shelf: Shelf, options: WorldOptions, index: int):
    """A scene labelled for all three tasks, in the layouts of all three."""
    scene = draw_scene(picture_rng(options.seed, "joint", index), "joint", options.lane_size, options.class_weights)
    _write_kitti(shelf, scene, "joint/kitti", index)
    raw_file = f"clips/joint/{index:06d}/20.jpg"
    _write_lanes(shelf, scene, "joint/tusimple", "label_data_joint.json", raw_file, index)
    for n, (class_id, box) in enumerate(scene.signs):
        _write_joint_sign(shelf, scene.image, index, n, class_id, box)


def _write_joint_sign(shelf: Shelf, image: np.ndarray, index: int, n: int, class_id: int, box: tuple):
    """A sign of a joint scene, cut out as in GTSRB, which leaves about a tenth around it."""
    x1, y1, x2, y2 = (int(round(v)) for v in box)
    edge = max(2, round(0.1 * (x2 - x1)))
    left = max(0, x1 - edge)
    top = max(0, y1 - edge)
    crop = image[top : y2 + edge, left : x2 + edge]
    name = f"{index:06d}_{n}.ppm"
    shelf.image(f"joint/gtsrb/GTSRB/Final_Test/Images/{name}", crop)
    roi = (x1 - left, y1 - top, x2 - left - 1, y2 - top - 1)
    shelf.label("joint/gtsrb/GT-final_test.csv", (index, n), _sign_row(name, crop, roi, class_id))
    shelf.label("joint/signs.csv", (index, n), f"{index:06d}.png;{x1};{y1};{x2};{y2};{class_id}")
