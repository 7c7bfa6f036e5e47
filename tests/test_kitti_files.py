"""KITTI's files of labels and results: how they are read, and what is wrong with them."""

import warnings
import numpy as np, pytest
from mtl_course.core.errors import UserError
from mtl_course.metrics.kitti import kitti_ap_arrays
from mtl_course.metrics.kitti_files import KittiFileError, kitti_ap
from mtl_course.metrics.kitti_frames import KITTI_CLASSES
from kitti_examples import P1, random_frame


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
