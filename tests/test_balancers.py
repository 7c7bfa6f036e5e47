"""The balancers: properties on examples, TorchJD's version of each method, states, mistakes."""

import itertools
import math

import numpy as np
import pytest
import torch
from balancer_checks import CHECKS
from balancer_examples import FAMILIES, NAMES, close, direction, holds, jacobian

from mtl_course.core.errors import UserError
from mtl_course.losses import BALANCERS, Balancer
from mtl_course.losses.balancer import TaskAdam
from mtl_course.losses.loss_balancers import FixedWeights
from mtl_course.losses.solvers import dual_cone_weights, min_norm_weights
from mtl_course.losses.torchjd_balancer import COUNT_ROWS, WEIGH_GRADIENTS, TorchJDBalancer

pytestmark = pytest.mark.usefixtures("one_thread")
GRID = list(itertools.product(FAMILIES, range(2, 9), (0, 1)))  # family, tasks, seed
CASES = []
for name, checks in CHECKS.items():
    CASES += [pytest.param(name, check, id=f"{name}-{check.__name__}") for check in checks]


@pytest.mark.parametrize("name,check", CASES)
def test_property(name, check):
    holds(check, BALANCERS[name])


def test_every_balancer_is_checked():
    assert set(CHECKS) == set(BALANCERS) - {"torchjd"}


# ---------------------------------------------------------------- against TorchJD
def ours(name, J, losses=None, **options):
    tasks = list(NAMES[: len(J)])
    return BALANCERS[name](tasks, **options).weights(J @ J.T, losses or dict.fromkeys(tasks, 1.0))


def test_upgrad_is_torchjds():
    """Without the 1e-4 that TorchJD adds to the diagonal it solves the same problem.

    The lengths are given as preferences.
    """
    from torchjd.aggregation import UPGrad
    from torchjd.linalg import QuadprogProjector

    for case in GRID:
        J = jacobian(*case)
        lengths = J.norm(dim=1, keepdim=True)
        theirs = UPGrad(pref_vector=lengths[:, 0] / len(J), projector=QuadprogProjector(norm_eps=0.0, reg_eps=1e-12))(
            J / lengths
        )
        close(ours("upgrad", J) @ J, theirs, rtol=1e-6, atol=1e-9 * J.norm())


def test_mgda_is_quadprogs_and_never_longer_than_torchjds():
    from qpsolvers import solve_qp
    from torchjd.aggregation import MGDAWeighting

    excess = []
    for family, T, seed in GRID:
        J = jacobian(family, T, seed)
        G = J @ J.T
        d = ours("mgda", J) @ J
        theirs = MGDAWeighting()(G) @ J
        assert d.norm() <= theirs.norm() * (1 + 1e-9) + 1e-12 * J.norm()
        if family in ("random", "conflicting", "scaled_up", "scaled_down", "agreeing"):
            unit = G / G.diagonal().max()
            w = torch.from_numpy(
                solve_qp(unit.numpy(), np.zeros(T), A=np.ones((1, T)), b=np.ones(1), lb=np.zeros(T), solver="quadprog")
            )
            close(d, w @ J, rtol=1e-6, atol=1e-9 * J.abs().max())
            excess.append((theirs.norm() / d.norm() - 1).item())
    assert max(excess) > 1e-3  # the stopped Frank-Wolfe iteration is not exact: no reason to copy it


def test_pcgrad_is_torchjds_with_the_same_permutations():
    from torchjd.aggregation import PCGrad

    for case in GRID:
        J = jacobian(*case)
        torch.manual_seed(case[2])
        close(ours("pcgrad", J, seed=case[2]) @ J, PCGrad()(J), rtol=1e-6)


def test_graddrop_is_torchjds_with_the_same_numbers():
    from torchjd.aggregation import GradDrop

    for case in GRID:
        J = jacobian(*case, columns=200)
        tasks = NAMES[: len(J)]
        torch.manual_seed(torch.randint(2**62, (), generator=torch.Generator().manual_seed(case[2])).item())
        leak = torch.linspace(0, 0.5, len(J), dtype=torch.float64)
        balancer = BALANCERS["graddrop"](tasks, leak=dict(zip(tasks, leak.tolist())), seed=case[2])
        close(balancer.combine(J, dict.fromkeys(tasks, 1.0)), GradDrop(leak=leak)(J), rtol=1e-9)


def test_imtl_g_is_torchjds_where_the_gradients_are_independent():
    from torchjd.aggregation import IMTLG

    for family, T, seed in GRID:
        if family in ("dependent", "doubled"):
            continue  # the notebook: another pseudo-inverse there
        J = jacobian(family, T, seed)
        lengths = J.norm(dim=1, keepdim=True)
        theirs = direction(
            IMTLG()(J / lengths)
        )  # unit gradients: its pseudo-inverse of a badly scaled Gramian drops the short ones
        theirs = theirs * torch.sign((J / lengths @ theirs).sum())  # and ours never climbs
        w = ours("imtl_g", J)
        close(direction(w @ J), theirs, rtol=1e-6)
        close(w.sum().abs(), 1.0)
        if family != "scaled_rows":
            v = IMTLG().gramian_weighting(J @ J.T)
            close(w, v * torch.sign((J @ (v @ J)).sum()), rtol=1e-6)


def test_aligned_is_torchjds():
    from torchjd.aggregation import AlignedMTL

    for mode in ("min", "median", "rmse"):
        for family, T, seed in GRID:
            J = jacobian(family, T, seed)
            S = torch.linalg.svdvals(J)
            if (S[S > 1e-7 * S[0]].min() / S[0]) < 1e-5:
                continue  # the smallest eigenvalue of a float64 Gramian has no six digits then (the notebook)
            close(ours("aligned", J, scale=mode) @ J, AlignedMTL(scale_mode=mode)(J), rtol=1e-6)


def _cagrad_by_interior_points(J, c):
    "The dual of CAGrad by cvxpy and CLARABEL, as in TorchJD, made exact by Newton's method."
    import cvxpy as cp

    U, S, _ = np.linalg.svd(J.numpy(), full_matrices=False)
    A = U * S / S[0]
    mean = A.mean(0)
    radius = c * np.linalg.norm(mean)
    w = cp.Variable(len(A))
    cp.Problem(cp.Minimize((A @ mean) @ w + radius * cp.norm(A.T @ w, 2)), [w >= 0, cp.sum(w) == 1]).solve(
        cp.CLARABEL, tol_gap_abs=1e-15, tol_gap_rel=1e-15, tol_feas=1e-15, max_iter=500
    )
    weights = _polished(w.value, A @ A.T, A @ mean, radius)
    return J.mean(0) + c * J.mean(0).norm() * direction(torch.from_numpy(weights) @ J)


def _polished(w, gramian, pull, radius):
    """The minimum of pull·w + radius·‖w‖ on the simplex's face where `w` lies, by Newton's method.

    Its value tells the minimum's place to 1e-6 at best, its gradient to 1e-12.
    """
    face = w > 1e-5
    G = gramian[np.ix_(face, face)]
    y = w[face] / w[face].sum()
    for _ in range(20):
        length = np.sqrt(y @ G @ y)
        if length < 1e-6:
            return w  # a Pareto-stationary point, where the norm has no gradient
        slope = radius * G @ y / length
        curvature = radius * G / length - np.outer(slope, slope) / (radius * length)
        system = np.block([[curvature, np.ones((len(y), 1))], [np.ones((1, len(y))), np.zeros((1, 1))]])
        step = np.linalg.lstsq(system, np.append(-(pull[face] + slope), 0), rcond=1e-13)[0][:-1]
        y = y + step
    polished = np.zeros_like(w)
    polished[face] = y
    return polished


@pytest.mark.filterwarnings("ignore::UserWarning")  # the tolerance is tighter than the solver can promise
@pytest.mark.parametrize("c", [0.2, 0.5, 0.9])
def test_cagrad_is_torchjds(c):
    """Interior points find the minimum's face, Newton's method its place.

    TorchJD's default tolerance leaves 1e-4.
    """
    from torchjd.aggregation import CAGrad

    for family, T, seed in GRID[::3]:
        if family == "scaled_rows":
            continue  # beyond those solvers; `best_in_ball` certifies ours
        J = jacobian(family, T, seed)
        d = ours("cagrad", J, c=c) @ J
        reference = _cagrad_by_interior_points(J, c)
        close(d, reference, rtol=1e-6)
        assert (J @ d).min() >= (J @ reference).min() - 1e-9 * J.norm() * d.norm()
        if family != "scaled_down":
            close(d, CAGrad(c=c)(J), rtol=1e-3)  # its norm_eps takes short gradients for zero


@pytest.mark.parametrize("name", ["Mean", "Sum", "Random"])
def test_torchjds_weightings_that_count_rows_run_on_the_gramian(name):
    import torchjd.aggregation as library

    J = jacobian("random", 3, 0)
    balancer = BALANCERS["torchjd"]("abc", name, seed=1)
    weights = balancer.weights(J @ J.T, dict.fromkeys("abc", 1.0))
    assert balancer.needs == "gramian" and (weights >= 0).all()
    if name != "Random":
        close(weights @ J, getattr(library, name)()(J))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["ExcessMTLWeighting", "MoDoWeighting", "SDMGradWeighting"])
def test_a_weighting_of_the_gradients_is_not_given_their_gramian(name):
    with pytest.raises(UserError, match=f"{name} weighs gradients, not their Gramian: choose input_kind=matrix"):
        BALANCERS["torchjd"]("abc", name)
    assert BALANCERS["torchjd"]("abc", name, input_kind="matrix").needs == "gramian"


def test_nash_is_torchjds_but_for_the_length():
    """TorchJD scales the Gramian by its norm first, so its weights are longer by the root of that.

    Clipped to norm 1 both are the same, where its solver gets through.
    """
    from torchjd.aggregation import NashMTL

    failed = 0
    for family in ("random", "conflicting"):
        for T, seed in [(2, 2), (3, 3), (5, 5), (8, 8), (8, 18)]:
            J = 3 * jacobian(family, T, seed)
            theirs = NashMTL(n_tasks=T, max_norm=1.0, update_weights_every=1, optim_niter=100)(J)
            w = torch.linalg.lstsq(J.T, theirs[:, None]).solution[:, 0]
            bargain = w * (J @ theirs)  # the same for all tasks, by definition
            if bargain.min() < 0.99 * bargain.max():
                failed += 1  # its solver's last answer, no solution
            else:
                close(ours("nash", J, max_norm=1.0) @ J, theirs, rtol=1e-6)
    assert failed <= 1


def test_loss_balancers_are_torchjds_scalarizers():
    from torchjd import scalarization as sc

    tasks = list("abc")
    k = torch.arange(3, dtype=torch.float64)
    steps = [1 + torch.sin(n + k) ** 2 + k for n in range(24)]
    pairs = {
        "uncertainty": (dict(lr=0.02, squared_errors=tasks), sc.UW(3), 1),
        "imtl_l": (dict(lr=0.02), sc.IMTLL(3), 1),
        "famo": (dict(lr=0.02), sc.FAMO(3, lr=0.02), 1),
        "geometric_mean": ({}, sc.GeometricMean(), 1),
        "dwa": (dict(period=4), sc.DWA(), 4),
    }
    for name, (options, theirs, period) in pairs.items():
        balancer, theirs = BALANCERS[name](tasks, **options), theirs.double()
        learned = list(theirs.parameters())
        adam = torch.optim.Adam(learned, 0.02) if name in ("uncertainty", "imtl_l") else None
        for n, values in enumerate(steps):
            values = values.clone().requires_grad_()
            losses = dict(zip(tasks, values.tolist()))
            if adam:
                adam.zero_grad()
            theirs(values).backward()
            w = torch.tensor(
                [float(balancer.weight(t, torch.tensor(l, dtype=torch.float64))) for t, l in losses.items()],
                dtype=torch.float64,
            ) * balancer.finish(losses)
            close(w, values.grad, rtol=1e-6)
            if adam:
                adam.step()
            if name == "famo":
                after = values.detach() * torch.tensor([0.9, 1.0, 0.7], dtype=torch.float64)
                theirs.update(after)
                balancer.after_step(dict(zip(tasks, after.tolist())))
            if name == "dwa" and (n + 1) % period == 0:
                theirs.step()


# ---------------------------------------------------------------- the solvers
def test_min_norm_has_no_duality_gap_for_ten_tasks():
    for family in FAMILIES:
        J = jacobian(family, 10, 3)
        w = min_norm_weights(J @ J.T)
        d = w @ J
        lengths = J.norm(dim=1)
        assert (d @ d - J @ d <= 1e-6 * d @ d + 1e-13 * lengths * (w * lengths).max()).all()


def test_a_projection_obeys_the_optimality_conditions():
    for family in FAMILIES:
        for T in (1, 4, 9):
            J = jacobian(family, T, 5)
            G = J @ J.T
            lengths = J.norm(dim=1)
            U = torch.rand(6, T, generator=torch.Generator().manual_seed(T), dtype=torch.float64)
            U[0] = 0
            V = dual_cone_weights(G, U)
            size = (V * lengths).amax(1, keepdim=True)
            assert (V >= U * (1 - 1e-12)).all() and (V @ G / lengths >= -1e-9 * size).all()
            assert ((V - U) * lengths * (V @ G / lengths)).abs().max() <= 1e-9 * size.max() ** 2


def test_too_many_tasks_for_an_exact_solution():
    with pytest.raises(UserError, match="at most 12 tasks"):
        min_norm_weights(torch.eye(13, dtype=torch.float64))


def test_the_own_adam_leaves_absent_tasks_alone():
    values, adam = torch.zeros(3, dtype=torch.float64), TaskAdam(3, 0.1)
    adam.step(values, torch.ones(3, dtype=torch.float64), [0, 1, 2])
    before = values.clone()
    adam.step(values, torch.ones(2, dtype=torch.float64), [0, 2])
    assert values[1] == before[1] and values[0] == values[2] < before[0] < 0


# ---------------------------------------------------------------- TorchJD as balancers
WEIGHTINGS = [
    "UPGrad",
    "DualProj",
    "MGDA",
    "IMTLG",
    "AlignedMTL",
    "PCGrad",
    "GradVac",
    "FairGrad",
    "PCD",
    "UPGradWeighting",
    "MeanWeighting",
    "RandomWeighting",
]
OPTIONS = dict(FairGrad=dict(alpha=1.0))


def torchjd_balancer(tasks, method):
    try:
        return TorchJDBalancer(tasks, method, **OPTIONS.get(method, {}))
    except UserError:
        return TorchJDBalancer(tasks, method)


@pytest.mark.parametrize("method", WEIGHTINGS)
def test_any_torchjd_weighting_plugs_in(method):
    tasks = list("abc")
    J = jacobian("conflicting", 3, 1)
    losses = dict.fromkeys(tasks, 1.0)
    balancer = torchjd_balancer(tasks, method)
    assert balancer.weights(J @ J.T, losses).shape == (3,)
    state = balancer.state_dict()
    again = torchjd_balancer(tasks, method)
    again.load_state_dict(state)
    global_state = torch.get_rng_state()
    for n in range(3):
        assert torch.equal(balancer.weights((n + 1) * J @ J.T, losses), again.weights((n + 1) * J @ J.T, losses))
    assert torch.equal(global_state, torch.get_rng_state())  # nobody else's random numbers are used up


def test_torchjd_objects_matrices_and_aggregators():
    from torchjd.aggregation import CRMOGMWeighting, MeanWeighting, UPGradWeighting

    tasks = list("abcd")
    J = jacobian("conflicting", 4, 2)
    losses = dict.fromkeys(tasks, 1.0)
    a = TorchJDBalancer(tasks, CRMOGMWeighting(UPGradWeighting(), alpha=0.5))
    a.weights(J @ J.T, losses)
    b = TorchJDBalancer(tasks, CRMOGMWeighting(UPGradWeighting(), alpha=0.5))
    b.load_state_dict(a.state_dict())
    K = J.roll(1, 0)
    assert torch.equal(a.weights(K @ K.T, losses), b.weights(K @ K.T, losses))
    assert not torch.equal(a.weights(J @ J.T, losses), TorchJDBalancer(tasks, "UPGrad").weights(J @ J.T, losses))
    close(TorchJDBalancer(tasks, MeanWeighting(), input_kind="matrix").weights(J @ J.T, losses), torch.full((4,), 0.25))
    for name, options in dict(ConFIG={}, TrimmedMean=dict(trim_number=1), GradDrop={}).items():
        balancer = TorchJDBalancer(tasks, name, **options)
        assert balancer.needs == "gradients" and balancer.combine(J, losses).shape == (J.shape[1],)
    close(
        TorchJDBalancer(tasks, "UPGrad").weights(J @ J.T, losses) @ J, ours("upgrad", J) @ J, rtol=1e-2
    )  # but for its regularisation


def test_a_matrix_weighting_gets_the_same_inner_products():
    from torchjd.aggregation import Weighting

    class Sees(Weighting):
        def forward(self, matrix, /):
            self.gramian = matrix @ matrix.T
            return torch.ones(len(matrix), dtype=matrix.dtype)

    J = jacobian("dependent", 5, 0)
    seen = Sees()
    TorchJDBalancer("abcde", seen, input_kind="matrix").weights(J @ J.T, dict.fromkeys("abcde", 1.0))
    close(seen.gramian, J @ J.T, rtol=1e-12)


# ---------------------------------------------------------------- mistakes
@pytest.mark.parametrize(
    "make,words",
    [
        (lambda: Balancer([]), "one or more"),
        (lambda: Balancer(["a", "a"]), "different"),
        (lambda: FixedWeights("ab", dict(a=-1.0)), "at least 0"),
        (lambda: FixedWeights("ab", [1.0]), "1 weights for 2 tasks"),
        (lambda: FixedWeights("ab", dict(c=1.0)), "no task 'c'"),
        (lambda: BALANCERS["dwa"]("ab", temperature=0), "temperature"),
        (lambda: BALANCERS["mgda"]("ab", normalization="l1"), "l2"),
        (lambda: BALANCERS["cagrad"]("ab", c=-1), "at least 0"),
        (lambda: BALANCERS["aligned"]("ab", scale="max"), "median"),
        (lambda: BALANCERS["torchjd"]("ab", "NoSuchMethod"), "NoSuchMethod"),
        (lambda: BALANCERS["torchjd"]("ab", "NashMTL", n_tasks=2), "use the balancer nash"),
        (lambda: BALANCERS["torchjd"]("ab", "CAGrad"), "cannot be made"),
        (
            lambda: BALANCERS["upgrad"]("ab").weights(torch.tensor([[1.0, 0.0], [0.0, math.nan]]), dict(a=1.0, b=1.0)),
            "not finite",
        ),
        (lambda: BALANCERS["upgrad"]("ab").weights(torch.eye(1), dict(c=1.0)), "no task 'c'"),
        (lambda: BALANCERS["famo"]("ab").load_state_dict(BALANCERS["random"]("ab").state_dict()), "resume"),
        (lambda: BALANCERS["famo"]("ab").load_state_dict(BALANCERS["famo"]("abc").state_dict()), "resume"),
    ],
)
def test_mistakes_are_named(make, words):
    with pytest.raises(UserError, match=words):
        make()


def test_each_torchjd_weighting_gets_what_it_weighs():
    "The names that the adapter knows by heart, against the library's own base class."
    import torchjd.aggregation as library

    weigh_gradients = set()
    for name in library.__all__:
        ancestors = [ancestor.__name__ for ancestor in getattr(library, name).__mro__]
        if name.endswith("Weighting") and "_MatrixWeighting" in ancestors:
            weigh_gradients.add(name)
    assert weigh_gradients == {*WEIGH_GRADIENTS, *COUNT_ROWS}


def test_a_method_whose_state_cannot_be_saved_says_so():
    from torchjd.aggregation import NashMTL

    J = jacobian("random", 3, 0)
    balancer = TorchJDBalancer("abc", NashMTL(n_tasks=3))
    balancer.combine(J, dict.fromkeys("abc", 1.0))
    with pytest.raises(UserError, match="cannot be saved"):
        balancer.state_dict()


def test_balancers_work_with_gramians_in_float32_too():
    J = jacobian("random", 3, 0).float()
    for name, kind in BALANCERS.items():
        if kind.needs == "losses":
            continue
        if name == "graddrop":
            assert kind("abc").combine(J, dict.fromkeys("abc", 1.0)).dtype == torch.float32
        else:
            assert kind("abc").weights(J @ J.T, dict.fromkeys("abc", 1.0)).dtype == torch.float64
