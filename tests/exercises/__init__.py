"""Plausible wrong answers of every exercise: `WRONG["06.1"]` is {what slips: code of the answer}."""
