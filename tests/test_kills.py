"""Programs that are killed and started again end as if nobody had disturbed them."""

import subprocess
import sys

import pandas as pd
from conftest import BENCHMARKS


def test_killed_programs_end_as_undisturbed_ones(smoke, tmp_path):
    "A training and a prediction; the benchmark forks, so it has a process of its own."
    options = ["--histories", "2", "--seed", "1", "--out", str(tmp_path / "kills.csv")]
    subprocess.run([sys.executable, str(BENCHMARKS / "kills.py"), *options], check=True)
    table = pd.read_csv(tmp_path / "kills.csv")
    assert table.answer.tolist() == ["survived", "survived"], table.to_string()
    assert (table.kills > 0).all()
