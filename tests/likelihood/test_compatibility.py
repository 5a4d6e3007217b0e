"""Results are refused where they are not of the case, model, variant or noise they are given as."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patients import small_fit, small_patient, small_posterior

import cellsim as cs
from cellsim.case.case import load_case
from cellsim.comparison import variants
from cellsim.comparison.alterations import Alteration
from cellsim.comparison.comparison import Comparison
from cellsim.comparison.robustness_table import Robustness
from cellsim.comparison.variants import comparison_of
from cellsim.errors import CalibrationError
from cellsim.likelihood.compatibility import unlike, variants_chosen
from cellsim.likelihood.formulation import objective_of
from cellsim.model.model import load_model


def other_patient() -> cs.Case:
    """The same patient with one reading higher: everything else is equal, names included."""
    files = small_patient().files
    changed = files["measurements.tsv"].replace("\t109.0\t", "\t119.0\t")
    assert changed != files["measurements.tsv"]
    return load_case({**files, "measurements.tsv": changed})


def test_an_objective_is_like_itself_read_again() -> None:
    case = small_patient()
    again = objective_of(
        load_case(case.files), load_model(load_model(case.model).to_sbml()), variant="V0", rtol=1e-4
    )
    assert not unlike(again, objective_of(case, variant="V0"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: objective_of(small_patient(), variant="V0"), "it is of variant 'V0', not 'V2'"),
        (lambda: objective_of(other_patient()), "its case says other things in measurements.tsv"),
        (lambda: objective_of(load_case("sjogren_rfib")), "its case is 'sjogren_rfib', not 'small'"),
        (lambda: objective_of(small_patient(), degrees=4), "its noise has 4 degrees of freedom, not infinitely many"),
        (
            lambda: objective_of(
                small_patient(), load_model(small_patient().model).with_rate("R", "0.07*(L_auto + L_allo) - 0.015*R")
            ),
            "its model is another one",
        ),
        (
            lambda: replace(objective_of(small_patient()), terms=objective_of(small_patient()).terms[1:]),
            "it scores 8 rows where 9 other ones are scored",
        ),
    ],
)  # fmt: skip
def test_a_difference_that_moves_a_result_is_told(given: Any, words: str) -> None:
    assert words in unlike(given(), objective_of(small_patient(), variant="V2"))


@cache
def drawn() -> cs.Posterior:
    return cs.sample(small_fit("V0"), method="nuts", draws=4, tune=40, hierarchy=False)


def test_comparisons_refuse_results_filed_under_another_name() -> None:
    fits = {"V2": small_fit("V2"), "V0": small_fit("V0")}
    with pytest.raises(CalibrationError, match=r"given for 'V2' is not of it: it is of variant 'V0'"):
        comparison_of({"V2": fits["V0"]})
    with pytest.raises(CalibrationError, match=r"given for 'V0' is not of it.*measurements.tsv"):
        comparison_of({"V2": fits["V2"], "V0": cs.calibrate(other_patient(), variant="V0", starts=1)})
    with pytest.raises(CalibrationError, match="no calibration"):
        comparison_of({})
    with pytest.raises(
        CalibrationError, match="given for 'V2' is not of it: it is of variant 'V0', not 'V2'"
    ):
        comparison_of(fits, posteriors={"V2": drawn()})


def test_posteriors_are_looked_at_before_anything_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    import cellsim.comparison.variants as module

    post = drawn()
    monkeypatch.setattr(module, "calibrate", lambda *_, **__: pytest.fail("nothing is to be fitted"))
    with pytest.raises(CalibrationError, match="for 'V0': no such variant is compared"):
        cs.compare(small_patient(), variants=["V2"], posteriors={"V0": post})


def test_robustness_refuses_fits_of_another_case_or_name() -> None:
    case = small_patient()
    with pytest.raises(CalibrationError, match="is not of it: it is of variant 'V0', not 'V2'"):
        cs.robustness(case, fits={"V2": small_fit("V0")}, alterations=[])
    with pytest.raises(CalibrationError, match=r"its case says other things in measurements\.tsv"):
        cs.robustness(other_patient(), fits={"V2": small_fit("V2")}, alterations=[])
    with pytest.raises(CalibrationError, match="for 'V9': no such variant"):
        cs.robustness(case, fits={"V9": small_fit("V2")}, alterations=[])


def test_robustness_leaves_fits_of_variants_not_asked_about_alone() -> None:
    found = cs.robustness(
        small_patient(),
        variants="V0",
        fits={"V0": small_fit("V0"), "V2": small_fit("V2")},
        posteriors={"V0": small_posterior("V0")},
        alterations=[],
    )
    assert found.variants == ("V0",)
    assert found.base.evidence["V0"] == pytest.approx(small_posterior("V0").log_evidence)


def test_robustness_of_a_changed_mechanism() -> None:
    """Another model is fitted where nothing is given, and sampled: its evidence is that of its own calibration, nearly."""
    case = small_patient()
    model = load_model(case.model).with_rate("R", "0.12*(L_auto + L_allo) - 0.03*R")
    found = cs.robustness(case, model, variants=["V2"], alterations=[], starts=1, seed=1)
    assert found.base.evidence["V2"] == pytest.approx(
        cs.calibrate(case, model, starts=1, seed=1).log_evidence, abs=0.5
    )
    assert abs(found.base.evidence["V2"] - small_posterior("V2").log_evidence) > 1e-3


@pytest.mark.parametrize(
    ("alteration", "words"),
    [
        ({"held": {"kapa": 1.0}}, "small has no parameter 'kapa'. Did you mean 'kappa'?"),
        ({"spread": {"bas_IL6": 2.0}}, "no parameter 'bas_IL6'"),
        ({"without_analyte": "IL9"}, "no analyte 'IL9'. Did you mean"),
        ({"without_visit": "during"}, "no visit 'during'"),
    ],
)
def test_alterations_that_would_alter_nothing_are_refused(alteration: Any, words: str) -> None:
    typo = Alteration(id="typo", group="prior", name="typo", **alteration)
    with pytest.raises(CalibrationError) as caught:
        cs.robustness(
            small_patient(), fits={"V2": small_fit("V2"), "V0": small_fit("V0")}, alterations=[typo]
        )
    assert words in str(caught.value)


@pytest.mark.parametrize("numbers", [{"spread": {"e": -1.0}}, {"held": {"e": np.nan}}, {"degrees": 0.0}])
def test_alterations_with_impossible_numbers_cannot_be_made(numbers: Any) -> None:
    with pytest.raises(CalibrationError, match="alteration 'odd'"):
        Alteration(id="odd", group="prior", name="odd", **numbers)


def test_variants_are_chosen_by_names_the_case_has() -> None:
    case = small_patient()
    assert variants_chosen(case, None) == ("V2", "V0")
    assert variants_chosen(case, "V0") == ("V0",) and variants_chosen(case, ["V0", "V0"]) == ("V0",)
    with pytest.raises(CalibrationError, match=r"2 problems:\nno variant 'V8'.*\nno variant 'V9'"):
        variants_chosen(case, ["V8", "V2", "V9"])
    with pytest.raises(CalibrationError, match=r"no variant of small was asked for\. Known: V2, V0"):
        variants_chosen(case, [])


@pytest.mark.parametrize("call", [cs.compare, cs.robustness, cs.calibrate])
def test_a_name_is_no_case(call: Any) -> None:
    with pytest.raises(
        CalibrationError, match=r"'sjogren_rfib' is none. Load one first: cs.load_case\('sjogren_rfib'\)"
    ):
        call("sjogren_rfib")


@pytest.mark.parametrize("call", [cs.sample, cs.profile, cs.identify, cs.sweep])
def test_a_name_is_no_calibration(call: Any) -> None:
    with pytest.raises(CalibrationError, match=r"'sjogren_rfib' is none"):
        call("sjogren_rfib", **({"schedules": {}, "until": 1.0} if call is cs.sweep else {}))


# ---- files that were cut off or edited ----------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, dict[str, Any]]]:
    home = tmp_path_factory.mktemp("saved")
    fits = {"V2": small_fit("V2"), "V0": small_fit("V0")}
    known = {name: small_posterior(name) for name in fits}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "_TRIED", 0)  # other priors of all groups together, not of each
        compared = comparison_of(fits, posteriors=known, leave_out=False)
    made: dict[str, Any] = {
        "calibration": fits["V2"],
        "comparison": compared,
        "robustness table": cs.robustness(small_patient(), fits=fits, posteriors=known, alterations=[]),
    }
    out = {}
    for name, each in made.items():
        path = home / f"{name}.json"
        each.save(path)
        out[name] = (type(each), json.loads(path.read_text()))
    return out


@pytest.mark.parametrize("kind", ["calibration", "comparison", "robustness table"])
def test_files_with_parts_missing_are_refused_in_words(kind: str, files: Any, tmp_path: Path) -> None:
    reader, content = files[kind]
    path = tmp_path / "edited.json"
    for part in content:
        if part in (
            "format",
            "degrees",
            "point",
        ):  # the last two say by their absence what the usual value is
            continue
        path.write_text(json.dumps({key: each for key, each in content.items() if key != part}))
        with pytest.raises(CalibrationError, match=f"{kind} with parts missing or changed"):
            reader.load(path)
    path.write_text(json.dumps(content)[:-40])
    with pytest.raises(CalibrationError, match="is not JSON"):
        reader.load(path)
    with pytest.raises(CalibrationError, match=r"nowhere.json cannot be read: No such file"):
        reader.load(tmp_path / "nowhere.json")


def test_every_kind_of_file_says_what_it_is_not(files: Any, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    for kind, (_, content) in files.items():
        path.write_text(json.dumps(content))
        for other in (cs.Calibration, Comparison, Robustness):
            if files[kind][0] is not other:
                with pytest.raises(CalibrationError, match="is not a saved"):
                    other.load(path)


def test_an_optimum_of_another_size_is_refused(files: Any, tmp_path: Path) -> None:
    content = files["calibration"][1]
    modes = [{**mode, "theta": mode["theta"][:-1]} for mode in content["modes"]]
    (tmp_path / "short.json").write_text(json.dumps({**content, "modes": modes}))
    with pytest.raises(CalibrationError, match="has an optimum of"):
        cs.Calibration.load(tmp_path / "short.json")
