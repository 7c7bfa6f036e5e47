"""Plausible wrong answers to the exercises of 22_compare_balancers."""

_OPTIMISM = """from mtl_course.studies.balancers import is_fixed, select_on_validation
from mtl_course.studies.scores import delta_m


def optimism(block):
    change = delta_m(block, "test").groupby(level="run").mean()
    fixed = [run for run in change.index if is_fixed(run)]
    return change[fixed].max() - change[select_on_validation(block)["fixed"]]
"""
_ALARM = """def false_alarm(methods, seeds):
    import numpy as np
    from scipy import stats
    differences = np.random.default_rng(0).standard_normal((4000, methods, seeds))
    return (stats.ttest_1samp(differences, 0, axis=2).pvalue < 0.05).any(1).mean()
"""

WRONG = {
    "22.1": {
        "standard deviation of the population": "half_widths = (7.1, 1.01)",
        "the normal quantile in place of t": "half_widths = [3.97, 0.566]",
        "one number": "half_widths = 8.7",
    },
    "22.2": {
        "all runs, the balancers too": _OPTIMISM.replace("if is_fixed(run)", "if run != 'alone'"),
        "validation in place of test": _OPTIMISM.replace('"test"', '"val"'),
        "against equal weights' opponent": _OPTIMISM.replace('["fixed"]', '["balancer"]'),
    },
    "22.3": {
        "counts intervals": _ALARM.replace(".any(1).mean()", ".mean()"),
        "all must miss": _ALARM.replace(".any(1)", ".all(1)"),
        "in percent": _ALARM.replace(".any(1).mean()", ".any(1).mean() * 100"),
    },
}
