"""The picture of the README: what the network in the box sees on held-out images of the world that
`make train` draws.

python benchmarks/readme_picture.py --out results/readme.png
"""

import cv2, numpy as np, torch
from fastcore.script import Param, call_parse
from mtl_course.evaluation.predict import draw_described, predict_image
from mtl_course.config import make_config
from mtl_course.core.files import atomic_write, resolve
from mtl_course.data.loaders import normalise
from mtl_course.data.sources import make_reader, prepare_data
from mtl_course.data.images import read_image
from mtl_course.models import load_model


def read_sign(model, image):
    "The class that the model reads on a crop (3, h, w) uint8."
    with torch.inference_mode():
        return model(normalise(image.as_subclass(torch.Tensor))[None], task="classification").argmax().item()


def pictures(model, task, indices):
    "RGB pictures of some test images with the model's answer drawn on them."
    reader = make_reader(model.config, task, "test")
    for i in indices:
        image = read_image(reader.path(i))[0].permute(1, 2, 0).numpy()
        yield draw_described(image, predict_image(model, image, (task,)))


def sign_strip(model, width, count=12):
    "A row of sign crops, a green or red edge for right or wrong."
    reader = make_reader(model.config, "classification", "test")
    size, cells = width // count, []
    for i in np.linspace(0, len(reader) - 1, count).astype(int):
        image = reader[i]["image"]
        right = read_sign(model, image) == reader[i]["label"]
        cell = cv2.resize(image.permute(1, 2, 0).numpy(), (size - 8, size - 8), interpolation=cv2.INTER_LINEAR)
        cells.append(
            cv2.copyMakeBorder(cell, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=(0, 158, 115) if right else (213, 94, 0))
        )
    return cv2.resize(np.hstack(cells), (width, size))


@call_parse
def main(
    checkpoint: Param("the trained model", str) = "evening",
    out: Param("the picture to write", str) = "results/readme.png",
    scenes: Param("test scenes to show, comma-separated", str) = "3,8",
    lanes: Param("test lane images to show, comma-separated", str) = "2,5",
):
    "Draws the README's picture."
    model, width = load_model(checkpoint), 1000
    model.config = model.config.on_data(make_config("laptop").data_root)
    prepare_data(model.config)
    rows = []
    for task, wanted in (("detection", scenes), ("lane", lanes)):
        pair = list(pictures(model, task, map(int, wanted.split(","))))
        rows.append(
            np.hstack(
                [
                    cv2.resize(
                        p, (width // 2, round(p.shape[0] * width / 2 / p.shape[1])), interpolation=cv2.INTER_AREA
                    )
                    for p in pair
                ]
            )
        )
    picture = np.vstack([*rows, sign_strip(model, width)])
    with atomic_write(resolve(out)) as t:
        cv2.imwrite(str(t), picture[..., ::-1])
    print(out, picture.shape)
