"""Making a study: work in a process of its own, what is kept of a run, and the stored table."""

import numpy as np
import pandas as pd
import pytest

from mtl_course.tasks import SignClassification
from mtl_course.config import make_config
from mtl_course.core.errors import UserError
from mtl_course.data.sampling import subsample_indices
from mtl_course.studies.plans import STUDIES, STUDY_FILE
from mtl_course.studies.runner import (
    config_hash,
    missing_runs,
    read_study,
    run_configs,
    train_and_score,
    train_run_apart,
)
from mtl_course.studies.scores import study_summary


@pytest.fixture(scope="module")
def stored():
    return read_study(STUDY_FILE)


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("study", STUDIES)
def test_every_study_can_be_summed_up(stored, study, split):
    rows = stored[stored.run.isin([*STUDIES[study], "alone"])]
    summary = study_summary(rows, split).set_index("run")
    assert set(summary.index) == set(rows.run)
    assert summary.delta_m.dropna().is_monotonic_decreasing
    assert summary.delta_m["alone"] == pytest.approx(0)


@pytest.mark.parametrize("study", STUDIES)
def test_stored_runs_are_found_by_their_hash(stored, study):
    "A renamed or new config field must not send hours of training back to the beginning."
    missing = {job.run for job in missing_runs(stored, STUDIES[study], [0], "study")}
    assert missing <= {run for run in STUDIES[study] if run not in set(stored.run)} | UNDER_ANOTHER_NAME


UNDER_ANOTHER_NAME = {"65 lane, shared"}  # `few lanes` of the study imbalance


def test_every_stored_hash_is_that_of_a_run(stored):
    hashes = set()
    for runs in STUDIES.values():
        hashes |= {config_hash(run_configs(fields, 0)) for fields in runs.values()}
    assert set(stored.config) <= hashes


def test_the_hash_of_a_known_run():
    assert config_hash(run_configs({}, 0)) == "b7d41b88"


def test_a_training_that_cannot_be_made_is_one_sentence():
    with pytest.raises(UserError, match="^accumulate is 9"):
        train_run_apart([make_config("smoke", tasks="lane", batch_size=1, accumulate=9)])


@pytest.fixture
def skewed():
    "Images that a skew leaves of each class, and the same as recalls."
    labels = np.repeat(np.arange(43), 40)
    counts = np.bincount(labels[subsample_indices(labels, len(labels), skew=10.0)], minlength=43)
    return counts, pd.DataFrame(dict(recall=counts / 40))


def test_the_thirds_follow_the_skew(skewed):
    counts, per_class = skewed
    rank = pd.Series(counts).rank(method="first")  # 1: the rarest
    recall = SignClassification().extra_scores(per_class)
    third = 43 // 3
    rarest = per_class["recall"][rank <= third].mean()
    most_frequent = per_class["recall"][rank > 43 - third].mean()
    assert recall["recall_rarest_third"] == pytest.approx(rarest)
    assert recall["recall_most_frequent_third"] == pytest.approx(most_frequent)
    assert recall["recall_rarest_third"] < 0.3 < 0.5 < recall["recall_most_frequent_third"]


def test_a_class_without_an_image_is_left_out_of_its_third(skewed):
    counts, per_class = skewed
    before = SignClassification().extra_scores(per_class)["recall_rarest_third"]
    per_class.loc[counts.argmin(), "recall"] = np.nan
    assert SignClassification().extra_scores(per_class)["recall_rarest_third"] > before


def test_a_run_keeps_the_recall_of_its_tails():
    config = make_config("smoke", tasks="classification", steps_per_epoch=1, epochs=1, num_workers=0)
    rows = pd.DataFrame(train_and_score(config))
    test = rows[(rows.part == "test") & (rows.task == "classification")].set_index("metric").value
    assert {"accuracy", "recall_rarest_third", "recall_most_frequent_third"} <= set(test.index)
    assert test.between(0, 1).all()
    assert not rows[rows.part == "val"].metric.str.contains("third").any()
