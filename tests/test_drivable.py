"""The drivable area: values, lanes, what covers them, and the files in BDD100K's layout."""

import cv2
import numpy as np
import pytest

from mtl_course.core.errors import UserError
from mtl_course.world import drivable as D
from mtl_course.world.build import make_world
from mtl_course.world.camera import Camera
from mtl_course.world.canvas import Canvas
from mtl_course.world.road import Road
from mtl_course.world.scene import Scene, draw_scene

DIRECT, ALTERNATIVE, BACKGROUND = range(3)


def _road(**changes) -> Road:
    """Straight lanes of 3 m: one against us, then ours between two others."""
    lines = dict(borders=[-7.5, -4.5, -1.5, 1.5, 4.5], styles=["solid"] * 5, directions=[-1, 1, 1, 1])
    return Road("avenue", **lines, left=-8.0, right=5.0, **changes)


def _empty_scene(road: Road) -> Scene:
    """Nothing on the road: all ground between its edges is seen."""
    camera = Camera(640, 360, 500, 320, 120, 1.6)
    rows = np.arange(121, 360) + 0.5
    z = camera.depth(rows)[:, None]
    s = (np.arange(640) + 0.5 - camera.cx) * z / camera.focal - road.centre(z)
    owner = np.zeros((360, 640), np.uint8)
    owner[121:][(s > road.left) & (s < road.right)] = Canvas.ROAD
    image = np.zeros((360, 640, 3), np.uint8)
    return Scene(image, [], [], [], [], [], camera, road, "clear", owner)


def _value(scene: Scene, s: float, z: float) -> int:
    """Of the mask at a place on the road."""
    x, y = scene.camera.project(np.array([s + scene.road.centre(z), 0, z]))
    return int(D.drivable_mask(scene)[int(y), int(x)])


@pytest.mark.parametrize(
    "s, expected",
    [(0.0, DIRECT), (-3.0, ALTERNATIVE), (3.0, ALTERNATIVE), (-6.0, BACKGROUND), (4.8, BACKGROUND), (9.0, BACKGROUND)],
)
def test_lanes_of_a_straight_road(s, expected):
    assert _value(_empty_scene(_road()), s, 20.0) == expected


@pytest.mark.parametrize("s, expected", [(0.0, ALTERNATIVE), (3.0, DIRECT)])
def test_who_changes_lanes_is_in_the_new_one(s, expected):
    road = _road(x0=-1.7)  # the car is 1.7 m to the right of its lane's middle
    assert _value(_empty_scene(road), s, 12.0) == expected


def test_a_bend_is_followed():
    scene = _empty_scene(_road(curvature=1 / 150))
    assert [_value(scene, 0.0, z) for z in (8.0, 20.0, 40.0)] == [DIRECT] * 3


def test_the_lane_before_the_camera_is_direct():
    direct = 0
    for i in range(12):
        scene = draw_scene(np.random.default_rng([3, i]), "joint")
        mask = D.drivable_mask(scene)
        assert mask.shape == (360, 640) and mask.dtype == np.uint8 and mask.max() <= BACKGROUND
        direct += mask[-2, int(scene.camera.cx)] == DIRECT
    assert direct == 12


def test_what_covers_the_road_is_background():
    scene = draw_scene(np.random.default_rng([3, 1]), "joint")
    mask = D.drivable_mask(scene)
    assert (mask[scene.owner != Canvas.ROAD] == BACKGROUND).all()
    scene.owner[300:310, 300:310] = 1  # somebody stands there
    assert (D.drivable_mask(scene)[300:310, 300:310] == BACKGROUND).all()


def test_nothing_above_the_horizon_is_drivable():
    scene = draw_scene(np.random.default_rng([3, 2]), "joint")
    assert (D.drivable_mask(scene)[: int(scene.camera.horizon)] == BACKGROUND).all()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("drivable") / "world"
    return root, D.write_bdd100k(root, scenes=6)


def _files(root, pattern: str) -> dict:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.glob(pattern))}


def test_layout_of_bdd100k(written):
    root = written[0] / "bdd100k"
    for split, count in (("train", 5), ("val", 1)):
        images = sorted(path.stem for path in (root / "images" / "100k" / split).glob("*.jpg"))
        masks = sorted(path.stem for path in (root / "labels" / "drivable" / "masks" / split).glob("*.png"))
        assert images == masks and len(images) == count


def test_masks_have_one_channel_and_three_values(written):
    values = set()
    for path in (written[0] / "bdd100k/labels/drivable/masks").glob("*/*.png"):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (360, 640) and mask.dtype == np.uint8
        values |= set(np.unique(mask).tolist())
    assert values == {DIRECT, ALTERNATIVE, BACKGROUND}


def test_same_seed_same_files(written, tmp_path):
    assert D.write_bdd100k(tmp_path, scenes=6) == written[1]
    assert _files(tmp_path, "bdd100k/**/*.*") == _files(written[0], "bdd100k/**/*.*")
    assert D.write_bdd100k(tmp_path / "other", scenes=6, seed=1)["hash"] != written[1]["hash"]


def test_files_that_are_there_are_left_alone(written):
    manifest = written[0] / "bdd100k" / "manifest.json"
    stamp = manifest.stat().st_mtime_ns
    assert D.write_bdd100k(written[0], scenes=6) == written[1]
    assert manifest.stat().st_mtime_ns == stamp


def test_more_scenes_begin_with_the_same_ones(written, tmp_path):
    D.write_bdd100k(tmp_path, scenes=2)
    D.write_bdd100k(tmp_path, scenes=7)
    files = _files(tmp_path, "bdd100k/*/**/*.*g")
    assert len(files) == 14
    assert _files(written[0], "bdd100k/*/**/*.*g").items() <= files.items()
    assert [path.name for path in tmp_path.iterdir()] == ["bdd100k"]


WORLD = dict(signs=0, sign_test=1, scenes=1, lanes=1, lane_test=1, joint=0, workers=1, progress=False)


def test_the_world_around_them_stays_what_it_is(tmp_path):
    root = tmp_path / "world"
    first = make_world(root, "tiny", **WORLD)
    before = _files(root, "*/**/*.*")
    drawn = D.write_bdd100k(root, scenes=1)
    assert make_world(root, "tiny", **WORLD) == first
    assert before.items() <= _files(root, "*/**/*.*").items()
    make_world(root, "tiny", **WORLD | dict(scenes=2))
    assert D.write_bdd100k(root, scenes=1) == drawn and (root / "bdd100k" / "files.csv").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


def test_a_world_can_be_made_after_them(tmp_path):
    root = tmp_path / "world"
    D.write_bdd100k(root, scenes=1)
    make_world(root, "tiny", **WORLD)
    assert (root / "manifest.json").is_file() and (root / "bdd100k" / "manifest.json").is_file()


def test_files_of_others_are_refused(tmp_path):
    photo = tmp_path / "bdd100k" / "images" / "100k" / "train" / "0000f77c-6257be58.jpg"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"x")
    with pytest.raises(UserError, match="0000f77c-6257be58.jpg"):
        D.write_bdd100k(tmp_path, scenes=1)
    assert photo.read_bytes() == b"x"


@pytest.mark.parametrize("options", [dict(scenes=0), dict(scenes=1.5), dict(seed=-1), dict(size=(10, 10))])
def test_bad_options(options, tmp_path):
    with pytest.raises(UserError):
        D.write_bdd100k(tmp_path / "world", **options)
    assert not list(tmp_path.rglob("*.jpg"))
