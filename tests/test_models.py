"""The trunk, the heads and the model: sizes, parameters, statistics, losses, loading."""

import pytest, torch, torchvision
from mtl_course.config import TASKS, make_config
from mtl_course.core.errors import UserError
from mtl_course.models import MultiTaskModel, load_model, model_from_config
from mtl_course.models.backbone import Backbone, TaskBatchNorm2d
from mtl_course.models.detection_head import DetectionHead, box_ioa
from mtl_course.models.lane_head import LaneHead, dice_loss
from mtl_course.models.checkpoint import load_weights, read_checkpoint


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MultiTaskModel("resnet18", neck_channels=32)


def millions(module):
    return round(sum(p.numel() for p in module.parameters()) / 1e6, 2)


def test_the_specifications_network_has_its_parameters():
    m = MultiTaskModel("resnet50", detection_neck="c5", lane_skips=False)
    assert millions(m) == 70.18 and millions(m.backbone) == 23.51
    assert {t: millions(h) for t, h in m.heads.items()} == dict(classification=2.65, detection=38.60, lane=5.42)


@pytest.mark.parametrize("classes", [2, 3])
def test_an_untrained_lane_head_expects_the_share_it_is_told(classes):
    told = MultiTaskModel("resnet10", tasks="lane", lane_prior=0.05, num_lane_classes=classes)
    shares = told(torch.randn(2, 3, 64, 96), task="lane").softmax(1).mean((0, 2, 3))
    assert shares[0].item() == pytest.approx(0.95, abs=0.01)
    assert shares[1:].tolist() == pytest.approx([0.05 / (classes - 1)] * (classes - 1), abs=0.01)
    with pytest.raises(UserError, match="lane_prior"):
        make_config("smoke", lane_prior=0.6)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 64), (90, 161)])
@pytest.mark.parametrize("neck, skips", [("fpn", True), ("c5", False)])
def test_any_size_from_32_works_in_every_task(size, neck, skips):
    m = MultiTaskModel("resnet18", neck_channels=16, detection_neck=neck, lane_skips=skips)
    x, targets = torch.randn(2, 3, *size), [dict(boxes=torch.tensor([[2.0, 3, 20, 25]]), labels=torch.tensor([1]))] * 2
    batch = dict(classification=torch.tensor([0, 42]), lane=torch.zeros(2, *size, dtype=torch.long), detection=targets)
    for mode in (True, False):
        p = m.train(mode)(x)
        assert p["classification"].shape == (2, 43) and p["lane"].shape == (2, 2, *size)
        assert m.compute_loss(p, batch).isfinite() and len(m.decode_detections(p["detection"])) == 2


@pytest.mark.parametrize("size", [32, 64])
def test_one_image_in_training_mode(size):
    m = MultiTaskModel("resnet18", neck_channels=16).train()
    assert m(torch.randn(1, 3, size, size))["classification"].shape == (1, 43)


def test_backbone_computes_what_torchvision_computes():
    reference = torchvision.models.resnet50(weights=None).eval()
    for layer in reference.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 2)
    ours = Backbone("resnet50")
    ours.load_imagenet(reference.state_dict())
    ours.eval()
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        r = reference
        y = r.layer4(r.layer3(r.layer2(r.layer1(r.maxpool(r.relu(r.bn1(r.conv1(x))))))))
        for task in TASKS:
            torch.testing.assert_close(ours(x, task)["c5"], y, rtol=1e-3, atol=1e-3)


def test_statistics_are_per_task(model):
    model.train()
    before = model.backbone.stem.bn1.running_mean.clone()
    model(torch.randn(2, 3, 64, 64) + 3, task="detection")
    after = model.backbone.stem.bn1.running_mean
    moved = [(before[i] != after[i]).any().item() for i in range(3)]
    assert moved == [False, True, False]


def test_pooled_statistics_are_those_of_the_mixture():
    norm = TaskBatchNorm2d(1, num_tasks=2, momentum=1.0)
    a, b = torch.randn(1, 1, 200, 200) - 3, 2 * torch.randn(1, 1, 200, 200) + 5
    for norm.active_task, x in enumerate((a, b)):
        norm(x)
    both = torch.cat([a, b])
    mean, var = norm.pooled()
    torch.testing.assert_close(mean, both.mean()[None], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(var, both.var()[None], rtol=1e-3, atol=1e-3)


def test_a_frozen_trunk_stays_as_it_is():
    m = MultiTaskModel("resnet18", freeze_backbone=True, neck_channels=16).train()
    state = {k: v.clone() for k, v in m.backbone.state_dict().items()}
    loss = m.compute_loss(m({"lane": torch.randn(2, 3, 64, 64)}), dict(lane=torch.ones(2, 64, 64, dtype=torch.long)))
    loss.backward()
    assert all(torch.equal(v, state[k]) for k, v in m.backbone.state_dict().items()) and all(
        p.grad is None for p in m.backbone.parameters()
    )
    assert any(p.grad is not None for p in m.heads["lane"].parameters())


def test_one_tensor_runs_the_trunk_once(model):
    model.eval()
    calls = []
    handle = model.backbone.layer4.register_forward_hook(lambda *_: calls.append(1))
    model(torch.randn(1, 3, 64, 64))
    assert len(calls) == 1
    model({t: torch.randn(1, 3, 64, 64) for t in TASKS})
    assert len(calls) == 4
    handle.remove()


def test_weights_scale_the_loss_and_nothing_else(model):
    model.eval()
    batch = dict(classification=torch.tensor([1]), lane=torch.zeros(1, 64, 64, dtype=torch.long))
    p = model({t: torch.randn(1, 3, 64, 64) for t in batch})
    l = model.compute_losses(p, batch)
    model.set_task_weights(detection=5.0, lane=30.0, classification=2.0)
    torch.testing.assert_close(model.compute_loss(p, batch), 2 * l["classification"] + 30 * l["lane"])
    model.set_task_weights(detection=1.0, lane=1.0, classification=1.0)
    for bad in (dict(depth=1.0), dict(lane=-1.0), dict(lane=float("nan"))):
        with pytest.raises(UserError):
            model.set_task_weights(**bad)


def test_refused_weights_change_none(model):
    before = dict(model.task_weights)
    with pytest.raises(UserError):
        model.set_task_weights(lane=7.0, depth=1.0)
    assert model.task_weights == before


def test_unlabelled_regions_are_not_background():
    "In an ignored area objectness gets no gradient; without the area it does."
    torch.manual_seed(0)
    channels = {"c2": 8, "c3": 8, "c4": 8, "c5": 8}
    head = DetectionHead(channels, neck_channels=16, rpn_samples=10**6, roi_samples=10**6)
    features = {k: torch.randn(1, 8, 96 // s, 96 // s) for k, s in zip(channels, (4, 8, 16, 32))}
    target = dict(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    for region, touched in (([[0.0, 0, 48, 96]], False), ([[200.0, 200, 210, 210]], True)):
        out = head(features, (96, 96))
        out["objectness"].retain_grad()
        head.losses(out, [target | dict(ignore=torch.tensor(region))])["objectness"].backward()
        inside = box_ioa(out["anchors"][0], torch.tensor([[0.0, 0, 48, 96]])) > 0.5
        assert (out["objectness"].grad[0][inside] != 0).any().item() is touched and (
            out["objectness"].grad[0][~inside] != 0
        ).any()


def test_losses_are_means_over_images():
    "The loss of a batch is the mean of the losses of its halves, for every task."
    torch.manual_seed(0)
    m = MultiTaskModel("resnet18", neck_channels=16).eval()
    head = m.heads["detection"]
    head.rpn.fg_bg_sampler.batch_size_per_image = head.roi.fg_bg_sampler.batch_size_per_image = 10**6
    x = {t: torch.randn(2, 3, 64, 96) for t in TASKS}
    y = dict(
        classification=torch.tensor([1, 2]),
        lane=torch.randint(0, 2, (2, 64, 96)),
        detection=[
            dict(boxes=torch.tensor([[5.0, 5, 40, 50]]), labels=torch.tensor([1])),
            dict(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)),
        ],
    )
    whole = m.compute_losses(m(x), y)
    halves = []
    for i in (0, 1):
        images = {task: batch[i : i + 1] for task, batch in x.items()}
        halves.append(m.compute_losses(m(images), {task: labels[i : i + 1] for task, labels in y.items()}))
    for t in TASKS:
        torch.testing.assert_close(whole[t], (halves[0][t] + halves[1][t]) / 2, rtol=1e-4, atol=1e-5)


def test_lane_loss_by_hand():
    head = LaneHead({"c2": 4, "c3": 4, "c4": 4, "c5": 4}, positive_weight=3.0)
    logits, mask = torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]])
    logits[0, 1, 0, 1] = 2.0
    background, lane = torch.tensor(2.0).log(), (1 + torch.tensor(-2.0).exp()).log()
    torch.testing.assert_close(head.loss(logits, mask), (background + 3 * lane) / 4)
    y = torch.zeros(1, 4, 4)
    y[0, 0] = 1
    torch.testing.assert_close(dice_loss(torch.full((1, 4, 4), 0.5), y), torch.tensor(1 - (2 * 2 + 1) / (8 + 4 + 1)))


def test_a_perfect_second_stage_finds_its_boxes():
    "Proposals that equal the truth, with class scores to match, decode to the truth."
    head = DetectionHead({"c2": 8, "c3": 8, "c4": 8, "c5": 8}, neck_channels=16).eval()
    boxes = torch.tensor([[10.0, 10, 40, 30], [50, 20, 80, 90]])
    logits = torch.full((2, 8), -9.0)
    logits[0, 1] = logits[1, 4] = 9.0
    out = dict(class_logits=logits, box_deltas=torch.zeros(2, 32), proposals=[boxes], image_size=(96, 96))
    found = head.decode(out)[0]
    order = found["labels"].argsort()
    assert found["labels"][order].tolist() == [1, 4]
    torch.testing.assert_close(found["boxes"][order], boxes, atol=1e-3, rtol=0)


def test_a_trained_model_comes_back(tmp_path):
    config = make_config("smoke")
    m = model_from_config(config)
    torch.save(dict(model=m.state_dict(), config=config.to_dict()), tmp_path / "m.pt")
    again, x = load_model(tmp_path / "m.pt"), torch.randn(1, 3, 64, 64)
    assert not again.training and again.config == make_config("smoke", pretrained=False)
    torch.testing.assert_close(again(x, task="lane"), m.eval()(x, task="lane"), rtol=0, atol=0)


def test_a_checkpoint_is_found_from_any_folder(tmp_path, monkeypatch):
    """JupyterLab works in nbs/: `results/checkpoints/model_best.pt` is meant from the project's
    root all the same.
    """
    config = make_config("smoke", tasks="lane")
    torch.save(dict(model=model_from_config(config).state_dict(), config=config.to_dict()), tmp_path / "m.pt")
    monkeypatch.chdir(tmp_path / "..")
    monkeypatch.setattr("mtl_course.core.files.project_root", lambda: tmp_path)
    assert load_model("m.pt").tasks == ("lane",)
    with pytest.raises(UserError, match="^n.pt: no such checkpoint"):
        load_model("n.pt")


@pytest.mark.parametrize("content", [b"hello world\n" * 9, b"{}", b"\x89PNG\r\n\x1a\n"])
def test_a_file_of_another_kind_is_said_to_be_one(content, tmp_path):
    "Without torch's own advice, which is about trusting files and was cut in the middle of a word."
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(
        UserError,
        match=r"m.pt: not a readable checkpoint \(the file is of another kind\); train again or use another file$",
    ):
        read_checkpoint(tmp_path / "m.pt")


@pytest.mark.parametrize(
    "arguments, named",
    [
        (dict(detection_neck="bifpn"), "detection_neck is 'bifpn': expected one of fpn, c5"),
        (dict(tasks=("foo",)), "tasks is .*expected one or more of"),
        (dict(tasks=()), "tasks"),
        (dict(tasks="lanes"), "tasks"),
        (dict(num_classification_classes=0), "num_classification_classes is 0"),
        (dict(num_detection_classes=-1), "num_detection_classes"),
        (dict(num_lane_classes=1), "num_lane_classes is 1: expected a whole number of at least 2"),
        (dict(num_classification_classes=4.5), "num_classification_classes"),
        (dict(neck_channels=0), "neck_channels"),
        (dict(lane_channels="many"), "lane_channels is 'many'"),
    ],
)
def test_arguments_that_make_no_network_are_refused(arguments, named):
    with pytest.raises(UserError, match=named):
        MultiTaskModel("resnet18", **arguments)


def test_one_task_may_be_given_by_its_name():
    assert MultiTaskModel("resnet18", tasks="lane").tasks == ("lane",)


@pytest.mark.parametrize("weight", ["x", None, [1.0], "1"])
def test_a_weight_is_a_number(model, weight):
    with pytest.raises(UserError, match="the weight of lane is .*expected a finite number"):
        model.set_task_weights(lane=weight)


def test_a_loss_without_labels_names_the_key(model):
    p = model.eval()({"lane": torch.randn(1, 3, 64, 64)})
    with pytest.raises(UserError, match="expected the key 'lane', it has 'images', 'detection'"):
        model.compute_loss(p, dict(images=None, detection=[]))
    for wrong in (p["lane"], {"output": p["lane"]}, {}):
        with pytest.raises(UserError, match="not given by task|no labels"):
            model.compute_loss(wrong, dict(lane=torch.zeros(1, 64, 64, dtype=torch.long)))
    assert model.compute_loss(p, dict(lane=torch.zeros(1, 64, 64, dtype=torch.long))).shape == ()


@pytest.mark.parametrize("content", [None, b"", b"no checkpoint", dict(weights=1), [1, 2]])
def test_what_is_no_checkpoint_is_said_in_one_sentence(content, tmp_path):
    path = tmp_path / "m.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(UserError, match="m.pt") as e:
        read_checkpoint(path)
    assert "\n" not in str(e.value)


def test_another_architecture_is_one_sentence(model):
    with pytest.raises(UserError, match="another architecture") as e:
        load_weights(MultiTaskModel("resnet34", neck_channels=32), model.state_dict(), "m.pt")
    assert len(str(e.value)) < 400 and "\n" not in str(e.value)


def test_missing_imagenet_weights_warn_or_stop(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", refuse)
    with pytest.warns(UserWarning, match="resnet18-.*pth"):
        Backbone("resnet18", pretrained=True)
    with pytest.raises(UserError, match="no network"):
        Backbone("resnet18", pretrained="require")


def test_unknown_names():
    with pytest.raises(UserError, match="vgg"):
        Backbone("vgg16")
    with pytest.raises(UserError, match="detection"):
        MultiTaskModel("resnet18", tasks=("lane",))(torch.randn(1, 3, 32, 32), task="detection")
