"""The audit of claims: complete, computed from its input files, and shown as it was written."""

import itertools
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import load_benchmark

from mtl_course.core.errors import UserError
from mtl_course.studies.claims import verdict
from mtl_course.studies.claims_audit import write_claims_audit
from mtl_course.studies.claims_measured import lane_shares
from mtl_course.studies.claims_on_paper import count_network

ROOT = Path(__file__).parents[1]
VERDICT = re.compile(
    r"reproduced|not reproduced|undecided|contradicts itself|cannot be tested without \S.*|untested so far: \S.*"
)
CLAIMS = (
    r"39,209.*3,921",
    r"5,984.*1,497",
    r"41,705",
    r"51,865",
    r"~50,000",
    r"78.*12.*0\.8",
    r"400 \+ 100",
    r"synthetic",
    r"12\.9 GB",
    r"43 sign",
    r"7 object",
    r"70\.2 M",
    r"23\.5 M",
    r"1\.2 M",
    r"850 K",
    r"2\.0 M",
    r"33\.5.*2\.8",
    r"106 MB",
    r"468 MB",
    r"95M\+",
    r"26 %",
    r"360 MB",
    r"71 %",
    r"2048, H/32",
    r"9 anchors",
    r"16 → 2",
    r"3\.31.*0\.71",
    r"78\.5 %",
    r"83–86 %.*99\.98",
    r"99\.98 % training",
    r"100 % validation",
    r"0\.02 %",
    r"F1 100",
    r"all 43",
    r"7,481 images",
    r"converged by epoch 5",
    r"15\.91",
    r"0\.0819",
    r"architecturally sound",
    r"3×",
    r"real-time",
    r"6\.8 hours",
    r"equal weights",
    r"w_lane = 30",
    r"uncertainty",
    r"curriculum",
    r"imbalance",
    r"forgetting",
    r"all tasks improve",
    r"<2 %",
    r"pre-trained",
    r"50 epochs",
    r"12 visuali",
    r"production ready",
    r"benefits all",
)


def audit_in(folder: Path, **tables) -> pd.DataFrame:  # name of a result file -> table, None: taken away
    "The audit that is written into a copy of the result files, read back."
    for path in (ROOT / "results").glob("*.csv"):
        shutil.copy(path, folder)
    (folder / "claims_audit.csv").unlink(missing_ok=True)
    for name, table in tables.items():
        if table is None:
            (folder / f"{name}.csv").unlink(missing_ok=True)
        else:
            table.to_csv(folder / f"{name}.csv", index=False)
    write_claims_audit(folder)
    return pd.read_csv(folder / "claims_audit.csv").set_index("id")


def stored(name):
    return pd.read_csv(ROOT / "results" / f"{name}.csv")


@pytest.fixture(scope="module")
def audit():
    return stored("claims_audit").set_index("id")


@pytest.fixture(scope="module")
def table_program():
    return load_benchmark("audit_table")


def test_every_claim_has_a_row_and_an_allowed_verdict(audit):
    text = "\n".join(audit.claim)
    assert not [c for c in CLAIMS if not re.search(c, text)]
    assert audit.index.is_unique and len(audit) >= 50
    assert not [v for v in audit.verdict if not VERDICT.fullmatch(v)]
    assert not audit[["section", "claim", "meaning", "command"]].isna().any(axis=None)
    decided = audit[~audit.verdict.str.startswith(("untested", "cannot"))]
    assert decided.measured.notna().all()  # no verdict without a measurement


def test_the_stored_audit_is_computed_byte_for_byte(tmp_path):
    audit_in(tmp_path)
    assert (tmp_path / "claims_audit.csv").read_bytes() == (ROOT / "results" / "claims_audit.csv").read_bytes()


def test_a_verdict_follows_the_order_of_the_rules():
    assert verdict(True) == "reproduced"
    assert verdict("undecided") == "undecided"
    assert verdict(False) == "not reproduced"
    assert verdict(True, consistent=False) == "contradicts itself"


def test_the_parts_of_the_network_sum_to_its_total():
    network = count_network()
    heads = sum(network.heads.values())
    assert network.total == network.trunk + heads
    assert network.baseline == 3 * network.trunk + heads


def test_verdicts_follow_the_input_files(tmp_path):
    real = stored("real_data")
    log = stored("laptop_log")
    seeds = stored("laptop_seeds")
    real.loc[(real.run == "signs alone") & real.metric.isin(["accuracy", "macro_f1"]), "value"] = 1.0
    real.loc[(real.run == "signs alone") & (real.split == "held_out"), "value"] = 0.9998
    steady = log.kind == "step"
    log.loc[steady, "loss"] = log[steady].epoch.map({e: 1.0 if e == 1 else 0.215 for e in log.epoch.unique()})
    seeds.loc[(seeds.metric == "pixel_accuracy"), "value"] = 0.159
    seeds.loc[(seeds.metric == "iou"), "value"] = 0.0819
    last = (log.kind == "epoch") & (log.epoch == log.epoch.max()) & (log.metric == "map50")
    log.loc[last, "value"] = 0.0  # detection forgets everything
    got = audit_in(tmp_path, real_data=real, laptop_log=log, laptop_seeds=seeds).verdict
    for id in ("validation_accuracy", "f1", "gap", "loss_reduction", "lane_accuracy", "lane_iou", "batch_variance"):
        assert got[id] == "reproduced", id
    for id in ("forgetting", "all_improve"):
        assert got[id] == "not reproduced", id


def study_table(equal, boosted, seeds=(0, 1, 2), **more):
    """A table as mtl_compare writes it: the same scores on both splits.

    Scores (equal, boosted, more) stand in the order of the tasks.
    """
    tasks = (("classification", "accuracy"), ("detection", "map50"), ("lane", "iou"))
    runs = {"equal": equal, "fixed 1:5:30": boosted, "boosted lanes": boosted} | {
        k.replace("_", " "): v for k, v in more.items()
    }
    rows = []
    for seed, part, (run, scores) in itertools.product(seeds, ("val", "test"), runs.items()):
        for (task, metric), value in zip(tasks, scores):
            row = dict(run=run, config="0", seed=seed, steps=200, part=part, task=task, metric=metric, value=value)
            rows.append(row)
    return pd.DataFrame(rows)


def curricula(*lanes):
    "Lane scores of the runs that the claim about curricula looks at; None leaves a run out."
    names = ("few_lanes", "few_lanes, boosted", "few_lanes, 15.5", "few_lanes, 30>1")
    return {name: (0.8, 0.2, lane) for name, lane in zip(names, lanes) if lane is not None}


def scattered(table):
    "Lane scores of the boosted run up by a half in the first seed, down by a half in the last."
    factor = table.seed.map({0: 1.5, 1: 1.0, 2: 0.5}).where((table.run != "equal") & (table.task == "lane"), 1.0)
    return table.assign(value=table.value * factor)


def test_a_run_that_learned_nothing_makes_no_huge_change(tmp_path):
    table = study_table((0.8, 0.2, 0.4), (0.8, 0.2, 0.4), alone=(0.8, 0.2, 0.3))
    table.loc[(table.run == "alone") & (table.task == "lane") & (table.seed == 1), "value"] = 1e-4
    measured = audit_in(tmp_path, studies=table).measured["beneficial"]
    assert "lane +100%" in measured, measured  # 0.4 against a mean of 0.2


def efficiency_table(ratio):
    return pd.DataFrame(
        [
            dict(
                device="cpu",
                backbone="resnet50",
                detection_neck="c5",
                what="latency",
                model="ratio",
                size="64x64",
                batch=1,
                precision="float32",
                mode="eager",
                metric="ratio three passes / one pass",
                value=ratio,
                low=ratio,
                high=ratio,
            )
        ]
    )


def time_table(hours):
    return pd.DataFrame(
        [
            ("threads", 2),
            ("seconds per step, median", 9.0),
            ("projected hours", hours),
            ("operations per second claimed", 1e12),
            ("operations per second here", 1e11),
        ],
        columns=["metric", "value"],
    )


@pytest.mark.parametrize(
    "name,inputs,wanted",
    [
        (
            "nothing measured",
            dict(efficiency=None, specification_time=None, studies=None),
            dict(
                faster="untested so far: python benchmarks/efficiency.py",
                training_time="untested so far: python benchmarks/specification_time.py",
                equal_weights="untested so far: mtl_compare",
                lane_30="untested so far: mtl_compare --study imbalance --runs",
                weights_5_30_1="untested so far: mtl_compare --runs",
                imbalance="untested so far: mtl_compare --study imbalance",
            ),
        ),
        (
            "the claims hold",
            dict(
                efficiency=efficiency_table(2.9),
                specification_time=time_table(7.0),
                studies=study_table(
                    (0.8, 0.2, 0.4),
                    (0.8, 0.2, 0.5),
                    few_lanes=(0.8, 0.2, 0.2),
                    rare_lanes=(0.8, 0.2, 0.3),
                    drawn_alike=(0.8, 0.2, 0.4),
                    small_lane_loss=(0.8, 0.2, 0.4),
                ),
            ),
            dict(
                faster="reproduced",
                training_time="reproduced",
                equal_weights="reproduced",
                lane_30="reproduced",
                imbalance="reproduced",
            ),
        ),
        (
            "the claims fail",
            dict(
                efficiency=efficiency_table(1.6),
                specification_time=time_table(90.0),
                studies=study_table(
                    (0.8, 0.2, 0.4),
                    (0.5, 0.1, 0.3),
                    few_lanes=(0.8, 0.2, 0.3),
                    rare_lanes=(0.8, 0.2, 0.2),
                    drawn_alike=(0.8, 0.2, 0.4),
                    small_lane_loss=(0.8, 0.2, 0.4),
                ),
            ),
            dict(
                faster="not reproduced",
                training_time="not reproduced",
                lane_30="not reproduced",
                equal_weights="not reproduced",
                imbalance="not reproduced",
            ),
        ),
        (
            "rare lanes lose because one task is drawn per step",
            dict(
                studies=study_table(
                    (0.8, 0.2, 0.4),
                    (0.8, 0.2, 0.5),
                    few_lanes=(0.8, 0.2, 0.3),
                    rare_lanes=(0.8, 0.2, 0.2),
                    drawn_alike=(0.8, 0.2, 0.2),
                    small_lane_loss=(0.8, 0.2, 0.4),
                )
            ),
            dict(imbalance="reproduced"),
        ),
        (
            "its control is missing",
            dict(
                studies=study_table(
                    (0.8, 0.2, 0.4),
                    (0.8, 0.2, 0.5),
                    few_lanes=(0.8, 0.2, 0.2),
                    rare_lanes=(0.8, 0.2, 0.3),
                    small_lane_loss=(0.8, 0.2, 0.4),
                )
            ),
            dict(imbalance="untested so far: mtl_compare --study imbalance"),
        ),
        (
            "lanes win, the others pay more",
            dict(studies=study_table((0.8, 0.2, 0.4), (0.4, 0.1, 0.5))),
            dict(lane_30="reproduced", equal_weights="not reproduced", imbalance="untested"),
        ),
        (
            "one seed is no evidence",
            dict(studies=study_table((0.8, 0.2, 0.4), (0.8, 0.2, 0.5), seeds=(0,))),
            dict(lane_30="untested", equal_weights="untested"),
        ),
        (
            "nor are two",
            dict(studies=study_table((0.8, 0.2, 0.4), (0.8, 0.2, 0.5), seeds=(0, 1))),
            dict(lane_30="untested", equal_weights="untested"),
        ),
        (
            "a curriculum helps",
            dict(studies=study_table((0.8, 0.2, 0.4), (0.8, 0.2, 0.4), **curricula(0.30, 0.32, 0.31, 0.40))),
            dict(curriculum="reproduced"),
        ),
        (
            "it does not help against its mean",
            dict(studies=study_table((0.8, 0.2, 0.4), (0.8, 0.2, 0.4), **curricula(0.30, 0.32, 0.45, 0.40))),
            dict(curriculum="not reproduced"),
        ),
        (
            "a counterpart is missing",
            dict(studies=study_table((0.8, 0.2, 0.4), (0.8, 0.2, 0.4), **curricula(0.30, None, 0.31, 0.40))),
            dict(curriculum="untested"),
        ),
        (
            "seeds that scatter",
            dict(studies=scattered(study_table((0.8, 0.2, 0.4), (0.8, 0.2, 0.42)))),
            dict(lane_30="undecided", equal_weights="undecided"),
        ),
    ],
)
def test_measurements_to_come_decide_their_claims(name, inputs, wanted, tmp_path):
    got = audit_in(tmp_path, **inputs).verdict
    assert {i: got[i] for i in wanted if not got[i].startswith(wanted[i])} == {}, name


def test_the_two_lane_scores_give_back_their_shares():
    positives, negatives = lane_shares(0.1591, 0.0819)
    assert positives + negatives == pytest.approx(0.1591)
    assert positives / (1 - negatives) == pytest.approx(0.0819)
    meaning = stored("claims_audit").set_index("id").meaning["lane_iou"]
    assert f"TP {positives:.4f}, TN {negatives:.4f}" in meaning


def test_the_page_shows_the_audit_as_it_was_written(table_program):
    page = (ROOT / table_program.PAGE).read_text(encoding="utf-8")
    assert table_program.with_table(page, stored("claims_audit")) == page, "python benchmarks/audit_table.py"
    with pytest.raises(UserError, match=f"{table_program.START} 0 times"):
        table_program.with_table("no markers", stored("claims_audit"))
