"""Published numbers worked out again, each from the equations and values that were printed with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from problems import version_2
from scipy.integrate import solve_ivp

import cellsim as cs
from cellsim.dosing.schedule import Infusion, Schedule, SteadyState
from cellsim.estimation.problem import load_problem

# ---- CAR-T cells: Stein et al. 2019, CPT Pharmacometrics Syst Pharmacol 8:285 --------------------------------

TISAGENLECLEUCEL = """
e = cmax/fold; m = 0
e' = piecewise(ln(fold)/tmax*e, time < tmax, -alpha*e)
m' = piecewise(0, time < tmax, -beta*m)
at (time >= tmax): m = fb*e, e = (1 - fb)*e
c := e + m
fold = 3900; tmax = 9.3; cmax = 24000; alpha = 0.16; beta = 0.0032; fb = 0.0079
"""


@pytest.mark.parametrize("solver", ["rodas", "scipy"])
def test_car_t_cells_expand_contract_and_persist_as_published(solver: str) -> None:
    """Copies per ug of tisagenlecleucel with the printed population values: the curve, and its areas."""
    model = cs.load_model(TISAGENLECLEUCEL)
    seen = cs.simulate(model, Schedule(), [0, 5, 9.3, 28, 90, 6000], solver=solver, rtol=1e-9)  # type: ignore[arg-type]
    assert seen["c"][[0, 1, 3, 4]] == pytest.approx([6.154, 524.6, 1373.6, 146.5], rel=5e-4)
    assert seen["c"][2] == pytest.approx(24000, rel=1e-6)
    assert seen.auc("c", 0, 28) == pytest.approx(1.7177e5, rel=1e-4)
    assert seen.auc("c", 0, 6000) == pytest.approx(2.3505e5, rel=1e-4)


# ---- theophylline by mouth: Boeckmann, Sheiner and Beal 1994, as subject 1 of Theoph in R ---------------------

HOURS = (0, 0.25, 0.57, 1.12, 2.02, 3.82, 5.1, 7.03, 9.05, 12.12, 24.37)
SEEN = (0.74, 2.84, 6.57, 10.5, 9.66, 8.58, 8.36, 7.47, 6.89, 5.94, 3.28)
ABSORPTION = """
depot = {dose}; amount = 0
depot' = -exp(lka)*depot
amount' = exp(lka)*depot - exp(lke)*amount
conc := amount*exp(lke - lcl)
lke = -2.5; lka = 0.5; lcl = -3
"""
PUBLISHED = {"lke": -2.9196, "lka": 0.5752, "lcl": -3.9159}


def theophylline() -> dict[str, str]:
    """The texts of the problem: bounds, and no prior."""
    rows = "".join(f"conc e {time} {value}\n" for time, value in zip(HOURS, SEEN, strict=True))
    return version_2(
        "parameterId estimate nominalValue lowerBound upperBound\n"
        "lke true -2.5 -6 1\nlka true 0.5 -3 4\nlcl true -3 -8 2\n",
        "observableId observableFormula noiseFormula\nconc conc 1\n",
        f"observableId experimentId time measurement\n{rows}",
        experiments="experimentId time conditionId\ne 0 -\n",
        models={"m": ABSORPTION.format(dose=4.02)},
    )


@pytest.mark.parametrize("opened", [load_problem, cs.load_case])
def test_theophylline_of_one_subject_is_fitted_as_nls_does(opened: Callable[..., Any]) -> None:
    """``nls(conc ~ SSfol(Dose, Time, lKe, lKa, lCl))`` of R: estimates to the four digits printed, however the problem opens."""
    fit = cs.calibrate(opened(theophylline()), starts=3, seed=1)
    assert {name: round(value, 4) for name, value in fit.values.items()} == PUBLISHED
    # in whitened coordinates a box pulls to its middle, by 0.03 of R's standard error 0.171
    if opened is cs.load_case:
        pulled = cs.calibrate(opened(theophylline()), starts=3, seed=1, density="whitened")
        assert pulled.values["lke"] == pytest.approx(-2.9142, abs=1e-4)


def test_theophylline_from_its_table_has_the_published_residual_error() -> None:
    """The same subject as a table of NONMEM in hours, simulated at the published estimates: 0.732 on 8 degrees of freedom."""
    table = [{"TIME": 0, "AMT": 4.02, "CMT": "depot", "EVID": 1, "DV": "."}]
    table += [{"TIME": t, "AMT": 0, "CMT": ".", "EVID": 0, "DV": v} for t, v in zip(HOURS, SEEN, strict=True)]
    schedule = Schedule.from_table(table, amount_unit="cells", time_unit="hour")
    model = cs.load_model(
        ABSORPTION.format(dose=0).replace("exp(lka)", "24*exp(lka)").replace("exp(lke)*", "24*exp(lke)*")
    )
    seen = cs.simulate(model, schedule, np.array(HOURS) / 24, values=PUBLISHED, rtol=1e-9)
    assert np.sqrt(np.sum((seen["conc"] - SEEN) ** 2) / 8) == pytest.approx(0.732, abs=5e-4)


# ---- indirect responses: Dayneka, Garg and Jusko 1993, J Pharmacokinet Biopharm 21:457 ------------------------

KIN, KOUT, KEL, HALF, LARGEST = 9.0, 0.3, 0.4, 2.0, 0.9
# production and loss of the response, as factors of kin and kout; the plateau is their quotient
RESPONSES: dict[str, tuple[str, str, Callable[[float], float], Callable[[float], float]]] = {
    "I, production inhibited": ("(1 - s)", "1", lambda s: 1 - s, lambda s: 1.0),
    "II, loss inhibited": ("1", "(1 - s)", lambda s: 1.0, lambda s: 1 - s),
    "III, production stimulated": ("(1 + s)", "1", lambda s: 1 + s, lambda s: 1.0),
    "IV, loss stimulated": ("1", "(1 + s)", lambda s: 1.0, lambda s: 1 + s),
}


@pytest.mark.parametrize("kind", RESPONSES)
def test_indirect_responses_follow_a_reference_and_their_closed_plateau(kind: str) -> None:
    """Two boluses against DOP853 at 1e-12 with the drug in closed form; under a constant inflow kin/kout times the quotient."""
    made, lost, gain, loss = RESPONSES[kind]
    model = cs.load_model(
        f"c = 0; r = {KIN / KOUT}; c' = -{KEL}*c; s := {LARGEST}*c/({HALF} + c); "
        f"r' = {KIN}*{made} - {KOUT}*{lost}*r"
    )
    times = np.array([0.5, 2.0, 3.0, 5.0, 6.0, 9.0, 20.0, 40.0])
    plan = Schedule((Infusion(1, "c", 10), Infusion(5, "c", 6)))
    seen = cs.simulate(model, plan, times, rtol=1e-9)

    def drug(t: float, begun: float, amount: float) -> float:
        return amount * np.exp(-KEL * (t - begun)) if t >= begun else 0.0

    y, reference, before = KIN / KOUT, [], 0.0
    for time in sorted({*times.tolist(), 1.0, 5.0}):
        given = [each for each in ((1.0, 10.0), (5.0, 6.0)) if each[0] <= before]

        def rate(t: float, r: np.ndarray, given: list[tuple[float, float]] = given) -> np.ndarray:
            c = sum(drug(t, *each) for each in given)
            s = LARGEST * c / (HALF + c)
            return KIN * gain(s) - KOUT * loss(s) * r

        if time > before:
            y = solve_ivp(rate, (before, time), [y], method="DOP853", rtol=1e-12, atol=1e-12).y[0, -1]
        before = time
        if time in times:
            reference.append(y)
    assert seen["r"] == pytest.approx(reference, rel=1e-7)
    # the plateau under a constant inflow, found as a steady state and held by the same inflow
    level = 3.0
    s = LARGEST * level / (HALF + level)
    steady = Schedule(
        (Infusion(0, "c", KEL * level * 50, 50),), restarts=(SteadyState(0, "c", KEL * level, interval=0),)
    )
    held = cs.simulate(model, steady, [0.0, 50.0], rtol=1e-8)
    assert held["c"] == pytest.approx([level, level], rel=1e-6)
    assert held["r"] == pytest.approx(2 * [KIN / KOUT * gain(s) / loss(s)], rel=1e-6)


# ---- infused killer cells: Kirschner and Panetta 1998, J Math Biol 37:235 (BioModels BIOMD0000000732) ---------

CELL_THERAPY = """
E = {cells}; T = {tumour}; I = {il2}
E' = c*T - mu2*E + p1*E*I/(g1 + I)
T' = r2*(1 - b*T)*T - a*E*T/(g2 + T)
I' = p2*E*T/(g3 + T) - mu3*I
c = 0.035; mu2 = 0.03; p1 = 0.1245; g1 = 2e7; r2 = 0.18; b = 1e-9; a = 1; g2 = 1e5; p2 = 5; g3 = 1e3; mu3 = 10
"""
CRITICAL = 540.0  # cells a day, r2 g2 mu2/a: less leaves the tumour-free state unstable


@pytest.mark.parametrize("weekly", [False, True])
@pytest.mark.parametrize("share", [0.9, 1.0, 1.1])
def test_the_critical_infusion_of_killer_cells_is_the_published_one(share: float, weekly: bool) -> None:
    """A few tumour cells among s1/mu2 killers grow as exp((r2 - a s1/(mu2 g2)) t), whatever cycle the cells are given in."""
    given, days = share * CRITICAL, 70
    if weekly:  # before each bolus of a week's cells what the endless course has left
        left = np.exp(-7 * 0.03)
        cells = 7 * given * left / (1 - left)
        plan = Schedule.every(7, cells=7 * given, doses=days // 7, product="E")
    else:
        cells, plan = given / 0.03, Schedule((Infusion(0, "E", given * days, days),))
    model = cs.load_model(CELL_THERAPY.format(cells=cells, tumour=1e-4, il2=0))
    # read an instant before a bolus that would be the next one
    seen = cs.simulate(model, plan, [0.0, float(np.nextafter(days, 0))], rtol=1e-9)
    assert np.log(seen["T"][1] / seen["T"][0]) == pytest.approx(0.18 * (1 - share) * days, abs=1e-5)


def test_infused_killer_cells_clear_the_tumour_as_scipy_says() -> None:
    """The published start (one of each) and 550 cells a day against LSODA at 1e-11, over the rise and fall of the tumour."""
    model = cs.load_model(CELL_THERAPY.format(cells=1, tumour=1, il2=1))
    times = [10.0, 30.0, 50.0, 80.0, 120.0]
    plan = Schedule((Infusion(0, "E", 550 * 200, 200),))
    seen = cs.simulate(model, plan, times, rtol=1e-9)

    def rates(_: float, y: np.ndarray) -> list[float]:
        e, t, i = y
        return [
            550 + 0.035 * t - 0.03 * e + 0.1245 * e * i / (2e7 + i),
            0.18 * (1 - 1e-9 * t) * t - e * t / (1e5 + t),
            5 * e * t / (1e3 + t) - 10 * i,
        ]

    said = solve_ivp(rates, (0, 120), [1, 1, 1], "LSODA", times, rtol=1e-11, atol=1e-12).y
    for name, reference in zip("ETI", said, strict=True):
        assert seen[name] == pytest.approx(reference, rel=1e-5)
