"""Changes of the `laptop` recipe with which stored results were measured."""

EVERY_STEP = dict(classification_every=1, lane_every=1)  # a step holds all tasks

# the recipe until signs and lanes began to sit out; of 800 steps
FIRST_LAPTOP = EVERY_STEP | dict(
    steps_per_epoch=160,
    roi_objects=0.25,
    shared_box=False,
    adam_beta2=0.999,
    lane_prior=0.0,
    classification_weight=2.0,
    lane_weight=3.0,
)
