"""Plausible wrong answers to the exercises of 09_detection_head."""

WRONG = {
    "09.1": {
        "takes corners for centres": (
            "def encode(box, anchor):\n    import math\n"
            "    w, h = box[2] - box[0], box[3] - box[1]\n"
            "    wa, ha = anchor[2] - anchor[0], anchor[3] - anchor[1]\n"
            "    return (box[0] - anchor[0]) / wa, (box[1] - anchor[1]) / ha, math.log(w / wa), math.log(h / ha)"
        ),
        "forgets the logarithm": (
            "def encode(box, anchor):\n    import math\n"
            "    x, y, w, h = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]\n"
            "    xa, ya = (anchor[0] + anchor[2]) / 2, (anchor[1] + anchor[3]) / 2\n"
            "    wa, ha = anchor[2] - anchor[0], anchor[3] - anchor[1]\n"
            "    return (x - xa) / wa, (y - ya) / ha, w / wa, h / ha"
        ),
    },
    "09.2": {
        "one anchor per place": (
            "def count_anchors(height, width, neck):\n"
            "    return sum(height // s * (width // s) for s in ((4, 8, 16, 32) if neck == 'fpn' else (32,)))"
        ),
        "the pyramid's finest map alone": (
            "def count_anchors(height, width, neck):\n"
            "    s = 4 if neck == 'fpn' else 32\n"
            "    return 9 * (height // s) * (width // s)"
        ),
    },
    "09.3": {
        "lets removed boxes remove others": (
            "def suppress(boxes, scores, threshold):\n"
            "    order = scores.argsort(descending=True)\n"
            "    iou = box_iou(boxes[order], boxes[order]).triu(1)\n"
            "    return order[iou.amax(0) <= threshold].tolist()"
        ),
        "goes through the boxes as they come": (
            "def suppress(boxes, scores, threshold):\n"
            "    iou = box_iou(boxes, boxes)\n"
            "    stay = []\n"
            "    for i in range(len(boxes)):\n"
            "        if all(iou[i, j] <= threshold for j in stay):\n"
            "            stay.append(i)\n"
            "    return stay"
        ),
        "gives a mask": "def suppress(boxes, scores, threshold):\n    return scores > threshold",
    },
}
