"""Two choices of architecture, each with everything else equal: pyramid or stride 32 for detection, skips or none for lanes.

    python benchmarks/necks_and_skips.py --steps 80

Trains a single task at a time with the `laptop` recipe's budget per step, same seed and data; writes results/necks_and_skips.csv (validation scores).
"""
import tempfile
import pandas as pd
from fastcore.script import Param, call_parse
from mtl_course.config import atomic_write, make_config, resolve
from mtl_course.training import train

CHOICES = [("detection", "detection_neck", "fpn"), ("detection", "detection_neck", "c5"), ("lane", "lane_skips", True), ("lane", "lane_skips", False)]


@call_parse
def main(steps: Param("training steps of each run", int) = 80, seed: Param("seed of every run", int) = 0):
    "Compares the pyramid with stride 32 and skips with none."
    rows = []
    for task, field, value in CHOICES:
        with tempfile.TemporaryDirectory() as folder:
            run = train(make_config("laptop", results_dir=folder, tasks=task, steps_per_epoch=steps, epochs=1, seed=seed, checkpoint_every=0, **{field: value}))
            log = pd.read_csv(f"{folder}/logs/training.csv").query("kind == 'epoch'")
        million = sum(p.numel() for p in run.model.heads[task].parameters())/1e6
        rows += [dict(task=task, field=field, option=value, steps=steps, seconds=run.seconds, head_parameters_millions=million, metric=m, value=v)
                 for m, v in zip(log.metric, log.value) if m in ("map50", "map50_95", "iou", "f1")]
        print(rows[-2:])
    with atomic_write(resolve("results/necks_and_skips.csv")) as t: pd.DataFrame(rows).to_csv(t, index=False)
    print(pd.DataFrame(rows).round(3).to_string(index=False))
