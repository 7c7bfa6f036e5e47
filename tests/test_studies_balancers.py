"""What may be said about a study: planted winners are found and planted luck is not, the choice
looks at validation alone, a table with holes is cut to a rectangle.
"""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats
from mtl_course.config import TASKS
from mtl_course.core.errors import UserError
from mtl_course.core.statistics import holm
from mtl_course.plots.balancers import delta_m_figure, front_figure
from mtl_course.studies.scores import delta_m, headline_scores
from mtl_course.studies.balancers import (
    balancer_findings,
    block_verdict,
    failed_runs,
    balanced_subset,
    is_fixed,
    paired_differences,
    run_kind,
    pareto_runs,
    select_on_validation,
    verdict,
)
from mtl_course.studies.plans import BALANCER_RUNS, not_in

BASE = (0.60, 0.10, 0.30)


def study(gains, seeds=(0, 1, 2), noise=0.002, rng=0, splits=("val", "test"), luck=0.05):
    """A table of runs with a gain in percent over BASE, on val and test; what the seed does is the
    same for all runs.
    """
    rng = np.random.default_rng(rng)
    shift = {s: 1 + luck * rng.standard_normal() for s in seeds}
    rows = []
    for run, gain in gains.items():
        by_split = gain if isinstance(gain, dict) else dict.fromkeys(splits, gain)
        for seed, split, (task, base) in itertools.product(seeds, splits, zip(TASKS, BASE)):
            value = base * shift[seed] * (1 + by_split[split] / 100) * (1 + noise * rng.standard_normal())
            row = dict(run=run, config="x", seed=seed, steps=200, part=split, task=task)
            rows.append(row | dict(metric=TASKS[task].primary_metric, value=value))
    return pd.DataFrame(rows)


PLAIN = {"alone": 0, "equal": 2, "fixed 1:5:30": 4, "random": 1}


def finding(table):
    return balancer_findings(table)[-1]


def test_a_planted_winner_is_found():
    text = balancer_findings(study(PLAIN | {"upgrad": 12, "mgda": -9}))
    assert "of 2 fixed weights fixed 1:5:30" in text[1] and "of 2 balancers upgrad" in text[1]
    assert (
        "beat it: upgrad" in text[-2]
        and "lose to it: random, mgda" in text[-2]
        and text[-1] == "So far: yes, here the best of 2 fixed weights (the grid has 8) is beaten, by upgrad."
    )
    grid = {r: 2 for r in BALANCER_RUNS if is_fixed(r)}
    assert (
        finding(study(PLAIN | grid | {"upgrad": 12})) == "Finding: yes, here tuned fixed weights are beaten, by upgrad."
    )


def test_a_tie_is_no_finding():
    text = finding(study(PLAIN | {"upgrad": 4, "mgda": 4}, noise=0.02, rng=1))
    assert (
        text.startswith("So far: no balancer was shown to beat the best of 2") and "within what chance allows" in text
    )


def test_losers_alone_are_no_finding_and_not_called_chance():
    text = finding(study(PLAIN | {"upgrad": -6, "mgda": -9}))
    assert "no balancer was shown" in text and text.endswith("lies behind.")


def test_one_seed_says_nothing():
    assert finding(study(PLAIN | {"upgrad": 30}, seeds=(0,))).startswith("Finding: none")


def test_without_balancers_or_fixed_weights_nothing_is_said():
    for runs in ({"alone": 0, "equal": 2}, {"alone": 0, "upgrad": 2}):
        assert "Nothing can be said yet" in finding(study(runs))


def test_a_win_in_one_of_two_analyses_is_a_hint():
    """A score near zero carries Δm: there a small difference is a large part of the baseline."""

    def row(mean, p, log_change, p_log):
        return SimpleNamespace(mean=mean, p=p, log_change=log_change, p_log=p_log)

    assert block_verdict(row(20, 0.01, 0.1, 0.01)) == "beats"
    assert block_verdict(row(20, 0.03, 0.1, 0.5)) == "a hint of better"
    assert block_verdict(row(-20, 0.5, -0.1, 0.04)) == "a hint of worse"
    assert block_verdict(row(-20, 0.01, -0.1, 0.01)) == "loses to"
    assert block_verdict(row(20, 0.01, -0.1, 0.01)) == "unclear"
    assert block_verdict(row(20, 0.2, 0.1, 0.3)) == "unclear"


def test_pairs_show_what_the_luck_of_the_seed_hides():
    table = study(PLAIN | {"upgrad": 7}, luck=0.2, noise=0.001)
    scores = headline_scores(table, "test").loc["upgrad"]
    assert (scores.std() / scores.mean() > 0.05).all()  # alone, their intervals are wide
    assert delta_m(table, "test").loc["upgrad"].std() < 3  # against the baselines of the same seed it is narrow
    row = paired_differences(table, "fixed 1:5:30", ["upgrad"]).iloc[0]
    assert verdict(row) == "beats" and 2 < row["mean"] < 4


def test_paired_differences_are_scipys_paired_test():
    table = study(PLAIN | {"upgrad": 5, "mgda": 3, "famo": 1}, noise=0.02)
    rows, change = (
        paired_differences(table, "equal", ["upgrad", "mgda", "famo"]).set_index("run"),
        delta_m(table, "test").unstack("run"),
    )
    for run in rows.index:
        test = stats.ttest_rel(change[run], change["equal"])
        low, high = test.confidence_interval(0.95)
        assert np.allclose(rows.loc[run, ["p", "low", "high"]].astype(float), (test.pvalue, low, high))
    assert np.allclose(rows.p_holm, holm(rows.p))


def test_the_choice_looks_at_validation_alone():
    gains = PLAIN | {
        "upgrad": dict(val=9, test=-9),
        "mgda": dict(val=1, test=20),
        "fixed 2:0.5:0.5": dict(val=8, test=-8),
    }
    table = study(gains)
    assert select_on_validation(table) == dict(fixed="fixed 2:0.5:0.5", balancer="upgrad")
    scrambled = table.assign(value=table.value.where(table.part == "val", 0.1))
    assert select_on_validation(scrambled) == select_on_validation(table)


def test_random_weights_are_a_control_not_a_balancer():
    assert select_on_validation(study(PLAIN | {"random": 50, "upgrad": 1}))["balancer"] == "upgrad"
    assert (
        {run_kind(r) for r in BALANCER_RUNS} == {"single-task", "control", "fixed weights", "balancer"}
        and is_fixed("equal")
        and not is_fixed("random")
    )


def test_holm_by_hand():
    assert np.allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]) and holm([0.9, 0.8]).tolist() == [
        1,
        1,
    ]
    assert np.allclose(holm([0.02, np.nan]), [0.02, np.nan], equal_nan=True) and holm([]).shape == (0,)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_value_and_bonferroni(p):
    adjusted = holm(p)
    assert (adjusted >= np.array(p) - 1e-12).all() and (adjusted <= np.minimum(1, np.array(p) * len(p)) + 1e-12).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()


def test_holm_keeps_false_alarms_below_five_percent():
    d = np.random.default_rng(0).standard_normal((1500, 8, 3))
    p = stats.ttest_1samp(d, 0, axis=2).pvalue
    assert (p < 0.05).any(1).mean() > 0.25 and np.mean([(holm(row) < 0.05).any() for row in p]) < 0.065


def test_a_table_with_holes_is_cut_to_the_largest_rectangle():
    table = study(PLAIN | {"upgrad": 3, "mgda": 1}, seeds=(0, 1, 2))
    holes = table[
        ~((table.run == "mgda") & (table.seed > 0))
        & ~((table.run == "upgrad") & (table.seed == 2) & (table.task == "lane") & (table.part == "test"))
    ]
    block = balanced_subset(holes)  # 5 runs × 2 seeds, not 4 × 3, which have no balancer, nor 6 × 1
    assert set(block.run) == {*PLAIN, "upgrad"} and set(block.seed) == {0, 1} and "mgda" in not_in(block)
    many = study(
        PLAIN | {"upgrad": 3} | {r: 1 for r in list(BALANCER_RUNS)[-12:]}
    )  # many runs have begun: three seeds are worth more
    begun = balanced_subset(many[(many.seed == 0) | many.run.isin([*PLAIN, "upgrad"])])
    assert set(begun.seed) == {0, 1, 2} and set(begun.run) == {*PLAIN, "upgrad"}
    early = table[(table.seed == 0) | ((table.run == "alone") & (table.seed == 1))]  # the second seed has only begun
    assert set(balanced_subset(early).seed) == {0} and set(balanced_subset(early).run) == set(table.run)


def test_a_run_that_learned_nothing_is_named():
    table = study(PLAIN | {"upgrad": 3})
    assert failed_runs(table) == [] and not [l for l in balancer_findings(table) if "next to nothing" in l]
    table.loc[(table.run == "alone") & (table.task == "lane") & (table.seed == 1), "value"] = 1e-4
    assert failed_runs(table) == [("alone", 1, "lane")]
    assert [l for l in balancer_findings(table) if "Learned next to nothing: alone in lane (seed 1)" in l]


def test_runs_of_other_studies_are_left_out():
    table = pd.concat([study(PLAIN), study({"few lanes": 5})])
    assert "few lanes" not in set(balanced_subset(table).run)


def test_without_baselines_it_says_what_to_do():
    with pytest.raises(UserError, match="mtl_compare"):
        balanced_subset(study({"equal": 1, "mgda": 2}))
    with pytest.raises(UserError, match="mtl_compare"):
        balancer_findings(
            study({}, seeds=()).reindex(columns=["run", "config", "seed", "steps", "part", "task", "metric", "value"])
        )


def test_the_figures_show_every_run():
    table = study(PLAIN | {"upgrad": 3, "mgda": 1})
    names = [t.get_text() for t in delta_m_figure(table).axes[0].get_yticklabels()]
    assert set(names) == set(table.run) and names.index("fixed 1:5:30") > names.index("alone")
    assert len(front_figure(table, named=("alone",)).axes) == 3
    delta_m_figure(table[table.seed == 0])  # one seed: no interval


def test_the_front_leaves_out_what_is_dominated():
    assert pareto_runs(study(PLAIN | {"upgrad": 30}, noise=0)) == ["upgrad"]
