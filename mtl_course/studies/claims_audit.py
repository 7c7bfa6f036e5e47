"""The audit of all claims of the specification, as results/claims_audit.csv holds it."""

from pathlib import Path

import pandas as pd

from ..core.files import atomic_write
from .claims import Audit, Measurements
from .claims_measured import audit_lanes, audit_losses, audit_speed
from .claims_on_paper import audit_data, audit_parameters
from .claims_on_training import audit_generalisation, audit_weights

__all__ = []

KINDS = ("reproduced", "not reproduced", "undecided", "contradicts itself", "cannot be tested", "untested")


def audit_claims(
    folder: str | Path,  # of result files
) -> pd.DataFrame:  # section, id, claim, meaning, command, measured, verdict
    "One row for every claim, decided by what the result files hold."
    audit = Audit()
    tables = Measurements(folder)
    audit_data(audit)
    audit_parameters(audit)
    audit_losses(audit, tables)
    audit_lanes(audit, tables)
    audit_speed(audit, tables)
    audit_weights(audit, tables)
    audit_generalisation(audit, tables)
    return pd.DataFrame(audit.rows)


def write_claims_audit(
    folder: str | Path,  # of result files
) -> pd.DataFrame:  # the audit
    "Writes claims_audit.csv into a folder of results."
    audit = audit_claims(folder)
    with atomic_write(Path(folder) / "claims_audit.csv") as temporary:
        audit.to_csv(temporary, index=False)
    return audit


def count_verdicts(audit: pd.DataFrame) -> pd.DataFrame:  # index: sections; columns: kinds of verdict
    "How many claims of each section met which fate."
    kind = audit.verdict.str.extract(f"^({'|'.join(KINDS)})")[0]
    order = [name for name in KINDS if (kind == name).any()]
    return pd.crosstab(audit.section, kind).loc[audit.section.unique(), order]
