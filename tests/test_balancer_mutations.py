"""The checks of the balancers must be able to fail.

Wrong versions, each a slip that could happen, have to be rejected by a check of their method.
"""

from unittest import mock

import pytest
import torch
from balancer_checks import CHECKS
from balancer_examples import holds

from mtl_course.losses import BALANCERS, solvers
from mtl_course.losses import gradient_balancers as G
from mtl_course.losses import loss_balancers as L
from mtl_course.losses import rarer_balancers as R

pytestmark = pytest.mark.usefixtures("one_thread")
MUTANTS = []  # (name of the method, class)


def mutant(name):
    def keep(kind):
        MUTANTS.append((name, kind))
        return kind

    return keep


def everywhere(*names):
    "A mutation of every Gramian method of these names: a function of the class."

    def keep(make):
        for name in names:
            MUTANTS.append((name, make(BALANCERS[name])))
        return make

    return keep


LOSS_BALANCERS = [name for name, kind in BALANCERS.items() if kind.needs == "losses"]
ALL = ("mgda", "upgrad", "pcgrad", "cagrad", "imtl_g", "imtl", "nash", "aligned", "gradnorm")


def unit(gramian):
    return torch.ones(len(gramian), dtype=torch.float64) / len(gramian)


@everywhere(*ALL)
def ignores_its_input(base):
    return type(f"{base.__name__}IgnoresItsInput", (base,), dict(solve=lambda self, gramian, losses: unit(gramian)))


@everywhere(*ALL)
def has_the_wrong_sign(base):
    return type(
        f"{base.__name__}WrongSign",
        (base,),
        dict(solve=lambda self, gramian, losses: -base.solve(self, gramian, losses)),
    )


@everywhere(*ALL)
def looks_at_norms_only(base):
    return (
        type(
            f"{base.__name__}NormsOnly",
            (base,),
            dict(solve=lambda self, gramian, losses: base.solve(self, torch.diag(gramian.diagonal()), losses)),
        )
        if base is not R.GradNorm
        else type(
            "GradNormSquaredNorms",
            (base,),
            dict(solve=lambda self, gramian, losses: base.solve(self, gramian**2, losses)),
        )
    )


@everywhere("mgda", "upgrad", "cagrad", "imtl_g", "nash", "aligned")
def mixes_up_two_tasks(base):
    return type(
        f"{base.__name__}MixedUp",
        (base,),
        dict(solve=lambda self, gramian, losses: base.solve(self, gramian, losses).roll(1)),
    )


@mutant("mgda")
class FrankWolfe(G.MGDA):
    "A stopped iteration in place of the solution."

    def solve(self, gramian, losses):
        w = unit(gramian)
        for n in range(100):
            w = w + 2 / (n + 2) * (torch.eye(len(w), dtype=torch.float64)[(gramian @ w).argmin()] - w)
        return w


@mutant("mgda")
class ForgetsToDivide(G.MGDA):
    def solve(self, gramian, losses):
        n = gramian.diagonal().sqrt() if self.normalization == "l2" else 1.0
        return G.MGDA.solve(self, gramian, losses) * n


@mutant("upgrad")
class SumNotMean(G.UPGrad):
    def solve(self, gramian, losses):
        return super().solve(gramian, losses) * len(gramian)


@mutant("upgrad")
class ProjectsTheMeanOnly(G.UPGrad):
    def solve(self, gramian, losses):
        return solvers.dual_cone_weights(gramian, unit(gramian)[None])[0]


@mutant("upgrad")
class ProjectsOnPairs(G.UPGrad):
    "PCGrad's projections, averaged."

    def solve(self, gramian, losses):
        return G.PCGrad(self.tasks).solve(gramian, losses) / len(gramian)


@mutant("pcgrad")
class ProjectsFriends(G.PCGrad):
    def solve(self, gramian, losses):
        return super().solve(2 * torch.diag(gramian.diagonal()) - gramian, losses)


@mutant("pcgrad")
class AlwaysTheSameOrder(G.PCGrad):
    state = ()  # forgets its generator at a restart


@mutant("cagrad")
class WrongRadius(G.CAGrad):
    def solve(self, gramian, losses):
        self.c, c = self.c**2, self.c
        w = super().solve(gramian, losses)
        self.c = c
        return w


@mutant("cagrad")
class TowardsTheMeanOfTheHull(G.CAGrad):
    def solve(self, gramian, losses):
        corners = mock.patch.object(solvers, "_ball_candidates", lambda gramian, pull: torch.eye(len(gramian)).double())
        with corners:
            return super().solve(gramian, losses)


@mutant("imtl_g")
class SignedSum(G.IMTLG):
    "The paper's division by the sum: climbs when the sum is negative."

    def solve(self, gramian, losses):
        v = torch.linalg.pinv(gramian, hermitian=True) @ gramian.diagonal().sqrt()
        return v / v.sum()


@mutant("imtl_g")
class RawProjections(G.IMTLG):
    def solve(self, gramian, losses):
        v = torch.linalg.pinv(gramian).sum(1)
        return v / v.sum().abs()


@mutant("imtl")
class NeverScales(R.IMTL):
    def solve(self, gramian, losses):
        return G.equal_projection_weights(gramian)


@mutant("imtl")
class ScalesOnce(R.IMTL):
    def solve(self, gramian, losses):
        scale = self.scaling.log_scale[self.present(losses)[0]].exp()
        return super().solve(gramian, losses) / scale


@mutant("nash")
class Unsolved(G.NashMTL):
    "Each task for itself."

    def solve(self, gramian, losses):
        return 1 / gramian.diagonal().clamp_min(1e-300).sqrt()


@mutant("nash")
class FrobeniusScaled(G.NashMTL):
    def solve(self, gramian, losses):
        return super().solve(gramian, losses) * gramian.norm().sqrt()


@mutant("aligned")
class Whitened(R.AlignedMTL):
    def solve(self, gramian, losses):
        return (
            torch.linalg.pinv(gramian, hermitian=True) @ unit(gramian) * torch.linalg.eigvalsh(gramian).clamp_min(0)[0]
        )


@mutant("aligned")
class LargestSingularValue(R.AlignedMTL):
    def solve(self, gramian, losses):
        e = torch.linalg.eigvalsh(gramian).clamp_min(0)
        return super().solve(gramian, losses) * (e[-1] / e[0].clamp_min(1e-300)).sqrt().clamp_max(1e3)


@mutant("gradnorm")
class RewardsLength(R.GradNorm):
    def solve(self, gramian, losses):
        before = self.task_weights.clone()
        w = super().solve(gramian, losses)
        self.task_weights = (2 * before - self.task_weights).clamp_min(1e-3)
        self.task_weights *= len(before) / self.task_weights.sum()
        return w


@mutant("gradnorm")
class ForgetsTheFirstLosses(R.GradNorm):
    def solve(self, gramian, losses):
        self.first = {}
        return super().solve(gramian, losses)


@mutant("gradnorm")
class LosesItsSum(R.GradNorm):
    def solve(self, gramian, losses):
        w = super().solve(gramian, losses)
        self.task_weights = self.task_weights * 1.01
        return w


@mutant("graddrop")
class PicksTheOtherSign(R.GradDrop):
    def combine(self, jacobian, losses):
        d = super().combine(jacobian, losses)
        return jacobian.sum(0) - d


@mutant("graddrop")
class DropsNothing(R.GradDrop):
    def combine(self, jacobian, losses):
        return jacobian.sum(0)


@mutant("graddrop")
class CoinWithoutPurity(R.GradDrop):
    def combine(self, jacobian, losses):
        flip = torch.rand(jacobian.shape[1], generator=self.generator) < 0.5
        return torch.where(flip, jacobian.clamp_min(0).sum(0), jacobian.clamp_max(0).sum(0))


@mutant("graddrop")
class SameMaskAlways(R.GradDrop):
    def combine(self, jacobian, losses):
        self.generator.manual_seed(0)
        return super().combine(jacobian, losses)


class Uphill:
    "Adam in the wrong direction."

    def __init__(self, tasks, **options):
        super().__init__(tasks, **options)
        self.adam.lr = -self.adam.lr


for name in ("uncertainty", "uncertainty_positive", "imtl_l", "famo"):
    MUTANTS.append((name, type(f"{BALANCERS[name].__name__}Uphill", (Uphill, BALANCERS[name]), {})))
for name in LOSS_BALANCERS:
    base = BALANCERS[name]
    MUTANTS.append(
        (
            name,
            type(
                f"{base.__name__}IgnoresItsInput",
                (base,),
                dict(
                    weight=lambda self, task, loss: 1.0,
                    finish=lambda self, losses: 1.0,
                    after_step=lambda self, losses: None,
                ),
            ),
        )
    )
    MUTANTS.append(
        (
            name,
            type(
                f"{base.__name__}WrongSign",
                (base,),
                dict(weight=lambda self, task, loss, base=base: -base.weight(self, task, loss)),
            ),
        )
    )
    if base.state:
        MUTANTS.append((name, type(f"{base.__name__}ForgetsItsState", (base,), dict(state=()))))
MUTANTS.remove(
    next(m for m in MUTANTS if m[1].__name__ == "FixedWeightsForgetsItsState")
)  # given again at each start: nothing is lost


@mutant("uncertainty")
class HalfForgotten(L.Uncertainty):
    def weight(self, task, loss):
        return 0.5 * super().weight(task, loss)


@mutant("uncertainty")
class ReadsTheLoss(L.Uncertainty):
    def weight(self, task, loss):
        loss.item()
        return super().weight(task, loss)


@mutant("uncertainty")
class MovesWhileLooking(L.Uncertainty):
    def weight(self, task, loss):
        w = super().weight(task, loss)
        self.log_variance[self.index(task)] += 1e-3
        return w


@mutant("uncertainty_positive")
class CanGoNegative(R.PositiveUncertainty):
    finish = L.Uncertainty.finish


@mutant("geometric_mean")
class NoCommonFactor(L.GeometricMean):
    def finish(self, losses):
        return 1.0


@mutant("geometric_mean")
class ArithmeticFactor(L.GeometricMean):
    def finish(self, losses):
        return sum(losses.values()) / len(losses) ** 2


@mutant("geometric_mean")
class HidesItsFactor(L.GeometricMean):
    has_factor = False


@mutant("famo")
class HidesThatItLooks(R.FAMO):
    weight_needs_loss = False


@mutant("dwa")
class RatioUpsideDown(R.DynamicWeightAverage):
    def _next_period(self):
        self.older, self.newer = self.newer, self.older
        super()._next_period()


@mutant("dwa")
class SumOne(R.DynamicWeightAverage):
    def weight(self, task, loss):
        return super().weight(task, loss) / len(self.tasks)


@mutant("random")
class NeverDrawsAgain(L.RandomWeights):
    def finish(self, losses):
        return 1 / float(self.logits[self.present(losses)[0]].exp().sum())


@mutant("random")
class SoftmaxOverAbsentTasks(L.RandomWeights):
    def finish(self, losses):
        f = 1 / float(self.logits.exp().sum())
        self._draw()
        return f


@mutant("random")
class GlobalGenerator(L.RandomWeights):
    def _draw(self):
        self.logits = torch.randn(len(self.tasks), dtype=torch.float64)


@mutant("famo")
class NotDividedByTheLoss(R.FAMO):
    def weight(self, task, loss):
        return super().weight(task, loss) * float(loss)


@mutant("famo")
class Unnormalized(R.FAMO):
    def finish(self, losses):
        super().finish(losses)
        return 1.0


@mutant("fixed")
class ByPositionReversed(L.FixedWeights):
    def __init__(self, tasks, weights=None):
        super().__init__(tasks, weights if weights is None or isinstance(weights, dict) else weights[::-1])


@pytest.mark.parametrize("name,kind", [pytest.param(n, k, id=f"{n}-{k.__name__}") for n, k in MUTANTS])
def test_a_wrong_version_is_rejected(name, kind):
    rejected = []
    for check in CHECKS[name]:
        try:
            holds(check, kind, count=12)
        except AssertionError:
            rejected.append(check.__name__)
            break
    assert rejected, f"no check of {name} notices {kind.__name__}"


def test_every_method_has_mutants():
    assert {n for n, _ in MUTANTS} == set(CHECKS)
