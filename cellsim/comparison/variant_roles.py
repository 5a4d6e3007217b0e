"""Variants told apart by what they do: the ones under which infusions do nothing, and the ones that act."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

import numpy as np

from cellsim.likelihood.objective import Objective

__all__ = ["VariantRoles", "variant_roles"]

# predictions nearer than this with and without every infusion: the infusions do nothing
_NOTHING = 1e-3


@dataclass(frozen=True)
class VariantRoles:
    """Which variants of a case are held against each other.

    Attributes
    ----------
    default : str
        The variant whose conclusions they are.
    nulls : tuple of str
        Under which the infusions do nothing, the simplest first.
    acting : tuple of str
        All others.
    neutral : tuple of str
        Acting ones that hold some parameter of rejection (by the role of its group) which the default one estimates.
    """

    default: str
    nulls: tuple[str, ...]
    acting: tuple[str, ...]
    neutral: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are fitted: nulls, the default one and its neutral roles."""
        return tuple(dict.fromkeys((*self.nulls, self.default, *self.neutral)))

    def without(self, names: Container[str]) -> VariantRoles:
        """The same of fewer variants."""
        nulls, acting, neutral = (
            tuple(each for each in role if each not in names)
            for role in (self.nulls, self.acting, self.neutral)
        )
        return VariantRoles(self.default, nulls, acting, neutral)


def variant_roles(objectives: Mapping[str, Objective], default: str) -> VariantRoles:
    """Tell the variants of a case apart by what they do, not by what they are called.

    A variant is a null when no prediction changes as all infusions are taken away, at three draws from its prior.

    Parameters
    ----------
    objectives : mapping of str to Objective
        Of every variant.
    default : str

    Returns
    -------
    VariantRoles

    Examples
    --------
    >>> from cellsim.case.case import load_case
    >>> from cellsim.likelihood.formulation import objective_of
    >>> case = load_case("sjogren_rfib")
    >>> variant_roles({each: objective_of(case, variant=each) for each in ("V0", "V2", "V4")}, "V2")
    VariantRoles(default='V2', nulls=('V0',), acting=('V2', 'V4'), neutral=('V4',))
    """
    nulls = sorted(
        (name for name in objectives if _idle(objectives[name])), key=lambda n: len(objectives[n].names)
    )
    acting = [name for name in objectives if name not in nulls]
    removing = objectives[default].case.groups_of("rejection")
    neutral = [
        name
        for name in acting
        if any(
            objectives[default].case.prior(each).group in removing
            for each in set(objectives[default].names) - set(objectives[name].names)
        )
    ]
    return VariantRoles(default, tuple(nulls), tuple(acting), tuple(neutral))


def _idle(objective: Objective) -> bool:
    from cellsim.solver.integration import Doses

    bare = replace(objective, doses=Doses())
    for theta in np.random.default_rng(0).standard_normal((3, len(objective.names))):
        given, none = objective.evaluate(theta).predicted, bare.evaluate(theta).predicted
        if not np.allclose(given, none, rtol=_NOTHING, atol=1e-9, equal_nan=True):
            return False
    return True
