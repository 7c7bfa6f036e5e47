"""Plausible wrong answers to the exercises of 07_classification_head."""

WRONG = {
    "07.1": {
        "divides by four": "parameters = 2_648_107 // 4",
        "shrinks the biases, too": "parameters = 2_648_107 - (2048 - 512) * 1025",
        "in millions": "parameters = 1.08",
    },
    "07.2": {
        "focuses on easy examples": (
            "def focal_loss(logits, labels, gamma):\n"
            "    log_p = logits.log_softmax(1).gather(1, labels[:, None])[:, 0]\n"
            "    return (log_p.exp() ** gamma * -log_p).mean()"
        ),
        "sums over the batch": (
            "def focal_loss(logits, labels, gamma):\n"
            "    log_p = logits.log_softmax(1).gather(1, labels[:, None])[:, 0]\n"
            "    return ((1 - log_p.exp()) ** gamma * -log_p).sum()"
        ),
        "takes the logarithm of a softmax": (
            "def focal_loss(logits, labels, gamma):\n"
            "    p = logits.softmax(1).gather(1, labels[:, None])[:, 0]\n"
            "    return ((1 - p) ** gamma * -p.log()).mean()"
        ),
    },
    "07.3": {
        "forgets that the label gets its share of ε": (
            "def smallest_smoothed_loss(k, eps):\n"
            "    import math\n"
            "    return -(1 - eps) * math.log(1 - eps) - (k - 1) * eps / k * math.log(eps / k)"
        ),
        "looks at the label alone": (
            "def smallest_smoothed_loss(k, eps):\n    import math\n    return -math.log(1 - eps + eps / k)"
        ),
        "says zero": "def smallest_smoothed_loss(k, eps):\n    return 0.0",
    },
}
