"""A picture under construction: everything is drawn from far to near, into colours and owners at
once."""

import cv2
import numpy as np

from .camera import Camera
from .textures import material_patch
from .weather import Weather

__all__ = []


def to_fixed_point(pixels: np.ndarray) -> np.ndarray:
    """Pixel coordinates as OpenCV's fixed point numbers, in sixteenths; far outside is cut off."""
    return np.rint(np.minimum(np.maximum(pixels, -9000.0), 9000.0) * 16).astype(np.int32)


class Canvas:
    """Two pictures of one size, on which polygons are painted together: colours, and who owns each
    pixel.

    Counting the owners when all is drawn gives the share of every object that is visible."""

    NOBODY = 0  # owner of what carries no label; objects are 1, 2, ...
    FIRST_SIGN = 200
    BUILDING = 254  # while it is drawn
    ROAD = 255  # the road surface

    def __init__(self, camera: Camera, weather: Weather, rng: np.random.Generator):
        self.camera = camera
        self.weather = weather
        self.rng = rng
        self.image = np.zeros((camera.height, camera.width, 3), np.uint8)
        self.owner = np.zeros((camera.height, camera.width), np.uint8)
        self.drawn: dict[int, int] = {}  # pixels of each owner when it was drawn
        self.lamps: list[tuple] = []  # (x, y, radius, colour, owner) of lights that glow

    def fill(self, polygon: np.ndarray, colour, owner: int | None = None):
        """One polygon (N, 2) in pixels."""
        self.paint([to_fixed_point(polygon)], colour, owner)

    def paint(self, outlines: list[np.ndarray], colour, owner: int | None):
        """Polygons in fixed point numbers; where they overlap an even number of times nothing is
        painted."""
        cv2.fillPoly(self.image, outlines, colour, cv2.LINE_AA, 4)
        if owner is not None:
            cv2.fillPoly(self.owner, outlines, owner, cv2.LINE_8, 4)

    def quads(self, world: np.ndarray, colours: list, owner: int | None = None):
        """Polygons (n, N, 3) in metres, one after the other, each in its colour."""
        for outline, colour in zip(to_fixed_point(self.camera.project(world)), colours):
            self.paint([outline], colour, owner)

    def around(self, box) -> np.ndarray:
        """The owners in a box (x1 y1 x2 y2) and three pixels around it, as a view; polygons
        reach out less."""
        x1 = max(int(box[0] - 3), 0)
        y1 = max(int(box[1] - 3), 0)
        x2 = max(int(box[2] + 4), 0)
        y2 = max(int(box[3] + 4), 0)
        return self.owner[y1:y2, x1:x2]

    def count(self, owner: int, box=None):
        """Remember how many pixels an owner has just after it was drawn (in a box around it)."""
        owners = self.owner if box is None else self.around(box)
        self.drawn[owner] = cv2.countNonZero(cv2.compare(owners, owner, cv2.CMP_EQ)) if owners.size else 0

    def roughen(
        self,
        box,  # x1 y1 x2 y2 in pixels
        material: str,  # "plaster", "leaves" or "metal"
        mask,  # function of (x1, y1, x2, y2): which pixels, non-zero where they are meant
        stretch: bool = False,  # the whole texture stretched, or a random cut-out
    ):
        """Multiply pixels of a box by a texture."""
        x1 = int(max(box[0], 0))
        y1 = int(max(box[1], 0))
        x2 = int(min(box[2] + 1, self.camera.width))
        y2 = int(min(box[3] + 1, self.camera.height))
        if x2 - x1 < 6 or y2 - y1 < 6:
            return
        texture = material_patch(material, x2 - x1, y2 - y1, self.rng, stretch)
        patch = self.image[y1:y2, x1:x2]
        rough = cv2.multiply(patch, texture, scale=1 / 128)
        cv2.copyTo(rough, mask(x1, y1, x2, y2), patch)
