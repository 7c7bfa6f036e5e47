"""A painted diagram shows what its painter believed. This one asks the network."""

from pathlib import Path

import pandas as pd
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import nn

from ..core.task import TASKS
from ..models.backbone import STRIDES, Backbone
from ..models.multi_task_model import MultiTaskModel, model_from_config
from ..models.sharing import HardSharing
from .figures import run_config
from .style import WIDTH, part_colours

__all__ = []


def _parts(module, prefix):  # -> (name, module), down to the layers worth a line; parts without parameters left out
    for name, child in module.named_children():
        if isinstance(child, (nn.ModuleList, nn.ModuleDict, Backbone)) or type(child).__name__ in (
            "RegionProposalNetwork",
            "RoIHeads",
        ):
            yield from _parts(child, f"{prefix}{name}.")
        elif any(True for _ in child.parameters()):
            yield f"{prefix}{name}", child


def _shape(output):  # of one image; the finest map where there are several; regions counted out
    while not isinstance(output, torch.Tensor):
        output = next(iter(output.values())) if isinstance(output, dict) else output[0]
    return "×".join(map(str, output.shape[1:]))


@torch.inference_mode()
def layer_table(
    model: MultiTaskModel,
    sizes: dict,  # task -> (height, width) of its images
) -> (
    pd.DataFrame
):  # part (trunk or a task), layer, kind, output, parameters; the trunk's outputs are those of the first task
    """Layers in the order of computation, with the shape of one image's output (channels × height ×
    width) and the number of parameters.
    """
    rows, hooks = [], []
    for part, module in {"trunk": model.backbone, **model.heads}.items():
        for name, layer in _parts(module, ""):
            rows.append(
                dict(
                    part=part,
                    layer=name.removeprefix("backbone.").removeprefix("backbones."),
                    kind=_kind(layer),
                    output="",
                    parameters=sum(p.numel() for p in layer.parameters()),
                )
            )
            hooks.append(
                layer.register_forward_hook(lambda m, i, o, row=rows[-1]: row.update(output=row["output"] or _shape(o)))
            )
    training = model.training
    model.eval()
    try:
        for task in model.tasks:
            model(torch.zeros(1, 3, *sizes[task]), task=task)
    finally:
        for h in hooks:
            h.remove()
        model.train(training)
    return pd.DataFrame(rows)


def _kind(layer):
    if isinstance(layer, nn.Sequential) and len(layer) and hasattr(layer[0], "conv2"):
        return f"{len(layer)} {'bottlenecks' if hasattr(layer[0], 'conv3') else 'basic blocks'}"
    convolution = next((m for m in layer.modules() if isinstance(m, (nn.Conv2d, nn.Linear))), None)
    if isinstance(convolution, nn.Conv2d) and sum(isinstance(m, nn.Conv2d) for m in layer.modules()) == 1:
        return f"{convolution.kernel_size[0]}×{convolution.kernel_size[1]} convolution"
    if isinstance(layer, (nn.Linear, nn.Sequential)) and isinstance(convolution, nn.Linear):
        return "fully connected"
    return {
        "FeaturePyramidNetwork": "feature pyramid",
        "DecoderBlock": "up, skip, 2 convolutions"
        if getattr(layer, "lateral", None) is not None
        else "up, 2 convolutions",
        "CrossStitchUnit": "mixing",
        "Mask": "mask",
        "LayerNorm": "normalisation",
        "MultiheadAttention": "attention",
        "RPNHead": "proposals",
        "Tower": "convolutions of each level",
        "BoxLayer": "distances, quality",
        "TwoMLPHead": "2 fully connected",
        "FastRCNNPredictor": "classes and boxes",
    }.get(type(layer).__name__, type(layer).__name__)


def run_model(results_dir: str | Path) -> tuple:  # (config, model)
    """The network of a run, instantiated from its config.json with random weights; raises
    `UserError` when the file is missing.
    """
    config = run_config(results_dir)
    with torch.random.fork_rng():
        return config, model_from_config(config.replace(pretrained="false"))


def _size_text(size):
    return f"{size[0]}×{size[1]}"


def figure_6_resnet50_architecture(results_dir: str | Path) -> Figure:  # reads config.json
    "The network layer by layer: kind, shape of the output for the run's images, parameters."
    config, model = run_model(results_dir)
    table = layer_table(model, {t: config.image_size_of(t) for t in model.tasks})
    fig = Figure(figsize=(WIDTH, 0.7 + 0.155 * (len(table) + 1.2 * table["part"].nunique())))
    text, bars = fig.subplots(1, 2, width_ratios=[3.2, 1], sharey=True)
    colours = part_colours()
    second = 0.32 if table["layer"].str.len().max() < 20 else 0.44  # where the second column begins
    y = 0
    for part, rows in table.groupby("part", sort=False):
        task = config.tasks[0] if part == "trunk" else part
        title = f"trunk, {config.backbone_name}" if part == "trunk" else TASKS[part].title
        text.text(
            0,
            y,
            f"{title} (images 3×{_size_text(config.image_size_of(task))}): {rows['parameters'].sum() / 1e6:.2f} M",
            color=colours[part] if part != "trunk" else "#444444",
            fontweight="bold",
            fontsize=6,
            va="center",
        )
        for row in rows.itertuples():
            y += 1
            for x, words in ((0.02, row.layer), (second, row.kind), (0.99, row.output)):
                text.text(x, y, words, fontsize=5.5, va="center", ha="right" if x > 0.9 else "left")
            bars.barh(y, row.parameters / 1e6, color=colours[part], height=0.75)
            bars.text(
                row.parameters / 1e6,
                y,
                f" {row.parameters / 1e6:.2f}" if row.parameters >= 5000 else " <0.01",
                fontsize=5.5,
                va="center",
            )
        y += 1.4
    text.set(xlim=(0, 1), ylim=(y - 0.8, -0.8))
    text.axis("off")
    bars.set(xlabel="parameters\n(millions, M)", xlim=(0, 1.6 * table["parameters"].max() / 1e6))
    bars.tick_params(axis="y", length=0, labelleft=False)
    bars.grid(axis="y", visible=False)
    return fig


def stages_read(model: MultiTaskModel) -> dict:  # task -> names of the stages, c2 … c5
    "Which stages of the trunk each head looks at, found by asking for gradients of its output."
    training, found = model.training, {}
    model.eval()
    images = torch.zeros(1, 3, 64, 96)
    with torch.no_grad():
        each = model.backbone.forward_all(images)
    for task, features in each.items():
        features = {k: f.detach().requires_grad_() for k, f in features.items()}
        output = model.heads[task](features, tuple(images.shape[-2:]))
        tensor = output["objectness"] if isinstance(output, dict) else output
        gradients = torch.autograd.grad(tensor.sum(), list(features.values()), allow_unused=True)
        found[task] = [k for k, g in zip(features, gradients) if g is not None]
    model.train(training)
    return found


def _box(ax, x, y, words, colour, width, height=0.62):
    "A filled box with words in it, centre at (x, y)."
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.06",
            fc=colour,
            ec="#444444",
            lw=0.5,
            zorder=3,
        )
    )
    ax.text(x, y, words, ha="center", va="center", fontsize=5.5, zorder=4, linespacing=1.25)


def _light(colour):
    return tuple(0.35 * v + 0.65 for v in to_rgb(colour))


def _millions(module: nn.Module) -> str:
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.2f} M"


def architecture_diagram(results_dir: str | Path) -> Figure:  # reads config.json
    """Inputs of every task, the shared trunk with its stages, and the heads with what they read,
    give and weigh.
    """
    config, model = run_model(results_dir)
    fig = Figure(figsize=(WIDTH, 2.9))
    ax = fig.subplots()
    ax.set(xlim=(0, 5), ylim=(-0.62, 3.9))
    ax.axis("off")
    columns = {t: 5 * (k + 0.5) / len(model.tasks) for k, t in enumerate(model.tasks)}
    _draw_inputs(ax, config, columns)
    stages = _draw_trunk(ax, config, model)
    _draw_heads(ax, config, model, columns, stages)
    ax.text(2.5, -0.55, f"{_millions(model)} parameters in all", ha="center", fontsize=6)
    return fig


def _draw_inputs(ax, config, columns: dict):  # task -> x
    "The images of each task, with an arrow into the trunk."
    for task, x in columns.items():
        title = f"{TASKS[task].title}\nimage 3×{_size_text(config.image_size_of(task))}"
        colour = TASKS[task].colour
        _box(ax, x, 3.5, title, _light(colour), 1.55)
        bend = "arc3,rad=0.12" if x > 1 else None
        arrow = dict(arrowstyle="->", color=colour, lw=1, connectionstyle=bend)
        ax.annotate("", (0.5, 2.36), (x, 3.17), arrowprops=arrow)


def _draw_trunk(ax, config, model) -> dict:  # stage -> x
    "The stages of the trunk from left to right, and its name above them."
    resnets = [module for module in model.backbone.modules() if isinstance(module, Backbone)]
    stages = {"stem": resnets[0].stem, **dict(zip(STRIDES, resnets[0].stages()))}
    places = {name: k + 0.5 for k, name in enumerate(stages)}
    arrow = dict(arrowstyle="->", lw=0.8, shrinkA=0, shrinkB=0, mutation_scale=6)
    for name, module in stages.items():
        about = f"stem, stride 4\n{_millions(module)}"
        if name != "stem":
            channels = model.backbone.channels[name]
            about = f"{name}, stride {STRIDES[name]}\n{channels} channels\n{_millions(module)}"
        _box(ax, places[name], 2, about, "#e3e3e3", 0.86, 0.7)
        if name != "c5":
            ax.annotate("", (places[name] + 0.58, 2), (places[name] + 0.42, 2), arrowprops=arrow)
    trunk = "shared trunk" if type(model.backbone) is HardSharing else f"{config.sharing} trunk, {len(resnets)} ×"
    title = f"{trunk} {config.backbone_name}: {_millions(model.backbone)} parameters"
    ax.text(2.5, 2.47, title, ha="center", fontsize=6, zorder=5, bbox=dict(fc="white", ec="none", pad=0.6))
    return places


def _draw_heads(ax, config, model, columns: dict, stages: dict):  # task -> x; stage -> x
    "The heads, with lines to the stages that they read."
    sizes = {task: config.image_size_of(task) for task in model.tasks}
    outputs = layer_table(model, sizes).groupby("part")["output"].last()
    reads = stages_read(model)
    for task, x in columns.items():
        colour = TASKS[task].colour
        for k, stage in enumerate(reads[task]):
            foot = x + 0.14 * (k - (len(reads[task]) - 1) / 2)
            ax.plot([stages[stage], foot], [1.65, 0.45], color=colour, lw=1.2)
        gives = TASKS[task].output or outputs[task]
        about = f"{task} head\n{_millions(model.heads[task])} parameters\n→ {gives}"
        _box(ax, x, 0.05, about, _light(colour), 1.55, 0.8)
