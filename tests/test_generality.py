"""Nothing in the library belongs to one case: its code has no name of a shipped one, and names change no number."""

from __future__ import annotations

import ast
import doctest
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cellsim as cs
from cellsim.likelihood.formulation import objective_of
from cellsim.petab.tables import TableReader, table_text
from cellsim.predictions.plans import plans_of
from cellsim.report.products import plan_words
from cellsim.report.report_summary import learned_words

PACKAGE = Path(cs.__file__).resolve().parent
SMALL, LARGE = "cytopenia_synthetic", "sjogren_rfib"

# ---- the code -----------------------------------------------------------------------------------------------

# what shipped cases, their models and their tables are called, and words that only they need
NAMES = re.compile(
    r"purpura|rfib|ucmsc|\bIL-?\d|\bIFN|viable_|infusate|cytokine|lymphocyte|sj[oö]gren|fibroblast|own cells|donor|"
    r"alloimmun|acute pulse|disease drive|niche|\bkappa\b|unblinded|rheumat|photograph|lesion|published case|"
    r"cytopenia|platelet|bleeding|haemoglobin|synthetic patient of|\bCRP\b",
    re.IGNORECASE,
)
# quantities of one letter, and variants: as text alone
SHORT = re.compile(r"[\"'](?:D|R|P|V|Z|t_R|k_LT|accounted|V[0-6]b?)[\"']")
# of units, marks of parameters, factors of matrices, markers of figures
ELSEWHERE = {
    "case/assumptions.py", "case/audit.py", "cli/options.py", "compiler/lu.py", "compiler/lu_tables.py", "compiler/sensitivity_kernels.py", "compiler/sensitivity_tables.py", "dates.py",
    "plots/comparisons.py", "plots/fits.py", "streams.py", "units.py",
}  # fmt: skip
# a synthetic patient, a word for what is graded: said of any case
ALLOWED = {
    "case/records.py": ("bleeding",),
    "spreadsheets/doses.py": ("donor",),
    "likelihood/replicates.py": ("synthetic patient",),
}


def _without_examples(text: str) -> str:
    """Source without what docstrings show of a session."""
    parser = doctest.DocTestParser()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        written = ast.get_docstring(node, clean=False) or ""
        for example in parser.get_examples(written) if ">>>" in written else ():
            for line in filter(str.strip, (example.source + example.want).split("\n")):
                shown = re.escape(line.strip().replace("\\", "\\\\"))
                text = re.sub(rf"(?m)^.*{shown}\s*$", "", text, count=1)
    return text


def _found() -> Iterator[str]:
    for path in sorted(
        each for each in PACKAGE.rglob("*") if each.suffix in (".py", ".css", ".html", ".txt")
    ):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(("models/", "calibration/")):
            continue
        text = path.read_text(encoding="utf-8")
        for number, line in enumerate(
            _without_examples(text).split("\n") if path.suffix == ".py" else [text], 1
        ):
            hits = [hit for hit in NAMES.findall(line) if hit.lower() not in ALLOWED.get(name, ())]
            hits += SHORT.findall(line) if name not in ELSEWHERE else []
            yield from (f"{name}: {hit!r} in {number}: {line.strip()[:90]}" for hit in hits)


def test_the_code_has_no_name_of_a_shipped_case() -> None:
    assert list(_found()) == []


# ---- the numbers --------------------------------------------------------------------------------------------

# columns that hold names, or formulas made of names
COLUMNS = {
    "observableId", "observableFormula", "observablePlaceholders", "noiseFormula", "observableParameters", "analyte", "panel",
    "quantity", "quantityId", "baseline", "parameterId", "productId", "product", "state", "rate", "visitId", "targetId",
    "targetValue", "conditionId", "group", "switch", "first", "second", "scale", "cutPoints", "model_subspace_id", "variantId",
}  # fmt: skip


def renamed(case: cs.Case, seed: int) -> tuple[cs.Case, dict[str, str]]:
    """The case with every state, parameter, observable, analyte, panel, product, visit, group and variant called otherwise."""
    model = cs.load_model(case.model)
    words = [each.name for each in (*model.states, *model.assignments, *model.parameters, *model.events)]
    words += [
        name for each in case.analytes for name in (each.observable, each.id, each.panel, *each.placeholders)
    ]
    words += [
        name for each in case.priors for name in (each.id, each.group) if not each.id.startswith("day_")
    ]
    words += [each.name for each in case.products] + [each.id for each in (*case.visits, *case.variants)]
    words += [each.observable for each in case.grades]
    chance = random.Random(seed)
    unique = [each for each in dict.fromkeys(words) if each]
    numbers = chance.sample(range(10 * len(unique)), len(unique))
    names = {
        each: f"{chance.choice('qwzjkx')}{number}{chance.choice('ab')}"
        for each, number in zip(unique, numbers, strict=True)
    }
    names |= {f"day_{each.id}": f"day_{names[each.id]}" for each in case.visits}
    token = re.compile(
        "|".join(rf"(?<![\w.]){re.escape(each)}(?!\w)" for each in sorted(names, key=len, reverse=True))
    )

    def new(text: str) -> str:
        return token.sub(lambda found: names[found[0]], text)

    files: dict[str, str] = {}
    for file, text in case.files.items():
        if file.endswith(".tsv"):
            rows = TableReader({file: text}).table(file, ())
            head = text.split("\n", 1)[0].split("\t")
            ledger = file == "study.tsv"
            files[file] = table_text(
                [names.get(each, each) if file == "model_space.tsv" else each for each in head],
                [
                    {
                        names.get(key, key) if file == "model_space.tsv" else key: new(value)
                        if key in COLUMNS or (ledger and row.of("field") == "ledger")
                        else value
                        for key, value in row.items()
                    }
                    for row in rows
                ],
            )
        else:
            files[file] = text
    [location] = [file for file in files if file.endswith(".xml")]
    files[location] = _in_sbml(files[location], names)
    return cs.load_case(files), names


def _in_sbml(text: str, names: Mapping[str, str]) -> str:
    """SBML with other identifiers, wherever an attribute or a formula holds one."""
    for old in sorted(names, key=len, reverse=True):
        text = re.sub(
            rf'(\b(?:id|variable|symbol|species|parameter)=")({re.escape(old)})(")',
            rf"\g<1>\0{names[old]}\g<3>",
            text,
        )
        text = re.sub(rf"(<ci> )({re.escape(old)})( </ci>)", rf"\g<1>\0{names[old]}\g<3>", text)
    return text.replace("\0", "")


def answers(case: cs.Case, variant: str) -> dict[str, Any]:
    """What a fit, its sweep and a report's sentences say, names aside."""
    fit = cs.calibrate(case, variant=variant, starts=1, seed=2)
    plans = {str(k): each.schedule for k, each in enumerate(plans_of(case))}
    found = cs.sweep(fit, plans, until=196, draws=6, seed=3)
    said = " ".join([*plan_words(found), *learned_words(fit)])
    return {
        "theta": fit.theta,
        "evidence": fit.log_evidence,
        "sweep": found.posterior,
        "prior": found.prior,
        "curves": [found.curves[each] for each in found.curves],
        "contrasts": found.contrasts()[["difference", "low", "high", "above"]].to_numpy(),
        "said": [float(each) for each in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*[ab]\b)", said)],
    }


def test_other_names_change_no_number_of_a_small_case() -> None:
    """Witness: the shipped synthetic case itself. Products count cells and mg, grades have three levels."""
    case = cs.load_case(SMALL)
    other, names = renamed(case, seed=5)
    assert not set(names) & {each.name for each in cs.load_model(other.model).parameters}
    expected, found = (answers(each, each.default_variant) for each in (case, other))
    assert len(expected["said"]) > 20
    for what, numbers in expected.items():
        exact: Any = (
            {"rel": 1e-2, "abs": 0.11} if what == "said" else {"rel": 1e-4, "abs": 1e-6, "nan_ok": True}
        )
        if what == "curves":
            for one, same in zip(numbers, found[what], strict=True):
                assert same == pytest.approx(one, **exact)
        else:
            assert np.asarray(found[what]) == pytest.approx(np.asarray(numbers), **exact), what


@pytest.mark.slow
def test_other_names_change_no_number_of_the_large_case() -> None:
    """Witness: the shipped case itself; -2 ln posterior and its gradient at three places of the prior."""
    case = cs.load_case(LARGE)
    other, _ = renamed(case, seed=6)
    one, same = objective_of(case), objective_of(other)
    for theta in 0.5 * np.random.default_rng(1).standard_normal((3, len(one.names))):
        expected, found = (each.evaluate(theta, gradient=True, rtol=1e-8) for each in (one, same))
        assert found.objective == pytest.approx(expected.objective, rel=1e-6)
        assert found.gradient == pytest.approx(expected.gradient, rel=1e-3, abs=1e-4)


# ---- the second case ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cytopenia() -> cs.Calibration:
    return cs.calibrate(cs.load_case(SMALL), starts=1, seed=1)


def test_the_synthetic_case_has_what_the_other_has_not(cytopenia: cs.Calibration) -> None:
    case = cytopenia.case
    assert [(each.name, each.source, each.unit) for each in case.products] == [
        ("anti", "", "mg"), ("graft", "autologous", "cells")
    ]  # fmt: skip
    assert (len(case.visits), len(case.analytes), len(case.variants), case.questions) == (4, 6, 2, ())
    assert {each.distribution for each in case.analytes} == {"normal", "log-normal"} and case.censored
    assert {each.cuts for each in case.grades} == {("bleed_cut", "bleed_cut + bleed_gap")}
    assert (
        "synthetic" in case.label
        and case.timeline.total("anti") == 2400
        and case.timeline.total("graft") == 2e8
    )
    assert str(case.schedule).endswith("all products: total 6 doses, 2400 mg and 2.0e8 cells")
    assert [each for each in case.check() if each.severity == "error"] == []
    # the truth, which stands in the script, lies within what the fit says of it
    for name, true in _script().TRUTH.items():
        if name in cytopenia.objective.names:
            row = cytopenia.table().set_index("parameter").loc[name]
            assert row["low"] < true < row["high"], name


def test_its_rows_are_those_of_the_seed() -> None:
    files = cs.load_case(SMALL).files
    assert {name: files[name] == text for name, text in _script().tables().items()} == {
        "measurements.tsv": True, "extended.tsv": True
    }  # fmt: skip


def _script() -> Any:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(
        "synthetic_case", Path(__file__).parents[1] / "benchmarks/synthetic_case.py"
    )
    assert spec is not None and spec.loader is not None
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_antibody_has_the_half_life_its_clearance_and_volumes_give() -> None:
    """Witness: the smaller eigenvalue of two compartments, by the quadratic formula."""
    model = cs.load_model("cytopenia")
    value = {each.name: each.value for each in model.parameters}
    out, to, back = value["CL"] / value["V_c"], value["Q"] / value["V_c"], value["Q"] / value["V_p"]
    total = out + to + back
    slow = (total - np.sqrt(total**2 - 4 * out * back)) / 2
    assert np.log(2) / slow == pytest.approx(19.2, abs=0.1)
    dose = cs.Schedule.at([0], cells=600, product="drug_c")
    seen = cs.simulate(model, dose, [60.0, 90.0], rtol=1e-9)["conc"]
    assert np.log(seen[0] / seen[1]) / 30 == pytest.approx(slow, rel=1e-4)


def test_units_of_both_products_stand_in_figures(cytopenia: cs.Calibration) -> None:
    import matplotlib.pyplot as plt

    from cellsim import plots

    case = cytopenia.case
    plans = {each.name: each.schedule for each in plans_of(case)}
    assert list(plans) == ["as given", "without anti", "without graft", "nothing"]
    result = cs.sweep(cytopenia, plans, until=196, draws=6, seed=1)
    axes = plots.sweep(result)
    assert [ax.get_title(loc="left") for ax in axes[:4]] == [
        "as given: 6 doses, 2400 mg and 2.0e8 cells",
        "without anti: 2 infusions, 2.0e8 cells",
        "without graft: 4 doses, 2400 mg",
        "nothing: no doses",
    ]
    assert [ax.get_xlabel().replace("\n", " ") for ax in axes[4:]] == [
        "days with platelets below 50",
        "platelets on the last day (10⁹ cells/L), day 196",
    ]
    # nobody is in range under any plan by then, and words say so
    said = " ".join(axes[3].get_xlabel().split())
    assert "chance: platelets and haemoglobin in range, day 196: below 0.005 under every schedule" in said
    amounts = plots.persistence(cytopenia, draws=4)
    assert [(ax.get_ylabel(), ax.get_yscale()) for ax in amounts] == [
        ("antibody in the body\n(mg)", "linear"), ("cells alive", "log")
    ]  # fmt: skip
    drawn = plots.drives(cytopenia, draws=4)
    assert drawn[-1].get_ylabel() == "bleeding\n(grade, 0 to 2)" and list(drawn[-1].get_yticks()) == [0, 1, 2]
    off = cs.calibrate(case, variant="antibody_only", starts=1, seed=1)
    assert len(plots.drives(off, draws=4)) == len(drawn) - 1  # its switch is at zero
    # amounts in several units have no sum
    table = result.table().drop_duplicates("schedule").set_index("schedule")["cells"]
    assert np.isnan(table["as given"]) and table["without graft"] == 2400 and table["without anti"] == 2e8
    notes = result.contrasts().drop_duplicates(["first", "second"]).set_index(["first", "second"])["note"]
    assert notes["as given", "without anti"].startswith("unequal amounts: 2400 mg and 0 mg;")
    plt.close("all")


def test_its_page_has_no_sentence_that_does_not_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures aside: no null, no other product of the kind, no sample effect, no printed table; every section stands."""
    from html import unescape

    from cellsim.report.overview import pages_of
    from cellsim.report.page import ReportFolder
    from cellsim.report.steps import LONG, Job

    drawn: list[str] = []
    monkeypatch.setattr(
        "cellsim.report.page.ReportFolder.draw",
        lambda self, name, caption, make, alt, at="", folded=False, of=(): (
            drawn.append(name) or f"{caption} {alt}"
        ),
    )
    case = cs.load_case(SMALL)
    both = tuple(each.id for each in case.variants)
    job = Job(
        case, ReportFolder(tmp_path), starts=1, draws=6, effective=4, seed=1, variants=both, without=LONG
    )
    for name in both:
        job.calibrate(name)
        job.ask(name)
    page = unescape(
        re.sub(r"<style>.*?</style>|<[^>]+>", " ", pages_of(job, {})["index.html"], flags=re.DOTALL)
    )
    assert job.output.failures == {} and {"fit", "drives", "persistence", "what_if", "what_if_last"} <= set(
        drawn
    )
    wrong = re.findall(
        r"(?i)[{}]|\bnulls?\b|sample effect|allogeneic|autologous cells|printed table|purpura|disease drive|uncontrolled",
        page,
    )
    assert wrong == []
    for said in (
        "days with platelets below 50",
        "2400 mg and 2.0 × 10⁸ cells",
        "a synthetic patient",
        "without graft",
    ):
        assert said in page
