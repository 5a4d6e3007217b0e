"""Units as a laboratory writes them: what they mean, whether two agree, and the factor between them.

Cells are a dimension of their own, and so are ``U`` (the arbitrary unit of an assay) and ``IU``:
30 U/mL is never turned into grams, nor a number of cells into moles. A bare number is dimensionless.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache

from cellsim.errors import UnitError

__all__ = ["Factor", "Unit", "conversion_factor", "parse_unit", "unit_factors"]

_PREFIXES = (
    ("femto", "1e-15", "f"),
    ("pico", "1e-12", "p"),
    ("nano", "1e-9", "n"),
    ("micro", "1e-6", "u", "µ", "μ"),
    ("milli", "1e-3", "m"),
    ("centi", "1e-2", "c"),
    ("deci", "1e-1", "d"),
    ("deca", "1e1", "da"),
    ("hecto", "1e2", "h"),
    ("kilo", "1e3", "k"),
    ("mega", "1e6", "M"),
    ("giga", "1e9", "G"),
    ("tera", "1e12", "T"),
)
_DEFINITIONS = (
    # name, meaning, symbol (or _), further names; a small vocabulary of our own, in which U is no enzyme unit and a cell exists
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
    "RU = [relative_unit]",
    "copy = 1 = _ = copies",
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
    "permille = 1e-3 = ‰",
    "ppm = 1e-6",
    "ppb = 1e-9",
    "mmHg = 133.322387415 * pascal",
    "dimensionless_number = [] = _ = dimensionless = fraction = ratio = index",
)
_WORDS = {
    "metre": "length",
    "second": "time",
    "gram": "mass",
    "mole": "amount of substance",
    "cell": "cells",
    "U": "arbitrary units of an assay",
    "IU": "international units",
    "RU": "relative units of an assay",
}
# what laboratories and UCUM call the units and powers of ten above
_SPELT = {
    **{f"mc{unit}": f"u{unit}" for unit in ("g", "gm", "l", "L", "mol", "M", "m", "IU", "iU", "U", "IE", "kat")},
    "cc": "mL", "hrs": "h", "mo": "month", "a": "year", "Mio": "1e6", "mio": "1e6", "Mrd": "1e9", "mrd": "1e9",
    "Tsd": "1e3", "tsd": "1e3", "Gpt": "1e9", "Tpt": "1e12", "Mpt": "1e6",
}  # fmt: skip
# after any prefix: gram as pharmacies write it, the international unit in German, French and Spanish
_SPELT_END = re.compile(r"([munpkM\u00b5\u03bc]?)(?:(gm)|(I[EU]|UI|iU))")
_BRACKETED = {
    "[IU]": "IU", "[iU]": "IU", "[arb'U]": "U", "[ppm]": "ppm", "[ppb]": "ppb", "[ppth]": "1e-3", "[pptr]": "1e-12",
    "m[Hg]": "mHg",
}  # fmt: skip
_OTHERWISE = {
    "E": "E is the German U (Einheit): write U, or IU for an international unit.",
    "gr": "gr may be a grain (64.8 mg) or a gram: write mg or g.",
    "ppt": "ppt may be 1e-3 (thousand) or 1e-12 (trillion): write the number.",
    "TU": "TU may be a tuberculin unit or 1e12 U: write U or '1e12 U'.",
    "Tcell": "Tcell may be a T cell or 1e12 cells: write 'cell' or '1e12 cell'.",
}
"""What has two meanings, and what to write."""
_UNHELD = re.compile(r"[munpkdc]?c?[µμ]?(?:(Eq|eq|EQ|val)|(?:[Oo]sm(?:ol)?))")
_COUNTED = re.compile(r"\s*([GTMKk])\s*/\s*([uµμ]?[lL]|mm\^?3|mm³)\s*")
_COUNTED_OTHERWISE = re.compile(r"\s*([GTMKk])\s*/\s*([munpkdcµμ]?(?:[lL]|m\^?3|m³))\s*")
_COUNTED_CELLS = re.compile(r"(?<!\w)([GMKk])\s+(?=cells?\b)")
_COUNTS = {"G": "1e9", "T": "1e12", "M": "1e6", "K": "1e3", "k": "1e3"}
_LOST_POWER = re.compile(
    # 10^9 without its ^: as 109, or with something else between
    r"(?<![\w.^+-])10(?:[ \t]*[.·×][ \t]+|[ \t]*[·×][ \t]*|[ \t]+[*][ \t]*|[*][ \t]+|[ \t]+|(?=3|6|9|12))([+-]?\d+)"
    r"(?![\d.]|[eE][+-]?\d|\s*(?:\^|\*\*))"
)
_POWER_OF_TEN = re.compile(r"(?<![\w.])10(?:\.0*)?[eE]([+-]?\d+)")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[^\W\d_][^\W_]*(?:_[^\W_]+)*|[%‰])|(?P<mark>\*\*|[*/^()·×.+-]))"
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
def _spellings() -> tuple[dict[str, tuple[float, str]], dict[str, str]]:
    """Size and name of every unit as it may be written, with any prefix or none; what each name means."""
    bare: dict[str, str] = {}
    meaning: dict[str, str] = {}
    for name, said, *others in (each.split(" = ") for each in _DEFINITIONS):
        meaning[name] = said
        bare |= dict.fromkeys((name, *(each for each in others if each != "_")), name)
    prefixes = [
        ("", 1.0),
        *((each, float(size)) for name, size, *more in _PREFIXES for each in (name, *more)),
    ]
    out: dict[str, tuple[float, str]] = {}
    for plural in ("", "s"):
        for prefix, size in prefixes:
            for written, name in bare.items():
                # a letter and an s is no plural
                if not plural or len(written) > 1:
                    out.setdefault(prefix + written + plural, (size, name))
    return out, meaning


@lru_cache(maxsize=4096)
def _meaning(name: str) -> tuple[float, str, Unit]:
    """Prefix, bare name and meaning of one unit name; KeyError where there is none."""
    spelt, meaning = _spellings()
    multiplier, bare = spelt[name]
    said = meaning[bare]
    if said.startswith("["):
        return multiplier, bare, Unit(1.0, ((bare, 1.0),) if said != "[]" else ())
    return multiplier, bare, parse_unit(said)


def _plain(text: str) -> str:
    """A unit as UCUM or a laboratory writes it, in the notation read here."""
    plain = re.sub(
        r"([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", lambda m: "^" + m[1].translate(_SUPERSCRIPTS), _counts(text).replace("−", "-")
    )
    # analysers print x10E9/L for x 10^9/L; without the x it may be the number 10e9
    plain = re.sub(r"^\s*[xX×*]\s*10[eE]([+-]?\d+)", r"10^(\1)", plain)
    plain = re.sub(r"^\s*[xX×*]\s*(?=1)", "", plain)
    if unclear := _POWER_OF_TEN.search(plain):
        power = int(unclear[1])
        raise UnitError(
            f"{text!r}: {unclear[0]} may be 10^{power} or 10 times that. Write 10^{power} or 1e{power} for the one, "
            f"1e{power + 1} for the other."
        )
    plain = re.sub(r"(?<![\d.])10\s*(?:\*?\s*\(\s*([+-]?\d+)\s*\)|\^?\{([+-]?\d+)\})", r"10^(\1\2)", plain)
    # UCUM: 10*9 and 10^9 are powers; what stands in braces only comments, unless it is what is counted or an area
    plain = re.sub(r"(?<![\d.])10\*(?!\*)([+-]?\d+)", r"10^(\1)", plain)
    plain = re.sub(r"\{\s*cells?\s*\}", "cell", plain, flags=re.IGNORECASE)
    plain = re.sub(r"\{\s*1\.73[_ ]*(?:m\^?2|m\*\*2|sq[._ ]*m)[^}]*\}", "(1.73 m^2)", plain)
    plain = re.sub(r"(?<=[\w%\])])\{[^{}]*\}", "", plain)
    plain = re.sub(r"\{[^{}]*\}|(?<!\w)#(?!\w)", "dimensionless", plain)
    if lost := _LOST_POWER.search(plain):
        raise UnitError(
            f"{text!r} says {lost[0]}; write 10^{lost[1]} if a power of ten is meant, "
            f"{lost[0] + '.0' if lost[0].isdigit() else 'the product itself'} if not."
        )
    for written, meant in _BRACKETED.items():
        plain = plain.replace(written, meant)
    if "[" in plain:
        raise UnitError(
            f"{text!r}: what stands in brackets is not known. Known: {', '.join(sorted(_BRACKETED))}; an arbitrary unit of an "
            "assay is U."
        )
    plain = re.sub(r"\b(Tsd|tsd|Mio|mio|Mrd|mrd)\.", r"\1 ", plain)
    plain = re.sub(r"_per_|\bper\b", "/", re.sub(r"^\s*per[_ ]", "1/", plain))
    return re.sub(r"^\s*/", "1/", plain).strip()


def _counts(text: str) -> str:
    """Numbers of cells as letters, written out: ``G/l``, ``T/l``, ``K/uL``, ``M cells``."""
    counted = _COUNTED.fullmatch(text)
    if counted and (counted[1] in "GT" or counted[2] not in "lL"):
        return f"{_COUNTS[counted[1]]}/{counted[2]}"
    if unclear := _COUNTED_OTHERWISE.fullmatch(text):
        letter, volume = unclear[1], unclear[2]
        unit = {"M": " M alone is molar.", "K": " K alone is kelvin.", "T": " T alone is tesla."}.get(
            letter, ""
        )
        count = _COUNTS[letter]
        raise UnitError(
            f"{text!r} is not read:{unit} Write '{count}/{volume}' if a count in {volume} is meant."
        )
    return _COUNTED_CELLS.sub(lambda m: f"{_COUNTS[m[1]]} ", text)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    plain = _plain(text)
    at = 0
    while at < len(plain):
        match = _TOKEN.match(plain, at)
        if match is None:
            raise UnitError(f"{text!r} is not a unit: {plain[at:].strip()!r} has no meaning in it.")
        yield str(match.lastgroup), match[match.lastgroup or 0]
        at = match.end()


def _hint(word: str) -> str:
    """What exists. A name with another prefix is never suggested: it would be some power of ten off."""
    known = [part.split(" = ")[0] for part in _DEFINITIONS]
    # a word spelt out, begun with the same letter, is no other prefix
    near = (
        [each for each in (*known, "Mcell") if len(each) > 3 and each[0] == word[0]] if len(word) > 3 else []
    )
    close = get_close_matches(word, near, n=1, cutoff=0.7)
    if close and _likeness(word, close[0]) > _likeness(word[1:], close[0]):
        return f"Did you mean {close[0]!r}?"
    case = "Upper and lower case differ: m is milli, M is mega. " * (
        _known(word.lower()) or _known(word.swapcase())
    )
    return f"{case}Known: {', '.join(sorted(known))}, with prefixes from f to T."


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _known(word: str) -> bool:
    try:
        _meaning(word)
    except KeyError:
        return False
    return True


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
        while mark := self.take("*", "·", "×", ".", "/"):
            sign = -1.0 if mark == "/" else 1.0
            factors += [Factor(f.multiplier, f.name, sign * f.exponent) for f in self.neighbours()]
        return factors

    def neighbours(self) -> list[Factor]:
        before = self.tokens[0][0]
        factors = self.power()
        while (kind := self.tokens[0][0]) in ("number", "name") or self.tokens[0] == ("mark", "("):
            if self._lone_number(before):
                raise UnitError(
                    f"{self.text!r}: a number stands beside what precedes it, which is neither a product nor a power "
                    "for certain. Write ^ for a power (10^9, m^2), * for a product."
                )
            before = kind
            factors += self.power()
        return factors

    def _lone_number(self, before: str) -> bool:
        """Whether a number follows that may be a power: beside a number, in parentheses, or with no unit behind it."""
        bracket = self.tokens[0] == ("mark", "(")
        number, *rest = self.tokens[1:] if bracket else self.tokens
        if number[0] != "number":
            return False
        return before == "number" or rest[0] == ("mark", ")") or not (bracket or rest[0][0] == "name")

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
            factors = self.named(word)
        else:
            raise self.refuse()
        # UCUM writes s-1 for s^-1
        signed = self.tokens[0] in (("mark", "-"), ("mark", "+")) and self.tokens[1][0] == "number"
        if (kind == "name" and signed) or self.take("^", "**"):
            exponent = self.exponent()
            factors = [Factor(f.multiplier, f.name, f.exponent * exponent) for f in factors]
        return factors

    def named(self, word: str) -> list[Factor]:
        """One name; digits at its end are a power, as in ``m2``."""
        word = _SPELT.get(word, word)
        if spelt := _SPELT_END.fullmatch(word):
            word = spelt[1] + ("g" if spelt[2] else "IU")
        if said := _OTHERWISE.get(word.removesuffix("s") if word == "Tcells" else word):
            raise UnitError(f"{self.text!r}: {said}")
        if word[0].isdigit():
            return [Factor(float(word), "dimensionless_number")]
        if (unheld := _UNHELD.fullmatch(word)) and not _known(word):
            why = (
                "an equivalent is a mole divided by the charge of the ion (1 mmol of calcium is 2 mEq)"
                if unheld[1]
                else "an osmole counts the particles of a mole"
            )
            raise UnitError(
                f"{self.text!r}: {word} says nothing by itself, for {why}. Convert the values to mmol."
            )
        if (power := re.fullmatch(r"([^\W\d]+)(\d{1,2})", word)) and not _known(word):
            return [Factor(f.multiplier, f.name, f.exponent * float(power[2])) for f in self.named(power[1])]
        try:
            multiplier, bare, _ = _meaning(word)
        except KeyError:
            raise UnitError(f"{self.text!r}: unknown unit {word!r}. {_hint(word)}") from None
        return [Factor(multiplier, bare)]

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
        ``"Mcell"`` (1e6 cells), ``"1e6 cell"``, ``"m^2"``; or as UCUM writes it: ``"10*9/L"``, ``"s-1"``,
        ``"m2"``, ``"ng.mL-1"``, ``"/min"``, ``"[iU]/mL"``, ``"{cells}/uL"``. A number that may be
        a power (``"10 9/L"``, ``"109/L"``, ``"10E9/L"``) is refused; ``"10(9)/L"`` and ``"x10E9/L"`` are 10^9/L. What stands side by side binds tighter than
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
