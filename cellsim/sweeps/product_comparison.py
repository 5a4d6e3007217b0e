"""One product against another at the same days and amounts: how long each lasts and what it does, by number of doses and gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellsim.dosing.delivery import cells_per_unit
from cellsim.dosing.infusions import amount_text
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError, Problem, did_you_mean, is_finite_number
from cellsim.likelihood.compatibility import objective_given
from cellsim.posterior.approximation import Approximation, together
from cellsim.predictions.measures import Area, Asked, Measure, measure_of_outcome
from cellsim.predictions.own_measures import Formula
from cellsim.results import LEVEL, number
from cellsim.sweeps.learned import beside_prior, difference, summary
from cellsim.sweeps.sweeps import sweep

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from cellsim.case.case import Case
    from cellsim.case.outcomes import Outcome
    from cellsim.dosing.infusions import Product
    from cellsim.predictions.predictor import Source
    from cellsim.sweeps.sweep_result import Sweep

    Array = NDArray[np.float64]

__all__ = ["ProductComparison", "compare_products"]

# of one dose: below it a product counts as gone
_LEFT = 0.01
_NOTHING = "nothing"


@dataclass(frozen=True, eq=False)
class ProductComparison:
    """Two products at the same days and amounts; made by :func:`cellsim.compare_products`.

    Attributes
    ----------
    case : Case
    first, second : Product
    cells, level : float
        Of one dose, and below which a product counts as gone, in the unit of its doses.
    designs : tuple of (int, float)
        Doses and days between them.
    until : float
        Last day.
    sweeps : mapping of str to Sweep
        By mechanism, of every design with either product, and of nothing.
    asked : tuple of Asked
        What is compared: area, days above the level, and the first outcome of the case that is no chance, if any.
    """

    case: Case
    first: Product
    second: Product
    cells: float
    level: float
    designs: tuple[tuple[int, float], ...]
    until: float
    sweeps: Mapping[str, Sweep]
    asked: tuple[Asked, ...]

    @property
    def label(self) -> str:
        """What must stand beside every number."""
        return self.case.label

    @property
    def approximation(self) -> Approximation:
        """What the draws rest on, with every doubt."""
        return together({name: each.approximation for name, each in self.sweeps.items()})

    def draws(
        self,
        variant: str,
        design: tuple[int, float],
        place: int,
        *,
        prior: bool = False,
    ) -> Array:
        """Numbers of the first and of the second product in every draw, shape (2, n_draws).

        Parameters
        ----------
        variant : str
        design : (int, float)
            One of :attr:`designs`.
        place : int
            In :attr:`asked`.
        prior : bool
            Draws of the prior instead.
        """
        result = self.sweeps[variant]
        plans, numbers = (
            list(result.schedules),
            result.prior if prior else result.posterior,
        )
        rows = [plans.index(_plan_name(each.name, design)) for each in (self.first, self.second)]
        # measures of the products stand one product after the other, then the outcome
        places = (place, place + 2) if place < 2 else (4, 4)
        found = np.array([numbers[row, at] for row, at in zip(rows, places, strict=True)])
        if place == 0:  # what earlier doses left behind is no answer to these
            found = found - np.array([numbers[plans.index(_NOTHING), at] for at in places])
        return found

    def removal(self, variant: str) -> bool:
        """Whether what becomes of the two products differs under a mechanism: without that, only its prior could tell them apart."""
        pairs = [
            self.draws(variant, each, 0, prior=prior) for each in self.designs for prior in (False, True)
        ]
        return any(bool(difference(*pair).any()) for pair in pairs)

    def table(self, *, level: float = LEVEL) -> pd.DataFrame:
        """One row a mechanism, design and measure.

        Parameters
        ----------
        level : float
            Of the intervals.

        Returns
        -------
        DataFrame
            Columns variant, removal (see :meth:`removal`), doses, interval, measure, unit; first_estimate, first_low, first_high and the
            same of second (medians); ratio, ratio_low, ratio_high (first over second, of areas), prior_ratio and its interval; difference,
            low, high (first minus second), prior_difference, prior_low, prior_high, above, prior_above (chances that the first is larger),
            contraction, shift, verdict, note (:func:`cellsim.sweeps.learned.beside_prior`), approximation, doubts.
        """
        import pandas as pd

        rows = []
        for name in self.sweeps:
            removal = self.removal(name)
            for design in self.designs:
                for place, asked in enumerate(self.asked):
                    found, before = (self.draws(name, design, place, prior=each) for each in (False, True))
                    rows.append(
                        {
                            "variant": name,
                            "removal": removal,
                            "doses": design[0],
                            "interval": design[1],
                            "measure": asked.measure,
                            "unit": asked.unit,
                            **summary(found[0], asked, level, "first_"),
                            **summary(found[1], asked, level, "second_"),
                            **_ratio(found, before, level, wanted=place == 0),
                            **_apart(found, before, level),
                        }
                    )
        table = self.approximation.stamped(pd.DataFrame(rows))
        table.attrs["label"] = self.label
        return table

    def report(self) -> str:
        """The answer as text: by mechanism the ratio of areas of the largest design beside the prior's, then the table."""
        import pandas as pd

        title = f"{self.first.name} beside {self.second.name}, same days and amounts, for {self.case.name}"
        table = self.table()
        lines = [title, "=" * len(title), self.label, "", *self.approximation.lines, ""]
        doses, interval = self.designs[-1]
        for name in self.sweeps:
            under = f"Under {name}" if name else "Here"
            if not self.removal(name):
                lines.append(f"{under} nothing removes one product faster than the other: both last alike.")
                continue
            one = table[(table["variant"] == name) & (table["measure"] == "area")].iloc[-1]
            lines.append(
                f"{under}, of {doses} doses every {interval:g} d, {self.first.name} over {self.second.name} by area: {one['ratio']:.2f} "
                f"({one['ratio_low']:.2f} to {one['ratio_high']:.2f}); the prior alone says {one['prior_ratio']:.2f} "
                f"({one['prior_ratio_low']:.2f} to {one['prior_ratio_high']:.2f}): {one['note']}."
            )
        columns = ["variant", "doses", "interval", "measure", "first_estimate", "second_estimate", "difference", "low", "high"]  # fmt: skip
        with pd.option_context("display.width", 200):
            lines += [
                "",
                table[[*columns, "prior_difference", "verdict"]].to_string(index=False, float_format=number),
            ]
        dose = amount_text(self.cells, self.first.unit)
        least = amount_text(self.level, self.first.unit)
        lines += [
            "",
            f"Doses of {dose}, looked at until day {self.until:g}; days above count {least} or more.",
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return (
            f"<ProductComparison for {self.case.name}: {self.first.name} and {self.second.name}, {len(self.designs)} designs, "
            f"{len(self.sweeps)} mechanisms; {self.approximation.label}. {self.label}>"
        )


def compare_products(
    source: Source | Sequence[Source] | Mapping[str, Source],
    products: Sequence[str] | None = None,
    *,
    doses: int | Sequence[int] = (4, 8, 12),
    interval: float | Sequence[float] = (7.0, 28.0),
    cells: float | None = None,
    level: float | None = None,
    until: float | None = None,
    history: Schedule | str | None = "case",
    draws: int = 200,
    seed: int = 0,
) -> ProductComparison:
    """Give two products on the same days in the same amounts, and compare how much there is of each, how long, and what it does.

    Parameters
    ----------
    source : Calibration or Posterior, or several of these (a sequence, or a mapping by name)
        One for each mechanism. Give those in which nothing removes one product faster than the other beside those in which something does: where all
        of them fit alike, the difference is the mechanism's and not the data's.
    products : (str, str), optional
        By default those of the case's question about two products, or an autologous and an allogeneic one.
    doses, interval : numbers, one or several
        Every combination is a design: so many doses, so many days apart, the first on day 0.
    cells : float, optional
        Of one dose, in the unit of the products; by default what the case gave first of either.
    level : float, optional
        Below which a product counts as gone, in the same unit; by default a hundredth of a dose.
    until : float, optional
        Last day; by default the last visit, or one interval after the last dose where that is later.
    history : Schedule, None, or "case"
        As for :func:`cellsim.sweep`. Its remains are taken off the areas.
    draws, seed : int
        As for :func:`cellsim.sweep`.

    Returns
    -------
    ProductComparison
        ``.table()``, ``.report()``; :func:`cellsim.plots.products` draws it.

    Raises
    ------
    CellsimError
        For products that the case does not have, of different units or without a quantity that shows them, and levels that are none; all at once.
    ScheduleError
        For designs and days that are none.

    Examples
    --------
    >>> import cellsim as cs
    >>> fit = cs.calibrate(cs.load_case("sjogren_rfib"), starts=1)
    >>> found = cs.compare_products(fit, doses=4, interval=28, draws=20)
    >>> found.first.name, found.second.name, found.designs, found.removal("V2")
    ('rfib', 'ucmsc', ((4, 28.0),), True)
    """
    sources = _by_name(source)
    case = objective_given(next(iter(sources.values())), "compare_products").case
    first, second = _pair(case, products)
    several = [int(each) for each in np.atleast_1d(np.asarray(doses))]
    gaps = [float(each) for each in np.atleast_1d(np.asarray(interval, float))]
    cells = _usual_dose(case, first, second) if cells is None else cells
    level = _LEFT * cells if level is None else level
    if not (is_finite_number(level) and level > 0):
        raise CellsimError(f"level = {level!r}: an amount above zero is needed, in the unit of the products.")
    designs = tuple((count, gap) for gap in gaps for count in several)
    plans = {_NOTHING: Schedule((), case.schedule.products, case.day_zero)}
    for count, gap in designs:
        one = Schedule.every(gap, cells=cells, doses=count, product=first.name, products=case.products, day_zero=case.day_zero)  # fmt: skip
        plans |= {_plan_name(each.name, (count, gap)): one.as_product(each.name) for each in (first, second)}
    if until is None:
        until = max(
            [
                *(count * gap for count, gap in designs),
                *(visit.latest for visit in case.visits),
            ]
        )
    outcome = next(
        (each for each in case.outcomes if not each.chance and measure_of_outcome(each, ()) is not None),
        None,
    )
    sweeps = {}
    for name, each in sources.items():
        model = objective_given(each, "compare_products").model
        measures: list[Measure] = []
        for product in (first, second):
            scale = (
                cells_per_unit(model[product.quantity].unit, dict(model.units))
                if first.unit == "cells"
                else 1.0
            )
            above = f"days_above({product.quantity}, {level / (scale or 1.0)!r})"
            measures += [Area(product.quantity), Formula(above, above, "day")]
        if outcome is not None and (made := measure_of_outcome(outcome, ())) is not None:
            measures.append(made)
        sweeps[name] = sweep(
            each,
            plans,
            until=until,
            measures=measures,
            draws=draws,
            seed=seed,
            history=history,
        )
    areas = {each.asked[0].unit for each in sweeps.values()} | {
        each.asked[2].unit for each in sweeps.values()
    }
    if len(areas) > 1:
        raise CellsimError(
            f"{first.quantity} and {second.quantity} count in different units ({' and '.join(sorted(areas))})."
        )
    return ProductComparison(
        case=case,
        first=first,
        second=second,
        cells=float(cells),
        level=float(level),
        designs=designs,
        until=float(until),
        sweeps=sweeps,
        asked=_asked(next(iter(sweeps.values())), outcome, amount_text(level, first.unit)),
    )


def _asked(result: Sweep, outcome: Outcome | None, least: str) -> tuple[Asked, ...]:
    """What the numbers of either product are."""
    area = Asked("area", "", result.asked[0].unit)
    out = (area, Asked(f"days above {least}", "", "day"))
    return out if outcome is None else (*out, Asked(outcome.label, "", result.asked[4].unit))


def _plan_name(product: str, design: tuple[int, float]) -> str:
    return f"{product}, {design[0]} every {design[1]:g} d"


def _by_name(source: Any) -> dict[str, Any]:
    if isinstance(source, Mapping):
        sources = dict(source)
    else:
        given = list(source) if isinstance(source, Sequence) else [source]
        sources = {getattr(each, "variant", "") or f"number {k}": each for k, each in enumerate(given, 1)}
        if len(sources) < len(given):
            raise CellsimError("two of one mechanism: give them by name, {'mine': posterior, ...}.")
    if not sources:
        raise CellsimError("no posterior is given; give one, or several by mechanism.")
    return sources


def _usual_dose(case: Case, first: Product, second: Product) -> float:
    """The first dose of either product from day 0 on, or else before it."""
    every = (*case.schedule.infusions, *case.history.infusions)
    found = [each.cells for name in (first.name, second.name) for each in every if each.product == name]
    if not found:
        raise CellsimError(
            f"{case.name} gave neither {first.name} nor {second.name}: say how much one dose is, cells=."
        )
    return found[0]


def _pair(case: Case, wanted: Sequence[str] | None) -> tuple[Product, Product]:
    """The two products, and what is wrong with them."""
    known = {each.name: each for each in case.products}
    if wanted is None:
        asked = next((each for each in case.questions if each.kind == "products"), None)
        by_source = {each.source: each.name for each in reversed(case.products)}
        pair = (asked.first, asked.second) if asked is not None else (by_source.get("autologous"), by_source.get("allogeneic"))  # fmt: skip
        names = [each for each in pair if each]
    else:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
    problems = [
        Problem(
            what=f"no product {name!r} in {case.name}.",
            remedy=did_you_mean(str(name), known),
        )
        for name in names
        if name not in known
    ]
    if len(set(names)) != 2 or len(names) != 2:
        problems.append(Problem(what=f"two products are compared, and these are {len(set(names))}.", remedy="Give products=('first', 'second')."))  # fmt: skip
    chosen = [known[name] for name in names if name in known]
    problems += [
        Problem(
            what=f"nothing shows how much of {each.name} there is.",
            remedy="Name a quantity of the model in the column quantity of products.tsv.",
        )
        for each in chosen
        if not each.quantity
    ]
    if len({each.unit for each in chosen}) > 1:
        problems.append(Problem(what=f"doses of {names[0]} are in {chosen[0].unit} and those of {names[1]} in {chosen[1].unit}: they have no amount in common."))  # fmt: skip
    if problems:
        raise CellsimError(problems)
    return chosen[0], chosen[1]


def _ratio(found: Array, before: Array, level: float, *, wanted: bool) -> dict[str, float]:
    out: dict[str, float] = {}
    for draws, prefix in ((found, ""), (before, "prior_")):
        names = [f"{prefix}ratio{each}" for each in ("_low", "", "_high")]
        with np.errstate(divide="ignore", invalid="ignore"):
            each = draws[0] / draws[1] if wanted else np.empty(0)
        each = each[np.isfinite(each)]
        values = (
            np.quantile(each, [(1 - level) / 2, 0.5, (1 + level) / 2]) if each.size else np.full(3, np.nan)
        )
        out |= dict(zip(names, values.tolist(), strict=True))
    return out


def _apart(found: Array, before: Array, level: float) -> dict[str, Any]:
    apart, expected = difference(*found), difference(*before)
    out: dict[str, Any] = {}
    for draws, names in ((apart, ("low", "difference", "high")), (expected, ("prior_low", "prior_difference", "prior_high"))):  # fmt: skip
        values = (
            np.quantile(draws, [(1 - level) / 2, 0.5, (1 + level) / 2]) if draws.size else np.full(3, np.nan)
        )
        out |= dict(zip(names, values.tolist(), strict=True))
    return out | beside_prior(apart, expected)
