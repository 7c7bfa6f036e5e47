"""Plausible wrong answers to the exercises of 24_gradient_flow."""

_FASTEST = """def fastest_stage(table):
    rows = table[table.layer.isna() & (table.task == "all") & ~table.stage.isin(["trunk", "network"])]
    return rows.groupby("stage").ratio.mean().idxmax()
"""

WRONG = {
    "24.1": {
        "without the square": "def weight_for(a, b, s):\n    return a / b * s / (1 - s)",
        "the other way round": "def weight_for(a, b, s):\n    return b / a * (s / (1 - s)) ** 0.5",
    },
    "24.2": {
        "more than so many": (
            "def by_chance(k, n):\n    from scipy.stats import binom\n    return float(binom.sf(k, n, 0.5))"
        ),
        "exactly so many": (
            "def by_chance(k, n):\n    from scipy.stats import binom\n    return float(binom.pmf(k, n, 0.5))"
        ),
    },
    "24.3": {
        "the whole backbone counts as a stage": _FASTEST.replace('["trunk", "network"]', '["network"]'),
        "layers count, too": _FASTEST.replace("table.layer.isna() & ", ""),
        "the largest single step": _FASTEST.replace(".ratio.mean()", ".ratio.max()"),
    },
}
