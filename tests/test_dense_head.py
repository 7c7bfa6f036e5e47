"""The dense head: who answers for which box, its losses, its decoding, and its place in a model."""

import math

import pytest
import torch
from mtl_course.config import Config, make_config
from mtl_course.core.errors import UserError
from mtl_course.data.loaders import create_dataloaders
from mtl_course.models import MultiTaskModel, model_from_config
from mtl_course.models.checkpoint import checkpoint_config, load_fitting_weights, load_model, read_checkpoint
from mtl_course.models.dense_head import (
    DenseHead,
    assign_boxes,
    box_strides,
    image_losses,
    make_points,
    select_boxes,
    to_boxes,
    to_distances,
)
from mtl_course.models.detection_head import DetectionHead
from mtl_course.plots.architecture import layer_table
from mtl_course.studies.runner import config_hash, run_configs
from mtl_course.training.distributed import start_fabric
from mtl_course.training.loop import train
from mtl_course.training.state import TrainState
from mtl_course.training.steps import compute_gradients
from mtl_course.widgets.prediction_browser import PredictionBrowser
from torchvision.ops import box_iou

CHANNELS = {"c2": 8, "c3": 8, "c4": 8, "c5": 8}
SIZE = (64, 96)
STRIDES = (4, 8, 16, 32)
NOTHING = dict(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
TWO = dict(boxes=torch.tensor([[8.0, 10, 40, 30], [60, 20, 70, 50]]), labels=torch.tensor([1, 2]))


@pytest.fixture
def places():
    "Points and strides of an image of 64 × 96."
    return make_points([(SIZE[0] // s, SIZE[1] // s) for s in STRIDES], list(STRIDES))


def dense_model(**options):
    "A small network that only detects."
    torch.manual_seed(0)
    return MultiTaskModel("resnet10", tasks="detection", neck_channels=16, detection_head="dense", **options)


def small_head(**options):
    torch.manual_seed(0)
    return DenseHead(CHANNELS, neck_channels=16, anchor_scale=2.0, **options)


def features(images=1):
    torch.manual_seed(1)
    return {name: torch.randn(images, 8, SIZE[0] // s, SIZE[1] // s) for name, s in zip(CHANNELS, STRIDES)}


def answers_of(places, boxes, confident=9.0):
    "What a perfect head says: places that answer for a box are sure of it, the others of nothing."
    points, strides = places
    owner = assign_boxes(points, strides, boxes, reach=8.0)
    logits = torch.full((len(points), 7), -confident)
    logits[owner >= 0, 0] = confident
    own = boxes[owner.clamp(min=0)]
    distances = torch.cat([points - own[:, :2], own[:, 2:] - points], 1)
    distances[owner < 0] = 1.0
    quality = torch.full((len(points),), confident)
    return dict(points=points, strides=strides, class_logits=logits, distances=distances, quality=quality)


# --- places and boxes


def test_places_are_centres_of_cells(places):
    points, strides = places
    assert strides.unique(return_counts=True)[1].tolist() == [16 * 24, 8 * 12, 4 * 6, 2 * 3]
    assert points[0].tolist() == [2, 2] and points[1].tolist() == [6, 2] and points[24].tolist() == [2, 6]
    assert points[-1].tolist() == [80, 48]


def test_distances_are_left_top_right_bottom_and_lead_back():
    point, box = torch.tensor([[18.0, 26]]), torch.tensor([[10.0, 20, 50, 40]])
    distances = to_distances(point, box)
    assert distances.tolist() == [[[8, 6, 32, 14]]]
    assert to_boxes(point, distances[:, 0]).tolist() == box.tolist()


@pytest.mark.parametrize("side, stride", [(3, 4), (32, 4), (33, 8), (64, 8), (100, 16), (129, 32), (5000, 32)])
def test_a_box_belongs_to_the_level_of_its_longer_side(places, side, stride):
    box = torch.tensor([[0.0, 0, side, 2], [0, 0, 2, side]])
    assert box_strides(box, places[1], reach=8.0).tolist() == [stride, stride]


def test_only_places_near_the_centre_answer(places):
    points, strides = places
    owner = assign_boxes(points, strides, torch.tensor([[0.0, 0, 32, 32]]), reach=8.0)
    assert points[owner == 0].tolist() == [[14, 14], [18, 14], [14, 18], [18, 18]]
    wide = assign_boxes(points, strides, torch.tensor([[0.0, 0, 32, 32]]), reach=8.0, radius=2.0)
    assert (wide == 0).sum() == 16 and (strides[wide == 0] == 4).all()


def test_places_outside_of_a_narrow_box_do_not_answer(places):
    points, strides = places
    owner = assign_boxes(points, strides, torch.tensor([[9.0, 8, 13, 24]]), reach=8.0)
    assert points[owner == 0][:, 0].unique().tolist() == [10]


def test_the_smaller_box_wins(places):
    points, strides = places
    car, pedestrian = [20.0, 20, 48, 40], [30.0, 20, 38, 40]
    for boxes, small in (([car, pedestrian], 1), ([pedestrian, car], 0)):
        owner = assign_boxes(points, strides, torch.tensor(boxes), reach=8.0)
        inside = to_distances(points, torch.tensor([pedestrian])).amin(2)[:, 0] > 0
        assert (owner[inside & (owner >= 0)] == small).all() and (owner == small).sum() > 0
        assert (owner == 1 - small).sum() > 0


def test_a_box_without_a_place_inside_keeps_the_nearest(places):
    points, strides = places
    owner = assign_boxes(points, strides, torch.tensor([[8.2, 8.2, 9.4, 9.4], [50, 50, 51, 90]]), reach=8.0)
    assert points[owner == 0].tolist() == [[10, 10]]
    assert (owner == 1).sum() == 1 and strides[owner == 1].tolist() == [8]


def test_an_empty_scene_has_no_answering_place(places):
    assert (assign_boxes(*places, torch.zeros(0, 4), reach=8.0) == -1).all()


# --- losses


def test_a_perfect_answer_costs_nothing_and_a_wrong_one_does(places):
    boxes = TWO["boxes"]
    target = dict(boxes=boxes, labels=torch.tensor([1, 1]))
    losses = image_losses(answers_of(places, boxes), target, reach=8.0)
    assert all(value < 1e-3 for value in losses.values())
    wrong_class = image_losses(answers_of(places, boxes), dict(boxes=boxes, labels=torch.tensor([1, 2])), reach=8.0)
    assert wrong_class["classes"] > 1 and wrong_class["boxes"] < 1e-3
    moved = answers_of(places, boxes)
    moved["distances"] = moved["distances"] + torch.tensor([4.0, 0, -4, 0])
    losses = image_losses(moved, target, reach=8.0)
    assert losses["boxes"] > 0.2 and losses["quality"] > 1 and losses["classes"] < 1e-3


def test_losses_by_hand():
    "One place with a box, one without: α and γ of the focal loss, 1 − GIoU, quality against IoU."
    points, strides = torch.tensor([[2.0, 2], [40, 2]]), torch.tensor([4.0, 4])
    logits = torch.logit(torch.tensor([[0.5], [0.75]]))
    answers = dict(points=points, strides=strides, class_logits=logits, quality=torch.tensor([1.0, 50]))
    answers["distances"] = torch.tensor([[2.0, 2, 2, 2], [1, 1, 1, 1]])  # the box 0 0 4 4
    target = dict(boxes=torch.tensor([[0.0, 1, 8, 4]]), labels=torch.tensor([1]))
    losses = image_losses(answers, target, reach=8.0)
    yes = 0.25 * 0.5**2 * math.log(2)
    no = 0.75 * 0.75**2 * math.log(4)
    iou = 12 / 28  # both, at least one; the box around both has 32
    quality = math.log(1 + math.e) - iou  # of the place without a box nobody asks
    expected = dict(classes=yes + no, boxes=1 - (iou - 4 / 32), quality=quality)
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(expected, rel=1e-5)


def test_the_quality_is_learned_and_not_made():
    "No gradient reaches the box through the IoU that the quality is to predict."
    head = small_head()
    output = head(features(), SIZE)
    output["distances"].retain_grad()
    head.losses(output, [TWO])["quality"].backward()
    assert output["distances"].grad is None or not output["distances"].grad.any()


@pytest.mark.parametrize("region, touched", [([[0.0, 0, 48, 64]], False), ([[200.0, 200, 210, 210]], True)])
def test_unlabelled_regions_are_not_background(region, touched):
    head = small_head()
    output = head(features(), SIZE)
    output["class_logits"].retain_grad()
    head.losses(output, [NOTHING | dict(ignore=torch.tensor(region))])["classes"].backward()
    inside = (output["points"][:, 0] < 46) & (output["strides"] == 4)
    assert (output["class_logits"].grad[0][inside] != 0).any().item() is touched
    assert (output["class_logits"].grad[0][~inside] != 0).any()


def test_an_object_in_an_unlabelled_region_counts():
    head = small_head()
    output = head(features(), SIZE)
    output["class_logits"].retain_grad()
    head.loss(output, [TWO | dict(ignore=torch.tensor([[0.0, 0, 96, 64]]))]).backward()
    touched = (output["class_logits"].grad[0] != 0).any(1)
    owner = assign_boxes(output["points"], output["strides"], TWO["boxes"], reach=8.0)
    assert touched.tolist() == (owner >= 0).tolist()


def test_losses_are_means_over_images():
    head = small_head()
    whole = head.losses(head(features(2), SIZE), [TWO, NOTHING])
    halves = []
    for i, target in enumerate((TWO, NOTHING)):
        half = {name: value[i : i + 1] for name, value in features(2).items()}
        halves.append(head.losses(head(half, SIZE), [target]))
    for name, value in whole.items():
        torch.testing.assert_close(value, (halves[0][name] + halves[1][name]) / 2)


def test_an_empty_scene_has_a_gradient_and_no_box_loss():
    head = small_head()
    losses = head.losses(head(features(), SIZE), [NOTHING])
    assert losses["boxes"] == 0 and losses["quality"] == 0 and losses["classes"] > 0
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


def test_the_gradient_reaches_all_of_head_and_neck():
    head = small_head()
    x = {name: value.requires_grad_() for name, value in features().items()}
    wide = dict(boxes=torch.tensor([[8.0, 10, 28, 30], [0, 0, 60, 50], [0, 0, 96, 64], [0, 0, 150, 60]]))
    head.loss(head(x, SIZE), [wide | dict(labels=torch.tensor([1, 2, 3, 4]))]).backward()
    assert not [name for name, p in head.named_parameters() if not p.grad.abs().sum() > 0]
    assert all(value.grad.abs().sum() > 0 for value in x.values())


def test_one_scene_is_learned_by_heart(one_thread):
    head = small_head()
    optimizer = torch.optim.AdamW(head.parameters(), lr=5e-3)
    losses = []
    for _ in range(100):
        loss = head.loss(head(features(), SIZE), [TWO])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3
    found = head.decode(head(features(), SIZE), 0.5)[0]
    overlap = box_iou(found["boxes"], TWO["boxes"])
    assert (overlap.amax(0) > 0.85).all()
    assert found["labels"].tolist() == TWO["labels"][overlap.argmax(1)].tolist()


# --- decoding


def test_a_perfect_output_decodes_to_its_boxes(places):
    answers = answers_of(places, TWO["boxes"])
    answers["class_logits"][:, [0, 3]] = answers["class_logits"][:, [3, 0]]
    batched = {name: answers[name][None] for name in ("class_logits", "distances", "quality")}
    found = small_head().decode(answers | batched | dict(image_size=SIZE))
    assert len(found) == 1 and found[0]["labels"].tolist() == [4, 4]
    order = found[0]["boxes"][:, 0].argsort()
    torch.testing.assert_close(found[0]["boxes"][order], TWO["boxes"])


def test_scores_are_geometric_means_and_boxes_end_at_the_image():
    answers = dict(points=torch.tensor([[2.0, 2], [50, 30]]), strides=torch.tensor([4.0, 4]), image_size=SIZE)
    answers["class_logits"] = torch.logit(torch.tensor([[[0.64, 0.01], [0.01, 0.36]]]))
    answers["quality"] = torch.logit(torch.tensor([[1.0, 0.25]]), eps=1e-7)
    answers["distances"] = torch.full((1, 2, 4), 10.0)
    found = small_head().decode(answers, score_threshold=0.2)[0]
    torch.testing.assert_close(found["scores"], torch.tensor([0.8, 0.3]), rtol=1e-4, atol=1e-4)
    assert found["labels"].tolist() == [1, 2]
    assert found["boxes"].tolist() == [[0, 0, 12, 12], [40, 20, 60, 40]]
    assert len(small_head().decode(answers, score_threshold=0.5)[0]["boxes"]) == 1


def test_overlapping_boxes_go_within_a_class_alone():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10]])
    scores = torch.tensor([[0.9, 0], [0.8, 0], [0, 0.7]])
    strides = torch.tensor([4.0, 8, 16])
    found = select_boxes(scores, boxes, strides, 0.05, 0.5)
    assert found["scores"].tolist() == pytest.approx([0.9, 0.7]) and found["labels"].tolist() == [1, 2]
    assert len(select_boxes(scores, boxes, strides, 0.05, 0.9)["boxes"]) == 3


def test_each_level_sends_its_best_and_few_remain():
    torch.manual_seed(0)
    corners = 2 * torch.arange(500.0)[:, None].expand(-1, 2)
    boxes = torch.cat([corners, corners + 1], 1)
    scores = torch.rand(500, 1) * 0.5 + 0.5
    strides = torch.tensor([4.0] * 495 + [8.0] * 5)
    scores[-5:] = 0.4  # the second level's: worse than all of the first
    found = select_boxes(scores, boxes, strides, 0.05, 0.5, candidates=10)
    assert len(found["boxes"]) == 15 and (found["scores"].diff() <= 0).all()
    assert len(select_boxes(scores, boxes, strides, 0.05, 0.5)["boxes"]) == 100
    assert not len(select_boxes(scores, torch.zeros(500, 4), strides, 0.05, 0.5)["boxes"])


# --- in a model


def test_the_field_chooses_the_head():
    assert isinstance(dense_model().heads["detection"], DenseHead)
    config = make_config("smoke")
    assert config.detection_head == "region"
    assert isinstance(model_from_config(config).heads["detection"], DetectionHead)
    assert isinstance(model_from_config(config.replace(detection_head="dense")).heads["detection"], DenseHead)
    with pytest.raises(UserError, match="detection_head is 'yolo': expected one of region, dense"):
        MultiTaskModel("resnet10", detection_head="yolo")
    with pytest.raises(UserError, match="detection_neck is 'bifpn'"):
        DenseHead(CHANNELS, neck="bifpn")


def test_the_default_head_is_the_one_it_was():
    "Names, shapes and order of its weights, as in stored checkpoints."
    state = MultiTaskModel("resnet10", tasks="detection", neck_channels=64, anchor_scale=2.0).state_dict()
    head = [name for name in state if name.startswith("heads.")]
    assert len(head) == 30 and head[0] == "heads.detection.neck.inner_blocks.0.0.weight"
    assert head[-1] == "heads.detection.roi.box_predictor.bbox_pred.bias"
    assert not any("tower" in name for name in head)


def test_a_run_with_the_default_head_keeps_its_hash():
    plain = config_hash(run_configs({}, 0))
    assert config_hash(run_configs(dict(detection_head="region"), 0)) == plain == "b7d41b88"
    assert config_hash(run_configs(dict(detection_head="dense"), 0)) != plain


def test_a_config_from_before_the_field_means_region():
    stored = make_config("smoke").to_dict()
    del stored["detection_head"]
    assert Config.from_dict(stored) == make_config("smoke")
    assert checkpoint_config(dict(config=stored), "old.pt").detection_head == "region"


@pytest.mark.parametrize("neck", ["fpn", "c5"])
@pytest.mark.parametrize("size", [(32, 32), (70, 99)])
def test_any_size_from_32_works_with_both_necks(size, neck):
    model = dense_model(detection_neck=neck)
    output = model(torch.randn(1, 3, *size), task="detection")
    assert output["strides"].unique().tolist() == (list(STRIDES) if neck == "fpn" else [32])
    assert model.compute_loss({"detection": output}, {"detection": [TWO]}).isfinite()
    found = model.eval().decode_detections(model(torch.randn(1, 3, *size), task="detection"), 0.0)[0]
    assert len(found["boxes"]) and (found["boxes"] <= torch.tensor([*size[::-1], *size[::-1]])).all()


def test_the_output_is_float32_under_bf16():
    model = dense_model()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(torch.randn(2, 3, *SIZE), task="detection")
        loss = model.compute_loss({"detection": output}, {"detection": [TWO, NOTHING]})
    assert {output[name].dtype for name in ("class_logits", "distances", "quality")} == {torch.float32}
    assert loss.dtype == torch.float32 and loss.isfinite()
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.heads.parameters())


def test_an_image_is_answered_alone_as_in_a_batch():
    model = dense_model().eval()
    images = torch.randn(2, 3, *SIZE)
    pair = model.decode_detections(model(images)["detection"], 0.05)
    alone = model.decode_detections(model(images[1:])["detection"], 0.05)[0]
    torch.testing.assert_close(pair[1]["boxes"], alone["boxes"], rtol=1e-3, atol=1e-2)


def test_streamed_gradient_is_the_gradient_of_the_sum(smoke):
    config = smoke.replace(precision="32-true", detection_head="dense", classification_batch_size=4)
    torch.manual_seed(0)
    model = model_from_config(config).eval()
    batch = next(iter(create_dataloaders(config)[0]))
    compute_gradients(start_fabric(config), model, batch)
    streamed = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    model.compute_loss(model(batch["images"]), batch).backward()
    for n, p in model.named_parameters():
        assert (p.grad - streamed[n]).norm() <= 1e-4 * p.grad.norm() + 1e-7, n


def test_a_stopped_training_goes_on_with_the_same_digits(smoke, tmp_path, monkeypatch):
    def fields(name):
        tasks = dict(tasks="detection", detection_head="dense", steps_per_epoch=1, epochs=2)
        return make_config("smoke", results_dir=str(tmp_path / name), **tasks)

    def stop(run, path, real=TrainState.save):
        if path.name == "last.pt" and run.epoch == 2:
            raise KeyboardInterrupt
        real(run, path)

    whole = train(fields("whole"), progress=False)
    with monkeypatch.context() as m:
        m.setattr(TrainState, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            train(fields("stopped"), progress=False)
    resumed = train(fields("stopped"), resume=True, progress=False)
    weights = resumed.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in whole.model.state_dict().items())
    model = load_model(tmp_path / "stopped" / "checkpoints" / "last.pt")
    assert isinstance(model.heads["detection"], DenseHead) and model.config.detection_head == "dense"


def test_weights_of_the_other_head_are_named_and_left_out(smoke, tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "region.pt"
    torch.save(dict(model=model_from_config(smoke).state_dict(), config=smoke.to_dict()), path)
    model = model_from_config(smoke.replace(detection_head="dense"))
    with pytest.warns(UserWarning, match="region.pt: its detection head does not fit: it starts anew"):
        assert load_fitting_weights(model, path) == ["detection"]
    given = read_checkpoint(path)["model"]
    assert torch.equal(model.state_dict()["backbone.layer1.0.conv1.weight"], given["backbone.layer1.0.conv1.weight"])


def test_layers_add_up_to_the_network(smoke):
    model = model_from_config(smoke.replace(detection_head="dense"))
    table = layer_table(model, {task: smoke.image_size_of(task) for task in model.tasks})
    assert table["parameters"].sum() == sum(p.numel() for p in model.parameters())
    assert table[table["part"] == "detection"]["layer"].tolist() == ["neck", "tower", "classes", "boxes"]


def test_the_prediction_browser_shows_its_boxes(smoke):
    torch.manual_seed(0)
    config = smoke.replace(detection_head="dense", tasks="detection")
    model = model_from_config(config).eval()
    model.config = config
    browser = PredictionBrowser(model, images=2, progress=False)
    view = browser.stacks["detection"].view
    found = view.found(dict(nms=0.5))
    output = model(torch.randn(2, 3, *config.detection_size))["detection"]
    pieces = view.split_output(output)
    together = model.decode_detections(output)
    assert len(found) == 2 and len(pieces) == 2
    for piece, expected in zip(pieces, together):
        assert torch.equal(model.decode_detections(piece)[0]["boxes"], expected["boxes"])
