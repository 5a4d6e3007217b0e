"""Figures: what is drawn is what was computed, with units, within the page, and nothing else touched."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from patients import small_fit, small_patient
from whole_figures import assert_whole

import cellsim as cs
from cellsim import plots
from cellsim.dosing.infusions import Product
from cellsim.errors import CellsimError
from cellsim.likelihood.noise import graded
from cellsim.plots.states import expected_grade
from cellsim.plots.style import BLUE, PURPLE, colour_of, figure_of, round_numbers
from cellsim.predictions.bands import bands, days_of, read_at

mpl.use("Agg")

GIVEN, OTHER = "as given", "donor cells"


@pytest.fixture(scope="module")
def fit() -> cs.Calibration:
    return small_fit()


@pytest.fixture(scope="module")
def answer(fit: cs.Calibration) -> cs.Sweep:
    given = fit.case.schedule
    plans = {
        GIVEN: given,
        "half": given.scaled(0.5),
        OTHER: given.as_product("ucmsc"),
        "nothing": cs.Schedule(),
    }
    return cs.sweep(fit, plans, until=120, draws=12, seed=1)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    import matplotlib.pyplot as plt

    plt.close("all")
    yield
    plt.close("all")


def by_gid(ax: Any, gid: str) -> list[Any]:
    return [each for each in ax.get_children() if each.get_gid() == gid]


FIGURES: dict[str, Callable[[cs.Calibration, cs.Sweep], Any]] = {
    "fit": lambda fit, _: plots.fit(fit, draws=6),
    "one analyte": lambda fit, _: plots.fit(fit, ["ESR"], draws=6),
    "prior": lambda fit, _: plots.prior_predictive(fit.case, draws=6),
    "residuals": lambda fit, _: plots.residuals(fit),
    "persistence": lambda fit, _: plots.persistence(fit, draws=6),
    "persistence, some days": lambda fit, _: plots.persistence(fit, days=(-10, 50), draws=6),
    "drives": lambda fit, _: plots.drives(fit, draws=6),
    "parameters": lambda fit, _: plots.parameters(fit),
    "variants": lambda fit, _: plots.variants([fit, small_fit("V0")]),
    "sweep": lambda _, answer: plots.sweep(answer),
    "sweep of an analyte": lambda _, answer: plots.sweep(
        answer, "IL6", [("value", "ESR"), ("in range", "IL6")]
    ),
    "contrast": lambda _, answer: plots.contrast({"V2": answer, "again": answer}, GIVEN, OTHER),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_whole_labelled_and_alone(name: str, fit: cs.Calibration, answer: cs.Sweep) -> None:
    """The figure is whole, it is the only one, and no setting has changed."""
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    drawn = FIGURES[name](fit, answer)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == [figure_of(drawn).number]
    assert_whole(drawn)


def test_the_fit_shows_printed_values_on_their_fitted_days(fit: cs.Calibration) -> None:
    axes = plots.fit(fit, draws=6, seed=3)
    rows = fit.rows()
    span = -1 - 0.035 * 121, 120 + 0.035 * 121  # the visits' days, with a margin
    seen = bands(fit, ["value_IL6"], start=span[0], end=span[1], draws=6, seed=3)
    assert [each.get_ylabel() for each in axes] == ["pg/mL", "pg/mL", "mm/h"]
    for ax, analyte in zip(axes, ("IL6", "IL8", "ESR"), strict=True):
        printed = np.array([each.get_xydata()[0] for each in by_gid(ax, "printed")])
        part = rows[(rows["analyte"] == analyte) & (rows["part"] == "standard")]
        assert printed == pytest.approx(part[["day", "measured"]].to_numpy())
    [line] = [each for each in axes[0].lines if len(each.get_xdata()) == len(seen.times)]
    assert line.get_xdata() == pytest.approx(seen.times)
    assert line.get_ydata() == pytest.approx(seen.curves["value_IL6"][2])
    # the row known only as a limit is an arrow at that limit, not a value
    [limit] = by_gid(axes[1], "censored")
    assert limit.get_ydata()[0] == 60.0
    # printed times exp(-shift): the sample effect of the case is a common factor
    shift = fit.values["shift"]
    adjusted = [each.get_ydata()[0] for each in by_gid(axes[0], "adjusted")]
    assert adjusted == pytest.approx(
        [109 * np.exp(-shift), 80 * np.exp(-shift), 24 * np.exp(-shift)], rel=1e-4
    )
    assert not by_gid(axes[2], "adjusted")
    # the reference range ends where the case says, and the window of the middle visit is drawn
    [reference] = by_gid(axes[2], "reference")
    assert reference.get_extents().transformed(axes[2].transData.inverted()).y1 == pytest.approx(20.0)
    windows = np.array([each.get_segments()[0][:, 0] for each in by_gid(axes[2], "window")])
    assert windows.tolist() == [[-1, -1], [28, 49], [120, 120]]


def test_ticks_stand_on_the_infusions(fit: cs.Calibration) -> None:
    [ax] = plots.fit(fit, ["IL6"], draws=6, days=(-250, 130))
    assert [each.day for each in fit.case.schedule.infusions] == list(
        by_gid(ax, "infusions-rfib")[0].get_xdata()
    )
    assert list(by_gid(ax, "infusions-ucmsc")[0].get_xdata()) == [-200.0]


def test_given_axes_are_used_and_too_few_are_refused(fit: cs.Calibration, answer: cs.Sweep) -> None:
    import matplotlib.pyplot as plt

    figure, given = plt.subplots(1, 3)
    axes = plots.fit(fit, ax=given, draws=6)
    assert list(axes) == list(given) and plt.get_fignums() == [figure.number]
    single = plt.figure().add_subplot()
    assert plots.residuals(fit, single, color="k") is single
    assert plots.fit(fit, ["ESR"], single, draws=6)[0] is single
    for call in (
        lambda: plots.fit(fit, ax=given[:2], draws=6),
        lambda: plots.drives(fit, ax=single, draws=6),
        lambda: plots.sweep(answer, ax=given),
    ):
        with pytest.raises(CellsimError, match="need"):
            call()


def test_unknown_names_are_refused_with_what_was_meant(fit: cs.Calibration, answer: cs.Sweep) -> None:
    for call, meant in (
        (lambda: plots.fit(fit, ["IL9"]), "IL"),
        (lambda: plots.drives(fit, ["viable_aut"]), "viable_auto"),
        (lambda: plots.parameters(fit, ["drive"]), "drives"),
        (lambda: plots.sweep(answer, "IL66"), "IL6"),
        (lambda: plots.sweep(answer, measures=[("valu", "ESR")]), "value of ESR"),
        (lambda: plots.contrast({"V2": answer}, GIVEN, "donor cell"), OTHER),
    ):
        with pytest.raises(CellsimError, match=meant):
            call()
    with pytest.raises(CellsimError, match="no calibrations"):
        plots.variants([])
    with pytest.raises(CellsimError, match="prior=True"):
        plots.prior_predictive(
            fit.objective, ["ESR"], among=bands(fit, ["value_ESR"], start=-10, end=10, draws=3)
        )


def test_persistence_of_a_trajectory_is_its_cells(fit: cs.Calibration) -> None:
    """The model counts in 1e6 cells, the figure in cells."""
    case = fit.case
    seen = cs.simulate(fit.model, case.timeline, np.arange(-300, 100), start=-300)
    viable, dying = plots.persistence(seen, case=case)
    for ax, stem in ((viable, "viable"), (dying, "A")):
        assert ax.get_yscale() == "log" and "cells" in ax.get_ylabel()
        for source in ("auto", "allo"):
            [line] = by_gid(ax, f"{stem}_{source}")
            drawn = line.get_ydata() > 1
            assert line.get_ydata()[drawn] == pytest.approx(seen[f"{stem}_{source}"][drawn] * 1e6)
    nothing = cs.simulate(cs.load_model("x = 1; x' = -x"), cs.Schedule(), [0, 1])
    with pytest.raises(CellsimError, match="shows no amount"):
        plots.persistence(nothing, case=case)
    with pytest.raises(CellsimError, match="knows no case"):
        plots.persistence(nothing)


def test_bands_are_quantiles_of_the_runs(fit: cs.Calibration) -> None:
    """D of one draw after the other by the public simulator, on a few days."""
    seen = bands(fit, ["D"], start=-5, end=60, draws=9, seed=2)
    model = fit.model
    runs = []
    for theta in fit.draws(9, seed=2):
        values = {name: each for name, each in fit.objective.values(theta).items() if name in model}
        runs.append(cs.simulate(model, fit.case.timeline, [0, 20, 60], values=values, start=-300)["D"])
    places = np.searchsorted(seen.times, [0, 20, 60])
    expected = np.quantile(runs, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    assert seen.curves["D"][:, places] == pytest.approx(expected, rel=1e-4)
    assert (seen.kind, seen.draws, seen.lost) == ("posterior", 9, 0)
    assert bands(fit, ["D"], start=-5, end=5, draws=3, prior=True).kind == "prior"
    back = read_at(fit, ["value_ESR"], [35.0, -1.0])["value_ESR"]
    assert back[0] < back[1]
    with pytest.raises(CellsimError, match="starts on day -300"):
        bands(fit, ["D"], start=-400, end=0)


def test_every_dose_is_looked_at_closely() -> None:
    days = days_of(cs.Schedule.at([3.5], cells=1, product="x"), 0, 10)
    assert {0.0, 3.5, 10.0} <= set(days) and np.all(np.diff(days) > 0)
    assert ((days > 3.5) & (days < 4.5)).sum() >= 6


def test_theexpected_grade_is_that_of_the_likelihood() -> None:
    """Sum over g = 1, 2, 3 of P(grade >= g) by the ordered logit that scores the rows."""
    expected = expected_grade(cs.load_case("sjogren_rfib"), "purpura")
    level, third, gap2, gap1, scale = 0.4, -0.1, 0.6, 0.7, 0.25
    values = {
        "U": level,
        "purpura_cut_3": third,
        "purpura_gap_2": gap2,
        "purpura_gap_1": gap1,
        "purpura_scale": scale,
    }
    found = float(expected.subs({sp.Symbol(name): each for name, each in values.items()}))
    cuts = np.array([third - gap2 - gap1, third - gap2, third])
    reached, *_ = graded(np.full(3, np.log(level)), cuts, np.full(3, np.inf), scale)
    assert found == pytest.approx(float(np.exp(reached).sum()), rel=1e-9)


def test_the_drives_shown_are_those_of_the_variant(fit: cs.Calibration) -> None:
    axes = plots.drives(fit, draws=6)
    assert [ax.get_ylabel().split("\n")[0] for ax in axes] == ["disease drive D", "remembered state R"]
    one = plots.drives(fit, ["D"], draws=6, seed=4)[0]
    seen = bands(fit, ["D"], start=-300, end=120, draws=6, seed=4)
    [line] = by_gid(one, "D")
    assert line.get_ydata() == pytest.approx(seen.curves["D"][2])


def test_residuals_are_those_of_the_rows(fit: cs.Calibration) -> None:
    ax, rows = plots.residuals(fit), fit.rows()
    for visit in ("v0", "v1", "v2"):
        [line] = by_gid(ax, visit)
        here = rows[rows["visit"] == visit]
        assert abs(line.get_xdata()) == pytest.approx(abs(here["residual"].to_numpy()))
        above = here["measured"].to_numpy(float) > here["predicted"].to_numpy(float)
        of_numbers = (here["part"] == "standard").to_numpy()
        assert ((line.get_xdata() > 0) == above)[of_numbers].all()  # observed minus predicted
    assert [each.get_text() for each in ax.get_yticklabels()] == ["IL-6", "IL-8", "ESR"]


def test_the_forest_stands_at_the_estimates(fit: cs.Calibration) -> None:
    ax = plots.parameters(fit)
    names = [each.get_text() for each in ax.get_yticklabels()]
    assert "kappa" in names and sorted(names) == sorted(fit.objective.names)
    table = fit.table().set_index("parameter")
    drawn = {}
    for verdict in table["verdict"].unique():
        for line in by_gid(ax, f"estimate-{verdict}"):
            drawn |= {
                names[list(ax.get_yticks()).index(y)]: (x, verdict) for x, y in line.get_xydata().tolist()
            }
    for name, place in zip(fit.objective.names, fit.theta, strict=True):
        assert drawn[name][0] == pytest.approx(place)
        assert drawn[name][1] == table.loc[name, "verdict"]
    [prior] = by_gid(ax, "prior")
    assert prior.get_segments()[0][:, 0] == pytest.approx([-1.645, 1.645], abs=1e-3)
    assert len(plots.parameters(fit, limit=2).get_yticks()) == 2


def test_variants_stand_at_their_evidence(fit: cs.Calibration) -> None:
    null = small_fit("V0")
    left, right = plots.variants([fit, null])
    evidence = np.array([fit.log_evidence, null.log_evidence])
    [line] = by_gid(left, "evidence")
    assert line.get_xdata() == pytest.approx(evidence - evidence.max())
    standard = np.array([each.objective.parts(each.theta)["standard"] for each in (fit, null)])
    assert by_gid(right, "standard")[0].get_xdata() == pytest.approx(standard - standard.max())


def test_schedules_stand_beside_their_cells_and_numbers(answer: cs.Sweep) -> None:
    axes = plots.sweep(answer)
    titles = [ax.get_title(loc="left") for ax in axes[:4]]
    assert titles[0] == "as given: 6 infusions, 3.0e8 cells"
    assert titles[1] == "half: 6 infusions, 1.5e8 cells"
    assert titles[3] == "nothing: no infusions"
    table = answer.table()
    days = table[(table["measure"] == "days below 0.5") & (table["quantity"] == "D")]
    panel = axes[4]
    assert "below one half" in panel.get_xlabel()
    assert by_gid(panel, "posterior")[0].get_xdata() == pytest.approx(days["estimate"].to_numpy())
    assert by_gid(panel, "prior")[0].get_xdata() == pytest.approx(days["prior_estimate"].to_numpy())
    segments = np.array([each[:, 0] for each in by_gid(panel, "posterior-interval")[0].get_segments()])
    assert segments == pytest.approx(days[["low", "high"]].to_numpy())
    for k, ax in enumerate(axes[:4]):
        [course] = [each for each in ax.lines if str(each.get_gid()).startswith("course-")]
        assert course.get_ydata() == pytest.approx(answer.curves["D"][k, 2])
        assert len(by_gid(ax, "infusion")) == list(answer.schedules.values())[k].count


def test_arrays_of_axes_save_their_figure(answer: cs.Sweep, tmp_path: Path) -> None:
    axes = plots.sweep(answer)
    axes.savefig(tmp_path / "what-if.png", dpi=50)
    assert (tmp_path / "what-if.png").read_bytes().startswith(b"\x89PNG")
    assert axes[:2].figure is axes[0].figure and isinstance(axes, np.ndarray)


def test_contrasts_are_those_of_the_table(answer: cs.Sweep) -> None:
    axes = plots.contrast({"V2": answer}, GIVEN, OTHER)
    table = answer.contrasts()
    pair = table[(table["first"] == GIVEN) & (table["second"] == OTHER)]
    row = pair[(pair["measure"] == "days below 0.5") & (pair["quantity"] == "D")].iloc[0]
    assert by_gid(axes[0], "posterior")[0].get_xdata()[0] == pytest.approx(row["difference"], abs=1e-6)
    assert by_gid(axes[0], "prior")[0].get_xdata()[0] == pytest.approx(row["prior_difference"], abs=1e-6)


def test_the_small_patient_is_one() -> None:
    assert small_patient().check() == () or {each.severity for each in small_patient().check()} == {"doubt"}


@given(low=st.floats(1e-9, 1e6), factor=st.floats(1.3, 1e9), most=st.integers(3, 5))
@settings(deadline=None, max_examples=60)
def test_an_axis_has_at_least_three_round_numbers_and_not_many_more(
    low: float, factor: float, most: int
) -> None:
    ticks = round_numbers(low, low * factor, most=most)
    assert 3 <= len(ticks) <= most + 1 and ticks == sorted(set(ticks))
    assert low <= ticks[0] and ticks[-1] <= low * factor


def test_products_of_one_source_are_told_apart() -> None:
    products = [
        Product(name, source, "bag")
        for name, source in (
            ("a", "autologous"),
            ("b", "autologous"),
            ("c", "allogeneic"),
            ("d", ""),
            ("e", ""),
        )
    ]
    colours = [colour_of(each.name, products) for each in products]
    assert len(set(colours)) == len(colours)
    assert not {BLUE, PURPLE} & set(colours)  # those of posterior and prior
