"""The posterior by sampling: weighted draws or No-U-Turn chains, judged, told in words, saved and continued."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.case.case import Case
from cellsim.errors import CalibrationError, CutShortError, did_you_mean, is_finite_number, unusable
from cellsim.likelihood.compatibility import objective_given, other_problem
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.likelihood.objective import Objective
from cellsim.posterior.approximation import LARGEST_SHAPE, Approximation
from cellsim.posterior.calibration import Calibration, versions
from cellsim.posterior.convergence import (
    USABLE_ESS,
    USABLE_RHAT,
    Convergence,
    arviz,
    converged,
    doubts_of,
    doubts_of_tolerance,
    newer_arviz,
)
from cellsim.posterior.netcdf import groups_of, read_drawn, write_drawn
from cellsim.posterior.nuts import chains_can_be_drawn, refuse_chains
from cellsim.posterior.sampler import FRAME_POINTS, Drawn, Run, continued, explored, weighed
from cellsim.results import html_fragment

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from cellsim.model.model import Model

    Array = NDArray[np.float64]

__all__ = ["METHODS", "Posterior", "sample"]

METHODS = ("auto", "collapsed", "nuts")

# weighted draws that are allowed for an effective one, and at least: uneven weights grow even as the proposal learns, and a draw
# costs ten milliseconds
_ALLOWED, _FEWEST_ALLOWED = 30, 1500


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws from the posterior of a model given a case; made by :func:`cellsim.sample`.

    Attributes
    ----------
    objective : Objective
        Case, model, variant, rows, priors.
    drawn : Drawn
        Draws, statistics of the sampler, every row under every draw, and how they were made.
    versions : mapping
        Of cellsim, Python and its guests.
    """

    objective: Objective
    drawn: Drawn
    versions: Mapping[str, str] = field(default_factory=dict)

    # ---- what it is about -------------------------------------------------------------------------

    @property
    def case(self) -> Case:
        """The case."""
        return self.objective.case

    @property
    def model(self) -> Model:
        """The model, before the variant's fixed values are put in."""
        return self.objective.model

    @property
    def variant(self) -> str:
        """The variant's id."""
        return self.objective.variant

    @property
    def thetas(self) -> Array:
        """The draws, prior-whitened, shape (n_chains, n_draws, n_parameters)."""
        return self.drawn.thetas

    @property
    def run(self) -> Run:
        """Settings, work and time."""
        return self.drawn.run

    @property
    def interrupted(self) -> bool:
        """Whether it holds fewer draws than were asked for, because an interrupt came."""
        if self.drawn.weighted is not None:
            return self.drawn.weighted.interrupted
        return self.thetas.shape[1] < self.run.asked

    @property
    def method(self) -> str:
        """How it was drawn: ``"collapsed"`` or ``"nuts"``."""
        return "nuts" if self.drawn.weighted is None else "collapsed"

    @cached_property
    def weighted(self) -> tuple[Array, Array]:
        """Draws, shape (n, n_parameters), and their weights, which have a mean of one.

        The weights of chains are all one. Of the collapsed sampler these are all draws with their smoothed importance
        weights; :attr:`thetas` and :meth:`draws` are resampled from them and count alike.
        """
        if self.drawn.weighted is None:
            return self.flat, np.ones(len(self.flat))
        found = self.drawn.weighted
        return found.thetas.reshape(-1, self.thetas.shape[-1]), found.smoothed.ravel()

    @property
    def weights(self) -> Array:
        """The weights of :attr:`weighted`."""
        return self.weighted[1]

    @property
    def log_evidence(self) -> float:
        """ln p(data) by the collapsed sampler, all constants included; nan for chains, which need a bridge."""
        return np.nan if self.drawn.weighted is None else self.drawn.weighted.log_evidence

    @property
    def log_evidence_error(self) -> float:
        """Its standard error, as far as the weights tell; nan for chains."""
        return np.nan if self.drawn.weighted is None else self.drawn.weighted.log_evidence_error

    @property
    def effective(self) -> float:
        """Independent draws these are worth: 1 / sum of squared weights, or the bulk ESS of the worst parameter of chains."""
        if self.drawn.weighted is None:
            return float(np.min(self.convergence.ess_bulk))
        return self.drawn.weighted.effective

    @property
    def pareto_k(self) -> float:
        """Shape of the weights, trusted below 0.7; nan for chains, whose weights are all alike."""
        return np.nan if self.drawn.weighted is None else self.drawn.weighted.pareto_k

    @cached_property
    def flat(self) -> Array:
        """All draws, each of one weight, shape (n, n_parameters), prior-whitened."""
        return self.thetas.reshape(-1, self.thetas.shape[-1])

    def draws(self, n: int, *, seed: int) -> Array:
        """Draws chosen at random, prior-whitened, shape (n, n_parameters); repeated only when more are asked for."""
        have = len(self.flat)
        return self.flat[np.random.default_rng(seed).choice(have, size=n, replace=n > have)]

    # ---- judgement --------------------------------------------------------------------------------

    @cached_property
    def convergence(self) -> Convergence:
        """R-hat and effective sample sizes of every parameter; weighted draws have no R-hat, and one size for all."""
        if self.drawn.weighted is not None:
            size = self.thetas.shape[-1]
            alike = np.full(size, self.effective)
            return Convergence(np.full(size, np.nan), alike, alike)
        return converged(self.thetas)

    @property
    def usable(self) -> bool:
        """Whether draws are good enough for medians and 90 % intervals; :attr:`trusted` asks for more."""
        if self.drawn.weighted is not None:
            return self.drawn.weighted.trusted and self.effective >= USABLE_ESS
        return self.convergence.usable

    @cached_property
    def doubts(self) -> list[str]:
        """Every reason to doubt the draws, with what to try; empty when there is none."""
        run = self.run
        lost = int(np.isnan(self.drawn.scored.log_likelihood).any(axis=-1).sum())
        again = (
            [f"{lost} draws could not be simulated again more exactly; their rows are nan."] if lost else []
        )
        if self.drawn.weighted is not None:
            return [*self.drawn.weighted.doubts, *doubts_of_tolerance(run.tolerance_error), *again]
        before = [run.before] if run.before else []
        return (
            before
            + doubts_of(
                self.objective.names,
                self.thetas,
                self.convergence,
                self.drawn.statistics,
                evaluations=run.evaluations,
                rejected=run.rejected,
                why=run.why,
                tolerance_error=run.tolerance_error,
                asked=run.asked,
                target_accept=run.target_accept,
                max_depth=run.max_depth,
            )
            + again
        )

    @cached_property
    def approximation(self) -> Approximation:
        """What draws of it rest on: weighted draws or chains, with every doubt about them."""
        if self.drawn.weighted is not None:
            unfit = (
                ""
                if self.usable
                else f"these draws do not stand for the posterior (Pareto k {self.pareto_k:.2f}, trusted below {LARGEST_SHAPE:g}; "
                f"{self.effective:.0f} effective draws, {USABLE_ESS:g} are needed for medians and 90 % intervals). Sample "
                "again with a larger budget, or with method='nuts'."
            )
            return Approximation("collapsed", tuple(self.doubts), unfit)
        found = self.convergence
        least = np.fmin(found.ess_bulk, found.ess_tail)
        unfit = (
            ""
            if found.usable
            else f"these chains are too short or do not agree (R-hat up to {np.max(found.rhat):.3f}, at least "
            f"{np.min(least):.0f} effective draws; below {USABLE_RHAT:g} and {USABLE_ESS:g} are needed for medians and "
            "90 % intervals). Make them longer with post.resume(draws), or sample again with more warm-up."
        )
        return Approximation("chains", tuple(self.doubts), unfit)

    @property
    def trusted(self) -> bool:
        """Whether there is nothing to doubt."""
        return not self.doubts

    # ---- tables and words -------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """One row a parameter.

        Returns
        -------
        DataFrame
            Columns parameter, group, meaning, unit, prior_median, prior_low, prior_high, estimate (median), low,
            high (intervals, in the unit), level, contraction, shift (prior sd), verdict, rhat, ess_bulk, ess_tail,
            mark, source, approximation, doubts.
        """
        from cellsim.posterior.tables import table_of

        return table_of(self)

    def frame(self) -> pd.DataFrame:
        """Every draw, each parameter in its own unit.

        Returns
        -------
        DataFrame
            One row a draw: a column for each parameter in the order of :attr:`objective`'s, and last ``weight``, which has a mean
            of one and is one for draws of chains (``weight_`` where a parameter is called weight). The draws of chains
            are indexed by chain and draw. ``attrs`` holds ``units`` by parameter, ``approximation`` and ``doubts``.

        Examples
        --------
        >>> import cellsim as cs
        >>> post = cs.sample(cs.load_case("sjogren_rfib"), seed=1)  # doctest: +SKIP
        >>> frame = post.frame()  # doctest: +SKIP
        >>> (frame["delta_auto"] * frame["weight"]).mean()  # doctest: +SKIP
        """
        import pandas as pd

        thetas, weights = self.weighted
        names = self.objective.names
        found = pd.DataFrame(self.objective.vector_of(thetas, names), columns=list(names))
        label = "weight"
        while label in names:
            label += "_"
        found[label] = weights
        if self.drawn.weighted is None:
            found.index = pd.MultiIndex.from_product(
                [range(size) for size in self.thetas.shape[:2]], names=("chain", "draw")
            )
        rests_on = self.approximation
        found.attrs |= {
            "units": {name: self.case.prior(name).unit for name in names},
            "approximation": rests_on.label,
            "doubts": rests_on.brief,
        }
        return found

    def report(self) -> str:
        """The whole result as text: reasons to doubt first, then parameters, prior beside posterior."""
        from cellsim.posterior.tables import posterior_text

        return posterior_text(self)

    def _repr_html_(self) -> str:
        from cellsim.posterior.tables import posterior_table

        lines = self.report().splitlines()
        said = [lines[0], self.case.label, *self.approximation.lines]
        return html_fragment(said, posterior_table(self))

    def __repr__(self) -> str:
        chains, length, size = self.thetas.shape
        if self.drawn.weighted is not None:
            return (
                f"<Posterior of {self.case.name}, variant {self.variant}: {len(self.drawn.weighted.thetas)} weighted draws worth "
                f"{self.effective:.0f}, {size} parameters, ln evidence {self.log_evidence:.2f}; {self.approximation.label}>"
            )
        return (
            f"<Posterior of {self.case.name}, variant {self.variant}: {chains} chains x {length} draws, {size} "
            f"parameters, R-hat up to {np.max(self.convergence.rhat):.3f}; {self.approximation.label}>"
        )

    # ---- ArviZ and files --------------------------------------------------------------------------

    @cached_property
    def groups(self) -> dict[str, xr.Dataset]:
        """Posterior, prior, log-likelihood, replicates and data as xarray, by ArviZ's group names."""
        found = groups_of(
            self.objective, self.thetas, self.drawn.statistics, self.drawn.scored, seed=self.run.seed
        )
        # for whoever opens the file with another tool; ours judges the draws anew
        told = {"approximation": self.approximation.name, "doubts": "\n".join(self.approximation.doubts)}
        return {**found, "posterior": found["posterior"].assign_attrs(told)}

    @cached_property
    def arviz(self) -> Any:
        """The same as ArviZ's own: ``InferenceData`` up to 0.23, ``xarray.DataTree`` from 1.0 on."""
        import xarray as xr

        if newer_arviz():
            return xr.DataTree.from_dict(self.groups)
        return arviz().InferenceData(**self.groups)

    def save(self, path: str | Path) -> None:
        """Write everything needed to read and continue it, case and model included, as one netCDF file."""
        write_drawn(path, self.objective, self.drawn, self.groups, self.versions)

    @classmethod
    def load(cls, path: str | Path) -> Posterior:
        """Read a saved posterior and check that its case and model still say what they said.

        Raises
        ------
        CalibrationError
            If the file is no posterior, names other parameters than its own case, or the log-likelihood of its
            last draw is not found again.
        """
        return cls(*read_drawn(path))

    # ---- more -------------------------------------------------------------------------------------

    def resume(self, draws: int, *, tune: int = 100, progress: bool | None = None) -> Posterior:
        """Continue every chain from its last draw.

        Parameters
        ----------
        draws : int
            More draws a chain.
        tune : int
            Draws dropped while the step finds its length again, in a preconditioner learned from all draws so far.
        progress : bool, optional
            Show a bar; by default only on a terminal.

        Returns
        -------
        Posterior
            Old and new draws, one after the other.

        Raises
        ------
        CalibrationError
            For fewer than one draw or twenty to drop, and for draws that are no chains.
        """
        if self.drawn.weighted is not None:
            raise CalibrationError(
                "these are weighted draws of the collapsed sampler, and no chains that could go on; sample again with more "
                f"effective draws or a larger budget than {self.drawn.weighted.budget}, or with method='nuts'."
            )
        _check(("draws", draws, 1), ("tune", tune, 20))
        more = continued(self.objective, self.drawn, draws, tune=tune, progress=progress)
        return Posterior(self.objective, more, _versions())


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    others = (*(("nutpie",) if chains_can_be_drawn() else ()), "arviz", "xarray")
    return {**versions(), **{name: version(name) for name in others}}


def _check(*numbers: tuple[str, int, int]) -> None:
    """Refuse what is no whole number, or less than its least, all at once."""
    if problems := unusable(counts={name: (value, least) for name, value, least in numbers}):
        raise CalibrationError(problems)


def sample(
    source: Calibration | Case,
    *,
    method: str = "auto",
    draws: int = 1000,
    effective: int = 400,
    budget: int | None = None,
    tune: int = 400,
    chains: int = 4,
    seed: int = 0,
    hierarchy: bool = True,
    rtol: float = 1e-3,
    target_accept: float = 0.8,
    max_depth: int = 10,
    progress: bool | None = None,
) -> Posterior:
    """Sample the posterior.

    The collapsed sampler (:mod:`cellsim.posterior.collapsed`) draws the parameters in which the rows are far from linear,
    leaves the others to Laplace's approximation, and weighs what that is off: minutes, and the evidence with it. Where nothing
    is nearly linear, or the weights are too uneven (Pareto k above 0.7 when the budget is spent), chains of the No-U-Turn
    sampler walk over all parameters but the days on which blood was drawn, which are integrated out; every draw is then
    given days from their density given all else (:mod:`cellsim.likelihood.marginal_days`). Chains need the extra ``chains``; without it
    weighted draws stand as they are, and their doubts say how uneven the weights were.

    From 30 parameters on, draws of the collapsed sampler are made in processes of one thread each, as many as there are cores
    (0.3 GB each); the environment variable ``CELLSIM_THREADS`` says how many cores may be used, and 1 keeps all in this process.
    What is drawn is the same.

    Parameters
    ----------
    source : Calibration or Case
        Where to start from; a case is calibrated first, with its own model and default variant. An estimation problem of several
        conditions, or its fit, is drawn from by chains, and gives :class:`cellsim.estimation.sampling.ProblemDraws`.
    method : {"auto", "collapsed", "nuts"}
        Which of the two; ``"auto"`` is the first one where it can be trusted and else the second, which its doubts then say.
    draws : int
        Draws kept of each chain; draws that are handed out of weighted ones.
    effective, budget : int
        Of the collapsed sampler: effective draws asked for, and weighted draws that are allowed for them; by default 30 of each,
        and 1500 at least. A run that at its pace would need four times its budget ends after 1200.
    tune : int
        Draws dropped of each chain.
    chains : int
        At least four, for R-hat to mean something; they run side by side.
    seed : int
        Of starts, chains, replicates and prior draws.
    hierarchy : bool
        Whether spreads of hierarchies, which a fit holds at their prior median, are sampled with the rest.
    rtol : float
        Relative tolerance of the simulations; the gradient is exact for what is computed. What it changes in
        the log density is measured and told.
    target_accept : float
        Mean acceptance the step length is tuned to; nearer to one against divergences.
    max_depth : int
        Longest trajectory 2^max_depth steps.
    progress : bool, optional
        Show a bar; by default only on a terminal.

    Returns
    -------
    Posterior
        Shorter than asked for, and saying so, when interrupted; the collapsed sampler keeps what it has weighed.

    Raises
    ------
    CalibrationError
        For impossible numbers, if no start can be simulated, or if interrupted before there are draws to keep.

    Examples
    --------
    >>> import cellsim as cs
    >>> case = cs.load_case("sjogren_rfib")
    >>> post = cs.sample(case, draws=1000, seed=1)  # doctest: +SKIP
    >>> print(post.report())  # doctest: +SKIP
    """
    from cellsim.posterior.fitting import calibrate

    _check(
        ("draws", draws, 4),
        ("effective", effective, 1),
        *([] if budget is None else [("budget", budget, 50)]),
        ("tune", tune, 40),
        ("chains", chains, 1),
        ("seed", seed, 0),
        ("max_depth", max_depth, 1),
    )
    if not (is_finite_number(target_accept) and 0.0 < target_accept < 1.0):
        raise CalibrationError(
            f"target_accept = {target_accept}: a mean acceptance between 0 and 1 is needed, 0.8 to 0.95."
        )
    if not (is_finite_number(rtol) and 0.0 < rtol < 1.0):
        raise CalibrationError(
            f"rtol = {rtol}: a relative tolerance above 0 and below 1 is needed, 1e-3 say."
        )
    if method not in METHODS:
        raise CalibrationError(f"method = {method!r}: {did_you_mean(str(method), METHODS)}")
    if method == "nuts":
        refuse_chains()
    if (other := other_problem(source)) is not None:
        chains_of: Posterior = other.sampled(
            draws=draws, tune=tune, chains=chains, seed=seed, rtol=rtol, target_accept=target_accept, max_depth=max_depth,
            progress=progress, collapsed=method == "collapsed",
        )  # fmt: skip
        return chains_of
    fit = calibrate(source, seed=seed, progress=progress) if isinstance(source, Case) else source
    if fit is not source and fit.interrupted:
        raise KeyboardInterrupt
    objective = objective_given(fit, "sample")
    if not isinstance(fit, Calibration):
        raise CalibrationError("sample starts from a calibration; chains go on by their own resume.")
    if hierarchy:
        objective = objective_of(
            fit.case,
            fit.model,
            variant=fit.variant or None,
            hierarchy=True,
            degrees=fit.objective.degrees,
        )
    if not objective.names:
        raise CalibrationError(
            f"nothing is estimated in {fit.variant or fit.case.name}, so there is nothing to sample; "
            "give a parameter a prior and estimate true."
        )
    if not WithoutDays(objective, rtol).columns.size:
        raise CalibrationError(
            f"only sampling days are estimated in {fit.variant or fit.case.name} ({', '.join(objective.names)}); chains "
            "integrate these out, which leaves nothing to walk in. The calibration tells them."
        )
    fitted = fit.draws(FRAME_POINTS, seed=seed)
    freed = np.random.default_rng(seed).standard_normal(
        (FRAME_POINTS, len(objective.names) - fitted.shape[1])
    )
    run = Run(
        seed=seed,
        tune=tune,
        asked=draws,
        target_accept=target_accept,
        max_depth=max_depth,
        rtol=rtol,
        hierarchy=hierarchy,
    )
    if method != "nuts":
        allowed = max(_FEWEST_ALLOWED, _ALLOWED * effective) if budget is None else budget
        try:
            drawn = weighed(
                objective, fit.mixture, run, effective=effective, budget=allowed, progress=progress
            )
            if (
                method == "collapsed"
                or drawn.weighted is None
                or drawn.weighted.trusted
                or drawn.weighted.interrupted
                or not chains_can_be_drawn()
            ):
                return Posterior(objective, drawn, _versions())
            why = f"its weights are too uneven (Pareto k {drawn.weighted.pareto_k:.2f}) after {len(drawn.weighted.thetas)} draws"
        except CutShortError:
            raise
        except CalibrationError as error:
            if method == "collapsed":
                raise
            why = str(error).rstrip(".")
        run = replace(run, before=f"the collapsed sampler was tried first and left for chains: {why}.")
    drawn = explored(objective, np.hstack([fitted, freed]), run, chains=chains, progress=progress)
    return Posterior(objective, drawn, _versions())
