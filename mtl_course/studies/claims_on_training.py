"""Claims about weights, sharing and stability, judged by runs over seeds and by the log."""

from ..config import BOOSTED_WEIGHTS
from ..core.task import TASKS, default_tasks
from .claims import HERE, above_zero, all_of, compare, span, told
from .plans import study_command

__all__ = []

LOG_FILE = "make train (logs/training.csv)"
FIGURES = (
    "figure_1 figure_2 figure_4 figure_6 figure_11 figure_12 evaluation_summary evaluation_comparison "
    "architecture_diagram performance_comparison efficiency_analysis mtl_benefits"
).split()


def audit_weights(audit, tables):
    "Weights and balance: runs are paired by seed."
    _audit_fixed_weights(audit, tables)
    _audit_learned_weights(audit, tables)
    _audit_imbalance(audit, tables)
    _audit_curriculum(audit, tables)


def audit_generalisation(audit, tables):
    "Stability, pre-training and readiness."
    _audit_stability(audit, tables)
    _audit_plans(audit, tables)


def _audit_fixed_weights(audit, tables):
    "Other weights than equal ones."
    runs = [] if tables.study is None else tables.study.run.unique()
    on_validation = {run: tables.changes(run, part="val") for run in runs if run.startswith("fixed")}
    fixed = {run: change for run, change in on_validation.items() if change is not None and len(change) > 2}
    best = max(fixed, key=lambda run: fixed[run].mean(axis=None)) if fixed else None
    tried = tables.changes(best) if best else None
    audit.add(
        "weights",
        "equal_weights",
        "equal weights are inappropriate",
        "the fixed weights that are best on validation give a better Δm than equal ones",
        "mtl_compare",
        ""
        if tried is None
        else (
            f"{best} (classification:detection:lane), the best of {len(fixed)} with three seeds, against "
            f"equal: {told(tried)}"
        ),
        holds=None if tried is None else above_zero(tried.mean(axis=1)),
    )
    lane_30, both = tables.changes("boosted lanes"), tables.changes("fixed 1:5:30")
    audit.add(
        "weights",
        "lane_30",
        "w_lane = 30 (up to 50) improves lanes",
        "with the lane loss alone times 30 lane IoU is better; what do the others pay? (50 is not tried)",
        study_command("imbalance", ["equal", "boosted lanes"]),
        "" if lane_30 is None else told(lane_30),
        holds=None if lane_30 is None else above_zero(lane_30["lane"]),
    )
    audit.add(
        "weights",
        "weights_5_30_1",
        "detection 5, lane 30, classification 1 are better weights",
        (
            f"with {BOOSTED_WEIGHTS['detection']:g}/{BOOSTED_WEIGHTS['lane']:g}/1 (detection, lane, "
            f"classification) a better Δm than with equal weights"
        ),
        compare("equal", "fixed 1:5:30"),
        "" if both is None else told(both),
        holds=None if both is None else above_zero(both.mean(axis=1)),
    )


def _audit_learned_weights(audit, tables):
    "Learned weights, and sharing itself."
    learned = tables.changes("uncertainty")
    audit.add(
        "weights",
        "uncertainty",
        "uncertainty weighting balances automatically",
        "learned weights give a better Δm than equal ones",
        compare("equal", "uncertainty"),
        "" if learned is None else told(learned),
        holds=None if learned is None else above_zero(learned.mean(axis=1)),
    )
    shared = tables.changes("equal", against="alone")
    audit.add(
        "weights",
        "beneficial",
        "the shared trunk benefits all three tasks",
        "each task better than trained alone with as many steps",
        compare("alone", "equal"),
        "" if shared is None else told(shared),
        holds=None if shared is None else all_of(above_zero(shared[t]) for t in shared),
    )


def _audit_imbalance(audit, tables):
    "What rare lanes suffer from."
    causes = {
        c: x["lane"]
        for c, control in (("few lanes", "equal"), ("rare lanes", "drawn alike"), ("small lane loss", "equal"))
        if (x := tables.changes(c, against=control)) is not None
    }  # each against the run that differs in this alone
    complete = len(causes) == 3
    others = [causes[c] - causes["few lanes"] for c in causes if c != "few lanes"] if complete else []
    audit.add(
        "weights",
        "imbalance",
        "data imbalance (78 / 12 / 0.8 %) is the main bottleneck",
        (
            "few lane images cost lanes something, and more than few lane steps (against drawing all tasks "
            "alike) and more than a small lane loss; after 200 steps, when the number of images hardly matters "
            "yet"
        ),
        study_command("imbalance", ["equal", "few lanes", "rare lanes", "drawn alike", "small lane loss"]),
        "lane IoU: " + ", ".join(f"{c} {span(x)} ({len(x)} seeds)" for c, x in causes.items()) if complete else "",
        holds=all_of(above_zero(d.dropna()) for d in (-causes["few lanes"], *others)) if complete else None,
    )


def _audit_curriculum(audit, tables):
    "Weights that change while training."
    focus = {
        w: x["lane"]
        for w, c in {"1": "few lanes", "30": "few lanes, boosted", "15.5": "few lanes, 15.5"}.items()
        if (x := tables.changes("few lanes, 30>1", against=c)) is not None
    }
    audit.add(
        "weights",
        "curriculum",
        "curriculum learning could improve rare tasks",
        (
            "with 65 lane images, a lane weight that falls from 30 to 1 (the report gives no schedule) is "
            "better for lanes than 1, 30 or their mean throughout"
        ),
        study_command("curriculum", ["few lanes", "few lanes, boosted", "few lanes, 15.5", "few lanes, 30>1"]),
        "lane IoU against weight " + ", ".join(f"{w} {span(x)} ({len(x)} seeds)" for w, x in focus.items())
        if len(focus) == 3
        else "",
        holds=all_of(above_zero(x.dropna()) for x in focus.values()) if len(focus) == 3 else None,
    )


def _arrows(values) -> str:
    "Scores in their order."
    return " → ".join(f"{value:.2f}" for value in values)


def _audit_stability(audit, tables):
    "Drops and scatter in the log."
    headline = tables.scores[[f"{t} {TASKS[t].primary_metric}" for t in default_tasks()]]
    drop = (headline.shift() - headline).max().clip(lower=0)
    audit.add(
        "generalisation",
        "forgetting",
        "no catastrophic forgetting",
        (
            "in the strict sense: tasks learned in sequence; here: largest drop of a validation score between "
            "validations below 0.02"
        ),
        LOG_FILE,
        "largest drops: "
        + ", ".join(f"{k} {v:.3f}" for k, v in drop.items())
        + "; in the strict sense the term does not apply, since no task is learned after another",
        holds=bool((drop < 0.02).all()),
    )
    audit.add(
        "generalisation",
        "all_improve",
        "all tasks improve consistently across epochs",
        "every headline score rises from each validation to the next",
        LOG_FILE,
        "; ".join(f"{name} {_arrows(headline[name])}" for name in headline),
        holds=bool((headline.diff().dropna() > 0).all().all()),
    )
    final = tables.steps[tables.steps.epoch == tables.steps.epoch.max()].groupby("task").loss
    spread = final.std() / final.mean()
    mean_spread = final.std() / final.mean() / final.count() ** 0.5
    audit.add(
        "generalisation",
        "batch_variance",
        "<2 % batch variance",
        "coefficient of variation of the loss from step to step within the last epoch",
        LOG_FILE,
        ", ".join(f"{t} {v:.0%}" for t, v in spread.items())
        + (
            f"; the epoch's mean is known to {mean_spread.min():.1%}–{mean_spread.max():.1%}: only means over "
            f"many batches are that steady"
        ),
        holds=bool((spread < 0.02).all()),
    )


def _audit_plans(audit, tables):
    "What nobody measured."
    track = tables.real_score("held_out", "test", "accuracy")
    audit.add(
        "generalisation",
        "pretrained",
        "a pre-trained trunk is crucial",
        "the same training with and without ImageNet weights",
        "mtl_train --backbone_name resnet18 --pretrained require, and the same with --pretrained false",
        "every score in this course starts from random weights",
        without="ImageNet weights",
    )
    audit.add(
        "generalisation",
        "longer",
        "50 epochs would improve the undertrained tasks",
        "five epochs against fifty",
        "mtl_train --recipe specification --epochs 50 --data_root FOLDER",
        (
            f'{50 / 5 * 6.8:.0f} hours by the report\'s own time; "converged by epoch 5" and "more would '
            f'improve" exclude each other for the summed loss, not for single tasks'
        ),
        without="the three full data sets and a GPU",
    )
    audit.add(
        "generalisation",
        "figures",
        "12 visualisations",
        "number of files in the list",
        HERE,
        f"{len(FIGURES)} names; the numbered ones are 1, 2, 4, 6, 11, 12",
        holds=len(FIGURES) == 12,
    )
    audit.add(
        "generalisation",
        "production",
        "production ready (classification)",
        "error rates, conditions and monitoring that a use demands",
        "none",
        f"held-out tracks: {1 - track:.1%} of real signs misread by the short training above",
        without="a definition of ready",
    )
