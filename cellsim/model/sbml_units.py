"""Units between SBML, which knows only base kinds, and the text a laboratory writes.

SBML has no cells and no arbitrary units: cells travel as ``item``, U and IU as ``dimensionless``, and
the unit's display name (or its identifier, ``U_per_mL``) brings them back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from cellsim.errors import UnitError
from cellsim.units import Factor, Unit, parse_unit, unit_factors

__all__ = ["KINDS", "base_factors", "definition_text", "identifier", "text_of_definition"]

_WORDS = (
    "ampere avogadro becquerel candela coulomb dimensionless farad gram gray henry hertz item joule "
    "katal kelvin kilogram litre lumen lux metre mole newton ohm pascal radian second siemens sievert "
    "steradian tesla volt watt weber"
)
KINDS = frozenset(_WORDS.split())
"""The units that every SBML model knows without defining them."""

_SYMBOLS = {"gram": "g", "litre": "L", "metre": "m", "second": "s", "mole": "mol", "item": "cell"}
_TIMES = {60.0: "min", 3600.0: "h", 86400.0: "day", 604800.0: "week"}
_PREFIXES = {1e-15: "f", 1e-12: "p", 1e-9: "n", 1e-6: "u", 1e-3: "m", 1.0: "", 1e3: "k", 1e6: "M", 1e9: "G"}
_LOST = ("U", "IU", "cell")


def _near(number: float, known: Iterable[float]) -> float | None:
    return next((each for each in known if abs(number / each - 1) < 1e-9), None)


def _factor_text(kind: str, multiplier: float) -> str:
    if kind == "kilogram":
        kind, multiplier = "gram", multiplier * 1e3
    if kind == "dimensionless":
        return "%" if _near(multiplier, [0.01]) else f"{multiplier:.12g}"
    if kind == "second" and (time := _near(multiplier, _TIMES)) is not None:
        return _TIMES[time]
    prefix = _near(multiplier, _PREFIXES)
    if kind in _SYMBOLS and prefix is not None:
        return _PREFIXES[prefix] + _SYMBOLS[kind]
    name = "cell" if kind == "item" else kind
    return name if _near(multiplier, [1.0]) else f"({multiplier:.12g} {name})"


def _composed(factors: Iterable[tuple[str, float, float]]) -> str:
    above: list[str] = []
    below: list[str] = []
    for kind, multiplier, exponent in factors:
        text = _factor_text(kind, multiplier)
        power = f"^{abs(exponent):g}" if abs(exponent) != 1 else ""
        (above if exponent > 0 else below).append(text + power)
    above = [text for text in above if text != "1" or len(above) == 1]
    below = [text for text in below if text != "1"]
    text = "*".join(above) or "1"
    text = text[1:-1] if text.startswith("(") and text.endswith(")") and text.count("(") == 1 else text
    return text + "".join(f"/{each}" for each in below) if above or below else "dimensionless"


def text_of_definition(definition: Any) -> str:
    """The readable text of an SBML unit definition.

    Parameters
    ----------
    definition : libsbml.UnitDefinition
        Its display name is used when it says the same, then its identifier, then its factors.

    Returns
    -------
    str
        Text that `cellsim.units.parse_unit` reads.
    """
    import libsbml

    factors = []
    for unit in definition.getListOfUnits():
        multiplier = unit.getMultiplier() * 10.0 ** unit.getScale()
        factors.append((libsbml.UnitKind_toString(unit.getKind()), multiplier, unit.getExponentAsDouble()))
    meaning = Unit()
    for kind, multiplier, exponent in factors:
        meaning *= (Unit(multiplier) * parse_unit(kind)) ** exponent
    for candidate in (definition.getName(), definition.getId()):
        try:
            said = parse_unit(candidate)
        except UnitError:
            continue
        if meaning in (said, said.without("U", "IU"), said.without(*_LOST)):
            text = (
                candidate if "_" not in candidate else re.sub(r"_per_", "/", re.sub("^per_", "1/", candidate))
            )
            return "%" if text == "percent" else text
    text = _composed(factors)
    return "dimensionless" if text == "1" else text


def definition_text(text: str) -> str:
    """A unit spelled out in base kinds: ``"Mcell"`` is ``"1e+06 cell"``."""
    return " * ".join(
        (f"{multiplier:g} " if multiplier != 1 else "")
        + ("cell" if kind == "item" else kind)
        + (f"^{exponent:g}" if exponent != 1 else "")
        for kind, multiplier, exponent in base_factors(text)
    )


def base_factors(text: str) -> list[tuple[str, float, float]]:
    """A unit as SBML holds it.

    Parameters
    ----------
    text : str
        A unit, e.g. ``"pg/mL"``.

    Returns
    -------
    list of (kind, multiplier, exponent)
        The product of ``(multiplier * kind) ** exponent``.

    Examples
    --------
    >>> base_factors("U/mL")
    [('dimensionless', 1.0, 1.0), ('litre', 0.001, -1.0)]
    """
    found: list[tuple[str, float, float]] = []
    for factor in unit_factors(text):
        found += _in_kinds(factor)
    # plain numbers beside other kinds are folded away when they are 1
    kept = [each for each in found if each != ("dimensionless", 1.0, 1.0)]
    lost = any(factor.name in ("U", "IU") for factor in unit_factors(text))
    return kept if kept and not lost else found or [("dimensionless", 1.0, 1.0)]


def _in_kinds(factor: Factor) -> list[tuple[str, float, float]]:
    name = {
        "cell": "item",
        "U": "dimensionless",
        "IU": "dimensionless",
        "dimensionless_number": "dimensionless",
    }.get(factor.name, factor.name)
    if name in KINDS:
        return [(name, factor.multiplier, factor.exponent)]
    meaning = parse_unit(factor.name)
    size = factor.multiplier * meaning.factor
    if not meaning.dimensions:
        return [("dimensionless", size, factor.exponent)]
    (first, power), *rest = meaning.dimensions
    parts = [(first, size ** (1 / power), power * factor.exponent)]
    parts += [(each, 1.0, power * factor.exponent) for each, power in rest]
    return [
        ("item" if kind == "cell" else kind, multiplier, exponent) for kind, multiplier, exponent in parts
    ]


def identifier(text: str, units: Mapping[str, str], taken: Iterable[str]) -> str:
    """An SBML unit identifier for a unit text: the file's own if it has one, else a made one."""
    if text in units:
        return text
    for name, definition in units.items():
        if definition == text:
            return name
    if text in KINDS or text == "cell":
        return "item" if text == "cell" else text
    made = "percent" if text == "%" else re.sub(r"^1/", "per_", text.replace(" ", "_")).replace("/", "_per_")
    made = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9_]", "_", made)).strip("_") or "unit"
    made = made if made[0].isalpha() and made not in KINDS else f"unit_{made}"
    while made in taken or made in units:
        made += "_unit"
    return made
