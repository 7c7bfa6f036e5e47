"""What recording the gradient flow costs: steps of the laptop recipe with and without it, in turn.

    python benchmarks/gradient_log_cost.py --pairs 10

Each recorded step stands between two plain ones and is compared with their mean, so that a machine
whose speed drifts does not favour either. A step is all that the loop does: forward and backward
passes, (the log,) clipping, the optimiser's step, (the log's rows). Writes
results/gradient_log_cost.csv, read by notebook 24.
"""

import math, statistics, tempfile, time
from itertools import cycle
import pandas as pd, torch
from fastcore.script import Param, call_parse
from recipes import EVERY_STEP
from mtl_course.core.files import atomic_write, resolve
from mtl_course.config import make_config
from mtl_course.core.seeds import seed_everything
from mtl_course.data.loaders import create_dataloaders
from mtl_course.data.sources import prepare_data
from mtl_course.training.gradients import GradientLog
from mtl_course.training.distributed import start_fabric
from mtl_course.training.state import create_train_state
from mtl_course.training.steps import compute_gradients


def stepper(config, loader, folder):
    "A function that takes one training step, recorded or plain, and returns its seconds."
    fabric = start_fabric(config)
    seed_everything(0)
    state = create_train_state(fabric, config, loader)
    state.model.train()
    log = GradientLog(folder, every=1)
    batches = cycle(list(loader))

    def step(record):
        batch = fabric.to_device(next(batches))
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        state.step += 1
        balanced = compute_gradients(fabric, state.model, batch, state.balancer, record=record)
        if record:
            log.before_step(state.model, balanced)
        largest = config.gradient_clip
        fabric.clip_gradients(state.model, state.optimizer, max_norm=largest, error_if_nonfinite=False)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        if record:
            log.after_step(state.step)
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    return step, log, fabric


@call_parse
def main(
    pairs: Param("recorded steps, each between two plain ones", int) = 10,
    recipe: Param("whose sizes", str) = "laptop",
    out: Param("csv file", str) = "results/gradient_log_cost.csv",
):
    "Alternates plain and recorded steps."
    config = make_config(recipe, **EVERY_STEP, epochs=1, steps_per_epoch=6, cache_images=False)
    prepare_data(config)
    with tempfile.TemporaryDirectory() as folder:
        step, log, fabric = stepper(config, create_dataloaders(config)[0], folder)
        for record in (False, True, False):
            step(record)  # warm-up
        before = step(False)
        plain = []
        extra = []
        for _ in range(pairs):
            recorded = step(True)
            after = step(False)
            plain.append(after)
            extra.append(recorded / ((before + after) / 2) - 1)
            before = after
        kilobytes = log.path.stat().st_size / 1000 / (pairs + 1)
    share = max(statistics.median(extra), 0)
    q1, _, q3 = statistics.quantiles(extra, n=4)
    rows = {
        "plain step": (statistics.median(plain), "s"),
        "extra share of a recorded step": (share, "share"),
        "its lower quartile": (q1, "share"),
        "its upper quartile": (q3, "share"),
        "cost at every 10th step": (share / 10, "share"),
        "smallest interval below 5 %": (math.floor(share / 0.05) + 1, "steps"),
        "kilobytes per recorded step": (kilobytes, "kB"),
    }
    about = dict(
        recipe=recipe,
        device=fabric.device.type,
        precision=fabric._precision.precision,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        pairs=pairs,
    )
    table = pd.DataFrame([dict(what=w, value=v, unit=u) | about for w, (v, u) in rows.items()])
    with atomic_write(resolve(out)) as t:
        table.to_csv(t, index=False)
    print(table[["what", "value", "unit"]].round(4).to_string(index=False))
