"""Prediction files in the official formats, their scores and intervals: an oracle on few frames."""

import json
from pathlib import Path

import cv2, numpy as np, pandas as pd, pytest, torch
from torch import nn
from mtl_course.config import TASKS, make_config
from mtl_course.core.errors import UserError
from mtl_course.data.gtsrb_tables import CSV_COLUMNS
from mtl_course.data.loaders import evaluation_loader
from mtl_course.core.files import replaced_folder
from mtl_course.evaluation.evaluate import TaskResult, evaluate_model
from mtl_course.evaluation.results import RESULT_COLUMNS, format_scores, read_table, write_results
from mtl_course.metrics.intervals import bootstrap_sums, draw_counts, group_sums, interval
from mtl_course.metrics.ranking import COCO_LIMITS, COCO_RECALLS, Ranking, bootstrap_coco, coco_rankings
from mtl_course.metrics import DetectionMetric, kitti_ap, tusimple_metric
from mtl_course.metrics.gtsrb_files import read_gtsrb, score_gtsrb, write_gtsrb
from mtl_course.metrics.kitti_files import kitti_lines, score_kitti, to_original, write_kitti
from mtl_course.metrics.tusimple_files import score_tusimple

HEIGHTS = list(range(160, 720, 10))


def lane_of(start, slope):
    return [int(start + slope * (h - 160)) if h >= 300 else -2 for h in HEIGHTS]


SIGN_NAMES_OF_A_CLASS = ["00000_00000.ppm", "00000_00001.ppm", "00000_00002.ppm"]
SIGN_NAMES_OF_A_CLASS += ["00001_00000.ppm", "00001_00001.ppm", "00001_00002.ppm"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    "Sixteen frames of three cars each, eight of two lanes, and twelve signs in four tracks."
    root = tmp_path_factory.mktemp("data")
    for folder in (
        "kitti/training/image_2",
        "kitti/training/label_2",
        "tusimple/clips",
        *(f"gtsrb/GTSRB/Training/{c:05d}" for c in (1, 2)),
    ):
        (root / folder).mkdir(parents=True)
    for k in range(16):
        cv2.imwrite(
            str(root / f"kitti/training/image_2/{k:06d}.png"), np.full((375, 1242 - k % 2, 3), k, np.uint8)
        )  # sizes differ from frame to frame
        lines = [
            f"Car 0.00 0 -10 {x + 7 * k}.00 150.00 {x + 100 + 7 * k}.00 220.00 1 1 1 1 1 9 0" for x in (30, 300, 700)
        ] + ["DontCare -1 -1 -10 1100.00 10.00 1200.00 60.00 -1 -1 -1 -1000 -1000 -1000 -10"] * (k % 2)
        (root / f"kitti/training/label_2/{k:06d}.txt").write_text("\n".join(lines) + "\n")
    entries = []
    for k in range(8):
        (root / f"tusimple/clips/{k}").mkdir()
        cv2.imwrite(str(root / f"tusimple/clips/{k}/20.jpg"), np.full((720, 1280, 3), k, np.uint8))
        lanes = [lane_of(560 - 10 * k, -0.6), lane_of(700 + 10 * k, 0.7)]
        entries.append(json.dumps(dict(lanes=lanes, h_samples=HEIGHTS, raw_file=f"clips/{k}/20.jpg")))
    (root / "tusimple/label_data_1.json").write_text("\n".join(entries) + "\n")
    for c in (1, 2):
        names = SIGN_NAMES_OF_A_CLASS
        for n in names:
            cv2.imwrite(str(root / f"gtsrb/GTSRB/Training/{c:05d}/{n}"), np.full((30, 30, 3), 9, np.uint8))
        (root / f"gtsrb/GTSRB/Training/{c:05d}/GT-{c:05d}.csv").write_text(
            ";".join(CSV_COLUMNS) + "\n" + "".join(f"{n};30;30;3;3;27;27;{c}\n" for n in names)
        )
    return root


class Oracle(nn.Module):
    "Gives the truth of each batch, or what `spoil` makes of it."

    def __init__(self, loaders, spoil=lambda task, i, truth: truth):
        super().__init__()
        self.answers = {}
        for task, loader in loaders.items():
            self.answers[task] = iter([spoil(task, i, batch[task]) for i, batch in enumerate(loader)])

    def forward(self, images, task):
        truth = next(self.answers[task])
        if task == "classification":
            return nn.functional.one_hot(truth, 43).float()
        if task == "lane":
            return torch.stack([torch.full(truth.shape, 0.0), 20.0 * truth - 10], 1)
        return {"truth": truth}

    def decode_detections(self, output):
        return [
            dict(boxes=t["boxes"], labels=t["labels"], scores=torch.linspace(0.9, 0.8, len(t["labels"])))
            for t in output["truth"]
        ]


def evaluate(data, out, spoil=None, tasks=TASKS, resamples=60):
    config = make_config("smoke", data_root=str(data), lane_size=(360, 640), detection_size=(128, 416))
    loaders = {t: evaluation_loader(config, "all", (t,)) for t in tasks}
    results = evaluate_model(Oracle(loaders, *([spoil] if spoil else [])), loaders, progress=False, resamples=resamples)
    for r in results.values():
        if r.predictions:
            r.predictions.run_time = [20.0]  # an oracle on a busy machine may be slow; the time is tested elsewhere
    return results, read_table(write_results(results, out, data_set="d", split="all")[0], RESULT_COLUMNS)


@pytest.fixture(scope="module")
def perfect(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, *evaluate(data, out)


def value(table, metric, name="all", difficulty="all"):
    return table[(table["metric"] == metric) & (table["class"] == name) & (table["difficulty"] == difficulty)].iloc[0]


def test_the_truth_scores_full_marks_from_the_files(perfect):
    out, results, table = perfect
    folder = out / "predictions" / "all"
    entry = kitti_ap(folder / "kitti" / "label_2", folder / "kitti" / "data", corrected=True)["Car"]
    assert entry["n_gt"] == [48] * 3 and entry["r40"] == [100] * 3 and entry["corrected"]["r40"] == [100] * 3
    lanes = tusimple_metric(folder / "tusimple" / "pred.json", folder / "tusimple" / "label.json", corrected=True)
    assert (
        lanes["accuracy"] > 0.98
        and lanes["fp"] == lanes["fn"] == 0
        and lanes["corrected"]["fp"] == lanes["corrected"]["fn"] == 0
    )
    assert score_gtsrb(folder / "gtsrb")["accuracy"] == 1
    assert (
        value(table, "kitti_ap_r40", "Car", "easy")["value"] == 1
        and value(table, "tusimple_accuracy")["value"] == lanes["accuracy"]
    )
    assert pd.isna(value(table, "kitti_ap_r40", "Car", "easy")["low"])  # no mistake to draw, no interval
    assert (
        list(table.columns) == RESULT_COLUMNS and not table.duplicated(["task", "metric", "class", "difficulty"]).any()
    )


def test_files_have_official_formats_and_original_pixels(perfect, data):
    out = perfect[0] / "predictions" / "all"
    for file in sorted((data / "kitti/training/label_2").iterdir()):
        rows = [l.split() for l in (out / "kitti" / "data" / file.name).read_text().splitlines()]
        labels = [l.split() for l in file.read_text().splitlines() if l.startswith("Car")]
        assert len(rows) == 3 and all(
            len(r) == 16 and r[:4] == ["Car", "-1", "-1", "-10"] and r[8:15] == ["-1"] * 3 + ["-1000"] * 3 + ["-10"]
            for r in rows
        )
        assert np.allclose(
            np.array([r[4:8] for r in rows], float), np.array([l[4:8] for l in labels], float), atol=0.011
        )
        assert (out / "kitti" / "label_2" / file.name).read_text() == file.read_text()
    lines = [json.loads(l) for l in (out / "tusimple" / "pred.json").read_text().splitlines()]
    assert [l["raw_file"] for l in lines] == [f"clips/{k}/20.jpg" for k in range(8)] and all(
        l["h_samples"] == HEIGHTS and l["run_time"] == 20 for l in lines
    )
    for line in lines:
        assert all(len(lane) == len(HEIGHTS) and (np.array(lane) >= -2).all() for lane in line["lanes"])
    expected = {f"00001/{name}": 1 for name in SIGN_NAMES_OF_A_CLASS}
    expected |= {f"00002/{name}": 2 for name in SIGN_NAMES_OF_A_CLASS}
    assert read_gtsrb(out / "gtsrb" / "pred.csv") == expected
    assert json.loads((out / "kitti" / "run.json").read_text()) == dict(
        model="multi_task", seed=0, data_set="d", split="all", images=16
    )


def test_predictions_appear_with_the_record_of_whose_they_are(perfect, tmp_path, monkeypatch):
    "A kill at any moment leaves no folder without it."
    renamed = []

    def rename(path, target, real=Path.rename):
        if Path(target).parent.name == "all":
            renamed.append((Path(target).name, sorted(file.name for file in path.iterdir())))
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    write_results(perfect[1], tmp_path, data_set="d", split="all")
    assert dict(renamed) == {
        "gtsrb": ["pred.csv", "run.json", "truth.csv"],
        "kitti": ["data", "label_2", "run.json"],
        "tusimple": ["label.json", "pred.json", "run.json"],
    }


def spoiled(task, i, truth):
    "Every other answer, or the second batch, is wrong in part."
    if task == "classification":
        return torch.where(torch.arange(len(truth)) < 2, truth, 3 - truth)
    if task == "lane":
        return truth * (torch.arange(len(truth)) % 2)[:, None, None]
    return (
        truth
        if i == 0
        else [
            t | dict(boxes=t["boxes"] + torch.tensor([40.0, 0, 40, 0]) * (torch.arange(3)[:, None] == 0)) for t in truth
        ]
    )


def test_mistakes_lower_scores_and_open_intervals(data, tmp_path):
    results, table = evaluate(data, tmp_path, spoiled)
    for metric, name, difficulty in (
        ("map50", "all", "all"),
        ("ap50", "Car", "all"),
        ("kitti_ap_r40_corrected", "Car", "moderate"),
        ("kitti_ap_r40", "Car", "hard"),
        ("iou", "all", "all"),
        ("iou", "lane", "all"),
        ("tusimple_accuracy", "all", "all"),
        ("tusimple_fn_corrected", "all", "all"),
        ("accuracy", "all", "all"),
    ):
        row = value(table, metric, name, difficulty)
        assert row["low"] <= row["value"] <= row["high"] and row["low"] < row["high"] and 0 < row["value"] < 1, metric
    assert value(table, "tusimple_fn")["value"] == 0.5 and value(table, "tusimple_accuracy")["value"] < 0.8
    wide = pd.read_csv(tmp_path / "per_class_detection.csv").set_index("class")
    assert wide.loc["Car", "ap50_low"] < wide.loc["Car", "ap50"] < wide.loc["Car", "ap50_high"]
    assert "95 % interval" in format_scores(results)


def test_a_repeated_evaluation_replaces_files_and_rows(data, tmp_path):
    _, first = evaluate(data, tmp_path, tasks=("detection",))
    (tmp_path / "predictions" / "all" / "kitti" / "data" / "999999.txt").write_text(
        ""
    )  # of an older run with more frames
    _, again = evaluate(data, tmp_path, tasks=("detection",))
    pd.testing.assert_frame_equal(first, again)
    assert len(list((tmp_path / "predictions" / "all" / "kitti" / "data").iterdir())) == 16 and [
        p.name for p in (tmp_path / "predictions" / "all").iterdir()
    ] == ["kitti"]


def test_a_table_of_an_earlier_version_is_taken_over(tmp_path):
    old = pd.DataFrame(
        [dict(model="m", seed=0, data_set="d", split="test", task="lane", metric="iou", value=0.5) | {"class": "all"}]
    )
    old.to_csv(tmp_path / "evaluation_results.csv", index=False)
    write_results(
        dict(lane=TaskResult("lane", 1, dict(iou=0.7), pd.DataFrame([dict(iou=0.7)], index=["lane"]))),
        tmp_path,
        data_set="d",
        seed=1,
    )
    table = read_table(tmp_path / "evaluation_results.csv", RESULT_COLUMNS)
    assert table["difficulty"].eq("all").all() and sorted(
        table[(table["metric"] == "iou") & (table["class"] == "all")]["value"]
    ) == [0.5, 0.7]


def test_no_intervals_and_no_files_on_request(data, tmp_path):
    results, table = evaluate(data, tmp_path, tasks=("lane",), resamples=0)
    assert (
        table["low"].isna().all()
        and not (tmp_path / "predictions").exists()
        and "interval" not in format_scores(results)
    )


def test_boxes_go_back_to_original_pixels():
    assert to_original([[416, 0, 208, 64]], (128, 416), (375, 1242)).tolist() == [[1242, 0, 621, 187.5]]
    assert to_original([[-5, -5, 500, 200]], (128, 416), (375, 1242)).tolist() == [[0, 0, 1242, 375]]
    assert to_original(np.empty((0, 4)), (128, 416), (375, 1242)).shape == (0, 4)
    rows = kitti_lines([2, 7], np.array([[1, 2, 3, 4.0], [5, 6, 7, 8]]), [0.1, 0.2]).splitlines()
    assert [r.split()[0] for r in rows] == ["Misc", "Pedestrian"] and rows[1].endswith(" 0.1")  # the surest first


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    with replaced_folder(tmp_path / "a") as f:
        (f / "x").write_text("1")
    with pytest.raises(ZeroDivisionError), replaced_folder(tmp_path / "a") as f:
        (f / "y").write_text("2")
        1 / 0
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "x"]


def test_broken_files_are_named(tmp_path):
    with pytest.raises(UserError, match="label folder"):
        score_kitti(tmp_path / "nothing")
    with pytest.raises(UserError, match="pred.json"):
        score_tusimple(tmp_path)
    write_gtsrb(tmp_path / "g", ["a.ppm", "b.ppm"], [1, 2], [1, 2])
    for text, sentence in (
        ("Filename;ClassId\na.ppm;1\n", "b.ppm is in only one"),
        ("a.ppm;1\n", "line 1"),
        ("Filename;ClassId\na.ppm;43\n", "line 2"),
        ("Filename;ClassId\na.ppm\n", "line 2"),
        ("Filename;ClassId\na.ppm;1\na.ppm;1\n", "named before"),
    ):
        (tmp_path / "g" / "pred.csv").write_text(text)
        with pytest.raises(UserError, match=sentence):
            score_gtsrb(tmp_path / "g")
    (tmp_path / "g" / "pred.csv").unlink()
    with pytest.raises(UserError, match="cannot be read"):
        score_gtsrb(tmp_path / "g")
    label = tmp_path / "000000.txt"
    label.write_text("Car 0.00 0 -10 1.00 1.00 90.00 90.00 1 1 1 1 1 9 0\n")
    write_kitti(tmp_path / "k", [label], [""])
    assert (
        score_kitti(tmp_path / "k", 0).set_index(["metric", "class", "difficulty"]).value["kitti_ap_r40", "Car", "easy"]
        == 0
    )
    (tmp_path / "k" / "data" / "000000.txt").unlink()
    with pytest.raises(UserError, match="000000.txt"):
        score_kitti(tmp_path / "k", 0)
    with pytest.raises(ValueError):
        write_kitti(tmp_path / "k", [label], [])


def test_intervals_hold_the_truth_and_shrink():
    rng = np.random.default_rng(1)
    held = 0
    for k in range(200):
        low, high = interval(draw_counts(100, 200, k) @ (rng.random(100) < 0.8) / 100)
        held += low <= 0.8 <= high
    assert held / 200 > 0.87
    width = {n: np.diff(interval(draw_counts(n) @ (np.arange(n) % 5 > 0) / n))[0] for n in (50, 800)}
    assert 3 < width[50] / width[800] < 5.5
    assert (draw_counts(20, 5, 3) == draw_counts(20, 5, 3)).all() and (
        draw_counts(20, 5, 3) != draw_counts(20, 5, 4)
    ).any()
    tracks = np.repeat(np.arange(30), 10)
    right = (tracks % 3 > 0)[:, None]  # a track is right or wrong as a whole
    single, grouped = (np.diff(interval(bootstrap_sums(right, g)[:, 0] / 300))[0] for g in (None, tracks))
    assert 2.5 < grouped / single < 4  # sqrt(10)
    assert group_sums(np.ones((4, 1)), np.array([7, 7, -1, -1])).ravel().tolist() == [2, 1, 1]


def made_up(rng, n, coarse):
    truths, founds = [], []
    for _ in range(n):
        xy = rng.uniform(0, 90, (rng.integers(0, 5), 2))
        boxes = np.hstack([xy, xy + rng.uniform(15, 40, xy.shape)])
        guess = np.vstack([boxes + rng.normal(0, 2.5, boxes.shape), boxes[:2], boxes + 30])
        labels = rng.integers(1, 8, len(boxes))
        scores = rng.integers(1, 9, len(guess)) / 9 if coarse else rng.random(len(guess))
        truths.append(
            dict(
                boxes=torch.tensor(boxes).float(),
                labels=torch.tensor(labels),
                ignore=torch.tensor([[0.0, 0, 60, 60]])[: rng.integers(0, 2)],
            )
        )
        founds.append(
            dict(
                boxes=torch.tensor(guess).float(),
                labels=torch.tensor(np.r_[labels, labels[:2], labels[::-1]]),
                scores=torch.tensor(scores).float(),
            )
        )
    return founds, truths


@pytest.mark.parametrize("coarse", (False, True))
def test_ap_agrees_with_pycocotools(coarse):
    founds, truths = made_up(np.random.default_rng(5 + coarse), 40, coarse)
    metric = DetectionMetric()
    metric.update(founds, truths)
    theirs = metric.per_class()
    for limits, column in ((COCO_LIMITS[:1], "ap50"), (COCO_LIMITS, "ap50_95")):
        assert np.allclose(
            bootstrap_coco(founds, truths, 2, limits=limits)[0], theirs[column], atol=1e-6, equal_nan=True
        )
    assert theirs["ap50"].between(0.05, 0.95).any()


def test_no_more_than_100_boxes_of_a_class_and_image_count():
    box = torch.tensor([[0.0, 0, 9, 9]])
    found = dict(
        boxes=torch.cat([box + 50] * 100 + [box]),
        labels=torch.ones(101, dtype=torch.int64),
        scores=torch.linspace(1, 0.1, 101),
    )
    assert bootstrap_coco([found], [dict(boxes=box, labels=torch.tensor([1]))], 2)[0, 0] == 0
    found = {k: v[1:] for k, v in found.items()}
    assert bootstrap_coco([found], [dict(boxes=box, labels=torch.tensor([1]))], 2)[0, 0] == pytest.approx(0.01)


def test_rankings_by_hand():
    assert Ranking([0.9, 0.8, 0.7], [1, 0, 1], [0, 0, 0], [2]).precisions(
        np.array([1]), np.array([0, 0.5, 0.51, 1])
    ).tolist() == [1, 1, 2 / 3, 2 / 3]
    assert Ranking([0.9, 0.8], [0, 1], [0, 1], [0, 1]).precisions(np.array([3, 1]), np.array([1.0])).tolist() == [0.25]
    assert np.isnan(Ranking([0.9], [0], [0], [0]).precisions(np.array([1]), COCO_RECALLS)).all()
    ranks = coco_rankings(
        [dict(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64), scores=torch.zeros(0))],
        [dict(boxes=torch.tensor([[0.0, 0, 9, 9]]), labels=torch.tensor([3]))],
    )
    assert (
        ranks[0][2].precisions(np.ones(1, int), COCO_RECALLS).sum() == 0
        and np.isnan(ranks[0][0].precisions(np.ones(1, int), COCO_RECALLS)).all()
    )


def test_a_slow_network_is_told_so(data, tmp_path):
    results, _ = evaluate(data, tmp_path, tasks=("lane",))
    results["lane"].predictions.run_time = [100.0, 250.0, 260.0]  # the median counts
    with pytest.warns(UserWarning, match="250 ms"):
        table = read_table(write_results(results, tmp_path, data_set="d", split="all")[0])
    assert [value(table, f"tusimple_{k}")["value"] for k in ("accuracy", "fp", "fn")] == [0, 0, 1]


def test_a_detection_takes_the_object_it_overlaps_most():
    truth = dict(boxes=torch.tensor([[0.0, 0, 10, 10], [2, 0, 12, 10]]), labels=torch.tensor([1, 1]))
    for order in ([0, 1], [1, 0]):  # the first could have either, the second only the left one
        found = dict(
            boxes=torch.tensor([[1.9, 0, 11.9, 10], [-2, 0, 8, 10]]),
            labels=torch.tensor([1, 1]),
            scores=torch.tensor([0.9, 0.8]),
        )
        assert bootstrap_coco([found], [{k: v[order] for k, v in truth.items()}], 2)[0, 0] == 1
