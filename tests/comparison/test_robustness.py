"""Conclusions drawn again: alterations against what they promise, numbers against closed forms, flips against their rule."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from patients import small_fit, small_patient
from scipy import stats
from small_cases import straight_line, tiny_case

import cellsim as cs
from cellsim.case.alternatives import Alternative
from cellsim.comparison import evidence
from cellsim.comparison import robustness_analysis as robust
from cellsim.comparison.alterations import GROUPS, Alteration, alterations_of, days_held, days_of
from cellsim.comparison.altered_case import altered
from cellsim.comparison.conclusions import Conclusion, Question
from cellsim.comparison.draw_courses import Courses
from cellsim.comparison.reweighted import RTOL
from cellsim.comparison.reweighting import Reweighted, Reweighting
from cellsim.comparison.robustness_table import BASE, ConclusionRow, Robustness
from cellsim.comparison.variant_roles import VariantRoles, variant_roles
from cellsim.comparison.variants import comparison_of
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CalibrationError, CaseError, CellsimError
from cellsim.likelihood.formulation import objective_of
from cellsim.likelihood.marginal_days import WithoutDays
from cellsim.petab.doses_write import experiment_from_schedule
from cellsim.petab.tables import table_text
from cellsim.posterior.approximation import Approximation
from cellsim.posterior.fitting import calibrate, optima

CASE = cs.load_case("sjogren_rfib")
# of weighted draws, few are handed out: conclusions and evidences rest on the weighted ones
DRAWN = {"method": "collapsed", "hierarchy": False, "effective": 300, "draws": 40, "progress": False}


def known(*fits: cs.Calibration) -> dict[str, dict]:
    """Calibrations, and draws of them, as `robustness` takes them."""
    drawn = {fit.variant: cs.sample(fit, seed=3, **DRAWN) for fit in fits}
    return {"fits": {fit.variant: fit for fit in fits}, "posteriors": drawn}


@cache
def known_small() -> dict[str, dict]:
    """Both variants of the small patient, to be altered by several tests."""
    return known(small_fit("V2"), small_fit("V0"))


def alternative(name: str) -> Alternative:
    return next(each for each in CASE.alternatives if each.id == name)


def alteration(name: str, case: cs.Case = CASE) -> Alteration:
    return next(each for each in alterations_of(case) if each.id == name)


# ---- what is altered, and nothing else ------------------------------------------------------------------


def test_everything_that_is_open_about_the_case_is_altered_once():
    """Nine days, seven other timelines, one limit, one prior, three sample effects, the noise, 28 analytes, 3 visits."""
    found = alterations_of(CASE)
    counts = {group: sum(each.group == group for each in found) for group in GROUPS}
    assert list(counts.values()) == [9, 7, 1, 1, 3, 1, 28, 3]
    assert len({each.id for each in found}) == len(found) == 53


def test_days_of_samples_are_known_without_reading_a_case_anew(monkeypatch):
    """What other infusions make of a case takes a quarter of a second each, and holds no sample. Witness: all alterations, made."""
    expected = days_held(alterations_of(CASE))
    monkeypatch.setattr("cellsim.comparison.alterations.altered", None)
    assert days_of(CASE) == expected and len(expected) == 9


def test_a_held_day_is_that_day():
    objective = objective_of(CASE)
    here = alteration("day_after4_earliest").of(objective)
    theta = 0.3 * np.random.default_rng(1).standard_normal(len(objective.names))
    j = objective.names.index("day_after4")
    theta[j] = objective.priors[j].whitened(22.0)
    assert here.evaluate(np.delete(theta, j)).log_likelihood == pytest.approx(
        objective.evaluate(theta).log_likelihood, rel=1e-12
    )
    assert set(objective.names) - set(here.names) == {"day_after4"}


def test_a_longer_gap_moves_the_infusions_after_it_and_what_is_tied_to_them():
    other = altered(CASE, alternative("gap_49"))
    assert [each.day for each in other.schedule] == [0, 7, 14, 21, *range(70, 267, 28)]
    for mine, theirs in zip(CASE.timeline, other.timeline, strict=True):
        assert replace(theirs, day=mine.day) == mine
    assert other.history == CASE.history
    assert other.day_zero == CASE.day_zero
    windows = {visit.id: (visit.earliest, visit.latest, visit.nominal) for visit in other.visits}
    assert windows["after4"] == (21, 70, 35)  # to infusion 5, which moved
    assert windows["after12"] == (266, 365, pytest.approx(266 + 14 * 99 / 120))  # from infusion 12
    assert other.prior("day_after12").parameters == (266, 365)
    faded = next(each for each in other.grades if each.calendar.startswith("after 12"))
    assert (faded.earliest, faded.latest) == (266, 268)
    # values, analytes, beliefs and variants are the same
    assert [row.value for row in other.rows] == [row.value for row in CASE.rows]
    assert {each.id: each.parameters for each in other.priors if "day_" not in each.id} == {
        each.id: each.parameters for each in CASE.priors if "day_" not in each.id
    }


def test_photographs_between_two_infusions_stay_between_them():
    """After six, after nine and before ten UCMSC: wherever these fall."""
    for name in ("ucmsc_earlier", "ucmsc_later", "ucmsc_three_by_july", "ucmsc_monthly"):
        other = altered(CASE, alternative(name))
        given = [each.day for each in other.history]
        assert len(given) == 10
        six, nine, ten = (
            next(each.day for each in other.grades if each.scored and each.calendar.startswith(words))
            for words in ("after six", "after nine", "before ten")
        )
        assert given[5] < six < given[6]
        assert given[8] < nine < given[9]
        assert given[8] < ten < given[9]


def test_the_same_days_are_the_same_case():
    days = tuple(each.day for each in CASE.schedule)
    same = altered(CASE, Alternative(id="same", name="same", product="rfib", days=days))
    objective, theta = objective_of(CASE), np.zeros(len(objective_of(CASE).names))
    assert objective_of(same).evaluate(theta).log_likelihood == pytest.approx(
        objective.evaluate(theta).log_likelihood, rel=1e-12
    )


def test_infusions_that_last_move_as_a_whole():
    """An infusion of six hours is two rows of the experiment, one that begins it and one that ends it."""
    lasting = Schedule(
        tuple(replace(each, duration=0.25) for each in CASE.timeline), CASE.products, CASE.day_zero
    )
    experiment, conditions = experiment_from_schedule(lasting, start=CASE.start)
    assert len(experiment) == 1 + 2 * 22
    tables = {"experiments.tsv": experiment, "conditions.tsv": conditions}
    texts = {
        file: table_text(list(dict.fromkeys(key for row in rows for key in row)), rows)
        for file, rows in tables.items()
    }
    other = altered(cs.load_case({**CASE.files, **texts}), alternative("gap_35"))
    assert [each.day for each in other.schedule] == list(alternative("gap_35").days)
    assert {each.duration for each in other.timeline} == {0.25}
    assert other.timeline.total() == CASE.timeline.total()


def test_days_that_contradict_the_rest_are_refused():
    days = tuple(each.day + 400.0 for each in CASE.schedule)
    with pytest.raises(CaseError, match="window"):
        altered(CASE, Alternative(id="late", name="late", product="rfib", days=days))


def test_a_limit_moves_the_prior_that_is_centred_on_it():
    """Half of 85 instead of half of 8.5, as wide as before; every other prior as it was."""
    other = altered(CASE, alternative("ifna_85"))
    assert other.analyte("IFNa").upper == 85
    assert other.prior("IFNa_0").parameters == pytest.approx((np.log(85 / 2), 1.5))
    assert [each for each in other.priors if each.id != "IFNa_0"] == [
        each for each in CASE.priors if each.id != "IFNa_0"
    ]
    assert {each.id: each.upper for each in other.analytes if each.id != "IFNa"} == {
        each.id: each.upper for each in CASE.analytes if each.id != "IFNa"
    }


def test_rows_left_out_are_all_that_is_left_out():
    objective = objective_of(CASE)
    theta = np.zeros(len(objective.names))
    full = objective.evaluate(theta).log_likelihood
    for name, keeps in (
        ("without_CRP", lambda term: term.analyte != "CRP"),
        ("without_after4", lambda term: term.visit != "after4"),
    ):
        kept = [k for k, term in enumerate(objective.terms) if keeps(term)]
        assert len(kept) < len(objective.terms)
        assert alteration(name).of(objective).evaluate(theta).log_likelihood == pytest.approx(full[kept])


def test_points_are_carried_by_their_values():
    objective = objective_of(CASE)
    theta = 0.5 * np.random.default_rng(2).standard_normal(len(objective.names))
    before = objective.values(theta)
    for name in ("sample_effect_twice", "gap_35", "day_after4_latest", "ifna_85"):
        change = alteration(name)
        other = change.of(objective)
        after = other.values(change.carried(objective, theta, other))
        changed = {key for key in other.names if not np.isclose(after[key], before[key], rtol=1e-9)}
        assert changed <= {"day_after12"}  # which may fall out of its new window


# ---- numbers against closed forms -----------------------------------------------------------------------

SD, DAYS = 0.5, np.array([-1.0, 5.0, 12.0])
SEEN = {"y": np.array([10.3, 11.9, 12.2]), "z": np.array([19.8, 20.9, 21.4])}
PRIORS = {"a": 1.0, "a2": 1.0, "b": 1.5, "c": 0.05, "s": 0.4}
VARIANTS = {"act": {"b": "estimate", "c": 0.0}, "null": {"b": 0.0, "c": "estimate"}}


def linear(**options) -> cs.Case:
    """Two infusions lift both analytes, or time does; one shared effect of the sample. Everything is Gaussian."""
    return tiny_case(
        "x = 0; x' = 0; u = 0; u' = 1",
        {
            "y": ("10 + a + b*x + c*u + s", SD, "normal"),
            "z": ("20 + a2 + 0.5*b*x + s", SD, "normal"),
        },
        [(name, day, value) for name, seen in SEEN.items() for day, value in zip(DAYS, seen, strict=True)],
        {name: ("normal", 0.0, sd) for name, sd in PRIORS.items()},
        doses=[(0.0, "x", 1.0), (7.0, "x", 1.0)],
        variants=VARIANTS,
        groups={"b": "drives", "c": "drives", "s": "sample effects"},
        start=-10.0,
        **options,
    )


def conjugate(variant: str, *, spread: float = 1.0, left: tuple[str, float] = ("", np.nan)):
    """ln evidence, and posterior mean and covariance in prior sd, of what is free."""
    given, clock, one, none = (DAYS > 0) * 1.0 + (DAYS > 7), DAYS + 10, np.ones(3), np.zeros(3)
    columns = {
        "a": (one, none), "a2": (none, one), "b": (given, 0.5 * given), "c": (clock, none), "s": (one, one),
    }  # fmt: skip
    names = [name for name in PRIORS if VARIANTS[variant].get(name) != 0.0]
    scale = {name: PRIORS[name] * (spread if name == "s" else 1.0) for name in names}
    if spread == 0:
        names.remove("s")
    rows = [(name, day) for name in SEEN for day in DAYS]
    kept = [k for k, (name, day) in enumerate(rows) if name != left[0] and day != left[1]]
    design = np.column_stack([scale[name] * np.concatenate(columns[name]) for name in names])[kept]
    seen = (np.concatenate([SEEN["y"] - 10, SEEN["z"] - 20]))[kept]
    evidence = stats.multivariate_normal(
        np.zeros(len(kept)), SD**2 * np.eye(len(kept)) + design @ design.T
    ).logpdf(seen)
    covariance = np.linalg.inv(design.T @ design / SD**2 + np.eye(len(names)))
    mean = covariance @ design.T @ seen / SD**2
    return (
        float(evidence),
        dict(zip(names, mean, strict=True)),
        dict(zip(names, np.diag(covariance), strict=True)),
    )


@cache
def known_linear() -> dict[str, dict]:
    return known(*(calibrate(linear(), variant=name, starts=2) for name in VARIANTS))


@pytest.fixture(scope="module")
def found() -> Robustness:
    return cs.robustness(linear(), **known_linear(), progress=False)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (BASE, {}),
        ("sample_effect_none", {"spread": 0.0}),
        ("sample_effect_half", {"spread": 0.5}),
        ("sample_effect_twice", {"spread": 2.0}),
        ("without_y", {"left": ("y", np.nan)}),
        ("without_z", {"left": ("z", np.nan)}),
        ("without_v0", {"left": ("", -1.0)}),
        ("without_v1", {"left": ("", 5.0)}),
        ("without_v2", {"left": ("", 12.0)}),
    ],
)
def test_a_linear_gaussian_case_has_its_closed_form_under_every_alteration(found, name, told):
    row = next(each for each in found.rows if each.id == name)
    act, null = conjugate("act", **told), conjugate("null", **told)
    assert row.evidence == {
        "act": pytest.approx(act[0], abs=1e-4), "null": pytest.approx(null[0], abs=1e-4)
    }  # fmt: skip
    assert row.values["null_lead"] == pytest.approx(null[0] - act[0], abs=1e-4)
    # moments are those of two hundred draws: five standard errors of a normal variance, and of a mean
    assert row.values["dynamic_learned"] == pytest.approx(1 - act[2]["b"], abs=0.5 * act[2]["b"])
    assert row.values["null_strain"] == pytest.approx(abs(null[1]["c"]), abs=0.35 * np.sqrt(null[2]["c"]))
    assert max(row.shapes.values()) < 0.5


def test_what_does_nothing_is_told_apart_by_what_it_does(found):
    assert found.roles == VariantRoles("act", ("null",), ("act",), ())
    shipped = {each.id: objective_of(CASE, variant=each.id) for each in CASE.variants}
    assert variant_roles(shipped, "V2") == VariantRoles(
        "V2", ("V0", "V0b"), ("V1", "V2", "V3", "V4", "V5", "V6"), ("V4", "V6")
    )


def test_an_analyte_that_says_nothing_may_be_left_out():
    """It depends on nothing: its density is one factor of both evidences."""
    case = tiny_case(
        "x = 0; x' = 0; u = 0; u' = 1",
        {"y": ("10 + a + b*x + c*u", SD, "normal"), "w": ("3 + 0*x", SD, "normal")},
        [
            *(("y", day, value) for day, value in zip(DAYS, SEEN["y"], strict=True)),
            *(("w", day, 3.1) for day in DAYS),
        ],
        {name: ("normal", 0.0, PRIORS[name]) for name in "abc"},
        doses=[(0.0, "x", 1.0), (7.0, "x", 1.0)],
        variants=VARIANTS,
        groups={"b": "drives", "c": "drives"},
        start=-10.0,
    )
    fits = (calibrate(case, variant=name, starts=1) for name in VARIANTS)
    left = [alteration("without_w", case)]
    rows = {
        each.id: each for each in cs.robustness(case, alterations=left, **known(*fits), progress=False).rows
    }
    assert rows["without_w"].values["null_lead"] == pytest.approx(rows[BASE].values["null_lead"], abs=1e-6)
    # moments are those of fewer draws
    assert rows["without_w"].values == pytest.approx(rows[BASE].values, abs=0.1, nan_ok=True)
    constant = stats.norm(3, SD).logpdf(3.1) * 3
    assert rows[BASE].evidence["act"] - rows["without_w"].evidence["act"] == pytest.approx(constant, abs=1e-6)


def test_a_day_that_nothing_depends_on_is_as_likely_as_its_window_says():
    """Uniform on 1 to 21, infusions on 0, 3 and 18: 1 to 7 and 18 to 21, nine days of twenty."""
    case = tiny_case(
        "x = 0; x' = 0; z = 0; z' = 0",
        {"y": ("10 + a + 0*z", SD, "normal")},
        [("y", -1.0, 10.4), ("y", 10.0, 10.2)],
        {"a": ("normal", 0.0, 1.0)},
        doses=[(day, "x", 1.0) for day in (0.0, 3.0, 18.0)],
        windows={10.0: (1.0, 21.0)},
        start=-10.0,
        tables={"questions.tsv": "questionId\tkind\twithin\tclaim\npulse\tafter dose\t4\tshows the pulse\n"},
    )
    found = cs.robustness(case, **known(calibrate(case, starts=1)), progress=False)
    assert found.base.values["pulse_v1"] == pytest.approx(9 / 20, abs=1e-3)
    assert {row.id for row in found.rows if np.isnan(row.values["pulse_v1"])} == {
        "day_v1_earliest", "day_v1_middle", "day_v1_latest", "without_v1"
    }  # fmt: skip


def test_draws_weighted_for_another_posterior_have_the_evidence_of_draws_of_its_own():
    """The small patient, whose rows are not linear: its rows, priors and days altered, and sampled afresh."""
    fit, post = small_fit("V2"), known_small()["posteriors"]["V2"]
    chosen = [
        alteration(name, small_patient())
        for name in ("without_ESR", "without_v2", "day_v1_latest", "sample_effect_none", "student_t")
    ]
    held = [day for each in chosen for name, day in each.held.items() if name == "day_v1"]
    weighted = Reweighting(post, days=held)
    for change in chosen:
        found, objective = weighted.of(change.of(fit.objective)), change.of(fit.objective)
        afresh = optima(objective, [np.zeros(len(objective.names))])
        again = cs.sample(replace(fit, objective=objective, mixture=afresh.mixture), seed=3, **DRAWN)
        assert found.trusted == (found.pareto_k < 0.7 and not found.few)
        # heavier weights than of k = 0.5 have no variance to tell an error by: sums were seen up to a nat off
        error = 4 * np.hypot(np.hypot(found.error, post.log_evidence_error), again.log_evidence_error)
        assert found.log_evidence == pytest.approx(
            again.log_evidence, abs=error + (0.02 if found.pareto_k < 0.5 else 1.0)
        ), change.id
        if change.id in ("day_v1_latest", "student_t"):
            # whether draws as they stand tell it or not: moved, they meet the same
            moved = weighted._moved(objective, [], weighted._lines_of(objective))
            assert moved.how == "moved draws" and moved.pareto_k < 0.7
            assert moved.log_evidence == pytest.approx(
                again.log_evidence, abs=4 * np.hypot(moved.error, again.log_evidence_error) + 0.05
            ), change.id


def test_courses_read_once_tell_what_a_simulation_of_each_alteration_tells():
    """Witness: the density of every draw, integrated over its days by a simulation of its own."""
    objective, case = objective_of(small_patient(), variant="V2"), small_patient()
    thetas = 0.3 * np.random.default_rng(4).standard_normal((6, len(objective.names)))
    changes = [each for each in alterations_of(case) if each.group != "prior"]
    held = [day for each in changes for name, day in each.held.items() if name.startswith("day_")]
    courses = Courses(objective, thetas, held)
    told = 0
    for change in changes:
        altered = change.of(objective)
        if set(objective.names) - set(altered.names) - {f"day_{visit.id}" for visit in case.visits}:
            continue
        assert courses.tell(altered) == (altered.doses == objective.doses), change.id
        if not courses.tell(altered):
            continue
        rows, nodes = courses.scored(altered)
        found = rows.sum(axis=1)
        for each in courses.held(altered, nodes).values():
            found = found + np.logaddexp.reduce(each, axis=1)
        places = np.array([change.carried(objective, theta, altered) for theta in thetas])
        density = WithoutDays(altered, RTOL)
        etas = places[:, density.columns]
        assert found - 0.5 * (etas**2).sum(axis=1) == pytest.approx(density.values(etas), abs=5e-3), change.id
        told += 1
    assert told > 5
    elsewhere = replace(objective, doses=replace(objective.doses, jumps=objective.doses.jumps[1:]))
    assert not courses.tell(elsewhere)


def test_draws_of_which_weights_leave_few_are_made_afresh(monkeypatch):
    """A line whose last row lies apart: the same draws with a k that is content, called too few. Witness: the closed form of the row that is left."""
    case = straight_line([10.0, 10.1, 9.9, 16.0], [1.0, 1.1, 1.2, 4.0], sd=0.2)
    fit = calibrate(case, starts=1)
    post = cs.sample(fit, seed=1, **{**DRAWN, "effective": 200})
    rest = replace(fit.objective, terms=fit.objective.terms[3:])
    exact = stats.norm(10.0, np.sqrt(1 + 16 + 0.04)).logpdf(16.0)
    known, weighted = evidence.evidence_and_draws(fit, post)
    content = evidence.altered(fit, known, weighted, rest, seed=1)
    assert content.how == "moved draws" and content.trusted and not content.few
    standing = weighted._standing(rest)
    # a draw or two hold all the weight: whatever their k, they are few, and say so
    assert standing.few and not replace(standing, pareto_k=0.1).trusted
    assert "too few" in replace(standing, pareto_k=0.1).approximation.words
    monkeypatch.setattr(weighted, "of", lambda _: replace(content, few=True))
    again = evidence.altered(fit, known, weighted, rest, seed=1)
    assert again.how == "fresh draws" and again.trusted
    assert again.log_evidence == pytest.approx(exact, abs=4 * again.error + 0.01)
    monkeypatch.undo()
    # kept: whoever asks next is told by the same
    assert weighted.of(rest) is again


def test_a_comparison_saves_robustness_what_both_ask():
    """The same rows left out: every number as without it, to the last digit, and none of them asked again."""
    given = known_linear()
    compared = comparison_of(given["fits"], posteriors=given["posteriors"], progress=False)
    alone = cs.robustness(linear(), **given, progress=False)
    asked, ask = [], Reweighting._of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reweighting, "_of", lambda self, *args: asked.append(args[0]) or ask(self, *args))
        found = cs.robustness(linear(), **given, compared=compared, progress=False)
    assert found.table().drop(columns="doubts").equals(alone.table().drop(columns="doubts"))
    whole = {variant: len(fit.objective.terms) for variant, fit in given["fits"].items()}
    assert asked and all(len(each.terms) == whole[each.variant] for each in asked)


def test_a_mechanism_whose_draws_stand_for_nothing_is_told_and_not_computed(monkeypatch):
    """Pareto k of 1.58: weights without a mean."""
    given, ask = known_linear(), evidence.evidence_of

    def doubted(post):
        known = ask(post)
        return replace(known, pareto_k=1.58) if post.objective.variant == "null" else known

    monkeypatch.setattr(evidence, "evidence_of", doubted)
    why = "its own draws are not to be trusted (Pareto k 1.58)"
    compared = comparison_of(given["fits"], posteriors=given["posteriors"], progress=False)
    assert set(compared.left) == {"act"} and compared.spared == {"null": why}
    assert f"Not computed for null: {why}." in compared.verdict
    assert list(compared.left_out().query("variant == 'null'")["how"]) == [f"not computed: {why}"]
    found = cs.robustness(linear(), **given, compared=compared, progress=False)
    assert found.variants == ("act",) and f"Not computed for “null”: {why}." in found.verdict
    assert "null_lead" not in {each.id for each in found.conclusions}


def test_what_weights_cannot_tell_says_so():
    """A row many standard deviations from all others, which hold the line: where it alone is believed, no draw lies."""
    case = straight_line([10.0, 10.1, 9.9, 22.0], [1.0, 1.1, 1.2, 4.0], sd=0.2)
    post = cs.sample(calibrate(case, starts=1), seed=1, **{**DRAWN, "effective": 200})
    rest = replace(post.objective, terms=post.objective.terms[3:])
    weighted = Reweighting(post)
    standing = weighted._standing(rest)
    assert standing.pareto_k > 0.7 and not standing.trusted
    assert "Pareto k" in standing.approximation.brief
    # moved, the same draws meet the closed form: one row of mean 10, variance 1 + 16 + sd^2
    exact = stats.norm(10.0, np.sqrt(1 + 16 + 0.04)).logpdf(22.0)
    assert weighted.of(rest).log_evidence == pytest.approx(exact, abs=1e-4) and weighted.of(rest).trusted


def test_draws_of_a_case_read_again_are_moved_as_those_of_the_same_one():
    """A posterior from a file has a case of its own, of the same texts. Witness: the draws of the same object."""
    case = straight_line([10.0, 10.1, 9.9, 16.0], [1.0, 1.1, 1.2, 4.0], sd=0.2)
    post = cs.sample(calibrate(case, starts=1), seed=1, **{**DRAWN, "effective": 50})
    again = objective_of(cs.load_case(dict(case.files)))
    assert again.case is not post.case
    weighted = Reweighting(post)
    one, other = (weighted.of(replace(each, terms=each.terms[1:])) for each in (post.objective, again))
    assert one.how == other.how == "moved draws" and one.log_evidence == other.log_evidence


def test_cells_that_are_not_told_apart_do_equally_well():
    """Without killing, the small patient's donor cells do what her own do."""
    case = small_patient()
    equal = Alteration(id="equal", group="prior", name="no killing", held={"kappa": 0.0})
    kept = Alteration(id="same", group="prior", name="nothing")
    found = cs.robustness(case, alterations=[equal, kept], **known_small(), progress=False)
    base, same, again = found.rows
    assert same.values["own_better"] == same.values["own_learned"] == 0.0
    assert base.values["own_better"] > 0.9
    # 200 draws of the approximation, found again from other points
    assert again.values["own_better"] == pytest.approx(base.values["own_better"], abs=0.05)


def test_the_limit_in_doubt_decides_whether_it_was_exceeded():
    """36.56 pg/mL is 4.3 times 8.5 and 0.43 times 85; counted by hand, no fit is asked."""
    from cellsim.comparison.conclusions import questions

    objective = objective_of(CASE, variant="V2")
    asked, _ = questions({"V2": objective}, VariantRoles("V2", (), ("V2",), ()), margin=1.0, seed=0)
    limit = next(each for each in asked if each.conclusion.id == "over_limit_IFNa")

    def at(name: str) -> float:
        of = alteration(name).of(objective)
        one = Reweighted(of, np.zeros((1, len(of.names))), np.zeros(1), 0.0, 0.0, 0.0, False, "collapsed")
        return limit.ask({"V2": one})

    assert at("student_t") == pytest.approx(36.56 / 8.5)
    assert at("ifna_85") == pytest.approx(36.56 / 85)
    assert at("without_after4") == pytest.approx(4.9 / 8.5)
    assert np.isnan(at("without_IFNa"))


# ---- what cannot be asked -------------------------------------------------------------------------------


def test_a_case_without_variants_has_a_table_and_says_what_is_left_out():
    found = cs.robustness(straight_line([10.9, 11.4, 13.1], [1.0, 2.0, 4.0]), starts=1, progress=False)
    assert found.conclusions == ()
    assert list(found.table()["alteration"]) == [BASE, "student_t", "without_v0", "without_v1", "without_v2"]
    assert found.table().filter(like="ln evidence").notna().all(axis=None)
    assert found.flips().empty
    # what its tables do not ask is not missed: products, samples after a dose, removal
    assert found.verdict.count("cannot be asked") == 3
    assert "doing nothing" in str(found)


def test_an_alteration_that_cannot_be_fitted_is_told_and_the_others_go_on():
    """A logarithm of a negative prediction."""
    case = small_patient()
    broken = Alteration(id="broken", group="prior", name="a negative baseline", held={"base_IL6": -1.0})
    fine = Alteration(id="fine", group="prior", name="nothing")
    found = cs.robustness(case, alterations=[broken, fine], **known_small(), progress=False)
    assert "have no weight" in found.rows[1].failure
    assert np.isnan(found.table().loc[1, "null_lead [nat]"])
    assert not found.table().loc[1, "null_lead flips"]
    assert found.rows[2].values["null_lead"] == pytest.approx(found.base.values["null_lead"], abs=1e-3)
    assert "a negative baseline" in found.verdict


def test_a_question_whose_draws_fail_cannot_be_asked_and_the_others_go_on():
    def lost(posteriors):
        raise CalibrationError("60 of 250 draws cannot be simulated.")

    conclusion = Conclusion(id="own", question="?", unit="nat", threshold=0, above="yes", below="no")
    assert np.isnan(robust._answer(Question(conclusion, lost), {}))
    assert robust._answer(Question(conclusion, lambda posteriors: 2), {}) == 2.0


def test_a_number_of_draws_that_are_not_to_be_trusted_is_no_change():
    """Of a variant that a question does not look at they do not matter, nor for what the rows say; as it stands the doubt is told."""
    objective = objective_of(linear(), variant="act")
    one = Reweighted(objective, np.zeros((1, 1)), np.zeros(1), -3.0, 0.0, 0.1, False, "collapsed")
    posteriors = {"act": one, "null": replace(one, pareto_k=0.9)}
    conclusion = Conclusion(id="own", question="?", unit="nat", threshold=0, above="yes", below="no")

    def asked(name, **options):
        return Question(conclusion, lambda found: found[name].log_evidence, **options)

    assert robust._answer(asked("act"), posteriors) == -3.0
    assert np.isnan(robust._answer(asked("null"), posteriors))
    assert robust._answer(asked("null", of_rows=True), posteriors) == -3.0
    assert robust._answer(asked("null"), posteriors, altered=False) == -3.0


def test_an_interrupt_keeps_what_is_done(monkeypatch):
    again, calls = robust._again, []

    def stopped(*args):
        calls.append(args)
        if len(calls) > 4:
            raise KeyboardInterrupt
        return again(*args)

    monkeypatch.setattr(robust, "_again", stopped)
    found = cs.robustness(linear(), **known_linear(), progress=False)
    assert len(found.rows) == 3  # the case as it stands, and two alterations of two variants each
    assert found.planned == len(alterations_of(found.case)) > 2
    assert f"Interrupted after 2 of {found.planned} alterations." in found.verdict


def test_chosen_variants_are_all_that_is_compared():
    found = cs.robustness(linear(), variants=["null"], alterations=[], starts=1, progress=False)
    assert found.variants == ("null",)
    assert "null_lead" not in {each.id for each in found.conclusions}
    with pytest.raises(CalibrationError, match=r"no variant 'nul'\. Did you mean 'null'"):
        cs.robustness(linear(), variants=["nul"])


# ---- flips and faces ------------------------------------------------------------------------------------


def by_hand() -> Robustness:
    """Two conclusions, one with a margin, and what five rows make of them."""
    sure = Conclusion(
        id="sure", question="How much?", unit="nat", threshold=1.0, above="much", below="little"
    )
    vague = Conclusion(
        id="vague",
        question="Which?",
        unit="probability",
        threshold=0.5,
        above="this",
        below="that",
        margin=0.2,
    )
    numbers = [(2.0, 0.9), (0.5, 0.6), (1.5, 0.1), (np.nan, 0.8), (1.0, np.nan)]
    rows = [
        ConclusionRow(
            id=f"r{k}" if k else BASE,
            group="noise",
            name=f"row {k}",
            values={"sure": s, "vague": v},
            evidence={"A": -s},
            shapes={"A": 0.9 if k == 3 else 0.1},
        )
        for k, (s, v) in enumerate(numbers)
    ]
    return Robustness(
        case=linear(),
        roles=VariantRoles("A", (), ("A",), ()),
        variants=("A",),
        conclusions=(sure, vague),
        left_out=("Something cannot be asked.",),
        rows=tuple(rows),
        planned=4,
        seed=3,
        starts=1,
        seconds=1.0,
        versions={},
        approximation=Approximation("collapsed", ("only one start: more.",)),
    )


def test_a_flip_is_another_side_of_the_threshold():
    flips = by_hand().flips()
    assert list(zip(flips["conclusion"], flips["alteration"], flips["change"], strict=True)) == [
        ("sure", "r1", "flips"),
        ("sure", "r4", "flips"),  # at the threshold is not above it
        ("vague", "r1", "becomes open"),
        ("vague", "r2", "flips"),
    ]
    assert flips["words"][0] == "row 1: little (0.5 nat; 2 nat as it stands)."
    settled = replace(by_hand(), rows=by_hand().rows[1:])
    assert [settled.change(settled.conclusions[1], row) for row in settled.rows] == [
        "", "is settled", "is settled", ""
    ]  # fmt: skip


def test_the_table_is_the_rows():
    found = by_hand()
    table = found.table()
    assert list(table.columns) == [
        "alteration", "group", "name", "sure [nat]", "sure flips", "vague [probability]", "vague flips",
        "ln evidence A", "k A", "failure", "approximation", "doubts",
    ]  # fmt: skip
    assert list(table["sure flips"]) == [False, True, False, False, True]
    about = found.questions().set_index("conclusion")
    assert about.loc["sure", ["lowest", "highest", "changes", "asked"]].tolist() == [0.5, 1.5, 2, 3]
    assert about.loc["vague", "says"] == "this"


def test_words_say_the_numbers_and_star_the_flips():
    found = by_hand()
    text, html = str(found), found._repr_html_()
    for words in (
        "Much (2 nat), over 3 alterations from 0.5 to 1.5: flips under row 1 (0.5); row 4 (1).",
        "This (probability 0.9), over 3 alterations from 0.1 to 0.8: flips under row 2 (0.1), becomes open under row 1 (0.6).",
        "Something cannot be asked.",
        "not for treatment decisions",
        "Numbers rest on the collapsed sampler.",
        "Weights are too uneven to be trusted (Pareto k above 0.7 in some variant) under row 3; conclusions that need these variants are not",
        "only one start: more.",
    ):
        assert words in text
        assert words in html
    line = next(line for line in text.splitlines() if line.startswith("row 2"))
    assert line.split() == ["row", "2", "1.5", "0.1*"]
    assert html.count("<strong>") == 4
    assert "4 changes" in repr(found)


def test_a_file_gives_it_back(tmp_path):
    found = by_hand()
    with pytest.raises(CellsimError, match="is a folder"):
        found.save(tmp_path)
    found.save(tmp_path / "robust.json")
    again = Robustness.load(tmp_path / "robust.json")
    assert str(again) == str(found)
    assert again.case == found.case
    assert again.table().equals(found.table())
    assert (again.roles, again.variants, again.seed, again.planned) == (found.roles, ("A",), 3, 4)
    assert again.approximation == found.approximation
    # a file that does not say what its numbers rest on is none
    told = json.loads((tmp_path / "robust.json").read_text())
    for silent in (
        {k: v for k, v in told.items() if k != "approximation"},
        told | {"approximation": {"kind": "guess"}},
    ):
        (tmp_path / "no.json").write_text(json.dumps(silent))
        with pytest.raises(CellsimError, match="parts missing or changed"):
            Robustness.load(tmp_path / "no.json")
    (tmp_path / "no.json").write_text(json.dumps({"format": "x"}))
    with pytest.raises(CellsimError, match="not a saved robustness"):
        Robustness.load(tmp_path / "no.json")
    (tmp_path / "no.json").write_text("nothing")
    with pytest.raises(CellsimError, match="not JSON"):
        Robustness.load(tmp_path / "no.json")
