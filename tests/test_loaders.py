"""Batches are a function of seed and step; augmentation moves labels with the picture."""

import cv2
import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from mtl_course.config import TASKS, make_config
from mtl_course.core.errors import UserError
from mtl_course.data.augment import augment
from mtl_course.data.loaders import MultiTaskBatchSampler, create_dataloaders, evaluation_loader, normalise
from mtl_course.data.sampling import TaskSampler
from mtl_course.data.sources import CachedDataset, _is_world, make_reader, prepare_data
from mtl_course.world.signs import SIGN_MIRROR
from test_readers import write_small_data

OFF = {f"use_{k}": False for k in ("horizontal_flip", "rotation", "brightness", "contrast", "gaussian_noise")}
KEYS_OF_STEP_701 = [
    ("lane", 0, 6356667260441651323),
    ("lane", 3, 686932610728810089),
    ("detection", 11, 7044137513585481285),
    ("detection", 10, 6100003538233107660),
    ("detection", 4, 9110148245513387930),
    ("detection", 0, 8627529032694497859),
]


def same(a, b):
    "Whether two batches hold the same images, masks and names."
    images = [torch.equal(a["images"][t], b["images"][t]) for t in TASKS]
    return all(images) and torch.equal(a["lane"], b["lane"]) and a["files"] == b["files"]


def sampled_images(sampler, task, steps):
    "The images that the first steps take of one task, in order."
    images = []
    for step in range(steps):
        images += [i for t, i, _ in sampler.keys(step) if t == task]
    return images


@pytest.mark.parametrize(
    "changes", [dict(num_workers=2), dict(cache_images=False), dict(num_workers=1, cache_images=False)]
)
def test_batches_do_not_depend_on_workers_or_cache(smoke, changes):
    for a, b in zip(create_dataloaders(smoke)[0], create_dataloaders(make_config("smoke", **changes))[0], strict=True):
        assert same(a, b)


def test_an_epoch_can_be_entered_anywhere(smoke):
    loader, _ = create_dataloaders(smoke)
    whole = list(loader)
    loader.batch_sampler.epoch, loader.batch_sampler.start = 0, 5
    rest = list(loader)
    assert len(rest) == 3 and all(same(a, b) for a, b in zip(whole[5:], rest, strict=True))
    assert not same(whole[0], whole[1])


@pytest.mark.parametrize("workers", [0, 1])
def test_one_epoch_leads_to_the_next(smoke, workers):
    """The plain loop, in which nobody sets the epoch, sees new batches: those that training gets by
    setting it.
    """
    loader, _ = create_dataloaders(make_config("smoke", tasks="lane", steps_per_epoch=3, num_workers=workers))
    plain = []
    for _ in range(3):
        plain.append([b["files"]["lane"] for b in loader])
    assert [len(e) for e in plain] == [3, 3, 3] and plain[0] != plain[1] != plain[2] != plain[0]
    for epoch, start in ((1, 0), (0, 2), (2, 1)):
        loader.batch_sampler.epoch, loader.batch_sampler.start = epoch, start
        assert [b["files"]["lane"] for b in loader] == plain[epoch][start:]
    assert (loader.batch_sampler.epoch, loader.batch_sampler.start, len(loader)) == (3, 0, 3)
    next(iter(loader))
    assert len(loader) == 3  # a pass that is broken off …
    if not workers:
        assert loader.batch_sampler.epoch == 3  # … is not counted


def test_the_batch_size_that_is_asked_for(smoke):
    batch = next(iter(create_dataloaders(recipe="smoke", batch_size=4)[0]))
    assert {t: len(x) for t, x in batch["images"].items()} == dict.fromkeys(TASKS, 4)


def test_every_image_comes_once_per_pass():
    first = sampled_images(MultiTaskBatchSampler({"lane": 7}, {"lane": 3}, seed=1), "lane", 7)
    assert sorted(first[:7]) == sorted(first[7:14]) == sorted(first[14:]) == list(range(7))
    assert first[:7] != first[7:14]
    assert first != sampled_images(MultiTaskBatchSampler({"lane": 7}, {"lane": 3}, seed=2), "lane", 7)


def test_the_keys_are_those_of_every_run_so_far():
    sampler = MultiTaskBatchSampler({"lane": 5, "detection": 12}, {"lane": 2, "detection": 4}, seed=0)
    assert sampler.keys(701) == KEYS_OF_STEP_701


def test_an_epoch_is_one_pass_over_the_slowest_task():
    sampler = MultiTaskBatchSampler({"lane": 5, "detection": 13}, {"lane": 2, "detection": 4}, seed=0)
    assert len(sampler) == 4
    assert len(MultiTaskBatchSampler({"lane": 5}, {"lane": 2}, seed=0, steps=11)) == 11


def test_one_task_is_drawn_for_each_step():
    images = {"lane": 5, "detection": 15}
    sampler = MultiTaskBatchSampler(images, {"lane": 2, "detection": 4}, seed=0)
    every = [sampler.keys(step) for step in range(100)]
    sampler.draw = TaskSampler(images, 0, 100)
    for step in range(100):
        task = sampler.draw.task(step)
        assert sampler.keys(step) == [key for key in every[step] if key[0] == task]


def test_augmentation_is_a_function_of_its_seed(smoke):
    scene = make_reader(smoke, "detection", "train")[0]
    before = scene["image"].clone()
    a, b, c = (augment(scene, "detection", smoke, seed) for seed in (5, 5, 6))
    assert torch.equal(a["image"], b["image"]) and torch.equal(a["boxes"], b["boxes"])
    assert not torch.equal(a["image"], c["image"])
    assert torch.equal(scene["image"], before)  # the original is untouched


def test_processes_share_a_step_without_overlap():
    images = {"lane": 50, "detection": 9}
    batch_sizes = {"lane": 4, "detection": 2}
    whole = MultiTaskBatchSampler(images, batch_sizes, 0).keys(17)
    parts = [MultiTaskBatchSampler(images, batch_sizes, 0, rank=r, processes=2).keys(17) for r in (0, 1)]
    assert sorted(parts[0] + parts[1]) == sorted(whole) and not set(parts[0]) & set(parts[1])
    with pytest.raises(UserError, match="multiple"):
        MultiTaskBatchSampler({"lane": 50}, {"lane": 3}, 0, processes=2)


def test_mirroring_moves_boxes_masks_and_sign_classes():
    config = make_config("smoke", **OFF | dict(use_horizontal_flip=True))
    image = tv_tensors.Image(torch.arange(3 * 4 * 10, dtype=torch.uint8).view(3, 4, 10))

    def box(b):
        return tv_tensors.BoundingBoxes(torch.tensor(b), format="XYXY", canvas_size=(4, 10))

    scene = dict(
        image=image, boxes=box([[1.0, 0, 4, 3]]), labels=torch.tensor([1]), ignore=box([[7.0, 0, 9, 3]]), file=""
    )
    lane = dict(image=image, mask=tv_tensors.Mask((torch.arange(10) == 2).to(torch.uint8).expand(4, 10)), file="")
    flipped = 0
    for seed in range(20):
        s, m = augment(scene, "detection", config, seed), augment(lane, "lane", config, seed)
        if torch.equal(s["image"], image):
            assert s["boxes"].tolist() == [[1, 0, 4, 3]]
            continue
        flipped += 1
        assert (
            torch.equal(s["image"], image.flip(-1))
            and s["boxes"].tolist() == [[6, 0, 9, 3]]
            and s["ignore"].tolist() == [[1, 0, 3, 3]]
        )
        assert m["mask"][0].argmax() == 7
    assert 4 < flipped < 16
    for label in range(43):
        for seed in range(8):
            s = augment(dict(image=image, label=label), "classification", config, seed)
            mirrored = not torch.equal(s["image"], image)
            assert s["label"] == (SIGN_MIRROR[label] if mirrored else label) and (label in SIGN_MIRROR or not mirrored)


@pytest.mark.parametrize("flag", ["rotation", "brightness", "contrast", "gaussian_noise"])
def test_each_flag_does_something_and_off_is_off(flag, smoke):
    sample = make_reader(smoke, "detection", "train")[0]
    assert torch.equal(augment(sample, "detection", make_config("smoke", **OFF), 3)["image"], sample["image"])
    assert not torch.equal(
        augment(sample, "detection", make_config("smoke", **OFF | {f"use_{flag}": True}), 3)["image"], sample["image"]
    )


def test_signs_are_cut_out_a_little_differently_each_time():
    rng = np.random.default_rng(0)
    pixels = cv2.circle(np.full((48, 48, 3), 40, np.uint8), (24, 24), 14, (200, 30, 30), -1, cv2.LINE_AA)
    image = tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1))
    sample = dict(image=image, label=14, file="")
    config = make_config("smoke", **OFF | dict(use_recropping=True))
    widths, middles = [], []
    for seed in rng.integers(2**31, size=200):
        cut = augment(sample, "classification", config, int(seed))
        assert type(cut["image"]) is tv_tensors.Image and cut["image"].shape == image.shape and cut["label"] == 14
        columns = (cut["image"][0] > 120).any(0).nonzero().flatten()
        widths.append(len(columns))
        middles.append(columns.float().mean().item())
    assert 28 < np.mean(widths) < 33 and 2 < np.std(widths) < 5  # 29 pixels, enlarged by 5 ± 9 %
    assert abs(np.mean(middles) - 24) < 0.5 and 0.8 < np.std(middles) < 1.8  # ± 2.5 % of 48 pixels
    scene = dict(image=image, boxes=torch.ones(1, 4), file="")
    assert TASKS["detection"].recrop(scene, rng) is scene  # a whole picture was never cut


def test_slivers_are_dropped_with_their_labels():
    image = tv_tensors.Image(torch.zeros(3, 10, 10, dtype=torch.uint8))
    boxes = tv_tensors.BoundingBoxes(
        torch.tensor([[8.5, 0, 30, 5], [1, 1, 9, 9.0]]), format="XYXY", canvas_size=(10, 10)
    )
    s = augment(
        dict(image=image, boxes=boxes, labels=torch.tensor([3, 5]), ignore=boxes[:0], file=""),
        "detection",
        make_config("smoke", **OFF),
        0,
    )
    assert s["boxes"].tolist() == [[1, 1, 9, 9]] and s["labels"].tolist() == [5]


def test_a_batch_does_not_alias_the_data_set(smoke):
    data = CachedDataset(make_reader(smoke, "detection", "train"))
    before = [s["boxes"].clone() for s in data.samples]
    loader = create_dataloaders(smoke)[0]
    for batch in loader:
        for t in batch["detection"]:
            t["boxes"].add_(100)
    loader.batch_sampler.epoch = 0
    assert all(torch.equal(a, s["boxes"]) for a, s in zip(before, data.samples))
    again = next(iter(loader))["detection"]
    assert all((t["boxes"] <= 320).all() for t in again)


def test_evaluation_sees_every_image_once(smoke):
    for part in ("val", "test"):
        files = []
        for batch in evaluation_loader(smoke, part):
            files += sum(batch["files"].values(), [])
        expected = sum([list(make_reader(smoke, t, part).files) for t in TASKS], [])
        assert files == expected and len(set(files)) == len(files)


def test_parts_do_not_overlap(smoke):
    for task in TASKS:
        parts = [set(make_reader(smoke, task, p).files) for p in ("train", "val", "test")]
        assert all(parts) and not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_normalise_by_hand():
    x = normalise(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8))
    torch.testing.assert_close(
        x[0, :, 0, 0], torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    )


@pytest.mark.parametrize("name", ["world_real", "worldwide", "world"])
def test_real_data_may_have_any_name(tmp_path, name):
    write_small_data(tmp_path / name)
    assert prepare_data(make_config("smoke", data_root=str(tmp_path / name)), progress=False) == tmp_path / name
    assert not _is_world(tmp_path / name) and not (tmp_path / name / "manifest.json").exists()
    assert _is_world(tmp_path / "new" / "world-tiny") and not _is_world(
        tmp_path / "new" / "world-of-mine"
    )  # the default names are made when they are missing
    with pytest.raises(UserError, match="mtl_data make"):
        prepare_data(make_config("smoke", data_root=str(tmp_path / "new" / "world-of-mine")), progress=False)


def test_missing_data_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="mtl_data get"):
        create_dataloaders(recipe="smoke", data_root=str(tmp_path / "nothing"))
