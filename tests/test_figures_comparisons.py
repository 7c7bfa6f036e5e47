"""Comparisons, drawings of the network and pictures of predictions: all from result files, and with
the numbers of those files.
"""

import contextlib
import io
import itertools
import json
import shutil
from pathlib import Path
import numpy as np, pandas as pd, pytest
from mtl_course.plots.architecture import (
    architecture_diagram,
    figure_6_resnet50_architecture,
    layer_table,
    run_model,
    stages_read,
)
from mtl_course.cli.figures import mtl_figures
from mtl_course.plots.catalogue import FIGURES
from mtl_course.plots.comparison import (
    SCORES,
    evaluation_comparison,
    benefits_of_single_runs,
    compare_single_runs,
    pick_score,
)
from mtl_course.plots.data_counts import count_data, data_counts_figure, write_data_counts
from mtl_course.plots.efficiency import EFFICIENCY_COLUMNS, efficiency_analysis
from mtl_course.studies.sharing import relative_change
from mtl_course.config import TASKS
from mtl_course.core.errors import UserError
from mtl_course.core.files import resolve
from mtl_course.data.sources import make_reader
from mtl_course.evaluation.results import RESULT_COLUMNS
from mtl_course.plots.figures import make_figures
from mtl_course.metrics.intervals import interval_of_difference
from mtl_course.metrics.gtsrb_files import write_gtsrb
from mtl_course.metrics.kitti_files import kitti_lines, write_kitti
from mtl_course.metrics.tusimple_files import write_tusimple
from mtl_course.plots.predictions import (
    frame_f1,
    pick_cases,
    precision_recall,
    qualitative_detection,
    qualitative_lanes,
    qualitative_signs,
)

FROM_A_RUN = (
    "figure_6_resnet50_architecture architecture_diagram data_counts evaluation_comparison efficiency_analysis "
    "qualitative_signs qualitative_detection qualitative_lanes precision_recall"
).split()
VALUES = dict(zip(SCORES, (0.91, 0.52, 0.66, 0.41, 0.37, 0.63, 0.87)))


def write_scores(path, model, shift=0.0, split="test", tasks=TASKS, data_set="world-tiny"):
    rows = [
        (model, 0, data_set, split, t, m, c, d, v + shift, v + shift - 0.04, v + shift + 0.02)
        for (t, m, c, d, _), v in VALUES.items()
        if t in tasks
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=RESULT_COLUMNS).to_csv(path, mode="a", header=not path.exists(), index=False)


def write_efficiency(path, config):
    about, rows = dict(device="cpu, 1 threads", backbone=config.backbone_name, detection_neck=config.detection_neck), []
    for k, task in enumerate(TASKS):
        rows += [
            dict(what="parameters", model=m, part=task, metric="count", value=(k + 1) * 1e6) for m in ("shared", task)
        ]
    rows += [dict(what="parameters", model=m, part="trunk", metric="count", value=1e7) for m in ("shared", *TASKS)]
    rows += [
        dict(what="operations", model=m, size="64x64", batch=1, metric="flop", value=v)
        for m, v in (("one pass", 2e9), ("three passes", 5e9))
    ]
    rows += [
        dict(
            what="latency",
            model="ratio",
            size="64x64",
            batch=b,
            precision="float32",
            mode="eager",
            metric="ratio",
            value=1.5 + b,
            low=1.4 + b,
            high=1.9 + b,
        )
        for b in (1, 4)
    ]
    for b in (1, 2):
        for what, limit in (("training step", 0.5), ("training memory", np.nan)):
            row = dict(what=what, size="64x64", batch=b, metric="x", low=limit, high=limit)
            rows += [row | dict(model="shared", value=b), row | dict(model="three single", value=2 * b)]
    pd.DataFrame([about | r for r in rows]).reindex(columns=EFFICIENCY_COLUMNS).to_csv(path, index=False)


def write_predictions(folder, config):
    place, root = folder / "predictions" / "test", resolve(config.data_root)
    frames, lanes, signs = (make_reader(config, t, "test") for t in ("detection", "lane", "classification"))
    write_kitti(
        place / "kitti",
        [root / "kitti" / "training" / "label_2" / f"{Path(f).stem}.txt" for f in frames.files],
        [
            kitti_lines(l, b + 3 * i, np.linspace(0.95, 0.4, len(l)))
            for i, (l, b) in enumerate(zip(frames.labels, frames.boxes))
        ],
    )
    records = [lanes.record(i) for i in range(len(lanes))]
    write_tusimple(
        place / "tusimple",
        records,
        [np.where(record.lanes >= 0, record.lanes + 15 * i, -2).tolist() for i, record in enumerate(records)],
        10.0,
    )
    write_gtsrb(
        place / "gtsrb",
        [Path(f).name for f in signs.files],
        [(l + 1) % 43 if l < 3 else l for l in signs.labels],
        signs.labels,
    )
    for name in ("kitti", "tusimple", "gtsrb"):
        (place / name / "run.json").write_text(json.dumps(dict(data_set=root.name)))


@pytest.fixture(scope="module")
def made(smoke, tmp_path_factory):
    "A results folder with all that these figures read."
    folder = tmp_path_factory.mktemp("results")
    smoke.save(folder / "config.json")
    write_efficiency(folder / "efficiency.csv", smoke)
    write_predictions(folder, smoke)
    write_data_counts(folder)
    for split, shift in (("val", 0.02), ("test", 0.0)):
        write_scores(folder / "evaluation_results.csv", "multi_task", shift, split)
    for task, shift in zip(TASKS, (0.01, -0.05, 0.03)):
        write_scores(folder / "single" / task / "evaluation_results.csv", f"single_{task}", shift, tasks=(task,))
    return folder


def test_all_are_made_in_every_format(made):
    for form, start in (("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")):
        names = FROM_A_RUN if form == "png" else ("precision_recall", "mtl_benefits")
        files = make_figures(made, form, figures={name: FIGURES[name] for name in names})
        assert [f.name for f in files] == [f"{name}.{form}" for name in names]
        assert all(f.read_bytes().startswith(start) for f in files)
    before = files[0].read_bytes()
    assert make_figures(made, "svg", ["precision_recall"], FIGURES)[0].read_bytes() == before  # the same again


def test_the_table_of_figures_holds_the_named_ones():
    named = (
        "figure_1_loss_convergence "
        "figure_2_accuracy_progression "
        "figure_4_per_class_accuracy "
        "figure_6_resnet50_architecture "
        "figure_11_gradient_flow "
        "figure_12_data_imbalance "
        "evaluation_summary "
        "evaluation_comparison "
        "architecture_diagram "
        "performance_comparison "
        "efficiency_analysis "
        "mtl_benefits "
    )
    assert set(named.split()) <= set(FIGURES)


def run_command(**options):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = mtl_figures(**options) or 0
        except SystemExit as e:
            code = e.code
    return code, out.getvalue(), err.getvalue()


def test_the_command_names_what_is_missing(smoke, tmp_path):
    smoke.save(tmp_path / "config.json")
    code, out, err = run_command(results_dir=str(tmp_path), format="pdf")
    assert code == 0 and (tmp_path / "data_counts.csv").is_file()
    assert {Path(line).stem for line in out.split()} == {
        "figure_6_resnet50_architecture",
        "architecture_diagram",
        "figure_12_data_imbalance",
        "data_counts",
    } and "pdf" in out
    lines = {line.split(" is left out: ")[0]: line for line in err.splitlines()}
    assert set(lines) == set(FIGURES) - {Path(line).stem for line in out.split()}
    assert (
        "efficiency.csv" in lines["efficiency_analysis"] and "benchmarks/efficiency.py" in lines["efficiency_analysis"]
    )
    assert "mtl_evaluate" in lines["qualitative_lanes"] and "mtl_train" in lines["evaluation_comparison"]
    code, out, err = run_command(results_dir=str(tmp_path / "nowhere"))
    assert code == 2 and out == "" and err.count("\n") == 1


def test_missing_single_runs_and_other_networks_are_named(made, smoke, tmp_path):
    shutil.copytree(made, tmp_path / "r")
    folder = tmp_path / "r"
    shutil.rmtree(folder / "single" / "lane")
    with pytest.raises(UserError, match=r"mtl_train --tasks lane --results_dir .*single/lane"):
        compare_single_runs(folder)
    table = pd.read_csv(folder / "efficiency.csv").assign(backbone="resnet50")
    table.to_csv(folder / "efficiency.csv", index=False)
    shutil.copytree(made / "single" / "lane", folder / "single" / "lane")
    with pytest.raises(UserError, match="--backbone resnet18 --neck fpn"):
        benefits_of_single_runs(folder)
    (folder / "predictions" / "test" / "kitti" / "run.json").write_text(json.dumps(dict(data_set="other")))
    with pytest.raises(UserError, match="other"):
        qualitative_detection(folder)


# --- numbers


def dots(fig):
    return [float(line.get_xdata()[0]) for line in fig.axes[0].lines if len(line.get_xdata()) == 1]


def spans(fig):
    return [tuple(c.get_segments()[0][:, 0]) for c in fig.axes[0].collections]


def test_comparisons_draw_the_numbers_of_the_files(made):
    fig = evaluation_comparison(made)
    assert dots(fig) == pytest.approx([v + 0.02 for v in VALUES.values()] + list(VALUES.values()))
    assert spans(fig)[0] == pytest.approx((0.89, 0.95)) and len(spans(fig)) == 14
    single = [v + dict(zip(TASKS, (0.01, -0.05, 0.03)))[s[0]] for s, v in VALUES.items()]
    assert dots(compare_single_runs(made)) == pytest.approx(single + list(VALUES.values()))


def test_without_validation_rows_the_log_is_used(made, tmp_path):
    write_scores(tmp_path / "evaluation_results.csv", "multi_task")
    (tmp_path / "logs").mkdir()
    log = []
    for epoch, values in ((1, (0.5, 0.5, 0.5)), (2, (0.9, 0.8, 0.1)), (3, (0.2, 0.3, 0.4))):
        row = dict(kind="epoch", epoch=epoch, step=epoch)
        log += [row | dict(task=t, metric=TASKS[t].primary_metric, value=v) for t, v in zip(TASKS, values)]
    pd.DataFrame(log).to_csv(tmp_path / "logs" / "training.csv", index=False)
    fig = evaluation_comparison(tmp_path)
    assert (
        dots(fig)[:3] == [0.9, 0.8, 0.1] and len(spans(fig)) == 7
    )  # the second epoch's mean is the largest; no intervals in a log


def test_several_seeds_give_mean_and_range():
    rows = pd.DataFrame(
        [("m", s, "w", "test", "lane", "iou", "all", "all", v, 0, 1) for s, v in ((0, 0.2), (1, 0.4), (2, 0.9))],
        columns=RESULT_COLUMNS,
    )
    assert pick_score(rows, "lane", "iou") == pytest.approx((0.5, 0.2, 0.9)) and pick_score(rows, "lane", "f1") is None
    assert pick_score(rows[:1], "lane", "iou") == pytest.approx((0.2, 0, 1))


def test_benefits(made):
    fig = benefits_of_single_runs(made)
    changes = [-0.01 / 0.92, 0.05 / 0.47, -0.03 / 0.66]
    assert [p.get_width() for p in fig.axes[0].patches] == pytest.approx(changes + [np.mean(changes)])
    assert "saves 56 %" in fig.axes[1].get_xlabel()  # 16 of 36 million
    low, high = spans(fig)[1]
    assert (low, high) == pytest.approx(((0.05 - np.hypot(0.04, 0.02)) / 0.47, (0.05 + np.hypot(0.02, 0.04)) / 0.47))
    assert np.isnan(relative_change((0.5, 0, 1), (0.0, 0, 1))).all()


def test_a_difference_reaches_from_one_side_to_the_other():
    assert interval_of_difference((3, 2, 7), (1, 0, 13)) == pytest.approx((2, 2 - np.hypot(1, 12), 2 + np.hypot(4, 1)))
    change, low, high = interval_of_difference((3, np.nan, np.nan), (1, 0, 2))
    assert change == 2 and np.isnan([low, high]).all()


def test_efficiency_draws_its_table(made):
    fig = efficiency_analysis(made)
    bars, ratios = fig.axes[0].patches, fig.axes[1].lines[0].get_xdata()
    assert [p.get_width() for p in bars] == [30, 1, 2, 3, 10, 1, 2, 3] and list(ratios) == [2.5, 5.5]
    assert [p.get_height() for p in fig.axes[2].patches] == [5, 2]
    assert [list(line.get_ydata()) for line in fig.axes[3].lines[:1]] == [[1, 2]]


def test_counts_are_those_of_the_labels(made, smoke):
    table = count_data(smoke)
    frames = make_reader(smoke, "detection", "train")
    cars = sum(int((l == 1).sum()) for l in frames.labels)
    train = table[table["part"] == "train"].set_index(["task", "class"])["count"]
    assert train["detection", "Car"] == cars and train["detection", "all"] == len(frames)
    lanes = make_reader(smoke, "lane", "train")
    masks = [lanes[i]["mask"].numpy() for i in range(len(lanes))]
    assert train["lane", "lane"] == sum(int(m.sum()) for m in masks) and train["lane", "lane"] + train[
        "lane", "background"
    ] == sum(m.size for m in masks)
    fig = data_counts_figure(made)
    assert [p.get_width() for p in fig.axes[0].patches] == [train[t, "all"] for t in TASKS]
    assert max(p.get_width() for p in fig.axes[2].patches) == cars


# --- the network


def test_layers_add_up_to_the_network(made):
    config, model = run_model(made)
    table = layer_table(model, {t: config.image_size_of(t) for t in model.tasks})
    assert table["parameters"].sum() == sum(p.numel() for p in model.parameters())
    outputs = table.set_index(["part", "layer"])["output"]
    assert (
        outputs["trunk", "layer4"] == "512×1×1"
        and outputs["lane", "classifier"] == "2×96×160"
        and outputs["classification", "classifier"] == "43"
    )
    assert stages_read(model)["lane"] == ["c2", "c3", "c4", "c5"]
    total = sum(p.numel() for p in model.parameters()) / 1e6
    assert any(t.get_text() == f"{total:.2f} M parameters in all" for t in architecture_diagram(made).axes[0].texts)
    bars = figure_6_resnet50_architecture(made).axes[1].patches
    assert sum(b.get_width() for b in bars) == pytest.approx(total)


# --- predictions


def test_cases_and_scores_of_frames():
    assert pick_cases(dict(a=0.1, b=0.9, c=0.5, d=0.3, e=0.2)) == {
        "best": "b",
        "median": "d",
        "worst": "a",
        "second worst": "e",
    }
    assert pick_cases(dict(a=1.0)) == {"best": "a"} and list(pick_cases(dict(a=1.0, b=0.0)).values()) == ["a", "b"]
    box = np.array([[0, 0, 10, 10.0]])
    assert (
        frame_f1(["Car"], box, ["Car"], box) == 1
        and frame_f1(["Car"], box, ["Van"], box) == 0
        and frame_f1(["Car"], box, ["Car"] * 2, np.repeat(box, 2, 0)) == pytest.approx(2 / 3)
    )
    assert (
        np.isnan(frame_f1(["DontCare"], box, [], box[:0]))
        and frame_f1(
            ["DontCare", "Car"], np.concatenate([box + 50, box]), ["Car", "Car"], np.concatenate([box, box + 50])
        )
        == 1
    )


def test_pictures_show_the_predictions(made):
    fig = qualitative_detection(made)
    frame = next(iter(fig.axes)).get_title(loc="left").split("frame ")[1].split(":")[0]
    lines = (made / "predictions" / "test" / "kitti" / "data" / f"{frame}.txt").read_text().splitlines()
    sure = [line.split() for line in lines if float(line.split()[-1]) >= 0.5]
    assert sorted(p.get_x() for p in fig.axes[1].patches) == pytest.approx(sorted(float(r[4]) for r in sure))
    assert len(fig.axes[2].patches) == len(
        (made / "predictions" / "test" / "kitti" / "label_2" / f"{frame}.txt").read_text().splitlines()
    )
    lanes = qualitative_lanes(made)
    assert "100 %" in lanes.axes[0].get_title(loc="left") and len(lanes.axes[1].lines) == len(lanes.axes[2].lines) > 0
    texts = itertools.chain.from_iterable(ax.texts for ax in qualitative_signs(made).axes)
    signs = [text.get_text() for text in texts]
    assert "best: right" in signs[0] and "wrong" in signs[-1] and " 0 of " in signs[-1]


def test_precision_recall_is_that_of_kitti(made):
    from mtl_course.metrics.kitti_files import kitti_ap

    place, fig = made / "predictions" / "test" / "kitti", precision_recall(made)
    scores = kitti_ap(place / "label_2", place / "data")
    assert [ax.get_title().splitlines()[0] for ax in fig.axes] == list(
        scores
    ) and f"/ {scores['Car']['r40'][1]:.1f} /" in fig.axes[0].get_title()
    for ax, entry in zip(fig.axes, scores.values()):
        assert np.array_equal([line.get_ydata() for line in ax.lines], entry["precision"])
