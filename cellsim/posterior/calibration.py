"""What a calibration found: estimates with their spread, the fit of every row, and a diagnosis; in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim import __version__
from cellsim.errors import CalibrationError
from cellsim.files import write_whole
from cellsim.likelihood.compatibility import saved_case
from cellsim.likelihood.descent_points import Way
from cellsim.likelihood.descents import Start
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective
from cellsim.posterior.approximation import LARGEST_SHAPE, Approximation
from cellsim.posterior.curvature import spread_by_slopes
from cellsim.posterior.laplace import Mixture, Mode
from cellsim.posterior.tables import parameters_table
from cellsim.results import TAILS, read_saved, whole

if TYPE_CHECKING:
    import pandas as pd
    from lmfit.minimizer import MinimizerResult
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.model.model import Model

    Array = NDArray[np.float64]

__all__ = ["Calibration"]

FORMAT = "cellsim calibration 1"
GUESTS = ("numpy", "scipy", "sympy", "lmfit", "llvmlite", "numba")


@dataclass(frozen=True, eq=False)
class Calibration:
    """The most probable parameters of a model given a case, with their Laplace spread.

    Made by :func:`cellsim.calibrate`. Coordinates are prior-whitened (see :mod:`cellsim.likelihood.priors`).

    Attributes
    ----------
    objective : Objective
        What was minimised: case, model, variant, rows, priors.
    mixture : Mixture
        The distinct optima, the highest first, each with its Laplace spread and its share of the probability.
    starts : tuple of Start
    seed : int
    diagnosis : mapping
        Rows scored, priors used, doses delivered, agreement of starts, gradient check, ledger, doubts.
    versions : mapping
        Of cellsim, Python and its guests.
    point : array, shape (n,), or None
        The mode of PEtab's density, prior-whitened, where that was asked for.
    """

    objective: Objective
    mixture: Mixture
    starts: tuple[Start, ...]
    seed: int
    diagnosis: Mapping[str, Any]
    versions: Mapping[str, str] = field(default_factory=dict)
    point: Array | None = None

    @property
    def theta(self) -> Array:
        """The most probable parameters by :attr:`density`, prior-whitened, shape (n,)."""
        return self.mixture.modes[0].theta if self.point is None else self.point

    @property
    def density(self) -> str:
        """Of which density :attr:`theta` is the highest mode found: ``"whitened"`` or ``"petab"``."""
        return "whitened" if self.point is None else "petab"

    @property
    def covariance(self) -> Array:
        """Laplace covariance around :attr:`theta` alone, shape (n, n); :attr:`mixture` has that of all optima."""
        return self.mixture.modes[0].covariance

    @property
    def interrupted(self) -> bool:
        """Whether it holds fewer starts than were asked for, because an interrupt came."""
        return bool(self.diagnosis.get("interrupted"))

    # ---- what it is about -------------------------------------------------------------------------

    @property
    def case(self) -> Case:
        """The case."""
        return self.objective.case

    @property
    def model(self) -> Model:
        """The model with the values that the case holds, before the variant's fixed values are put in."""
        return self.objective.model

    @property
    def variant(self) -> str:
        """The variant's id."""
        return self.objective.variant

    @property
    def values(self) -> dict[str, float]:
        """Every parameter at the optimum, fixed ones included, in its own unit."""
        return self.objective.values(self.theta)

    @property
    def sum_of_squares(self) -> float:
        """-2 ln posterior up to :attr:`Objective.constant`."""
        return self._best.objective

    @cached_property
    def _best(self) -> Any:
        return self.objective.evaluate(self.theta, gradient=True)

    @cached_property
    def lmfit(self) -> MinimizerResult | None:
        """lmfit's own result, which it is asked for from the highest optimum on; None where nothing is estimated.

        Its chi-square counts prior rows as data: use the numbers of this class.
        """
        import lmfit

        if not self.objective.names:
            return None
        # the names carry no meaning for lmfit's expression parser, which knows a number e of its own
        parameters = lmfit.Parameters()
        for name, value in zip(self.objective.names, self.mixture.modes[0].theta, strict=True):
            parameters.add(f"theta_{name}", value=float(value))
        way = Way(self.objective, self.objective.rtol)
        return lmfit.minimize(
            # lmfit keeps what it called; a lambda would hold the whole calibration back from another process
            way.residuals_of,
            parameters,
            method="leastsq",
            Dfun=way.slopes_of,
            # it would divide the spread by a chi-square that counts prior rows as data
            scale_covar=False,
        )

    @property
    def log_evidence(self) -> float:
        """Laplace's approximation of ln p(data | variant), summed over the optima, all constants included."""
        return self.mixture.log_evidence

    @property
    def effective_parameters(self) -> float:
        """Sum of all contractions: how many numbers the data really determined."""
        return float(len(self.theta) - np.trace(self.mixture.covariance))

    @property
    def approximation(self) -> Approximation:
        """What draws of it rest on: the Laplace approximations around the optima, with the doubts of the diagnosis."""
        shape = self.diagnosis["shape"]
        # not a number: no draw could be simulated, and nothing speaks for the approximation
        unfit = (
            ""
            if shape <= LARGEST_SHAPE
            else f"draws of Laplace's approximation do not stand for the posterior here (Pareto k {shape:.1f}, trusted "
            f"below {LARGEST_SHAPE:g}): medians and intervals can be displaced by more than their width. They are a "
            "quick look: sample before quoting any (cs.sample(fit) or cellsim sample, minutes)."
        )
        return Approximation("laplace", tuple(self.diagnosis["doubts"]), unfit)

    @property
    def at_optimum(self) -> Approximation:
        """What numbers at the highest optimum rest on: the search, with the doubts about it."""
        of_laplace = self.diagnosis.get("doubts_of_laplace", ())
        return Approximation(
            "optimum", tuple(each for each in self.diagnosis["doubts"] if each not in of_laplace)
        )

    @property
    def with_every_doubt(self) -> Approximation:
        """The highest optimum, with every doubt about the fit: what its rows and residuals are read beside."""
        return Approximation("optimum", tuple(self.diagnosis["doubts"]))

    # ---- tables -----------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """One row a parameter.

        Returns
        -------
        DataFrame
            Columns parameter, group, meaning, unit, prior_median, prior_low, prior_high, estimate (at the highest
            optimum), low, high (intervals, in the unit, over all optima), level, contraction, shift (of the posterior
            mean, in prior sd), verdict, mark, source, approximation, doubts.
        """
        low, high = self.mixture.quantiles(TAILS)
        contractions, shifts = 1 - np.diag(self.mixture.covariance), self.mixture.mean
        touched = np.any(self._best.jacobian[: len(self.objective.terms)] != 0, axis=0)
        return parameters_table(
            self.objective,
            estimate=self.theta,
            low=low,
            high=high,
            contraction=contractions,
            shift=shifts,
            touched=touched,
            approximation=self.approximation,
        )

    def rows(self) -> pd.DataFrame:
        """One row a scored term: what was printed, what the model says, how many sigmas apart.

        Returns
        -------
        DataFrame
            Columns part, analyte, visit, day (as fitted), measured, upper, predicted, unit, residual (sigmas;
            for censored and graded rows the square root of twice the lost log-likelihood), above (whether a censored
            value lies above its limit), file, row, approximation, doubts.
        """
        import pandas as pd

        days = self.objective.days(self.theta)
        found = self._best
        table = pd.DataFrame(
            {
                "part": term.part,
                "analyte": term.analyte,
                "visit": term.visit,
                "day": days[term.occasion],
                "measured": term.measured,
                "upper": term.upper,
                "predicted": found.predicted[k],
                "unit": term.unit,
                "residual": found.residuals[k],
                "above": term.above,
                "file": term.file,
                "row": term.row,
            }
            for k, term in enumerate(self.objective.terms)
        )
        return self.with_every_doubt.stamped(table)

    def standard_errors(self) -> pd.Series:
        """Standard errors by J'J alone, rows and priors, at the highest optimum, in each parameter's own unit.

        What regression programs print: exact for a model linear in its parameters, or one without residuals. The
        intervals of :meth:`table` come from the full Hessian.

        Returns
        -------
        Series
            One entry a parameter. Its name, which a file of it keeps, counts the doubts about the fit; they stand in
            ``attrs["doubts"]``.
        """
        import pandas as pd

        sizes = np.sqrt(np.diag(spread_by_slopes(self.objective, self.theta)))
        slopes = [
            float(prior.slope(np.array(each)))
            for prior, each in zip(self.objective.priors, self.theta, strict=True)
        ]
        rests_on = self.with_every_doubt
        found = pd.Series(
            sizes * np.array(slopes), index=self.objective.names, name=f"standard error at {rests_on.label}"
        )
        found.attrs |= {"approximation": rests_on.label, "doubts": rests_on.brief}
        return found

    def draws(self, n: int, *, seed: int) -> Array:
        """Draws from the Laplace posterior around all optima, prior-whitened, shape (n, n_parameters)."""
        return self.mixture.draws(n, seed=seed)

    # ---- words ------------------------------------------------------------------------------------

    def report(self) -> str:
        """The whole result as text: estimates, what is data- and what prior-driven, fit per analyte, diagnosis."""
        from cellsim.posterior.tables import report_text

        return report_text(self)

    def report_html(self) -> str:
        """The same as one HTML fragment."""
        from cellsim.posterior.tables import report_html

        return report_html(self)

    def _repr_html_(self) -> str:
        return self.report_html()

    def __repr__(self) -> str:
        rows = len(self.objective.terms)
        return (
            f"<Calibration of {self.case.name}, variant {self.variant}: {rows} rows, {self.theta.size} parameters, "
            f"{self.effective_parameters:.1f} of them determined, ln evidence {self.log_evidence:.1f}; "
            f"{self.approximation.label}>"
        )

    # ---- files ------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write everything needed to read it again, case and model included, as one JSON file."""
        write_whole(path, json.dumps(self.content(), indent=1, ensure_ascii=False))

    def content(self) -> dict[str, Any]:
        """What is written, as plain values."""
        return {
            "format": FORMAT,
            "case": dict(self.case.files),
            "model": self.model.to_sbml(),
            "variant": self.variant,
            # JSON has no infinity
            "degrees": self.objective.degrees if np.isfinite(self.objective.degrees) else None,
            "names": self.objective.names,
            "modes": [
                {
                    "theta": mode.theta.tolist(),
                    "curvature": mode.curvature.tolist(),
                    "log_likelihood": mode.log_likelihood,
                    "objective": mode.objective,
                    "error": mode.error,
                    "uncertain": None if mode.uncertain is None else mode.uncertain.tolist(),
                }
                for mode in self.mixture.modes
            ],
            "starts": [asdict(start) for start in self.starts],
            "point": None if self.point is None else self.point.tolist(),
            "seed": self.seed,
            "diagnosis": self.diagnosis,
            "versions": dict(self.versions),
        }

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read a saved calibration and check that it still says what it said.

        Raises
        ------
        CalibrationError
            If the file is no calibration, or the sum of squares it states is not found again.
        """
        return cls.of_content(read_saved(path), path)

    @classmethod
    def of_content(cls, content: Any, path: str | Path) -> Calibration:
        """The calibration that plain values mean; `path` says where they were found. Raises as :meth:`load` does."""
        with whole(content, path, FORMAT, "a saved calibration"):
            found = cls._read(content, path)
            # a file that does not say what its numbers rest on is not whole
            best, _ = found.mixture.modes[0], found.approximation
        stated, again = best.objective, found.objective.evaluate(best.theta).objective
        if not np.isclose(again, stated, rtol=1e-4):
            raise CalibrationError(
                f"{path} states a sum of squares of {stated:.4f}, but its case and model give "
                f"{again:.4f}; it was made by {content['versions']}."
            )
        return found

    @classmethod
    def _read(cls, content: Mapping[str, Any], path: str | Path) -> Calibration:
        from cellsim.foreign.trial import from_file
        from cellsim.model.model import load_model

        degrees = content.get("degrees")
        objective = objective_of(
            saved_case(content["case"], content["versions"], path),
            load_model(from_file(content["model"])),
            variant=content["variant"],
            degrees=np.inf if degrees is None else degrees,
        )
        if list(objective.names) != content["names"]:
            raise CalibrationError(
                f"{path} estimates other parameters than its own case lists; was it edited?"
            )
        modes = []
        for mode in content["modes"]:
            theta, curvature = np.array(mode["theta"], float), np.array(mode["curvature"], float)
            # a list of no rows tells nothing of its columns
            curvature = curvature.reshape(0, 0) if not theta.size and not curvature.size else curvature
            if theta.shape != (len(objective.names),) or curvature.shape != 2 * theta.shape:
                raise CalibrationError(f"{path} has an optimum of {theta.size} parameters; was it edited?")
            uncertain = mode.get("uncertain")
            modes.append(
                Mode(
                    theta,
                    curvature,
                    mode["log_likelihood"],
                    mode["objective"],
                    mode.get("error", 0.0),
                    None if uncertain is None else np.array(uncertain, float),
                )
            )
        return cls(
            objective=objective,
            mixture=Mixture(tuple(modes)),
            starts=tuple(Start(**start) for start in content["starts"]),
            seed=content["seed"],
            diagnosis=content["diagnosis"],
            versions=content["versions"],
            point=None if content.get("point") is None else np.array(content["point"], float),
        )


def versions() -> dict[str, str]:
    """Versions of everything a result depends on."""
    import platform

    return {
        "cellsim": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in GUESTS},
    }
