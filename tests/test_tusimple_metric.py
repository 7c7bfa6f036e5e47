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

HEIGHTS = list(range(200, 400, 10))  # twenty
SENTENCES = dict(
    json="Fail to load json file of the prediction.",
    count="We do not get the predictions of all the test tasks",
    keys="raw_file or lanes or run_time not in some predictions.",
    unknown="Some raw_file from your predictions do not exist in the test tasks.",
    format="Format of lanes error.",
)


def straight(x, k=0.0, first=0):
    return [x + k * (h - 200) if i >= first else -2 for i, h in enumerate(HEIGHTS)]


def row(*xs):
    return [straight(x) for x in xs]


def triple(scores):
    return scores["accuracy"], scores["fp"], scores["fn"]


def close(a, b):
    return np.allclose(a, b, rtol=0, atol=1e-12)


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


# cases of our own, worked out by hand

SIX = row(100, 200, 300, 400, 500, 600)
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


# ---- files ----


def label(frame="a", lanes=None, heights=HEIGHTS):
    return dict(raw_file=frame, lanes=row(100) if lanes is None else lanes, h_samples=heights)


def answer(frame="a", lanes=None, run_time=10, **more):
    return dict(raw_file=frame, lanes=row(100) if lanes is None else lanes, run_time=run_time, **more)


def write(path, lines):
    path.write_bytes(b"".join(x if isinstance(x, bytes) else json.dumps(x).encode() + b"\n" for x in lines))
    return path


def score(folder, predictions, truth, **more):
    return tusimple_metric(write(folder / "pred.json", predictions), write(folder / "gt.json", truth), **more)


def text(**more):
    return json.dumps(answer(**more)).encode()


def with_x(x):
    return text(lanes=[straight(100)[:-1]]).replace(b"100.0]", b"100, " + x + b"]")  # a lane whose last x is written so


def test_a_file_is_the_mean_over_the_frames_of_the_truth(tmp_path):
    truth = [label("a", row(100, 200)), label("b", row(300))]
    got = score(
        tmp_path, [answer("b", row(300, 301)), answer("a", row(100), h_samples=[1], score=3)], truth
    )  # other keys do not matter
    assert got == dict(
        accuracy=0.75,
        fp=0.25,
        fn=0.25,
        rows=[dict(raw_file="b", accuracy=1.0, fp=0.5, fn=0.0), dict(raw_file="a", accuracy=0.5, fp=0.0, fn=0.5)],
    )


def test_a_frame_predicted_twice_counts_twice(tmp_path):
    truth = [label("a"), label("b", row(300, 400))]
    assert close(triple(score(tmp_path, [answer("a"), answer("a")], truth)), (1, 0, 0))
    got = score(tmp_path, [answer("a", row(500)), answer("a")], truth, corrected=True)
    assert close(triple(got), (1 / 2, 1 / 2, 1 / 2))
    assert close(triple(got["corrected"]), (0, 1 / 2, 1))  # the first answer for a is wrong, b has none


def test_of_a_frame_labelled_twice_the_last_line_counts(tmp_path):
    got = score(tmp_path, [answer("a"), answer("a")], [label("a", row(900)), label("a")], corrected=True)
    assert close(triple(got), (2, 0, 0)) and close(triple(got["corrected"]), (1, 0, 0))


def tenths(n, x=100):
    return [x] * n + [900] * (10 - n)  # a lane of which n points of ten are near x


def test_scores_add_up_in_the_order_of_lanes_and_lines(tmp_path):
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    truth = [[100] * 10, [300] * 10, [500] * 10]
    got = tusimple_scores([tenths(1, 100), tenths(2, 300), tenths(3, 500)], truth, HEIGHTS[:10])
    assert got["accuracy"] == (0.1 + 0.2 + 0.3) / 3
    for shares in ((1, 2, 3), (3, 2, 1)):
        got = score(
            tmp_path,
            [answer(str(n), [tenths(n)]) for n in shares],
            [label(str(n), [[100] * 10], HEIGHTS[:10]) for n in (1, 2, 3)],
        )
        assert got["accuracy"] == (shares[0] / 10 + shares[1] / 10 + shares[2] / 10) / 3


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b" \t\n"])
def test_line_endings_that_pass(tmp_path, ending):
    assert triple(score(tmp_path, [text() + ending], [label()])) == (1, 0, 0)


@pytest.mark.parametrize(
    "ending", [b"\n\n", b"\n \n", b"\r\n\r\n", b"\r" + text(), b"\0", b"\x0c", b" x", text(), "\u2028".encode()]
)
def test_line_endings_that_do_not(tmp_path, ending):
    with pytest.raises(ValueError, match=SENTENCES["json"]):
        score(tmp_path, [text() + ending], [label()])


@pytest.mark.parametrize(
    "x, right",
    [
        (b"100.", 20),
        (b"0100", 20),
        (b"1e2", 20),
        (b"1E+2", 20),
        (b"-", 19),
        (b"-.5", 19),
        (b"1e400", 19),
        (b"null", 19),
        (b"true", 19),
        (b"119.99", 20),
        (b"120", 19),
        (b"1e", 19),
        (b"00.e2", 19),
        (b"10.e1", 20),
    ],
)
def test_numbers_that_pass(tmp_path, x, right):
    assert triple(score(tmp_path, [with_x(x)], [label()])) == (right / 20, 0, 0)


@pytest.mark.parametrize(
    "x", [b"NaN", b"Infinity", b"-Infinity", b"nan", b".5", b"+100", b"0x10", b"'100'", b"", b"100 100"]
)
def test_numbers_that_do_not(tmp_path, x):
    with pytest.raises(ValueError, match=SENTENCES["json"]):
        score(tmp_path, [with_x(x)], [label()])


FAULTS = {  # name: (predictions, which sentence); the truth has the frames a and b
    "half a line": ([answer("a"), b'{"raw_file": "b", "lan\n'], "json"),
    "a blank line": ([answer("a"), b"\n", answer("b")], "json"),
    "a byte order mark": ([b"\xef\xbb\xbf" + text() + b"\n", answer("b")], "json"),
    "a zero byte in a name": ([b'{"raw_file": "a\0", "lanes": [], "run_time": 1}\n', answer("b")], "json"),
    "a name in Latin-1": ([b'{"raw_file": "\xe9", "lanes": [], "run_time": 1}\n', answer("b")], "json"),
    "not JSON, and too many lines": ([answer("a"), answer("b"), answer("a"), b"{\n"], "json"),
    "an empty file": ([], "count"),
    "one line missing": ([answer("a")], "count"),
    "one line too many": ([answer("a"), answer("b"), answer("b")], "count"),
    "too few lines, and no keys": ([{}], "count"),
    "no raw_file": ([answer("a"), dict(lanes=[], run_time=1)], "keys"),
    "no lanes": ([dict(raw_file="a", run_time=1), answer("b")], "keys"),
    "no run_time": ([dict(raw_file="a", lanes=[]), answer("b")], "keys"),
    "no keys at all": ([{}, answer("b")], "keys"),
    "a list": ([[], answer("b")], "keys"),
    "no key, unknown frame": ([dict(raw_file="c", lanes=[]), answer("b")], "keys"),
    "unknown frame": ([answer("a"), answer("c")], "unknown"),
    "frame is null": ([answer(None), answer("b")], "unknown"),
    "frame is a number": ([answer(5), answer("b")], "unknown"),
    "unknown frame with a bad lane": ([answer("c", [[1]]), answer("b")], "unknown"),
    "short lane": ([answer("a", [[100] * 19]), answer("b")], "format"),
    "long lane": ([answer("a"), answer("b", [[100] * 21])], "format"),
    "empty lane": ([answer("a", [[]]), answer("b")], "format"),
    "short lane and slow": ([answer("a", [[100] * 19], 300), answer("b")], "format"),
    "short lane among too many": ([answer("a", SIX + [[1]]), answer("b")], "format"),
    "lanes are null": ([answer("a", None) | dict(lanes=None), answer("b")], "format"),
    "lanes are a number": ([answer("a", 5), answer("b")], "format"),
    "lanes are text": ([answer("a", "x"), answer("b")], "format"),
    "one flat lane": ([answer("a", straight(100)), answer("b")], "format"),
    "a lane is null": ([answer("a", [None]), answer("b")], "format"),
    "a lane is text of the right length": ([answer("a", ["x" * 20]), answer("b")], "format"),
    "a lane is an object": ([answer("a", [{str(i): 1 for i in range(20)}]), answer("b")], "format"),
    "an x is text": ([answer("a", [["100"] + [100] * 19]), answer("b")], "format"),
    "every x is text": ([answer("a", [["100"] * 20]), answer("b")], "format"),
    "an x is a list": ([answer("a", [[[100]] + [100] * 19]), answer("b")], "format"),
    "an x is an object": ([answer("a", [[{}] + [100] * 19]), answer("b")], "format"),
    "bad lane first, then an unknown frame": ([answer("a", [[1]]), answer("c")], "format"),
    "text for an x first, then no keys": ([answer("a", [["1"] * 20]), {}], "format"),
    "unknown frame first, then a bad lane": ([answer("c"), answer("b", [[1]])], "unknown"),
    "no keys first, then a bad lane": ([{}, answer("b", [[1]])], "keys"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("corrected", [False, True])
def test_malformed_predictions_get_the_official_sentence(tmp_path, name, corrected):
    predictions, which = FAULTS[name]
    with pytest.raises(ValueError) as e:
        score(tmp_path, predictions, [label("a"), label("b")], corrected=corrected)
    assert str(e.value) == SENTENCES[which]


@pytest.mark.parametrize(
    "entry, sentence",
    [
        (5, "argument of type 'int' is not iterable"),
        (None, "argument of type 'NoneType' is not iterable"),
        (answer(["a"]), "unhashable type: 'list'"),
        (answer({}), "unhashable type: 'dict'"),
    ],
)
def test_what_python_says_where_the_program_lets_it(tmp_path, entry, sentence):
    with pytest.raises(ValueError) as e:
        score(tmp_path, [entry], [label()])
    assert str(e.value) == sentence


def test_content_is_ignored_where_the_program_ignores_it(tmp_path):
    nonsense = [["x"] * 20]
    assert triple(score(tmp_path, [answer(lanes=nonsense, run_time=300)], [label()])) == (0, 0, 1)
    assert triple(score(tmp_path, [answer(lanes=nonsense)], [label(lanes=[])])) == (0, 1, 0)
    for nothing in ("", {}):
        assert triple(score(tmp_path, [text(lanes=nothing)], [label()])) == (0, 0, 1)


def test_text_in_a_line_survives_the_second_try_at_its_numbers(tmp_path):
    odd = 'clips/007/1.\t"\\-.5/20.jpg'
    line = json.dumps(answer(odd)).encode().replace(b"\\t", b"\t").replace(b'"run_time": 10', b'"run_time": 010.')
    got = score(tmp_path, [line], [label(odd)])
    assert triple(got) == (1, 0, 0) and got["rows"][0]["raw_file"] == odd


def test_missing_and_empty_files(tmp_path):
    gt = write(tmp_path / "gt.json", [label()])
    with pytest.raises(ValueError, match=SENTENCES["json"]):
        tusimple_metric(tmp_path / "absent.json", gt)
    with pytest.raises(ValueError, match="float division by zero"):
        score(tmp_path, [], [])
    with pytest.raises(FileNotFoundError):
        tusimple_metric(write(tmp_path / "pred.json", []), tmp_path / "absent.json")


@pytest.mark.parametrize(
    "truth, part",
    [
        ([label(), b"\n"], "gt.json, line 2: not JSON"),
        ([5], "gt.json, line 1: expected an object"),
        ([dict(raw_file="a", lanes=[])], "h_samples"),
    ],
)
def test_a_fault_of_the_truth_names_its_line(tmp_path, truth, part):
    with pytest.raises(ValueError, match=part):
        score(tmp_path, [answer()] * len([t for t in truth if t != b"\n"]), truth)


@pytest.mark.parametrize(
    "truth", [[[100] * 19], [[100] * 21], [["100"] * 20], [None], None, [[1e308] * 19 + [1.7e308]]]
)
def test_a_true_lane_of_another_length_is_a_format_error(truth):
    with pytest.raises(ValueError, match=SENTENCES["format"]):
        tusimple_scores(row(100), truth, HEIGHTS)


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


@pytest.mark.parametrize(
    "number,sentence",
    [
        ("100000000000000000000", "json"),
        ("-10000000000000000000", "json"),
        ("100000000000000000000.5", "json"),  # a step of ujson's 64-bit sum falls below the one before
        ("18446744073709551615", None),
        ("-9223372036854775808", None),
        ("30000000000000000000", None),
    ],
)  # the largest; 3e19 wraps around unnoticed: ujson's FIXME
def test_integers_of_more_than_64_bits_are_those_of_ujson(tmp_path, number, sentence):
    truth = dict(raw_file="a", lanes=row(100), h_samples=HEIGHTS)
    (tmp_path / "gt.json").write_text(json.dumps(truth) + "\n")
    (tmp_path / "pred.json").write_text(
        json.dumps(dict(raw_file="a", lanes=row(100), run_time=10))[:-1] + f', "extra": {number}}}\n'
    )
    if sentence is None:
        assert triple(tusimple_metric(tmp_path / "pred.json", tmp_path / "gt.json")) == (1, 0, 0)
    else:
        with pytest.raises(ValueError, match=SENTENCES[sentence]):
            tusimple_metric(tmp_path / "pred.json", tmp_path / "gt.json")
