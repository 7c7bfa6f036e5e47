"""KITTI's average precision beside the official program's outputs, and a plain restatement."""

import itertools
import json
import math
import os
import warnings
from pathlib import Path
import numpy as np, pytest
from mtl_course.core.files import project_root
from mtl_course.metrics.kitti import kitti_ap_arrays
from mtl_course.metrics.kitti_files import KittiFileError, kitti_ap
from mtl_course.metrics.kitti_frames import KITTI_CLASSES
from kitti_examples import random_frame

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
