"""The calls that hand a model's text to libsbml or antimony, made alike by the process that tries a file and by this one."""

from __future__ import annotations

import math
from typing import Any

from cellsim.errors import ModelError, Problem

__all__ = ["RESERVED", "antimony_document", "sbml_document"]

RESERVED = frozenset(
    {
        "time",
        "pi",
        "exponentiale",
        "avogadro",
        "true",
        "false",
        "inf",
        "infinity",
        "nan",
        "notanumber",
    }
)
"""Names that formula text reads as something else, so no quantity may bear them."""

_WITHOUT_EFFECT = ("l3v2extendedmath", "layout", "render")
# the new functions of Level 3 Version 2 come as a package of libsbml's own

_MOST_PARTS = 20_000  # elements of a hierarchical model once it is written out


def antimony_document(text: str) -> tuple[str, str]:
    """Antimony's own translation of a text: the SBML, and what it complained of.

    Examples
    --------
    >>> "<rateRule" in antimony_document("x = 1; x' = -x")[0]
    True
    """
    import antimony

    antimony.clearPreviousLoads()
    antimony.clearDirectories()
    antimony.setWriteSBMLTimestamp(False)
    antimony.setBareNumbersAreDimensionless(False)
    try:
        if antimony.loadAntimonyString(text) < 0:
            return "", antimony.getLastError() or "it is no Antimony"
        return str(antimony.getSBMLString(antimony.getMainModuleName()) or ""), ""
    finally:
        antimony.clearPreviousLoads()


def sbml_document(text: str) -> Any:
    """A document of libsbml at Level 3, flat, with names that formulas can hold.

    Parameters
    ----------
    text : str
        An SBML document that was judged by `cellsim.foreign.native.refuse_hostile_xml`.

    Returns
    -------
    libsbml.SBMLDocument
        Its model lives only as long as it.

    Raises
    ------
    ModelError
        It is no SBML, holds no model, or needs a package that is not supported.

    Examples
    --------
    >>> sbml_document(antimony_document("x = 1; x' = -x")[0]).getLevel()
    3
    """
    import libsbml

    document = libsbml.readSBMLFromString(text)
    _refuse_errors(document)
    if document.getLevel() < 3 and not document.setLevelAndVersion(3, 1, False):
        _refuse_errors(document)
        raise ModelError("This old SBML cannot be brought to Level 3. Convert it with its own tool first.")
    if document.getModel() is None:
        raise ModelError("This SBML holds no model.")
    document = _flat(document)
    _refuse_packages(document)
    _rename_reserved(document.getModel())
    return document


def _refuse_errors(document: Any) -> None:
    import libsbml

    problems = []
    for i in range(document.getNumErrors()):
        error = document.getError(i)
        if error.getSeverity() >= libsbml.LIBSBML_SEV_ERROR:
            said = " ".join(error.getMessage().split())
            problems.append(Problem(what=f"SBML line {error.getLine()}: {said}"))
    if problems:
        raise ModelError(problems)


def _refuse_packages(document: Any) -> None:
    needed = [document.getPlugin(i).getPackageName() for i in range(document.getNumPlugins())]
    for name in needed:
        if document.getPackageRequired(name) and name not in _WITHOUT_EFFECT:
            raise ModelError(f"This SBML needs the package {name!r}, which is not supported. Export it flat.")
    if document.getNumUnknownPackages():
        raise ModelError("This SBML needs a package that is not known here. Export it as core SBML.")


# ---- hierarchical models ---------------------------------------------------------------------------------


def _flat(document: Any) -> Any:
    """A hierarchical model (package comp) written out by libsbml's own converter; others as they are."""
    plugin = document.getPlugin("comp")
    if plugin is None:
        return document
    if plugin.getNumExternalModelDefinitions():
        one = plugin.getExternalModelDefinition(0)
        raise ModelError(
            f"This SBML takes the model {one.getId()!r} from another file ({one.getSource()!r}), which is not read: "
            "a model must not read files of its own accord. Export it flat."
        )
    if (parts := _parts(document, plugin)) > _MOST_PARTS:
        raise ModelError(
            f"The submodels of this SBML come to {parts:.6g} elements once written out; {_MOST_PARTS} are read. Export it flat."
        )
    import libsbml

    properties = libsbml.ConversionProperties()
    for name, value in (
        ("flatten comp", True),
        ("performValidation", True),
        ("leavePorts", False),
        ("abortIfUnflattenable", "all"),
    ):
        properties.addOption(name, value)
    document.getErrorLog().clearLog()
    # units are checked by our own means, and a matter of taste is no loss
    for category in (
        libsbml.LIBSBML_CAT_UNITS_CONSISTENCY,
        libsbml.LIBSBML_CAT_MODELING_PRACTICE,
    ):
        document.setConsistencyChecks(category, False)
    done = document.convert(properties)
    said = [
        " ".join(document.getError(i).getMessage().split())
        for i in range(document.getNumErrors())
        if document.getError(i).getSeverity() >= libsbml.LIBSBML_SEV_WARNING
    ]
    if done != libsbml.LIBSBML_OPERATION_SUCCESS or said:
        why = said or ["its converter gives no reason."]
        raise ModelError(
            Problem(
                what=f"This SBML is made of submodels (package 'comp') that libsbml cannot write out as one: {each}",
                remedy="Export it flat.",
            )
            for each in why
        )
    return document


def _parts(document: Any, plugin: Any) -> float:
    """How many elements a hierarchical model has once it is written out; infinite where it holds itself."""
    models = {}
    for i in range(plugin.getNumModelDefinitions()):
        each = plugin.getModelDefinition(i)
        models[each.getId()] = each
    sizes: dict[str, float] = {}

    def size(name: str, model: Any, above: frozenset[str]) -> float:
        if name in above:
            return math.inf
        if name not in sizes:
            inner = model.getPlugin("comp")
            submodels = [
                inner.getSubmodel(i).getModelRef() for i in range(inner.getNumSubmodels() if inner else 0)
            ]
            own = float(model.getListOfAllElements().getSize())
            sizes[name] = own + sum(
                size(each, models[each], above | {name}) for each in submodels if each in models
            )
        return sizes[name]

    if len(models) > _MOST_PARTS:
        return float(len(models))
    try:
        return size("", document.getModel(), frozenset())
    except RecursionError:  # a chain of models within models
        return math.inf


# ---- names -----------------------------------------------------------------------------------------------


def _rename_reserved(model: Any) -> None:
    """Give quantities called like a word of the formula language (pi, time, true) a name with a line behind it."""
    import libsbml

    # units have names of their own, and local parameters are named anew where they are read
    apart = (
        libsbml.SBML_UNIT_DEFINITION,
        libsbml.SBML_UNIT,
        libsbml.SBML_LOCAL_PARAMETER,
    )
    elements = [each for each in model.getListOfAllElements() if each.getTypeCode() not in apart]
    taken = {each.getId() for each in elements}
    for each in elements:
        old = each.getId()
        if old not in RESERVED:
            continue
        new = f"{old}_"
        while new in taken:
            new += "_"
        taken.add(new)
        each.setId(new)
        for other in elements:
            other.renameSIdRefs(old, new)
