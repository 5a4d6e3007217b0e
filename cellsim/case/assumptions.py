"""What is believed before the data: one prior for each parameter, and the variants of the mechanism."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from cellsim.case.records import PriorRow, Variant
from cellsim.delimited import read_number
from cellsim.errors import Problem, did_you_mean
from cellsim.petab.tables import REMARKS, TableReader, TableRow, kept, listed

__all__ = ["FAMILIES", "read_priors", "read_variants"]

FAMILIES = {
    "cauchy": ("location", "scale"),
    "chisquare": ("degrees of freedom",),
    "exponential": ("scale",),
    "gamma": ("shape", "scale"),
    "laplace": ("location", "scale"),
    "log-laplace": ("log-location", "log-scale"),
    "log-normal": ("log-mean", "log-sd"),
    "log-uniform": ("lower", "upper"),
    "normal": ("mean", "sd"),
    "rayleigh": ("scale",),
    "uniform": ("lower", "upper"),
}
"""PEtab's prior families and what their parameters are."""

_ABOVE_ZERO, _NOT_BELOW_ZERO = (
    ("log-normal", "log-laplace"),
    ("chisquare", "exponential", "gamma", "rayleigh"),
)
_POSITIVE = {"scale", "log-scale", "log-sd", "sd", "shape", "degrees of freedom"}
_PARAMETERS = (
    ("parameterId", "lowerBound", "upperBound", "nominalValue", "estimate"),
    ("parameterName", "priorDistribution", "priorParameters", "unit", "group", "mark", "meaning", *REMARKS),
)
_VARIANTS = (("variantId", "default"), ("name", "meaning", *REMARKS))
_SUBSPACE = ("model_subspace_id", "model_subspace_petab_yaml")


def read_priors(reader: TableReader, tables: Mapping[str, Sequence[str]]) -> tuple[PriorRow, ...]:
    """Read what the case holds to be known about every parameter.

    Parameters
    ----------
    reader : TableReader
        The texts; complaints are left there.
    tables : mapping
        Names of the standard tables by their key in the problem file.

    Returns
    -------
    tuple of PriorRow
        Those of the PEtab problem first, then those beside it.
    """
    standard = reader.rows(tables.get("parameter_files", ()), *_PARAMETERS)
    beside = reader.rows(["parameters_extended.tsv"], *_PARAMETERS)
    made = [_prior(reader, line, True) for line in standard] + [
        _prior(reader, line, False) for line in beside
    ]
    return kept(made)


def _prior(reader: TableReader, line: TableRow, standard: bool) -> PriorRow | None:
    identity = reader.text(line, "parameterId")
    nominal = reader.number(line, "nominalValue")
    if "estimate" in line:
        reader.text(line, "estimate")
    estimate = reader.truth(line, "estimate")
    lower = reader.number(line, "lowerBound", default=-math.inf, infinite=True)
    upper = reader.number(line, "upperBound", default=math.inf, infinite=True)
    family, numbers = (
        _family(reader, line, identity) if estimate or line.of("priorDistribution") else ("", ())
    )
    if not identity or nominal is None or lower is None or upper is None:
        return None
    if estimate and not lower < upper:
        reader.complain(
            line,
            f"the bounds of {identity}, {lower:g} to {upper:g}, leave it no room.",
            "Set estimate to false to hold it at one value, or give an upper bound above the lower one.",
            column="upperBound",
        )
    elif estimate and not lower <= nominal <= upper:
        what = f"nominal {identity} = {nominal:g} is outside of its bounds {lower:g} to {upper:g}."
        reader.complain(line, what, "Correct the value, or a bound.", column="nominalValue")
    elif (
        family
        and (possible := _excluded(nominal, family, numbers))
        and (estimate or nominal)
        # bounds that leave nothing of the prior are told as such
        and not (family in (*_ABOVE_ZERO, *_NOT_BELOW_ZERO) and upper <= 0)
    ):
        # a value of zero that is held switches off what a chain would free
        reader.complain(
            line,
            f"nominal {identity} = {nominal:g} is impossible under its {family} prior, which allows {possible}.",
            "Correct the one or the other: simulations use the nominal value.",
            column="nominalValue",
            severity="error" if estimate else "doubt",
        )
    return PriorRow(
        id=identity,
        estimate=estimate,
        nominal=nominal,
        family=family,
        parameters=numbers,
        lower=lower,
        upper=upper,
        unit=line.of("unit"),
        mark=reader.choice(line, "mark", ("V", "M", "A"), "A"),
        source=line.of("source"),
        meaning=line.of("meaning"),
        group=line.of("group"),
        standard=standard,
        file=line.file,
        row=line.row,
    )


def _excluded(value: float, family: str, numbers: Sequence[float]) -> str:
    """What a family allows, in words, where `value` is not among it; empty where it is."""
    if family in _ABOVE_ZERO:
        return "" if value > 0 else "values above zero"
    if family in _NOT_BELOW_ZERO:
        return "" if value >= 0 else "no values below zero"
    if FAMILIES[family] == ("lower", "upper") and numbers[0] < numbers[1]:
        return "" if numbers[0] <= value <= numbers[1] else f"{numbers[0]:g} to {numbers[1]:g}"
    return ""


def _family(reader: TableReader, line: TableRow, identity: str) -> tuple[str, tuple[float, ...]]:
    """The prior of an estimated parameter: every one has its own, and it is a distribution."""
    family = line.of("priorDistribution")
    if not family:
        what = f"{identity} is estimated and has no prior."
        reader.complain(line, what, "Give it one, or set estimate to false.", column="priorDistribution")
        return "", ()
    if family not in FAMILIES:
        what, remedy = f"no prior family {family!r}.", did_you_mean(family, FAMILIES)
        reader.complain(line, what, remedy, column="priorDistribution")
        return "", ()
    wanted = FAMILIES[family]
    try:
        numbers = tuple(read_number(each) for each in listed(line.of("priorParameters")))
    except ValueError:
        numbers = ()
    if len(numbers) != len(wanted) or not all(map(math.isfinite, numbers)):
        reader.complain(
            line,
            f"the {family} prior of {identity} takes {len(wanted)} finite numbers ({', '.join(wanted)}), "
            f"seen {line.of('priorParameters')!r}.",
            "Separate them with a semicolon.",
            column="priorParameters",
        )
        return "", ()
    for name, value in zip(wanted, numbers):
        if name in _POSITIVE and not value > 0:
            what = f"the {name} of the prior of {identity} is {value:g}; it must be above zero."
            remedy = "Widen it, or hold the parameter at its nominal value: set estimate to false."
            reader.complain(line, what, remedy, column="priorParameters")
    if wanted == ("lower", "upper") and not numbers[0] < numbers[1]:
        what = f"the {family} prior of {identity} from {numbers[0]:g} to {numbers[1]:g} is empty."
        reader.complain(line, what, "The lower end comes first.", column="priorParameters")
    elif family == "log-uniform" and not numbers[0] > 0:
        what = f"the log-uniform prior of {identity} must begin above zero."
        reader.complain(line, what, "Write a lower end above zero.", column="priorParameters")
    return family, numbers


def read_variants(reader: TableReader, priors: Iterable[PriorRow]) -> tuple[Variant, ...]:
    """Read the model space, and what its variants are called.

    Parameters
    ----------
    reader : TableReader
        The texts; complaints are left there.
    priors : iterable of PriorRow
        The parameters a variant may fix.

    Returns
    -------
    tuple of Variant
    """
    parameters = {each.id: each for each in priors if each.standard}
    named = {line.of("variantId"): line for line in reader.rows(["variants.tsv"], *_VARIANTS)}
    lines = reader.rows(["model_space.tsv"], _SUBSPACE, _Anything())
    for name in sorted(set(lines[0] if lines else ()) - {*_SUBSPACE, *parameters}) if parameters else ():
        header = TableRow({}, file="model_space.tsv", row=1)
        reader.complain(header, f"no parameter {name!r}.", did_you_mean(name, parameters), column=name)
    made = [
        _variant(reader, line, named.get(line.of("model_subspace_id"), TableRow({})), parameters)
        for line in lines
    ]
    for k, each in enumerate(made):
        if alike := [one.id for one in made[:k] if dict(one.fixed) == dict(each.fixed)]:
            said = f"{each.id} holds the same values as {alike[0]}: one mechanism twice."
            where = TableRow({}, file=each.file, row=each.row)
            reader.complain(where, said, "Was a column lost?", severity="doubt")
    known = [each.id for each in made]
    for name, line in named.items():
        if name not in known:
            what, remedy = f"no variant {name!r} in the model space.", did_you_mean(name, known)
            reader.complain(line, what, remedy, column="variantId")
    if made and sum(each.default for each in made) != 1:
        what = "one variant is the default one, no more and no less."
        remedy = "Write true into the column default of one row, and false into the others."
        reader.problems.append(Problem(what=what, remedy=remedy, file="variants.tsv", column="default"))
    return tuple(made)


def _variant(reader: TableReader, line: TableRow, told: TableRow, known: Mapping[str, PriorRow]) -> Variant:
    fixed, estimated = [], []
    for name in line:
        if name in _SUBSPACE or name not in known:
            continue
        if line.of(name) != "estimate":
            value = reader.number(line, name)
            if value is not None:
                fixed.append((name, value))
            continue
        estimated.append(name)
        if not known[name].estimate:
            reader.complain(
                line,
                f"{line.of('model_subspace_id')} estimates {name}, which has no prior.",
                "Give it one in parameters.tsv, with estimate true, or write the value it is held at.",
                column=name,
            )
    return Variant(
        id=reader.text(line, "model_subspace_id"),
        fixed=tuple(fixed),
        estimated=tuple(estimated),
        name=told.of("name"),
        meaning=told.of("meaning"),
        default=bool(told) and reader.truth(told, "default"),
        file=line.file,
        row=line.row,
    )


class _Anything(tuple[str, ...]):
    """Every column is known: those of a model space are parameters, and judged as such."""

    def __contains__(self, column: object) -> bool:
        return True
