"""Road scenes: geometry, labels and determinism."""

import numpy as np
import pytest

from mtl_course.core.errors import UserError
from mtl_course.world.camera import SCENE_SIZES, Camera
from mtl_course.world.canvas import Canvas
from mtl_course.world.ground import paint_ground
from mtl_course.world.labels import Drawn, label_objects, lane_labels, lane_rows
from mtl_course.world.road import Road
from mtl_course.world.scene import draw_scene
from mtl_course.world.traffic import CLASS_WEIGHTS, RoadUser
from mtl_course.world.vehicles import make_car
from mtl_course.world.weather import WEATHERS, make_weather


def _scenes(kind: str):
    return [draw_scene(np.random.default_rng([1, i]), kind) for i in range(12)]


@pytest.fixture(scope="module")
def drawn():
    return {kind: _scenes(kind) for kind in SCENE_SIZES}


def test_projection_inverts_to_depth():
    camera = Camera(621, 188, 360.5, 305.0, 86.0, 1.65)
    for z in (3.0, 10.0, 60.0):
        x, y = camera.project(np.array([1.2, 0.0, z]))
        assert camera.depth(y) == pytest.approx(z)
        assert (x - 305) * z / 360.5 == pytest.approx(1.2)


@pytest.mark.parametrize("kind", SCENE_SIZES)
def test_picture_and_boxes(drawn, kind):
    w, h = SCENE_SIZES[kind]
    for scene in drawn[kind]:
        assert scene.image.shape == (h, w, 3) and scene.image.dtype == np.uint8 and scene.image.std() > 5
        for o in scene.objects:
            x1, y1, x2, y2 = o.box
            assert 0 <= x1 < x2 <= w - 1 and 0 <= y1 < y2 <= h - 1
            assert o.name in CLASS_WEIGHTS and 0 <= o.truncation <= 1 and o.occlusion in (0, 1, 2, 3)
            assert y2 - y1 >= 24 * scene.camera.focal / 721
        for x1, y1, x2, y2 in scene.ignored:
            assert 0 <= x1 < x2 <= w - 1 and 0 <= y1 < y2 <= h - 1
    assert sum(len(s.objects) for s in drawn[kind]) > 12


@pytest.mark.parametrize("kind", ["tusimple", "joint"])
def test_lanes(drawn, kind):
    w, h = SCENE_SIZES[kind]
    for scene in drawn[kind]:
        assert len(scene.h_samples) == 56 and scene.h_samples[0] >= 0 and scene.h_samples[-1] < h
        assert len(scene.lanes) <= 5
        for lane in scene.lanes:
            assert len(lane) == 56 and all(x == -2 or 0 <= x < w for x in lane)
        for a, b in zip(scene.lanes, scene.lanes[1:]):  # left to right in the lowest common row
            both = [(p, q) for p, q in zip(a, b) if p >= 0 and q >= 0]
            assert not both or both[-1][0] < both[-1][1]
    assert sum(len(s.lanes) for s in drawn[kind]) >= 2 * len(drawn[kind])


def test_lane_labels_lie_on_paint():
    """Where a solid line is labelled, the picture is brighter than beside it."""
    camera = Camera(640, 360, 500, 320, 120, 1.6)
    rng = np.random.default_rng(0)
    road = Road("highway", [-1.8, 1.8], ["solid", "solid"], [1], -4, 4)
    canvas = Canvas(camera, make_weather(rng, "cloudy"), rng)
    paint_ground(canvas, road, np.zeros((360, 640), np.uint8))
    rows = lane_rows(360)
    for lane in lane_labels(camera, road, rows):
        points = [(x, y) for x, y in zip(lane, rows) if x >= 0 and y > 180]
        on = np.mean([canvas.image[y, x].mean() for x, y in points])
        beside = np.mean([canvas.image[y, x + (30 if x < 320 else -30)].mean() for x, y in points])
        assert on > beside + 15


def _small_canvas():
    rng = np.random.default_rng(0)
    return Canvas(Camera(640, 200, 360, 320, 90), make_weather(rng, "cloudy"), rng)


def _draw_car(canvas, x: float, z: float, owner: int) -> Drawn:
    car = RoadUser("Car", make_car(np.random.default_rng(3)), x, z, yaw=0.0)
    box = car.model.draw(canvas, x, z, 0.0, owner)
    canvas.count(owner)
    return Drawn(car, box, owner)


def _two_cars(aside: float):
    """Labels of a car at 20 m behind another at 12 m that stands aside by some metres."""
    canvas = _small_canvas()
    return label_objects(canvas, [_draw_car(canvas, 0.0, 20.0, 1), _draw_car(canvas, aside, 12.0, 2)])


def test_nothing_is_hidden_where_cars_stand_apart():
    objects, _ = _two_cars(4.0)
    assert [o.occlusion for o in objects] == [0, 0] and objects[0].visible == 1


def test_occlusion_follows_the_visible_share():
    objects, _ = _two_cars(0.6)
    assert objects[0].occlusion in (1, 2) and objects[0].visible < 0.85 and objects[1].occlusion == 0


def test_a_covered_car_is_largely_hidden():
    objects, _ = _two_cars(0.0)
    assert len(objects) == 1 or objects[0].occlusion >= 2


def test_truncation_at_the_border():
    canvas = _small_canvas()
    x = 320 * 10 / 360  # its middle is seen at the right border
    (car,), _ = label_objects(canvas, [_draw_car(canvas, x, 10.0, 1)])
    assert 0.25 < car.truncation < 0.75 and car.box[2] == 639


def test_same_seed_same_scene():
    first, again, other = (draw_scene(np.random.default_rng(seed), "joint") for seed in (4, 4, 5))
    assert np.array_equal(first.image, again.image)
    assert first.objects == again.objects and first.lanes == again.lanes and first.signs == again.signs
    assert not np.array_equal(first.image, other.image)


def test_signs_are_labelled_where_they_are(drawn):
    for scene in drawn["joint"]:
        for class_id, (x1, y1, x2, y2) in scene.signs:
            assert 0 <= class_id < 43 and 0 <= x1 < x2 <= 640 and 0 <= y1 < y2 <= 360 and x2 - x1 >= 10
    assert any(s.signs for s in drawn["joint"])


@pytest.mark.parametrize("weather", WEATHERS)
def test_every_weather(weather):
    scene = draw_scene(np.random.default_rng(2), "kitti", weather=weather)
    assert scene.weather == weather and scene.image.std() > 5


@pytest.mark.parametrize("name", CLASS_WEIGHTS)
def test_a_class_alone(name):
    """With all weight on one class only that class appears, and it does appear."""
    objects = []
    for i in range(6):
        objects += draw_scene(np.random.default_rng(i), "kitti", class_weights={name: 1.0}).objects
    assert {o.name for o in objects} == {name}


def test_sizes_scale():
    for size in ((416, 128), (1242, 375)):
        scene = draw_scene(np.random.default_rng(0), "kitti", size)
        assert scene.image.shape == (size[1], size[0], 3)
        assert scene.camera.focal == pytest.approx(721 / 1242 * size[0])


@pytest.mark.parametrize(
    "call",
    [
        dict(kind="berlin"),
        dict(size=(10, 10)),
        dict(weather="hail"),
        dict(class_weights={"Horse": 1}),
        dict(class_weights={"Car": -1}),
        dict(class_weights={"Car": 0}),
    ],
)
def test_bad_arguments(call):
    with pytest.raises(UserError):
        draw_scene(np.random.default_rng(0), **call)
