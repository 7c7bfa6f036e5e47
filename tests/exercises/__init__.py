"""Plausible wrong answers: `WRONG["06.1"]` is {what slips: code of the answer}."""
