"""One thing altered at a time: a sampling day, days of infusion, a limit, a spread, the noise, an analyte, a visit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from cellsim.comparison.altered_case import altered
from cellsim.errors import CalibrationError, Problem, did_you_mean
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.objective import Objective

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.case.records import Censored, Measurement

    Array = NDArray[np.float64]

__all__ = ["GROUPS", "Alteration", "alterations_of", "days_held", "days_of"]

GROUPS = (
    "sampling day",
    "days of infusion",
    "reference limit",
    "prior",
    "sample effect",
    "noise",
    "analyte left out",
    "visit left out",
)
_DEGREES = 4.0


@dataclass(frozen=True, kw_only=True)
class Alteration:
    """One plausible change of a case, of its likelihood or of its priors; everything else as it stands.

    Parameters
    ----------
    id, group, name : str
        A short name, one of :data:`GROUPS`, and what is altered in words.
    case : Case, optional
        The altered case, when the change is one of its tables.
    held : mapping of str to float
        Estimated parameters held at a value.
    spread : mapping of str to float
        How many times as wide the prior of a parameter is (on the scale on which it is normal).
    degrees : float
        Degrees of freedom of the noise; infinite for normal.
    without_analyte, without_visit : str
        Whose rows are not scored.

    Raises
    ------
    CalibrationError
        For spreads and degrees of freedom not above zero, and held values that are not finite.
    """

    id: str
    group: str
    name: str
    case: Case | None = None
    held: Mapping[str, float] = field(default_factory=dict)
    spread: Mapping[str, float] = field(default_factory=dict)
    degrees: float = np.inf
    without_analyte: str = ""
    without_visit: str = ""

    def __post_init__(self) -> None:
        problems = [
            f"{name}: a prior {factor:g} times as wide; a number above zero is needed."
            for name, factor in self.spread.items()
            if not (np.isfinite(factor) and factor > 0)
        ]
        problems += [
            f"{name} held at {value:g}." for name, value in self.held.items() if not np.isfinite(value)
        ]
        if not self.degrees > 0:
            problems.append(f"noise of {self.degrees:g} degrees of freedom; a number above zero is needed.")
        if problems:
            raise CalibrationError([Problem(what=f"alteration {self.id!r}: {each}") for each in problems])

    def unknown_to(self, case: Case) -> list[str]:
        """What it names that a case does not have, in words: such an alteration would alter nothing."""
        parameters = [each.id for each in case.priors]
        named: list[tuple[str, str, Iterable[str]]] = [
            ("parameter", name, parameters) for name in dict.fromkeys((*self.held, *self.spread))
        ]
        if self.without_analyte:
            named.append(("analyte", self.without_analyte, [each.id for each in case.analytes]))
        if self.without_visit:
            named.append(("visit", self.without_visit, [each.id for each in case.visits]))
        return [
            f"alteration {self.id!r}: {case.name} has no {what} {name!r}. {did_you_mean(name, known)}"
            for what, name, known in named
            if name not in set(known)
        ]

    def of(self, objective: Objective) -> Objective:
        """The objective under this alteration; what it alters and the objective does not have stays away."""
        if self.case is not None:
            objective = objective_of(
                self.case,
                objective.model,
                variant=objective.variant or None,
                rtol=objective.rtol,
                degrees=objective.degrees,
            )
        free = [k for k, name in enumerate(objective.names) if name not in self.held]
        held = {name: value for name, value in self.held.items() if name in objective.names}
        return replace(
            objective,
            names=tuple(objective.names[k] for k in free),
            priors=tuple(objective.priors[k].widened(self.spread.get(objective.names[k], 1.0)) for k in free),
            fixed={**objective.fixed, **held},
            terms=tuple(
                term
                for term in objective.terms
                if not (
                    (self.without_analyte and term.analyte == self.without_analyte)
                    or (self.without_visit and term.visit == self.without_visit)
                )
            ),
            degrees=min(self.degrees, objective.degrees),
        )

    def carried(self, objective: Objective, theta: Array, altered: Objective) -> Array:
        """A point of an objective in the coordinates of the altered one: the same values, as far as it allows them."""
        values = objective.values(theta)
        place = dict(zip(objective.names, np.asarray(theta, float).tolist(), strict=True))
        found = [
            prior.whitened(values[name]) for name, prior in zip(altered.names, altered.priors, strict=True)
        ]
        # a day outside of its new window keeps its place in the window instead
        return np.array(
            [
                each if np.isfinite(each) else place[name]
                for name, each in zip(altered.names, found, strict=True)
            ]
        )


def alterations_of(case: Case) -> tuple[Alteration, ...]:
    """What is plausible and not known of a case, one thing at a time.

    * Each visit whose day is estimated: on the second, the middle and the last but one day of its window.
    * Each row of ``alternatives.tsv``: days of infusion, a reference limit, the width of a prior.
    * The parameters of groups whose role is "sample effect", which shift rows of one sample together: none, half and twice as wide.
    * Student-t noise with four degrees of freedom.
    * Each analyte left out, and each visit, where there are several.

    Parameters
    ----------
    case : Case

    Returns
    -------
    tuple of Alteration

    Examples
    --------
    >>> from cellsim.case.case import load_case
    >>> [each.name for each in alterations_of(load_case("sjogren_rfib"))][3]
    'after 4 infusions drawn on day 22, the earliest'
    """
    return (*_days(case), *_alternatives(case), *_effects(case), _noise(), *_left_out(case))


def days_held(alterations: Iterable[Alteration]) -> list[float]:
    """Days on which they hold a sample."""
    return [day for each in alterations for name, day in each.held.items() if name.startswith("day_")]


def days_of(case: Case) -> list[float]:
    """The same of :func:`alterations_of`, of which no case is read anew for that: other infusions and limits hold no sample.

    Examples
    --------
    >>> from cellsim.case.case import load_case
    >>> case = load_case("sjogren_rfib")
    >>> len(days_of(case)), days_of(case) == days_held(alterations_of(case))
    (9, True)
    """
    return days_held(_days(case))


def _days(case: Case) -> list[Alteration]:
    estimated = {each.id for each in case.priors if each.estimate}
    out = []
    for visit in case.visits:
        if (parameter := f"day_{visit.id}") not in estimated:
            continue
        margin = min(1.0, (visit.latest - visit.earliest) / 4)
        for word, day in (
            ("earliest", visit.earliest + margin),
            ("middle", (visit.earliest + visit.latest) / 2),
            ("latest", visit.latest - margin),
        ):
            name = f"{visit.name} drawn on day {day:g}, the {word}"
            out.append(
                Alteration(id=f"{parameter}_{word}", group="sampling day", name=name, held={parameter: day})
            )
    return out


def _alternatives(case: Case) -> list[Alteration]:
    out = []
    for each in case.alternatives:
        if each.parameter:
            out.append(
                Alteration(id=each.id, group="prior", name=each.name, spread={each.parameter: each.spread})
            )
        else:
            group = "days of infusion" if each.product else "reference limit"
            out.append(Alteration(id=each.id, group=group, name=each.name, case=altered(case, each)))
    return out


def _effects(case: Case) -> list[Alteration]:
    groups = case.groups_of("sample effect")
    effects = [each.id for each in case.priors if each.group in groups and each.estimate]
    if not effects:
        return []
    group = "sample effect"
    none = Alteration(
        id="sample_effect_none",
        group=group,
        name="no sample effect",
        held={name: case.prior(name).nominal for name in effects},
    )
    return [none] + [
        Alteration(
            id=f"sample_effect_{word}",
            group=group,
            name=f"sample effect {word} as large",
            spread=dict.fromkeys(effects, factor),
        )
        for word, factor in (("half", 0.5), ("twice", 2.0))
    ]


def _noise() -> Alteration:
    return Alteration(
        id="student_t",
        group="noise",
        name=f"Student-t noise, {_DEGREES:g} degrees of freedom",
        degrees=_DEGREES,
    )


def _left_out(case: Case) -> list[Alteration]:
    scored: list[Measurement | Censored] = [*case.rows, *(each for each in case.censored if each.scored)]
    analytes = [each for each in case.analytes if any(row.analyte == each.id for row in scored)]
    visits = [each for each in case.visits if any(row.visit == each.id for row in scored)]
    out = []
    if len(analytes) > 1:
        out += [
            Alteration(
                id=f"without_{each.id}",
                group="analyte left out",
                name=f"without {each.name}",
                without_analyte=each.id,
            )
            for each in analytes
        ]
    if len(visits) > 1:
        out += [
            Alteration(
                id=f"without_{each.id}",
                group="visit left out",
                name=f"without the visit {each.name}",
                without_visit=each.id,
            )
            for each in visits
        ]
    return out
