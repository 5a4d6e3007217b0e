"""What was learned and what was assumed, said for every number that is printed.

With J the derivative of the data's residuals with respect to prior-whitened parameters, J'J is the Fisher information
in units of the prior's: a direction with eigenvalue 1 is known from the data as well as from the prior, one with
eigenvalue 0 from the prior alone. The rank of J at random points of the prior says what these rows could tell at all,
whatever the values (structural, for this design); the posterior covariance says what they did tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.errors import CalibrationError, Problem, did_you_mean, unusable
from cellsim.identifiability.structure import Structure, in_words, is_factor, natural_slopes, structure_of
from cellsim.likelihood.compatibility import objective_given
from cellsim.likelihood.objective import Objective
from cellsim.results import verdict

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.posterior.approximation import Approximation
    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.posterior import Posterior
    from cellsim.predictions.predictions import Prediction

    Array = NDArray[np.float64]

__all__ = [
    "Combination",
    "Identifiability",
    "identify",
]


@dataclass(frozen=True)
class Combination:
    """A direction of the parameters and how far the data narrowed it.

    Attributes
    ----------
    words : str
        The combination that is narrowed, e.g. ``"the product k x V"``.
    contraction, shift : float
        As for a parameter.
    weights : tuple of (str, float)
        Direction cosines in prior sd, the largest first.
    """

    words: str
    contraction: float
    shift: float
    weights: tuple[tuple[str, float], ...]

    @property
    def verdict(self) -> str:
        """See :func:`verdict`."""
        return verdict(self.contraction, self.shift)


@dataclass(frozen=True, eq=False)
class Identifiability:
    """What the rows can tell, and what they told. Made by :func:`identify`.

    Attributes
    ----------
    objective : Objective
    theta : array, shape (n,)
        Where it was judged, prior-whitened.
    structure : Structure
        What these rows could tell, whatever they said.
    covariance : array, shape (n, n)
        Of the posterior; its prior is the identity.
    mean : array, shape (n,)
        Of the posterior.
    predictions : tuple of (str, str, float, float, float)
        Name, unit, value, contraction, shift.
    approximation : Approximation
        What covariance and mean rest on, with every doubt about them.
    """

    objective: Objective
    theta: Array
    structure: Structure
    covariance: Array
    mean: Array
    approximation: Approximation
    predictions: tuple[tuple[str, str, float, float, float], ...] = ()

    # ---- numbers ----------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The estimated parameters."""
        return self.objective.names

    @cached_property
    def eigenvalues(self) -> Array:
        """Of the information, the largest first."""
        return np.asarray(np.linalg.eigvalsh(self.structure.information)[::-1])

    @property
    def effective_rank(self) -> int:
        """Directions that the data know better than the prior: eigenvalues of the information above 1."""
        return int(np.sum(self.eigenvalues > 1))

    @property
    def determined(self) -> float:
        """How many numbers the data determined: the sum of all contractions."""
        return float(len(self.names) - np.trace(self.covariance))

    def contraction(self, gradient: Array) -> tuple[float, float]:
        """Contraction and shift of any scalar function of theta, by its gradient at `theta`, shape (n,)."""
        size = float(np.linalg.norm(gradient))
        if size == 0:
            return 0.0, 0.0
        along = np.asarray(gradient) / size
        return float(1 - along @ self.covariance @ along), float(along @ self.mean)

    def combinations(
        self, names: Sequence[str] | str | None = None, *, most: int = 10
    ) -> tuple[Combination, ...]:
        """Eigen-combinations of the posterior, the most narrowed first.

        Parameters
        ----------
        names : str or sequence of str, optional
            Among these parameters or groups only (their joint marginal posterior); all by default.
        most : int
            How many.

        Returns
        -------
        tuple of Combination

        Raises
        ------
        CalibrationError
            For a name that is neither parameter nor group.
        """
        columns = self._columns(names)
        values, vectors = np.linalg.eigh(self.covariance[np.ix_(columns, columns)])
        slopes = natural_slopes(self.objective.priors, self.theta)[columns]
        out = []
        for value, vector in zip(values[:most], vectors.T, strict=False):
            order = np.argsort(-np.abs(vector), kind="stable")
            cosines = vector * np.sign(vector[order[0]])
            told = [int(k) for k in order if abs(vector[k]) > 0.25 * abs(vector[order[0]])]
            # an unnarrowed direction of parameters that the rows never see has no finite natural slope to divide by
            weights = cosines[told] / slopes[told]
            out.append(
                Combination(
                    words=in_words(
                        [self.names[columns[k]] for k in told],
                        weights,
                        [is_factor(self.objective.priors[columns[k]]) for k in told],
                    ),
                    contraction=float(1 - value),
                    shift=float(cosines @ self.mean[columns]),
                    weights=tuple((self.names[columns[k]], float(cosines[k])) for k in order),
                )
            )
        return tuple(out)

    def _columns(self, names: Sequence[str] | str | None) -> list[int]:
        if names is None:
            return list(range(len(self.names)))
        groups = [self.objective.case.prior(name).group for name in self.names]
        columns: list[int] = []
        for name in (names,) if isinstance(names, str) else names:
            found = [j for j, each in enumerate(self.names) if name in (each, groups[j])]
            if not found:
                known = [*self.names, *filter(None, groups)]
                raise CalibrationError(
                    f"no estimated parameter or group {name!r}. {did_you_mean(name, known)}"
                )
            columns += found
        return list(dict.fromkeys(columns))

    # ---- tables -----------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """One row a parameter, then one a prediction.

        Returns
        -------
        DataFrame
            Columns name, group, unit, value, contraction, shift (prior sd), verdict, approximation, doubts.
        """
        import pandas as pd

        values, variances = self.objective.values(self.theta), np.diag(self.covariance)
        rows = []
        for j, name in enumerate(self.names):
            about = self.objective.case.prior(name)
            contraction, shift = float(1 - variances[j]), float(self.mean[j])
            word = verdict(contraction, shift, touched=name not in self.structure.untouched)
            rows.append((name, about.group, about.unit, values[name], contraction, shift, word))
        for name, unit, value, contraction, shift in self.predictions:
            rows.append((name, "prediction", unit, value, contraction, shift, verdict(contraction, shift)))
        columns = ["name", "group", "unit", "value", "contraction", "shift", "verdict"]
        return self.approximation.stamped(pd.DataFrame(rows, columns=columns))

    def groups(self) -> pd.DataFrame:
        """One row a group of parameters: how many, and how many numbers the data determined among them.

        Returns
        -------
        DataFrame
            Columns group, parameters, determined (sum of contractions), strongest (most narrowed combination),
            contraction (its), approximation, doubts.
        """
        import pandas as pd

        rows = []
        for group in dict.fromkeys(self.objective.case.prior(name).group for name in self.names):
            columns = [
                j for j, name in enumerate(self.names) if self.objective.case.prior(name).group == group
            ]
            best = self.combinations([self.names[j] for j in columns], most=1)[0]
            learned = float(len(columns) - np.trace(self.covariance[np.ix_(columns, columns)]))
            rows.append((group, len(columns), learned, best.words, best.contraction))
        heads = ["group", "parameters", "determined", "strongest", "contraction"]
        return self.approximation.stamped(pd.DataFrame(rows, columns=heads))

    # ---- words ------------------------------------------------------------------------------------

    def report(self) -> str:
        """What the data can tell and what they told, in sentences."""
        rows, count = len(self.objective.terms), len(self.names)
        table = self.table()
        title = f"What the data of {self.objective.case.name} tell" + (
            f", variant {self.objective.variant}" if self.objective.variant else ""
        )
        lines = [title, "=" * len(title), *self.approximation.lines, ""]
        seen = self.structure
        lines.append(
            f"{rows} rows and {count} parameters. Whatever the values, these rows see at most {seen.rank} directions "
            f"(rank at {len(seen.ranks)} points); {count - seen.rank} are left to the prior"
            + (
                f", {count - rows} of them because there are fewer rows than parameters."
                if count > rows
                else "."
            )
        )
        lines.append(
            f"Here the data know {self.effective_rank} directions better than the prior does; in sum they determined "
            f"{self.determined:.1f} numbers."
        )
        lines += seen.sentences()
        lines.append("")
        counts = table["verdict"].value_counts()
        lines.append(
            "Of parameters and predictions " + ", ".join(f"{n} {word}" for word, n in counts.items()) + "."
        )
        for row in self.groups().to_dict("records"):
            lines.append(
                f"- {row['group'] or 'parameters'}: {row['determined']:.1f} of {row['parameters']} determined; most "
                f"narrowed: {row['strongest']} (contraction {100 * row['contraction']:.0f} %)."
            )
        for name, unit, value, contraction, shift in self.predictions:
            said = f"{value:.3g} {unit}".rstrip()
            lines.append(
                f"- prediction, {name}: {said}; contraction {100 * contraction:.0f} %, shift {shift:+.1f}: "
                f"{verdict(contraction, shift)}."
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        rank = f"rank {self.structure.rank} of {len(self.names)} parameters"
        return (
            f"<Identifiability of {self.objective.case.name}: {rank}, {self.effective_rank} directions "
            f"known better than by the prior, {self.determined:.1f} determined by {self.approximation.label}>"
        )


def identify(
    source: Calibration | Posterior | Objective,
    theta: Array | None = None,
    *,
    points: int = 5,
    seed: int = 0,
    predictions: Sequence[Prediction] | Mapping[str, Array] = (),
) -> Identifiability:
    """Say which parameters, combinations and predictions the data inform.

    Parameters
    ----------
    source : Calibration, Posterior or Objective
        A calibration or draws give their own posterior covariance and mean; the result says which. An objective gives (I + J'J)^-1 at `theta`, and no mean other than `theta`.
    theta : array, shape (n,), optional
        Where to judge, prior-whitened; the optimum of a calibration, the mean of chains, the prior medians of an objective.
    points : int
        Random points of the prior for the structural check, besides `theta`.
    seed : int
        Of these points.
    predictions : sequence of Prediction, or mapping of str to array
        See :func:`cellsim.predictions.predictions.predictions_of`; or gradients with respect to theta by name.

    Returns
    -------
    Identifiability

    Raises
    ------
    CalibrationError
        If `source` is none of these, the simulation at `theta` fails, or a prediction has no slope there.

    Examples
    --------
    >>> from cellsim.case.case import load_case
    >>> from cellsim.likelihood.formulation import objective_of
    >>> found = identify(objective_of(load_case("sjogren_rfib")), points=1)
    >>> "t_n" in found.structure.untouched
    True
    """
    from cellsim.posterior.approximation import Approximation, approximation_of

    objective = objective_given(source, "identify")
    size = len(objective.names)
    if problems := unusable(counts={"points": (points, 0)}, seeds={"seed": seed}):
        raise CalibrationError(problems)
    own = None if isinstance(source, Objective) or theta is not None else source
    here = np.zeros(size) if theta is None else np.asarray(theta, float)
    drawn = getattr(own, "flat", None)
    if own is not None:
        here = own.theta if drawn is None else drawn.mean(axis=0)  # type: ignore[union-attr]
    seen = structure_of(objective, here, points=points, seed=seed)
    covariance, mean = np.linalg.inv(np.eye(size) + seen.information), here
    if drawn is not None:
        covariance = np.atleast_2d(np.cov(drawn.T))
    elif (of_all := getattr(own, "moments_of_all", None)) is not None:
        mean, covariance = of_all
    elif own is not None:
        whole: Any = getattr(own, "mixture", own)
        covariance, mean = whole.covariance, getattr(whole, "mean", here)
    result = Identifiability(
        objective=objective,
        theta=here,
        structure=seen,
        covariance=np.asarray(covariance),
        mean=np.asarray(mean),
        approximation=Approximation("curvature") if own is None else approximation_of(own),
    )
    return _with_predictions(result, predictions)


def _with_predictions(
    found: Identifiability, predictions: Sequence[Prediction] | Mapping[str, Array]
) -> Identifiability:
    if isinstance(predictions, Mapping):
        given = [(name, "", np.nan, np.asarray(each, float)) for name, each in predictions.items()]
    else:
        given = [(each.name, each.unit, *each.of(found.theta)) for each in predictions]
    problems = []
    for name, _, value, slope in given:
        if slope.shape != found.theta.shape or not np.all(np.isfinite(slope)) or np.isinf(value):
            problems.append(
                Problem(
                    what=f"{name} is {value:g}, its slopes {slope}: {found.theta.size} finite ones needed."
                )
            )
        elif not slope.any():
            problems.append(
                Problem(
                    what=f"{name} does not move with any parameter here, so nothing can be learned of it."
                )
            )
    if problems:
        raise CalibrationError(problems)
    return replace(
        found,
        predictions=tuple(
            (name, unit, value, *found.contraction(slope)) for name, unit, value, slope in given
        ),
    )
