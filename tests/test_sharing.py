"""Every way of sharing behind one interface: shapes, gradients, checkpoints, freezing."""

import copy
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

import mtl_course.models.backbone as backbone_module
from mtl_course.config import TASKS, make_config
from mtl_course.core.errors import UserError
from mtl_course.losses import make_balancer, streamed_backward
from mtl_course.models import MultiTaskModel, load_model, model_from_config
from mtl_course.models.backbone import Backbone, TaskBatchNorm2d
from mtl_course.models.checkpoint import load_weights
from mtl_course.models.sharing import SHARING, CrossStitchUnit, HardSharing, make_backbone

pytestmark = pytest.mark.usefixtures("one_thread")
every = pytest.mark.parametrize("sharing", list(SHARING))


def built(sharing, seed=0, neck_channels=16, **kwargs):
    torch.manual_seed(seed)
    return MultiTaskModel(
        "resnet18", sharing=sharing, neck_channels=neck_channels, lane_channels=32, dropout=0.0, **kwargs
    )


def backbone_of(sharing, seed=0, **kwargs):
    torch.manual_seed(seed)
    return make_backbone(sharing, "resnet18", **kwargs)


def drifted(backbone, amount=0.05):
    "The backbone after its copies and additions have gone their own ways."
    torch.manual_seed(1)
    with torch.no_grad():
        for p in backbone.parameters():
            p.add_(amount * p.std().nan_to_num() * torch.randn_like(p) + 0.01 * torch.randn_like(p))
    return backbone


def a_batch(size=(64, 64)):
    torch.manual_seed(2)
    images = {t: torch.randn(2, 3, *size) for t in TASKS}
    labels = dict(
        classification=torch.tensor([0, 42]),
        lane=torch.randint(0, 2, (2, *size)),
        detection=[dict(boxes=torch.tensor([[2.0, 3, 30, 25]]), labels=torch.tensor([1]))] * 2,
    )
    return images, labels


def task_loss(model, task, images, labels):
    return model.compute_losses({task: model(images[task], task)}, {task: labels[task]})[task]


def sample_everything(head):
    "All anchors and proposals are in the sample: nothing is drawn at random."
    head.rpn.fg_bg_sampler.batch_size_per_image = 10**6
    head.roi.fg_bg_sampler.batch_size_per_image = 10**6


def flat_grads(grads, names):
    return torch.cat([grads[name].flatten().double() for name in names])


def dense_grads(loss, model):
    "Name -> gradient, zeros where the loss does not depend on a parameter."
    names, parameters = zip(*model.named_parameters())
    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g for n, p, g in zip(names, parameters, grads)}


@every
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (90, 161)])
def test_any_size_from_32_works_in_every_task(sharing, size):
    model = built(sharing)
    images, labels = a_batch(size)
    for mode in (True, False):
        predictions = model.train(mode)(images)  # each task's own images
        together = model(images["lane"])  # one image for all heads
        for p in (predictions, together):
            assert p["classification"].shape == (2, 43)
            assert p["lane"].shape == (2, 2, *size)
            assert len(model.decode_detections(p["detection"])) == 2
            assert model.compute_loss(p, labels).isfinite()


@every
def test_features_have_the_shapes_of_the_plain_resnet(sharing):
    backbone, x = backbone_of(sharing), torch.randn(1, 3, 70, 101)
    expected = {k: f.shape for k, f in Backbone("resnet18")(x, "lane").items()}
    for task in TASKS:
        assert {k: f.shape for k, f in backbone(x, task).items()} == expected
    assert {k: s[1] for k, s in expected.items()} == backbone.channels
    assert list(backbone.forward_all(x)) == list(TASKS) == list(backbone.tasks)


def test_hard_sharing_is_the_network_of_before_digit_for_digit():
    torch.manual_seed(3)
    plain = Backbone("resnet18")
    backbone, x = backbone_of("hard", 3), torch.randn(2, 3, 64, 96)
    assert list(backbone.state_dict()) == list(plain.state_dict())
    for task in (*TASKS, None):
        for a, b in zip(backbone(x, task).values(), plain(x, task).values()):
            assert torch.equal(a, b)
    assert all(torch.equal(a, b) for a, b in zip(backbone.state_dict().values(), plain.state_dict().values()))
    assert len(backbone.shared_parameters()) == len(list(plain.parameters()))


@every
def test_the_same_seed_gives_the_same_start(sharing):
    "Copies start alike, additions change nothing, and the heads' random numbers stay."
    hard = built("hard")
    model = built(sharing)
    images, _ = a_batch()
    for a, b in zip(hard.heads.parameters(), model.heads.parameters(), strict=True):
        assert torch.equal(a, b)
    for mode in (True, False):
        for task in TASKS:
            expected = hard.backbone.train(mode)(images[task], task)
            features = model.backbone.train(mode)(images[task], task)
            for stage in expected:
                torch.testing.assert_close(features[stage], expected[stage], rtol=1e-3, atol=1e-3)


@every
@pytest.mark.parametrize("tasks", [TASKS, ("detection", "lane")])
def test_shared_parameters_are_those_that_several_tasks_pull_at(sharing, tasks):
    backbone, x = backbone_of(sharing, tasks=tasks), torch.randn(2, 3, 64, 64)
    pulls = {n: 0 for n, _ in backbone.named_parameters()}
    for task in tasks:
        loss = sum(f.square().mean() for f in backbone(x, task).values())
        for n, g in zip(pulls, torch.autograd.grad(loss, list(backbone.parameters()), allow_unused=True)):
            pulls[n] += g is not None
    shared = {id(p) for p in backbone.shared_parameters()}
    named = {n for n, p in backbone.named_parameters() if id(p) in shared}
    assert named == {n for n, k in pulls.items() if k > 1}
    assert min(pulls.values()) >= 1  # no parameter is idle


@every
def test_gradients_reach_every_parameter_once_training_has_begun(sharing):
    backbone, (images, _) = drifted(backbone_of(sharing)), a_batch()
    for task in TASKS:
        sum(f.square().mean() for f in backbone(images[task], task).values()).backward()
    assert not [n for n, p in backbone.named_parameters() if not p.grad.abs().sum() > 0]


@every
@pytest.mark.parametrize("balancer", ["fixed", "mgda", "upgrad"])
def test_the_engine_gives_the_gradients_of_the_sum(sharing, balancer):
    "Shared parameters get Σ wₜ gₜ; a task's get its gradient, weighted where weights are fixed."
    model = built(sharing).eval()
    images, labels = a_batch()
    drifted(model.backbone)
    sample_everything(model.heads["detection"])
    closures = {task: partial(task_loss, model, task, images, labels) for task in TASKS}
    grads = {task: dense_grads(closure(), model) for task, closure in closures.items()}
    weights = dict(weights=dict(classification=1.0, detection=5.0, lane=30.0)) if balancer == "fixed" else {}
    rule = make_balancer(balancer, TASKS, **weights)
    step = streamed_backward(model.shared_parameters(), closures, rule)
    shared = {id(p) for p in model.shared_parameters()}
    if balancer != "fixed":
        names = [n for n, p in model.named_parameters() if id(p) in shared]
        stacked = torch.stack([flat_grads(grads[task], names) for task in TASKS])
        expected = (stacked @ stacked.T).float()
        assert torch.allclose(step.gramian.float(), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    for name, p in model.named_parameters():
        weighted = balancer == "fixed" or id(p) in shared
        expected = sum((step.weights[task] if weighted else 1.0) * grads[task][name] for task in TASKS)
        assert (p.grad - expected).norm() <= 1e-3 * expected.norm() + 1e-6, name


def test_separate_networks_share_their_projections_only():
    backbone, x = drifted(backbone_of("separate")).eval(), torch.randn(1, 3, 64, 64)
    before = {t: f["c5"] for t, f in backbone.forward_all(x).items()}
    with torch.no_grad():
        backbone.backbones["lane"].stem.conv1.weight.mul_(1.5)
    after = {t: f["c5"] for t, f in backbone.forward_all(x).items()}
    assert [torch.equal(before[t], after[t]) for t in TASKS] == [True, True, False]
    with torch.no_grad():
        backbone.projections["c5"].weight.mul_(1.5)
    assert not any(torch.equal(after[t], f["c5"]) for t, f in backbone.forward_all(x).items())
    assert all((f["c5"] >= 0).all() for f in backbone.forward_all(x).values())  # a ReLU behind the projection


@every
def test_each_head_reads_its_own_tasks_features(sharing):
    "One image for all heads gives each head what it gets when it is asked alone."
    model, x = built(sharing, tasks=("classification", "lane")).eval(), torch.randn(1, 3, 64, 64)
    drifted(model.backbone)
    with torch.no_grad():
        for t in model.tasks:
            torch.testing.assert_close(model(x, statistics=t)[t], model(x, task=t), rtol=1e-4, atol=1e-5)
        a, b = (f["c5"] for f in model.backbone.forward_all(x).values())
    assert torch.equal(a, b) == (sharing == "hard")


def test_cross_stitch_with_the_identity_is_separate_networks():
    backbone, x = drifted(backbone_of("cross_stitch")).eval(), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for unit in backbone.units.values():
            unit.alpha.copy_(torch.eye(3)[:, :, None].expand_as(unit.alpha))
        for task in TASKS:
            for a, b in zip(backbone(x, task).values(), backbone.backbones[task](x, task).values()):
                assert torch.equal(a, b)
        assert not torch.allclose(backbone(x, "lane")["c5"], backbone(x, "detection")["c5"])


def test_cross_stitch_against_a_stack_of_streams():
    backbone, x = drifted(backbone_of("cross_stitch")).eval(), torch.randn(1, 3, 64, 64)
    nets = list(backbone.backbones.values())
    with torch.no_grad():
        for net in nets:
            net.use_statistics("detection")
        streams = torch.stack([net.stem(x) for net in nets])  # (T, B, C, H, W)
        for k, (stage, unit) in enumerate(backbone.units.items()):
            unit.alpha.add_(0.2 * torch.rand_like(unit.alpha))  # by no means symmetric
            streams = torch.einsum(
                "stc,tbchw->sbchw", unit.alpha, torch.stack([net.stages()[k](s) for net, s in zip(nets, streams)])
            )
        for row, features in zip(streams, backbone.forward_all(x, "detection").values()):
            torch.testing.assert_close(features["c5"], row, rtol=1e-3, atol=1e-4)


def test_a_cross_stitch_unit_by_hand():
    unit, streams = CrossStitchUnit(2, 3, keep=0.8), dict(a=torch.ones(1, 3, 2, 2), b=torch.full((1, 3, 2, 2), 10.0))
    with torch.no_grad():
        unit.alpha[0, 1, 2] = -1.0  # stream a listens to channel 2 of stream b
    mixed = unit(streams, ["a", "b"])
    assert mixed["a"][0, :, 0, 0].tolist() == pytest.approx([2.8, 2.8, -9.2]) and mixed["b"][
        0, :, 0, 0
    ].tolist() == pytest.approx([8.2] * 3)
    assert list(unit(streams, ["b"])) == ["b"]


def test_in_cross_stitch_other_tasks_images_train_a_stream():
    backbone = backbone_of("cross_stitch")
    backbone(torch.randn(2, 3, 64, 64), "lane")["c5"].square().mean().backward()
    norms = {t: net.layer1[0].conv1.weight.grad.norm() for t, net in backbone.backbones.items()}
    assert norms["lane"] > norms["detection"] > 0 and norms["detection"] == pytest.approx(
        float(norms["classification"]), rel=1e-3
    )


def test_attention_asks_the_others_and_not_itself():
    backbone, x = drifted(backbone_of("attention")).eval(), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        width = backbone.attention.embed_dim
        backbone.attention.in_proj_weight[:width].zero_()
        backbone.attention.in_proj_bias[:width].zero_()  # no question: every token heard alike
        before = backbone(x, "lane")
        backbone.down["lane"].weight.normal_()
        assert torch.equal(backbone(x, "lane")["c5"], before["c5"])  # its own tokens are not among those it hears
        backbone.down["detection"].weight.normal_()
        assert not torch.allclose(backbone(x, "lane")["c5"], before["c5"], atol=1e-4)
        plain = backbone.backbone(x, "lane")
    assert all(torch.equal(before[k], plain[k]) for k in ("c2", "c3", "c4")) and not torch.allclose(
        before["c5"], plain["c5"], atol=1e-4
    )


@pytest.mark.parametrize("view", TASKS)  # its own asks, the others' answer
def test_attention_depends_on_every_tasks_view(view):
    backbone, x = drifted(backbone_of("attention")).eval(), torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        before = backbone(x, "lane")["c5"]
        backbone.down[view].weight.normal_()
        assert not torch.equal(before, backbone(x, "lane")["c5"])


def test_masks_multiply_between_zero_and_two():
    backbone, x = drifted(backbone_of("mtan")).eval(), torch.randn(1, 3, 70, 90)
    with torch.no_grad():
        plain = backbone.backbone(x, "lane")
        for stage, f in backbone(x, "lane").items():
            assert (f >= 0).all() and (f <= 2 * plain[stage] + 1e-6).all() and not torch.allclose(f, plain[stage])
        first = backbone(x, "lane")["c5"]
        backbone.masks["lane"]["c4"].h[-1].bias.fill_(-50.0)  # nothing passes at c4 …
        assert backbone(x, "lane")["c4"].abs().max() < 1e-6 and not torch.equal(
            backbone(x, "lane")["c5"], first
        )  # … which c5's mask sees
        detection = backbone(x, "detection")["c5"]
        backbone.masks["lane"]["c5"].h[-1].bias.fill_(-50.0)
        assert torch.equal(backbone(x, "detection")["c5"], detection)


@every
def test_statistics_are_those_of_the_images_task(sharing):
    backbone = backbone_of(sharing).train()
    before = {n: b.clone() for n, b in backbone.named_buffers() if n.endswith("running_mean")}
    backbone(torch.randn(2, 3, 64, 64) + 3, "detection")
    for n, m in backbone.named_modules():
        if not isinstance(m, TaskBatchNorm2d):
            continue
        moved = (m.running_mean != before[f"{n}.running_mean"]).any(1).tolist()
        if sharing == "separate":
            assert moved == ["detection" in n]  # a network of its own has a row of its own
        else:
            assert moved == [False, True, False]


@every
def test_one_image_can_be_normalised_by_any_tasks_statistics(sharing):
    backbone, x = backbone_of(sharing).train(), torch.randn(2, 3, 64, 64)
    for k, t in enumerate(TASKS):
        for _ in range(10):
            backbone(torch.randn(4, 3, 64, 64) * (1 + k) + k, t)
    backbone.eval()
    with torch.no_grad():
        one = backbone(x, "lane")["c4"]
        lane = backbone.forward_all(x, "lane")["lane"]["c4"]
        pooled = backbone.forward_all(x)["lane"]["c4"]
    assert torch.allclose(one, lane, atol=1e-5)
    if sharing == "separate":
        assert torch.equal(lane, pooled)  # there is nothing to choose
    else:
        assert (lane - pooled).norm() > 0.05 * lane.norm()


@every
def test_a_frozen_backbone_keeps_its_resnets_and_trains_the_rest(sharing):
    model, (images, labels) = built(sharing, freeze_backbone=True).train(), a_batch()
    drifted(model.backbone)
    nets = [m for m in model.backbone.modules() if isinstance(m, Backbone)]
    before = [copy.deepcopy(net.state_dict()) for net in nets]
    model.compute_loss(model(images), labels).backward()
    assert model.backbone.frozen and len(nets) == (3 if sharing in ("separate", "cross_stitch") else 1)
    for net, state in zip(nets, before):
        assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
        assert all(p.grad is None for p in net.parameters())
    resnets = {id(p) for p in nn.ModuleList(nets).parameters()}
    assert all(p.grad is not None for n, p in model.backbone.named_parameters() if id(p) not in resnets)
    assert all(p.grad is not None for p in model.heads.parameters())


@every
@pytest.mark.parametrize("balancer", ["fixed", "mgda"])
def test_the_engine_runs_frozen_and_without_a_task(sharing, balancer):
    model, (images, labels) = built(sharing, freeze_backbone=True).train(), a_batch()
    closures = {task: partial(task_loss, model, task, images, labels) for task in ("classification", "lane")}
    step = streamed_backward(model.shared_parameters(), closures, make_balancer(balancer, TASKS))
    assert list(step.losses) == ["classification", "lane"]
    assert all(p.grad is None for p in model.heads["detection"].parameters())


@every
def test_a_single_task_has_nobody_to_share_with(sharing):
    assert type(make_backbone(sharing, "resnet18", tasks=("lane",))) is HardSharing
    model = built(sharing, tasks=("lane",))
    assert list(model.state_dict()) == list(built("hard", tasks=("lane",)).state_dict())
    assert model(torch.randn(1, 3, 32, 32))["lane"].shape == (1, 2, 32, 32)


@every
def test_a_trained_model_comes_back(sharing, tmp_path):
    config = make_config("smoke", sharing=sharing)
    model, x = model_from_config(config), torch.randn(1, 3, 64, 64)
    drifted(model.backbone)
    for t in TASKS:
        model.train()(torch.randn(2, 3, 64, 64), t)  # statistics that differ from the start
    torch.save(dict(model=model.state_dict(), config=config.to_dict()), tmp_path / "m.pt")
    again = load_model(tmp_path / "m.pt")
    assert again.config.sharing == sharing and type(again.backbone) is SHARING[sharing]
    for t in ("lane", "classification"):
        assert torch.equal(again(x, task=t), model.eval()(x, task=t))


def test_a_checkpoint_without_a_choice_is_hard_sharing(tmp_path):
    config = make_config("smoke")
    model = model_from_config(config)
    old = {k: v for k, v in config.to_dict().items() if k != "sharing"}
    torch.save(dict(model=model.state_dict(), config=old), tmp_path / "m.pt")
    assert type(load_model(tmp_path / "m.pt").backbone) is HardSharing


@pytest.mark.parametrize("sharing", [s for s in SHARING if s != "hard"])
def test_weights_of_another_way_are_refused_in_one_sentence(sharing):
    with pytest.raises(UserError, match="sharing") as e:
        load_weights(built(sharing), built("hard").state_dict(), "m.pt")
    assert "\n" not in str(e.value)


def test_unknown_names():
    with pytest.raises(UserError, match="'soft': expected one of hard, separate, cross_stitch, attention, mtan"):
        make_backbone("soft", "resnet18")
    with pytest.raises(UserError, match="vgg"):
        make_backbone("cross_stitch", "vgg16")
    with pytest.raises(UserError, match="sharing"):
        make_config("smoke", sharing="soft")


@every
def test_imagenet_weights_reach_every_copy(sharing, monkeypatch):
    reference = torchvision.models.resnet18(weights=None)
    for layer in reference.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
    asked = []

    def give(name, pretrained):
        asked.append(pretrained)
        return reference.state_dict()

    monkeypatch.setattr(backbone_module, "imagenet_weights", give)
    backbone, x = make_backbone(sharing, "resnet18", "require").eval(), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        r = reference.eval()
        expected = r.layer4(r.layer3(r.layer2(r.layer1(r.maxpool(r.relu(r.bn1(r.conv1(x))))))))
        for task in TASKS:
            torch.testing.assert_close(backbone(x, task)["c5"], expected, rtol=1e-3, atol=1e-3)
    assert asked == ["require"]  # asked for once, however many copies


@every
def test_autocast_and_channels_last(sharing):
    model, (images, labels) = built(sharing).to(memory_format=torch.channels_last), a_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = model.backbone(images["lane"].to(memory_format=torch.channels_last), "lane")
        loss = model.compute_loss(model(images), labels)
    assert features["c2"].dtype == torch.bfloat16  # mixing and masking stay in the fast format
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("sharing", ["separate", "cross_stitch"])
def test_two_processes_average_to_one(sharing, smoke, tmp_path):
    "Each process's gradients average to the whole batch's, shared or of one task."
    script = str(Path(__file__).with_name("two_processes.py"))
    environment = os.environ | dict(OMP_NUM_THREADS="1")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29523"]
    for command, name in ((launch, "two.pt"), ([sys.executable], "one.pt")):
        arguments = [script, str(tmp_path / name), "mgda", sharing]
        subprocess.run([*command, *arguments], check=True, env=environment)
    two, one = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in ("two", "one"))
    assert (two["processes"], one["processes"]) == (2, 1)
    largest = float(one["gramian"].max())
    assert torch.allclose(two["gramian"], one["gramian"], rtol=1e-3, atol=1e-5 * largest)
    assert two["weights"] == pytest.approx(one["weights"], rel=1e-2, abs=1e-3)
    for name, g in one["gradients"].items():
        assert (two["gradients"][name] - g).norm() <= 1e-2 * g.norm() + 1e-6, name
