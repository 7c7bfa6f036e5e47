"""Writes the table of audited claims into nbs/specification.md, from results/claims_audit.csv.

python benchmarks/audit_table.py
"""

import re
import pandas as pd
from fastcore.script import call_parse
from mtl_course.core.files import resolve
from readme_markers import between_markers, write_between

SHOWN = (
    "validation_accuracy",
    "gap",
    "loss_reduction",
    "converged",
    "total",
    "sum",
    "size",
    "baseline",
    "saving",
    "size_saving",
    "faster",
    "training_time",
    "lane_accuracy",
    "equal_weights",
    "lane_30",
    "imbalance",
    "beneficial",
    "forgetting",
    "all_improve",
    "batch_variance",
    "pretrained",
    "shares",
)
KINDS = {
    "reproduced": "reproduced",
    "not reproduced": "not reproduced",
    "undecided": "undecided",
    "contradicts itself": "contradicting themselves",
    "cannot be tested": "that cannot be tested without more",
    "untested so far": "untested so far",
}
PAGE = "nbs/specification.md"
START, END = "<!-- audit: python benchmarks/audit_table.py -->", "<!-- end of audit -->"


def _cell(text) -> str:
    return "" if pd.isna(text) else str(text).replace("|", "\\|")


def _with_code(verdict: str) -> str:  # the command that would test a claim stands in backticks
    return re.sub(r"^(untested so far: )(.*)$", r"\1`\2`", verdict)


def table(audit: pd.DataFrame) -> str:  # the whole audit
    "How many claims met which fate, and the rows that people ask about first, as markdown."
    counts = ", ".join(f"{audit.verdict.str.startswith(k).sum()} {words}" for k, words in KINDS.items())
    lines = [f"{len(audit)} claims: {counts}.", "", "| claim | measured here | verdict |", "| --- | --- | --- |"]
    for id in SHOWN:
        row = audit.set_index("id").loc[id]
        lines.append(f"| {_cell(row.claim)} | {_cell(row.measured)} | {_with_code(row.verdict)} |")
    return "\n".join(lines)


def with_table(page: str, audit: pd.DataFrame) -> str:  # the page's text
    "The same text with the table between its markers; raises `UserError` where they are missing."
    return between_markers(page, START, END, table(audit))


@call_parse
def main():
    "Puts the table into the page."
    audit = pd.read_csv(resolve("results/claims_audit.csv"))
    write_between(resolve(PAGE), START, END, table(audit))
    print(table(audit))
