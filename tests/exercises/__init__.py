"""Plausible wrong answers of every exercise: `lesson_06.WRONG["06.1"]` is {what slips: code in the stub's place}."""
