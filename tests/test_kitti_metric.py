"""KITTI's average precision and the corrected number: cases worked out by hand."""

import math
import numpy as np, pytest
from mtl_course.metrics.kitti import kitti_ap_arrays
from mtl_course.metrics.kitti_frames import KittiDetections
from kitti_examples import A, B, C, P1, at, entry_of, random_frame


# cases worked out by hand
# A case is scored in `n` equal frames.
# n = 1 and one true positive: one threshold, so R40 = 0 and R11 = p0/11.
# n = 50 and one true positive per frame: 41 thresholds, so R40 = R11 = p.
# Rows: "class [trunc occ] x1 y1 x2 y2 [score]".


BY_HAND = [  # what, labels, detections, frames, class, difficulty, (R40, R11)
    ("one object, found: a single threshold", f"Car {A}", f"Car {A} .9", 1, "Car", 0, (0, P1)),
    ("found and one as sure box beside it: p0 = 1/2", f"Car {A}", f"Car {A} .9; Car {B} .9", 1, "Car", 0, (0, P1 / 2)),
    ("a surer wrong box: p0 = 1/2", f"Car {A}", f"Car {A} .5; Car {B} .9", 1, "Car", 0, (0, P1 / 2)),
    ("a wrong box below the threshold is not seen", f"Car {A}", f"Car {A} .5; Car {B} .4", 1, "Car", 0, (0, P1)),
    (
        "50 found, 50 as sure wrong ones: p = 1/2 at 41 places",
        f"Car {A}",
        f"Car {A} .9; Car {B} .9",
        50,
        "Car",
        0,
        (50, 50),
    ),
    (
        "50 found, 100 wrong ones: p = 1/3",
        f"Car {A}",
        f"Car {A} .9; Car {B} .9; Car {C} .9",
        50,
        "Car",
        0,
        (100 / 3, 100 / 3),
    ),
    (
        "a duplicate of the same score is a false positive: p = 1/2",
        f"Car {A}",
        f"Car {A} .9; Car {A} .9",
        50,
        "Car",
        0,
        (50, 50),
    ),
    ("negative scores are scores", f"Car {A}", f"Car {A} -3; Car {B} -3", 50, "Car", 0, (50, 50)),
    ("nothing detected: not evaluated", f"Car {A}", "", 50, "Car", 0, (0, 0)),
    ("no object of the class: n_gt = 0", f"Truck {A}", f"Car {A} .9", 50, "Car", 0, (0, 0)),
    ("IoU 80/120 = 0.667 is too little for a car", f"Car {at(0)}", f"Car {at(20)} .9", 1, "Car", 0, (0, 0)),
    ("and enough for a pedestrian", f"Pedestrian {at(0)}", f"Pedestrian {at(20)} .9", 1, "Pedestrian", 0, (0, P1)),
    (
        "IoU exactly 1/2 (100 of 200 columns) is not greater than 1/2",
        "Cyclist 0 100 100 200",
        "Cyclist 0 100 200 200 .9",
        1,
        "Cyclist",
        0,
        (0, 0),
    ),
    (
        "IoU exactly 0.7 (70 of 100 columns) is not greater than 0.7",
        f"Car {at(0)}",
        "Car 0 100 70 200 .9",
        1,
        "Car",
        0,
        (0, 0),
    ),
    ("0.71 is", f"Car {at(0)}", "Car 0 100 71 200 .9", 1, "Car", 0, (0, P1)),
    ("a label of exactly 40 does not count at easy", f"Car {at(0, 40)}", f"Car {at(0, 40)} .9", 50, "Car", 0, (0, 0)),
    ("but at moderate", f"Car {at(0, 40)}", f"Car {at(0, 40)} .9", 50, "Car", 1, (100, 100)),
    ("a label of exactly 25 does not count at hard", f"Car {at(0, 25)}", f"Car {at(0, 25)} .9", 50, "Car", 2, (0, 0)),
    ("a detection of exactly 40 counts at easy", f"Car {at(0, 41)}", f"Car {at(0, 40)} .9", 50, "Car", 0, (100, 100)),
    (
        "a detection of 39.99 is ignored at easy and takes its label along",
        f"Car {at(0, 41)}",
        f"Car {at(0, 39.99)} .9",
        50,
        "Car",
        0,
        (0, 0),
    ),
    ("a low wrong box is not judged", f"Car {A}", f"Car {A} .9; Car {at(400, 39)} .9", 50, "Car", 0, (100, 100)),
    ("it is judged at moderate: p = 1/2", f"Car {A}", f"Car {A} .9; Car {at(400, 39)} .9", 50, "Car", 1, (50, 50)),
    ("truncation 0.15 is easy", f"Car .15 0 {A}", f"Car {A} .9", 50, "Car", 0, (100, 100)),
    ("0.16 is not: nothing valid, so 0", f"Car .16 0 {A}", f"Car {A} .9", 50, "Car", 0, (0, 0)),
    ("0.30 is moderate", f"Car .30 0 {A}", f"Car {A} .9", 50, "Car", 1, (100, 100)),
    ("0.51 is not even hard", f"Car .51 0 {A}", f"Car {A} .9", 50, "Car", 2, (0, 0)),
    ("occlusion 1 is not easy", f"Car 0 1 {A}", f"Car {A} .9", 50, "Car", 0, (0, 0)),
    ("occlusion 2 is hard", f"Car 0 2 {A}", f"Car {A} .9", 50, "Car", 2, (100, 100)),
    ("occlusion 3 is never valid", f"Car 0 3 {A}", f"Car {A} .9", 50, "Car", 2, (0, 0)),
    (
        "a detection on an ignored car is not judged",
        f"Car {A}; Car 0 3 {B}",
        f"Car {A} .9; Car {B} .9",
        50,
        "Car",
        2,
        (100, 100),
    ),
    ("a car on a van is not judged", f"Car {A}; Van {B}", f"Car {A} .9; Car {B} .9", 50, "Car", 0, (100, 100)),
    ("a second one is: p = 1/2", f"Car {A}; Van {B}", f"Car {A} .9; Car {B} .9; Car {B} .9", 50, "Car", 0, (50, 50)),
    (
        "a detection called Van plays no role for cars",
        f"Car {A}",
        f"Car {A} .9; Van {B} .9; Van {A} .99",
        50,
        "Car",
        0,
        (100, 100),
    ),
    ("a truck is no neighbour: p = 1/2", f"Car {A}; Truck {B}", f"Car {A} .9; Car {B} .9", 50, "Car", 0, (50, 50)),
    (
        "a sitting person is a pedestrian's neighbour",
        f"Pedestrian {A}; Person_sitting {B}",
        f"Pedestrian {A} .9; Pedestrian {B} .9",
        50,
        "Pedestrian",
        0,
        (100, 100),
    ),
    (
        "and no cyclist's: p = 1/2",
        f"Cyclist {A}; Person_sitting {B}",
        f"Cyclist {A} .9; Cyclist {B} .9",
        50,
        "Cyclist",
        0,
        (50, 50),
    ),
    (
        "a van is no pedestrian's neighbour",
        f"Pedestrian {A}; Van {B}",
        f"Pedestrian {A} .9; Pedestrian {B} .9",
        50,
        "Pedestrian",
        0,
        (50, 50),
    ),
    (
        "names in any case",
        f"cAR {A}; vAN {B}; DONTcare -1 -1 {C}",
        f"CAR {A} .9; car {B} .9; cAr {C} .9",
        50,
        "Car",
        0,
        (100, 100),
    ),
    (
        "a low pedestrian with the higher score takes the car (38/50 = 0.76): no threshold",
        f"Car {at(0, 50)}",
        f"Car {at(0, 50)} .8; Pedestrian {at(0, 38)} .9",
        50,
        "Car",
        0,
        (0, 0),
    ),
    (
        "with the lower score it does not",
        f"Car {at(0, 50)}",
        f"Car {at(0, 50)} .9; Pedestrian {at(0, 38)} .8",
        50,
        "Car",
        0,
        (100, 100),
    ),
    (
        "with an equal score the first line wins: the car",
        f"Car {at(0, 50)}",
        f"Car {at(0, 50)} .9; Pedestrian {at(0, 38)} .9",
        50,
        "Car",
        0,
        (100, 100),
    ),
    ("or the pedestrian", f"Car {at(0, 50)}", f"Pedestrian {at(0, 38)} .9; Car {at(0, 50)} .9", 50, "Car", 0, (0, 0)),
    (
        "71 of 100 columns in DontCare: free",
        f"Car {A}; DontCare -1 -1 400 100 471 200",
        f"Car {A} .9; Car {B} .9",
        50,
        "Car",
        0,
        (100, 100),
    ),
    (
        "70 of 100: a false positive",
        f"Car {A}; DontCare -1 -1 400 100 470 200",
        f"Car {A} .9; Car {B} .9",
        50,
        "Car",
        0,
        (50, 50),
    ),
    (
        "51 of 100 free a pedestrian",
        f"Pedestrian {A}; DontCare -1 -1 400 100 451 200",
        f"Pedestrian {A} .9; Pedestrian {B} .9",
        50,
        "Pedestrian",
        0,
        (100, 100),
    ),
    (
        "two halves are not added up",
        f"Car {A}; DontCare -1 -1 400 100 450 200; DontCare -1 -1 450 100 500 200",
        f"Car {A} .9; Car {B} .9",
        50,
        "Car",
        0,
        (50, 50),
    ),
    (
        "one region frees many",
        f"Car {A}; DontCare -1 -1 {B}",
        f"Car {A} .9; Car {B} .9; Car {B} .9; Car {B} .9",
        50,
        "Car",
        0,
        (100, 100),
    ),
    ("and takes no true positive", f"Car {A}; DontCare -1 -1 {A}", f"Car {A} .9", 50, "Car", 0, (100, 100)),
    (
        "two regions do not free one box twice: p = 1/2",
        f"Car {A}; DontCare -1 -1 {B}; DontCare -1 -1 {B}",
        f"Car {A} .9; Car {B} .9; Car {C} .9",
        50,
        "Car",
        0,
        (50, 50),
    ),
    (
        "a box turned round (x1 > x2) fits nothing and is wrong: p = 1/2",
        f"Car {A}",
        f"Car {A} .9; Car 200 100 100 200 .9",
        50,
        "Car",
        0,
        (50, 50),
    ),
    (
        "turned upside down it has its height, too",
        f"Car {A}",
        f"Car {A} .9; Car 100 200 200 100 .9",
        50,
        "Car",
        0,
        (50, 50),
    ),
    ("without area but high: wrong", f"Car {A}", f"Car {A} .9; Car 150 100 150 200 .9", 50, "Car", 0, (50, 50)),
    ("without height: low, not judged", f"Car {A}", f"Car {A} .9; Car 100 150 200 150 .9", 50, "Car", 0, (100, 100)),
    ("all at x1 < 0: not evaluated", "Car -1 100 100 200", "Car -1 100 100 200 .9", 50, "Car", 0, (0, 0)),
    (
        "x1 = 0 is: boxes are not clipped",
        "Car 0 100 100 200; Car -60 100 40 200",
        "Car 0 100 100 200 .9; Car -60 100 40 200 .9",
        25,
        "Car",
        0,
        (100, 100),
    ),
    # pass 1 by score, pass 2 by overlap: labels 0-100 and 40-140 (shift s: IoU (100-s)/(100+s)),
    # u 22-122 (0.64, 0.69), v 0-100 (1, 0.43)
    (
        "the first label takes u, none is left for the second: one threshold",
        f"Pedestrian {at(0)}; Pedestrian {at(40)}",
        f"Pedestrian {at(22)} .9; Pedestrian {at(0)} .8",
        1,
        "Pedestrian",
        0,
        (0, P1),
    ),
    (
        "the other way round both find theirs: two thresholds",
        f"Pedestrian {at(40)}; Pedestrian {at(0)}",
        f"Pedestrian {at(22)} .9; Pedestrian {at(0)} .8",
        1,
        "Pedestrian",
        0,
        (2.5, P1),
    ),
    (
        "pass 2 by overlap: B's score .1 is a second threshold; there 0-100 takes v (IoU 1), "
        "40-140 takes u: p = 3/3. By score it would be 2/3",
        f"Pedestrian {at(0)}; Pedestrian {at(40)}; Pedestrian {C}",
        f"Pedestrian {at(22)} .9; Pedestrian {at(0)} .8; Pedestrian {C} .1",
        1,
        "Pedestrian",
        0,
        (2.5, P1),
    ),
    (
        "a judged box (IoU 4050/5450 = 0.74) is preferred to a low one that fits better (0.78)",
        f"Car {at(0, 50)}",
        f"Car {at(10, 45)} .9; Car {at(0, 39)} .9",
        50,
        "Car",
        0,
        (100, 100),
    ),
    (
        "also after the low one: thresholds .9 and .1 (C), p = 2/2 at the second; "
        "were the low one kept it would be 1/2",
        f"Car {at(0, 50)}; Car {C}",
        f"Car {at(0, 39)} .8; Car {at(0, 45)} .9; Car {C} .1",
        1,
        "Car",
        0,
        (2.5, P1),
    ),
    (
        "a low box on a label makes it neither found nor wrong: of two cars one true positive, one threshold",
        f"Car {C}; Car {at(0, 50)}",
        f"Car {at(0, 39)} .8; Car {C} .9",
        1,
        "Car",
        0,
        (0, P1),
    ),
    (
        "of equal overlaps (80/120) the first line wins in pass 2: 20-120; 60-160 lies in DontCare by 0.6, so p0 = 1/1",
        f"Pedestrian {at(40)}; DontCare -1 -1 100 100 160 200",
        f"Pedestrian {at(20)} .9; Pedestrian {at(60)} .9",
        1,
        "Pedestrian",
        0,
        (0, P1),
    ),
    (
        "the other way round 60-160 is taken and 20-120 is wrong (0.2 in DontCare): p0 = 1/2",
        f"Pedestrian {at(40)}; DontCare -1 -1 100 100 160 200",
        f"Pedestrian {at(60)} .9; Pedestrian {at(20)} .9",
        1,
        "Pedestrian",
        0,
        (0, P1 / 2),
    ),
    (
        "an absent detection (tall, of another class) takes nothing",
        f"Car {A}",
        f"Pedestrian {A} .99; Car {A} .9",
        50,
        "Car",
        0,
        (100, 100),
    ),
    ("a score of -1e7 wins nothing in pass 1", f"Car {A}", f"Car {A} -1e7", 50, "Car", 0, (0, 0)),
    ("one above it does", f"Car {A}", f"Car {A} -9999999", 50, "Car", 0, (100, 100)),
]


@pytest.mark.parametrize("what, labels, found, n, name, level, expected", BY_HAND, ids=[c[0][:60] for c in BY_HAND])
def test_worked_out_by_hand(what, labels, found, n, name, level, expected):
    entry = entry_of(labels, found, n, name)
    assert (entry["r40"][level], entry["r11"][level]) == pytest.approx(expected, abs=1e-9)


def test_there_are_enough_cases():
    assert len(BY_HAND) >= 30 and len({c[0] for c in BY_HAND}) == len(BY_HAND)


@pytest.mark.parametrize(
    "labels, found, evaluated",
    [
        (f"Car {A}", f"Car {A} .9", True),
        (f"Car {A}", "", False),
        (f"Car {A}", f"Van {A} .9; Pedestrian {A} .9", False),
        (f"Car {A}", "cAR -1 0 100 200 .9", False),
        (f"Car {A}", "Car -1 0 100 200 .9; Car 0 0 1 1 .1", True),
        ("", "CAR 0 0 1 1 .1", True),
    ],
)
def test_a_class_is_evaluated_when_a_box_of_it_begins_inside(labels, found, evaluated):
    entry = entry_of(labels, found)
    assert entry["evaluated"] is evaluated
    if not evaluated:
        assert entry["r40"] == entry["r11"] == [0, 0, 0] and not entry["precision"].any()


# ---------------------------------------------------------------- the corrected number
CORRECTED = [  # what, labels, detections, difficulty, R40
    (
        "a low box of another class plays no role",
        f"Car {at(0, 50)}",
        f"Car {at(0, 50)} .8; Pedestrian {at(0, 38)} .9",
        0,
        100,
    ),
    ("a low box of the class that fits has found its object", f"Car {at(0, 41)}", f"Car {at(0, 39.9)} .9", 0, 100),
    ("a low box that fits nothing is not judged", f"Car {A}", f"Car {A} .8; Car {at(400, 39)} .9", 0, 100),
    ("two detections of a van are both not judged", f"Car {A}; Van {B}", f"Car {A} .8; Car {B} .9; Car {B} .9", 0, 100),
    ("a duplicate of a valid object is wrong, but ranks last", f"Car {A}", f"Car {A} .9; Car {A} .8", 0, 100),
    ("a surer wrong box: precision 1/2 at every recall", f"Car {A}", f"Car {A} .8; Car {B} .9", 0, 50),
    ("an equally sure wrong box: they enter together", f"Car {A}", f"Car {A} .9; Car {B} .9", 0, 50),
    ("DontCare frees", f"Car {A}; DontCare -1 -1 {B}", f"Car {A} .8; Car {B} .9", 0, 100),
    ("boxes over the left edge are scored", "Car -9 100 100 200", "Car -9 100 100 200 .9", 0, 100),
    ("half of the objects found: recall 1/2, 20 of 40 places", f"Car {A}; Car {B}", f"Car {A} .9", 0, 50),
    ("a third: recall 1/3, places 1 ... 13", f"Car {A}; Car {B}; Car {C}", f"Car {A} .9", 0, 100 * 13 / 40),
    (
        "IoU decides, not the order of the labels",
        f"Car {at(0)}; Car {at(12)}",
        f"Car {at(10)} .9; Car {at(0)} .8",
        0,
        100,
    ),
    (
        "so it is in any order of the lines",
        f"Car {A}; Car {B}",
        f"Car {A} .8; Car {A} .9; Car {B} .7",
        0,
        100 * (20 + 20 * 2 / 3) / 40,
    ),
    ("of two labels that fit alike the valid one is taken", f"Car 0 3 {A}; Car {A}", f"Car {A} .9", 0, 100),
    (
        "of two that claim one object the surer has it: right, then wrong, then right again: 1 to 1/2, then 2/3",
        f"Car {A}; Car {B}",
        f"Car {A} .9; Car {A} .8; Car {B} .7",
        0,
        100 * (20 + 20 * 2 / 3) / 40,
    ),
]


@pytest.mark.parametrize("n", [1, 7])
@pytest.mark.parametrize("what, labels, found, level, expected", CORRECTED, ids=[c[0] for c in CORRECTED])
def test_corrected_by_hand(what, labels, found, level, expected, n):
    "The corrected number does not depend on how often a frame is repeated."
    assert entry_of(labels, found, n, corrected=True)["corrected"]["r40"][level] == pytest.approx(expected, abs=1e-9)


def test_corrected_is_nan_without_objects_and_only_on_demand():
    assert np.isnan(entry_of("", f"Car {A} .9", corrected=True)["corrected"]["r40"]).all()
    assert entry_of(f"Car {A}", "", corrected=True)["corrected"]["r40"] == [0, 0, 0]
    assert "corrected" not in entry_of(f"Car {A}", f"Car {A} .9")


@pytest.mark.parametrize("seed", range(10))
def test_perfect_copies_score_100_when_corrected_however_crowded(seed):
    rng = np.random.default_rng(seed)
    labels = [random_frame(rng, crowded=True)[0] for _ in range(8)]
    found = [KittiDetections(t.names, t.boxes, rng.random(len(t.names)).round(1)) for t in labels]
    for entry in kitti_ap_arrays(labels, found, corrected=True).values():
        for n, value in zip(entry["n_gt"], entry["corrected"]["r40"]):
            assert value == 100 if n else math.isnan(value)
