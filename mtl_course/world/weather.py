"""Light, air and sensor settings of a scene."""

import math
from dataclasses import dataclass

import numpy as np

from ..core.errors import UserError
from .chance import weighted_choice

__all__ = []

WEATHERS = dict(clear=0.34, cloudy=0.26, low_sun=0.12, fog=0.07, rain=0.09, dusk=0.07, night=0.05)  # name -> share

_CLOUDY = dict(
    ambient=0.62, direct=0.06, air=(186, 194, 202.0), haze=0.0022, sky=((150, 165, 182), (214, 220, 224))
)  # the others say what differs
_OTHERS = dict(
    clear=dict(ambient=0.42, direct=0.62, haze=0.0013, air=(196, 208, 222.0), sky=((70, 125, 205), (205, 222, 238))),
    cloudy={},
    fog=dict(air=(202, 206, 208.0), sky=((196, 200, 204), (204, 208, 210))),
    low_sun=dict(
        ambient=0.36,
        direct=0.72,
        haze=0.004,
        air=(232, 208, 170.0),
        tint=(1.06, 1.0, 0.9),
        sky=((120, 150, 200), (248, 222, 176)),
    ),
    rain=dict(
        ambient=0.52,
        direct=0.02,
        haze=0.008,
        wet=1.0,
        air=(166, 172, 178.0),
        sky=((128, 136, 146), (176, 182, 188)),
    ),
    dusk=dict(
        ambient=0.5,
        direct=0.1,
        haze=0.003,
        air=(150, 130, 130.0),
        tint=(1.05, 0.97, 1.02),
        night=0.4,
        sky=((64, 84, 132), (214, 150, 120)),
    ),
    night=dict(
        direct=0.0,
        haze=0.003,
        air=(24, 26, 34.0),
        tint=(1.02, 0.98, 0.95),
        night=1.0,
        sky=((10, 13, 24), (34, 36, 48)),
    ),
)


@dataclass
class Weather:
    """Light, air and sensor of one scene; colours are RGB 0..255."""

    name: str
    sun: np.ndarray  # unit vector towards the sun
    ambient: float  # light from everywhere
    direct: float  # strength of the sun, 0 = overcast
    air: np.ndarray  # colour that distance fades to
    haze: float  # beta, 1/m
    sky: tuple  # colours at the zenith and at the horizon
    exposure: float = 1.0
    tint: tuple = (1.0, 1.0, 1.0)
    night: float = 0.0  # 0 day .. 1 night: lamps and headlights
    wet: float = 0.0

    def shade(
        self,
        colour: np.ndarray,  # (..., 3) of the surfaces
        light,  # n·l that they receive, a number or (..., 1)
        z: float,  # metres away
    ) -> np.ndarray:
        """Colours as they are seen: lit after Lambert (1760), faded with distance after
        Koschmieder (1924)."""
        t = math.exp(-self.haze * min(z, 250))
        lit = self._light(light, z)
        return np.minimum(np.asarray(colour) * (lit * t) + self.air * (1 - t), 255)

    def tone(self, colour, light: float, z: float) -> list[float]:
        """`shade` for one colour, in plain numbers."""
        t = math.exp(-self.haze * min(z, 250))
        lit = self._light(light, z) * t
        return [min(c * lit + air * (1 - t), 255.0) for c, air in zip(colour, self.air.tolist())]

    def _light(self, light, z):
        """Ambient light, the sun's, and that of our headlights."""
        return self.ambient + self.direct * light + 0.7 * self.night * max(0.0, 1 - z / 45)


def make_weather(
    rng: np.random.Generator,
    name: str | None = None,  # a key of WEATHERS; None: drawn by their shares
) -> Weather:
    """Random weather; raises `UserError` for an unknown name."""
    if name is None:
        name = weighted_choice(rng, WEATHERS)
    if name not in WEATHERS:
        raise UserError(f"weather must be one of {', '.join(WEATHERS)}, got {name!r}.")
    low = rng.uniform(0.12, 0.3)
    high = rng.uniform(0.5, 1.1)
    height = dict(low_sun=low, dusk=0.1).get(name, high)  # radians above the horizon
    angle = rng.uniform(0, 2 * math.pi)
    sun = np.array([math.cos(angle) * math.cos(height), math.sin(height), math.sin(angle) * math.cos(height)])
    look = _CLOUDY | _OTHERS[name]
    drawn = dict(fog=dict(haze=rng.uniform(0.012, 0.035)), night=dict(ambient=rng.uniform(0.3, 0.45)))
    look |= drawn.get(name, {})
    look["air"] = np.array(look["air"])
    return Weather(name, sun, exposure=float(np.exp(rng.normal(0.06, 0.16))), **look)
