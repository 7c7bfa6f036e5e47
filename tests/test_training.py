"""The loop: the same digits again, after a kill, in two processes; what it refuses."""

import os, re, signal, subprocess, sys, time
import pandas as pd, pytest, torch
from lightning_fabric.plugins.precision import MixedPrecision
import mtl_course.models.backbone as backbone, mtl_course.training.setup as setup
from mtl_course.core.errors import UserError
from mtl_course.core.seeds import derive_seed, seed_everything
from mtl_course.config import Config, make_config
from mtl_course.data.loaders import create_dataloaders, training_loader
from mtl_course.models import model_from_config
from mtl_course.models.checkpoint import read_checkpoint
from mtl_course.losses import make_balancer
from mtl_course.training.distributed import start_fabric
from mtl_course.training.loop import train
from mtl_course.training.optimizer import learning_rate_factor, make_optimizer
from mtl_course.training.run_folder import config_to_resume
from mtl_course.training.state import TrainState, create_train_state
from mtl_course.training.steps import compute_gradients, evaluate_losses, train_step
from training_examples import log_of

SHORT = dict(steps_per_epoch=6, epochs=2, checkpoint_every=2, classification_batch_size=8)


@pytest.fixture(scope="module")
def whole(smoke, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(make_config("smoke", results_dir=str(folder), **SHORT), progress=False)
    return folder


def same_weights(a, b):
    a, b = (read_checkpoint(f / "checkpoints" / "last.pt")["model"] for f in (a, b))
    return all(torch.equal(a[k], b[k]) for k in a)


def test_the_same_seed_gives_the_same_digits(whole, tmp_path):
    train(make_config("smoke", results_dir=str(tmp_path), **SHORT | dict(num_workers=1)), progress=False)
    pd.testing.assert_frame_equal(log_of(whole), log_of(tmp_path), check_exact=True)
    assert same_weights(whole, tmp_path)


def test_another_seed_gives_others(whole, tmp_path):
    train(
        make_config("smoke", results_dir=str(tmp_path), seed=1, **SHORT | dict(epochs=1, steps_per_epoch=1)),
        progress=False,
    )
    assert log_of(tmp_path).loss[0] != log_of(whole).loss[0]


@pytest.mark.parametrize("after_step", [1, 5, 9])
def test_killed_and_resumed_equals_uninterrupted(whole, tmp_path, after_step):
    options = [f"--{k}={v}" for k, v in SHORT.items()] + [
        "--recipe",
        "smoke",
        "--results_dir",
        str(tmp_path),
        "--no_test",
    ]
    code = "import sys; from mtl_course.cli.train import mtl_train\nif __name__ == '__main__': mtl_train()"
    script = tmp_path / "run.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, str(script), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ
    )
    csv = tmp_path / "logs" / "training.csv"
    for _ in range(3000):
        if csv.exists() and f"\nstep,{1 + (after_step > 6)},{after_step}," in csv.read_text():
            break
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([sys.executable, str(script), "--resume", *options], check=True, stdout=subprocess.DEVNULL)
    pd.testing.assert_frame_equal(log_of(whole), log_of(tmp_path), check_exact=True)
    assert same_weights(whole, tmp_path)
    assert not list(tmp_path.rglob("*.tmp*"))


def test_a_kill_between_the_two_checkpoints_costs_nothing(whole, tmp_path, monkeypatch):
    "The best model is saved before `last.pt`: a stop in between repeats the epoch."
    config = make_config("smoke", results_dir=str(tmp_path), **SHORT)

    def save(run, path, real=TrainState.save):
        if path.name == "last.pt" and run.epoch == 1:
            raise KeyboardInterrupt
        real(run, path)

    with monkeypatch.context() as m:
        m.setattr(TrainState, "save", save)
        with pytest.raises(KeyboardInterrupt):
            train(config, progress=False)
    train(config, resume=True, progress=False)
    pd.testing.assert_frame_equal(log_of(whole), log_of(tmp_path), check_exact=True)
    best = [read_checkpoint(f / "checkpoints" / "model_best.pt") for f in (whole, tmp_path)]
    assert best[0]["epoch"] == best[1]["epoch"] and all(
        torch.equal(v, best[1]["model"][k]) for k, v in best[0]["model"].items()
    )


LANE = dict(tasks="lane", steps_per_epoch=2, epochs=2)


def lane_run(folder, resume=False, overwrite=False, **options):
    config = make_config("smoke", results_dir=str(folder), **LANE | options)
    return train(config, resume=resume, progress=False, overwrite=overwrite)


@pytest.mark.parametrize("where", ["prepare_data", "make_loaders", "create_train_state"])
def test_a_run_killed_while_it_is_prepared_resumes_as_itself(smoke, tmp_path, monkeypatch, where):
    "There is no other run in the folder whose checkpoints would be meant."
    lane_run(tmp_path / "alone", seed=1)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        if where == "prepare_data":
            train(
                make_config("smoke", results_dir=str(tmp_path / "both"), seed=1, **LANE), progress=False, prepare=killed
            )
        else:
            m.setattr(setup, where, killed)
            lane_run(tmp_path / "both", seed=1)
    asked = config_to_resume(tmp_path / "both")
    assert Config.load(asked).seed == 1
    with pytest.warns(UserWarning, match="begins at step 0"):
        train(Config.load(asked), resume=True, progress=False)
    pd.testing.assert_frame_equal(log_of(tmp_path / "both"), log_of(tmp_path / "alone"), check_exact=True)
    assert (
        same_weights(tmp_path / "both", tmp_path / "alone") and Config.load(tmp_path / "both" / "config.json").seed == 1
    )
    assert not (tmp_path / "both" / ".next").exists()


def test_a_mistake_in_preparation_leaves_the_earlier_run(smoke, tmp_path):
    lane_run(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match="lane_limit"):
        lane_run(tmp_path, overwrite=True, lane_limit=10**6)
    with pytest.raises(UserError, match="no such folder"):
        lane_run(tmp_path, overwrite=True, data_root=str(tmp_path / "nowhere"))
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_resuming_without_a_checkpoint_says_that_it_begins(smoke, tmp_path):
    with pytest.warns(UserWarning, match="no checkpoint to go on from") as said:
        run = lane_run(tmp_path, resume=True, epochs=1)
    assert run.step == 2 and "\n" not in str(said[0].message) and (tmp_path / "checkpoints" / "last.pt").exists()


def test_resuming_uses_the_best_model_if_only_that_is_left(smoke, tmp_path):
    lane_run(tmp_path)
    weights = read_checkpoint(tmp_path / "checkpoints" / "last.pt")["model"]
    best = read_checkpoint(tmp_path / "checkpoints" / "model_best.pt")["epoch"]
    log = log_of(tmp_path)
    (tmp_path / "checkpoints" / "last.pt").unlink()
    with pytest.warns(UserWarning, match="goes on from model_best.pt"):
        run = lane_run(tmp_path, resume=True)
    assert (
        run.epoch == 2 >= best
        and "resumed at step " + str(2 * best) in (tmp_path / "logs" / "training.log").read_text()
    )
    pd.testing.assert_frame_equal(log, log_of(tmp_path), check_exact=True)
    assert best == 2 or all(torch.equal(v, weights[k]) for k, v in run.model.state_dict().items())


def test_the_logs_tell_each_epochs_losses_and_time(whole):
    log, lines = (
        pd.read_csv(whole / "logs" / "training.csv"),
        (whole / "logs" / "training.log").read_text().splitlines(),
    )
    means, steps = log[log.kind == "epoch_mean"], log[log.kind == "step"]
    assert (
        len(means) == 6
        and means.metric.isna().all()
        and set(log[log.kind == "epoch"].metric.dropna()) >= {"accuracy", "map50", "iou"}
    )
    for row in means.itertuples():
        own = steps[(steps.epoch == row.epoch) & (steps.task == row.task)]
        assert (
            row.loss == pytest.approx(own.loss.mean())
            and row.step == own.step.max()
            and row.weight == pytest.approx(own.weight.mean())
        )
        images = 8 + 2 + 2  # of one step
        assert row.seconds == pytest.approx(
            (images / own.images_per_second).sum(), rel=0.01
        ) and row.images_per_second == pytest.approx(6 * images / row.seconds, rel=0.01)
    epochs = [line for line in lines if "epoch " in line and " of 2: loss classification " in line]
    assert len(epochs) == 2 and all(
        re.search(
            r"detection \d+\.\d{3}, lane \d+\.\d{3} · \d+ s, \d+ images/s"
            r" · validation classification accuracy \d\.\d{3}",
            e,
        )
        for e in epochs
    )
    assert re.search(rf"finished after \d+\.\d minutes · best epoch [12] of 2 · results in {whole}$", lines[-1])


def test_an_epoch_without_validation_is_logged_too(smoke, tmp_path):
    lane_run(tmp_path, evaluate_every=2)
    log, text = pd.read_csv(tmp_path / "logs" / "training.csv"), (tmp_path / "logs" / "training.log").read_text()
    assert log[log.kind == "epoch_mean"].epoch.tolist() == [1, 2] and set(log[log.kind == "epoch"].epoch) == {2}
    assert "epoch 1 of 2: loss lane" in text and text.count("validation") == 1


@pytest.mark.parametrize("gpus, restored", [(2, True), (1, False), (0, False)])
def test_the_random_states_of_gpus_come_back(smoke, tmp_path, monkeypatch, gpus, restored):
    states, got = [torch.arange(16, dtype=torch.uint8), torch.ones(16, dtype=torch.uint8)], []
    _, run, _ = begun(tasks="lane")
    with monkeypatch.context() as m:
        m.setattr(torch.cuda, "is_available", lambda: True)
        m.setattr(torch.cuda, "get_rng_state_all", lambda: states)
        saved = run.state_dict()
    torch.save(saved, tmp_path / "last.pt")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", got.extend)
    run.load(tmp_path / "last.pt")
    assert len(got) == 2 * restored and all(torch.equal(a, b) for a, b in zip(got, states))


def test_streamed_gradient_is_the_gradient_of_the_sum(smoke):
    config = make_config(
        "smoke", precision="32-true", lane_weight=30.0, cache_images=False, classification_batch_size=4
    )
    model, batch = model_from_config(config).eval(), next(iter(create_dataloaders(config)[0]))
    head = model.heads["detection"]
    head.rpn.fg_bg_sampler.batch_size_per_image = head.roi.fg_bg_sampler.batch_size_per_image = 10**6
    fabric = start_fabric(config)
    compute_gradients(fabric, model, batch)
    streamed = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    model.compute_loss(model(batch["images"]), batch).backward()
    for n, p in model.named_parameters():
        assert (p.grad - streamed[n]).norm() <= 1e-4 * p.grad.norm() + 1e-7, n


def test_a_loss_that_is_not_a_number_names_task_and_files(smoke):
    config = make_config("smoke", precision="32-true", tasks="lane", cache_images=False)
    model, batch = model_from_config(config), next(iter(create_dataloaders(config)[0]))
    batch["images"]["lane"][0, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match=f"'lane' is nan.*{batch['files']['lane'][0]}"):
        compute_gradients(start_fabric(config), model, batch)


def begun(**options):
    "The state of a run before its first step, and a batch."
    config = make_config("smoke", precision="32-true", cache_images=False, **options)
    fabric = start_fabric(config)
    loader = training_loader(config)
    seed_everything(config.seed)  # the same weights whichever tests came before
    state = create_train_state(fabric, config, loader)
    state.model.train()
    return fabric, state, next(iter(loader))


def test_a_loss_that_is_not_a_number_names_the_step(smoke):
    fabric, run, batch = begun(tasks="lane")
    train_step(fabric, run, batch)
    run.step += 1
    batch["images"]["lane"][0, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match=f"^step 2: .*'lane' is nan.*{batch['files']['lane'][0]}"):
        train_step(fabric, run, batch)


@pytest.mark.parametrize("balancer", ["fixed", "uncertainty", "mgda", "upgrad"])
def test_what_a_balancer_leaves_is_clipped(smoke, balancer):
    fabric, run, batch = begun(tasks="classification,lane", balancer=balancer, gradient_clip=0.01)
    kept = []
    run.optimizer.register_step_pre_hook(
        lambda *_: kept.append(
            torch.stack([p.grad.norm() for p in run.model.parameters() if p.grad is not None]).norm().item()
        )
    )
    train_step(fabric, run, batch)
    assert kept == [pytest.approx(0.01, rel=1e-3)]


def test_a_second_look_draws_the_same_and_leaves_no_trace(smoke):
    "FAMO compares the losses before and after a step: only the weights may differ between the two."
    fabric, run, batch = begun(balancer="famo", learning_rate=1e-12, weight_decay=0.0)
    seen = []
    run.balancer.after_step = seen.append
    step = train_step(fabric, run, batch)
    assert seen[0] == pytest.approx(step.losses, rel=1e-5)  # the weights have hardly moved
    before = [b.clone() for b in run.model.buffers()]
    again = evaluate_losses(fabric, run.model, batch, derive_seed(run.config.seed, run.step, 0) + 1)
    assert abs(again["classification"] - step.losses["classification"]) > 1e-4  # other dropout masks
    assert all(torch.equal(a, b) for a, b in zip(before, run.model.buffers()))


def test_methods_that_draw_lots_draw_others_for_another_seed(smoke):
    first, second, same = (begun(balancer="random", seed=s)[1].balancer for s in (0, 1, 0))
    weights = []
    for b in (first, second, same):
        assert b.finish(dict.fromkeys(b.tasks, 1.0))
        weights.append([float(b.weight(t, torch.tensor(1.0))) for t in b.tasks])
    assert weights[0] == weights[2] != weights[1]
    chosen = begun(balancer="random", balancer_options="seed=7", seed=1)[1].balancer
    assert torch.equal(
        chosen.generator.get_state(), make_balancer("random", chosen.tasks, seed=7).generator.get_state()
    )


@pytest.mark.parametrize("balancer", ["fixed", "gradnorm", "geometric_mean", "famo", "mgda", "upgrad"])
def test_a_task_whose_weight_is_0_takes_no_part_in_the_step(smoke, balancer):
    # seed 2: MGDA's shortest mixture may leave a task out, and does so with the weights of seed 0
    fabric, run, batch = begun(balancer=balancer, weight_schedule="lane=0>1@0.5-1", seed=2)
    before = {n: p.detach().clone() for n, p in run.model.heads["lane"].named_parameters()}
    step = train_step(fabric, run, batch, progress=0.2)
    assert set(step.losses) == {"classification", "detection"} and all(w > 0 for w in step.weights.values())
    assert all(torch.equal(p, before[n]) for n, p in run.model.heads["lane"].named_parameters())
    assert set(train_step(fabric, run, batch, progress=0.75).losses) == {"classification", "detection", "lane"}


@pytest.mark.parametrize(
    "balancer", ["fixed", "uncertainty", "geometric_mean", "famo", "gradnorm", "mgda", "imtl_g", "upgrad"]
)
def test_a_schedule_comes_after_the_balancer(smoke, balancer):
    "On the loss it would be undone by most of them."
    steps = [train_step(*begun(balancer=balancer, weight_schedule=text), progress=1.0) for text in ("", "lane=1>30")]
    plain, scheduled = (s.weights for s in steps)
    assert scheduled["lane"] == pytest.approx(30 * plain["lane"], rel=1e-3) and scheduled["detection"] == pytest.approx(
        plain["detection"], rel=1e-3
    )
    assert steps[0].losses == pytest.approx(steps[1].losses)


def test_resuming_with_another_config_is_refused(whole):
    with pytest.raises(UserError, match="learning_rate"):
        train(make_config("smoke", results_dir=str(whole), learning_rate=0.5, **SHORT), resume=True, progress=False)
    with pytest.raises(UserError, match="architecture"):
        train(make_config("smoke", results_dir=str(whole), neck_channels=32, **SHORT), resume=True, progress=False)
    assert Config.load(whole / "config.json") == make_config(
        "smoke", results_dir=str(whole), **SHORT
    )  # a refused run leaves no trace


def test_resuming_needs_no_imagenet_weights(smoke, tmp_path, monkeypatch):
    "With pretrained=require they are demanded for a new run only: a checkpoint brings weights."
    short = dict(results_dir=str(tmp_path), tasks="lane", steps_per_epoch=1, epochs=1)
    train(make_config("smoke", **short), progress=False)

    def unreachable(name, wanted):
        if wanted != "false":
            raise UserError("ImageNet weights cannot be had")

    monkeypatch.setattr(backbone, "imagenet_weights", unreachable)
    config = make_config("smoke", pretrained="require", **short)
    run = train(config, resume=True, progress=False)
    assert run.step == 1 and run.config == config and run.precision is not None
    with pytest.raises(UserError, match="cannot be had"):
        train(config, progress=False, overwrite=True)


def test_the_factor_of_float16_losses_is_resumed(smoke, tmp_path):
    "The factor adapts; without it a resumed run would start at 65536 again."
    config = make_config("smoke", tasks="lane", precision="16-mixed")

    def run():
        model = model_from_config(config)
        plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
        plugin.scaler.scale(torch.ones(1))  # creates its tensors
        return TrainState(
            config, model, *make_optimizer(model, config, 10), make_balancer("fixed", config.tasks), precision=plugin
        )

    first, second = run(), run()
    first.precision.scaler.load_state_dict(first.precision.scaler.state_dict() | {"scale": 512.0, "_growth_tracker": 7})
    first.save(tmp_path / "last.pt")
    second.load(tmp_path / "last.pt")
    assert (
        second.precision.scaler.get_scale() == 512.0 and second.precision.state_dict() == first.precision.state_dict()
    )
    without = TrainState(config, first.model, first.optimizer, first.scheduler, first.balancer)
    without.load(tmp_path / "last.pt")
    without.save(tmp_path / "plain.pt")
    second.load(tmp_path / "plain.pt")  # one without the factor can be read, too


def test_the_checkpoint_holds_what_it_should(whole):
    best, last = (read_checkpoint(whole / "checkpoints" / f"{n}.pt") for n in ("model_best", "last"))
    assert (
        {"model", "optimizer", "scheduler", "random", "epoch", "step", "config"} <= set(best)
        and last["step"] == 12
        and last["epoch"] == 2
    )
    log = log_of(whole)
    headline = dict(classification="accuracy", detection="map50", lane="iou")
    scores = log[(log.kind == "epoch") & (log.metric == log.task.map(headline))]
    first, second = scores.groupby("epoch").value.sum()
    assert best["epoch"] == 1 + (second > first)


def test_the_learning_rate_rises_and_falls():
    f = [learning_rate_factor(s, 100, 10) for s in range(101)]
    assert (
        f[0] == 0.1
        and f[9] == f[10] == 1.0
        and abs(f[55] - 0.5) < 1e-9
        and f[100] < 1e-12
        and all(a >= b for a, b in zip(f[10:], f[11:]))
    )
    assert learning_rate_factor(77, 100, 0, "constant") == 1.0


def test_a_single_task_baseline_trains_by_the_same_code(smoke, tmp_path):
    run = train(
        make_config("smoke", results_dir=str(tmp_path), tasks="lane", steps_per_epoch=2, epochs=1), progress=False
    )
    assert list(run.model.heads) == ["lane"] and set(log_of(tmp_path).task) == {"lane"}
