"""Formulas as text and as trees: libsbml reads them, sympy holds them, nothing is ever evaluated as Python.

``log(x)`` is the natural logarithm here, as in Antimony; ``log10(x)`` and ``log(base, x)`` are the others.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from itertools import pairwise
from typing import Any

import sympy as sp
from sympy.logic.boolalg import Boolean

from cellsim.errors import ModelError, did_you_mean
from cellsim.foreign.c_readers import RESERVED
from cellsim.foreign.native import DEEPEST_FORMULA, c_numbers, nesting
from cellsim.model.bounds import MOST_PARTS, TALLEST, height, is_larger
from cellsim.model.content import TIME
from cellsim.model.formula_writing import CIRCULAR, formula_text
from cellsim.model.substitution import MOST_PIECES, TooManyPiecesError, compared

__all__ = [
    "RESERVED",
    "as_condition",
    "as_number",
    "bracketed",
    "formula_text",
    "from_ast",
    "is_rate_symbol",
    "literal",
    "parse_formula",
    "rate_symbol",
    "to_ast",
]

_EXACT = 64  # powers and factorials of numbers up to this are kept exact
_LARGEST = sp.Float(sys.float_info.max)
_FAR = 30  # number in an exponential from which it is kept inside
_JOINING = ("and", "eq", "neq", "gt", "geq", "lt", "leq")  # functions that are relations, or join them
_WORD_BEFORE = re.compile(r"([A-Za-z_]\w*)[ \t]*\Z")
_RELATION_AFTER = re.compile(r"[ \t]*(?:[<>]|[=!]=)")
_LONGEST_WORD = 80
_LONGEST = 100_000  # characters; a formula beyond this is an accident or an attack
_MOST_JOINED = 8  # conditions in one xor, which is written out in 2^(n - 1) ways


@lru_cache(maxsize=1)
def _settings() -> Any:
    import libsbml

    settings = libsbml.L3ParserSettings()
    settings.setParseLog(libsbml.L3P_PARSE_LOG_AS_LN)
    settings.setParseUnits(libsbml.L3P_NO_UNITS)
    settings.setComparisonCaseSensitivity(libsbml.L3P_COMPARE_BUILTINS_CASE_SENSITIVE)
    settings.setParseAvogadroCsymbol(True)
    return settings


def to_ast(text: str, *, where: str = "") -> Any:
    """Read formula text into libsbml's own tree.

    Parameters
    ----------
    text : str
        A formula in SBML Level 3 infix.
    where : str
        What the formula belongs to, for the error message.

    Returns
    -------
    libsbml.ASTNode

    Raises
    ------
    ModelError
        The text is no formula; the message shows the place.
    """
    import libsbml

    place = f" of {where}" if where else ""
    if not text.strip():
        raise ModelError(f"The formula{place} is empty. Write one, for instance 'k*x'.")
    if len(text) > _LONGEST:
        raise ModelError(f"The formula{place} has {len(text)} characters; {_LONGEST} are read. Split it.")
    if (depth := nesting(text)) > DEEPEST_FORMULA:
        raise ModelError(
            f"The formula{place} nests too deeply to be read: {depth} operations within each other, "
            f"and {DEEPEST_FORMULA} are read. Split it."
        )
    with c_numbers():
        tree = libsbml.parseL3FormulaWithSettings(bracketed(text), _settings())
    if tree is None:
        said = " ".join(libsbml.getLastParseL3Error().split())
        said = said.removeprefix(f"Error when parsing input '{' '.join(text.split())}' ").strip()
        if "associate units" in said:
            said = "a number is followed by letters, or too large"
        raise ModelError(
            f"The formula{place} cannot be read: {text.strip()!r} ({said}). "
            "Powers are written x^2, conditions piecewise(value, condition, otherwise)."
        )
    return tree


def bracketed(text: str) -> str:
    """Formula text for libsbml, which takes two kinds of brackets for something else.

    ``(2/3)`` is one word to it, and therefore it refuses ``exp(2/3)``. And a bracketed condition on the left of a
    relation loses its brackets: ``(x > 1) == (x > 3)`` is read as ``x > 1 and 1 == (x > 3)``.

    Examples
    --------
    >>> bracketed("exp(2/3)")
    'exp((2/3))'
    >>> bracketed("(x > 1) == (x > 3)")
    'piecewise(1, (x > 1), 0) == (x > 3)'
    """
    text = re.sub(r"(\w\s*)\((\s*-?\s*\d+\s*/\s*\d+\s*)\)", r"\1((\2))", text)
    opened: list[int] = []
    added: list[tuple[int, str]] = []
    for place, letter in enumerate(text):
        if letter == "(":
            opened.append(place)
        elif letter == ")" and opened:
            start = opened.pop()
            word = _WORD_BEFORE.search(text, max(0, start - _LONGEST_WORD), start)
            joined = word[1] in _JOINING if word else _is_comparison(text[start + 1 : place])
            if joined and _RELATION_AFTER.match(text, place + 1):
                added += [(word.start() if word else start, "piecewise(1, "), (place + 1, ", 0)")]
    for place, piece in sorted(added, key=lambda each: each[0], reverse=True):
        text = text[:place] + piece + text[place:]
    return text


def _is_comparison(text: str) -> bool:
    """Whether a relation, or conditions joined by and, stand in text outside of any bracket."""
    inner = text.strip()
    while inner.startswith("(") and _closing(inner) == len(inner) - 1:
        inner = inner[1:-1].strip()
    depth = 0
    for place, letter in enumerate(inner):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and (letter in "<>" or inner[place : place + 2] in ("==", "!=", "&&")):
            return True
    return False


def _closing(text: str) -> int:
    """Where the bracket closes that text begins with; -1 if nowhere."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return place
    return -1


def literal(value: float) -> sp.Expr:
    """A number as an expression: whole numbers exact, others as the float they are.

    Examples
    --------
    >>> literal(3.0), literal(0.5)
    (3, 0.500000000000000)
    """
    return sp.Integer(int(value)) if float(value).is_integer() and abs(value) < 2**53 else sp.Float(value)


def parse_formula(text: str, *, where: str = "") -> sp.Expr:
    """Read a formula into sympy; every name becomes a plain symbol.

    Parameters
    ----------
    text : str
        For instance ``"k*E*T/(K + T)"``; ``log`` is the natural logarithm, ``^`` the power.
    where : str
        What the formula belongs to, for the error message.

    Returns
    -------
    sympy.Expr

    Raises
    ------
    ModelError
        The text is no formula, or uses a function that does not exist.

    Examples
    --------
    >>> parse_formula("k*E*T/(K + T)")
    E*T*k/(K + T)
    >>> parse_formula("log(x) + S^2")
    S**2 + log(x)
    """
    return as_number(from_ast(to_ast(text, where=where), where=where))


Functions = Mapping[str, tuple[tuple[str, ...], Any]]
"""User functions, by name: the arguments, and the body over them as libsbml's tree.

A body is read anew at every call with the arguments in place, because only then is it known whether an
argument is a number or a condition.
"""


def _trunc(x: sp.Expr) -> sp.Expr:
    return sp.Piecewise((sp.floor(x), compared(sp.Ge, x, sp.S.Zero)), (sp.ceiling(x), True))


def _times(*parts: sp.Expr) -> sp.Expr:
    # sympy takes 0 times whatever as 0, so that nothing would be left of a division by 0 in it: y % 0
    lost = any(each.has(sp.zoo, sp.nan) for each in parts) and any(each.is_zero for each in parts)
    return sp.nan if lost else sp.Mul(*parts)


def _exp(x: sp.Expr) -> sp.Expr:
    # sympy writes exp(2000.0 - x) as exp(2000.0)*exp(-x), two factors no computer can hold; exact numbers it leaves
    if x.is_number:
        return sp.exp(x)
    return sp.exp(
        sp.Add(
            *(
                sp.Rational(repr(float(term))) if term.is_Float and _FAR < abs(term) < _LARGEST else term
                for term in sp.Add.make_args(x)
            )
        )
    )


def _of_one_sign(x: sp.Expr) -> sp.Expr:
    """Something that is negative only where x is, without roots, which are never negative and have no slope at zero."""
    if isinstance(x, sp.tanh | sp.sinh | sp.asinh | sp.atan):
        return _of_one_sign(x.args[0])
    if isinstance(x, sp.Piecewise):
        return sp.Piecewise(*((_of_one_sign(value), condition) for value, condition in x.args))
    return sp.S.One if isinstance(x, sp.Pow) and x.exp.is_Rational and not x.exp.is_Integer else x


def _size(x: sp.Expr) -> sp.Expr:
    # sympy's own Abs takes symbols for complex: Abs(exp(x)) becomes exp(re(x)), and its slope is no better
    # and its own folding of pieces into a condition fails where a piece that never holds has no real value: log(1 + abs(-2))
    return (
        sp.Abs(x)
        if x.is_number
        else sp.Piecewise((x, compared(sp.Ge, _of_one_sign(x), sp.S.Zero)), (-x, True))
    )


def _power(base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
    # exact powers of large numbers can take hours and all memory; a float is what is meant
    if base.is_Number and exponent.is_Number and base.is_finite and abs(exponent) > _EXACT:
        return sp.Float(float(base) ** float(exponent))
    return _exp(exponent) if base is sp.E else base**exponent


def _factorial(n: sp.Expr) -> sp.Expr:
    return sp.Float(math.gamma(float(n) + 1)) if n.is_Number and n > _EXACT else sp.factorial(n)


def _piecewise(*parts: sp.Basic) -> sp.Basic:
    # infix order is value, condition, value, condition, ..., otherwise
    pairs = [(as_number(parts[i]), as_condition(parts[i + 1])) for i in range(0, len(parts) - 1, 2)]
    if len(parts) % 2:
        pairs.append((as_number(parts[-1]), sp.true))
    if not pairs:
        raise ValueError("no piece")
    return sp.Piecewise(*pairs)


def _xor(*parts: sp.Basic) -> sp.Basic:
    if len(parts) > _MOST_JOINED:
        raise ValueError("too long a chain")
    return reduce(lambda a, b: sp.Or(sp.And(a, sp.Not(b)), sp.And(sp.Not(a), b)), parts, sp.false)


def _chain(relation: Callable[..., sp.Basic]) -> Callable[..., sp.Basic]:
    def build(*parts: sp.Basic) -> sp.Basic:
        numbers = [as_number(part) for part in parts]
        return sp.And(*(compared(relation, a, b) for a, b in pairwise(numbers)))

    return build


def _numeric(function: Callable[..., sp.Basic]) -> Callable[..., sp.Basic]:
    return lambda *parts: function(*(as_number(part) for part in parts))


def _logical(function: Callable[..., sp.Basic]) -> Callable[..., sp.Basic]:
    return lambda *parts: function(*(as_condition(part) for part in parts))


def as_number(value: sp.Basic) -> sp.Expr:
    """A condition used as a number counts 1 or 0, as in SBML Level 3 Version 2 (section 3.4.9)."""
    return sp.Piecewise((1, value), (0, True)) if _is_condition(value) else value


def as_condition(value: sp.Basic) -> sp.Basic:
    """A number used as a condition is true unless 0, as in SBML Level 3 Version 2 (section 3.4.9)."""
    if _is_condition(value):
        return value
    if isinstance(value, sp.Piecewise) and value == as_number(value.args[0][1]):
        return value.args[0][1]  # a condition that was used as a number before
    return compared(sp.Ne, value, sp.S.Zero)


def _is_condition(value: sp.Basic) -> bool:
    # sympy counts every Symbol among its Booleans
    return isinstance(value, Boolean) and not isinstance(value, sp.Symbol)


@lru_cache(maxsize=1)
def _operations() -> dict[int, Callable[..., sp.Basic]]:
    import libsbml

    numeric: dict[int, Callable[..., Any]] = {
        libsbml.AST_PLUS: sp.Add,
        libsbml.AST_TIMES: _times,
        libsbml.AST_MINUS: lambda a, *b: a - b[0] if b else -a,
        libsbml.AST_DIVIDE: lambda a, b: a / b,
        libsbml.AST_POWER: _power,
        libsbml.AST_FUNCTION_POWER: _power,
        libsbml.AST_FUNCTION_ROOT: lambda n, x: sp.sqrt(x) if n == 2 else x ** (1 / n),
        libsbml.AST_FUNCTION_LN: sp.log,
        libsbml.AST_FUNCTION_LOG: lambda base, x: sp.log(x) / sp.log(base),
        libsbml.AST_FUNCTION_EXP: _exp,
        libsbml.AST_FUNCTION_ABS: _size,
        libsbml.AST_FUNCTION_CEILING: sp.ceiling,
        libsbml.AST_FUNCTION_FLOOR: sp.floor,
        libsbml.AST_FUNCTION_FACTORIAL: _factorial,
        libsbml.AST_FUNCTION_MAX: sp.Max,
        libsbml.AST_FUNCTION_MIN: sp.Min,
        libsbml.AST_FUNCTION_QUOTIENT: lambda a, b: _trunc(a / b),
        libsbml.AST_FUNCTION_REM: lambda a, b: a - _times(b, _trunc(a / b)),
    }
    for name in CIRCULAR:
        numeric[getattr(libsbml, f"AST_FUNCTION_{name.upper()}")] = getattr(sp, name)
        numeric[getattr(libsbml, f"AST_FUNCTION_ARC{name.upper()}")] = getattr(sp, f"a{name}")
    logical: dict[int, Callable[..., Any]] = {
        libsbml.AST_LOGICAL_AND: sp.And,
        libsbml.AST_LOGICAL_OR: sp.Or,
        libsbml.AST_LOGICAL_NOT: sp.Not,
        libsbml.AST_LOGICAL_XOR: _xor,
        libsbml.AST_LOGICAL_IMPLIES: lambda a, b: sp.Or(sp.Not(a), b),
    }
    return (
        {kind: _numeric(function) for kind, function in numeric.items()}
        | {kind: _logical(function) for kind, function in logical.items()}
        | {
            libsbml.AST_RELATIONAL_EQ: _chain(sp.Eq),
            libsbml.AST_RELATIONAL_NEQ: _chain(sp.Ne),
            libsbml.AST_RELATIONAL_GT: _chain(sp.Gt),
            libsbml.AST_RELATIONAL_LT: _chain(sp.Lt),
            libsbml.AST_RELATIONAL_GEQ: _chain(sp.Ge),
            libsbml.AST_RELATIONAL_LEQ: _chain(sp.Le),
            libsbml.AST_FUNCTION_PIECEWISE: _piecewise,
        }
    )


def _leaf(node: Any, place: str) -> sp.Basic | None:
    """A number or constant; None for a name, and for anything with parts."""
    import libsbml

    kind = node.getType()
    if kind == libsbml.AST_INTEGER:
        return sp.Integer(node.getInteger())
    if kind == libsbml.AST_RATIONAL:
        return sp.Rational(node.getNumerator(), node.getDenominator())
    if kind in (libsbml.AST_REAL, libsbml.AST_REAL_E):
        # libsbml multiplies mantissa and power of ten, which loses the last digit
        exact = kind == libsbml.AST_REAL_E
        value = float(f"{node.getMantissa()!r}e{node.getExponent()}") if exact else node.getReal()
        if value != value:
            raise ModelError(f"The formula{place} contains 'not a number'. Write the value.")
        return sp.Float(value) if abs(value) != float("inf") else sp.oo if value > 0 else -sp.oo
    constants: dict[int, sp.Basic] = {
        libsbml.AST_NAME_TIME: TIME,
        libsbml.AST_CONSTANT_PI: sp.pi,
        libsbml.AST_CONSTANT_E: sp.E,
        libsbml.AST_CONSTANT_TRUE: sp.true,
        libsbml.AST_CONSTANT_FALSE: sp.false,
    }
    if kind == libsbml.AST_NAME_AVOGADRO:
        return sp.Float(node.getReal())
    return constants.get(kind)


def from_ast(
    node: Any,
    *,
    where: str = "",
    functions: Functions | None = None,
    local: Mapping[str, sp.Basic] | None = None,
    rates: bool = False,
) -> sp.Basic:
    """Turn libsbml's tree into a sympy expression.

    Parameters
    ----------
    node : libsbml.ASTNode
        The formula.
    where : str
        What the formula belongs to, for the error message.
    functions : mapping
        Function definitions to be inlined, by name: (argument names, libsbml's tree of the body).
    local : mapping of str to sympy.Basic
        Names that stand for something else in this formula (local parameters of a reaction).
    rates : bool
        Whether rates of change may stand in it, as :func:`rate_symbol`, for whoever reads a whole model to replace.

    Returns
    -------
    sympy.Basic
        An expression, or a Boolean when the formula is a condition.

    Raises
    ------
    ModelError
        A function that does not exist, or with the wrong number of arguments, or that has no
        counterpart in an ordinary differential equation (delay; rateOf outside a model).
    """
    place = f" of {where}" if where else ""
    try:
        value = _convert(node, place, functions or {}, local or {})
        too_large = any(not abs(each) < _LARGEST for each in value.atoms(sp.Float))
        unreal = value.has(sp.nan, sp.zoo, sp.I) or (
            not _is_condition(value) and value.is_number and value.is_extended_real is False
        )
        if height(value) > TALLEST:
            raise RecursionError
    except RecursionError:
        raise ModelError(f"The formula{place} nests too deeply to be read. Split it.") from None
    except TooManyPiecesError:
        raise ModelError(
            f"A condition in the formula{place} compares more than {MOST_PIECES} combinations of pieces. "
            "Give piecewise terms, abs and % inside it names of their own (a := abs(x - 5)), and compare these."
        ) from None
    if not rates and any(is_rate_symbol(each) for each in value.free_symbols):
        raise _no_counterpart(place, "rateOf", "")
    if too_large:
        raise ModelError(f"The formula{place} comes to too large a number for any computer.")
    if unreal:
        raise ModelError(f"The formula{place} has no real value ({value}): it divides by 0 or the like.")
    return value


def _convert(node: Any, place: str, functions: Functions, local: Mapping[str, sp.Basic]) -> sp.Basic:
    if _is_name(node):
        # the clock is no name: an argument or a local parameter may be called time
        return local.get(node.getName(), sp.Symbol(node.getName()))
    if _is_rate_of(node):
        of = local.get(node.getChild(0).getName(), sp.Symbol(node.getChild(0).getName()))
        if isinstance(of, sp.Symbol):
            return rate_symbol(of.name)
        if of.is_number:  # what a function was called with
            return sp.Integer(0)
    leaf = _leaf(node, place)
    if leaf is not None:
        return leaf
    parts = [_convert(node.getChild(i), place, functions, local) for i in range(node.getNumChildren())]
    name = node.getName() or ""
    operation = _operations().get(node.getType())
    if operation is not None:
        try:
            return operation(*parts)
        except ZeroDivisionError:
            return sp.zoo
        except (TypeError, ValueError, IndexError, OverflowError) as trouble:
            shown = name or "an operation"
            said = f"{len(parts)} argument(s) it cannot use, or too large a number"
            raise ModelError(f"The formula{place} gives {shown} {said}.") from trouble
    import libsbml

    if node.getType() != libsbml.AST_FUNCTION:
        symbols = {libsbml.AST_FUNCTION_DELAY: "delay", libsbml.AST_FUNCTION_RATE_OF: "rateOf"}
        symbol = symbols.get(node.getType(), name or libsbml.formulaToL3String(node))
        raise _no_counterpart(place, symbol, name)
    if name not in functions:
        raise ModelError(
            f"The formula{place} calls a function {name!r} that does not exist. "
            + did_you_mean(
                name, [*functions, "exp", "log", "log10", "sqrt", "abs", "max", "min", "piecewise"]
            )
        )
    arguments, body = functions[name]
    if len(arguments) != len(parts):
        raise ModelError(
            f"The formula{place} calls {name}() with {len(parts)} argument(s); it takes {len(arguments)}: "
            f"{', '.join(arguments)}."
        )
    whole = _convert(body, place, functions, dict(zip(arguments, parts)))
    # functions that call functions twice double at every step
    if is_larger(whole, MOST_PARTS):
        raise ModelError(
            f"The formula{place} has more than {MOST_PARTS} parts once {name}() is written out. "
            "Give its parts names of their own (a := f(x)) and use these."
        )
    return whole


def rate_symbol(name: str) -> sp.Symbol:
    """What stands for the rate of change of a quantity until the equations are known; no quantity has a blank in its name.

    Examples
    --------
    >>> rate_symbol("x")
    rateOf x
    """
    return sp.Symbol(f"rateOf {name}")


def is_rate_symbol(symbol: sp.Basic) -> bool:
    """Whether a symbol is one of :func:`rate_symbol`."""
    return isinstance(symbol, sp.Symbol) and symbol.name.startswith("rateOf ")


def _no_counterpart(place: str, symbol: str, name: str) -> ModelError:
    # SBML lets any text stand inside such a symbol
    written = f", written as {name!r}," if name not in ("", symbol) else ","
    return ModelError(
        f"The formula{place} uses {symbol!r}{written} which an ordinary differential equation cannot hold "
        "here. Rewrite the formula without it."
    )


def _is_rate_of(node: Any) -> bool:
    """Whether a node is the rate of change of one quantity."""
    import libsbml

    return (
        node.getType() == libsbml.AST_FUNCTION_RATE_OF
        and node.getNumChildren() == 1
        and _is_name(node.getChild(0))
    )


def _is_name(node: Any) -> bool:
    import libsbml

    return bool(node.getType() == libsbml.AST_NAME)
