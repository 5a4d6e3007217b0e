"""Units mean what a laboratory means by them."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellsim import units
from cellsim.errors import UnitError
from cellsim.units import Unit, conversion_factor, parse_unit

# factor between two ways of writing one thing: (given, wanted, factor), each from its SI definition
CONVERSIONS = [
    ("pg/mL", "ng/L", 1.0),
    ("g/L", "mg/dL", 100.0),
    ("mg/L", "ug/mL", 1.0),
    ("mm/h", "m/s", 1e-3 / 3600),
    ("Mcell", "cell", 1e6),
    ("Mcell", "1e6 cells", 1.0),
    ("50e6 cell", "Mcell", 50.0),
    ("10^6 cells/kg", "cell/g", 1e3),
    ("1/day", "1/h", 1 / 24),
    ("per_day", "week^-1", 7.0),
    ("1/86400 second", "1/day", 1.0),
    ("1e6 item / 86400 second", "Mcell/day", 1.0),
    ("pg_per_mL", "pg/mL", 1.0),
    ("pg per mL", "pg/mL", 1.0),
    ("µg", "ug", 1.0),
    ("m²", "m^2", 1.0),
    ("%", "dimensionless", 0.01),
    ("U/mL", "kU/L", 1.0),
    ("year", "day", 365.25),
    ("kg*m^2/s^2", "J", 1.0),
    ("M", "mol/L", 1.0),
    ("mL/min/1.73 m^2", "mL/(min*1.73*m^2)", 1.0),
]


@pytest.mark.parametrize(("given_unit", "wanted", "factor"), CONVERSIONS)
def test_conversion_matches_the_si_definitions(given_unit: str, wanted: str, factor: float) -> None:
    assert conversion_factor(given_unit, wanted) == pytest.approx(factor, rel=1e-12)


# UCUM (ucum.org, version 2.1) and what laboratories write, each with its meaning in numbers
WRITTEN = [
    ("10*9/L", "1e9/L", 1), ("10^9/L", "1/L", 1e9), ("10*3/uL", "1e9/L", 1), ("10*6/L", "1e6/L", 1),
    ("10*-3", "dimensionless", 1e-3), ("x10^9/L", "1e9/L", 1), ("x 10^9/L", "1e9/L", 1), ("×10⁹/L", "1e9/L", 1),
    ("*10^9/L", "1e9/L", 1), ("10*9.L-1", "1e9/L", 1), ("10*12/L", "1e6/uL", 1), ("mcg/L", "ug/L", 1),
    ("mcg/mL", "mg/L", 1), ("{cells}/uL", "cells/uL", 1), ("{Cells}/uL", "1e6 cells/L", 1), ("{copies}/mL", "1/mL", 1),
    ("#/uL", "1e6/L", 1), ("[IU]/mL", "IU/mL", 1), ("m[iU]/L", "IU/mL", 1e-6), ("k[IU]/L", "IU/mL", 1),
    ("mmol/mol{Cr}", "mmol/mol", 1), ("ug/mL{FEU}", "mg/L", 1), ("m2", "m^2", 1), ("s-1", "1/s", 1), ("/min", "1/min", 1),
    ("ng.mL-1", "ug/L", 1), ("kg/m2", "kg/m^2", 1), ("kg.m/s2", "N", 1), ("mg.kg-1.d-1", "mg/kg/day", 1), ("g/L.h", "g*h/L", 1),
    ("/mm3", "1/uL", 1), ("/nL", "1e9/L", 1), ("G/l", "1e9/L", 1), ("T/l", "1e12/L", 1), ("Gpt/l", "1e9/L", 1), ("K/uL", "1e9/L", 1),
    ("M/µL", "1e12/L", 1), ("Mio/l", "1e6/L", 1), ("Tsd/µl", "1e9/L", 1), ("Tsd/μl", "1e9/L", 1), ("‰", "%", 0.1), ("mm[Hg]", "Pa", 133.322387415),
    ("s−1", "Hz", 1), ("mL/min/{1.73_m2}", "mL/min/1.73m2", 1), ("mL/min/1.73m2", "mL/min/m2", 1 / 1.73), ("M", "mmol/L", 1e3),
    ("copies/mL", "1/mL", 1), ("RU/mL", "RU/L", 1e3), ("kRU/L", "RU/mL", 1), ("index", "dimensionless", 1),
    ("10(9)/L", "1e9/L", 1), ("X10(9)/L", "1e9/L", 1), ("10*(9)/L", "1e9/L", 1), ("10^{9}/L", "1e9/L", 1), ("10{9}/L", "1e9/L", 1),
    ("10(6) cells", "Mcell", 1), ("ng/10(6) cells", "ng/Mcell", 1), ("5·10^6 cells", "Mcell", 5), ("10 × 10⁶ cells", "Mcell", 10),
    ("x10E9/L", "1e9/L", 1), ("X 10e+03/uL", "1e9/L", 1), ("×10E12/L", "1e12/L", 1), ("10 {copies}/mL", "1/mL", 10),
    ("10^9 #/L", "1e9/L", 1), ("109.0/L", "1/L", 109), ("M cells", "Mcell", 1), ("ng/M cells", "ng/Mcell", 1), ("mL/min 1.73 m2", "mL/min/1.73m2", 1),
    ("gm/dL", "g/L", 10), ("mgm", "mg", 1), ("mcIU/mL", "mIU/L", 1), ("mcU/mL", "mU/L", 1), ("daL", "L", 10), ("hPa", "Pa", 100), ("Tg", "g", 1e12),
    ("IE/mL", "IU/mL", 1), ("kIE/L", "IU/mL", 1), ("µIE/mL", "mIU/L", 1), ("UI/L", "IU/L", 1), ("Tsd./µl", "1e9/L", 1), ("Mio./µl", "1e12/L", 1),
    ("Mrd./l", "1e9/L", 1), ("[ppm]", "ppm", 1), ("[pptr]", "ppb", 1e-3), ("[arb'U]/mL", "U/mL", 1), ("k[arb'U]/L", "U/mL", 1), ("dag", "g", 10),
    ("Mg", "mg", 1e9), ("mIU/L", "uIU/mL", 1), ("ug/24h", "ug/day", 1), ("10*3.{cells}/uL", "1e9 cells/L", 1),
]  # fmt: skip


@pytest.mark.parametrize(("given_unit", "wanted", "factor"), WRITTEN)
def test_what_ucum_and_laboratories_write_means_what_they_mean(
    given_unit: str, wanted: str, factor: float
) -> None:
    assert conversion_factor(given_unit, wanted) == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize(
    ("given_unit", "wanted", "said"),
    [
        ("mEq/L", "mmol/L", "charge"),
        ("µval/L", "umol/L", "charge"),
        ("mosm/kg", "mmol/kg", "particles"),
        ("mL/min/1.73m2", "mL/min", "cannot be turned"),
        ("mL/min/{1.73_m2}", "mL/min", "cannot be turned"),
        ("U/mL", "[iU]/mL", "cannot be turned"),
        ("109/L", "1e9/L", r"write 10\^9"),
        ("x1012/L", "1e12/L", r"write 10\^12"),
        ("MG/L", "mg/L", "m is milli, M is mega"),
        ("{cells/uL", "cells/uL", "no meaning"),
        ("10 9/L", "1e9/L", r"write 10\^9"),
        ("10 12 cells", "cells", r"write 10\^12"),
        ("10·9/L", "1e9/L", r"write 10\^9"),
        ("10 * 9/L", "1e9/L", r"write 10\^9"),
        ("ng/106 cells", "ng/Mcell", r"write 10\^6.*106\.0"),
        ("m 2", "m^2", r"Write \^ for a power"),
        ("cell(6)", "cell", r"Write \^ for a power"),
        ("2(3)/L", "1/L", r"Write \^ for a power"),
        ("100 3/L", "1/L", r"Write \^ for a power"),
        ("10E9/L", "1e9/L", r"10\^9 or 1e9 for the one, 1e10 for the other"),
        ("ng/10e6 cells", "ng/Mcell", r"10\^6 or 1e6 for the one, 1e7 for the other"),
        ("M/L", "1e6/L", "M alone is molar. Write '1e6/L'"),
        ("K/mL", "1e3/mL", "kelvin. Write '1e3/mL'"),
        ("E/L", "U/L", "Einheit"),
        ("Tcells/uL", "cells/uL", "1e12 cell"),
        ("TU/mL", "U/mL", "tuberculin"),
        ("[USP'U]/mL", "U/mL", r"brackets is not known.*arb'U"),
    ],
)
def test_what_is_another_quantity_is_a_clear_no(given_unit: str, wanted: str, said: str) -> None:
    with pytest.raises(UnitError, match=said):
        conversion_factor(given_unit, wanted)


@pytest.mark.parametrize("text", ["mmolee/L", "mcgg/L", "ugg", "Mio", "mLL", "kiter", "MG", "mlitr"])
def test_a_misspelt_unit_with_a_prefix_gets_no_hint_without(text: str) -> None:
    try:
        parse_unit(text)
    except UnitError as error:
        assert "Did you mean" not in str(error)


@given(
    st.sampled_from(["10(3)", "10 3", "x10E3", "10E3", "10·3", "103", "10*3", "10^3", "x 103", "10{3}"]),
    st.sampled_from(["/L", " cells", " mg/L", "/uL", "{cells}/L"]),
)
@settings(max_examples=50)
def test_a_power_of_ten_is_read_or_refused_however_it_was_copied(power: str, unit: str) -> None:
    """Witness: the same unit behind 1e3."""
    try:
        factor = conversion_factor(power + unit, "1e3" + unit)
    except UnitError as error:
        assert "10^3" in str(error)
    else:
        assert factor == 1.0


@given(st.text(st.sampled_from("mcgMGunkpLlIUTsdio"), min_size=1, max_size=6))
def test_no_hint_is_a_power_of_ten_off(word: str) -> None:
    """What is suggested begins with the same letter, so it has no other prefix."""
    try:
        parse_unit(word)
    except UnitError as error:
        hint = str(error).partition("Did you mean '")[2].partition("'")[0]
        assert not hint or (hint[0] == word[0] and len(hint) > 3)


@pytest.mark.parametrize("prefix_unit", ["g", "L", "m", "s", "mol", "cell", "U", "day"])
def test_units_agree_with_pint_where_pint_knows_them(prefix_unit: str) -> None:
    import pint

    registry = pint.UnitRegistry()
    if prefix_unit in ("cell", "U"):
        assert parse_unit(prefix_unit).dimensions == ((prefix_unit, 1.0),)
        return
    for prefix in ("p", "n", "u", "m", "k"):
        if prefix_unit == "day" or (prefix, prefix_unit) == ("m", "m"):
            continue
        ours = conversion_factor(prefix + prefix_unit, prefix_unit)
        assert ours == pytest.approx(registry(prefix + prefix_unit).to(prefix_unit).magnitude, rel=1e-12)


def test_every_spelling_means_what_pint_makes_of_the_same_definitions() -> None:
    import pint

    registry = pint.UnitRegistry(None)
    for name, size, *symbols in units._PREFIXES:
        registry.define(f"{name}- = {size} = " + " = ".join(f"{symbol}-" for symbol in symbols))
    for definition in units._DEFINITIONS:
        registry.define(definition.replace("[]", "1"))
    spelt, _ = units._spellings()
    for word in (*spelt, "as", "ms", "ds", "kilo", "kmm", "dayss", "Kg", ""):
        found = registry.parse_unit_name(word) if word else ()
        if word not in spelt:
            assert not found
            continue
        multiplier, bare, unit = units._meaning(word)
        prefix, name, _ = found[0]
        factor, base = registry.get_root_units(name)
        sizes = {"": 1.0} | {each[0]: float(each[1]) for each in units._PREFIXES}
        assert (multiplier, bare, unit.factor) == (
            sizes[prefix],
            name,
            pytest.approx(float(factor), rel=1e-15),
        )
        assert dict(unit.dimensions) == dict(base._units)


@pytest.mark.parametrize(
    ("given_unit", "wanted", "said"),
    [
        ("U/mL", "g/L", "arbitrary units"),
        ("Mcell", "mol", "cells"),
        ("IU/mL", "U/mL", "international"),
        ("day", "pg/mL", "time"),
        ("%", "g", "pure number"),
    ],
)
def test_units_of_different_kinds_are_refused_in_words(given_unit: str, wanted: str, said: str) -> None:
    with pytest.raises(UnitError, match=said):
        conversion_factor(given_unit, wanted)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "PG/mL",
        "foo",
        "pg/",
        "//mL",
        "(g/L",
        "g)",
        "m^",
        "m^x",
        "m^1e9",
        "g//L",
        "1e400 g",
        "0 g",
        "g$",
        "x" * 500,
    ],
)
def test_what_is_no_unit_is_refused_with_a_letter(text: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_unit(text)
    assert len(str(caught.value)) > len("no")


def test_a_misspelt_unit_names_the_nearest() -> None:
    with pytest.raises(UnitError, match="Did you mean 'Mcell'"):
        parse_unit("Mcel/day")


NAMES = st.sampled_from(["pg", "mL", "h", "day", "Mcell", "U", "mol", "%", "m", "kg"])
UNITS = st.lists(st.tuples(NAMES, st.integers(-3, 3).filter(bool)), min_size=1, max_size=4)


def _text(parts: list[tuple[str, int]]) -> str:
    return "*".join(f"{name}^{power}" for name, power in parts)


@given(UNITS, UNITS)
def test_a_product_is_the_product_and_a_quotient_undoes_it(one: list, other: list) -> None:
    first, second = parse_unit(_text(one)), parse_unit(_text(other))
    assert parse_unit(f"{_text(one)}*{_text(other)}") == first * second
    assert first * second / second == first


def test_powers_of_units() -> None:
    assert parse_unit("m") ** 2 == parse_unit("m^2")
    assert (parse_unit("cm") ** 3).factor == pytest.approx(parse_unit("mL").factor, rel=1e-12)
    assert parse_unit("g") ** 0 == Unit()
    assert math.isclose(parse_unit("g^0.5").factor, 1.0)


@given(UNITS, st.floats(1e-9, 1e9))
def test_conversion_there_and_back_is_one(parts: list, size: float) -> None:
    one, other = _text(parts), f"{size!r} {_text(parts)}"
    there = conversion_factor(one, other)
    assert there == pytest.approx(1 / size, rel=1e-12)
    assert there * conversion_factor(other, one) == pytest.approx(1.0, rel=1e-12)
