"""Boxes, lanes and a sign's name on a picture."""

import cv2
import numpy as np

from ..config import DETECTION_CLASSES
from ..core.inputs import check_picture
from ..core.task import TASKS
from .style import CLASS_COLOURS, LANE_COLOURS, rgb

__all__ = ["draw_predictions"]

IGNORED_COLOUR = (150, 150, 150)
MASK_OPACITY = 0.55


def draw_predictions(
    image: np.ndarray,  # uint8 (H, W, 3), RGB
    boxes=(),  # (N, 4) XYXY in pixels of `image`
    labels=(),  # (N,) 1..7
    scores=None,  # (N,) in 0..1; None for true boxes
    lanes=(),  # lists of x in pixels of `image`, negative where absent, one per h_samples
    h_samples=(),  # heights in pixels of `image`
    lane_names=(),  # of each lane, written at its lower end
    lane_mask=None,  # (h, w) probability or mask in 0..1, any size
    sign: str = "",  # the name of a sign, as a banner
    sign_score: float | None = None,  # its probability, 0..1
    ignore=(),  # (M, 4) regions to be ignored, drawn in grey
    min_score: float = 0.0,  # boxes below are left out
) -> np.ndarray:  # uint8 (H, W, 3), RGB, a new array
    """Draws boxes, lanes and a sign's name on a copy of an image."""
    picture = np.ascontiguousarray(check_picture(image)).copy()
    width = picture.shape[1]
    line = max(1, round(width / 500))
    size = min(0.9, max(0.3, width / 1600))
    if lane_mask is not None:
        picture = _blend_mask(picture, lane_mask)
    _draw_lanes(picture, lanes, h_samples, 2 * line, lane_names, 0.8 * size)
    for box in np.asarray(ignore, np.float64).reshape(-1, 4):
        _draw_box(picture, box, IGNORED_COLOUR, line)
    _draw_boxes(picture, boxes, labels, scores, min_score, line, 0.8 * size)
    if sign:
        text = sign if sign_score is None else f"{sign} {100 * sign_score:.0f} %"
        _draw_text(picture, text, 0, 0, size, rgb(TASKS["classification"].colour))
    return picture


def _blend_mask(picture, mask):
    "A new picture with a lane mask of any size laid over it."
    height, width = picture.shape[:2]
    mask = cv2.resize(np.asarray(mask, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    share = MASK_OPACITY * mask[..., None]
    return (picture * (1 - share) + share * np.array(rgb(TASKS["lane"].colour))).astype(np.uint8)


def _draw_lanes(picture, lanes, h_samples, thickness, names, size):
    "Draws each lane in a colour of its own, at a sixteenth of a pixel, its name at the lower end."
    for k, lane in enumerate(lanes):
        points = [(float(x), float(y)) for x, y in zip(lane, h_samples) if x >= 0]
        if len(points) < 2:
            continue
        colour = rgb(LANE_COLOURS[k % len(LANE_COLOURS)])
        sixteenths = np.round(16 * np.array(points)).astype(np.int32)
        cv2.polylines(picture, [sixteenths], False, colour, thickness, cv2.LINE_AA, 4)
        if names:
            _draw_text(picture, names[k], *max(points, key=lambda point: point[1]), size, colour)


def _draw_boxes(picture, boxes, labels, scores, min_score, line, size):
    "Draws boxes with their class and score, the surest on top."
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    labels = np.asarray(labels, np.int64).reshape(-1)
    shown = range(len(boxes))
    if scores is not None:
        shown = [k for k in np.argsort(scores) if scores[k] >= min_score]
    for k in shown:
        name = DETECTION_CLASSES[labels[k] - 1]
        colour = rgb(CLASS_COLOURS[name])
        text = name if scores is None else f"{name} {100 * float(scores[k]):.0f}"
        _draw_box(picture, boxes[k], colour, line)
        _draw_text(picture, text, boxes[k][0], boxes[k][1] - 2, size, colour)


def _draw_box(picture, box, colour, line):
    "A coloured box on a wider black one."
    x1, y1, x2, y2 = (int(round(v)) for v in box)
    cv2.rectangle(picture, (x1, y1), (x2, y2), (0, 0, 0), line + 2)
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, line)


def _draw_text(picture, text, x, y, size, colour):
    """Black on a coloured ground (white if the ground is dark), the lower left corner at (x, y),
    kept inside the picture.
    """
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    x = max(0, min(int(x), picture.shape[1] - width - 2))
    y = max(height + 2, min(int(y), picture.shape[0] - below))
    cv2.rectangle(picture, (x, y - height - 2), (x + width + 2, y + below), colour, -1)
    ink = (0, 0, 0) if np.dot(colour, (0.3, 0.59, 0.11)) > 110 else (255, 255, 255)
    cv2.putText(picture, text, (x + 1, y), cv2.FONT_HERSHEY_SIMPLEX, size, ink, 1, cv2.LINE_AA)
