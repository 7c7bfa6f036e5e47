"""Sharing against single-task networks over seeds: only what is comparable, both sides'
uncertainty, and the single run where there is no study.
"""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from mtl_course.config import TASKS
from mtl_course.core.errors import UserError
from mtl_course.studies.runner import config_hash, run_configs
from mtl_course.plots.catalogue import FIGURES
from mtl_course.plots.sharing import mtl_benefits, performance_comparison
from mtl_course.studies.sharing import sharing_effect, sharing_rows, study_parameters

ALONE_SCORES = {"classification": (0.50, 0.52, 0.54), "detection": (0.04, 0.05, 0.03), "lane": (0.2, 0.25, 0.3)}
SHARED_SCORES = {"classification": (0.55, 0.53, 0.51), "detection": (0.08, 0.06, 0.07), "lane": (0.2, 0.2, 0.23)}


def write(folder, alone=ALONE_SCORES, shared=SHARED_SCORES, steps=200, more=(), config="none"):
    rows = [(run, config, 0, steps, "train", "all", "seconds", 9.0) for run in ("alone", "equal")] + list(more)
    for run, scores in (("alone", alone), ("equal", shared)):
        for task, split in itertools.product(scores, ("val", "test")):
            for seed, value in enumerate(scores[task]):
                shift = float(split == "val")
                rows.append((run, config, seed, steps, split, task, TASKS[task].primary_metric, value + shift))
    pd.DataFrame(rows, columns=["run", "config", "seed", "steps", "part", "task", "metric", "value"]).to_csv(
        folder / "studies.csv", index=False
    )
    return folder


def half(values):
    return stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))


def dots(fig):
    return [float(l.get_xdata()[0]) for l in fig.axes[0].lines if len(l.get_xdata()) == 1]


def spans(ax):
    return [tuple(c.get_segments()[0][:, 0]) for c in ax.collections]


def test_the_effect_by_hand(tmp_path):
    effect = sharing_effect(sharing_rows(write(tmp_path)))
    for t in TASKS:
        a, s = np.array(ALONE_SCORES[t]), np.array(SHARED_SCORES[t])
        change, width = (s.mean() - a.mean()) / a.mean(), np.hypot(half(a), half(s)) / a.mean()
        assert tuple(effect.loc[t]) == pytest.approx((a.mean(), s.mean(), change, change - width, change + width))

    def relative(scores):
        return np.mean([np.array(scores[t]) / np.mean(ALONE_SCORES[t]) - 1 for t in TASKS], axis=0)

    width = half(relative(SHARED_SCORES) - relative(ALONE_SCORES))  # seed by seed
    assert effect.change["all"] == pytest.approx(effect.change[list(TASKS)].mean()) and effect.high[
        "all"
    ] - effect.change["all"] == pytest.approx(width)
    assert effect.change["all"] - effect.low["all"] == pytest.approx(width)


def test_only_what_is_comparable(tmp_path):
    odd = [
        ("equal", "none", 7, 200, "test", "lane", "iou", 0.9),
        ("alone", "none", 8, 100, "test", "lane", "iou", 0.9),
        ("equal", "none", 8, 200, "test", "lane", "iou", 0.9),
        ("pcgrad", "none", 0, 200, "test", "lane", "iou", 0.9),
        ("equal", "none", 0, 100, "test", "lane", "iou", 0.9),
    ]
    rows = sharing_rows(write(tmp_path, more=odd))
    assert set(rows.run) == {"alone", "equal"} and set(rows.seed) == {0, 1, 2} and set(rows.steps) == {200}
    table = pd.read_csv(tmp_path / "studies.csv")
    table[table.run == "equal"].to_csv(tmp_path / "studies.csv", index=False)
    assert sharing_rows(tmp_path) is None and sharing_rows(tmp_path / "nothing") is None


def test_scores_and_intervals_are_drawn(tmp_path):
    fig = performance_comparison(write(tmp_path))
    drawn = [scores[t] for scores, t in itertools.product((ALONE_SCORES, SHARED_SCORES), TASKS) if t in scores]
    assert dots(fig) == pytest.approx([np.mean(values) for values in drawn])
    ends = [(np.mean(values) - half(values), np.mean(values) + half(values)) for values in drawn]
    assert np.allclose(spans(fig.axes[0]), ends)
    seeds = [list(l.get_xdata()) for l in fig.axes[0].lines if len(l.get_xdata()) == 3]
    assert seeds == [list(values) for values in drawn] and "3 seeds, 200 steps" in fig.axes[0].get_xlabel()


def test_benefits_have_the_parameters_of_the_studys_network(tmp_path):
    config = config_hash(run_configs({}, 0, "smoke"))
    fig = mtl_benefits(write(tmp_path, config=config))
    effect = sharing_effect(sharing_rows(tmp_path))
    assert [p.get_width() for p in fig.axes[0].patches] == pytest.approx(list(effect.change)) and np.allclose(
        spans(fig.axes[0]), effect[["low", "high"]]
    )
    table = study_parameters(sharing_rows(tmp_path))
    one = table[table.model == "shared"].value.sum()
    three = table[table.model != "shared"].value.sum()
    trunk = table[table.part == "trunk"].value
    assert trunk.nunique() == 1 and three - one == 2 * trunk.iloc[0]  # the same heads, two more trunks
    assert f"saves {100 * (1 - one / three):.0f} %" in fig.axes[1].get_xlabel()
    assert len(mtl_benefits(write(tmp_path, config="00000000")).axes) == 1  # a network nobody knows: no panel


def test_one_seed_has_no_interval(tmp_path):
    def first(scores):
        return {t: v[:1] for t, v in scores.items()}

    write(tmp_path, first(ALONE_SCORES), first(SHARED_SCORES))
    assert sharing_effect(sharing_rows(tmp_path))[["low", "high"]].isna().all(axis=None)
    fig = performance_comparison(tmp_path)
    assert not spans(fig.axes[0]) and "no interval" in fig.axes[0].get_xlabel()


def test_without_a_study_the_single_runs_are_drawn(tmp_path, monkeypatch):
    from mtl_course.plots import comparison as comparison_figures

    single = dict(performance_comparison="compare_single_runs", mtl_benefits="benefits_of_single_runs")
    for name in single:
        figure = FIGURES[name]
        with pytest.raises(UserError, match="evaluation_results.csv.*mtl_compare"):
            figure(tmp_path)
        monkeypatch.setattr(comparison_figures, single[name], lambda folder: f"{name} of {folder}")
        assert figure("here") == f"{name} of here"
