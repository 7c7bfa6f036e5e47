"""Pictures of the world for lessons: a grid with titles, and a scene with its labels."""

import io

import cv2
import numpy as np

from .canvas import Canvas
from .scene import Scene

__all__ = []

_COLOURS = dict(
    Car=(86, 180, 233),
    Pedestrian=(230, 159, 0),
    Cyclist=(240, 228, 66),
    Van=(0, 114, 178),
    Truck=(213, 94, 0),
    Tram=(204, 121, 167),
    Misc=(255, 255, 255),
)  # as in all pictures of the course


def gallery(
    images: list[np.ndarray],  # (h, w, 3) or (h, w, 4) uint8 RGB, or (h, w) numbers
    titles: list[str] = (),  # one per picture
    columns: int = 4,
    width: float = 9.0,  # inches
):
    """Pictures in a grid, as one JPEG at twice the resolution: noise makes large PNGs."""
    from IPython.display import Image  # late: nothing else of the world needs it
    from matplotlib.figure import Figure

    rows = -(-len(images) // columns)
    tallest = max(image.shape[0] / image.shape[1] for image in images)
    room = 0.3 if len(titles) else 0.04  # inches above each row
    side = width / columns
    figure = Figure((width, rows * (side * tallest + room)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for ax in axes:
        ax.axis("off")
    for ax, image in zip(figure.axes, images):
        ax.imshow(image, interpolation="nearest" if image.shape[0] < 120 else "antialiased")
    for ax, title in zip(figure.axes, titles):
        ax.set_title(title, fontsize=12, pad=3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", dpi=144, pil_kwargs=dict(quality=32))
    return Image(data=buffer.getvalue(), format="jpeg", retina=True)


def draw_labels(scene: Scene) -> np.ndarray:
    """The picture with boxes of objects, lane points, signs (white) and ignored regions (grey)."""
    image = scene.image.copy()

    def frame(box, colour, width):
        corners = np.array(box, int).reshape(2, 2).tolist()
        cv2.rectangle(image, *corners, colour, width)

    for box in scene.ignored:
        frame(box, (150, 150, 150), 1)
    for o in scene.objects:
        frame(o.box, _COLOURS[o.name], 2)
        _write_name(image, o.name, o.box)
    for _, box in scene.signs:
        frame(box, (255, 255, 255), 1)
    for lane in scene.lanes:
        for x, y in zip(lane, scene.h_samples):
            if x >= 0:
                cv2.circle(image, (x, y), 2, (0, 255, 0), -1)
    return image


def _write_name(image: np.ndarray, name: str, box):
    "The name of a class on a strip of its colour, above the box."
    font = (cv2.FONT_HERSHEY_SIMPLEX, 0.5)
    (width, height), _ = cv2.getTextSize(name, *font, 1)
    left = int(np.clip(box[0], 0, image.shape[1] - width))
    bottom = max(int(box[1]), height + 4)
    cv2.rectangle(image, (left, bottom - height - 4), (left + width, bottom), _COLOURS[name], -1)
    cv2.putText(image, name, (left, bottom - 3), *font, (0, 0, 0), 1, cv2.LINE_AA)


def draw_owners(scene: Scene) -> np.ndarray:
    """Who owns each pixel: the road grey, road users each in a colour, everything else black."""
    colours = np.zeros((256, 3), np.uint8)
    colours[1:200] = np.random.default_rng(4).integers(80, 256, (199, 3))
    colours[Canvas.FIRST_SIGN : Canvas.BUILDING] = 255
    colours[Canvas.ROAD] = 90
    return colours[scene.owner]
