"""A small network that trains in a thread while its task weights are changed."""

import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from ..config import BOOSTED_WEIGHTS, Config, make_config
from ..core.errors import UserError
from ..core.seeds import derive_seed
from ..core.task import TASKS
from ..data.loaders import collate, training_loader
from ..data.sources import make_reader, prepare_data
from ..evaluation.evaluate import score_task
from ..losses import BALANCERS, make_balancer
from ..models.multi_task_model import MultiTaskModel
from ..training.distributed import start_fabric
from ..training.optimizer import make_optimizer
from ..training.state import TrainState, create_train_state
from ..training.steps import compute_gradients, optimizer_step
from .base import checked_number

__all__ = []

LOWEST = 0.01  # ends of the weights
HIGHEST = 100.0
SCORED_IMAGES = 43  # of each task, at most
THREAD_NAME = "task-weight playground"
_SMALL = dict(
    detection_size=(64, 208),
    classification_size=(32, 32),
    batch_size=2,
    classification_batch_size=16,
    roi_margin=0.05,
    neck_channels=32,
    lane_channels=64,
    roi_samples=16,
    dropout=0.1,
    scheduler_type="constant",
    gradient_clip=5.0,
    epochs=1,
    steps_per_epoch=1_000_000,
    channels_last=False,
    use_rotation=False,
    use_brightness=False,
    use_contrast=False,
    use_gaussian_noise=False,
)


EQUAL_WEIGHTS = dict.fromkeys(BOOSTED_WEIGHTS, 1.0)


def playground_config(
    **overrides,  # fields that differ
) -> Config:
    """The recipe `smoke` in small sizes; raises `UserError` for an unknown field or value."""
    sizes = {f"{task}_size": (64, 96) for task in TASKS}
    return make_config("smoke", **sizes | _SMALL | overrides)


def weights_of(
    tasks: tuple[str, ...],
    weights: dict[str, float] = EQUAL_WEIGHTS,  # task -> weight; other tasks have 1
) -> dict[str, float]:
    """A weight for each task, in the order of 5/30/1: detection, lane, classification, others."""
    ordered = [task for task in EQUAL_WEIGHTS if task in tasks]
    ordered += [task for task in tasks if task not in EQUAL_WEIGHTS]
    return {task: weights.get(task, 1.0) for task in ordered}


def weights_label(weights: dict[str, float]) -> str:
    """Weights as the legend writes them, such as 5/30/1."""
    return "/".join(f"{weight:.3g}" for weight in weights.values())


def presets_of(tasks: tuple[str, ...]) -> dict[str, tuple[dict, str]]:
    """What the list of presets offers: name -> (weight of each task, balancer)."""
    equal = weights_of(tasks)
    boosted = weights_of(tasks, BOOSTED_WEIGHTS)
    fixed = {weights_label(weights): (weights, "fixed") for weights in (equal, boosted)}
    return fixed | {name: (equal, name) for name in BALANCERS if name != "fixed"}


def _shorten_backbone(model: MultiTaskModel):
    """Leaves the first block of each of the backbone's stages: features have the same shapes."""
    for stage in model.backbone.stages():
        del stage[1:]


def few_images(
    config: Config,
    task: str,
    count: int,  # at most so many
) -> dict:
    """A batch of validation images of a task, evenly spread over the split."""
    reader = make_reader(config, task, "val")
    indices = np.unique(np.linspace(0, len(reader) - 1, min(count, len(reader))).round().astype(int))
    return collate([reader[int(index)] | dict(task=task) for index in indices])


@dataclass
class Curve:
    """What was measured under one setting; losses are unweighted."""

    weights: dict[str, float]  # task -> fixed weight
    balancer: str = "fixed"  # what weighs the tasks on top
    number: int = 0  # counts the settings
    steps: list = field(default_factory=list)  # 1 for the first after a reset
    losses: dict = field(default_factory=dict)  # task -> one for each step
    used: dict = field(default_factory=dict)  # task -> weight × balancer's weight of each step (NaN: no such number)
    scores: dict = field(default_factory=dict)  # task -> [(step, validation score in 0..1), …]

    def __post_init__(self):
        for lists in (self.losses, self.used, self.scores):
            for task in self.weights:
                lists.setdefault(task, [])

    @property
    def label(self) -> str:
        """The setting as the legend writes it: 5/30/1, or 1/1/1 mgda."""
        balancer = "" if self.balancer == "fixed" else f" {self.balancer}"
        return weights_label(self.weights) + balancer

    def last(self, lists: dict) -> dict:
        """The newest entry for each task that has one."""
        return {task: values[-1] for task, values in lists.items() if values}


@dataclass
class _Session:
    """A training from its first step to a reset."""

    state: TrainState  # network, optimiser, balancer, and how many steps are done
    batches: Iterator
    balancer: str = "fixed"  # name of the state's balancer


class BackgroundTraining:
    """A small network that trains in a thread while its task weights are changed.

    `set_weights`, `set_balancer` and `choose` say what the next step uses; `step` does one step;
    `train` steps in the background until `pause`, `reset` or `close`. What is set is a wish that
    the next step reads at its beginning: nothing has to be locked while the network computes.
    Keywords are fields of `Config` that differ from `playground_config`; raises `UserError` for a
    wrong one.
    """

    _all = weakref.WeakSet()  # of one kernel: only one of them trains at a time

    def __init__(
        self,
        seed: int = 0,  # of the first weights and the order of the images
        score_every: int = 5,  # steps between two validations; the tasks take turns
        ghosts: int = 5,  # how many earlier curves are remembered
        **overrides,
    ):
        self.config = playground_config(seed=seed, **overrides)
        self.score_every = score_every
        self.max_ghosts = ghosts
        self.presets = presets_of(self.config.tasks)
        self.weights = weights_of(self.config.tasks)
        self.tasks = tuple(self.weights)
        self.balancer = "fixed"
        self.curve = Curve(dict(self.weights))
        self.ghosts = []
        self.session = None
        self.data = None  # the training loader, with decoded images
        self.thread = None
        self.error = None
        self.closed = False
        self.first_point = None  # seconds from `train` to the first step's end
        self._val = {}  # task -> a few validation batches
        self._last_thread = None  # the thread that trained last; it may be drawing its last picture
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._step_seconds = deque(maxlen=20)
        self._pressed = None
        weakref.finalize(self, self._stop.set)  # nobody holds it any more, or Python ends
        self._all.add(self)

    def _on_setting(self):
        """Called when the setting of the next step has changed."""

    def _on_change(self):
        """Called when something else to show has changed."""

    def _on_step(self):
        """Called when a step of the thread is done."""

    def set_weights(
        self,
        **weights: float,  # task -> weight, for example detection=5, lane=30
    ):
        """Weights from the next step on; others stay.

        Raises `UserError` for an unknown task or a weight that is no number from `LOWEST` to
        `HIGHEST`.
        """
        for task, weight in weights.items():
            if task not in self.weights:
                raise UserError(f"task is {task!r}: expected some of {', '.join(self.tasks)}")
            checked_number(f"the weight of {task}", weight, LOWEST, HIGHEST)
        with self._lock:
            self.weights = self.weights | {task: float(weight) for task, weight in weights.items()}
        self._on_setting()

    def set_balancer(
        self,
        name: str,  # a key of BALANCERS
    ):
        """A fresh balancer from the next step on; raises `UserError` for an unknown name."""
        if name not in BALANCERS:
            raise UserError(f"balancer is {name!r}: expected one of {', '.join(BALANCERS)}")
        with self._lock:
            self.balancer = name
        self._on_setting()

    def choose(
        self,
        preset: str,  # a key of `presets`
    ):
        """Weights and balancer of a preset; raises `UserError` for an unknown one."""
        if preset not in self.presets:
            raise UserError(f"preset is {preset!r}: expected one of {', '.join(self.presets)}")
        weights, balancer = self.presets[preset]
        with self._lock:
            self.weights = dict(weights)
            self.balancer = balancer
        self._on_setting()

    def step(self):
        """One training step under the present setting and, when due, the validation of one task.

        Raises `UserError` after `close`, when data are broken or when a loss is not a number.
        """
        self._must_be_open()
        start = time.perf_counter()
        with torch.random.fork_rng(devices=[]):  # the user's generator stays where it is
            # a reset meanwhile takes the session from the playground, not from this step
            session = self.session or self._start()
            self._read_setting(session)
            state = session.state
            batch = self.fabric.to_device(next(session.batches))
            seed = derive_seed(self.config.seed, state.step)
            torch.manual_seed(seed)
            balanced = compute_gradients(self.fabric, state.model, batch, state.balancer)
            optimizer_step(self.fabric, state, batch, seed)
            state.step += 1
        self._record(session, balanced, time.perf_counter() - start)
        if state.step % self.score_every == 0 and not self._stop.is_set():
            turn = state.step // self.score_every % len(self.tasks)
            self._score(session, self.tasks[turn])

    def _start(self) -> _Session:
        """Makes data (once) and network (after each reset)."""
        if self.data is None:
            prepare_data(self.config, progress=False)
            self.fabric = start_fabric(self.config)
            self.data = training_loader(self.config)
            self._val = {task: [few_images(self.config, task, SCORED_IMAGES)] for task in self.tasks}
        torch.manual_seed(self.config.seed)
        state = create_train_state(self.fabric, self.config, self.data)
        _shorten_backbone(state.model)
        optimizer, state.scheduler = make_optimizer(state.model, self.config, self.config.steps_per_epoch)
        state.optimizer = self.fabric.setup_optimizers(optimizer)
        state.model.train()
        self.session = _Session(state, iter(self.data))
        return self.session

    def _read_setting(self, session: _Session):
        """Reads the wish: a changed setting begins a new curve."""
        with self._lock:
            weights = self.weights
            balancer = self.balancer
            curve = self.curve
        if (curve.weights, curve.balancer) != (weights, balancer):
            self._begin_curve(Curve(dict(weights), balancer, curve.number + 1))
        if session.balancer != balancer:
            session.state.balancer = make_balancer(balancer, self.config.tasks)
            session.balancer = balancer
        session.state.model.set_task_weights(**weights)

    def _begin_curve(self, new: Curve):
        """The present curve becomes a ghost, unless it is shorter than three steps."""
        with self._lock:
            if len(self.curve.steps) >= 3:
                self.ghosts = [*self.ghosts, self.curve][-self.max_ghosts :]
            else:
                new.number = self.curve.number
            self.curve = new

    def _record(self, session: _Session, balanced, seconds: float):
        """Writes down a step, unless it belongs to a session that was reset meanwhile."""
        with self._lock:
            if session is not self.session:
                return
            curve = self.curve
            fixed = session.state.model.task_weights
            for task in self.tasks:
                curve.losses[task].append(balanced.losses[task] / fixed[task])
                curve.used[task].append(balanced.weights[task] * fixed[task])
            curve.steps.append(session.state.step)  # last: who reads without the lock sees no step without its losses
            self._step_seconds.append(seconds)
        if self._pressed is not None:
            self.first_point = time.perf_counter() - self._pressed
            self._pressed = None

    def _score(self, session: _Session, task: str):
        """The primary score of one task on its few validation images."""
        precision = self.fabric._precision.precision
        scores = score_task(session.state.model, self._val[task], task, self.fabric.device.type, precision)
        value = float(np.nan_to_num(scores[TASKS[task].primary_metric]))
        with self._lock:
            if session is self.session:
                self.curve.scores[task].append((session.state.step, value))

    def train(
        self,
        steps: int = 2000,  # at most: one that was forgotten ends by itself
    ):
        """Steps in the background until `pause`; pauses every other playground of the kernel.

        Raises `UserError` after `close`.
        """
        self._must_be_open()
        if self.training and self._stop.is_set():
            self.wait(1)  # the last step of an earlier call
        for other in list(self._all):
            if other is not self:
                other.pause()
        with self._lock:
            if self.training:  # it has not left yet, and goes on
                self._stop.clear()
                return
            self.error = None
            self._pressed = time.perf_counter()
            arguments = (weakref.ref(self), self._stop, steps)
            self.thread = threading.Thread(target=_train_until_stopped, args=arguments, name=THREAD_NAME, daemon=True)
            self._last_thread = self.thread
            self.thread.start()
        self._on_change()

    @property
    def training(self) -> bool:
        """Whether a thread is at work."""
        return self.thread is not None and self.thread.is_alive()

    def _thread_leaves(self, done: bool) -> bool:
        """Whether the thread ends here.

        Decided and noted at once, so that `train` never counts on a thread that is leaving.
        """
        with self._lock:
            if not (done or self._stop.is_set()):
                return False
            self.thread = None
            self._stop.clear()
            if self.closed:
                self._let_go()
        self._on_change()  # the last picture
        return True

    def pause(
        self,
        timeout: float = 10.0,  # seconds to wait for the running step (making the world takes longer)
    ):
        """Ends the thread when the running step is done, and waits for that."""
        with self._lock:
            if self.training:  # else nobody would clear the flag, and steps by hand are not to be hurried
                self._stop.set()
        self.wait(timeout)

    def wait(
        self,
        timeout: float | None = None,  # seconds
    ):
        """Waits until the thread has ended; at most `timeout`."""
        thread = self._last_thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def reset(self):
        """Back to the first weights and the first image; the curves so far stay as ghosts.

        A step that takes longer than `pause` waits ends by itself and is not counted.
        """
        self._must_be_open()
        self.pause()
        with self._lock:
            self.session = None
            self.error = None
            self._begin_curve(Curve(dict(self.weights), self.balancer, self.curve.number + 1))
        self._on_change()

    def close(self):
        """Ends the thread and lets network and images go, at the latest when its step is done."""
        self.closed = True
        self.pause()
        with self._lock:
            if not self.training:
                self._let_go()

    def _let_go(self):
        self.session = None
        self.data = None
        self._val = {}

    def _must_be_open(self):
        if self.closed:
            raise UserError("this playground is closed: make a new TaskWeightPlayground()")

    def state(self) -> dict:
        """What there is to know, as plain values.

        The setting, the last losses and scores, the labels of the ghosts, and how long things
        took (seconds).
        """
        with self._lock:
            curve = self.curve
            seconds = sorted(self._step_seconds)
            return dict(
                training=self.training,
                step=self.session.state.step if self.session else 0,
                weights=dict(self.weights),
                balancer=self.balancer,
                losses=curve.last(curve.losses),
                used=curve.last(curve.used),
                scores={task: score for task, (_, score) in curve.last(curve.scores).items()},
                ghosts=[ghost.label for ghost in self.ghosts],
                seconds_per_step=seconds[len(seconds) // 2] if seconds else None,
                first_point=self.first_point,
                error=self.error,
            )


def _train_until_stopped(
    reference: weakref.ref,  # of the playground: held between two steps, the thread would keep it alive
    stop: threading.Event,
    steps: int,  # at most
):
    """What the thread does: step until told to stop, or until nobody holds the playground."""
    torch.set_num_threads(1)  # in this thread; the other cores are the kernel's
    while (training := reference()) is not None and not training._thread_leaves(steps <= 0):
        try:
            training.step()
        except Exception as error:  # a thread has nobody to raise to
            expected = isinstance(error, UserError)
            training.error = str(error) if expected else f"{type(error).__name__}: {error}"
            stop.set()
        steps -= 1
        if not stop.is_set():
            training._on_step()
        del training
