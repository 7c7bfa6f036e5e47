"""What a model sees on one picture, in plain numbers, and the picture with it drawn."""

import numpy as np
import torch

from ..config import DETECTION_CLASSES
from ..data.images import to_image
from ..data.loaders import normalise
from ..models.lane_decoding import mask_to_lanes
from ..world.signs import SIGN_NAMES

__all__ = ["draw_found", "guess_tasks", "predict_image"]

_LARGEST_SIGN = 320  # pixels: a larger picture is taken for a road scene


def guess_tasks(
    height: int,  # pixels of the picture
    width: int,
    tasks: tuple,  # of the model
) -> tuple:  # those that make sense for such a picture
    "Sign crops are at most 320 pixels wide and nearly square; everything else is a road scene."
    longer = max(height, width)
    is_sign = longer <= _LARGEST_SIGN and longer < 1.5 * min(height, width)
    fitting = ("classification",) if is_sign else ("detection", "lane")
    return tuple(t for t in tasks if t in fitting) or tuple(tasks)


@torch.inference_mode()
def predict_image(
    model,  # from load_model
    image: np.ndarray,  # RGB uint8 (H, W, 3)
    tasks: tuple | None = None,  # default: guessed from the shape
    score_threshold: float = 0.5,  # smallest score of a box
) -> dict:  # "detections", "lanes" + "h_samples", "sign": whatever the tasks give
    "What the model sees on one picture, in plain numbers, coordinates in the picture's pixels."
    h, w = image.shape[:2]
    describe = {"classification": _describe_sign, "detection": _describe_boxes, "lane": _describe_lanes}
    device = next(model.parameters()).device
    described = {}
    for task in tasks or guess_tasks(h, w, model.tasks):
        resized = to_image(image[..., ::-1], model.config.image_size_of(task))
        x = normalise(resized.as_subclass(torch.Tensor))[None].to(device)
        output = model(x, task=task)
        described |= describe[task](model, output, (h, w), score_threshold)
    return described


def _describe_sign(model, logits, size, score_threshold):
    best = logits.softmax(1)[0].topk(3)
    signs = []
    for probability, label in zip(*best):
        signs.append(dict(class_id=int(label), name=SIGN_NAMES[label], probability=round(float(probability), 4)))
    return {"sign": signs}


def _describe_boxes(model, output, size, score_threshold):
    h, w = size
    height, width = model.config.image_size_of("detection")
    boxes = model.decode_detections(output, score_threshold)[0]
    scale = torch.tensor([w / width, h / height] * 2, device=boxes["boxes"].device)
    detections = []
    for box, label, score in zip(boxes["boxes"], boxes["labels"].tolist(), boxes["scores"]):
        corners = [round(float(v), 1) for v in box * scale]
        detections.append(dict(name=DETECTION_CLASSES[label - 1], score=round(float(score), 4), box=corners))
    return {"detections": detections}


def _describe_lanes(model, output, size, score_threshold):
    h = size[0]
    heights = list(range(int(h * 0.22) // 10 * 10, h, 10 if h >= 360 else 4))
    probability = output.softmax(1)[0, 1].float().cpu().numpy()
    return {"lanes": mask_to_lanes(probability, heights, size), "h_samples": heights}


def draw_found(
    image: np.ndarray,  # RGB uint8 (H, W, 3)
    described: dict,  # what `predict_image` returned
) -> np.ndarray:  # RGB uint8 (H, W, 3)
    "The picture with boxes, lanes and the sign's name on it."
    from ..plots.figures import draw_predictions  # matplotlib, only where something is drawn

    detections = described.get("detections", [])
    sign = described["sign"][0] if "sign" in described else None
    return draw_predictions(
        image,
        [d["box"] for d in detections],
        [DETECTION_CLASSES.index(d["name"]) + 1 for d in detections],
        [d["score"] for d in detections],
        described.get("lanes", ()),
        described.get("h_samples", ()),
        sign=sign["name"] if sign else "",
        sign_score=sign and sign["probability"],
    )
