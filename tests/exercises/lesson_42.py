"""Plausible wrong answers of deep dive 42."""

WRONG = {
    "42.1": {
        "all found, so 100": "r40_and_r11 = (100, 100)",
        "counts place 0 in R40": "r40_and_r11 = (35, 100 * 4 / 11)",
        "fourteen of eleven": "r40_and_r11 = (32.5, 100 * 3 / 11)",
    },
    "42.2": {
        "as high as the car": "def spoil(car_box):\n    return car_box",
        "too low to fit": "def spoil(car_box):\n    x1, y1, x2, y2 = car_box\n    return x1, y1, x2, y1 + 30",
        "beside the car": "def spoil(car_box):\n    x1, y1, x2, y2 = car_box\n    return x2, y1, x2 + 100, y1 + 38",
    },
}
