"""KITTI's average precision: the official program's outputs, hand-worked cases, and a plain restatement of its two passes."""
import json, math, os, warnings
from pathlib import Path
import numpy as np, pytest
from mtl_course.config import UserError, project_root
from mtl_course.metrics.kitti import (KITTI_CLASSES, KittiDetections, KittiFileError, KittiLabels, average_precision, kitti_ap,
                                      kitti_ap_arrays, precision_curve, recall_thresholds)

# ---------------------------------------------------------------- the official program's outputs, read where they are
GOLDEN = Path(os.environ.get("MTL_GOLDEN") or project_root().parent/"shared"/"golden")/"kitti"
CASES = sorted(p.parent for p in GOLDEN.glob("*/*/expected.json"))


def numbers(x): return np.array([[math.nan if v is None else v for v in row] for row in x], float)


@pytest.mark.parametrize("case", CASES or [pytest.param(None, marks=pytest.mark.skip(
    reason="no official outputs here: set MTL_GOLDEN to a folder with kitti/SET/CASE/expected.json"))], ids=lambda p: f"{p.parent.name}/{p.name}" if p else "absent")
def test_official_outputs(case):
    expected = json.loads((case/"expected.json").read_text())
    labels = case/"label_2" if (case/"label_2").is_dir() else case.parent/"label_2"
    if "error" in expected:
        with pytest.raises(KittiFileError, match=expected["error"]): kitti_ap(labels, case/"pred")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = kitti_ap(labels, case/"pred")
    curves = json.loads((case/"expected_curves.json").read_text())
    for name in KITTI_CLASSES:
        entry = got[name]
        assert entry["evaluated"] is expected["evaluated"][name]
        np.testing.assert_allclose([entry["r40"], entry["r11"]], numbers([expected["ap_r40"][name], expected["ap_r11"][name]]), rtol=0, atol=1e-6)
        assert entry["precision"].shape == (3, 41) and entry["precision"].dtype == np.float64
        np.testing.assert_allclose(entry["precision"], numbers(curves["precision"][name]), rtol=0, atol=1e-12)
        for level in range(3):
            for key, value in (("n_gt", entry["n_gt"][level]), ("n_tp_pass1", entry["n_tp"][level]), ("n_thresholds", len(entry["thresholds"][level]))):
                assert expected[key][name][level] in (None, value), (name, level, key)
            if curves["thresholds"][name] and curves["thresholds"][name][level]: assert entry["thresholds"][level].tolist() == curves["thresholds"][name][level]


@pytest.mark.skipif(not CASES, reason="no official outputs here: set MTL_GOLDEN to a folder with kitti/SET/CASE/expected.json")
def test_corrected_is_100_for_perfect_copies_of_real_labels():
    got = kitti_ap(GOLDEN/"A"/"label_2", GOLDEN/"A"/"perfect"/"pred", corrected=True)
    for entry in got.values():
        for n, value in zip(entry["n_gt"], entry["corrected"]["r40"]): assert value == 100 if n else math.isnan(value)
