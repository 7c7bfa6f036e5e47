"""KITTI's average precision: official outputs, hand-worked cases, and a plain restatement."""

import itertools
import json
import math
import os
import warnings
from pathlib import Path
import numpy as np, pytest
from mtl_course.core.errors import UserError
from mtl_course.core.files import project_root
from mtl_course.metrics.kitti import average_precision, kitti_ap_arrays, precision_curve, recall_thresholds
from mtl_course.metrics.kitti_files import KittiFileError, kitti_ap
from mtl_course.metrics.kitti_frames import KITTI_CLASSES, KittiDetections, KittiLabels
from mtl_course.metrics.matching import pairs_within_frames

# the official program's outputs, read where they are
GOLDEN = Path(os.environ.get("MTL_GOLDEN") or project_root().parent / "shared" / "golden") / "kitti"
CASES = sorted(p.parent for p in GOLDEN.glob("*/*/expected.json"))


def numbers(x):
    return np.array(x, float)  # null is read as None, and None becomes NaN


@pytest.mark.parametrize(
    "case",
    CASES
    or [
        pytest.param(
            None,
            marks=pytest.mark.skip(
                reason="no official outputs here: set MTL_GOLDEN to a folder with kitti/SET/CASE/expected.json"
            ),
        )
    ],
    ids=lambda p: f"{p.parent.name}/{p.name}" if p else "absent",
)
def test_official_outputs(case):
    expected = json.loads((case / "expected.json").read_text())
    labels = case / "label_2" if (case / "label_2").is_dir() else case.parent / "label_2"
    if "error" in expected:
        with pytest.raises(KittiFileError, match=expected["error"]):
            kitti_ap(labels, case / "pred")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = kitti_ap(labels, case / "pred")
    curves = json.loads((case / "expected_curves.json").read_text())
    for name in KITTI_CLASSES:
        entry = got[name]
        assert entry["evaluated"] is expected["evaluated"][name]
        np.testing.assert_allclose(
            [entry["r40"], entry["r11"]],
            numbers([expected["ap_r40"][name], expected["ap_r11"][name]]),
            rtol=0,
            atol=1e-6,
        )
        assert entry["precision"].shape == (3, 41) and entry["precision"].dtype == np.float64
        np.testing.assert_allclose(entry["precision"], numbers(curves["precision"][name]), rtol=0, atol=1e-12)
        for level in range(3):
            for key, value in (
                ("n_gt", entry["n_gt"][level]),
                ("n_tp_pass1", entry["n_tp"][level]),
                ("n_thresholds", len(entry["thresholds"][level])),
            ):
                assert expected[key][name][level] in (None, value), (name, level, key)
            if curves["thresholds"][name] and curves["thresholds"][name][level]:
                assert entry["thresholds"][level].tolist() == curves["thresholds"][name][level]


@pytest.mark.skipif(
    not CASES, reason="no official outputs here: set MTL_GOLDEN to a folder with kitti/SET/CASE/expected.json"
)
def test_corrected_is_100_for_perfect_copies_of_real_labels():
    got = kitti_ap(GOLDEN / "A" / "label_2", GOLDEN / "A" / "perfect" / "pred", corrected=True)
    for entry in got.values():
        for n, value in zip(entry["n_gt"], entry["corrected"]["r40"]):
            assert value == 100 if n else math.isnan(value)


# a plain restatement of the two passes, loops only
LIMITS = dict(Car=0.7, Pedestrian=0.5, Cyclist=0.5)


def plain_overlap(d, g, of_detection=False):
    w, h = min(d[2], g[2]) - max(d[0], g[0]), min(d[3], g[3]) - max(d[1], g[1])
    if w <= 0 or h <= 0:
        return 0.0
    inter, area = w * h, (d[2] - d[0]) * (d[3] - d[1])
    return inter / area if of_detection else inter / (area + (g[2] - g[0]) * (g[3] - g[1]) - inter)


def plain_roles(labels, found, name, level):
    occlusion = level
    height = (40, 25, 25)[level]
    truncation = (0.15, 0.3, 0.5)[level]
    label_roles, found_roles = [], []
    for kind, t, o, box in zip(labels.names, labels.truncation, labels.occlusion, labels.boxes):
        kind = kind.lower()
        hard = box[3] - box[1] <= height or o > occlusion or t > truncation
        if kind == name.lower():
            label_roles.append(1 if hard else 0)
        else:
            label_roles.append(1 if (name, kind) in (("Car", "van"), ("Pedestrian", "person_sitting")) else -1)
    for kind, box in zip(found.names, found.boxes):
        of_class = 0 if kind.lower() == name.lower() else -1
        found_roles.append(1 if int(abs(box[1] - box[3])) < height else of_class)
    return label_roles, found_roles


def plain_frame(labels, found, name, level, threshold=None):
    "Scores of the true positives and number of false positives of a frame; threshold None: pass 1."
    label_roles, found_roles = plain_roles(labels, found, name, level)
    assigned = [False] * len(found.boxes)
    left_out = [threshold is not None and s < threshold for s in found.scores]
    hits = []
    for role, g in zip(label_roles, labels.boxes):
        if role == -1:
            continue
        best = None
        best_score = -1e7
        best_iou = 0.0
        best_is_low = False
        for j, d in enumerate(found.boxes):
            if found_roles[j] == -1 or assigned[j] or left_out[j]:
                continue
            iou = plain_overlap(d, g)
            if not iou > LIMITS[name]:
                continue
            if threshold is None:
                if found.scores[j] > best_score:
                    best, best_score = j, found.scores[j]
            elif found_roles[j] == 0:
                if iou > best_iou or best_is_low:
                    best = j
                    best_iou = iou
                    best_is_low = False
            elif best is None:
                best, best_is_low = j, True
        if best is None:
            continue
        assigned[best] = True
        if role == 0 and found_roles[best] == 0:
            hits.append(found.scores[best])
    wrong = 0
    for j, d in enumerate(found.boxes):
        if assigned[j] or found_roles[j] != 0 or left_out[j]:
            continue
        wrong += not any(
            plain_overlap(d, g, True) > LIMITS[name]
            for kind, g in zip(labels.names, labels.boxes)
            if kind.lower() == "dontcare"
        )
    return hits, wrong


def plain_curve(labels, found, name, level):
    "41 precisions, and the thresholds."
    frames = list(zip(labels, found))
    n = sum(plain_roles(a, b, name, level)[0].count(0) for a, b in frames)
    hits = [plain_frame(a, b, name, level)[0] for a, b in frames]
    scores = sorted(itertools.chain(*hits), reverse=True)
    thresholds, wanted = [], 0.0
    for i, s in enumerate(scores):
        left = (i + 1) / n
        right = (i + 2) / n if i < len(scores) - 1 else left
        if right - wanted < wanted - left and i < len(scores) - 1:
            continue
        thresholds.append(s)
        wanted += 1 / 40
    precision = [0.0] * 41
    for k, t in enumerate(thresholds):
        both = [plain_frame(a, b, name, level, t) for a, b in frames]
        tp, fp = sum(len(h) for h, _ in both), sum(w for _, w in both)
        precision[k] = tp / (tp + fp) if tp + fp else math.nan
    for k in range(len(thresholds)):
        best = precision[k]
        for p in precision[k:]:
            if best < p:
                best = p
        precision[k] = best
    return precision, thresholds


SIZES = (1, 3, 20, 150)  # frames in a random set


def random_frame(rng, crowded):
    "A frame in which every rule has work to do: few places, heights, scores and spellings."

    def box():
        x, y = (
            rng.choice([-30, -5, 0, 10, 100, 115, 130]) + rng.integers(0, 3) * rng.choice([0, 1, 3.5]),
            rng.choice([0, 4, 8]),
        )
        h = rng.choice([20, 24.99, 25, 25.5, 26, 30, 39.5, 40, 41, 44, 50])
        return [x, y, x + rng.choice([30, 33, 40]), y + h]

    def near(b, jitter):
        return (np.array(b) + rng.integers(-jitter, jitter + 1, 4)).tolist()

    kinds = ["Car", "Car", "Pedestrian", "pedestrian", "Cyclist", "VAN", "Van", "Person_sitting", "Truck", "DontCare"]
    n = rng.integers(0, 9 if crowded else 4)
    names, boxes = [kinds[k] for k in rng.integers(0, len(kinds), n)], [box() for _ in range(n)]
    boxes = [[b[0] - 20, b[1] - 20, b[0] + 60, b[3] + 10] if k == "DontCare" else b for k, b in zip(names, boxes)]
    labels = KittiLabels(
        names,
        rng.choice([0, 0.15, 0.16, 0.3, 0.5, 0.6], n, p=[0.5, 0.1, 0.1, 0.1, 0.1, 0.1]),
        rng.choice(4, n, p=[0.6, 0.2, 0.1, 0.1]),
        np.reshape(boxes, (-1, 4)),
    )
    said, where = [], []
    for kind, b in zip(names, boxes):
        for _ in range(rng.integers(0, 3)):
            said.append(rng.choice([kind, kind, "CAR", "Car", "Pedestrian", "Cyclist"]))
            where.append(near(b, rng.choice([0, 1, 4])))
    for _ in range(rng.integers(0, 4)):
        said.append(rng.choice(["Car", "Pedestrian", "Cyclist", "Truck"]))
        where.append(box())
    if where and rng.random() < 0.1:
        where[0] = [where[0][2], where[0][1], where[0][0], where[0][3]]  # turned round
    scores = (
        rng.choice([-1, 0, 0.5, 0.5, 0.75, 1], len(said)) if rng.random() < 0.5 else rng.normal(size=len(said)).round(2)
    )
    return labels, KittiDetections(said, np.reshape(where, (-1, 4)), scores)


@pytest.mark.parametrize("seed", range(48))
def test_vectorised_passes_equal_plain_loops(seed):
    rng = np.random.default_rng(seed)
    frames = [random_frame(rng, crowded=seed % 3) for _ in range(SIZES[seed % 4])]
    labels, found = zip(*frames)
    got = kitti_ap_arrays(labels, found)
    for name in KITTI_CLASSES:
        boxes = list(itertools.chain(*(zip(d.names, d.boxes) for d in found)))
        shown = any(k.lower() == name.lower() and b[0] >= 0 for k, b in boxes)
        assert got[name]["evaluated"] == shown
        for level in range(3):
            precision, thresholds = plain_curve(labels, found, name, level) if shown else ([0.0] * 41, [])
            assert got[name]["thresholds"][level].tolist() == thresholds
            np.testing.assert_array_equal(got[name]["precision"][level], precision, err_msg=f"{name} {level}")


def test_random_frames_exercise_the_rules():
    "Its frames must have partial curves, many objects and classes left out."
    entries = []
    for seed in range(48):
        rng = np.random.default_rng(seed)
        frames = [random_frame(rng, seed % 3) for _ in range(SIZES[seed % 4])]
        entries += kitti_ap_arrays(*zip(*frames)).values()
    curves = np.concatenate([e["precision"] for e in entries])
    assert ((curves > 0) & (curves < 1)).any(1).mean() > 0.2 and (curves == 0).all(1).mean() < 0.6
    assert max(max(e["n_gt"]) for e in entries) > 41 and not all(e["evaluated"] for e in entries)


# cases worked out by hand
# A case is scored in `n` equal frames.
# n = 1 and one true positive: one threshold, so R40 = 0 and R11 = p0/11.
# n = 50 and one true positive per frame: 41 thresholds, so R40 = R11 = p.
# Rows: "class [trunc occ] x1 y1 x2 y2 [score]".
A = "100 100 200 200"
B = "400 100 500 200"
C = "700 100 800 200"
P1 = 100 / 11  # p0 = 1 and nothing else: 9.0909…


def rows(text, width):
    "Names and numbers of the `;`-separated rows; labels without truncation and occlusion get 0 0."
    out = []
    for row in filter(None, (r.strip() for r in text.split(";"))):
        name, *v = row.split()
        v = [float(x) for x in v]
        out.append((name, v if len(v) == width else [0.0, 0.0] + v))
    return [n for n, _ in out], np.array([v for _, v in out]).reshape(-1, width)


def entry_of(labels, found, n=1, name="Car", corrected=False):
    names, v = rows(labels, 6)
    said, w = rows(found, 5)
    truth, detections = KittiLabels(names, v[:, 0], v[:, 1], v[:, 2:]), KittiDetections(said, w[:, :4], w[:, 4])
    return kitti_ap_arrays([truth] * n, [detections] * n, corrected)[name]


def at(x, height=100):
    return f"{x} 100 {x + 100} {100 + height}"


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


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 10, 20, 39, 40, 41, 42, 60, 80, 137, 401])
def test_perfect_detections(n):
    "n <= 40: precision 1 at places 0 ... n-1: R40 = (n-1)/40, R11 = ceil(n/4)/11; corrected: 100."
    entry = entry_of(f"Car {A}", f"Car {A} .9", n, corrected=True)
    assert entry["r40"] == pytest.approx([100 * min(n - 1, 40) / 40] * 3) and entry["r11"] == pytest.approx(
        [100 * min(math.ceil(n / 4), 11) / 11] * 3
    )
    assert (
        entry["corrected"]["r40"] == entry["corrected"]["r11"] == [100] * 3
        and (entry["corrected"]["precision"] == 1).all()
    )
    assert entry["n_gt"] == entry["n_tp"] == [n] * 3


def test_thresholds_by_hand():
    assert recall_thresholds([1, 3, 2], 3).tolist() == [3, 2, 1]  # steps of 1/3 are longer than 1/40: every score
    # n = 80, all found: place i has l = (i+1)/80, r = (i+2)/80. c = 0: i = 0.
    # c = 1/40 = 2/80: i = 1 (l = 2/80). c = 4/80: i = 2 has r - c = 0 < c - l = 1/80, skipped
    assert (80 - recall_thresholds(np.arange(1, 81), 80))[:5].tolist() == [0, 1, 3, 5, 7]
    # n = 200, 3 found: i = 0 taken; c = 5/200: i = 1 has r - c = -2/200 < c - l = 3/200, skipped;
    # the last one always counts
    assert recall_thresholds([0.3, 0.2, 0.1], 200).tolist() == [0.3, 0.1]
    # n = 60, in sixtieths: i = 0 taken; c = 1.5: i = 1 has r - c = 1.5, c - l = -0.5, taken;
    # c = 3: i = 2 has 1 and 0, taken; c = 4.5: i = 3 has 0.5 and 0.5, a tie, and a tie is taken;
    # but 0.025 + 0.025 + 0.025 = 0.07500000000000001 in float64, so c is a little more: skipped
    assert (60 - recall_thresholds(np.arange(1, 61), 60))[:4].tolist() == [0, 1, 2, 4]


def test_wanted_recall_is_a_sum_of_floats():
    "Forty times 1/40 added up is not 1, and k/40 chooses other thresholds for many n."

    def exact(n):
        k, out = 0, []
        for i in range(n):
            if i < n - 1 and (2 * i + 3) * 40 < 2 * k * n:
                continue  # r - c < c - l in whole numbers
            out.append(i)
            k += 1
        return out

    def ours(n):
        return (n - 1 - recall_thresholds(np.arange(n), n)).tolist()

    differ = [n for n in range(41, 301) if exact(n) != ours(n)]
    assert len(differ) > 20 and all(len(exact(n)) == len(ours(n)) == 41 for n in differ)


def test_curve_and_average_by_hand():
    curve = precision_curve([1, 1, 3], [1, 3, 1])  # raw 1/2, 1/4, 3/4
    assert curve[:4].tolist() == [0.75, 0.75, 0.75, 0] and len(curve) == 41
    r40, r11 = average_precision(curve)
    assert r40 == pytest.approx(100 * 1.5 / 40) and r11 == pytest.approx(100 * 0.75 / 11)
    curve = precision_curve([0, 1, 0, 1], [0, 1, 0, 3])  # raw NaN, 1/2, NaN, 1/4
    assert np.isnan(curve[[0, 2]]).all() and curve[[1, 3, 4]].tolist() == [0.5, 0.25, 0]


def test_a_precision_of_nothing_by_nothing():
    """Labels I 0-100 (occlusion 3), V 40-140; u at -15 (.9), v at 10 (.8).

    Pass 1: I takes u (0.74; the higher score), V takes v (70/130 = 0.54): threshold .8.
    Pass 2: I takes v (0.82), u fits V with 0.29 only and lies in DontCare: 0/0.
    """
    entry = entry_of(
        f"Pedestrian 0 3 {at(0)}; Pedestrian {at(40)}; DontCare -1 -1 -20 50 90 250",
        f"Pedestrian {at(-15)} .9; Pedestrian {at(10)} .8",
        1,
        "Pedestrian",
        True,
    )
    assert np.isnan(entry["precision"][:, 0]).all() and not entry["precision"][:, 1:].any()
    assert entry["r40"] == [0, 0, 0] and np.isnan(entry["r11"]).all() and entry["thresholds"][0].tolist() == [0.8]
    assert entry["corrected"]["r40"] == [0, 0, 0]


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


# ---------------------------------------------------------------- files
LINE = "Car -1 -1 -10 100 100 200 200 -1 -1 -1 -1000 -1000 -1000 -10"


def folders(tmp_path, results, labels=None):
    for folder in ("label_2", "results"):
        (tmp_path / folder).mkdir()
    for k, text in enumerate(results):
        label = labels[k] if labels else "Car 0.00 0 0 100 100 200 200 1 1 1 1 1 1 0\n"
        (tmp_path / "label_2" / f"{k:06d}.txt").write_bytes(label.encode())
        if text is not None:
            (tmp_path / "results" / f"{k:06d}.txt").write_bytes(text.encode())
    return tmp_path / "label_2", tmp_path / "results"


@pytest.mark.parametrize(
    "what, text, expected",
    [
        ("as usual", f"{LINE} .9\n", P1),
        ("no line end", f"{LINE} .9", P1),
        ("tabs, Windows line ends, blank lines", "\r\n" + f"{LINE} 9e-1\r\n\r\n".replace(" ", "\t"), P1),
        ("an object over two lines", f"{LINE}\n.9\n", P1),
        ("columns 2 and 3 do not matter", LINE.replace("-1 -1 -10 ", "7 3.5 -10 ", 1) + " .9\n", P1),
        ("empty", "", 0),
        ("only blank", " \n\n", 0),
    ],
)
def test_results_are_read_by_white_space(tmp_path, what, text, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kitti_ap(*folders(tmp_path, [text]))["Car"]["r11"][0] == pytest.approx(expected)


@pytest.mark.parametrize(
    "what, text, expected",
    [
        ("a line without a score is dropped, the next is not", f"{LINE}\n{LINE} .9\n", P1),
        ("a 17th column is harmless", f"{LINE} .9 7\n{LINE.replace('100 100 200', '400 100 500')} .9\n", P1 / 2),
        ("no line has a score", f"{LINE}\n", 0),
        ("a word among the numbers", f"Car a {LINE[4:]} .9\n{LINE} .9\n", P1),
        ("commas", f"{LINE} .9\n".replace(" ", ","), 0),
    ],
)
def test_odd_results_are_read_as_officially_with_a_warning(tmp_path, what, text, expected):
    with pytest.warns(UserWarning, match="000000.txt"):
        got = kitti_ap(*folders(tmp_path, [text]))
    assert got["Car"]["r11"][0] == pytest.approx(expected)


def test_an_occlusion_with_a_decimal_point_shifts_the_columns(tmp_path):
    """C reads the whole number 0 and leaves .0 for the next column.

    So alpha is .0, x1 = -10, y1 = 100, x2 = 100, y2 = 200; the last of 15 numbers is left over.
    """
    label = "Car 0.00 0.0 -10 100 100 200 200 1 1 1 1 1 1 0\n"
    got = kitti_ap(
        *folders(
            tmp_path,
            [
                "Car -1 -1 -10 -10 100 100 200 -1 -1 -1 -1000 -1000 -1000 -10 .9\n"
                "Car -1 -1 -10 0 0 1 1 -1 -1 -1 -1000 -1000 -1000 -10 .1"
            ],
            [label],
        )
    )
    assert got["Car"]["n_gt"] == [1, 1, 1] and got["Car"]["n_tp"] == [1, 1, 1]


def test_files_and_arrays_agree(tmp_path):
    rng = np.random.default_rng(3)
    frames = [random_frame(rng, True) for _ in range(12)]

    def label(f):
        lines = []
        for n, t, o, b in zip(f.names, f.truncation.tolist(), f.occlusion, f.boxes):
            lines.append(f"{n} {t!r} {int(o)} 0 {' '.join(map(repr, b.tolist()))} 1 1 1 1 1 1 0\n")
        return "".join(lines)

    def result(f):
        lines = []
        for n, b, s in zip(f.names, f.boxes, f.scores.tolist()):
            corners = " ".join(map(repr, b.tolist()))
            lines.append(f"{n} -1 -1 -10 {corners} -1 -1 -1 -1000 -1000 -1000 -10 {s!r}\n")
        return "".join(lines)

    where = folders(tmp_path, [result(f) for _, f in frames], [label(t) for t, _ in frames])
    read, given = kitti_ap(*where, corrected=True), kitti_ap_arrays(*zip(*frames), corrected=True)
    for name in KITTI_CLASSES:
        np.testing.assert_array_equal(read[name]["precision"], given[name]["precision"])
        np.testing.assert_array_equal(read[name]["corrected"]["precision"], given[name]["corrected"]["precision"])
        for a, b in zip(read[name]["thresholds"], given[name]["thresholds"]):
            assert a.tolist() == b.tolist()
        assert read[name]["evaluated"] == given[name]["evaluated"] and read[name]["n_gt"] == given[name]["n_gt"]


def test_files_are_read_in_double_precision(tmp_path):
    "64.2 - 24.2 is 40 in float64, so the box counts at easy; in float32 it is less than 40."
    assert 64.2 - 24.2 == 40 > np.float32(64.2) - np.float32(24.2)
    label = "Car 0.00 0 0 100 24.2 200 65.7 1 1 1 1 1 1 0\n"
    got = kitti_ap(*folders(tmp_path, [LINE.replace("100 100 200 200", "100 24.2 200 64.2") + " .9"], [label]))
    assert got["Car"]["n_tp"] == [1, 1, 1]


def test_a_missing_result_stops_the_evaluation(tmp_path):
    labels, results = folders(tmp_path, [f"{LINE} .9", None, ""])
    with pytest.raises(KittiFileError, match=r"^ERROR: Couldn't read: 000001\.txt \(.*empty one"):
        kitti_ap(labels, results)
    (results / "000001.txt").write_text("")
    (results / "000009.txt").write_text(f"{LINE} .9")  # a result without a label is not asked for
    assert kitti_ap(labels, results)["Car"]["n_gt"] == [3, 3, 3]
    for kind in (UserError, FileNotFoundError, ValueError):
        assert issubclass(KittiFileError, kind)


def test_missing_folders(tmp_path):
    labels, results = folders(tmp_path, [""])
    with pytest.raises(KittiFileError, match="label folder .*nowhere: no such folder"):
        kitti_ap(tmp_path / "nowhere", results)
    with pytest.raises(KittiFileError, match="result folder .*nowhere: no such folder"):
        kitti_ap(labels, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(KittiFileError, match="holds no label"):
        kitti_ap(tmp_path / "empty", results)


def test_arrays_that_do_not_belong_together():
    t, d = KittiLabels(["Car"], [0], [0], [[0, 0, 9, 99]]), KittiDetections(["Car"], [[0, 0, 9, 99]], [0.5, 0.4])
    with pytest.raises(ValueError, match="detections of frame 0: 2 scores but 1 names"):
        kitti_ap_arrays([t], [d])
    with pytest.raises(ValueError, match="1 frames of labels but 0"):
        kitti_ap_arrays([t], [])
    assert all(not e["evaluated"] and e["n_gt"] == [0, 0, 0] for e in kitti_ap_arrays([], []).values())


@pytest.mark.parametrize("block", [1, 7, 50, 10**6])
def test_pairs_of_a_frame_whatever_the_block(block):
    rng = np.random.default_rng(block)
    a, b = np.sort(rng.integers(0, 9, 40)), np.sort(rng.integers(0, 12, 30))
    i, j = (np.concatenate(x) for x in zip(*pairs_within_frames(a, b, block)))
    assert list(zip(i.tolist(), j.tolist())) == list(zip(*map(np.ndarray.tolist, np.nonzero(a[:, None] == b))))


def test_many_frames_are_fast():
    "A generous bound: 60 s for 7,481 frames would allow 6.4 s for 800 frames of ten detections."
    import time

    rng = np.random.default_rng(0)
    frames = [random_frame(rng, True) for _ in range(800)]
    start = time.process_time()
    kitti_ap_arrays(*zip(*frames))
    assert time.process_time() - start < 6.4
