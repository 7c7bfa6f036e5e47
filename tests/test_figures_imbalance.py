"""The figures of imbalance: causes and remedies, learning curves, counts."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from mtl_course.config import TASKS
from mtl_course.core.errors import UserError
from mtl_course.core.files import project_root
from mtl_course.plots.catalogue import FIGURES
from mtl_course.plots.figures import make_figures
from mtl_course.plots.style import style
from mtl_course.plots.imbalance import figure_12_data_imbalance, learning_curves
from mtl_course.studies.imbalance import (
    training_images,
)
from mtl_course.studies.learning_curves import curve_sentence, curve_table
from mtl_course.studies.scores import (
    find_result,
    read_runs,
    scores_of,
)
from mtl_course.studies.plans import IMBALANCE_RUNS, curve_name
from imbalance_examples import CAUSES, floored, make_causes, record, table_of, wobble

causes = pytest.fixture(make_causes)


@pytest.fixture
def folder(tmp_path, causes):
    causes.to_csv(tmp_path / "studies.csv", index=False)
    return tmp_path


def test_the_floor_is_a_line_in_the_figure(tmp_path):
    floored().to_csv(tmp_path / "studies.csv", index=False)
    with style():
        lane, detection = figure_12_data_imbalance(tmp_path).subfigs[1].axes[1:3]

    def dotted(ax):
        return [l.get_xdata()[0] for l in ax.lines if l.get_linestyle() == ":"]

    assert dotted(lane) == [pytest.approx(0.07)] and not dotted(detection)


def points(ax):  # the runs' means of a panel, without intervals, ticks of seeds and the dashed line
    return {
        round(float(np.ravel(l.get_ydata())[0]), 2): (float(np.ravel(l.get_xdata())[0]), l)
        for l in ax.lines
        if l.get_marker() in "^os"
    }


def test_figure_12_has_a_row_per_run_and_a_column_per_task(folder, causes):
    with style():
        figure = figure_12_data_imbalance(folder)
    figure.canvas.draw()
    labels, lane, detection, signs = figure.subfigs[1].axes
    assert [len(points(ax)) for ax in (lane, detection, signs)] == [len(CAUSES), len(CAUSES) - 1, len(CAUSES) - 1]
    means = sorted(x for x, _ in points(lane).values())
    assert means == pytest.approx(sorted(v[2] for v in CAUSES.values()), abs=1e-6)
    words = [t.get_text() for t in labels.texts]
    assert (
        "few images" in words
        and "65 lane images" in words
        and "+ weight ×30" in words
        and "skewed classes" not in words
    )
    hollow = [l.get_markerfacecolor() == "white" for _, l in points(lane).values()]
    assert sum(hollow) == 2 and {to_hex(l.get_color()) for _, l in points(lane).values()} == {
        TASKS["lane"].colour.lower()
    }
    assert (
        f"{len(IMBALANCE_RUNS) - len(CAUSES)} of {len(IMBALANCE_RUNS)} runs are not made yet: "
        "mtl_compare --study imbalance" in figure._supxlabel.get_text()
    )
    assert figure.get_size_inches()[0] == 7


def test_intervals_in_the_figure_are_students(folder, causes):
    with style():
        lane = figure_12_data_imbalance(folder).subfigs[1].axes[1]
    y = next(y for y, (x, _) in points(lane).items() if x == pytest.approx(0.5) and y < 1)  # the undisturbed run
    line = next(l for l in lane.lines if len(l.get_xdata()) == 2 and round(float(l.get_ydata()[0]), 2) == y)
    values = scores_of(causes, "equal", "lane")
    assert np.diff(line.get_xdata())[0] / 2 == pytest.approx(4.302653 * values.std() / 3**0.5, rel=1e-4)


def test_panels_without_input_are_left_out_and_come_with_it(folder):
    with style():
        bare = figure_12_data_imbalance(folder)
    assert [len(s.axes) for s in bare.subfigs] == [0, 4, 0]
    pd.DataFrame(
        [dict(part="train", task=t, **{"class": "all"}, unit="images", count=n) for t, n in zip(TASKS, (900, 90, 10))]
    ).to_csv(folder / "study_data.csv", index=False)
    record(folder / "gradient_recording.json", [np.diag([4.0, 1.0, 0.25])])
    with style():
        full = figure_12_data_imbalance(folder)
    full.canvas.draw()
    assert [len(s.axes) for s in full.subfigs] == [1, 4, 1]
    assert any("900 (90.0%)" in t.get_text() for t in full.subfigs[0].axes[0].texts) and any(
        "lane 4.8 %" in t.get_text() for t in full.subfigs[2].axes[0].texts
    )


def test_the_table_is_found_above_a_run(folder):
    (folder / "laptop").mkdir()
    (file,) = make_figures(folder / "laptop", names=["figure_12_data_imbalance"], figures=FIGURES)
    assert file.stat().st_size > 10_000


def test_without_the_study_the_counts_are_drawn(tmp_path):
    (tmp_path / "a" / "run").mkdir(parents=True)
    with pytest.raises(UserError, match="mtl_compare --study imbalance"):
        figure_12_data_imbalance(tmp_path / "a" / "run")
    table_of({"sunshine": (0.6, 0.2, 0.5)}).to_csv(tmp_path / "a" / "studies.csv", index=False)
    with pytest.raises(UserError, match="no run of the study 'imbalance' yet; `mtl_compare --study imbalance`"):
        figure_12_data_imbalance(tmp_path / "a" / "run")
    (tmp_path / "a" / "studies.csv").write_text("run,seed\nequal,0\n")
    with pytest.raises(UserError, match="column"):
        figure_12_data_imbalance(tmp_path / "a" / "run")
    rows = [
        dict(part="train", task=t, **{"class": c}, unit="images", count=n)
        for t, c, n in (
            ("classification", "all", 5),
            ("classification", "stop", 5),
            ("lane", "all", 5),
            ("lane", "lane", 1),
            ("lane", "background", 9),
        )
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "a" / "run" / "data_counts.csv", index=False)
    with style():
        assert "lanes cover 10.0 %" in figure_12_data_imbalance(tmp_path / "a" / "run").axes[-1].get_title(loc="left")


def test_learning_curves(tmp_path):
    values = {"equal": (0.6, 0.2, 0.5), "alone": (0.65, 0.1, 0.52)} | {
        curve_name("lane", n, s): (0.6, 0.2, v)
        for n, s, v in ((20, True, 0.3), (20, False, 0.2), (200, True, 0.4), (200, False, 0.39))
    }
    table = table_of(values)
    for k, run in enumerate(values):
        table = wobble(table, run, 0.002 * (k + 1) if "200" not in run else 0.03 * ("shared" in run))
    table.to_csv(tmp_path / "studies.csv", index=False)
    points_ = curve_table(table, "lane", 850)
    assert points_["images"].tolist() == [20, 200, 850] and points_["change"].tolist() == pytest.approx(
        [0.1, 0.01, -0.02], abs=1e-6
    )
    said = curve_sentence(table, "lane", 850)
    assert "20 images +0.100 (higher)" in said and said.endswith(
        "a hint that sharing helps up to 20 images and no longer, as far as the seeds tell, from 200 on; "
        "a hint that it is worse with 850 images."
    )
    assert curve_sentence(wobble(table, curve_name("lane", 20, True), 0.2), "lane", 850).endswith(
        "at no size is sharing better by more than the seeds scatter; a hint that it is worse with 850 images."
    )
    pd.DataFrame(
        [dict(part="train", task=t, **{"class": "all"}, unit="images", count=n) for t, n in zip(TASKS, (900, 90, 850))]
    ).to_csv(tmp_path / "study_data.csv", index=False)
    with style():
        figure = learning_curves(tmp_path)
    figure.canvas.draw()
    shared, alone = figure.axes[2].lines
    assert shared.get_ydata().tolist() == pytest.approx(
        [0.3, 0.4, 0.5], abs=1e-6
    ) and alone.get_ydata().tolist() == pytest.approx([0.2, 0.39, 0.52], abs=1e-6)
    assert (
        shared.get_linestyle() != alone.get_linestyle()
        and alone.get_markerfacecolor() == "white"
        and len(figure.axes[0].lines) == 2
    )


def test_one_training_serves_two_studies(folder):
    "`few lanes` of one study is `65 lane, shared` of the other."
    table = read_runs(folder, "learning_curves")
    assert set(table["run"]) == {"equal", curve_name("lane", 65, True), curve_name("lane", 65, False)}
    assert curve_table(table, "lane")[["images", "shared", "alone"]].values.tolist() == [
        pytest.approx([65, 0.38, 0.3], abs=1e-6)
    ]
    assert set(read_runs(folder, "imbalance")["run"]) == set(CAUSES)


def test_learning_curves_without_smaller_sets_name_the_command(folder):
    table_of({"equal": (0.6, 0.2, 0.5), "alone": (0.6, 0.2, 0.5)}).to_csv(folder / "studies.csv", index=False)
    with pytest.raises(UserError, match="mtl_compare --study learning_curves"):
        learning_curves(folder)
    with pytest.raises(UserError, match="mtl_compare --study learning_curves"):
        learning_curves(folder / "a" / "b")


def test_the_committed_counts_are_those_of_the_studies_world():
    "27 and 33 read them; a limit of all images must be no limit."
    images = training_images(project_root() / "results")
    assert (
        list(images.index) == list(TASKS)
        and images["lane"] > 65
        and all(images[t] >= IMBALANCE_RUNS["regime"][f"{t}_limit"] for t in TASKS)
    )
    assert (
        images["classification"] > IMBALANCE_RUNS["as many signs, balanced"]["classification_limit"]
        and find_result(project_root() / "results", "study_data.csv").is_file()
    )
