"""Whether a result given is of the case, model and variant it is taken for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cellsim import __version__
from cellsim.case.case import Case, load_case
from cellsim.errors import CalibrationError, CaseError, Problem, did_you_mean
from cellsim.foreign.trial import from_file
from cellsim.likelihood.objective import Objective

__all__ = [
    "case_given",
    "foreign",
    "objective_given",
    "other_problem",
    "saved_case",
    "unlike",
    "variants_chosen",
]


def other_problem(given: Any) -> Any:
    """What is no case and answers some verbs by itself (an estimation problem of many conditions, its fit); None for all else.

    It says of a verb why it does not answer it: ``given.why_not("sweep")``.
    """
    return given if callable(getattr(given, "why_not", None)) else None


def case_given(given: Any, asked: str) -> Case:
    """The case given, or a word on how to come by one; `asked` is what was called.

    Raises
    ------
    CalibrationError
        If it is none.
    """
    if isinstance(given, Case):
        return given
    if (other := other_problem(given)) is not None:
        raise CalibrationError(other.why_not(asked))
    shown = repr(given) if isinstance(given, str) else f"a {type(given).__name__}"
    source = repr(given) if isinstance(given, str) else "..."
    raise CalibrationError(
        f"{asked} takes a case, and {shown} is none. Load one first: cs.load_case({source})."
    )


def saved_case(files: Mapping[str, str], versions: Mapping[str, str], path: Any) -> Case:
    """The case that a result was saved with.

    Parameters
    ----------
    files : mapping of str to str
        Its texts.
    versions : mapping of str to str
        What the result was made by.
    path : path
        Where it was found.

    Raises
    ------
    CalibrationError
        If this version asks of a case what that one did not have, naming the version that reads it.
    """
    for text in files.values():
        from_file(text)
    try:
        return load_case(files)
    except CaseError as error:
        made = versions.get("cellsim", "")
        if made in ("", __version__):
            raise
        told = error.problems[0]
        raise CalibrationError(
            [
                Problem(
                    what=f"{path} was saved by cellsim {made}, and this is {__version__}, which asks more of its case: {told}",
                    remedy=f"Read it with cellsim {made}, or make it again from the case as it stands now (CHANGELOG.md says "
                    "what changed).",
                )
            ]
        ) from None


def objective_given(given: Any, asked: str) -> Objective:
    """The objective behind a calibration or chains, or itself; `asked` is what was called.

    Raises
    ------
    CalibrationError
        If there is none.
    """
    if (other := other_problem(given)) is not None:
        raise CalibrationError(other.why_not(asked))
    objective = given if isinstance(given, Objective) else getattr(given, "objective", None)
    if not isinstance(objective, Objective):
        shown = repr(given) if isinstance(given, str | Case) else f"a {type(given).__name__}"
        raise CalibrationError(
            f"{asked} takes a calibration, and {shown} is none; make one first: cs.calibrate(case)."
        )
    return objective


def variants_chosen(case: Case, asked: Sequence[str] | str | None) -> tuple[str, ...]:
    """The variants asked for, each once; all of the case for None.

    Parameters
    ----------
    case : Case
    asked : str or sequence of str, optional

    Returns
    -------
    tuple of str
        Empty only for a case without variants.

    Raises
    ------
    CalibrationError
        For names the case does not have, all at once, and for no name at all.

    Examples
    --------
    >>> from cellsim.case.case import load_case
    >>> variants_chosen(load_case("sjogren_rfib"), "V0")
    ('V0',)
    """
    known = [each.id for each in case.variants]
    if asked is None:
        return tuple(known)
    names = tuple(dict.fromkeys((asked,) if isinstance(asked, str) else asked))
    if not names:
        raise CalibrationError(f"no variant of {case.name} was asked for. Known: {', '.join(known)}.")
    if not known:
        raise CalibrationError(f"{case.name} has no variants, so none can be chosen ({_few(list(names))}).")
    if problems := [
        Problem(what=f"no variant {name!r}.", remedy=did_you_mean(name, known))
        for name in names
        if name not in known
    ]:
        raise CalibrationError(problems)
    return names


def unlike(given: Objective, expected: Objective) -> list[str]:
    """In what an objective differs from the one expected, in words; empty when in nothing that moves a result.

    Parameters
    ----------
    given, expected : Objective
        Their simulation tolerances may differ.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from cellsim.case.case import load_case
    >>> from cellsim.likelihood.formulation import objective_of
    >>> case = load_case("sjogren_rfib")
    >>> unlike(objective_of(case, variant="V0"), objective_of(case, variant="V0"))
    []
    >>> unlike(objective_of(case, variant="V0", degrees=4), objective_of(case, variant="V2"))
    ["it is of variant 'V0', not 'V2'", 'its noise has 4 degrees of freedom, not infinitely many']
    """
    said = _of_another_case(given.case, expected.case)
    if given.model != expected.model:
        said.append("its model is another one")
    if given.variant != expected.variant:
        return [
            *said,
            f"it is of variant {given.variant!r}, not {expected.variant!r}",
            *_noise(given, expected),
        ]
    if more := [name for name in given.names if name not in expected.names]:
        said.append(f"it also estimates {_few(more)} (chains: sample with hierarchy=False)")
    if fewer := [name for name in expected.names if name not in given.names]:
        said.append(f"it does not estimate {_few(fewer)}")
    if not said and given.terms != expected.terms:
        said.append(f"it scores {len(given.terms)} rows where {len(expected.terms)} other ones are scored")
    if not said and (given.priors != expected.priors or dict(given.fixed) != dict(expected.fixed)):
        said.append("its priors or the values it holds are other ones")
    return [*said, *_noise(given, expected)]


def foreign(results: Mapping[str, Any], expected: Mapping[str, Objective], kind: str) -> list[Problem]:
    """Every result that is not what it is filed under.

    Parameters
    ----------
    results : mapping of str to Calibration or Posterior
        By variant.
    expected : mapping of str to Objective
        By variant.
    kind : str
        What a result is called.

    Returns
    -------
    list of Problem
    """
    problems = []
    for name, each in results.items():
        if name not in expected:
            problems.append(
                Problem(what=f"the {kind} given for {name!r}: no such variant is compared.",
                        remedy=did_you_mean(name, expected))
            )  # fmt: skip
        elif apart := unlike(each.objective, expected[name]):
            problems.append(Problem(what=f"the {kind} given for {name!r} is not of it: {'; '.join(apart)}."))
    return problems


def _of_another_case(given: Case, expected: Case) -> list[str]:
    if given == expected:
        return []
    if given.name != expected.name:
        return [f"its case is {given.name!r}, not {expected.name!r}"]
    files, others = given.files, expected.files
    other = sorted(name for name in {*files, *others} if files.get(name) != others.get(name))
    return [f"its case says other things in {_few(other)}"]


def _noise(given: Objective, expected: Objective) -> list[str]:
    if given.degrees == expected.degrees:
        return []
    return [f"its noise has {_many(given.degrees)} degrees of freedom, not {_many(expected.degrees)}"]


def _many(degrees: float) -> str:
    return f"{degrees:g}" if np.isfinite(degrees) else "infinitely many"


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
