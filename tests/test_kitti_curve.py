"""KITTI's recall thresholds, precision curve and average, and the arrays behind them."""

import math
import numpy as np, pytest
from mtl_course.metrics.kitti import average_precision, kitti_ap_arrays, precision_curve, recall_thresholds
from mtl_course.metrics.kitti_frames import KittiDetections, KittiLabels
from mtl_course.metrics.matching import pairs_within_frames
from kitti_examples import A, at, entry_of, random_frame


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
