"""A patient's weight and height, and what a dose per kilogram or per square metre comes to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cellsim.errors import Problem, ScheduleError, is_finite_number

__all__ = ["Body"]

_PER_WEIGHT = ("kg",)
_PER_SURFACE = ("m^2", "m2", "m\N{SUPERSCRIPT TWO}", "m**2")
# a newborn and the heaviest and tallest who lived: beyond them a unit is wrong
_WEIGHTS, _HEIGHTS = (0.3, 650.0), (20.0, 280.0)


@dataclass(frozen=True)
class Body:
    """Weight and height of a patient.

    Parameters
    ----------
    weight : float, optional
        In kg.
    height : float, optional
        In cm.

    Raises
    ------
    ScheduleError
        For what no body weighs or measures.

    Examples
    --------
    >>> Body(weight=70, height=175).amount(7.5, "mg/kg")
    (525.0, 'mg')
    """

    weight: float | None = None
    height: float | None = None

    def __post_init__(self) -> None:
        problems = [
            Problem(what=f"{name} = {value!r}: a number in {unit} is needed, {low:g} to {high:g}.")
            for name, value, unit, (low, high) in (
                ("weight", self.weight, "kg", _WEIGHTS), ("height", self.height, "cm", _HEIGHTS)
            )
            if value is not None and not (is_finite_number(value) and low <= value <= high)
        ]  # fmt: skip
        if problems:
            raise ScheduleError(problems)

    def __str__(self) -> str:
        said = [f"{self.weight:g} kg" if self.weight else "", f"{self.height:g} cm" if self.height else ""]
        return " and ".join(filter(None, said)) or "a body of unknown size"

    @property
    def surface(self) -> float | None:
        """Body surface in m^2 by Mosteller (1987, N Engl J Med 317:1098): sqrt(height in cm x weight in kg / 3600).

        None where weight or height is not known.

        Examples
        --------
        >>> Body(weight=80, height=180).surface
        2.0
        """
        if self.weight is None or self.height is None:
            return None
        return math.sqrt(self.height * self.weight / 3600)

    def amount(self, dose: float, unit: str) -> tuple[float, str]:
        """What a dose in `unit` comes to for this body, and its unit; a unit per nothing is left as it is.

        Parameters
        ----------
        dose : float
        unit : str
            ``"mg/kg"``, ``"mg/m^2"``, ``"1e6 cells/kg"``, ...

        Raises
        ------
        ScheduleError
            Where weight or height is not known, and for doses per anything else.
        """
        plain, sign, per = (each.strip() for each in unit.rpartition("/"))
        if not sign:
            return dose, unit
        if per in _PER_WEIGHT:
            if self.weight is None:
                raise ScheduleError(f"the dose is in {unit}, and the weight of the patient is not known.")
            return dose * self.weight, plain
        if per in _PER_SURFACE:
            if self.surface is None:
                lacking = " and ".join(name for name in ("weight", "height") if getattr(self, name) is None)
                raise ScheduleError(f"the dose is in {unit}, and the {lacking} of the patient is not known.")
            return dose * self.surface, plain
        raise ScheduleError(f"the dose is in {unit}; doses per kg and per m^2 are known.")
