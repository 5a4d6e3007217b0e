"""A model file in the other of its two languages."""

from __future__ import annotations

from pathlib import Path

from cellsim.delimited import file_text
from cellsim.errors import ModelError, Problem
from cellsim.files import write_whole
from cellsim.foreign.trial import from_file
from cellsim.library import is_shipped
from cellsim.model.antimony import antimony_to_sbml
from cellsim.model.model import load_model

__all__ = ["converted"]

_SBML = (".xml", ".sbml")


def converted(source: Path, target: Path | None = None) -> Path | None:
    """Write a model of Antimony as SBML, or one of SBML as Antimony; see ``cellsim convert``.

    Parameters
    ----------
    source : path
        A file: SBML where its name ends in ``.xml`` or ``.sbml``, Antimony otherwise.
    target : path, optional
        By default beside it, with the other ending. Its ending says what is written.

    Returns
    -------
    path or None
        What was written; None where it says the same already.

    Raises
    ------
    ModelError
        If the source is no model or cannot be read, or both are of one language.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> source = Path(mkdtemp()) / "decay.ant"
    >>> _ = source.write_text("x = 10; x' = -k*x; k = 0.5")
    >>> converted(source).name, converted(source.with_suffix(".xml"), source.with_name("back.ant")).name
    ('decay.xml', 'back.ant')
    """
    of_sbml = source.suffix.lower() in _SBML
    target = source.with_suffix(".ant" if of_sbml else ".xml") if target is None else target
    if (target.suffix.lower() in _SBML) == of_sbml:
        one, other = ("SBML", ".ant") if of_sbml else ("Antimony", ".xml")
        raise ModelError(
            f"{source} and {target} are both {one} by their names; call the second {target.stem}{other}."
        )
    try:
        text = file_text(source) if is_shipped(source) else from_file(file_text(source))
    except (OSError, ValueError) as error:
        raise ModelError(f"{source} cannot be read: {error}.") from None
    try:
        new = load_model(text).to_antimony() if of_sbml else antimony_to_sbml(text)
    except ModelError as error:
        raise ModelError(
            Problem(what=each.what, remedy=each.remedy, file=str(source), row=each.row)
            for each in error.problems
        ) from None
    if target.exists() and target.read_text(encoding="utf-8") == new:
        return None
    write_whole(target, new)
    return target
