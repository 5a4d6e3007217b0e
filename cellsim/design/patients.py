r"""How many patients, each seen as this one was, it would take to tell two mechanisms apart.

A patient of either mechanism is drawn from its priors, simulated, and measured with the noise of the assays. Given means m and covariances S of
what is then measured under each mechanism, her values y count the log odds

.. math:: a (\ln N(y; m_1, S_1) - \ln N(y; m_2, S_2)),

with the factor a of a logistic regression, lest tails that are not normal be taken for certainty; patients add up. Means, covariances and a are
learned from other draws than those that are judged. Where models are linear and priors and noise normal, a is 1 and this is the likelihood ratio
itself; elsewhere it leaves unused what means and covariances do not say, so that with all of it fewer patients may do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellsim.design.new_samples import scatter_of
from cellsim.design.visit_questions import panels_given
from cellsim.errors import CalibrationError, Problem, is_finite_number, unusable
from cellsim.likelihood.compatibility import objective_given
from cellsim.predictions.measures import Value
from cellsim.predictions.plans import AS_GIVEN, background_given, history_given, on_background, plan_problems
from cellsim.predictions.predictor import Sample

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.case.case import Analyte, Case
    from cellsim.dosing.schedule import Schedule
    from cellsim.likelihood.objective import Objective
    from cellsim.predictions.predictor import Source

    Array = NDArray[np.float64]
    Halves = tuple[tuple[Array, ...], ...]

__all__ = ["PatientPlan", "plan_patients"]

# studies that are made of the patients drawn
_STUDIES = 4000
_FEWEST = 100
# of the factor that makes scores log odds; it is 1 where everything is normal
_STEEPEST = 2.0


@dataclass(frozen=True, eq=False)
class PatientPlan:
    """Log odds of single patients, and what studies of several would decide; made by :func:`cellsim.plan_patients`.

    Attributes
    ----------
    case : Case
    variants : (str, str)
    arms : tuple of str
        Plans that patients are given, as many each.
    patients : tuple of int
        Of a study.
    odds : float
        From which a study has decided.
    gained : mapping of str to tuple
        By the mechanism that is true: log odds for it of single patients, in two halves that were judged by each other's draws, and by arm.
    seed : int
    """

    case: Case
    variants: tuple[str, str]
    arms: tuple[str, ...]
    patients: tuple[int, ...]
    odds: float
    gained: Mapping[str, Halves]
    seed: int

    @property
    def label(self) -> str:
        """What must stand beside every number."""
        return self.case.label

    def table(self) -> pd.DataFrame:
        """One row a true mechanism and number of patients.

        Returns
        -------
        DataFrame
            Columns truth, patients, right, wrong, undecided (chances that the odds of all patients together exceed `odds` for the true
            mechanism, for the other one, for none), error (Monte Carlo, of right: half of what both halves of the draws differ by, or the
            binomial one where that is larger), log_odds (expected of one patient).
        """
        import pandas as pd

        rows = []
        for truth, gained in self.gained.items():
            for count in self.patients:
                each = np.array([self._studies(half, count) for half in gained])
                far = np.log(self.odds)
                right = (each > far).mean(axis=1)
                wrong = float((each < -far).mean())
                binomial = np.sqrt(max(right.mean() * (1 - right.mean()), 1 / _STUDIES) / (2 * _STUDIES))
                rows.append(
                    {
                        "truth": truth,
                        "patients": count,
                        "right": float(right.mean()),
                        "wrong": wrong,
                        "undecided": 1 - float(right.mean()) - wrong,
                        "error": max(abs(float(right[0] - right[1])) / 2, float(binomial)),
                        "log_odds": float(np.mean([arm.mean() for half in gained for arm in half])),
                    }
                )
        table = pd.DataFrame(rows)
        table.attrs["label"] = self.label
        return table

    def _studies(self, gained: tuple[Array, ...], count: int) -> Array:
        """Log odds of studies of so many patients, arm by arm in turn."""
        random = np.random.default_rng(self.seed)
        total = np.zeros(_STUDIES)
        for k in range(count):
            arm = gained[k % len(self.arms)]
            total += arm[random.integers(arm.size, size=_STUDIES)]
        return total

    def needed(self, sure: float = 0.8) -> int | None:
        """The smallest number asked for that decides rightly with this chance whichever mechanism is true; None where none does."""
        least = self.table().groupby("patients")["right"].min()
        return next((int(count) for count in self.patients if least[count] >= sure), None)

    def __repr__(self) -> str:
        found = self.needed()
        said = f"{found} patients" if found else f"more than {max(self.patients)} patients"
        return f"<PatientPlan of {self.case.name}: {' or '.join(self.variants)} is told by {said} in four of five studies. {self.label}>"


def plan_patients(
    sources: Mapping[str, Source | Objective],
    patients: Sequence[int] = (1, 2, 3, 5, 8, 12, 20, 30, 50),
    *,
    arms: Mapping[str, Schedule] | None = None,
    days: Sequence[float] | None = None,
    panels: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    odds: float = 20.0,
    history: Schedule | str | None = "case",
    draws: int = 600,
    seed: int = 0,
) -> PatientPlan:
    """How many such patients tell one mechanism from another, with the visits of this one or with others.

    Parameters
    ----------
    sources : mapping of str to Calibration, Posterior or Objective
        Two mechanisms of one case. Their priors count, as what is known of other patients, and not what this one taught.
    patients : sequence of int
        Sizes of a study.
    arms : mapping of str to Schedule, optional
        Plans to which patients are allotted in turn, from day 0 on: a randomised start is ``{"at once": plan, "later": plan.shifted(84)}``.
        What this patient was given by default.
    days : sequence of float, optional
        Of the samples, from day 0 on; the nominal days of this patient's visits by default, those before day 0 taken on it.
    panels : sequence of str, or mapping of str to sequence of str, optional
        What is measured, as for :func:`cellsim.plan_visits`; all by default. Graded findings are left out.
    odds : float
        Odds from which a study has decided.
    history : Schedule, None, or "case"
        What came before day 0, as for :func:`cellsim.sweep`.
    draws : int
        Patients drawn of each mechanism, at least 100.
    seed : int

    Returns
    -------
    PatientPlan
        ``.table()`` has the chances of right and wrong decisions, ``.needed()`` the smallest study that is enough.

    Raises
    ------
    CalibrationError
        Everything that is wrong with the question, all at once; or if too few patients could be simulated.

    Examples
    --------
    >>> import cellsim as cs
    >>> case = cs.load_case("cytopenia_synthetic")
    >>> fits = {name: cs.calibrate(case, variant=name, starts=1) for name in ("cells_act", "antibody_only")}
    >>> found = cs.plan_patients(fits, [1, 5], draws=100)
    >>> list(found.table()["patients"])
    [1, 5, 1, 5]
    """
    objectives = {name: objective_given(each, "plan_patients") for name, each in dict(sources).items()}
    problems = unusable(
        counts={"draws": (draws, _FEWEST), **{f"patients {each!r}": (each, 1) for each in patients}},
        seeds={"seed": seed},
    )
    if len(objectives) != 2:
        problems.append(Problem(what=f"{len(objectives)} mechanisms are given: two are told apart.", remedy="Give two by name."))  # fmt: skip
    elif len({each.case.name for each in objectives.values()}) > 1:
        problems.append(Problem(what="the mechanisms are of different cases."))
    if not (is_finite_number(odds) and odds > 1):
        problems.append(Problem(what=f"odds = {odds!r}: a number above 1 is needed."))
    if not len(patients):
        problems.append(Problem(what="no number of patients is asked for."))
    if problems:
        raise CalibrationError(problems)
    case = next(iter(objectives.values())).case
    named, wrong = panels_given(case, panels)
    if wrong:
        raise CalibrationError(wrong)
    members = {each for parts in named.values() for each in parts}
    analytes = [each for each in case.analytes if each.id in members]
    taken = [visit.nominal for visit in case.visits] if days is None else days
    seen = sorted({max(float(each), 0.0) for each in taken})
    given = {AS_GIVEN: case.schedule} if arms is None else dict(arms)
    plans = on_background(given, background_given("case", case), case.products)
    before, until = history_given(history, case), max(*seen, 1.0)
    measures = (Value(tuple(seen), tuple(each.id for each in analytes)),)
    if problems := plan_problems(plans, before, case, until, measures):
        raise CalibrationError(problems)
    drawn = {}
    for name, objective in objectives.items():
        sample = Sample(objective, measures, before, until)
        sample.times = np.unique([0.0, until, *seen])
        sample.see_doses(tuple(plans.values()))
        drawn[name] = _patients(sample, objective, analytes, seen, tuple(plans.values()), draws, seed)
    first, second = objectives
    scores = {
        truth: [_scores(*each) for each in zip(drawn[truth], drawn[first], drawn[second], strict=True)]
        for truth in objectives
    }
    gained = {
        truth: tuple(
            tuple(
                sign * _calibration(scores[first][arm][1 - half], scores[second][arm][1 - half]) * scores[truth][arm][half]
                for arm in range(len(plans))
            )
            for half in (0, 1)
        )
        for truth, sign in ((first, 1.0), (second, -1.0))
    }  # fmt: skip
    return PatientPlan(
        case, (first, second), tuple(plans), tuple(int(each) for each in patients), float(odds), gained, seed
    )


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Patients of one mechanism in one arm.

    Attributes
    ----------
    values : array, shape (n_draws, n_values)
        As measured, on the scale on which they are normal.
    means : array, shape (n_draws, n_values)
        The same without noise.
    noise : array, shape (n_values, n_values)
        Covariance of the noise, on average.
    """

    values: Array
    means: Array
    noise: Array

    def density(self, values: Array, half: int) -> Array:
        """ln density of values, by mean and covariance of one half of the patients."""
        from scipy.stats import multivariate_normal

        means = self.means[half::2]
        spread = np.atleast_2d(np.cov(means, rowvar=False)) + self.noise
        return np.asarray(multivariate_normal(means.mean(axis=0), spread).logpdf(values))


def _patients(
    sample: Sample,
    objective: Objective,
    analytes: Sequence[Analyte],
    days: Sequence[float],
    plans: Sequence[Schedule],
    draws: int,
    seed: int,
) -> list[_Drawn]:
    """Patients by arm, in each the same ones."""
    thetas = np.random.default_rng(seed).standard_normal((draws, len(objective.names)))
    [simulated], interrupted = sample.all_runs(plans, [thetas])
    if interrupted:
        raise KeyboardInterrupt
    fine = np.all([each.fine for each in simulated], axis=0)
    scatter = scatter_of(objective, analytes, thetas[fine])
    noise = np.random.default_rng((seed, 1))
    out = []
    for each in simulated:
        runs = each.only(fine, seed)
        predicted = np.array([[runs.at(one.id, day) for one in analytes] for day in days])
        with np.errstate(divide="ignore", invalid="ignore"):
            means, covariances = scatter.normal(np.swapaxes(predicted, 1, 2))
        known = np.isfinite(means).all(axis=(0, 2))
        if known.sum() < _FEWEST // 2:
            raise CalibrationError(
                f"only {known.sum()} of {draws} patients could be simulated. {each.why}".strip()
            )
        size = means.shape[2]
        covariances = np.broadcast_to(covariances, (*means.shape[:2], size, size))[:, known]
        means = means[:, known]
        spread = np.linalg.cholesky(covariances) @ noise.standard_normal((*means.shape, 1))
        blocks = np.zeros((len(days), size, len(days), size))
        for k, block in enumerate(covariances.mean(axis=1)):
            blocks[k, :, k] = block
        flat = (means.shape[1], len(days) * size)
        stacked, scattered = (
            np.moveaxis(part, 0, 1).reshape(flat) for part in (means, means + spread[..., 0])
        )
        out.append(_Drawn(scattered, stacked, blocks.reshape(len(days) * size, -1)))
    return out


def _scores(judged: _Drawn, first: _Drawn, second: _Drawn) -> tuple[Array, Array]:
    """Log ratio of both densities at the values of patients, each half judged by the other's means and covariances."""
    halves = [judged.values[half::2] for half in (0, 1)]
    found = [
        first.density(each, 1 - half) - second.density(each, 1 - half) for half, each in enumerate(halves)
    ]
    return found[0], found[1]


def _calibration(first: Array, second: Array) -> float:
    """The factor that makes scores log odds: of a logistic regression of the mechanism, the first or the second, on its score."""
    from scipy.optimize import minimize_scalar

    def loss(factor: float) -> float:
        return float(np.logaddexp(0.0, -factor * first).mean() + np.logaddexp(0.0, factor * second).mean())

    return float(minimize_scalar(loss, bounds=(0.0, _STEEPEST), method="bounded").x)
