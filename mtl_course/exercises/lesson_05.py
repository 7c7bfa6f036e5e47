"""Checks of the exercises of 05_loaders."""

import torch

from .base import Slip, call, exercise, expect, expect_close, show

__all__ = []


@exercise("05.1")
def _check_times_seen(answer):
    slip = "500 steps take 500 times the images of one step; spread them evenly over the task's own images"
    expect_close(answer, [2.0, 2.5], "how often each sign and each road scene is seen", slip, tolerance=0.01)
    return "the batch sizes decide how often a task is trained, not the sizes of the data sets"


@exercise("05.2")
def _check_mirror_boxes(answer):
    boxes = torch.tensor([[0.0, 10.0, 30.0, 20.0], [60.0, 5.0, 100.0, 50.0], [12.5, 0.0, 87.5, 8.0]])
    expected = torch.tensor([[70.0, 10.0, 100.0, 20.0], [0.0, 5.0, 40.0, 50.0], [12.5, 0.0, 87.5, 8.0]])
    given = call(answer, boxes.clone(), 100)
    if isinstance(given, torch.Tensor) and given.shape == boxes.shape:
        sentence = f"{show(boxes[0])} in an image of 100 pixels became {show(given[0])}; expected x1 < x2"
        expect(bool((given[:, 0] < given[:, 2]).all()), f"{sentence}: mirrored, the right edge is the left one")
    slip = "The point x goes to W − x (edges, not pixels: W, not W − 1), and y stays"
    expect_close(given, expected, "the boxes of an image of 100 pixels, mirrored", slip)
    once_more = call(answer, torch.as_tensor(given, dtype=torch.float32), 100)
    expect_close(once_more, boxes, "what was mirrored twice", "Twice mirrored is as it was")
    empty = call(answer, torch.zeros(0, 4), 100)
    expect_close(
        empty, torch.zeros(0, 4), "the boxes of an image without any", "A scene may have no boxes: keep (0, 4)"
    )
    return "a box at the left edge now stands at the right one"


@exercise("05.3")
def _check_images_of_step(answer):
    n, per_step = 12, 5
    late = _images(answer, 11, n, per_step, 0)  # asked for first, before any other step
    sequence = []
    for step in range(12):  # 60 images: five whole passes
        sequence += _images(answer, step, n, per_step, 0)
    sentence = f"step 11 gave {late} when asked for first and {sequence[55:]} after the others"
    expect(
        sequence[55:] == late, f"{sentence}; expected the same: make the generator from the seed inside the function"
    )
    passes = [sequence[k : k + n] for k in range(0, len(sequence), n)]
    for k, order in enumerate(passes):
        missing = sorted(set(range(n)) - set(order))
        sentence = f"with n={n} and per_step={per_step}, images {12 * k} … {12 * k + 11} of the sequence lack {missing}"
        expect(not missing, f"{sentence}; expected every image once: a pass may end in the middle of a step")
    sentence = (
        f"two passes have the same order, {show(passes[0])}; expected each shuffled anew: let the pass decide, too"
    )
    expect(len({tuple(order) for order in passes}) == len(passes), sentence)
    other = _images(answer, 11, n, per_step, 1)
    expect(other != late, f"seeds 0 and 1 both gave {late} for step 11; expected that the seed decides the order")
    return "step 700 of a run that broke off is the one it would have been"


def _images(answer, step: int, n: int, per_step: int, seed: int) -> list[int]:
    "What an answer gives for a step, when it has the right form."
    given = call(answer, step, n, per_step, seed)
    try:
        images = [int(image) for image in given]
    except (TypeError, ValueError):
        raise Slip(f"you gave {show(given)} for step {step}; expected a list of {per_step} numbers") from None
    if len(images) != per_step or not set(images) <= set(range(n)):
        raise Slip(f"you gave {show(given)} for step {step}; expected {per_step} numbers from 0 to {n - 1}")
    return images
