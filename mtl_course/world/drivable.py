"""The drivable area as BDD100K labels it, in BDD100K's layout: for a task that is not one of the
built-in three."""

import json
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from ..core.errors import UserError
from .build import WORLD_VERSION, read_manifest
from .camera import SCENE_SIZES
from .canvas import Canvas
from .chance import picture_rng
from .folders import foreign_file, making_folder, move_into_place, rescue
from .ground import ground_positions
from .layouts import Shelf, write_files_csv
from .road import Road
from .scene import Scene, draw_scene

__all__ = []

DRIVABLE_CLASSES = ("direct", "alternative", "background")  # index = pixel value of a mask, as in BDD100K
_DIRECT, _ALTERNATIVE, _BACKGROUND = range(3)
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 92)


def drivable_mask(
    scene: Scene,
) -> np.ndarray:  # (H, W) uint8: 0 direct, 1 alternative, 2 background
    """Which pixels show road surface that the car may drive on, as the scene's geometry knows it.

    Direct: the lane that the car is in. Alternative: the other lanes in its direction, to which
    it could change. Background: everything else, oncoming lanes, shoulders and whatever covers
    the road (BDD100K; Yu et al. 2020)."""
    camera = scene.camera
    ground = ground_positions(camera, scene.road)
    mask = np.full((camera.height, camera.width), _BACKGROUND, np.uint8)
    below = mask[ground.top :]
    ego = _ego_lane(scene.road)
    for lane, direction in enumerate(scene.road.directions):
        left, right = scene.road.borders[lane : lane + 2]
        inside = (ground.s > left) & (ground.s <= right)
        if lane == ego:
            below[inside] = _DIRECT
        elif direction > 0:
            below[inside] = _ALTERNATIVE
    mask[scene.owner != Canvas.ROAD] = _BACKGROUND
    return mask


def write_bdd100k(
    root: str | Path,  # folder of a world, or of one to be
    scenes: int = 200,  # pictures; every fifth is for validation
    seed: int = 0,
    size: tuple[int, int] = SCENE_SIZES["joint"],  # (width, height) in pixels
    progress: bool = False,
) -> dict:  # the manifest, which also lies in bdd100k/manifest.json
    """Draw road scenes and their drivable areas in BDD100K's layout, or leave them alone when they
    are there.

    `bdd100k/images/100k/{train,val}/NAME.jpg` and
    `bdd100k/labels/drivable/masks/{train,val}/NAME.png`, masks of one channel with the values of
    DRIVABLE_CLASSES. Raises `UserError` for bad arguments, and where the folder holds files that
    were not drawn."""
    if isinstance(scenes, bool) or not isinstance(scenes, int) or scenes < 1:
        raise UserError(f"scenes is {scenes!r}: expected a whole number of at least 1; say how many to draw.")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UserError(f"seed is {seed!r}: expected a whole number of at least 0; choose another.")
    folder = Path(root).expanduser().absolute() / "bdd100k"
    identity = dict(version=WORLD_VERSION, options=dict(scenes=scenes, seed=seed, size=list(size)))
    rescue(folder)
    manifest = read_manifest(folder)
    if manifest and all(manifest.get(key) == value for key, value in identity.items()):
        return manifest
    if folder.is_dir() and (foreign := foreign_file(folder)):
        raise UserError(f"{folder} holds {foreign}, which was not drawn: move it away, or choose another folder.")
    with making_folder(folder) as making:
        shelf = Shelf(making)
        for index in tqdm(range(scenes), desc="drawing bdd100k", unit=" scenes", disable=not progress):
            _write_scene(shelf, seed, index, size)
        validation = scenes // 5
        counts = dict(train=scenes - validation, val=validation)
        manifest = dict(**identity, counts=counts, **write_files_csv(making, shelf.files))
        (making / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        move_into_place(making, folder)
    return manifest


def _ego_lane(road: Road) -> int:
    """Number of the lane that the car is in, which while it changes lanes is not always the one
    around s = 0."""
    s = -road.x0  # of the camera
    inner = road.borders[1:-1]
    return int(np.searchsorted(inner, s))


def _write_scene(shelf: Shelf, seed: int, index: int, size: tuple[int, int]):
    """A picture and its mask; both depend on seed and index alone, so more scenes begin with the
    same ones."""
    scene = draw_scene(picture_rng(seed, "drivable", index), "joint", size)
    split = "val" if index % 5 == 4 else "train"
    name = f"{seed:08x}-{index:08x}"  # BDD100K's names look like this
    shelf.image(f"images/100k/{split}/{name}.jpg", scene.image, *_JPEG)
    shelf.mask(f"labels/drivable/masks/{split}/{name}.png", drivable_mask(scene))
