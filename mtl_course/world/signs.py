"""A network can learn to read real signs from drawings alone, if the drawings have the right shapes and the right troubles."""

__all__ = ['SIGN_NAMES', 'SIGN_MIRROR', 'draw_sign', 'draw_sign_crop', 'draw_sign_track']

import functools
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

SIGN_NAMES = (
    "Speed limit 20", "Speed limit 30", "Speed limit 50", "Speed limit 60", "Speed limit 70", "Speed limit 80",
    "End of speed limit 80", "Speed limit 100", "Speed limit 120", "No overtaking", "No overtaking by trucks",
    "Priority at next crossing", "Priority road", "Give way", "Stop", "No vehicles", "No trucks", "No entry",
    "Danger", "Bend to the left", "Bend to the right", "Double bend", "Bumpy road", "Slippery road",
    "Road narrows on the right", "Road works", "Traffic lights", "Pedestrians", "Children", "Bicycles", "Snow or ice",
    "Wild animals", "End of all limits", "Turn right", "Turn left", "Straight ahead", "Straight or right",
    "Straight or left", "Keep right", "Keep left", "Roundabout", "End of no overtaking",
    "End of no overtaking by trucks")  # index = GTSRB ClassId

_SYMMETRIC = (11, 12, 13, 15, 17, 18, 22, 26, 30, 35)
_PAIRS = ((19, 20), (33, 34), (36, 37), (38, 39))
SIGN_MIRROR = {c: c for c in _SYMMETRIC} | dict(_PAIRS) | {b: a for a, b in _PAIRS}

_COLOURS = dict(white=(.93, .93, .92), red=(.74, .07, .12), black=(.07, .07, .08), blue=(.04, .27, .66),
                yellow=(.96, .68, .05), grey=(.42, .42, .43), green=(.05, .55, .42), amber=(.93, .60, .08))
_FADED = dict(white=(.90, .90, .88), red=(.90, .62, .42), black=(.20, .20, .20), blue=(.30, .50, .75),
              yellow=(.95, .82, .50), grey=(.55, .55, .55), green=(.40, .70, .65), amber=(.95, .80, .50))
_LABEL = {name: i + 1 for i, name in enumerate(_COLOURS)}   # 0 means "outside the sign"
_MASTER, _OVERSAMPLE, _REACH = 160, 3, 1.03                 # finished size, map pixels per finished pixel, units shown

class _Painter:
    "A map of colour numbers in unit coordinates, on which later shapes cover earlier ones."
    def __init__(self, size: int = _MASTER): # side of the finished drawing in pixels
        n = size * _OVERSAMPLE
        self.labels, self.scale = np.zeros((n, n), np.uint8), n / 2 / _REACH

    def _pixels(self, points): # units (N, 2) -> OpenCV's fixed-point pixels with 4 fractional bits
        p = (np.asarray(points, np.float64) + _REACH) * self.scale - .5
        return np.round(p * 16).astype(np.int32)

    def polygon(self, points, colour):
        "Fill a polygon, which may be concave."
        cv2.fillPoly(self.labels, [self._pixels(points)], _LABEL[colour], shift=4)

    def disc(self, centre, radius, colour):
        "Fill a circle."
        self.polygon(np.array(centre) + _arc(0, 0, radius, radius, 0, 355, 72), colour)

    def stroke(self, points, width, colour):
        "Draw a line of constant width with mitred joints and flat ends."
        left, right = _offset(np.asarray(points, np.float64), width / 2)
        for i in range(len(left) - 1):
            quad = self._pixels([left[i], left[i + 1], right[i + 1], right[i]])
            cv2.fillConvexPoly(self.labels, quad, _LABEL[colour], shift=4)

def _offset(p, r): # polyline (N, 2) -> its two parallels at distance r
    d = np.diff(p, axis=0)
    d /= np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-9)
    n = np.stack([-d[:, 1], d[:, 0]], 1)
    first, last = (n[-1], n[0]) if np.allclose(p[0], p[-1]) else (n[0], n[-1])   # a closed line has a joint there, too
    m = np.concatenate([[first], n]) + np.concatenate([n, [last]])
    m = m * np.minimum(2 / np.maximum((m * m).sum(1, keepdims=True), 1e-9), 1.4)
    return p + r * m, p - r * m

def _arc(cx, cy, rx, ry, start, stop, n=16): # points on an ellipse; degrees, 0 = right, 90 = down
    a = np.radians(np.linspace(start, stop, n))
    return np.stack([cx + rx * np.cos(a), cy + ry * np.sin(a)], 1)

def _bezier(p0, p1, p2, p3, n=14): # cubic Bezier curve from p0 to p3
    t = np.linspace(0, 1, n)[:, None]
    p0, p1, p2, p3 = map(np.asarray, (p0, p1, p2, p3))
    return (1-t)**3 * p0 + 3 * (1-t)**2 * t * p1 + 3 * (1-t) * t**2 * p2 + t**3 * p3

def _rounded(points, r, n=7): # polygon whose corners are replaced by curves that touch the sides r / tan(angle / 2) away
    p, out = np.asarray(points, np.float64), []
    t = np.linspace(0, 1, n)[:, None]
    for a, b, c in zip(np.roll(p, 1, 0), p, np.roll(p, -1, 0)):
        u, v = (a - b) / np.linalg.norm(a - b), (c - b) / np.linalg.norm(c - b)
        cut = r / np.tan(np.arccos(np.clip(u @ v, -1, 1)) / 2)
        out.append((1-t)**2 * (b + u * cut) + 2 * t * (1-t) * b + t**2 * (b + v * cut))
    return np.concatenate(out)

def _digit_straight(d, W, H, e): # 0, 1, 2 and 7: centre lines in a W x H box, a list of polylines; e = half the width of the line
    r, q = W / 2, min(W / 2, H * .3)
    if d == "0": return [np.concatenate([_arc(r, q, r, q, 180, 360), _arc(r, H - q, r, q, 0, 180), [(0, q)]])]
    if d == "1": return [np.array([(W * .08, H * .24), (W * .62, 0)]), np.array([(W * .62, -e), (W * .62, H + e)])]
    if d == "7": return [np.array([(-e, 0), (W + e, 0)]), np.array([(W, 0), (W * .36, H), (W * .36 - .64 * W * e / H, H + e)])]
    tail = _bezier((W, q * 1.1), (W, H * .5), (W * .55, H * .58), (W * .02, H))
    return [np.concatenate([_arc(r, q, r, q, 188, 365), tail]), np.array([(-.8 * e, H), (W + e, H)])]

def _digit_round(d, W, H, e): # 3, 5, 6 and 8
    r, waist = W / 2, (W * .42, H * .455)
    if d == "3": return [np.concatenate([_arc(r, H * .235, r * .94, H * .235, 200, 430), [waist]]),
                         np.concatenate([[waist], _arc(r, H * .727, r, H * .273, -80, 155)])]
    if d == "5": return [np.array([(W + .5 * e, 0), (W * .09, 0), (W * .05, H * .47)]),
                         np.concatenate([[(W * .05, H * .47)], _arc(r, H * .69, r, H * .31, 222, 505)])]
    if d == "6": return [_arc(r, H * .69, r, H * .31, 180, 540, 32),
                         _bezier((0, H * .70), (0, H * .42), (W * .36, H * .28), (W * .66, -e * .5))]
    return [_arc(r, H * .235, r * .90, H * .235, -90, 270, 32), _arc(r, H * .735, r, H * .265, -90, 270, 32)]

def _letter(c, W, H, e): # the letters of STOP
    r = W / 2
    if c == "O": return _digit_straight("0", W, H, e)
    if c == "T": return [np.array([(-e, 0), (W + e, 0)]), np.array([(r, 0), (r, H + e)])]
    if c == "P": return [np.array([(0, H + e), (0, 0), (W * .5, 0)]),
                         np.concatenate([[(W * .4, 0)], _arc(W * .55, H * .27, W * .45, H * .27, -90, 90, 12), [(0, H * .54)]])]
    return [np.concatenate([_arc(r, H * .25, r, H * .25, 350, 180, 10),
                            _bezier((0, H * .25), (0, H * .5), (W, H * .5), (W, H * .75), 10),
                            _arc(r, H * .75, r, H * .25, 0, 170, 10)])]

def _glyph(c, W, H, e): # any character a sign can carry
    draw = _letter if c in "STOP" else _digit_straight if c in "0127" else _digit_round
    return draw(c, W, H, e)

@dataclass(frozen=True)
class _Design:
    stroke: float = 1.       # line width of digits and pictograms
    border: float = 1.       # width of the red border
    wide: float = 1.         # width of digits and pictograms
    high: float = 1.         # height of digits and pictograms
    gap: float = 1.          # distance between digits
    shift: tuple = (0., 0.)  # pictogram off centre
    style: int = 0           # the other pictogram where there are two
    rim: float = .035        # light edge around the border

_DESIGNS = 8   # designs per class

def _design(class_id, number):
    if number == 0: return _Design()
    g = np.random.default_rng([4301, class_id, number])
    return _Design(g.uniform(.82, 1.2), g.uniform(.88, 1.12), g.uniform(.85, 1.2), g.uniform(.9, 1.1), g.uniform(.6, 1.4),
                   tuple(g.normal(0, .015, 2)), int(g.integers(2)), float(g.choice([.01, .03, .045])))

def _write(paint, design, text, colour, height=.86, width=.435, stroke=.13, gap=.13): # characters centred on the plate
    h, w, t, gap = height * design.high, width * design.wide, stroke * design.stroke, gap * design.gap
    widths = [w * (.68 if c == "1" else 1) for c in text]
    x = -(sum(widths) + gap * (len(text) - 1)) / 2
    for c, w in zip(text, widths):
        for line in _glyph(c, w - t, h - t, t / 2):
            paint.stroke(line + (x + t / 2, -h / 2 + t / 2) + np.array(design.shift), t, colour)
        x += w + gap

def _limit(paint, design, text): # two digits in the normal, three in the narrow form
    if len(text) == 2: _write(paint, design, text, "black")
    else: _write(paint, design, text, "black", .83, .345, .108, .085)

def _fit(points, design, centre=(0, 0)): # points of a pictogram after its design's small changes
    return np.array(centre) + (np.asarray(points, np.float64) - centre) * (design.wide, design.high) + design.shift

def _prohibition(paint, design): # white disc in a red ring
    paint.disc((0, 0), 1, "white")
    paint.disc((0, 0), 1 - design.rim, "red")
    paint.disc((0, 0), 1 - design.rim - .225 * design.border, "white")

def _mandatory(paint, design): # blue disc with a thin light edge
    paint.disc((0, 0), 1, "white")
    paint.disc((0, 0), 1 - .6 * design.rim, "blue")

def _end_of(paint, design): # white disc with a thin dark edge
    paint.disc((0, 0), 1, "white")
    paint.disc((0, 0), .985, "grey")
    paint.disc((0, 0), .955, "white")

_TRIANGLE = np.array([(-1.09, .885), (0, -1.0), (1.09, .885)])

def _warning(paint, design, up=1): # white triangle with a red border; up=-1 stands it on its tip
    centre, corners = np.array([0, .26 * up]), _TRIANGLE * (1, up)
    inset = lambda r: centre + (corners - centre) * (1 - r / .629)      # .629: from the centre to a side
    paint.polygon(_rounded(inset(0), .12), "white")
    paint.polygon(_rounded(inset(.022 + design.rim * .4), .09), "red")
    paint.polygon(_rounded(inset(.215 * design.border + design.rim * .4), .02), "white")

def _diamond(paint, design): # priority road
    corners = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])
    for reach, r, colour in ((1.03, .12, "black"), (1.0, .11, "white"), (.645, .03, "black"), (.615, .03, "yellow")):
        paint.polygon(_rounded(corners * reach, r), colour)

def _octagon(paint, design): # stop
    corners = _arc(0, 0, 1.082, 1.082, 22.5, 337.5, 8)
    paint.polygon(corners, "white")
    paint.polygon(corners * (.955 - .3 * design.rim), "red")
    _write(paint, design, "STOP", "white", .69, .325, .12, .06)

def _no_entry(paint, design):
    paint.disc((0, 0), 1, "white")
    paint.disc((0, 0), 1 - .7 * design.rim, "red")
    paint.polygon(_fit([(-.84, -.155), (.84, -.155), (.84, .155), (-.84, .155)], design), "white")

def _stripes(paint, design): # five dark diagonal lines: what was ordered ends here
    pitch, along, across = .085 * design.gap**.5, np.array([.7071, -.7071]), np.array([.7071, .7071])
    for k in (-2, -1, 0, 1, 2):
        half, middle = np.sqrt(.955**2 - (k * pitch)**2), across * k * pitch
        paint.stroke([middle - along * half, middle + along * half], .043 * design.stroke, "black")

def _arrow(paint, design, path, width, head): # white arrow along a path, whose last point is the tip
    p, w, half = np.asarray(path, np.float64), width * design.stroke, head * design.wide
    d = (p[-1] - p[-2]) / np.linalg.norm(p[-1] - p[-2])
    tip, side = p[-1], np.array([-d[1], d[0]]) * half
    paint.stroke(np.concatenate([p[:-1], [tip - d * w]]), w, "white")
    if design.style: return paint.polygon([tip, tip - d * half * 1.35 + side, tip - d * half * 1.35 - side], "white")
    outer, barb = tip - d * half * .92, d * w * 1.25
    paint.polygon([tip, outer + side, outer - barb + side, tip - barb, outer - barb - side, outer - side], "white")

def _ahead(paint, design): _arrow(paint, design, [(0, .72), (0, 0), (0, -.74)], .19, .40)

def _keep(paint, design, side): _arrow(paint, design, np.array([(-.5, -.5), (0, 0), (.5, .5)]) * (side, 1), .20, .41)

def _turn(paint, design, side): # side: 1 = right, -1 = left
    curve = _bezier((-.34, .15), (-.34, -.18), (-.18, -.30), (.06, -.30), 12)
    _arrow(paint, design, np.concatenate([[(-.34, .62)], curve, [(.3, -.30), (.70, -.30)]]) * (side, 1), .19, .39)

def _straight_and(paint, design, side):
    curve = _bezier((-.12, .50), (-.12, .28), (.08, .17), (.22, .17), 10)
    _arrow(paint, design, np.array([(-.12, .80), (-.12, -.2), (-.12, -.72)]) * (side, 1), .155, .30)
    _arrow(paint, design, np.concatenate([[(-.12, .62)], curve, [(.4, .17), (.76, .17)]]) * (side, 1), .155, .28)

def _roundabout(paint, design): # three arrows that chase each other anticlockwise
    for k in range(3):
        ring = _arc(0, 0, .62, .62, 138 + 120 * k, 62 + 120 * k, 12)
        tip = _arc(0, 0, .65, .65, 41.6 + 120 * k, 0, 2)[:1]
        _arrow(paint, design, np.concatenate([ring, tip]), .135, .25)

_CAR = [(-.5, -.14), (-.5, -.48), (-.44, -.54), (-.33, -.82), (.33, -.82), (.44, -.54), (.5, -.48), (.5, -.14)]
_WINDOW = [(-.39, -.53), (-.29, -.765), (.29, -.765), (.39, -.53)]

def _behind(paint, design, place, width, colour, tilt=0., truck=False): # rear view; place = middle of the wheels' bottom
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    put = lambda p: np.asarray(p) * (width * design.wide, width * design.high) @ turn + place + np.array(design.shift)
    inner = .26 if truck else .30
    if truck: paint.polygon(put([(-.5, -.22), (-.5, -1.12), (.5, -1.12), (.5, -.22)]), colour)
    else: paint.polygon(put(_CAR), colour); paint.polygon(put(_WINDOW), "white")
    for s in (-1, 1): paint.polygon(put([(s * .46, -.22), (s * .46, 0), (s * inner, 0), (s * inner, -.22)]), colour)

def _two_cars(paint, design, left, right):
    _behind(paint, design, (-.355, .22), .60, left)
    _behind(paint, design, (.355, .22), .60, right)

def _truck_and_car(paint, design, left, right):
    _behind(paint, design, (-.31, .22), .50, left, truck=True)
    _behind(paint, design, (.33, .22), .48, right)

def _truck_side(paint, design): # a lorry that drives to the left, with or without a bonnet
    fit = lambda p: _fit(p, design)
    paint.polygon(fit([(-.24, -.30), (.60, -.30), (.60, .10), (-.24, .10)]), "black")
    if design.style:
        paint.polygon(fit([(-.66, .22), (-.66, .06), (-.46, .02), (-.40, -.17), (-.28, -.17), (-.28, .22)]), "black")
    else:
        paint.polygon(fit([(-.60, .22), (-.60, .02), (-.52, -.17), (-.28, -.17), (-.28, .22)]), "black")
        paint.polygon(fit([(-.54, .01), (-.49, -.11), (-.40, -.11), (-.40, .01)]), "white")
    paint.polygon(fit([(-.5, .14), (.60, .14), (.60, .20), (-.5, .20)]), "black")
    for x in (-.44, .32):
        paint.disc(fit([(x, .22)])[0], .135, "white")
        paint.disc(fit([(x, .22)])[0], .11, "black")

def _slippery(paint, design): # a car that leaves wavy tracks
    fit, w = lambda p: _fit(p, design, (0, .3)), .055 * design.stroke
    _behind(paint, design, (.01, .28), .54, "black", tilt=.14)
    paint.stroke(fit(np.concatenate([_bezier((-.18, .27), (-.10, .34), (-.42, .36), (-.40, .44), 9),
                                     _bezier((-.40, .44), (-.36, .52), (-.10, .38), (-.12, .46), 9),
                                     _bezier((-.12, .46), (-.14, .54), (-.30, .50), (-.38, .60), 9)])), w, "black")
    paint.stroke(fit(np.concatenate([_bezier((.26, .33), (.30, .40), (.02, .42), (.06, .47), 9),
                                     _bezier((.06, .47), (.14, .54), (.30, .42), (.34, .48), 9),
                                     _bezier((.34, .48), (.38, .54), (.42, .54), (.50, .56), 6)])), w, "black")

def _bend(paint, design, side): # side: -1 = left, 1 = right; a swallow-tailed arrow
    fit, w = lambda p: _fit(np.asarray(p) * (side, 1), design, (0, .3)), .155 * design.stroke
    curve = _bezier((-.21, .28), (-.21, .12), (-.12, .08), (.04, .08), 10)
    paint.stroke(fit(np.concatenate([[(-.21, .60), (-.21, .30)], curve, [(.15, .08)]])), w, "black")
    paint.polygon(fit([(.14, .08 - w * .62), (.30, .08), (.14, .08 + w * .62)]), "black")
    paint.polygon(fit([(-.21 - w / 2, .61), (-.21, .53), (-.21 + w / 2, .61)]), "white")

def _double_bend(paint, design):
    fit, w = lambda p: _fit(np.asarray(p) * (.88, .97), design, (0, .2)), .145 * design.stroke
    path = [[(.21, .58), (.20, .34)], _bezier((.20, .26), (.20, .06), (.06, .22), (-.02, .24), 8),
            _bezier((-.06, .26), (-.15, .34), (-.15, .20), (-.155, .10), 8), [(-.16, -.12)]]
    paint.stroke(fit(np.concatenate(path)), w, "black")
    paint.polygon(fit([(-.16 - w * .55, -.10), (-.16, -.24), (-.16 + w * .55, -.10)]), "black")
    paint.polygon(fit([(.21 - w / 2, .59), (.21, .51), (.21 + w / 2, .59)]), "white")

def _crossing(paint, design): # a broad arrow over a narrow road
    fit = lambda p: _fit(p, design, (0, .2))
    paint.polygon(fit([(0, -.24), (.21, .02), (.165, .02), (.165, .58), (0, .46), (-.165, .58), (-.165, .02), (-.21, .02)]), "black")
    paint.stroke(fit([(-.36, .17), (.36, .17)]), .11 * design.stroke, "black")

def _narrow(paint, design):
    fit, w = lambda p: _fit(p, design, (0, .3)), .105 * design.stroke
    paint.stroke(fit([(-.11, -.10), (-.11, .60)]), w, "black")
    paint.stroke(fit([(.11, -.10), (.11, .12), (.24, .34), (.24, .60)]), w, "black")

def _bumps(paint, design):
    half = [(-.47, .60), (-.44, .52), (-.36, .50), (-.26, .38), (-.15, .38), (-.02, .52)]
    paint.polygon(_fit(np.array(half + [(-x, y) for x, y in half[::-1]]) * (.95, .97), design, (0, .5)), "black")

def _danger(paint, design): # an exclamation mark
    fit, k = lambda p: _fit(p, design, (0, .2)), design.stroke
    paint.polygon(fit([(-.085 * k, -.28), (.085 * k, -.28), (.055 * k, .36), (-.055 * k, .36)]), "black")
    paint.disc(fit([(0, -.27)])[0], .083 * k, "black")
    paint.disc(fit([(0, .54)])[0], .098 * k, "black")

def _traffic_lights(paint, design):
    for y, colour in ((-.15, "red"), (.165, "amber"), (.48, "green")):
        paint.disc(_fit([(0, y)], design, (0, .2))[0], .138 * design.stroke**.5, colour)

def _snow(paint, design): # six branches of a snowflake
    for a in np.radians(np.arange(6) * 60 + 90):
        axes = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) * design.high
        paint.stroke(np.array([(0, 0), (.33, 0)]) @ axes + (0, .28), .062 * design.stroke, "black")
        for r, b in ((.13, .10), (.22, .09)):
            for s in (-1, 1): paint.stroke(np.array([(r, 0), (r + b * .75, s * b)]) @ axes + (0, .28), .05 * design.stroke, "black")

def _person(paint, design, head, radius, limbs): # limbs: (thickness, points) each
    for thickness, points in limbs:
        points, w = _fit(points, design, (0, .3)), .09 * thickness * design.stroke
        paint.stroke(points, w, "black")
        for p in points: paint.disc(p, w / 2, "black")
    paint.disc(_fit([head], design, (0, .3))[0], radius, "black")

def _pedestrian(paint, design):
    _person(paint, design, (-.07, -.19), .08,
            [(1.5, [(-.06, .02), (-.04, .22)]), (1.1, [(-.06, .26), (-.10, .42), (-.22, .62)]), (1.1, [(-.02, .26), (.10, .42), (.19, .62)]),
             (.8, [(-.10, .0), (-.20, .14), (-.19, .28)]), (.8, [(.0, .0), (.10, .16), (.16, .24)])])

def _children(paint, design):
    _person(paint, design, (.06, -.10), .075,
            [(1.5, [(.10, .06), (.09, .24)]), (1., [(.08, .28), (.02, .40), (-.06, .56)]), (1., [(.12, .26), (.20, .40), (.37, .46)]),
             (.75, [(.10, .04), (-.02, .14), (-.13, .18)]), (.75, [(.14, .04), (.26, .12), (.31, .05)])])
    _person(paint, design, (-.30, .11), .068,
            [(1.3, [(-.29, .24), (-.29, .36)]), (.85, [(-.31, .40), (-.38, .50), (-.44, .60)]), (.85, [(-.27, .38), (-.17, .46), (-.13, .60)]),
             (.65, [(-.31, .22), (-.40, .28), (-.46, .22)]), (.65, [(-.27, .22), (-.19, .28), (-.12, .20)])])

def _works(paint, design): # a man with a shovel and a heap
    _person(paint, design, (-.05, -.12), .078,
            [(1.7, [(-.17, .0), (-.24, .24)]), (1.1, [(-.25, .28), (-.27, .42), (-.38, .60)]), (1.1, [(-.21, .26), (-.14, .42), (-.13, .60)]),
             (.9, [(-.14, .02), (-.10, .20), (.02, .25)]), (.9, [(-.20, .02), (-.30, .16), (-.20, .26)]), (.42, [(-.30, .16), (.14, .44)])])
    paint.polygon(_fit([(.0, .60), (.10, .48), (.22, .40), (.34, .26), (.44, .36), (.58, .60)], design, (0, .3)), "black")

_DEER = [(-.30, -.02), (-.24, -.08), (-.20, -.16), (-.27, -.26), (-.22, -.26), (-.18, -.17), (-.10, -.25), (-.12, -.13),
         (-.08, -.06), (-.02, .12), (.16, .18), (.30, .22), (.34, .17), (.36, .24), (.34, .36), (.44, .50), (.50, .60), (.45, .60),
         (.34, .46), (.26, .40), (.36, .56), (.33, .60), (.16, .38), (.02, .38), (-.10, .36), (-.20, .36), (-.34, .44), (-.36, .40),
         (-.22, .31), (-.36, .32), (-.44, .39), (-.47, .36), (-.36, .26), (-.20, .24), (-.19, .06), (-.22, .0), (-.29, .03)]

def _deer(paint, design): paint.polygon(_fit(np.array(_DEER) * (.88, .93) + (0, .03), design, (0, .2)), "black")

def _bicycle(paint, design):
    fit, w = lambda p: _fit(p, design, (0, .3)), .04 * design.stroke
    for x in (-.29, .29): paint.stroke(fit(_arc(x, .44, .19, .19, 0, 360, 25)), w, "black")
    for line in ([(-.29, .44), (-.16, .17), (.19, .17), (.29, .44)], [(-.29, .44), (-.03, .46), (.18, .18)],
                 [(-.03, .46), (-.17, .10)], [(-.25, .10), (-.10, .10)], [(.20, .20), (.15, .05), (.27, .03)]):
        paint.stroke(fit(line), w * 1.25, "black")

_WARNINGS = {11: (_crossing,), 18: (_danger,), 19: (_bend, -1), 20: (_bend, 1), 21: (_double_bend,), 22: (_bumps,), 23: (_slippery,),
             24: (_narrow,), 25: (_works,), 26: (_traffic_lights,), 27: (_pedestrian,), 28: (_children,), 29: (_bicycle,),
             30: (_snow,), 31: (_deer,)}
_ORDERS = {33: (_turn, 1), 34: (_turn, -1), 35: (_ahead,), 36: (_straight_and, 1), 37: (_straight_and, -1), 38: (_keep, 1),
           39: (_keep, -1), 40: (_roundabout,)}
_LIMITS = {0: "20", 1: "30", 2: "50", 3: "60", 4: "70", 5: "80", 7: "100", 8: "120"}
_SIGNS = {
    **{c: ((_prohibition,), (_limit, text)) for c, text in _LIMITS.items()},
    **{c: ((_warning,), step) for c, step in _WARNINGS.items()},
    **{c: ((_mandatory,), step) for c, step in _ORDERS.items()},
    6: ((_end_of,), (_write, "80", "grey", .94, .58, .145, .15), (_stripes,)),
    9: ((_prohibition,), (_two_cars, "red", "black")), 10: ((_prohibition,), (_truck_and_car, "red", "black")),
    12: ((_diamond,),), 13: ((_warning, -1),), 14: ((_octagon,),), 15: ((_prohibition,),), 16: ((_prohibition,), (_truck_side,)),
    17: ((_no_entry,),), 32: ((_end_of,), (_stripes,)), 41: ((_end_of,), (_two_cars, "grey", "grey"), (_stripes,)),
    42: ((_end_of,), (_truck_and_car, "grey", "grey"), (_stripes,))}

@functools.lru_cache(maxsize=4096)
def _master(class_id, design, size=_MASTER): # uint8 (size, size, K): share of each colour used; and the K colours' indices
    steps, paint, look = _SIGNS[class_id], _Painter(), _design(class_id, design)
    for step, *details in steps: step(paint, look, *details)
    masks = {k: cv2.compare(paint.labels, k, cv2.CMP_EQ) for k in _LABEL.values()}   # faster than np.unique, which sorts the pixels
    used = [k for k, mask in masks.items() if cv2.countNonZero(mask)]
    layers = [cv2.resize(masks[k], (size, size), interpolation=cv2.INTER_AREA) for k in used]
    return np.ascontiguousarray(np.stack(layers, -1)), np.array(used) - 1

def _palette(rng): # float32 (8, 3): the colours of one sign, with its age and its maker's taste
    new, old = (np.array(list(c.values()), np.float32) for c in (_COLOURS, _FADED))
    if rng is None: return new
    p = new + np.clip(rng.normal(0, .22), 0, .7) * (old - new)
    return np.clip(p * np.exp(rng.normal(0, .12, (8, 1))) + rng.normal(0, .025, (8, 3)), 0, 1).astype(np.float32)

def draw_sign(class_id: int,   # GTSRB ClassId, 0..42
              size: int = 128, # side of the picture in pixels
              rng: np.random.Generator | None = None # None: the standard sign, new; else one of several makes and ages
              ) -> np.ndarray: # uint8 (size, size, 4): red, green, blue, opacity
    "Draw one clean sign that fills the picture: uint8 RGBA (size, size, 4), 0..255, transparent outside; `KeyError` for an unknown class."
    cover, used = _master(int(class_id), 0 if rng is None else int(rng.integers(_DESIGNS)))
    if size != _MASTER:
        cover = cv2.resize(cover, (size, size), interpolation=cv2.INTER_AREA if size < _MASTER else cv2.INTER_CUBIC)
    cover = cover.reshape(size, size, -1).astype(np.float32)
    total = cover.sum(-1, keepdims=True)
    colour = cover @ _palette(rng)[used] / np.maximum(total, 1e-6) * 255
    return np.round(np.concatenate([colour, total], -1).clip(0, 255)).astype(np.uint8)

_TEXTURE, _TEXTURES = 160, 96   # side of a texture in pixels, and how many there are

def _noise(g, n, cells, channels=1): # smooth random field (n, n, channels) around .5 from a coarse grid
    grid = g.random((cells + 2, cells + 2, channels), dtype=np.float32)
    return cv2.resize(grid, (n, n), interpolation=cv2.INTER_CUBIC).reshape(n, n, channels)

_LEAVES = np.array([(.35, .5, .2), (.5, .45, .2), (.55, .35, .15), (.6, .65, .6), (.9, .95, 1.)])  # green, autumn, grey, sky behind

def _foliage(g, n): # leaves: noise of four scales between a dark and a bright colour
    v = sum(_noise(g, n, cells) * weight for cells, weight in ((5, .5), (14, .6), (40, .8), (90, .8))) / 2.7
    v = np.clip((v - .5) * g.uniform(2, 6) + g.uniform(.2, .6), 0, 1)
    dark, light = g.uniform(0, .12, 3), g.choice(_LEAVES) * g.uniform(.5, 1.2)
    return dark + v**1.5 * (light - dark) * 1.3 + .15 * (_noise(g, n, 60, 3) - .5)

def _branches(g, n): # bare twigs before the sky
    img = (np.array([.75, .85, 1.]) * g.uniform(.6, 1.3) + .1 * (_noise(g, n, 4) - .5)).astype(np.float32)
    for _ in range(int(g.integers(8, 45))):
        points = np.cumsum(np.concatenate([g.uniform(0, n, (1, 2)), g.normal(0, n / 8, (5, 2))]), 0).astype(np.int32)
        cv2.polylines(img, [points], False, [g.uniform(0, .2)] * 3, int(g.integers(1, 5)), cv2.LINE_AA)
    return img

def _building(g, n): # walls, windows, boards: flat patches with straight edges
    img = np.ones((n, n, 3), np.float32) * (g.uniform(.1, .9) + g.normal(0, .08, 3)).astype(np.float32)
    for _ in range(int(g.integers(3, 14))):
        grey, tint = g.choice([.02, .2, .6, 1.]) * g.uniform(.75, 1., 3), g.random(3)
        box = cv2.boxPoints((tuple(g.uniform(-.2 * n, n, 2)), tuple(g.uniform(.05, .8, 2) * n), float(g.normal(0, 6))))
        cv2.fillConvexPoly(img, box.astype(np.int32), (grey if g.random() < .85 else tint).tolist(), cv2.LINE_AA)
    if g.random() < .4: img[::int(g.integers(6, 16))] *= g.uniform(.6, .9)
    return img * (.85 + .3 * _noise(g, n, int(g.choice([4, 30, 80]))))

def _open_sky(g, n): # sky with clouds, sometimes trees below
    y = np.linspace(0, 1, n)[:, None, None]
    sky = np.array([.55, .72, 1.]) * (1.2 - .5 * y) + .6 * np.clip(_noise(g, n, 5) - g.uniform(.3, .9), 0, 1)
    return np.where(y > g.uniform(.5, 2), _foliage(g, n) * .6, sky * g.uniform(.5, 1.3))

@functools.lru_cache(maxsize=_TEXTURES)
def _texture(i): # the i-th background, float32 (160, 160, 3), contrast raised
    g = np.random.default_rng([7919, i])
    make = (_foliage, _foliage, _branches, _building, _building, _open_sky)[i % 6]
    return np.clip((make(g, _TEXTURE) - .4) * 1.5 + .42, 0, 1.5).astype(np.float32)

def _homography(yaw, pitch, roll, distance=5.): # radians -> 3x3 from plate units to picture units
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    R = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ [[1, 0, 0], [0, cp, -sp], [0, sp, cp]] @ [[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]
    H = np.column_stack([R[:, 0], R[:, 1], (0, 0, distance)])
    H[:2] *= distance
    return H

def _project(H, p): # points (N, 2) through a homography
    q = np.concatenate([p, np.ones((len(p), 1))], 1) @ H.T
    return q[:, :2] / q[:, 2:]

_CIRCLE = _arc(0, 0, 1, 1, 0, 345, 24)

def _outline(class_id): # points that span the plate's bounding box
    if class_id == 12: return np.array([(0, -1.), (1, 0), (0, 1), (-1, 0)])
    if class_id == 13: return np.array([(-1., -.86), (1, -.86), (0, .90)])
    return np.array([(-1., .86), (1, .86), (0, -.90)]) if class_id in _WARNINGS else _CIRCLE

@dataclass(frozen=True)
class _Camera:
    blur: float = .3           # standard deviation of the lens blur in pixels
    motion: float = 0.         # length of the motion blur as a share of the picture's width
    angle: float = 0.          # direction of the motion
    fringe: tuple = ((0., 0.), (0., 0.))  # shift of red and blue against green in pixels
    haze: float = 0.           # share of stray light
    saturation: float = 1.     # share of the colourfulness that is kept
    gamma: float = 1.          # tone curve
    noise: float = 0.          # standard deviation of the sensor noise, full scale = 1
    mosaic: bool = False       # one colour per pixel, the others interpolated
    sharpen: float = 0.        # strength of the sharpening
    jpeg: int = 0              # quality of the compression, 0 = none
    channels: tuple = (0, 1, 2)  # order of the colours (a misread mosaic swaps them)

@dataclass(frozen=True)
class _Look:
    class_id: int
    design: int = 0
    palette: np.ndarray = field(default_factory=lambda: _palette(None))
    texture: int = 1           # number of the background
    place: tuple = (.5, .5, .7)  # where in the texture, and how much it is enlarged
    pose: tuple = (0., 0., 0.) # yaw, pitch, roll in radians
    gain: float = 1.           # light on the sign
    back_gain: float = 1.      # light on the background
    cast: tuple = (1., 1., 1.) # colour of the light
    shade: tuple = (0., 0.)    # change of the light across the sign
    dapple: tuple | None = None  # shadow of leaves: (texture, threshold, place, darkness)
    pole: tuple | None = None  # (offset, half width, grey, goes on above)
    plate: bool = False        # a white supplementary plate below
    neighbours: tuple = ()     # other signs on the pole: (class, design, palette, dx, dy)
    stickers: tuple = ()       # (place, size, colour)
    camera: _Camera = _Camera()

_MIPS = (40, 80, 160)   # sizes at which masters are kept

def _paste(canvas, class_id, design, palette, H, radius, light): # H: units -> pixels; radius of the sign in pixels
    size = next((m for m in _MIPS if m >= 1.6 * radius), _MIPS[-1])
    cover, used = _master(class_id, design, size)
    unit = 2 * _REACH / size
    M = H @ [[unit, 0, unit / 2 - _REACH], [0, unit, unit / 2 - _REACH], [0, 0, 1]]
    share = cv2.warpPerspective(cover, M, canvas.shape[1::-1], flags=cv2.INTER_LINEAR).reshape(*canvas.shape[:2], -1).astype(np.float32)
    mixed = share @ np.column_stack([palette[used], np.ones_like(used)]).astype(np.float32) * np.float32(1 / 255)   # colours, opacity
    return canvas * (1 - mixed[..., 3:]) + mixed[..., :3] * light

def _fill(canvas, H, points, colour): # a polygon in units on the canvas, in one colour
    pixels = np.round(_project(H, np.asarray(points, np.float64)) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [pixels], [float(c) for c in colour], cv2.LINE_AA, 4)

def _from_texture(i, place, zoom, centre, size): # part of a texture, seen at a zoom, its point `place` at `centre`
    A = np.array([[zoom, 0, centre[0] - zoom * place[0] * _TEXTURE], [0, zoom, centre[1] - zoom * place[1] * _TEXTURE]])
    return cv2.warpAffine(_texture(i), A, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)

def _backdrop(look, H, size, radius): # what stands behind the sign, float32 (h, w, 3)
    *place, zoom = look.place
    img = _from_texture(look.texture, place, zoom * 3 * radius / _TEXTURE, H[:2, 2] / H[2, 2], size) * np.float32(look.back_gain)
    cast = np.array(look.cast)
    if look.pole:
        dx, half, grey, above = look.pole
        top = -3 if above else 0
        _fill(img, H, [(dx - half, top), (dx + half, top), (dx + half, 3), (dx - half, 3)], cast * grey * look.back_gain)
    if look.plate:
        for x, y, grey in ((.95, .27, .1), (.90, .24, .9)):
            _fill(img, H, [(-x, 1.35 - y), (x, 1.35 - y), (x, 1.35 + y), (-x, 1.35 + y)], cast * grey * look.gain)
    return img

def _light(look, H, size, radius): # light on the sign's surface, float32 (h, w, 3)
    c = H[:2, 2] / H[2, 2]
    x, y = ((np.arange(n, dtype=np.float32) - m) / np.float32(radius) for n, m in zip(size, c))
    light = 1 + np.float32(look.shade[0]) * x[None] + np.float32(look.shade[1]) * y[:, None]
    if look.dapple:
        i, threshold, place, dark = look.dapple
        leaves = _from_texture(i, place, 3.2 * radius / _TEXTURE, c, size)[..., 1]
        light = light * (1 - np.float32(dark) * np.clip((leaves - np.float32(threshold)) * 8 + .5, 0, 1))
    return np.maximum(light, .05)[..., None] * (look.gain * np.array(look.cast)).astype(np.float32)

def _kernel(sigma, length, angle): # a Gaussian, drawn out along a line; sums to 1
    n = int(np.ceil(2 * sigma + length / 2))
    x, y = np.meshgrid(np.arange(-n, n + 1), np.arange(-n, n + 1))
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    k = np.exp(-.5 * (np.maximum(np.abs(along) - length / 2, 0)**2 + across**2) / sigma**2)
    return (k / k.sum()).astype(np.float32)

def _lens(light, camera, size, factor=1.): # light (H, W, 3) -> blurred light at the picture's size (h, w, 3)
    scale = light.shape[1] / size[0]
    kernel = _kernel(max(camera.blur * factor * scale, .35), camera.motion * factor * light.shape[1], camera.angle)
    img = cv2.filter2D(light, -1, kernel, borderType=cv2.BORDER_REFLECT)
    if scale != 1: img = cv2.resize(img, size, interpolation=cv2.INTER_AREA)
    for c, (dx, dy) in zip((0, 2), camera.fringe):
        if dx or dy: img[..., c] = cv2.warpAffine(img[..., c], np.array([[1, 0, dx], [0, 1, dy]]), size, borderMode=cv2.BORDER_REFLECT)
    return img

def _mosaic(img): # what a sensor with one colour per pixel sees (red and blue every fourth, green every second), interpolated
    raw = img[..., 1].copy()
    raw[::2, ::2], raw[1::2, 1::2] = img[::2, ::2, 0], img[1::2, 1::2, 2]
    return cv2.cvtColor(raw, cv2.COLOR_BayerRGGB2RGB_EA)

def _sensor(light, camera, rng): # light (h, w, 3) -> uint8 picture
    s = camera.saturation * (1 - camera.haze)
    mix = s * np.eye(3) + (1 - camera.haze - s) / 3                     # keeps brightness, drops colourfulness
    img = cv2.transform(light, np.column_stack([mix, np.full(3, .6 * camera.haze)]).astype(np.float32))
    img = np.clip(img, 0, 1) ** np.float32(camera.gamma)
    if camera.noise: img += rng.standard_normal(img.shape, np.float32) * np.float32(camera.noise)
    out = np.clip(img * 255 + .5, 0, 255).astype(np.uint8)
    if camera.mosaic: out = _mosaic(out)
    if camera.sharpen: out = cv2.addWeighted(out, 1 + camera.sharpen, cv2.GaussianBlur(out, (0, 0), .8), -camera.sharpen, 0)
    if camera.jpeg: out = cv2.imdecode(cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg])[1], cv2.IMREAD_COLOR)
    return np.ascontiguousarray(out[..., list(camera.channels)])

def _render(look, width, rng, pose=None, factor=1.): # uint8 RGB (h, w, 3) and the sign's box; factor scales the blur
    margin, H, outline = max(5, round(.083 * width)), _homography(*(look.pose if pose is None else pose)), _outline(look.class_id)
    (x0, y0), (x1, y1) = (p := _project(H, outline)).min(0), p.max(0)
    zoom = (width - 2 * margin) / (x1 - x0)
    height = int(np.clip(round((y1 - y0) * zoom + 2 * margin), width * .7, width * 1.4))
    zoom *= rng.normal(.96, .03)                                        # boxes drawn by hand are a little loose
    middle = np.array([width, height]) / 2 + rng.normal(0, .02, 2) * width - np.array([x0 + x1, y0 + y1]) / 2 * zoom
    ss = 2 if width < 72 else 1
    P = np.array([[zoom, 0, middle[0]], [0, zoom, middle[1]], [0, 0, 1 / ss]]) @ H
    size, radius = (width * ss, height * ss), zoom * ss
    img, light = _backdrop(look, P, size, radius), _light(look, P, size, radius)
    for class_id, design, palette, dx, dy in look.neighbours:
        img = _paste(img, class_id, design, palette, P @ [[1, 0, dx], [0, 1, dy], [0, 0, 1]], radius, light)
    img = np.ascontiguousarray(_paste(img, look.class_id, look.design, look.palette, P, radius, light), np.float32)
    for place, size_, colour in look.stickers: _fill(img, P, place + size_ * _CIRCLE * (1, .7), np.array(colour) * look.gain)
    box = np.round(_project(P, outline) / ss)
    roi = np.clip(np.concatenate([box.min(0), box.max(0)]), 0, [width - 1, height - 1] * 2)
    return _sensor(_lens(img, look.camera, (width, height), factor), look.camera, rng), tuple(int(v) for v in roi)

def _sample_camera(g):
    haze, swap = g.uniform(.05, .45) * (g.random() < .25), g.random() < .1
    return _Camera(blur=g.uniform(.25, .9), motion=g.exponential(.05) * (g.random() < .35), angle=g.uniform(0, np.pi),
                   fringe=tuple(map(tuple, g.normal(0, 1., (2, 2)) * (g.random() < .5))), haze=haze, saturation=g.uniform(.35, 1.05),
                   gamma=np.exp(g.normal(0, .2)), noise=g.exponential(.006), mosaic=bool(g.random() < .5),
                   sharpen=g.uniform(.3, 1.8) * (g.random() < .45), jpeg=int(g.integers(45, 96)) * int(g.random() < .2),
                   channels=((2, 0, 1), (2, 0, 1), (1, 2, 0), (2, 1, 0))[int(g.integers(4))] if swap else (0, 1, 2))

def _some_sign(g): return int(g.integers(43)), int(g.integers(_DESIGNS)), _palette(g)

def _sample_look(class_id, g):
    gain = np.exp(g.normal(-.65, .75))
    cast = np.exp(g.normal(0, .07, 3) + g.normal(0, .10) * np.array([1, 0, -1]))
    stickers = [(g.uniform(-.8, .8, 2), g.uniform(.04, .3), g.random(3) * g.choice([.3, 1.])) for _ in range(int(g.integers(1, 4)))]
    return _Look(class_id, int(g.integers(_DESIGNS)), _palette(g), int(g.integers(_TEXTURES)), tuple(g.uniform((0, 0, .35), (1, 1, 1.1))),
                 pose=tuple(g.normal(0, (.30, .12, .075)).clip(-.8, .8)), gain=gain, back_gain=gain * np.exp(g.normal(.05, .75)),
                 cast=tuple(cast), shade=tuple(g.normal(0, .14, 2)),
                 dapple=(int(g.integers(_TEXTURES)), g.uniform(.25, .7), g.uniform(0, 1, 2), g.uniform(.3, .8)) if g.random() < .15 else None,
                 pole=(g.normal(0, .15), g.uniform(.05, .14), g.uniform(.05, .8), g.random() < .4) if g.random() < .5 else None,
                 plate=bool(g.random() < .12), stickers=tuple(stickers) if g.random() < .18 else (), camera=_sample_camera(g),
                 neighbours=tuple((*_some_sign(g), g.normal(0, .06), s * g.uniform(1.95, 2.3)) for s in (-1, 1) if g.random() < .22))

_WIDTHS = ((0, .05, .10, .25, .50, .75, .90, .95, .99, 1), (25, 28, 30, 34, 42, 56, 76, 94, 130, 210))  # quantiles of GTSRB's widths

def draw_sign_crop(class_id: int,            # GTSRB ClassId, 0..42
                   rng: np.random.Generator, # source of everything random
                   width: int | None = None  # width of the crop in pixels; None: drawn from GTSRB's own distribution
                   ) -> tuple[np.ndarray, tuple[int, int, int, int]]: # picture and the sign's box (x1, y1, x2, y2)
    """Draw one sign as a camera in a moving car might see it: uint8 RGB (h, w, 3), 0..255, and the sign's box in pixels.

    Domain randomisation (Tobin et al. 2017): sign, surroundings, pose, light, lens and sensor are all drawn at random.
    Raises `KeyError` for an unknown class."""
    look = _sample_look(int(class_id), rng)
    if width is None: width = int(np.interp(rng.random(), *_WIDTHS))
    return _render(look, int(width), rng, factor=np.exp(rng.normal(0, .3)))

def draw_sign_track(class_id: int,    # GTSRB ClassId, 0..42
                    seed: int,        # fixes every pixel of the track
                    frames: int = 30, # number of pictures
                    first: int | None = None, # width of the first (farthest) picture in pixels; None: 25..33
                    last: int | None = None   # width of the last (nearest) one; None: drawn from GTSRB's distribution
                    ) -> list[tuple[np.ndarray, tuple[int, int, int, int]]]: # pictures and boxes, from far to near
    """Draw the pictures in which a car approaches one sign: a list of (uint8 RGB (h, w, 3), (x1, y1, x2, y2)).

    Sign, place, light and camera stay; size grows as 1 / distance; pose drifts; blur trembles. Raises `KeyError` for an unknown class."""
    rng = np.random.default_rng([43, int(class_id), int(seed)])
    look = _sample_look(int(class_id), rng)
    first = int(rng.integers(25, 34)) if first is None else int(first)
    last = max(first, int(np.interp(rng.uniform(.4, 1), *_WIDTHS)) if last is None else int(last))
    drift, track = rng.normal(0, (.12, .04, .02)), []
    for t in np.linspace(0, 1, frames):
        pose = look.pose + drift * t + rng.normal(0, (.015, .01, .008))
        track.append(_render(look, round(first / (1 - (1 - first / last) * t)), rng, pose, np.exp(rng.normal(0, .2))))
    return track
