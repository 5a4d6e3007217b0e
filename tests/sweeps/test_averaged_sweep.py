"""Sweeps averaged over mechanisms by their evidence: closed forms of mixtures of Gaussian answers."""

import numpy as np
import pytest
from scipy import stats
from small_cases import tiny_case

import cellsim as cs
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError
from cellsim.predictions.measures import InRange

PLANS = {"none": Schedule(), "one": Schedule.at([0], cells=1.0, product="m")}


class Fixed:
    """A source with an evidence and its error, which draws as another one does."""

    def __init__(self, fit: cs.Calibration, log_evidence: float, error: float) -> None:
        self.case, self.objective, self.variant = fit.case, fit.objective, fit.variant
        self.approximation, self.draws = fit.approximation, fit.draws
        self.log_evidence, self.log_evidence_error = log_evidence, error


@pytest.fixture(scope="module")
def fits() -> list[cs.Calibration]:
    """m' = r, and m jumps by the dose: in A the row says r = 1, in B it is held at 0."""
    case = tiny_case(
        "m = 0; m' = r; r = 0",
        {"y": ("m", 0.5, "normal")},
        [("y", -1.0, 1.0)],
        {"r": ("normal", 0.0, 1.0)},
        variants={"A": {"r": "estimate"}, "B": {"r": 0}},
        start=-2.0,
    )
    return [cs.calibrate(case, variant=name, starts=1) for name in ("A", "B")]


def test_an_average_is_the_mixture_by_weight(fits: list[cs.Calibration]) -> None:
    """The area of m from day 0 to 2 is that of r, Gaussian in A and known in B; the pooled median solves a mixture's equation."""
    fit_a, fit_b = fits
    found = cs.sweep(
        [(fit_a, 3.0), (fit_b, 1.0)], PLANS, until=2, measures=["at(m, 2)", InRange((2.0,), True)], draws=2000
    )
    assert found.weights == {"A": pytest.approx(0.75), "B": pytest.approx(0.25)}
    table = found.table()
    mean = float(table[(table["variant"] == "A") & (table["quantity"] == "at(m, 2)")]["estimate"].iloc[0])
    sd = float(found.sweeps["A"].posterior[0, 0].std())
    # below 0 lies 3/4 Phi(-mean/sd), and at 0 the quarter of B: the median is 0 while these reach one half
    below = 0.75 * stats.norm.cdf(-mean / sd)
    assert below < 0.5
    exact = 0.0 if below + 0.25 >= 0.5 else mean + sd * stats.norm.ppf((0.5 - 0.25) / 0.75)
    average = table[(table["variant"] == "average") & (table["quantity"] == "at(m, 2)")].iloc[0]
    assert average["estimate"] == pytest.approx(exact, abs=4 * average["error"] + 1e-9)
    chances = table[table["quantity"] == "y"].pivot_table(
        index="schedule", columns="variant", values="estimate"
    )
    assert chances["average"].to_numpy() == pytest.approx(
        (0.75 * chances["A"] + 0.25 * chances["B"]).to_numpy()
    )
    first = found.contrasts().iloc[0]
    assert (first["larger"], first["said"], first["hangs_on"]) == ("second", "second", "")
    assert "- A: 0.750" in found.report()


def test_the_error_of_an_evidence_is_an_error_of_the_average(fits: list[cs.Calibration]) -> None:
    """w = 1/(1 + exp(d)), d the difference of two evidences of error s each: to first order sd(w) = w (1 - w) s sqrt 2."""
    sources = [Fixed(fits[0], -3.0, 0.1), Fixed(fits[1], -4.0, 0.1)]
    found = cs.sweep(sources, PLANS, until=2, measures=[InRange((2.0,), True), "at(m, 2)"], draws=50)
    weight = 1 / (1 + np.exp(-1.0))
    assert found.weights["A"] == pytest.approx(weight)
    assert found.weight_errors["A"] == pytest.approx(weight * (1 - weight) * 0.1 * np.sqrt(2), rel=0.15)
    ranking = found.ranking("formula", "at(m, 2)", better="higher")
    assert ranking["schedule"].tolist() == ["one", "none"]
    # the dose adds 1 in every draw of either: nothing to regret in the first, exactly 1 in the second, whatever the weights
    assert ranking["regret"].tolist() == pytest.approx([0.0, 1.0], abs=1e-6)
    assert ranking["worst_regret"].tolist() == pytest.approx([0.0, 1.0], abs=1e-6)
    assert ranking["tie"].tolist() == [True, False]


def test_worst_regret_is_that_of_the_variant_it_is_greatest_in(fits: list[cs.Calibration]) -> None:
    found = cs.sweep(
        [(fits[0], 1.0), (fits[1], 1.0)],
        {"none": Schedule(), "one": Schedule.at([0], cells=1.0, product="m")},
        until=2, measures=["at(m, 2)*at(m, 2)"], draws=200,
    )  # fmt: skip
    ranking = found.ranking(better="lower").set_index("schedule")
    per = {
        name: each.ranking(better="lower").set_index("schedule")["regret"]
        for name, each in found.sweeps.items()
    }
    for plan in PLANS:
        assert ranking["regret"][plan] == pytest.approx(0.5 * per["A"][plan] + 0.5 * per["B"][plan])
        assert ranking["worst_regret"][plan] == pytest.approx(max(per["A"][plan], per["B"][plan]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a, b: [], "no mechanism"),
        (lambda a, b: [(a, 1.0), b], "to every mechanism, or to none"),
        (lambda a, b: [(a, 1.0), (a, 1.0)], "variant A is given twice"),
        (lambda a, b: [(a, -1.0), (b, 1.0)], "weight -1"),
        (lambda a, b: [(a, 0.0), (b, 0.0)], "all weights are 0"),
        (lambda a, b: [a.case, b], "number 1 is a Case"),
        (lambda a, b: [Fixed(a, np.nan, 0.0), b], "its evidence is not known"),
    ],
)
def test_what_cannot_be_averaged_is_refused(fits: list[cs.Calibration], change: object, said: str) -> None:
    with pytest.raises(CellsimError, match=said):
        cs.sweep(change(*fits), PLANS, until=2)  # type: ignore[operator]
