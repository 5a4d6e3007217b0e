"""What a case is asked stands in tables: read with every error at once, and whatever is missing is asked of nobody."""

from __future__ import annotations

import numpy as np
import pytest
from small_cases import tiny_case

import cellsim as cs
from cellsim.case.grading import grading_of, linear_form
from cellsim.case.outcomes import ASKED_TABLES
from cellsim.errors import CaseError
from cellsim.likelihood.formulation import objective_of
from cellsim.predictions.measures import default_measures

MODEL = "x = 10; x' = -k*x; k = 1; w = 1"
HEADS = {
    "outcomes.tsv": "outcomeId\tmeasure\tquantity\tlevel\tbetter\tlabel\tunit\n",
    "groups.tsv": "group\trole\n",
    "quantities.tsv": "quantityId\tfigure\tproduct\tswitch\tlabel\n",
    "questions.tsv": "questionId\tkind\tfirst\tsecond\tquantity\twithin\tclaim\n",
    "study.tsv": "field\tvalue\n",
}


def case(**tables: str) -> cs.Case:
    return tiny_case(
        MODEL,
        {"y": "x"},
        [("y", 1.0, 4.0)],
        {"k": ("log-normal", 0.0, 1.0)},
        groups={"k": "fates"},
        tables={f"{name}.tsv": HEADS[f"{name}.tsv"] + rows for name, rows in tables.items()},
    )


def test_a_case_without_these_tables_asks_nothing() -> None:
    bare = case()
    assert (bare.outcomes, bare.mechanism, bare.shown, bare.questions, bare.design) == ((), (), (), (), "")
    assert bare.label == "n = 1; schedule rankings reflect priors; not for treatment decisions."
    measures = default_measures(cs.load_model(MODEL), case=bare)
    # its analyte has no limits to be within
    assert [type(each).__name__ for each in measures] == ["Value"]


def test_what_the_tables_say_is_what_the_case_has() -> None:
    made = case(
        outcomes="low\tdays below\tx\t2\thigher\tdays of rest\tdays\nlast\tvalue\ty\t\tlower\t\t\n",
        groups="fates\tpersistence; rejection\n",
        quantities="x\tcourse\t\tw\twhat there is (mg)\n",
        questions="soon\tafter dose\t\t\t\t2\tshows the peak\n",
        study="design\topen\n",
    )
    first, last = made.outcomes
    assert (first.key, first.course, first.text(3.4)) == (("days below 2", "x"), "x", "3 days")
    assert (last.key, last.label, last.better) == (("value", "y"), "value of y", "lower")
    assert (
        made.groups_of("rejection") == made.mechanism == ("fates",) and made.groups_of("sample effect") == ()
    )
    assert made.shown[0].switch == "w" and made.questions[0].within == 2.0
    assert made.label.startswith("n = 1, open; ")
    assert cs.load_case(made.files) == made and set(ASKED_TABLES) <= set(made.files)


def test_every_slip_is_told_at_once_with_its_place_and_what_was_meant() -> None:
    with pytest.raises(CaseError) as caught:
        case(
            outcomes="a\tdays blow\tx\t\t\t\t\nb\tdays below\txx\t1\tbetter\t\t\nc\tvalue\tyy\t3\t\t\t\nc\tdays below\tx\t\t\t\t\n",
            groups="fate\tpersistance\n",
            quantities="z\tcurve\tpill\tww\t\n",
            questions="q\tproducts\tpill\t\tx\t\tbetter\n",
            study="desing\topen\n",
        )
    told = {(each.file, each.row): f"{each.what} {each.remedy}" for each in caught.value.problems}
    for place, word in (
        (("outcomes.tsv", 2), "days below"),
        (("outcomes.tsv", 4), "takes no level"),
        (("outcomes.tsv", 5), "takes a level"),
        (("groups.tsv", 2), "persistence"),
        (("quantities.tsv", 2), "ww"),
        (("questions.tsv", 2), "needs second"),
        (("study.tsv", 2), "design"),
    ):
        assert word in told[place], place
    with pytest.raises(CaseError, match="the model has no 'xx'"):
        case(outcomes="b\tdays below\txx\t1\t\t\t\n")


# ---- grades of any number of levels -----------------------------------------------------------------------


def graded(levels: int, *, scale: str = "s") -> cs.Case:
    """A finding of `levels` grades, read at every one of them; cut-points a parameter apart."""
    cuts = ";".join(["c", *(f"c + {k}*gap" for k in range(1, levels - 1))])
    head = "observableId\tkind\tday\tlower\tupper\tquantity\tscale\tcutPoints\tscored\n"
    rows = "".join(f"spots\tgraded\t{k + 1}\t{k}\t{k}\tx\t{scale}\t{cuts}\ttrue\n" for k in range(levels))
    prior = (
        "parameterId\tlowerBound\tupperBound\tnominalValue\testimate\tpriorDistribution\tpriorParameters\n"
    )
    beside = (
        f"{prior}c\t-inf\tinf\t0.5\ttrue\tnormal\t0.5;1\n"
        + "gap\t0\tinf\t0.7\ttrue\tlog-normal\t-0.36;0.5\n" * (levels > 2)
        + "s\t0\tinf\t0.4\ttrue\tlog-normal\t-0.9;0.3\n"
    )
    return tiny_case(
        MODEL, {"y": "x"}, [("y", 1.0, 4.0)], {"k": ("log-normal", -1.0, 0.5)},
        tables={"extended.tsv": head + rows, "parameters_extended.tsv": beside},
    )  # fmt: skip


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_grades_of_any_number_are_an_ordered_logit(levels: int) -> None:
    """Witness: S((above - ln x)/s) - S((below - ln x)/s) written out, and central differences for every parameter."""
    objective = objective_of(graded(levels))
    theta = np.linspace(-0.6, 0.7, len(objective.names))
    values = objective.values(theta)
    cuts = [-np.inf, *(values["c"] + k * values.get("gap", 0.0) for k in range(levels - 1)), np.inf]
    expected = 0.0
    for k in range(levels):
        at = np.log(10.0) - values["k"] * (k + 1)
        below, above = (1 / (1 + np.exp(-(cut - at) / values["s"])) for cut in (cuts[k], cuts[k + 1]))
        expected += np.log(above - below)
    assert objective.parts(theta)["graded"] == pytest.approx(expected, rel=1e-4)
    slope = objective.evaluate(theta, gradient=True, rtol=1e-9).gradient
    step = 1e-4
    for j, name in enumerate(objective.names):
        move = step * np.eye(theta.size)[j]
        up, down = (objective.evaluate(theta + sign * move, rtol=1e-9).objective / 2 for sign in (1, -1))
        assert slope[j] == pytest.approx((up - down) / (2 * step), rel=1e-4, abs=1e-5), name


def test_a_scale_that_cannot_be_is_refused() -> None:
    assert linear_form("c - 2*gap + 0.5") == (0.5, (("c", 1.0), ("gap", -2.0)))
    with pytest.raises(CaseError, match="no sum of parameters"):
        grading_of("s", ["c*gap"])
    files = graded(3).files
    for change, word in (
        (("c;c + 1*gap", "c;c - 1*gap"), "do not rise"),
        (("c;c + 1*gap", "c;c + 1*gapp"), "gapp"),
        (("\ts\tc;", "\t\tc;"), "nothing says its scale"),
        (("2\t2\tx", "3\t3\tx"), "grades 0 to 2"),
    ):
        with pytest.raises(CaseError, match=word):
            cs.load_case({**files, "extended.tsv": files["extended.tsv"].replace(*change)})
