"""Lanes drawn as masks must come back from the masks."""

import json
import time

import cv2
import numpy as np
import pytest

from mtl_course.core.files import real_data_root
from mtl_course.data.tusimple import draw_lanes
from mtl_course.models.lane_decoding import mask_to_lanes
from mtl_course.models.lane_names import name_lanes
from mtl_course.models.lane_segments import LaneSegment, fits_one_curve
from mtl_course.models.synthetic_lanes import HEIGHTS, count_lost_and_invented, lane_accuracy, made_up_mask

NATIVE = (720, 1280)
SIZE = (192, 320)


def road(n, bend, first=None, top=300, spread=2.0, horizon=240):
    "n lanes that converge towards the horizon, with a bend (pixels at 1 pixel below the horizon)."
    first = -(n - 1) / 2 + 0.1 if first is None else first
    u = HEIGHTS - horizon
    x = 640 + (first + np.arange(n)[:, None]) * spread * u + bend / np.maximum(u, 1)
    lanes = np.where((HEIGHTS >= top) & (x >= 0) & (x <= 1279), np.round(x), -2)
    return lanes[(lanes >= 0).sum(1) >= 4]


def drawn(lanes, size=SIZE):
    return draw_lanes(lanes, HEIGHTS, NATIVE, size).astype(np.float32)


@pytest.mark.parametrize("bend", (-4000, -1000, 0, 1000, 4000))
@pytest.mark.parametrize("n", (2, 3, 4, 5))
def test_round_trip(n, bend):
    lanes = road(n, bend)
    decoded = mask_to_lanes(drawn(lanes), HEIGHTS)
    assert len(decoded) == n
    assert lane_accuracy(decoded, lanes).min() >= 0.96
    assert lane_accuracy(decoded, lanes).mean() >= 0.98


def test_many_random_roads():
    shares = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        lanes = road(
            rng.integers(2, 6),
            rng.normal() * 2000,
            top=rng.choice([260, 280, 300, 340]),
            spread=rng.uniform(1.6, 2.6),
            horizon=rng.uniform(200, 245),
        )
        shares += lane_accuracy(mask_to_lanes(drawn(lanes), HEIGHTS), lanes).tolist()
    assert np.mean(shares) >= 0.98 and np.mean(np.array(shares) < 0.85) < 0.02


@pytest.mark.parametrize("size", ((96, 160), (192, 320), (288, 800), (360, 640)))
def test_other_mask_sizes(size):
    lanes = road(4, 1500)
    decoded = mask_to_lanes(drawn(lanes, size), HEIGHTS)
    assert len(decoded) == 4 and lane_accuracy(decoded, lanes).min() >= 0.96


@pytest.mark.parametrize("size, tolerance", (((192, 320), 2.0), ((360, 640), 1.0)))
def test_sub_pixel_without_a_shift(size, tolerance):
    u = HEIGHTS - 200
    lanes = np.where(HEIGHTS >= 260, np.stack([640 - 0.73 * u, 700 + 0.61 * u]), -2)
    decoded = np.array(mask_to_lanes(drawn(lanes, size), HEIGHTS))
    error = (decoded - lanes)[(lanes >= 0) & (decoded >= 0)]
    assert np.abs(error).max() < tolerance and abs(error.mean()) < 0.4  # a half-pixel mistake would make it 1.5 or 0.5


def test_gaps_of_dashes_and_vehicles_are_bridged():
    lanes = road(4, 1500)
    mask = drawn(lanes)
    for top in range(100, 180, 20):
        mask[top : top + 9] = 0  # dashes on all lanes
    mask[120:150, 100:170] = 0  # a vehicle
    decoded = mask_to_lanes(mask, HEIGHTS)
    assert len(decoded) == 4 and lane_accuracy(decoded, lanes).min() >= 0.9
    inside = np.array(decoded)[1:3, (HEIGHTS >= 320) & (HEIGHTS <= 680)]
    assert (inside >= 0).all()  # no hole where a gap was


def test_lanes_that_meet_stay_apart():
    lanes = np.full((3, len(HEIGHTS)), -2.0)
    on = HEIGHTS >= 290
    u = HEIGHTS[on] - 280
    for k, slope in enumerate((-1.1, 0.1, 1.3)):
        lanes[k, on] = 640 + slope * u
    decoded = mask_to_lanes(drawn(lanes), HEIGHTS)
    assert len(decoded) == 3 and lane_accuracy(decoded, lanes).min() >= 0.96


def test_two_lanes_are_not_joined_into_one():
    lanes = np.full((2, len(HEIGHTS)), -2.0)
    lanes[0, HEIGHTS >= 500] = 300  # one ends low
    lanes[1, (HEIGHTS >= 300) & (HEIGHTS <= 450)] = 900  # the other begins above, far aside
    decoded = mask_to_lanes(drawn(lanes), HEIGHTS)
    assert len(decoded) == 2 and lane_accuracy(decoded, lanes).min() >= 0.96


def test_absent_above_and_below():
    lanes = np.full((1, len(HEIGHTS)), -2.0)
    on = (HEIGHTS >= 400) & (HEIGHTS <= 600)
    lanes[0, on] = 500
    [decoded] = mask_to_lanes(drawn(lanes), HEIGHTS)
    assert ((np.array(decoded) == -2) == ~on).all() and all(isinstance(x, float) for x in decoded)


def test_lane_that_leaves_at_the_side():
    lanes = np.full((1, len(HEIGHTS)), -2.0)
    x = 700 + 2.9 * (HEIGHTS - 330.0)
    on = (HEIGHTS >= 330) & (x <= 1279)
    lanes[0, on] = x[on]
    [decoded] = mask_to_lanes(drawn(lanes), HEIGHTS)
    assert (np.array(decoded) >= 0).sum() in range(on.sum() - 1, on.sum() + 2) and max(decoded) <= 1279
    assert lane_accuracy([decoded], lanes).min() >= 0.96


def test_order_threshold_and_number_of_lanes():
    lanes = road(5, 0, top=340)
    probability = drawn(lanes) * 0.6
    decoded = mask_to_lanes(probability, HEIGHTS)
    bottoms = []
    for lane in decoded:
        bottoms.append([x for x in lane if x >= 0][-1])
    assert len(decoded) == 5
    assert all(np.diff([lane[30] for lane in decoded if lane[30] >= 0]) > 0)
    assert bottoms[1] <= bottoms[2] <= bottoms[3]
    assert mask_to_lanes(probability, HEIGHTS, threshold=0.7) == []
    assert len(mask_to_lanes(probability, HEIGHTS, max_lanes=3)) == 3


def test_noise_is_no_lane():
    rng = np.random.default_rng(0)
    lanes = road(4, 1500)
    probability = drawn(lanes)
    for y, x in rng.integers((5, 5), (185, 315), (60, 2)):
        cv2.circle(probability, (int(x), int(y)), 1, 0.9, -1)
    decoded = mask_to_lanes(probability, HEIGHTS)
    assert len(decoded) in (4, 5) and lane_accuracy(decoded, lanes).min() >= 0.94
    assert mask_to_lanes(np.zeros(SIZE), HEIGHTS) == [] and mask_to_lanes(np.ones(SIZE), HEIGHTS) == []


def test_hopeless_masks_take_no_forever():
    start = time.process_time()
    for share in (0.1, 0.5, 0.9):
        assert len(mask_to_lanes(np.random.default_rng(0).random(SIZE) < share, HEIGHTS)) <= 5
    assert time.process_time() - start < 10  # unbounded, it would be minutes


def test_input_is_checked_and_left_alone():
    probability = drawn(road(3, 0))
    before = probability.copy()
    as_mask = mask_to_lanes(probability.astype(np.uint8), HEIGHTS)
    assert as_mask == mask_to_lanes(probability, HEIGHTS.tolist()) and (probability == before).all()
    with pytest.raises(ValueError, match="shape"):
        mask_to_lanes(probability[None], HEIGHTS)
    with pytest.raises(ValueError, match="finite"):
        mask_to_lanes(probability * np.nan, HEIGHTS)


def test_real_labels_come_back():
    root = real_data_root()
    if root is None:
        pytest.skip("no real data: set MTL_REAL_DATA to a folder with tusimple/")
    for line in (root / "tusimple" / "label_data_0601.json").read_text().splitlines():
        entry = json.loads(line)
        lanes = np.array(entry["lanes"], float)
        decoded = mask_to_lanes(draw_lanes(lanes, entry["h_samples"], NATIVE, SIZE), entry["h_samples"])
        assert len(decoded) == len(lanes) and lane_accuracy(decoded, lanes, entry["h_samples"]).mean() >= 0.98


def test_a_pair_that_no_smooth_curve_explains_is_no_lane():
    def piece(rows, x):
        p = LaneSegment()
        for y in rows:
            p.add(y, x(y), 4, 1.0)
        return p

    low = piece(range(185, 119, -1), lambda y: 100.0)
    assert fits_one_curve(low, piece(range(100, 59, -1), lambda y: 100 + 0.002 * (120 - y) ** 2), 1.0)
    assert not fits_one_curve(low, piece(range(118, 99, -1), lambda y: 130.0), 1.0)
    assert not fits_one_curve(low, piece(range(110, 60, -1), lambda y: 100 + 30 * np.sin(y / 6)), 1.0)


# mean accuracy at least, lost and invented lanes together at most, in 40 roads
KINDS = {"whole": (0.97, 0.1), "gaps": (0.97, 0.1), "soft": (0.97, 0.1), "open gaps": (0.94, 0.2)}


@pytest.mark.parametrize("kind", KINDS)
def test_made_up_masks_come_back(kind):
    accuracy = []
    mistakes = 0
    for seed in range(40):
        probability, lanes = made_up_mask(kind, seed)
        decoded = mask_to_lanes(probability, HEIGHTS)
        accuracy += lane_accuracy(decoded, lanes).tolist()
        mistakes += sum(count_lost_and_invented(decoded, lanes))
    least, most = KINDS[kind]
    assert np.mean(accuracy) >= least
    assert mistakes <= most * len(accuracy)


def test_lost_and_invented_lanes_are_counted():
    _, lanes = made_up_mask("whole", 42)
    lanes = lanes[:2]
    beside = np.where(lanes[:1] >= 0, lanes[:1] + 60, -2)  # 60 pixels away: on no lane
    assert count_lost_and_invented(lanes.tolist(), lanes) == (0, 0)
    assert count_lost_and_invented(lanes[:1].tolist(), lanes) == (1, 0)
    assert count_lost_and_invented([*lanes, *beside], lanes) == (0, 1)
    assert count_lost_and_invented([lanes[0], lanes[0]], lanes) == (1, 1)
    assert count_lost_and_invented([], lanes) == (2, 0)


def straight(bottom: float, top: float, heights: range = range(40, 100, 10)) -> list[float]:
    "A lane that meets the lower edge of a picture of 100×200 at `bottom`, and height 40 at `top`."
    return [top + (bottom - top) * (y - 40) / 60 for y in heights]


def test_lanes_are_named_from_the_camera_outwards():
    lanes = [straight(190, 110), straight(60, 95), straight(-80, 80), straight(130, 105)]
    lanes[2] = [x if x >= 0 else -2 for x in lanes[2]]  # it leaves the picture on its way down
    names = name_lanes(lanes, list(range(40, 100, 10)), (100, 200))
    assert names == ["right 2", "left", "left 2", "right"]


def test_a_lane_is_named_by_where_it_leads():
    heights = list(range(40, 100, 10))
    short = straight(150, 90)[:2] + [-2] * 4  # seen far away only, left of the middle there
    assert name_lanes([short, straight(30, 90)], heights, (100, 200)) == ["right", "left"]
    assert name_lanes([[-2, -2, 99.0, -2, -2, -2]], heights, (100, 200)) == ["left"]
    assert name_lanes([], heights, (100, 200)) == []
