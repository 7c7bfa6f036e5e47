"""Imbalance figures: causes, remedies, learning curves and sentences from the studies' table,
whatever part of it is there.
"""

import numpy as np
import pandas as pd
import pytest
from mtl_course.config import TASKS
from mtl_course.core.errors import UserError
from mtl_course.studies.imbalance import (
    GROUPS,
    cause_sentences,
    cause_table,
    remedy_sentences,
    remedy_table,
    run_label,
)
from mtl_course.studies.learning_curves import curve_sentence
from mtl_course.studies.gradient_shares import drowned_sentence, read_gramians, share_text, update_shares
from mtl_course.studies.scores import (
    FLOOR,
    PairedChange,
    change_text,
    change_verdict,
    constant_seeds,
    floor_score,
    paired_change,
    scores_of,
    seeds_text,
)
from mtl_course.studies.plans import IMBALANCE_RUNS, missing_sentence
from imbalance_examples import CAUSES, floored, make_causes, record, table_of, wobble

causes = pytest.fixture(make_causes)


def test_differences_are_paired_by_seed():
    table = wobble(table_of({"equal": (0.6, 0.2, 0.5), "few lanes": (0.6, 0.2, 0.4)}), "few lanes", 0.001)
    change = paired_change(table, "few lanes", "equal", "lane")
    assert (
        change.change == pytest.approx(-0.1) and change.high - change.low < 0.006
    )  # 2 · 4.30 · 0.001/√3: the luck of the seeds (0.04) is not in it
    assert change.high - change.low == pytest.approx(2 * 4.302653 * 0.001 / 3**0.5, rel=1e-4)
    assert (change.run, change.control, change.seeds) == (
        pytest.approx(0.4),
        pytest.approx(0.5),
        3,
    ) and change_verdict(change) == "lower"


def test_only_common_seeds_are_compared():
    table = table_of({"equal": (0.6, 0.2, 0.5), "few lanes": (0.6, 0.2, 0.4)})
    table = table[~((table["run"] == "few lanes") & (table["seed"] == 0))]
    change = paired_change(table, "few lanes", "equal", "lane")
    assert change.seeds == 2 and change.control == pytest.approx(0.48) and change.change == pytest.approx(-0.1)
    assert paired_change(table[table["run"] == "equal"], "few lanes", "equal", "lane") is None


def test_the_test_part_is_read_unless_another_is_named():
    table = pd.concat([table_of({"equal": (0.6, 0.2, 0.5)}), table_of({"equal": (0.1, 0.1, 0.1)}, split="val")])
    assert scores_of(table, "equal", "lane").mean() == pytest.approx(0.5) and scores_of(
        table, "equal", "lane", split="val"
    ).mean() == pytest.approx(0.1)


def test_verdicts():
    def make(low, high, seeds=3):
        return PairedChange(0, 0, (low + high) / 2, low, high, 0.5, seeds, seeds)

    assert [change_verdict(make(*ends)) for ends in ((-2, -1), (1, 2), (-1, 2))] == ["lower", "higher", "undecided"]
    assert (
        change_verdict(make(np.nan, np.nan, 1)) == "one seed"
        and "one seed" in change_text(make(np.nan, -1, 1))
        and change_text(None) == "not measured"
    )
    assert change_text(make(-0.2, -0.1)) == "−0.150 (−0.200 to −0.100, 3 seeds: lower)"


def test_the_control_of_a_cause_differs_in_one_thing(causes):
    assert cause_table(causes).set_index("group")["against"].to_dict() == {
        "few images": "equal",
        "drawn rarely": "equal",
        "a small loss": "equal",
    }
    more = pd.concat(
        [
            causes,
            table_of(
                {
                    "drawn alike": (0.6, 0.2, 0.55),
                    "skewed signs": (0.5, 0.2, 0.5),
                    "as many signs, balanced": (0.56, 0.2, 0.5),
                }
            ),
        ]
    )
    rows = cause_table(more).set_index("group")
    assert rows["against"]["drawn rarely"] == "drawn alike" and rows["change"]["drawn rarely"] == pytest.approx(-0.06)
    assert rows["victim"]["skewed classes"] == "classification" and rows["change"]["skewed classes"] == pytest.approx(
        -0.06
    )


def test_what_a_remedy_repairs_and_costs(causes):
    row = remedy_table(causes).set_index("remedy").loc["few lanes, boosted"]
    assert row["change"] == pytest.approx(0.06, abs=1e-6) and row["repaired"] == pytest.approx(0.5, abs=1e-6)
    assert (
        row["classification change"] == pytest.approx(-0.1, abs=1e-6)
        and row["classification verdict"] == "lower"
        and row["detection verdict"] == "higher"
    )
    alone = remedy_table(causes).set_index("remedy").loc["few lanes, alone"]
    assert np.isnan(alone["detection change"]) and alone["detection verdict"] == "not measured"
    assert any("The other tasks are not trained" in s for s in remedy_sentences(causes))
    noisy = causes.copy()  # the seeds of the cause scatter more than it takes: no part of that is "repaired"
    lanes = (noisy.run == "few lanes") & (noisy.task == "lane")
    noisy.loc[lanes, "value"] *= noisy.loc[lanes, "seed"].map({0: 1.6, 1: 1.0, 2: 0.5})
    assert remedy_table(noisy)[lambda t: t.cause == "few lanes"].repaired.isna().all()
    assert any(
        "50% of what the cause took" in s and "classification −0.100 (lower)" in s for s in remedy_sentences(causes)
    )


def test_two_constant_predictions_cannot_be_compared():
    table = floored()
    assert (
        constant_seeds(table, "regime") == {0: "nothing", 1: "everything", 2: "nothing"}
        and constant_seeds(table, "drawn alike") == {}
    )
    assert floor_score(table) == pytest.approx(0.07) and floor_score(table_of(CAUSES)) is None
    change = paired_change(table, "regime, boosted", "regime", "lane")
    assert change.floor == 3 and change_verdict(change) == FLOOR and change_text(change) == FLOOR
    assert (
        change_verdict(paired_change(table, "regime", "drawn alike", "lane")) == "lower"
    )  # one of the two can be told from the other
    said = remedy_sentences(table)
    assert any(
        s.startswith(f"all at once, weight ×30: lane {FLOOR}. ")
        and "In 3 of 3 seeds the run and its control both predict a constant" in s
        for s in said
    ) and not any(", 0% of" in s for s in said)
    assert (
        "(Of 3 seeds, nothing is lane in 2 and everything is lane in 1: a constant prediction.)"
        in cause_sentences(table)[0]
    )
    almost = table.copy()
    almost.loc[(almost["run"] == "regime") & (almost["metric"] == "recall") & (almost["value"] == 1), "value"] = 0.99
    assert (
        1 not in constant_seeds(almost, "regime")
        and change_verdict(paired_change(almost, "regime, boosted", "regime", "lane")) != FLOOR
    )


def test_a_gain_that_the_undisturbed_run_has_too_is_no_repair():
    values = {
        "equal": (0.6, 0.2, 0.5),
        "imtl_g": (0.6, 0.2, 0.57),
        "few lanes": (0.6, 0.2, 0.4),
        "few lanes, imtl_g": (0.6, 0.2, 0.46),
        "few lanes, augmented": (0.6, 0.2, 0.41),
        "rare lanes": (0.6, 0.2, 0.3),
        "rare lanes, boosted": (0.6, 0.2, 0.3),
    }
    table = wobble(table_of(values), "few lanes, imtl_g", 0.001)
    rows = remedy_table(table).set_index("remedy")
    more = rows.more["few lanes, imtl_g"]
    assert (more.run, more.control, more.change) == (
        pytest.approx(0.06),
        pytest.approx(0.07),
        pytest.approx(-0.01),
    ) and change_verdict(more) == "lower"
    assert more.high - more.low == pytest.approx(
        2 * 4.302653 * 0.001 / 3**0.5, rel=1e-4
    )  # the luck of the seeds has gone
    assert (
        rows.more["few lanes, augmented"] is None and rows.more["rare lanes, boosted"] is None
    )  # never tried on the undisturbed run, or not with one task per step
    assert any(
        "few images, IMTL-G: lane +0.060" in s
        and "Where nothing is wrong it gives +0.070; difference of the two gains −0.010" in s
        for s in remedy_sentences(table)
    )


def test_how_many_seeds_agree_is_said(causes):
    change = paired_change(causes, "few lanes", "equal", "lane")
    assert change.same == 3 and seeds_text(change) == "lower in 3 of 3 seeds" and 0 < change.p < 0.01
    assert any(s.startswith("few images") and "lower in 3 of 3 seeds" in s for s in cause_sentences(causes))
    assert paired_change(wobble(causes, "few lanes", 0.3), "few lanes", "equal", "lane").same == 2


def test_shares_are_said_no_more_exactly_than_the_steps_allow():
    assert (
        share_text(np.array([-0.0045, 0.0037])).startswith("under 0.5 %")
        and share_text(np.array([0.001, 0.2, 0.39])) == "20 % (0.1 to 39 %)"
        and share_text(np.array([0.048])) == "4.8 %"
    )


def test_the_sentence_names_the_cause_that_costs_most(causes):
    last = cause_sentences(causes)[-1]
    assert (
        "Of the 3 causes" in last
        and "“few images” costs the lane task most" in last
        and "“a small loss”" in last.split(";")[1]
        and "“few images”" not in last.split(";")[1]
    )
    both = wobble(
        table_of({"equal": (0.6, 0.2, 0.5), "few lanes": (0.6, 0.2, 0.38), "rare lanes": (0.6, 0.2, 0.45)}),
        "equal",
        0.002,
    )
    assert "“few images” costs the lane task most; each of them lowers it" in cause_sentences(both)[-1]
    harmless = table_of({r: (0.6, 0.2, 0.5) for r in ("equal", "few lanes", "rare lanes")})
    for r in ("few lanes", "rare lanes"):
        harmless = wobble(harmless, r, 0.02)
    assert cause_sentences(harmless)[-1].startswith("None of the 2 causes")
    swapped = causes.assign(run=causes["run"].replace({"few lanes": "small lane loss", "small lane loss": "few lanes"}))
    assert "“a small loss” costs the lane task most" in cause_sentences(swapped)[-1]


def test_what_is_missing_is_named_with_its_command(causes):
    said = missing_sentence(causes, "imbalance")
    assert (
        said.startswith(f"{len(IMBALANCE_RUNS) - len(CAUSES)} of {len(IMBALANCE_RUNS)} runs")
        and said.endswith("mtl_compare --study imbalance")
        and "seeds" not in said
    )
    fewer = causes[~((causes["run"] == "equal") & (causes["seed"] == 2))]
    assert "1 has fewer than 3 seeds: equal (2)" in missing_sentence(fewer, "imbalance")
    assert missing_sentence(table_of({r: (0.6, 0.2, 0.5) for r in IMBALANCE_RUNS}), "imbalance") == ""


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame(columns=["run", "config", "seed", "steps", "part", "task", "metric", "value"]),
        table_of({"equal": (0.6, 0.2, 0.5)}, 1),
        table_of(CAUSES, 1),
    ],
)
def test_any_part_of_the_table_will_do(table):
    assert (
        isinstance(cause_sentences(table), list)
        and isinstance(remedy_sentences(table), list)
        and missing_sentence(table, "imbalance")
    )
    assert all("nan" not in s for s in [*cause_sentences(table), *remedy_sentences(table)])
    for t in TASKS:
        assert "nothing can be said" in curve_sentence(table, t, 100)


def test_labels_and_groups_cover_the_study():
    runs = [{group.cause, *group.remedies} for group in GROUPS.values()]
    assert set.union(*runs) == set(IMBALANCE_RUNS)
    assert all(run_label(r) for r in IMBALANCE_RUNS)


def test_shares_add_up_and_follow_the_weights():
    G = np.array([np.diag([4.0, 1.0, 0.25])])
    assert update_shares(G, np.ones(3)) == pytest.approx([4 / 5.25, 1 / 5.25, 0.25 / 5.25]) and update_shares(
        G, np.array([1, 1, 4])
    ) == pytest.approx([4 / 9, 1 / 9, 4 / 9])
    assert update_shares(np.array([[[1.0, -2.0], [-2.0, 9.0]]]), np.ones(2)) == pytest.approx(
        [-1 / 6, 7 / 6]
    )  # moved backwards


def test_gramians_are_put_in_the_order_of_the_tasks(tmp_path):
    record(tmp_path / "gradient_recording.json", [np.diag([3.0, 2.0, 1.0])], tuple(TASKS)[::-1])
    assert np.diag(read_gramians(tmp_path)[1][0]).tolist() == [1, 2, 3]
    (tmp_path / "gradient_recording.json").write_text("{}")
    with pytest.raises(UserError, match="gradient_recording.py"):
        read_gramians(tmp_path)
    with pytest.raises(UserError, match="gradient_recording.py"):
        read_gramians(tmp_path / "elsewhere" / "deeper")


def test_the_drowned_sentence_has_the_numbers(tmp_path):
    record(tmp_path / "gradient_recording.json", [np.diag([81.0, 1.0, 0.01])])
    said = drowned_sentence(tmp_path)
    assert (
        "1.0% of the three lengths" in said
        and "and 0.012 % of the summed gradient" in said
        and "with ×30 it is 9.9 %" in said
    )
    record(
        tmp_path / "gradient_recording.json",
        [np.array([[4.0, 0, -s], [0, 1.0, 0], [-s, 0, 0.01]]) for s in (0.02, -0.02)],
    )
    assert "and under 0.7 % (" not in drowned_sentence(
        tmp_path
    ) and "and under 1 % (−0.2 to 0.59 %) of the summed gradient" in drowned_sentence(
        tmp_path
    )  # no mean of shares that differ in sign
