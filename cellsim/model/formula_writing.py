"""An expression as formula text, the inverse of `cellsim.model.formulas.parse_formula`."""

from __future__ import annotations

import sympy as sp
from sympy.logic.boolalg import BooleanFalse, BooleanTrue

from cellsim.errors import ModelError

__all__ = ["CIRCULAR", "formula_text"]

_SUM, _PRODUCT, _UNARY, _POWER, _ATOM = range(1, 6)
_OR, _AND, _RELATION = -2, -1, 0
_RELATIONS = {"Equality": "==", "Unequality": "!=", "StrictGreaterThan": ">", "StrictLessThan": "<",
              "GreaterThan": ">=", "LessThan": "<="}  # fmt: skip
_NAMES = {"log": "ln", "Abs": "abs", "ceiling": "ceil", "floor": "floor", "exp": "exp"}
_NAMES |= {"factorial": "factorial", "Max": "max", "Min": "min"}
CIRCULAR = [f"{name}{h}" for name in ("sin", "cos", "tan", "sec", "csc", "cot") for h in ("", "h")]
_NAMES |= {name: name for name in CIRCULAR} | {f"a{name}": f"arc{name}" for name in CIRCULAR}


def formula_text(expression: sp.Basic) -> str:
    """Write an expression as formula text; `parse_formula` reads it back to the same expression.

    Parameters
    ----------
    expression : sympy.Basic
        Built from symbols, numbers and the functions `parse_formula` knows.

    Returns
    -------
    str

    Raises
    ------
    ModelError
        The expression contains something formula text has no word for.

    Examples
    --------
    >>> from cellsim.model.formulas import parse_formula
    >>> formula_text(parse_formula("k*E*T/(K + T) - 0.1*log(x)"))
    'E*T*k/(K + T) - 0.1*ln(x)'
    """
    return _write(sp.sympify(expression, strict=True), _OR)


def _bracket(text: str, level: int, outer: int) -> str:
    return f"({text})" if level < outer else text


def _write(e: sp.Basic, outer: int) -> str:
    if isinstance(e, sp.Symbol):
        return e.name
    if isinstance(e, (BooleanTrue, BooleanFalse)):
        return "true" if e is sp.true else "false"
    if isinstance(e, sp.Number) or e in (sp.oo, -sp.oo):
        return _write_number(e, outer)
    if e is sp.pi or e is sp.E:
        return "pi" if e is sp.pi else "exponentiale"
    if isinstance(e, sp.Add):
        return _write_sum(e, outer)
    if isinstance(e, sp.Mul):
        return _write_product(e, outer)
    if isinstance(e, sp.Pow):
        return _write_power(e, outer)
    return _write_call(e, outer)


def _write_number(e: sp.Number, outer: int) -> str:
    if e in (sp.oo, -sp.oo):
        return _bracket("-infinity", _UNARY, outer) if e is -sp.oo else "infinity"
    if isinstance(e, sp.Rational):
        # with its own brackets, because libsbml takes '(2/3)' for one word and then refuses 'exp(2/3)'
        text = f"({abs(e.p)}/{e.q})" if e.q != 1 else f"{abs(e.p)}"
        level = _ATOM
    elif isinstance(e, sp.Float):
        text, level = repr(abs(float(e))), _ATOM
    else:
        raise ModelError(f"A formula cannot hold {e}.")
    return (
        _bracket(f"-{text}", min(_PRODUCT, level), outer) if e.is_negative else _bracket(text, level, outer)
    )


def _write_sum(e: sp.Add, outer: int) -> str:
    text = ""
    signed = [(term.could_extract_minus_sign(), term) for term in e.as_ordered_terms()]
    # what is gained stands before what is lost, as one would write it
    for negative, term in sorted(signed, key=lambda pair: pair[0]):
        piece = _write(-term if negative else term, _PRODUCT)
        text += (" - " if negative else " + ") + piece if text else ("-" if negative else "") + piece
    return _bracket(text, _SUM, outer)


def _write_product(e: sp.Mul, outer: int) -> str:
    coefficient, factors = e.as_coeff_mul()
    above, below = [], []
    for factor in sp.Mul(*factors, evaluate=False).as_ordered_factors():
        base, power = factor.as_base_exp()
        if isinstance(factor, sp.Pow) and power.is_Number and power.is_negative:
            below.append(_write(sp.Pow(base, -power), _UNARY))
        else:
            above.append(_write(factor, _UNARY))
    sign = "-" if coefficient.is_negative else ""
    size = abs(coefficient)
    if isinstance(size, sp.Rational):
        above = ([str(size.p)] if size.p != 1 or not above else []) + above
        below = ([str(size.q)] if size.q != 1 else []) + below
    else:
        above = [_write(size, _UNARY), *above]
    text = sign + "*".join(above)
    if below:
        text += "/" + (below[0] if len(below) == 1 else f"({'*'.join(below)})")
    return _bracket(text, _PRODUCT, outer)


def _write_power(e: sp.Pow, outer: int) -> str:
    base, power = e.base, e.exp
    if power == sp.Rational(1, 2):
        return f"sqrt({_write(base, 0)})"
    if power.is_Rational and power.is_negative:
        return _bracket("1/" + _write(sp.Pow(base, -power), _UNARY), _PRODUCT, outer)
    return _bracket(f"{_write(base, _ATOM)}^{_write(power, _ATOM)}", _POWER, outer)


def _write_call(e: sp.Basic, outer: int) -> str:
    name = type(e).__name__
    if name in _RELATIONS:
        left, right = (_write(part, _SUM) for part in e.args)
        return _bracket(f"{left} {_RELATIONS[name]} {right}", _RELATION, outer)
    if name in ("And", "Or"):
        level, joint = (_AND, " && ") if name == "And" else (_OR, " || ")
        ordered = sorted(_write(part, _RELATION) for part in e.args)
        return _bracket(joint.join(ordered), level, outer)
    if name == "ITE":  # sympy's own "if then else" of conditions
        return _write(e.to_nnf(simplify=False), outer)
    if name == "Not":
        return f"!({_write(e.args[0], _OR)})"
    if name in ("Xor", "Implies"):
        return f"{name.lower()}({', '.join(_write(part, _OR) for part in e.args)})"
    if name == "Piecewise":
        (value, condition), *others = e.args
        if others == [(-value, sp.true)] and condition in (value >= 0, (value >= 0).canonical):
            return f"abs({_write(value, 0)})"
        parts = []
        for value, condition in e.args:
            parts.append(_write(value, 0))
            if condition is not sp.true:
                parts.append(_write(condition, _OR))
        return f"piecewise({', '.join(parts)})"
    if name in _NAMES:
        arguments = [_write(part, 0) for part in e.args]
        return f"{_NAMES[name]}({', '.join(sorted(arguments) if name in ('Max', 'Min') else arguments)})"
    raise ModelError(f"A formula cannot hold {name}: {e}.")
