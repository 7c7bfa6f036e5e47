"""TuSimple's lane metric: official outputs, hand-worked cases, and a plain restatement."""

import itertools
import json
import math
import os
from pathlib import Path
import numpy as np, pytest
from mtl_course.core.files import project_root
from mtl_course.metrics.tusimple import best_assignment, lane_accuracies, lane_thresholds, tusimple_scores
from mtl_course.metrics.tusimple_files import tusimple_metric
from tusimple_examples import HEIGHTS, SIX, close, row, straight, triple


# ---- the official program's outputs, read where they are ----

GOLDEN = Path(os.environ.get("MTL_GOLDEN", project_root().parent / "shared" / "golden")) / "tusimple"
CASES = sorted(p.parent for p in GOLDEN.glob("*/*/expected.json"))


@pytest.mark.skipif(
    not CASES,
    reason="no outputs of the official program here: set MTL_GOLDEN to the folder with tusimple/<set>/<case>/",
)
@pytest.mark.parametrize("case", CASES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_the_official_outputs(case):
    expected = json.loads((case / "expected.json").read_text())
    if "error" in expected:
        with pytest.raises(ValueError) as e:
            tusimple_metric(case / "pred.json", case / "gt.json")
        assert str(e.value) == expected["error"]
        return
    got = tusimple_metric(case / "pred.json", case / "gt.json", corrected=True)
    assert close(triple(got), triple(expected))
    rows = json.loads((case / "expected_rows.json").read_text())
    assert [r["raw_file"] for r in got["rows"]] == [r["raw_file"] for r in rows]
    assert close([triple(r) for r in got["rows"]], [triple(r) for r in rows])
    for scores in [got, *got["rows"]]:
        assert all(0 <= value <= 1 + 1e-12 for value in scores["corrected"].values())


SHORT = straight(400, first=17)  # 17 of 20 absent
HAND = {  # name: (predicted, true, run_time, by hand)
    "both found": (row(100, 200), row(100, 200), 10, (1, 0, 0)),
    "order of the lanes is free": (row(200, 100), row(100, 200), 10, (1, 0, 0)),
    "one of two found": (row(100), row(100, 200), 10, (1 / 2, 0, 1 / 2)),
    "19.9 px off a vertical lane": (row(119.9), row(100), 10, (1, 0, 0)),
    "20 px off a vertical lane, strict": (row(120), row(100), 10, (0, 1, 1)),
    "20 px to the left": (row(80), row(100), 10, (0, 1, 1)),
    "slope 3/4, 24.9 px": ([straight(324.9, 0.75)], [straight(300, 0.75)], 10, (1, 0, 0)),
    "slope -3/4, 25.1 px": ([straight(525.1, -0.75)], [straight(500, -0.75)], 10, (0, 1, 1)),
    "slope 12/5, 51.9 px": ([straight(351.9, 2.4)], [straight(300, 2.4)], 10, (1, 0, 0)),
    "slope 12/5, 52.1 px": ([straight(352.1, 2.4)], [straight(300, 2.4)], 10, (0, 1, 1)),
    "slope from the truth, not from the prediction": (
        [straight(100 - 2.4 * 20, 2.4)],
        row(100),
        10,
        (1 / 20, 1, 1),
    ),  # |24i - 48| < 20 for i = 2 alone; 52 px would take five
    "absent points leave the slope alone": ([straight(324.9, 0.75, 15)], [straight(300, 0.75, 15)], 10, (1, 0, 0)),
    "one point alone has 20 px": ([straight(419, first=19)], [straight(400, first=19)], 10, (1, 0, 0)),
    "x = 0 is present": (row(0), row(19), 10, (1, 0, 0)),
    "x = 0 against absent": (row(0), [[-2] * 20], 10, (0, 1, 1)),
    "any negative x is absent": ([[-1000, -0.5] * 10], [[-2, -1] * 10], 10, (1, 0, 0)),
    "wrong wherever it says something, yet matched at 17/20": ([straight(900, first=17)], [SHORT], 10, (0.85, 0, 0)),
    "16/20 is no match": ([straight(900, first=16)], [straight(400, first=16)], 10, (0.8, 1, 1)),
    "all absent on a short lane": ([[-2] * 20], [SHORT], 10, (0.85, 0, 0)),
    "a flat lane matches absence": (
        [[-2] * 20],
        [straight(10, 10)],
        10,
        (1 / 20, 1, 1),
    ),  # 20√101 ≈ 201 px: x + 100 < 201 for x = 10 alone
    "negative FP": (row(107), row(100, 114), 10, (1, -1, 0)),
    "negative FP, three lanes": (row(110), row(100, 110, 120), 10, (1, -2, 0)),
    "a copy is a false alarm": (row(100, 100), row(100), 10, (1, 1 / 2, 0)),
    "the better of two predictions counts": ([straight(100, first=5), straight(101)], row(100), 10, (1, 1 / 2, 0)),
    "two extra lanes are allowed": (row(100, 300, 500), row(100), 10, (1, 2 / 3, 0)),
    "three are not": (row(100, 300, 500, 700), row(100), 10, (0, 0, 1)),
    "200 ms": (row(100), row(100), 200, (1, 0, 0)),
    "200.001 ms": (row(100), row(100), 200.001, (0, 0, 1)),
    "negative ms": (row(100), row(100), -1, (1, 0, 0)),
    "text as run time": (row(100), row(100), "10", (0, 0, 1)),
    "null as run time": (row(100), row(100), None, (1, 0, 0)),
    "null as x is absent": ([[None] * 17 + [400] * 3], [SHORT], 10, (1, 0, 0)),
    "nothing predicted": ([], row(100, 200), 10, (0, 0, 1)),
    "no lane, nothing predicted": ([], [], 10, (0, 0, 0)),
    "no lane, two predicted": (row(100, 200), [], 10, (0, 1, 0)),
    "no lane, three predicted": (row(100, 200, 300), [], 10, (0, 0, 1)),
    "four lanes, three found": (SIX[:3], SIX[:4], 10, (3 / 4, 0, 1 / 4)),
    "five lanes, all found": (SIX[:5], SIX[:5], 10, (1, 0, 0)),
    "five lanes, four found": (SIX[:4], SIX[:5], 10, (1, 0, 0)),
    "five lanes, three found": (SIX[:3], SIX[:5], 10, (3 / 4, 0, 1 / 4)),
    "five lanes, none predicted": ([], SIX[:5], 10, (0, 0, 1)),
    "six lanes, all found": (SIX, SIX, 10, (5 / 4, 0, 0)),
    "six lanes, four found": (SIX[:4], SIX, 10, (1, 0, 1 / 4)),
    "six lanes, none predicted": ([], SIX, 10, (0, 0, 5 / 4)),
    "seven lanes, all found": (SIX + row(700), SIX + row(700), 10, (6 / 4, 0, 0)),
}


def test_there_are_enough_cases():
    assert len(HAND) >= 30


@pytest.mark.parametrize("name", HAND)
def test_by_hand(name):
    pred, truth, milliseconds, by_hand = HAND[name]
    assert close(triple(tusimple_scores(pred, truth, HEIGHTS, milliseconds)), by_hand)


@pytest.mark.parametrize(
    "name", [n for n, c in HAND.items() if not isinstance(c[2], str) and None not in sum(c[0], [])]
)
def test_arrays_do_as_well_as_lists(name):
    pred, truth, milliseconds, by_hand = HAND[name]
    pred, truth = (np.array(x, np.float32).reshape(-1, 20) for x in (pred, truth))
    assert close(triple(tusimple_scores(pred, truth, np.array(HEIGHTS), milliseconds)), by_hand)


def test_thresholds_by_hand():
    lanes = [
        straight(400),
        straight(300, 3 / 4),
        straight(900, -4 / 3),
        straight(0, 12 / 5),
        straight(300, 1),
        straight(9, first=19),
        [-2] * 20,
    ]
    assert close(lane_thresholds(lanes, HEIGHTS), [20, 25, 100 / 3, 52, 20 * math.sqrt(2), 20, 20])
    assert close(lane_thresholds([[100, 200, 300]], [5, 5, 5]), [20])  # no slope in a single row
    assert close(
        lane_thresholds([[0, 0, 3, 8]], [0, 1, 2, 3]), [20 * math.sqrt(1 + 2.7**2)]
    )  # Σ(y-1.5)(x-2.75) = 13.5, Σ(y-1.5)² = 5


def test_accuracies_are_shares_of_all_heights():
    truth, pred = (
        np.array([straight(400, first=10), straight(100)]),
        np.array([straight(400, first=5), straight(405), straight(100)]),
    )
    assert close(lane_accuracies(pred, truth, np.array([20, 20])), [[0.75, 0.5, 0], [0, 0, 1]])
    assert lane_accuracies(np.zeros((0, 20)), truth, np.array([20, 20])).shape == (2, 0)


# ---- against a plain re-statement, with scikit-learn's fit ----


def restated(pred, truth, heights, run_time):
    "The rules of the metric one point at a time."
    LinearRegression = pytest.importorskip("sklearn.linear_model").LinearRegression
    if run_time > 200 or len(pred) > len(truth) + 2:
        return 0, 0, 1
    shares = []
    for lane in truth:
        points = [(h, x) for h, x in zip(heights, lane) if x >= 0]
        theta = (
            math.atan(LinearRegression().fit([[h] for h, _ in points], [x for _, x in points]).coef_[0])
            if len(points) > 1
            else 0
        )
        hits = []
        for guess in pred:
            distances = [abs((p if p >= 0 else -100) - (g if g >= 0 else -100)) for p, g in zip(guess, lane)]
            hits.append([distance < 20 / math.cos(theta) for distance in distances])
        shares.append(max((sum(h) / len(h) for h in hits), default=0))
    missed = sum(s < 0.85 for s in shares)
    fp = (len(pred) - len(truth) + missed) / len(pred) if pred else 0
    if len(truth) > 4:
        return (sum(shares) - min(shares)) / 4, fp, max(missed - 1, 0) / 4
    return sum(shares) / max(len(truth), 1), fp, missed / max(len(truth), 1)


def random_frame(rng):
    "Some true lanes, and predictions made from them: noise, shifts, drops, copies, other absences."
    n, steps = rng.integers(0, 8), rng.choice([1, 2, 20, 56])
    heights = (160 + 10 * np.arange(steps)).tolist()
    k, c = rng.normal(0, 1.5, (n, 1)), rng.uniform(0, 1280, (n, 1))
    truth = np.where(rng.random((n, steps)) < rng.random((n, 1)), (c + k * (np.array(heights) - 400)).round(), -2)
    pred = truth[rng.integers(0, n, rng.integers(0, n + 4))] if n else rng.uniform(-2, 900, (rng.integers(0, 4), steps))
    pred = pred + (pred >= 0) * (
        rng.normal(0, rng.choice([0, 5, 20]), pred.shape) + rng.choice([0, 0, 15, 30], (len(pred), 1))
    )
    pred = np.where(rng.random(pred.shape) < 0.05, -rng.random(pred.shape) * 1000, pred)
    return pred.tolist(), truth.tolist(), heights, float(rng.choice([10, 200, 201]))


@pytest.mark.parametrize("seed", range(8))
def test_random_frames_agree_with_the_restated_rules(seed):
    rng = np.random.default_rng(seed)
    for _ in range(25):
        frame = random_frame(rng)
        assert close(triple(tusimple_scores(*frame)), restated(*frame))


# ---- the corrected scores ----

CORRECTED = {  # name of a case above: corrected, by hand
    "both found": (1, 0, 0),
    "one of two found": (1 / 2, 0, 1 / 2),
    "20 px off a vertical lane, strict": (0, 1, 1),
    "negative FP": (1 / 2, 0, 1 / 2),
    "negative FP, three lanes": (1 / 3, 0, 2 / 3),
    "a copy is a false alarm": (1, 1 / 2, 0),
    "three are not": (0, 1, 1),
    "200.001 ms": (0, 1, 1),
    "wrong wherever it says something, yet matched at 17/20": (0, 1, 1),
    "all absent on a short lane": (0, 0, 1),
    "nothing predicted": (0, 0, 1),
    "a flat lane matches absence": (0, 0, 1),
    "any negative x is absent": (1, 0, 0),
    "x = 0 against absent": (0, 1, 0),
    "x = 0 is present": (1, 0, 0),
    "no lane, nothing predicted": (1, 0, 0),
    "no lane, two predicted": (0, 1, 0),
    "no lane, three predicted": (0, 1, 0),
    "five lanes, all found": (1, 0, 0),
    "five lanes, four found": (1, 0, 0),
    "five lanes, three found": (3 / 4, 0, 1 / 4),
    "five lanes, none predicted": (0, 0, 1),
    "six lanes, all found": (1, 0, 0),
    "six lanes, four found": (1, 0, 0),
    "six lanes, none predicted": (0, 0, 1),
    "seven lanes, all found": (1, 0, 0),
}


@pytest.mark.parametrize("name", CORRECTED)
def test_corrected_by_hand(name):
    pred, truth, milliseconds, _ = HAND[name]
    got = tusimple_scores(pred, truth, HEIGHTS, milliseconds, corrected=True)
    assert close(triple(got["corrected"]), CORRECTED[name]) and triple(got) == triple(
        tusimple_scores(pred, truth, HEIGHTS, milliseconds)
    )


def test_corrected_accuracy_is_a_share_of_the_filled_heights():
    got = tusimple_scores([straight(400, first=12)], [straight(400, first=10)], HEIGHTS, corrected=True)["corrected"]
    assert close(triple(got), (8 / 10, 1, 1))  # ten heights, eight right: below 0.85
    got = tusimple_scores([straight(400, first=9)], [straight(400, first=10)], HEIGHTS, corrected=True)["corrected"]
    assert close(triple(got), (10 / 11, 0, 0))  # one point too many


def best_by_trying(table):
    "(most matches, largest sum of accuracies among those) over all one-to-one assignments."
    G, P = table.shape
    outcomes = []
    for order in itertools.permutations(range(P + G), G):
        chosen = np.array([table[g, p] for g, p in enumerate(order) if p < P])
        outcomes.append(((chosen >= 0.85).sum(), round(sum(chosen.tolist()), 9)))
    return max(outcomes)


@pytest.mark.parametrize("seed", range(30))
def test_the_assignment_is_the_best_there_is(seed):
    rng = np.random.default_rng(seed)
    table = rng.random(rng.integers(0, 4, 2)) ** 0.2
    got = best_assignment(table)
    assert ((got >= 0.85).sum(), round(got.sum(), 9)) == best_by_trying(table) and len(got) == len(table)
    assert all(a == 0 or a in table[g] for g, a in enumerate(got))


def test_the_assignment_finds_a_match_for_both():
    assert best_assignment(np.array([[1, 0.9], [0.88, 0.3]])).tolist() == [0.9, 0.88]
    assert best_assignment(np.array([[1, 0.86], [0.86, 0]])).tolist() == [0.86, 0.86]
    assert best_assignment(np.array([[1, 0.85], [0.85, 0.75]])).tolist() == [
        0.85,
        0.85,
    ]  # two matches, although the sum is smaller
    assert best_assignment(np.array([[0.8, 0.7], [0.8, 0.2]])).tolist() == [0.7, 0.8]


@pytest.mark.parametrize("seed", range(6))
def test_corrected_scores_are_in_0_to_1_and_no_milder_in_matches(seed):
    rng = np.random.default_rng(100 + seed)
    for _ in range(25):
        pred, truth, heights, milliseconds = random_frame(rng)
        mended = tusimple_scores(pred, truth, heights, milliseconds, corrected=True)["corrected"]
        assert all(0 <= v <= 1 + 1e-12 for v in mended.values())
        perfect = tusimple_scores(truth, truth, heights, corrected=True)["corrected"]
        assert close(triple(perfect), (1, 0, 0))
        assert mended == tusimple_scores(pred[::-1], truth[::-1], heights, milliseconds, corrected=True)[
            "corrected"
        ] or close(
            triple(mended),
            triple(tusimple_scores(pred[::-1], truth[::-1], heights, milliseconds, corrected=True)["corrected"]),
        )
