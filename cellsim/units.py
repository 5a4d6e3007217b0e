"""Units as a laboratory writes them: what they mean, whether two agree, and the factor between them.

Cells are a dimension of their own, and so are ``U`` (the arbitrary unit of an assay) and ``IU``:
30 U/mL is never turned into grams, nor a number of cells into moles. A bare number is dimensionless.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cellsim.errors import UnitError, did_you_mean

__all__ = ["Factor", "Unit", "conversion_factor", "parse_unit", "unit_factors"]

_PREFIXES = (
    ("femto", "1e-15", "f"),
    ("pico", "1e-12", "p"),
    ("nano", "1e-9", "n"),
    ("micro", "1e-6", "u", "µ", "μ"),
    ("milli", "1e-3", "m"),
    ("centi", "1e-2", "c"),
    ("deci", "1e-1", "d"),
    ("kilo", "1e3", "k"),
    ("mega", "1e6", "M"),
    ("giga", "1e9", "G"),
)
_DEFINITIONS = (
    # a small vocabulary of our own: in pint's, U is an enzyme unit and a cell does not exist
    "metre = [length] = m = meter",
    "second = [time] = s = sec",
    "gram = [mass] = g",
    "mole = [substance] = mol",
    "kelvin = [temperature] = K",
    "ampere = [current] = A",
    "candela = [luminosity] = cd",
    "cell = [cell_count] = _ = item",
    "U = [arbitrary_unit] = _ = AU",
    "IU = [international_unit]",
    "litre = 1e-3 * metre ** 3 = L = l = liter",
    "minute = 60 * second = min",
    "hour = 3600 * second = h = hr",
    "day = 86400 * second = d",
    "week = 604800 * second = wk",
    "month = 2629800 * second",
    "year = 31557600 * second = yr",
    "molar = mole / litre = M",
    "dalton = 1.66053906892e-24 * gram = Da",
    "newton = 1000 * gram * metre / second ** 2 = N",
    "joule = 1000 * gram * metre ** 2 / second ** 2 = J",
    "pascal = 1000 * gram / metre / second ** 2 = Pa",
    "watt = 1000 * gram * metre ** 2 / second ** 3 = W",
    "hertz = 1 / second = Hz",
    "becquerel = 1 / second = Bq",
    "gray = metre ** 2 / second ** 2 = Gy",
    "sievert = metre ** 2 / second ** 2 = Sv",
    "coulomb = ampere * second = C",
    "volt = 1000 * gram * metre ** 2 / second ** 3 / ampere = V",
    "farad = 1e-3 * ampere ** 2 * second ** 4 / gram / metre ** 2 = F",
    "henry = 1000 * gram * metre ** 2 / second ** 2 / ampere ** 2 = H",
    "ohm = 1000 * gram * metre ** 2 / second ** 3 / ampere ** 2",
    "siemens = 1e-3 * ampere ** 2 * second ** 3 / gram / metre ** 2 = S",
    "tesla = 1000 * gram / second ** 2 / ampere = T",
    "weber = 1000 * gram * metre ** 2 / second ** 2 / ampere = Wb",
    "lumen = candela = lm",
    "lux = candela / metre ** 2 = lx",
    "radian = 1 = rad",
    "steradian = 1 = sr",
    "avogadro = 6.02214076e23",
    "katal = mole / second = kat",
    "percent = 1e-2 = %",
    "dimensionless_number = 1 = _ = dimensionless = fraction = ratio",
)
_WORDS = {
    "metre": "length",
    "second": "time",
    "gram": "mass",
    "mole": "amount of substance",
    "cell": "cells",
    "U": "arbitrary units of an assay",
    "IU": "international units",
}
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[^\W\d_][^\W_]*(?:_[^\W_]+)*|%)|(?P<mark>\*\*|[*/^()·×+-]))"
)
_LONGEST = 120


@dataclass(frozen=True)
class Factor:
    """One factor of a unit: ``(multiplier * name) ** exponent``, `name` without prefix (``"gram"``)."""

    multiplier: float
    name: str
    exponent: float = 1.0


@dataclass(frozen=True)
class Unit:
    """What a unit means: `factor` times powers of metre, second, gram, mole, cell, U, ...

    Parameters
    ----------
    factor : float
        Size in the base units.
    dimensions : tuple of (str, float)
        Base units and their exponents, sorted, none of them 0.

    Examples
    --------
    >>> parse_unit("mm/h") == parse_unit("m/h") * parse_unit("0.001")
    True
    """

    factor: float = 1.0
    dimensions: tuple[tuple[str, float], ...] = ()

    def __mul__(self, other: Unit) -> Unit:
        total = dict(self.dimensions)
        for name, exponent in other.dimensions:
            total[name] = total.get(name, 0.0) + exponent
        kept = tuple(sorted((name, e) for name, e in total.items() if abs(e) > 1e-12))
        return Unit(self.factor * other.factor, kept)

    def __pow__(self, exponent: float) -> Unit:
        return Unit(self.factor**exponent, tuple((n, e * exponent) for n, e in self.dimensions if exponent))

    def __truediv__(self, other: Unit) -> Unit:
        return self * other**-1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Unit):
            return NotImplemented
        return self.dimensions == other.dimensions and math.isclose(self.factor, other.factor, rel_tol=1e-9)

    def __hash__(self) -> int:
        return hash(self.dimensions)

    def without(self, *names: str) -> Unit:
        """The unit with these base units counted as plain numbers."""
        return Unit(self.factor, tuple((n, e) for n, e in self.dimensions if n not in names))


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint

    registry: Any = pint.UnitRegistry(None)
    for name, size, *symbols in _PREFIXES:
        registry.define(f"{name}- = {size} = " + " = ".join(f"{symbol}-" for symbol in symbols))
    for definition in _DEFINITIONS:
        registry.define(definition)
    return registry


@lru_cache(maxsize=4096)
def _meaning(name: str) -> tuple[float, str, Unit]:
    """Prefix, bare name and meaning of one unit name."""
    found = _registry().parse_unit_name(name)
    if not found:
        raise KeyError(name)
    prefix, bare, _ = found[0]
    factor, base = _registry().get_root_units(bare)
    multiplier = float(dict((each[0], each[1]) for each in _PREFIXES).get(prefix, "1"))
    dimensions = tuple(sorted((str(each), float(power)) for each, power in base._units.items()))
    return multiplier, bare, Unit(float(factor), dimensions)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    plain = re.sub(r"([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", lambda m: "^" + m[1].translate(_SUPERSCRIPTS), text)
    plain = re.sub(r"_per_|\bper\b", "/", re.sub(r"^\s*per[_ ]", "1/", plain)).strip()
    at = 0
    while at < len(plain):
        match = _TOKEN.match(plain, at)
        if match is None:
            raise UnitError(f"{text!r} is not a unit: {plain[at:].strip()!r} has no meaning in it.")
        yield str(match.lastgroup), match[match.lastgroup or 0]
        at = match.end()


class _Reader:
    """Products and quotients of powers; what stands side by side binds tighter than ``/``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [*_tokens(text), ("end", "")]

    def refuse(self) -> UnitError:
        seen = self.tokens[0][1]
        return UnitError(
            f"{self.text!r} is not a unit: {repr(seen) if seen else 'something'} is missing or misplaced."
        )

    def take(self, *marks: str) -> str:
        if self.tokens[0][0] == "mark" and self.tokens[0][1] in marks:
            return self.tokens.pop(0)[1]
        return ""

    def product(self) -> list[Factor]:
        factors = self.neighbours()
        while mark := self.take("*", "·", "×", "/"):
            sign = -1.0 if mark == "/" else 1.0
            factors += [Factor(f.multiplier, f.name, sign * f.exponent) for f in self.neighbours()]
        return factors

    def neighbours(self) -> list[Factor]:
        factors = self.power()
        while self.tokens[0][0] in ("number", "name") or self.tokens[0] == ("mark", "("):
            factors += self.power()
        return factors

    def power(self) -> list[Factor]:
        kind, word = self.tokens[0]
        if self.take("("):
            factors = self.product()
            if not self.take(")"):
                raise self.refuse()
        elif kind == "number":
            self.tokens.pop(0)
            factors = [Factor(float(word), "dimensionless_number")]
        elif kind == "name":
            self.tokens.pop(0)
            try:
                multiplier, bare, _ = _meaning(word)
            except KeyError:
                known = [part.split(" = ")[0] for part in _DEFINITIONS] + [
                    "mL",
                    "pg",
                    "mg",
                    "min",
                    "h",
                    "Mcell",
                    "%",
                ]
                raise UnitError(
                    f"{self.text!r}: unknown unit {word!r}. {did_you_mean(word, known)}"
                ) from None
            factors = [Factor(multiplier, bare)]
        else:
            raise self.refuse()
        if self.take("^", "**"):
            exponent = self.exponent()
            factors = [Factor(f.multiplier, f.name, f.exponent * exponent) for f in factors]
        return factors

    def exponent(self) -> float:
        bracket = self.take("(")
        sign = -1.0 if self.take("-", "+") == "-" else 1.0
        kind, word = self.tokens.pop(0)
        if kind != "number" or float(word) > 24 or (bracket and not self.take(")")):
            raise UnitError(f"{self.text!r} is not a unit: an exponent is a small number, as in m^2 or s^-1.")
        return sign * float(word)


@lru_cache(maxsize=4096)
def unit_factors(text: str) -> tuple[Factor, ...]:
    """The factors a unit is written with, in their order.

    Parameters
    ----------
    text : str
        For instance ``"pg/mL"``.

    Returns
    -------
    tuple of Factor

    Raises
    ------
    UnitError
        The text is no unit; the message says which part is not known.

    Examples
    --------
    >>> [(each.multiplier, each.name, each.exponent) for each in unit_factors("pg/mL")]
    [(1e-12, 'gram', 1.0), (0.001, 'litre', -1.0)]
    """
    if len(text) > _LONGEST:
        raise UnitError(f"A unit of {len(text)} characters is not read: {text[:40]!r}...")
    if not text.strip():
        raise UnitError("An empty unit. Write 'dimensionless' for a pure number.")
    reader = _Reader(text)
    factors = reader.product()
    if reader.tokens[0][0] != "end":
        raise reader.refuse()
    return tuple(factors)


@lru_cache(maxsize=4096)
def parse_unit(text: str) -> Unit:
    """What a unit means.

    Parameters
    ----------
    text : str
        A product of powers with SI prefixes: ``"pg/mL"``, ``"mm/h"``, ``"U/mL"``, ``"%"``, ``"1/day"``,
        ``"Mcell"`` (1e6 cells), ``"1e6 cell"``, ``"m^2"``. What stands side by side binds tighter than
        ``/``, so ``"1/86400 second"`` is a frequency.

    Returns
    -------
    Unit

    Raises
    ------
    UnitError
        The text is no unit; the message says which part is not known.

    Examples
    --------
    >>> parse_unit("Mcell") == parse_unit("1e6 cell")
    True
    >>> parse_unit("%").factor
    0.01
    """
    whole = Unit()
    for factor in unit_factors(text):
        whole *= (Unit(factor.multiplier) * _meaning(factor.name)[2]) ** factor.exponent
    if not (math.isfinite(whole.factor) and whole.factor > 0):
        raise UnitError(f"{text!r} is not a unit: its size is {whole.factor:g}.")
    return whole


def _in_words(unit: Unit) -> str:
    said = [
        _WORDS.get(name, name) + (f"^{exponent:g}" if exponent != 1 else "")
        for name, exponent in unit.dimensions
    ]
    return " x ".join(said) or "a pure number"


def conversion_factor(given: str, wanted: str) -> float:
    """The number by which a value in one unit is multiplied to stand in another.

    Parameters
    ----------
    given, wanted : str
        Two units of one kind.

    Returns
    -------
    float

    Raises
    ------
    UnitError
        The two are not of one kind; the message says what each of them measures.

    Examples
    --------
    >>> conversion_factor("g/L", "mg/dL")
    100.0
    >>> conversion_factor("Mcell", "cell")
    1000000.0
    """
    one, other = parse_unit(given), parse_unit(wanted)
    if one.dimensions != other.dimensions:
        raise UnitError(
            f"{given!r} cannot be turned into {wanted!r}: "
            f"the first measures {_in_words(one)}, the second {_in_words(other)}."
        )
    ratio = one.factor / other.factor
    # 1e-12 g / 1e-9 g and the like are decimal ratios; say 0.001, not 0.0009999999999999998
    rounded = float(f"{ratio:.14g}")
    return rounded
