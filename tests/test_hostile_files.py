"""Spoiled files are answered in a sentence or accepted: no trace, nothing that hangs."""

import pytest
from conftest import load_benchmark

TRIES = 2  # seeds for each file and way; the benchmark takes more


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    benchmark = load_benchmark("hostile_files")
    return benchmark.try_all(benchmark.make_targets(tmp_path_factory.mktemp("hostile")), TRIES)


@pytest.mark.parametrize("kind", ["trace", "slow"])
def test_no_spoiled_file_ends_in_it(answers, kind):
    wrong = answers[answers.answer == kind]
    assert wrong.empty, "\n".join(f"{row.file}, {row.way}: {row.sentence}" for row in wrong.itertuples())


def test_most_spoiled_files_are_told(answers):
    assert (answers.answer == "clear").mean() > 0.5
