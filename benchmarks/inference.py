"""Calibration and profiles of the case beside AMICI and pyPESTO, on the same posterior from the same starts.

Both see the standard part (81 rows at the nominal visit days) and normal and log-normal priors: the one uniform
parameter is held at its nominal value. pyPESTO reads the exported PEtab v1 problem, in which a log-normal prior is a
normal one on the logarithm, so both densities are taken in the same coordinates and have the same modes. Its AMICI
model is compiled before the clock starts, as our kernels are.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter, process_time
from typing import Any

import numpy as np

import cellsim as cs
from benchmarks.clock import table
from benchmarks.problem import Array
from cellsim.case.export_v1 import export_v1
from cellsim.identifiability.profiles import profile
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.posterior.calibration import Calibration
from cellsim.posterior.curvature import hessian
from cellsim.posterior.fitting import optima

STARTS = 10
PROFILED = ("e", "t_P", "kappa")
LEVEL = 0.95
# processor seconds for their starts, and as many for their profiles: then means are taken of what is done; a profile
# broken off counts as one, so that its time is less than that of a whole one
PATIENCE = 150.0


def standard_part(case: cs.Case) -> Objective:
    """What both tools score: 81 rows at the nominal days, under normal and log-normal priors."""
    whole = objective_of(case)
    kept = [
        k
        for k, (name, prior) in enumerate(zip(whole.names, whole.priors, strict=True))
        if case.prior(name).standard and prior.family in ("normal", "log-normal")
    ]
    names = tuple(whole.names[k] for k in kept)
    beside = {
        name: case.nominal[name] for name in whole.names if case.prior(name).standard and name not in names
    }
    return replace(
        whole,
        names=names,
        priors=tuple(whole.priors[k] for k in kept),
        fixed={**whole.fixed, **beside},
        terms=tuple(term for term in whole.terms if term.part == "standard"),
    )


def starts(objective: Objective) -> list[Array]:
    """The prior medians, and draws from the prior."""
    rng = np.random.default_rng(1)
    size = len(objective.names)
    return [np.zeros(size), *(rng.standard_normal(size) for _ in range(STARTS - 1))]


def level(objective: Objective, theta: Array) -> float:
    """-ln posterior with all its constants, the prior's density on the scale parameters are estimated on."""
    widths = sum(float(np.log(prior.parameters[1])) for prior in objective.priors)
    constant = widths + 0.5 * len(theta) * np.log(2 * np.pi)
    return -objective.parts(theta)["standard"] + 0.5 * float(theta @ theta) + constant


@dataclass
class Clock:
    """Processor and wall seconds of one call."""

    processor: float = 0.0
    wall: float = 0.0

    def time(self, call: Callable[[], Any]) -> Any:
        processor, wall = process_time(), perf_counter()
        found = call()
        self.processor += process_time() - processor
        self.wall += perf_counter() - wall
        return found


class Pypesto:
    """pyPESTO on AMICI in one process, the way that is the fastest for it.

    That is adjoint sensitivities, whose gradient takes a sixteenth of the time of forward ones with so many parameters,
    and so a quasi-Newton method, since the Gauss-Newton matrix needs the forward ones.
    """

    def __init__(self, case: cs.Case, objective: Objective) -> None:
        import petab.v1 as petab
        from amici.sim.sundials import SensitivityMethod
        from pypesto.petab import PetabImporter

        # AMICI tells its whole parameter mapping otherwise
        logging.disable(logging.WARNING)
        self.objective = objective
        folder = Path(mkdtemp())
        fixed = {
            each.id: objective.fixed[each.id]
            for each in case.priors
            if each.standard and each.id not in objective.names
        }
        written = petab.Problem.from_yaml(export_v1(case, folder, fixed=fixed))
        # sample effects differ from visit to visit, which AMICI reads as observables of their own
        petab.flatten_timepoint_specific_output_overrides(written)
        importer = PetabImporter(written, output_folder=str(folder / "amici"), model_name="standard_part")
        began = perf_counter()
        self.problem = importer.create_problem(verbose=False)
        self.compiled = perf_counter() - began
        simulation = self.problem.objective._objectives[0]
        solver = simulation.amici_solver
        solver.set_sensitivity_method(SensitivityMethod.adjoint)
        solver.set_relative_tolerance(1e-7)
        solver.set_absolute_tolerance(1e-10)
        solver.set_max_steps(100_000)
        names = [self.problem.x_names[k] for k in self.problem.x_free_indices]
        self.order = [objective.names.index(name) for name in names]

    def scaled(self, theta: Array) -> Array:
        """Our coordinates on their scales, in their order."""
        priors = [self.objective.priors[k] for k in self.order]
        return np.array([p.parameters[0] + p.parameters[1] * theta[k] for k, p in zip(self.order, priors)])

    def theta(self, x: Array) -> Array:
        """Their free parameters in our coordinates."""
        found = np.empty(len(self.order))
        for k, value in zip(self.order, x, strict=True):
            mean, sd = self.objective.priors[k].parameters
            found[k] = (value - mean) / sd
        return found

    def optimizer(self, until: float = float("inf")) -> Any:
        """Theirs; asked again after `until`, in processor seconds, it gives up."""
        import fides
        from pypesto.optimize import FidesOptimizer

        class Patient(FidesOptimizer):  # type: ignore[misc]
            def minimize(self, *args: Any, **more: Any) -> Any:
                if process_time() > until:
                    raise TimeoutError
                return super().minimize(*args, **more)

        options = {"maxiter": 1000, "fatol": 1e-6, "xtol": 1e-8}
        return Patient(hessian_update=fides.BFGS(), verbose=logging.ERROR, options=options)

    def descend(self, firsts: Sequence[Array]) -> Any:
        from pypesto.engine import SingleCoreEngine
        from pypesto.optimize import minimize

        self.problem.set_x_guesses(
            np.array([self.problem.get_full_vector(self.scaled(each)) for each in firsts])
        )
        return minimize(
            self.problem,
            optimizer=self.optimizer(),
            n_starts=len(firsts),
            engine=SingleCoreEngine(),
            progress_bar=False,
        )

    def profile(self, result: Any, name: str, until: float) -> tuple[float, float] | None:
        """Ends of an interval, in our coordinate; None when it was not done by then."""
        from pypesto.engine import SingleCoreEngine
        from pypesto.profile import calculate_approximate_ci, chi2_quantile_to_ratio, parameter_profile

        index = self.problem.x_names.index(name)
        try:
            parameter_profile(
                self.problem,
                result,
                optimizer=self.optimizer(until),
                engine=SingleCoreEngine(),
                profile_index=[index],
                progress_bar=False,
            )
        except TimeoutError:
            return None
        found = result.profile_result.list[-1][index]
        ends = calculate_approximate_ci(
            found["x_path"][index], found["ratio_path"], chi2_quantile_to_ratio(LEVEL)
        )
        mean, sd = self.objective.priors[self.objective.names.index(name)].parameters
        return (ends[0] - mean) / sd, (ends[1] - mean) / sd


def pypesto_peer(case: cs.Case, objective: Objective) -> Pypesto | None:
    """pyPESTO if it is installed, with AMICI."""
    if any(find_spec(each) is None for each in ("amici", "fides", "pypesto")):
        return None
    return Pypesto(case, objective)


@dataclass(frozen=True)
class Done:
    """What one tool reached and how long it took."""

    fits: Clock
    levels: tuple[float, ...]
    profiles: Clock
    ends: dict[str, tuple[float, float]]
    broken_off: bool = False
    spreads: float = 0.0  # of the processor seconds of the fits

    @property
    def each_fit(self) -> float:
        return self.fits.processor / len(self.levels)

    @property
    def each_profile(self) -> float:
        return self.profiles.processor / (len(self.ends) + self.broken_off)


def ours(objective: Objective, firsts: Sequence[Array]) -> Done:
    """Descents with the spreads of the distinct optima, which theirs leave out; then profiles."""
    fits, walks = Clock(), Clock()
    found = fits.time(lambda: optima(objective, firsts, other_days=False))
    spreads = Clock()
    spreads.time(lambda: [hessian(objective, mode.theta) for mode in found.mixture.modes])
    best = level(objective, found.mixture.modes[0].theta)
    least = found.mixture.modes[0].objective
    fit = Calibration(objective=objective, mixture=found.mixture, starts=found.starts, seed=1, diagnosis={})
    curves = walks.time(lambda: profile(fit, PROFILED, levels=(LEVEL,), progress=False))
    ends = {}
    for name in PROFILED:
        interval = curves[name].intervals[-1]
        prior = objective.priors[objective.names.index(name)]
        ends[name] = prior.whitened(interval.low), prior.whitened(interval.high)
    levels = tuple(best + (each.objective - least) / 2 for each in found.starts)
    return Done(fits, levels, walks, ends, spreads=spreads.processor)


def theirs(peer: Pypesto, firsts: Sequence[Array]) -> tuple[Done, float]:
    """The same, start by start and profile by profile while patience lasts; and the best by our reckoning."""
    fits, walks = Clock(), Clock()
    results = []
    for first in firsts:
        results.append(fits.time(lambda first=first: peer.descend([first])))
        print(
            f"pyPESTO: start {len(results)}, {results[-1].optimize_result[0].fval:.6f}, {fits}",
            file=sys.stderr,
        )
        if fits.processor > PATIENCE:
            break
    best = min(results, key=lambda each: each.optimize_result[0].fval)
    x = best.optimize_result[0].x[peer.problem.x_free_indices]
    ends: dict[str, tuple[float, float]] = {}
    until = process_time() + PATIENCE
    broken_off = False
    for name in PROFILED:
        found = walks.time(lambda name=name: peer.profile(best, name, until))
        print(f"pyPESTO: profile of {name}, {found or 'broken off'}, {walks}", file=sys.stderr)
        if broken_off := found is None:
            break
        ends[name] = found
    levels = tuple(float(each.optimize_result[0].fval) for each in results)
    return Done(fits, levels, walks, ends, broken_off), level(peer.objective, peer.theta(x))


def _row(name: str, done: Done, than: Done) -> tuple[str, ...]:
    least = min(done.levels)
    more = "over " if done.broken_off else ""
    return (
        name,
        f"{least:.6f}",
        f"{sum(value < least + 1e-2 for value in done.levels)} of {len(done.levels)}",
        f"{done.each_fit:.2f} ({done.fits.wall / len(done.levels):.2f})",
        f"{done.each_fit / than.each_fit:.1f}",
        f"{more}{done.each_profile:.2f}, {len(done.ends)} made",
        f"{more}{done.each_profile / than.each_profile:.1f}",
    )


def inference() -> str:
    """Ten starts and some profiles by both, and how far apart they end."""
    case = cs.load_case("sjogren_rfib")
    objective = standard_part(case)
    firsts = starts(objective)
    objective.evaluate(firsts[0], gradient=True)
    mine = ours(objective, firsts)
    text = f"{len(objective.terms)} rows, {len(objective.names)} parameters. Seconds are processor time, all threads "
    text += "together, with wall time in brackets; ours ran on all cores, pyPESTO in one process.\n"
    bare = (mine.fits.processor - mine.spreads) / len(mine.levels)
    text += f"Spreads of the optima, which pyPESTO does not give, are in ours: without them a start takes {bare:.2f} s.\n"
    rows = [_row("cellsim, spreads of optima included", mine, mine)]
    peer = pypesto_peer(case, objective)
    if peer is not None:
        other, seen = theirs(peer, firsts)
        rows.append(_row("pyPESTO, Fides (BFGS) on AMICI's adjoint gradient", other, mine))
        text += f"AMICI compiled the model in {peer.compiled:.0f} s, which is not counted.\n"
        text += f"Best -ln posterior: theirs less ours {min(other.levels) - min(mine.levels):+.1e}; "
        text += f"their point by our reckoning less ours {seen - min(mine.levels):+.1e}.\n"
        apart = [
            abs(one - two)
            for name in other.ends
            for one, two in zip(other.ends[name], mine.ends[name], strict=True)
        ]
        if apart:
            text += f"Ends of the {100 * LEVEL:g} % intervals of {', '.join(other.ends)}: at most {max(apart):.3f} prior sd apart.\n"
    else:
        rows.append(("pyPESTO on AMICI", "not installed", "", "", "", "", ""))
    header = (
        "tool", "best -ln posterior", "starts there", "s a start", "times ours", "s a profile", "times ours",
    )  # fmt: skip
    return text + "\n" + table(header, rows)
