"""How the three tasks' gradients at the shared trunk stand to each other while a network learns:
one short run, equal task weights.

    python benchmarks/gradient_recording.py --recipe study --steps 120 --every 6

Writes results/gradient_recording.json: for each recorded step the losses and the Gramian of every
stage of the trunk. Read by notebook 27.
"""

from fastcore.script import Param, call_parse
from mtl_course.config import TASKS, make_config
from mtl_course.core.files import resolve
from mtl_course.training.recording import record_gradients


@call_parse
def main(
    recipe: Param("recipe to start from", str) = "study",
    steps: Param("training steps", int) = 120,
    every: Param("record one step in so many", int) = 6,
    seed: Param("of the run", int) = 0,
    out: Param("where the recording goes", str) = "results/gradient_recording.json",
):
    "Records the Gramians of a short run."
    config = make_config(recipe, seed=seed, epochs=1, steps_per_epoch=steps, **{f"{t}_weight": 1.0 for t in TASKS})
    recording = record_gradients(config, every, lambda k, n: print(f"\rstep {k} of {n}", end="", flush=True))
    recording.source = (
        f"python benchmarks/gradient_recording.py --recipe {recipe} --steps {steps} --every {every} --seed {seed}"
    )
    recording.save(resolve(out))
    print(f"\n{len(recording.steps)} steps recorded in {resolve(out)}")
