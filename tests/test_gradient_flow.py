"""The gradient log: against gradients by hand, changing nothing, continued; and its figure."""

import math
import pandas as pd, pytest, torch
from hypothesis import given, settings, strategies as st
from torch import nn
import mtl_course.training.steps as training
from mtl_course.core.errors import UserError
from mtl_course.config import make_config
from mtl_course.plots.catalogue import FIGURES
from mtl_course.plots.gradients import figure_11_gradient_flow
from mtl_course.training.gradients import (
    GRADIENT_COLUMNS,
    GradientLog,
    sum_gramians,
    read_gradients,
    rows_up_to,
    task_cosines,
    task_norms,
    task_shares,
    backbone_layers,
)
from mtl_course.losses import BALANCERS, make_balancer, streamed_backward
from mtl_course.models.backbone import Backbone
from mtl_course.models.checkpoint import read_checkpoint
from mtl_course.models.multi_task_model import MultiTaskModel
from mtl_course.training.loop import train

SHORT = dict(steps_per_epoch=4, epochs=2, num_workers=0, tasks="classification,lane", classification_batch_size=8)


class Small(nn.Module):
    "A backbone of two stages with BatchNorm, three linear heads, fixed weights 1, 5 and 0.5."

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.backbone = nn.ModuleDict(
            dict(
                stem=nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()),
                layer1=nn.Sequential(nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4)),
            )
        )
        self.heads = nn.ModuleDict({t: nn.Linear(4, 2) for t in "abc"})
        self.task_weights = dict(a=1.0, b=5.0, c=0.5)
        self.images, self.targets = {t: torch.randn(4, 3, 8, 8) for t in "abc"}, {t: torch.randn(4, 2) for t in "abc"}

    def shared_parameters(self):
        return list(self.backbone.parameters())

    def raw(self, t):
        return (
            (
                self.heads[t](self.backbone["layer1"](self.backbone["stem"](self.images[t])).mean((2, 3)))
                - self.targets[t]
            )
            .square()
            .mean()
        )

    def closures(self, tasks="abc"):
        return {t: (lambda t=t: self.task_weights[t] * self.raw(t)) for t in tasks}


def recorded(
    tmp_path,
    balancer="fixed",
    tasks="abc",
    optimizer=lambda p: torch.optim.SGD(p, 0.1),
    scale=1.0,
    clip=None,
    weights=None,
):
    "One recorded step of `Small`; returns model, step, the table, and the weights before."
    model = Small()
    model.task_weights |= weights or {}
    old = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer, log = optimizer(model.parameters()), GradientLog(tmp_path, every=1)
    step = streamed_backward(
        model.shared_parameters(),
        model.closures(tasks),
        make_balancer(balancer, "abc"),
        lambda l: (scale * l).backward(),
        loss_scale=scale,
        record=True,
    )
    log.before_step(model, step, scale)
    for p in model.parameters():
        if p.grad is not None:
            p.grad /= scale
    if clip:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    log.after_step(1)
    return model, step, read_gradients(tmp_path), old


def by_hand(tasks="abc"):  # task -> parameter's name -> gradient of the unweighted loss
    "Gradients of a fresh copy of the model."
    model = Small()
    names = [n for n, _ in model.backbone.named_parameters()]
    return {t: dict(zip(names, torch.autograd.grad(model.raw(t), list(model.backbone.parameters())))) for t in tasks}


def flat(gradients, prefix=""):
    return torch.cat([g.reshape(-1) for n, g in gradients.items() if n.startswith(prefix)]).double()


def cell(table, column, **where):
    rows = table
    for k, v in where.items():
        rows = rows[rows[k].isna()] if v is None else rows[rows[k] == v]
    assert len(rows) == 1, (where, len(rows))
    return rows[column].item()


@pytest.mark.parametrize("balancer", ["fixed", "uncertainty", "imtl_l", "mgda", "upgrad"])
@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_every_number_agrees_with_gradients_taken_by_hand(tmp_path, balancer, scale):
    model, step, table, _ = recorded(tmp_path, balancer, scale=scale)
    hand, total = by_hand(), {t: model.task_weights[t] * step.weights[t] for t in "abc"}
    close = dict(rel=2e-3, abs=1e-6)
    for layer, prefix in {
        "stem.0": "stem.0.",
        "stem.1": "stem.1.",
        "layer1.0": "layer1.0.",
        "layer1.1": "layer1.1.",
    }.items():
        update = sum(total[t] * flat(hand[t], prefix) for t in "abc")
        assert cell(table, "norm", layer=layer, task="all") == pytest.approx(update.norm().item(), **close)
        for t in "abc":
            g = flat(hand[t], prefix)
            assert cell(table, "norm", layer=layer, task=t) == pytest.approx(g.norm().item(), **close)
            assert cell(table, "share", layer=layer, task=t) == pytest.approx(
                (total[t] * g @ update / update.square().sum()).item(), rel=1e-2, abs=1e-3
            )
    fresh = Small()
    heads = []
    for t in "abc":
        gradients = torch.autograd.grad(fresh.raw(t), list(fresh.heads[t].parameters()))
        weight = model.task_weights[t] * (step.weights[t] if BALANCERS[balancer].needs == "losses" else 1)
        heads.append(weight * torch.cat([g.reshape(-1) for g in gradients]))
    update = sum(total[t] * flat(hand[t]) for t in "abc")
    assert cell(table, "norm", stage="network") == pytest.approx(torch.cat([update, *heads]).norm().item(), rel=2e-3)
    for stage, prefix in {"stem": "stem.", "layer1": "layer1.", "trunk": ""}.items():
        for a, b in ("ab", "ac", "bc"):
            x, y = flat(hand[a], prefix), flat(hand[b], prefix)
            assert cell(table, "cosine", stage=stage, layer=None, task=f"{a}+{b}") == pytest.approx(
                (x @ y / x.norm() / y.norm()).item(), rel=2e-3, abs=1e-4
            )


def test_places_are_layers_in_network_order_then_stages(tmp_path):
    table = recorded(tmp_path)[2]
    assert table.dropna(subset="layer").drop_duplicates("layer")[
        ["layer", "depth", "stage", "kind"]
    ].values.tolist() == [
        ["stem.0", 0, "stem", "conv"],
        ["stem.1", 1, "stem", "norm"],
        ["layer1.0", 2, "layer1", "conv"],
        ["layer1.1", 3, "layer1", "norm"],
    ]
    assert table[table.layer.isna()].stage.unique().tolist() == ["stem", "layer1", "trunk", "network"] and list(
        table
    ) == list(GRADIENT_COLUMNS)


def test_norms_are_before_clipping_and_ratios_after(tmp_path):
    (tmp_path / "free").mkdir()
    (tmp_path / "cut").mkdir()
    model, _, free, old = recorded(tmp_path / "free")
    clipped, _, cut, _ = recorded(tmp_path / "cut", clip=1e-3)
    pd.testing.assert_frame_equal(free[["task", "norm", "share", "cosine"]], cut[["task", "norm", "share", "cosine"]])
    for m, table in ((model, free), (clipped, cut)):
        new = {n: p.detach() for n, p in m.backbone.named_parameters()}
        moved, length = (
            flat({n: new[n] - old[f"backbone.{n}"] for n in new}).norm(),
            flat({n: old[f"backbone.{n}"] for n in new}).norm(),
        )
        assert cell(table, "ratio", stage="trunk", task="all") == pytest.approx((moved / length).item(), rel=2e-3)
    network = cell(free, "norm", stage="network", task="all")
    fresh = Small()
    sum(w * fresh.raw(t) for t, w in fresh.task_weights.items()).backward()
    assert network == pytest.approx(torch.cat([p.grad.reshape(-1) for p in fresh.parameters()]).norm().item(), rel=2e-3)
    assert cell(cut, "ratio", stage="trunk", task="all") < 0.1 * 1e-3 < 0.1 * network


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.floats(-3, 3), min_size=4, max_size=4), min_size=1, max_size=5),
    st.lists(st.floats(0.01, 50), min_size=5, max_size=5),
)
def test_shares_add_up_to_one_and_cosines_ignore_lengths(rows, weights):
    J = torch.tensor(rows, dtype=torch.float64)
    w = torch.tensor(weights[: len(rows)], dtype=torch.float64)
    if (w @ J).norm() < 1e-3 * (w[:, None] * J).norm() or J.norm(dim=1).min() < 1e-3:
        return
    G = J @ J.T
    shares, d = task_shares(G, w), w @ J
    assert shares.sum().item() == pytest.approx(1)
    assert torch.allclose(shares, w * (J @ d) / (d @ d), atol=1e-6) and torch.allclose(task_norms(G), J.norm(dim=1))
    assert (
        torch.allclose(task_cosines(G), task_cosines(torch.outer(w, w) * G), atol=1e-9)
        and task_cosines(G).abs().max() <= 1 + 1e-9
    )


def test_a_stage_is_the_sum_of_its_parameters():
    layers = torch.randn(5, 3, 3).double()
    a, b = sum_gramians(layers, [[0, 2], [1, 3, 4]])
    assert torch.allclose(a, layers[0] + layers[2]) and torch.allclose(a + b, layers.sum(0))
    assert sum_gramians(layers, []).shape == (0, 3, 3)


def test_a_task_that_is_absent_or_weighs_nothing(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    two = recorded(tmp_path / "x", tasks="ac")[2]
    assert set(two.task) == {"a", "c", "all", "a+c"} and two[two.stage == "trunk"].share.sum() == pytest.approx(
        1, abs=1e-3
    )
    nothing = recorded(tmp_path / "y", weights=dict(c=0.0))[2]
    assert (
        math.isnan(cell(nothing, "norm", stage="trunk", task="c"))
        and cell(nothing, "share", stage="trunk", task="c") == 0
        and math.isnan(cell(nothing, "cosine", stage="trunk", task="a+c"))
    )


def test_a_balancer_without_weights_has_no_shares_but_norms(tmp_path):
    table = recorded(tmp_path, "graddrop")[2]
    assert (
        BALANCERS["graddrop"].needs == "gradients"
        and table.share.isna().all()
        and table[table.task == "a"].norm.notna().all()
        and table.ratio.notna().any()
    )


def test_an_overflow_leaves_empty_cells(tmp_path):
    model, log = Small(), GradientLog(tmp_path, every=1)
    step = streamed_backward(
        model.shared_parameters(),
        model.closures(),
        make_balancer("fixed", "abc"),
        lambda l: (math.inf * l).backward(),
        loss_scale=1024.0,
        record=True,
    )
    log.before_step(model, step, 1024.0)
    log.after_step(1)
    table = read_gradients(tmp_path)
    assert table[["norm", "share", "cosine"]].isna().all().all() and (table.ratio.dropna() == 0).all()


def test_a_frozen_backbone_has_no_layers_others_have_theirs():
    assert backbone_layers(Backbone("resnet18", frozen=True)) == []
    for sharing in ("hard", "cross_stitch", "attention", "mtan"):
        model = MultiTaskModel("resnet18", neck_channels=16, lane_channels=32, sharing=sharing)
        shared = model.shared_parameters()
        layers = backbone_layers(model.backbone, shared)
        places = sum((l.parameters for l in layers), [])
        assert sorted(places) == list(range(len(shared)))
        assert [l.depth for l in layers] == list(range(len(layers)))
        assert {"stem", "layer1", "layer4"} <= {l.stage for l in layers}
        names = {id(p): n for n, p in model.backbone.named_parameters()}
        for layer in layers:
            assert {names[id(shared[p])].rpartition(".")[0] for p in layer.parameters} == {layer.name}


def test_a_continued_log_keeps_whole_rows_up_to_the_step(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,task\n1,lane\n4,lane\nx,lane\n5,lane\n5\n7,lane\n")
    assert rows_up_to(path, ("step", "task"), 5) == [["1", "lane"], ["4", "lane"], ["5", "lane"]]
    assert rows_up_to(path, ("step", "task"), 0) == [] == rows_up_to(tmp_path / "none.csv", ("step", "task"), 5)


# ---- in the loop


def log_of(folder):
    return pd.read_csv(folder / "logs" / "training.csv")[
        ["kind", "epoch", "step", "task", "loss", "weight", "learning_rate", "metric", "value"]
    ]


def weights_of(folder):
    return read_checkpoint(folder / "checkpoints" / "last.pt")["model"]


@pytest.fixture(scope="module")
def watched(smoke, tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    train(
        make_config("smoke", results_dir=str(folder), gradient_log_every=3, checkpoint_every=2, **SHORT), progress=False
    )
    return folder


@pytest.mark.parametrize(
    "changes",
    [{}, dict(balancer="uncertainty", accumulate=2), dict(balancer="mgda")],
    ids=["fixed", "uncertainty in parts", "mgda"],
)
def test_recording_does_not_change_training(smoke, tmp_path, changes):
    short = SHORT | changes | dict(epochs=1)
    for name, every in (("plain", 0), ("watched", 2)):
        train(make_config("smoke", results_dir=str(tmp_path / name), gradient_log_every=every, **short), progress=False)
    pd.testing.assert_frame_equal(log_of(tmp_path / "plain"), log_of(tmp_path / "watched"), check_exact=True)
    a, b = weights_of(tmp_path / "plain"), weights_of(tmp_path / "watched")
    assert all(torch.equal(a[k], b[k]) for k in a) and not (tmp_path / "plain" / "logs" / "gradients.csv").exists()
    assert read_gradients(tmp_path / "watched").step.unique().tolist() == [1, 3]


def test_the_first_step_and_every_nth_are_recorded(watched):
    table = read_gradients(watched)
    assert table.step.unique().tolist() == [1, 4, 7]
    assert (table[table.stage == "trunk"].groupby("step").share.sum() - 1).abs().max() < 2e-3
    assert table.groupby("step").size().nunique() == 1 and table[table.stage == "network"].norm.notna().all()


@pytest.mark.parametrize("stop", [3, 6])
def test_a_resumed_run_writes_the_same_file(watched, tmp_path, monkeypatch, stop):
    config = make_config("smoke", results_dir=str(tmp_path), gradient_log_every=3, checkpoint_every=2, **SHORT)
    done = iter(range(99))

    def failing(*args, real=training.compute_gradients):
        if next(done) > stop:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as m:
        m.setattr(training, "compute_gradients", failing)
        with pytest.raises(KeyboardInterrupt):
            train(config, progress=False)
    with open(tmp_path / "logs" / "gradients.csv", "a") as f:
        f.write("8,stem,stem.co")  # cut in the middle of a row
    train(config, resume=True, progress=False)
    assert (tmp_path / "logs" / "gradients.csv").read_bytes() == (watched / "logs" / "gradients.csv").read_bytes()


def test_rows_of_another_run_go_away(smoke, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "gradients.csv").write_text("of an earlier run")
    train(make_config("smoke", results_dir=str(tmp_path), epochs=0), progress=False)
    assert not (tmp_path / "logs" / "gradients.csv").exists()


def test_a_process_that_is_not_the_first_writes_nothing(tmp_path):
    model, log = Small(), GradientLog(tmp_path, every=2, active=False)
    assert log.due(0) and not log.due(1) and log.due(2)  # but takes part in the averages
    step = streamed_backward(model.shared_parameters(), model.closures(), "fixed", record=True)
    log.before_step(model, step)
    log.after_step(1)
    assert not list(tmp_path.rglob("*.csv"))


# ---- the figure


def test_the_figure_is_drawn_from_the_file_alone(watched, tmp_path):
    assert FIGURES["figure_11_gradient_flow"] is figure_11_gradient_flow
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "gradients.csv").write_bytes((watched / "logs" / "gradients.csv").read_bytes())
    figure = figure_11_gradient_flow(tmp_path)
    figure.savefig(tmp_path / "figure.png")
    table = read_gradients(tmp_path)
    heat = figure.axes[0].collections[0].get_array()
    expected = (
        table[(table.kind == "conv") & (table.task == "classification")]
        .pivot(index="depth", columns="step", values="norm")
        .to_numpy()
    )
    assert heat.shape == expected.shape and abs(heat - expected).max() == 0 and figure.get_size_inches()[0] == 7
    assert figure.axes[0].get_title().replace("\n", " ") == "sign classification" and [
        t.get_text() for t in figure.axes[0].get_yticklabels()
    ] == ["stem", "layer1", "layer2", "layer3", "layer4"]


@pytest.mark.parametrize("tasks", [("classification",), ("lane", "all", "x")])
def test_the_figure_of_fewer_tasks(watched, tmp_path, tasks):
    table = read_gradients(watched)
    (tmp_path / "logs").mkdir()
    table[table.task.isin([*tasks, "all"])].to_csv(tmp_path / "logs" / "gradients.csv", index=False)
    figure_11_gradient_flow(tmp_path).savefig(tmp_path / "figure.png")


def test_missing_and_empty_files_are_told_in_one_sentence(watched, tmp_path):
    with pytest.raises(UserError, match="gradients.csv: no such file .*mtl_train --gradient_log_every 10"):
        figure_11_gradient_flow(tmp_path)
    (tmp_path / "logs").mkdir()
    path = tmp_path / "logs" / "gradients.csv"
    path.write_text(",".join(GRADIENT_COLUMNS) + "\n")
    with pytest.raises(UserError, match="no rows yet.*mtl_train"):
        figure_11_gradient_flow(tmp_path)
    table = read_gradients(watched)
    table[table.stage == "network"].to_csv(path, index=False)
    with pytest.raises(UserError, match="frozen"):
        figure_11_gradient_flow(tmp_path)
    path.write_text("step,task\n1,lane\n")
    with pytest.raises(UserError, match="column"):
        figure_11_gradient_flow(tmp_path)


def test_figure_11_falls_back_to_the_study(tmp_path):
    from mtl_course.core.files import project_root

    (tmp_path / "gradient_flow.csv").write_bytes((project_root() / "results" / "gradient_flow.csv").read_bytes())
    assert figure_11_gradient_flow(tmp_path).get_suptitle() == "weights 1/1/1 in benchmarks/gradient_flow.py"
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "gradients.csv").write_text("")  # a run's own, though broken, is not passed over
    with pytest.raises(UserError, match="gradients.csv"):
        figure_11_gradient_flow(tmp_path)
