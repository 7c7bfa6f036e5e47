"""Plausible wrong answers to the exercises of 44_batch_size."""

WRONG = {
    "44.1": {
        "memory in proportion to the images": "images = int(5.1 / 2.0 * 8)",
        "rounded up": "images = 29",
        "not a whole number": "images = 28.67",
    },
    "44.2": {
        "the size after": """
def stops_to_pay(a, b):
    size = 1
    while 2 * (a + b * size) >= 1.05 * (a + 2 * b * size):
        size *= 2
    return 2 * size
""",
        "seconds instead of images per second": """
def stops_to_pay(a, b):
    size = 1
    while (a + 2 * b * size) >= 1.05 * (a + b * size) and size < 2**20:
        size *= 2
    return size
""",
    },
}
