"""Maximum a posteriori fit of a model to a case, from many starts, with its Laplace spread.

Starts descend roughly, by MINPACK's Levenberg-Marquardt on loosely simulated values; the best of them is carried to the end
by the same algorithm, which is lmfit's too (:attr:`Calibration.lmfit`). Both minimise the sum of squares of :class:`cellsim.likelihood.objective.Objective` in
prior-whitened coordinates, where the prior is N(0, I). The spread around each distinct optimum is the inverse of the true
Hessian (see :mod:`cellsim.posterior.curvature`), not of J'J: with fewer rows than parameters the two differ where it matters.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np

from cellsim.case.case import load_case
from cellsim.case.model_checks import overridden
from cellsim.case.siblings import fixed as held
from cellsim.compiler.llvm import lane_width
from cellsim.errors import CalibrationError, did_you_mean, unusable
from cellsim.interrupts import brought_home
from cellsim.likelihood.compatibility import case_given, other_problem
from cellsim.likelihood.descents import AGREEMENT, Descent, Start, descend, polish, probes, starting_points
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.likelihood.petab_density import at_bounds, petab_mode
from cellsim.posterior.calibration import Calibration, versions
from cellsim.posterior.curvature import curvature_at
from cellsim.posterior.diagnosis import diagnose, lost_starts
from cellsim.posterior.laplace import Mixture, Mode
from cellsim.threads import finished_in_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.model.model import Model

    Array = NDArray[np.float64]

__all__ = ["Optima", "calibrate", "optima"]

DENSITIES = ("whitened", "petab")
# nearer than this in every coordinate, in prior sd, is one mode; one that is exp(-10) as high as the best is
# not looked at
_NEAR = 0.1
_LOWEST_MODE, _MOST_MODES = 20.0, 4


def calibrate(
    case: Case,
    model: Model | None = None,
    *,
    variant: str | None = None,
    starts: int = 20,
    seed: int = 0,
    degrees: float = np.inf,
    density: str | None = None,
    fixed: Mapping[str, float] | None = None,
    progress: bool | None = None,
) -> Calibration:
    """Fit a model to a case: the most probable parameters given data and priors, and their spread.

    Which point is the most probable depends on the coordinate that a density is taken in. By default it is the prior-whitened
    one, in which every prior is a standard normal: there the mode does not change when a parameter is written as its
    logarithm, and its normal approximation stands for the posterior better; a prior that is flat on a box is not flat there. PEtab
    means the density of the parameters themselves. Where nothing but boxes is given that is the likelihood, and the estimate is its
    maximum within them, as regression programs print it.

    Parameters
    ----------
    case : Case
        Data, schedule and priors. An estimation problem of several conditions is fitted by least squares within its bounds,
        each parameter on its scale, and gives a :class:`cellsim.estimation.fitting.ProblemFit`.
    model : Model, optional
        The mechanism; the case's own by default. Values that the case holds or estimates are the case's, and a doubt
        names each that differs.
    variant : str, optional
        A row of the case's model space; the case's default variant otherwise.
    starts : int
        How many; the first begins at the prior medians, the second, of a variant that is not the case's default one, where these lead under
        that, and all others at draws from the prior.
    seed : int
        Of the starts.
    degrees : float
        Degrees of freedom of the noise: normal by default, Student's t when finite. Four let single rows stand
        far off; the conclusions should be the same.
    density : str, optional
        Of which the estimate is the mode: ``"whitened"``, or ``"petab"`` for that of the parameters in their own units. By default
        ``"petab"`` where every prior is uniform, else ``"whitened"``.
        Intervals, draws and evidence are those of the normal approximations around the modes of the whitened density either way.
    fixed : mapping of str to float, optional
        Parameters to be held, each at a value in its unit; the result is that of ``case.fixed(**fixed)``, which its
        :attr:`~Calibration.case` is.
    progress : bool, optional
        Show a bar; by default only on a terminal.

    Returns
    -------
    Calibration
        Of the starts that were finished, and saying so, when interrupted (KeyboardInterrupt).

    Raises
    ------
    KeyboardInterrupt
        If interrupted before any start was finished.
    CalibrationError
        If no start could be carried through, for starts or a seed that are no such numbers, degrees not above zero, an
        unknown density, and a variant of a case without any.
    CaseError
        If case and model do not fit together.

    Examples
    --------
    >>> import cellsim as cs
    >>> fit = cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
    >>> fit.variant
    'V2'
    """
    other = other_problem(case)
    if other is None:
        case_given(case, "calibrate")
    if problems := unusable(counts={"starts": (starts, 1)}, seeds={"seed": seed}):
        raise CalibrationError(problems)
    if density not in (None, *DENSITIES):
        raise CalibrationError(f"no density {density!r}. {did_you_mean(density, DENSITIES)}")
    if other is not None:
        asked = {"model": model, "variant": variant, "degrees": None if np.isinf(degrees) else degrees}
        asked["density"] = None if density == "petab" else density
        made: Calibration = other.calibrated(starts=starts, seed=seed, fixed=fixed, asked=asked)
        return made
    if fixed:
        case = load_case(held(case, fixed, variant=variant))
    objective = objective_of(case, model, variant=variant, degrees=degrees)
    found = optima(
        objective,
        starting_points(case, model, objective, starts=starts, seed=seed),
        whole=False,
        progress=progress,
    )
    diagnosis, interrupted = brought_home(
        lambda: diagnose(objective, found.mixture, found.starts), found.interrupted
    )
    if interrupted:
        said = f"interrupted: {len(found.starts)} of {starts} starts are finished; the others may find a better optimum."
        diagnosis = {**diagnosis, "interrupted": True, "doubts": [said, *diagnosis["doubts"]]}
    if density is None:
        flat = all(prior.family == "uniform" for prior in objective.priors)
        density = "petab" if flat else "whitened"
    point = None
    if density == "petab" and objective.names:
        point = petab_mode(
            objective, [*(mode.theta for mode in found.mixture.modes), np.zeros(len(objective.names))]
        )
        if ends := at_bounds(objective, point):
            said = ", ".join(f"{name} ({side})" for name, side in ends.items())
            words = f"PEtab's density is highest at an end of the prior of: {said}; the estimate is that end."
            diagnosis = {**diagnosis, "doubts": [*diagnosis["doubts"], words]}
    if model is not None:
        # values of the model that those of the case stand in for
        known = set(case.check())
        # a value of the model's that the case stands in for is told of this fit even where the case's own file has it too
        said_of = [str(each) for each in case.check(model) if each not in known]
        said_of += [each for each in map(str, overridden(case, model)) if each not in said_of]
        diagnosis = {**diagnosis, "doubts": [*diagnosis["doubts"], *said_of]}
    return Calibration(
        objective=objective,
        point=point,
        mixture=found.mixture,
        starts=found.starts,
        seed=seed,
        diagnosis=diagnosis,
        versions=versions(),
    )


@dataclass(frozen=True, eq=False)
class Optima:
    """What descents from several points found.

    Attributes
    ----------
    mixture : Mixture
        The distinct optima, the highest first.
    starts : tuple of Start
        How each descent ended, in the order given; those that were finished when an interrupt came.
    interrupted : bool
        Whether some starts, or searches from other sampling days, were left out because an interrupt came.
    """

    mixture: Mixture
    starts: tuple[Start, ...]
    interrupted: bool = False


def optima(
    objective: Objective,
    firsts: Sequence[Array],
    *,
    whole: bool = True,
    progress: bool | None = False,
) -> Optima:
    """Descend from given points and other sampling days, and keep every distinct optimum with its spread.

    Parameters
    ----------
    objective : Objective
        Of a case, or a sibling of one: with other rows (`terms`) or other priors.
    firsts : sequence of array, shape (n,)
        Prior-whitened.
    whole : bool
        Whether a part of it is of no use: an interrupt is then raised, and what is finished returned otherwise.
    progress : bool, optional
        Show a bar; None: only on a terminal.

    Returns
    -------
    Optima

    Raises
    ------
    CalibrationError
        If no start could be carried through.

    Examples
    --------
    >>> import cellsim as cs
    >>> objective = objective_of(cs.load_case("sjogren_rfib"), variant="V0")
    >>> found = optima(objective, [np.zeros(len(objective.names))])
    >>> found.starts[0].converged
    True
    """
    if not objective.names:
        return _settled(objective)
    with _beside(partial(importlib.import_module, "scipy.optimize")):
        objective.evaluate(firsts[0], gradient=True)  # compiles, before threads ask for it
    # the first one alone, so that the others, which as a rule end where it does, need not walk to the end
    with _beside(partial(_make_lanes, objective)):
        ended, interrupted = finished_in_threads(
            partial(descend, objective, ()), firsts[:1], f"{objective.variant}: starts", progress
        )
    if not interrupted and len(firsts) > 1:
        more, interrupted = finished_in_threads(
            partial(descend, objective, tuple(ended)),
            firsts[1:],
            f"{objective.variant}: further starts",
            progress,
        )
        ended += more
    found_any = any(np.isfinite(each.start.objective) for each in ended)
    if interrupted and (whole or not found_any):
        raise KeyboardInterrupt
    if not found_any:
        raise CalibrationError(
            f"none of {len(firsts)} starts could be carried through: {lost_starts([each.start for each in ended])}"
        )
    moved: list[Descent] = []
    if not interrupted:
        best = min(ended, key=lambda each: each.start.objective)
        moved, interrupted = finished_in_threads(
            partial(descend, objective, tuple(ended)),
            probes(objective, best.theta),
            f"{objective.variant}: other sampling days",
            progress,
        )
        if interrupted and whole:
            raise KeyboardInterrupt
    (distinct, how), interrupted = brought_home(
        lambda: _distinct_modes(objective, [*ended, *moved]), interrupted or whole
    )
    modes: list[Mode] = []
    for each in distinct:
        mode, interrupted = brought_home(
            partial(_mode, objective, each, not modes, progress), interrupted or whole
        )
        modes.append(mode)
    return Optima(Mixture(tuple(modes)), how[: len(ended)], interrupted and not whole)


@contextmanager
def _beside(work: Callable[[], object]) -> Iterator[None]:
    """Do on another core what is needed later and takes a second; where it fails, it says so when it is needed."""

    def done() -> None:
        with suppress(Exception):
            work()

    other = Thread(target=done, daemon=True)
    other.start()
    yield
    other.join()


def _make_lanes(objective: Objective) -> None:
    """Machine code for many sets at once, where they can be simulated so."""
    if not objective.kernels.system.located:
        objective.kernels.unit(lane_width())


def _mode(objective: Objective, mode: Descent, highest: bool, progress: bool | None) -> Mode:
    """A mode with its spread; the highest is carried to where the gradient is nought."""
    curved = curvature_at(objective, mode.theta, carry=highest, progress=progress)
    found = objective.evaluate(curved.theta)
    return Mode(
        curved.theta,
        curved.matrix,
        float(found.log_likelihood.sum()),
        found.objective,
        error=curved.error,
        uncertain=curved.uncertain,
    )


def _settled(objective: Objective) -> Optima:
    """Where nothing is estimated there is one point, and its likelihood is the evidence."""
    found = objective.evaluate(np.empty(0))
    if found.failure:
        raise CalibrationError(f"nothing is estimated, and the rows cannot be scored: {found.failure}")
    mode = Mode(np.empty(0), np.empty((0, 0)), float(found.log_likelihood.sum()), found.objective)
    start = Start(found.objective, 1, True, "nothing is estimated.")
    return Optima(Mixture((mode,)), (start,))


def _distinct_modes(
    objective: Objective, ended: Sequence[Descent]
) -> tuple[list[Descent], tuple[Start, ...]]:
    """The distinct optima worth keeping, the highest first, and how every start ended.

    Only the highest is carried to the end: a low mode is often a long shelf, and walking along it would take hours
    and leave what its Laplace approximation stands for.
    """
    order = sorted(range(len(ended)), key=lambda k: ended[k].start.objective)
    highest = polish(objective, ended[order[0]].theta)
    how = [each.start for each in ended]
    if not np.isfinite(highest.start.objective):
        # what was reached is kept; the diagnosis says how far a step would still go
        here = ended[order[0]]
        words = f"{here.start.message} Not carried further: {highest.start.message}"
        highest = replace(here, start=replace(here.start, converged=False, message=words))
    how[order[0]] = highest.start
    found = [highest]
    for k in order[1:]:
        if len(found) == _MOST_MODES or how[k].objective > highest.start.objective + _LOWEST_MODE:
            break
        if not any(_same(objective, ended[k], each) for each in found):
            found.append(ended[k])
    return found, tuple(how)


def _same(objective: Objective, one: Descent, other: Descent) -> bool:
    """Whether two ends are one mode: no mode between them."""
    if np.max(np.abs(one.theta - other.theta)) < _NEAR:
        return True
    between = objective.evaluate((one.theta + other.theta) / 2).objective
    return between < max(one.start.objective, other.start.objective) + AGREEMENT
