"""Figures are functions of result files; pictures show what they are given."""

import itertools

import numpy as np
import pandas as pd
import pytest
from mtl_course.config import DETECTION_CLASSES, TASKS
from mtl_course.core.statistics import wilson_interval
from mtl_course.core.errors import UserError
from mtl_course.core.task import Task, registered
from mtl_course.world.signs import SIGN_NAMES
from mtl_course.evaluation.evaluate import TaskResult
from mtl_course.evaluation.results import read_table, write_results
from mtl_course.plots.drawing import draw_predictions
from mtl_course.plots.figures import (
    RUN_FIGURES,
    confusion_matrix_figure,
    evaluation_summary,
    figure_1_loss_convergence,
    figure_2_accuracy_progression,
    figure_4_per_class_accuracy,
    make_figures,
    select_run,
)
from mtl_course.plots.style import CLASS_COLOURS
from mtl_course.metrics.scores import class_scores, classification_scores, lane_scores


def write_log(folder, tasks=TASKS, steps=30):
    rows = []
    for step, (k, task) in itertools.product(range(1, steps + 1), enumerate(tasks)):
        row = dict(kind="step", epoch=1, step=step, task=task, loss=2 / step + k)
        rows.append(row | dict(weight=1, learning_rate=1e-3, seconds=step))
    for epoch, (k, task) in itertools.product((1, 2), enumerate(tasks)):
        row = dict(kind="epoch", epoch=epoch, step=15 * epoch, task=task, value=0.2 * epoch + 0.1 * k)
        rows += [row | dict(metric=TASKS[task].primary_metric), row | dict(metric="f1")]
    (folder / "logs").mkdir(parents=True)
    pd.DataFrame(rows).to_csv(folder / "logs" / "training.csv", index=False)


def some_results(shift=0.0):
    confusion = np.diag(np.arange(43))
    confusion[5, 3] = 9
    confusion[7, 8] = 2  # class 0 has no image
    signs = class_scores(confusion).set_axis(list(SIGN_NAMES))
    boxes = pd.DataFrame(dict(objects=5, ap50=0.5 + shift, ap50_95=0.3), index=list(DETECTION_CLASSES))
    boxes.loc["Misc"] = [0, np.nan, np.nan]
    lane = lane_scores(70, 10, 20, 900)
    return dict(
        classification=TaskResult(
            "classification", int(confusion.sum()), classification_scores(confusion), signs, confusion
        ),
        detection=TaskResult("detection", 9, dict(map50=0.5 + shift, map50_95=0.3), boxes),
        lane=TaskResult("lane", 4, lane, pd.DataFrame([dict(pixels=90, iou=lane["iou"])], index=["lane"])),
    )


@pytest.fixture
def results(tmp_path):
    write_log(tmp_path)
    write_results(some_results(), tmp_path, seed=0)
    write_results(some_results(0.1), tmp_path, seed=1)
    return tmp_path


def test_all_figures_are_made_and_the_same_again(results):
    files = make_figures(results)
    assert [f.name for f in files] == [f"{n}.png" for n in RUN_FIGURES] and {
        "figure_1_loss_convergence",
        "figure_2_accuracy_progression",
        "figure_4_per_class_accuracy",
        "evaluation_summary",
    } <= set(RUN_FIGURES)
    before = [f.read_bytes() for f in files]
    assert (
        all(b.startswith(b"\x89PNG") for b in before)
        and make_figures(results, names=[files[1].stem])[0].read_bytes() == before[1]
    )
    assert sorted(p.suffix for p in results.iterdir() if p.is_file()) == [".csv"] * 5 + [".png"] * len(
        RUN_FIGURES
    )  # nothing temporary is left
    assert make_figures(results, "pdf", ["evaluation_summary"])[0].read_bytes().startswith(b"%PDF")


def test_lines_hold_the_values_of_the_log(results):
    log = read_table(results / "logs" / "training.csv")
    fig = figure_2_accuracy_progression(results)
    for line, task in zip(fig.axes[0].lines, TASKS):
        rows = log[(log["kind"] == "epoch") & (log["task"] == task) & (log["metric"] == TASKS[task].primary_metric)]
        assert line.get_color() == TASKS[task].colour and line.get_ydata() == pytest.approx(rows["value"].to_numpy())
    fig = figure_1_loss_convergence(results)
    assert len(fig.axes) == 3
    for ax, task in zip(fig.axes, TASKS):
        assert ax.lines[0].get_ydata() == pytest.approx(
            log[(log["kind"] == "step") & (log["task"] == task)]["loss"].to_numpy()
        )


def test_one_task_alone(tmp_path):
    write_log(tmp_path, ("lane",))
    write_results({"lane": some_results()["lane"]}, tmp_path, model="single_lane")
    assert len(figure_1_loss_convergence(tmp_path).axes) == 1 and len(evaluation_summary(tmp_path).axes) == 1
    with pytest.raises(UserError, match="no classification scores"):
        figure_4_per_class_accuracy(tmp_path)
    assert [f.stem for f in make_figures(tmp_path)] == [
        "figure_1_loss_convergence",
        "figure_2_accuracy_progression",
        "evaluation_summary",
    ]


def test_per_class_accuracy_shows_each_class_once(results):
    ax = figure_4_per_class_accuracy(results).axes[0]
    share = dict(zip(ax.lines[0].get_ydata(), ax.lines[0].get_xdata()))
    assert sorted(share) == list(range(1, 43)) and share[5] == pytest.approx(5 / 14) and share[42] == 1
    assert [t.get_text().rsplit("  ", 1) for t in ax.get_yticklabels()] == [
        [name, str(k)] for k, name in enumerate(SIGN_NAMES)
    ]
    assert ax.texts[5].get_text() == "14"  # of one seed: both saw the same


def test_summary_means_over_seeds(results):
    fig = evaluation_summary(results)
    per_class = next(ax for ax in fig.axes if "per class" in ax.get_title())
    assert per_class.patches[0].get_width() == pytest.approx(0.55) and len(per_class.patches) == 6  # Misc has no object
    assert any("none in the split" in t.get_text() for t in per_class.texts) and "2 seeds" in fig.get_suptitle()


def test_a_task_of_ones_own_has_bars(tmp_path):
    task_class = type("Depth", (Task,), dict(name="depth", metrics={"closeness": "closeness of the depth"}))
    with registered(task_class):
        per_class = pd.DataFrame(dict(closeness=[0.625]), index=["all cars"])
        write_results(dict(depth=TaskResult("depth", 4, dict(closeness=0.625), per_class)), tmp_path)
        (ax,) = evaluation_summary(tmp_path).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["closeness of the depth"]
    assert "62.5" in [text.get_text() for text in ax.texts]


def test_confusion_names_the_largest(results):
    fig = confusion_matrix_figure(results)
    shares = np.asarray(fig.axes[0].images[0].get_array())
    assert shares[5, 3] == pytest.approx(9 / 14) and shares[5, 5] == pytest.approx(5 / 14) and shares[0].sum() == 0
    texts = itertools.chain.from_iterable(ax.texts for ax in fig.axes)
    text = next(t.get_text() for t in texts if "confusions" in t.get_text())
    assert f"{SIGN_NAMES[5]} (5)\n   → {SIGN_NAMES[3]} (3): 18 of 28" in text and text.index(
        SIGN_NAMES[5]
    ) < text.index(SIGN_NAMES[7])


def test_selection_of_a_run():
    table = pd.DataFrame(
        [
            dict(model=m, data_set=d, split=s)
            for m, d, s in (
                ("multi_task", "world", "test"),
                ("multi_task", "real", "test"),
                ("single_lane", "other", "test"),
                ("multi_task", "x", "val"),
            )
        ]
    )
    assert select_run(table)["data_set"].tolist() == ["real"]
    assert select_run(table, data_set="world")["data_set"].tolist() == ["world"] and select_run(
        table, model="single_lane"
    )["data_set"].tolist() == ["other"]
    with pytest.raises(UserError, match="mtl_evaluate"):
        select_run(table, split="train")


def test_missing_input_names_the_command(tmp_path, capsys):
    with pytest.raises(UserError, match="make train"):
        make_figures(tmp_path)
    write_log(tmp_path)
    assert len(make_figures(tmp_path)) == 2 and "evaluation_summary is left out" in capsys.readouterr().err
    with pytest.raises(UserError, match="mtl_evaluate"):
        make_figures(tmp_path, names=["confusion_matrix"])
    with pytest.raises(UserError, match="unknown figure 'x'"):
        make_figures(tmp_path, names=["x"])
    with pytest.raises(UserError, match="format"):
        make_figures(tmp_path, "gif")
    pd.DataFrame(dict(kind=["step"], loss=[1.0])).to_csv(tmp_path / "logs" / "training.csv")
    with pytest.raises(UserError, match="column 'epoch' is missing"):
        figure_1_loss_convergence(tmp_path)


def test_wilson_interval():
    low, high = wilson_interval(8 / 10, 10)  # Wilson's values for 8 of 10
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(0.0, 5)[0] == pytest.approx(0) and wilson_interval(1.0, 5)[1] == pytest.approx(1)


def test_drawing_boxes():
    image = np.full((120, 200, 3), 100, np.uint8)
    out = draw_predictions(image, [[50, 50, 90, 90], [120, 60, 160, 100]], [1, 2], [0.9, 0.3], min_score=0.5)
    assert (image == 100).all() and out.shape == image.shape and out.dtype == np.uint8
    expected = tuple(int(CLASS_COLOURS["Car"][i : i + 2], 16) for i in (1, 3, 5))
    assert tuple(out[70, 50]) == expected and (out[60:101, 125:161] == 100).all()  # the weak box is left out
    assert tuple(draw_predictions(image, [[120, 60, 160, 100]], [2])[80, 160]) == tuple(
        int(CLASS_COLOURS["Pedestrian"][i : i + 2], 16) for i in (1, 3, 5)
    )
    assert (draw_predictions(image, ignore=[[20, 20, 60, 60]])[40, 20] == 150).all() and (
        draw_predictions(image) == image
    ).all()
    draw_predictions(image, [[-50, -20, 500, 300]], [7], [1.0])  # reaching out of the picture


def test_drawing_lanes_signs_and_masks():
    image = np.zeros((120, 200, 3), np.uint8)
    out = draw_predictions(image, lanes=[[-2, 60, 60, 60, -2]], h_samples=[20, 40, 60, 80, 100])
    assert out[60, 60].any() and not out[25, 60].any() and not out[95, 60].any() and not out[:, 100:].any()
    mask = np.zeros((12, 20))
    mask[6:] = 1
    tinted = draw_predictions(image, lane_mask=mask)
    assert not tinted[:50].any() and (tinted[70:].argmax(-1) == 1).all()  # green
    banner = draw_predictions(image, sign=SIGN_NAMES[14], sign_score=0.987)
    assert banner[:20].any() and not banner[60:].any()
