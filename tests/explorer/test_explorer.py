"""A page computes what Python computes, needs no network, and can be used by all."""

from __future__ import annotations

import json
import os
import re
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from browser import opened
from patients import small_fit
from small_cases import tiny_case

import cellsim as cs
from cellsim.cli.commands import main
from cellsim.dosing.delivery import deliver
from cellsim.dosing.schedule import Schedule
from cellsim.errors import CellsimError
from cellsim.explorer.contents import contents_of
from cellsim.explorer.page import Explorer, explore, page_of
from cellsim.explorer.webassembly import exported, imported_functions, object_code, sections
from cellsim.likelihood.formulation import objective_of
from cellsim.posterior.approximation import Approximation
from cellsim.predictions.measures import Area, DaysBelow, InRange, Value
from cellsim.solver.integration import Doses, integrate
from cellsim.sweeps.trust_region import beyond_given

# absorption, a condition on a state, one on time, events on time (the second just after its instant), a function that WebAssembly has not
MODEL = """
depot = 0; blood = 0; effect = 1; stock = 0
ka = 1; ke = 0.3; kout = 0.2; half = 2; base = 1
high := piecewise(1, blood > 3, 0)
wave := 1 + 0.2*sin(0.4*time)
depot' = -ka*depot
blood' = ka*depot - ke*blood
effect' = base*kout*wave/(1 + high + (blood/half)^2) - kout*effect*piecewise(1, time < 30, 1.2)
stock' = 0.5*stock*(1 - stock/4) - 0.05*stock*blood
at (time >= 20): stock = stock + 1
at (time > 20): stock = stock - 0.2
"""
PRODUCTS = "productId\tname\tsource\tstate\tunit\ndrug\ta drug\t\tdepot\tmg\nother\tanother\t\tblood\tmg\n"
UNTIL = 60.0


@pytest.fixture(scope="module")
def page() -> Explorer:
    """A page of a model with conditions on states and on time, an event, and drugs in mg."""
    case = tiny_case(
        MODEL,
        {"e": "effect", "b": "blood + 0.1", "s": "stock + 0.1"},
        [("e", 3.0, 0.8), ("e", 40.0, 0.7), ("b", 3.0, 2.0), ("s", 40.0, 1.0)],
        {
            "ka": ("log-normal", 0.0, 0.3),
            "ke": ("log-normal", -1.2, 0.3),
            "kout": ("log-normal", -1.6, 0.3),
            "half": ("log-normal", 0.7, 0.4),
        },
        doses=[(-5.0, "depot", 4.0), (0.0, "depot", 6.0), (7.0, "depot", 6.0), (14.0, "depot", 6.0)],
        tables={"products.tsv": PRODUCTS},
        start=-10.0,
    )
    measures = [Value(), InRange(), InRange(noise=True), Area("blood"), DaysBelow("effect", 0.6)]
    objective = objective_of(case)
    draws = np.random.default_rng(0).standard_normal((2, 8, len(objective.names)))
    contents = contents_of(objective, (draws[0], draws[1]), measures, case.history, Schedule(), UNTIL)
    approximation = Approximation("laplace")
    html = page_of(case, objective.variant, contents, approximation)
    return Explorer(case, objective.variant, html, 8, approximation, contents)


def _random_plans(count: int) -> list[Schedule]:
    """Boluses and infusions of both products, at random."""
    random = np.random.default_rng(16)
    plans = []
    for _ in range(count):
        plan = Schedule()
        for _ in range(random.integers(1, 4)):
            plan += Schedule.every(
                float(random.choice([1.0, 3.5, random.uniform(0.5, 20)])),
                cells=float(random.uniform(0.1, 10)),
                doses=int(random.integers(1, 8)),
                product=str(random.choice(["drug", "other"])),
                start=float(random.choice([0.0, random.uniform(0, 30)])),
                duration=float(random.choice([0.0, random.uniform(0.01, 2)])),
            )
        plans.append(plan)
    return plans


def _asked(plans: list[Schedule]) -> str:
    """Plans as a page takes them."""
    rows = [
        [
            {"day": each.day, "product": each.product, "amount": each.cells, "duration": each.duration}
            for each in plan
        ]
        for plan in plans
    ]
    return json.dumps(rows)


def _by_python(page: Explorer, plan: Schedule, times: list[float], rtol: float = 1e-6) -> np.ndarray:
    """The same draws under the same plan, by the kernels of this machine; shape (n_draws, n_times, n_outputs)."""
    contents, case = page.contents, page.case
    found = deliver(Schedule((), case.products) + case.history + plan, contents.sibling)
    solution = integrate(
        contents.kernels,
        contents.posterior,
        Doses(found.boluses, found.inflows),
        times,
        start=case.start,
        lanes=contents.compiled.width,
        end=UNTIL,
        rtol=rtol,
    )
    assert not solution.status.any(), solution.messages
    return solution.outputs


SOLVE = """
const page = await cellsim.ready, plans = %s;
return plans.map((doses) => {
  const { times, values, count, fine } = cellsim.solved(page.posterior, doses), out = page.model.machine.outputs;
  const kept = times.map((_, s) => s).filter((s) => s %% 9 === 0);
  return { fine: [...fine], times: kept.map((s) => times[s]), values: Array.from({ length: count }, (_, d) => kept.map((s) =>
    Array.from({ length: out }, (_, o) => values[(o * times.length + s) * count + d]))) };
});
"""


def test_a_page_computes_what_python_computes(page: Explorer) -> None:
    """Witness: the engine in Python, on 50 random plans, and its solution at a tolerance of 1e-10."""
    plans = _random_plans(50)
    with opened(page.html) as tab:
        found = tab.ask(SOLVE % _asked(plans))
    furthest = [0.0, 0.0, 0.0]
    for plan, here in zip(plans, found, strict=True):
        assert all(here["fine"])
        values = np.array(here["values"])
        python, reference = (_by_python(page, plan, here["times"], rtol) for rtol in (1e-6, 1e-10))
        size = np.abs(reference).max(axis=(0, 1))
        for k, (one, other) in enumerate(((values, python), (values, reference), (python, reference))):
            furthest[k] = max(furthest[k], float((np.abs(one - other) / size).max()))
    assert furthest[0] < 1e-6
    assert furthest[1] < 1.01 * furthest[2] + 1e-7


MOVED = """
const page = await cellsim.ready, { model, posterior } = page, outputs = [...Array(model.machine.outputs).keys()], plans = %s;
const worst = [], moving = posterior.groups[0].group;
let steps = 0;
const kernels = { ...moving.k };
posterior.groups[0].group.k = { ...kernels, step: (...at) => { steps += 1; kernels.step(...at); } };
const counts = [];
for (const rows of plans) {
  page.rows = rows;
  page.words();
  steps = 0;
  const exact = cellsim.solved(posterior, page.doses), taken = steps, of = new Map(exact.times.map((day, s) => [day, s]));
  page.looked = () => outputs;
  steps = 0;
  const moved = await page.moved(Infinity);
  outputs.forEach((o) => {
    const [one, other] = [moved, exact].map((each) => cellsim.bands(each, o)), height = Math.max(...other[2]) - Math.min(...other[0]);
    moved.times.forEach((day, s) => [0, 1, 2].forEach((q) => { if (of.has(day)) worst.push(Math.abs(one[q][s] - other[q][of.get(day)]) / height); }));
  });
  counts.push([taken, steps]);
}
return { worst: Math.max(...worst), counts, fine: [...(await page.moved(Infinity)).fine] };
"""


def test_a_picture_that_moves_is_right_to_the_width_of_a_line(page: Explorer) -> None:
    """Witness: the same plans at rest. A figure is 115 pixels high, a line two: 1.7 %; its steps are less than half as many.

    What comes before day 0 is not taken again, though every plan here begins on another day.
    """
    rows = [
        {"product": product, "start": start, "interval": interval, "number": 5, "amount": amount, "hours": hours, "stop": UNTIL}
        for product, start, interval, amount, hours in (
            ("drug", 0, 7, 6, 0), ("drug", 1, 7, 3, 0), ("drug", 2.5, 4, 8, 12), ("other", 3, 10, 2, 0), ("other", 5, 3, 6, 2),
        )
    ]  # fmt: skip
    with opened(page.html) as tab:
        found = tab.ask(MOVED % json.dumps([[each] for each in rows]))
    assert all(found["fine"])
    assert found["worst"] < 0.017
    for at_rest, moved in found["counts"][1:]:
        assert 0 < moved < 0.5 * at_rest


LATE = Schedule.every(7, cells=5.0, doses=3, product="drug")

SHARED = """
const page = await cellsim.ready, { posterior, model } = page, read = [...Array(model.machine.outputs).keys()];
const into = new Map(model.products.map((each) => [each.name, each]));
const plans = %s.map((doses) => doses.map(({ day, product, amount, duration }) => ({ day, state: into.get(product).state, amount: amount / into.get(product).scale, duration })));
const filled = (plan, how, places) => {
  const result = posterior.result(plan, how, read);
  places.forEach((place) => posterior.fill(result, place));
  return [[...result.values], [...result.fine]];
};
const all = posterior.groups.map((_, place) => place), found = [];
for (const how of ["moving", "exact"]) {
  filled(plans[0], how, all);
  filled(plans[1], how, all.slice(0, 2)); // overtaken: the others still hold the plan before
  const shared = filled(plans[2], how, all);
  posterior.groups.forEach((each) => (each.runs = {}));
  found.push(JSON.stringify(shared) === JSON.stringify(filled(plans[2], how, all)), shared[0].length, shared[1].every((each) => each === 1));
}
return found;
"""


def test_what_plans_share_is_what_it_would_be_computed_anew(page: Explorer) -> None:
    """Witness: the last of three plans that part late, without the two before it, of which one was overtaken when half its draws were in: every number alike."""
    plans = [
        LATE + Schedule.at([day], cells=size, product="drug")
        for day, size in ((30, 5.0), (41, 2.0), (41, 3.0))
    ]
    with opened(page.html) as tab:
        found = tab.ask(SHARED % _asked(plans))
    assert [found[0], found[3]] == [True, True] and found[2] and found[5] and found[1] > 0


HELPED = """
const page = await cellsim.ready, plans = %s, alone = [], helped = [];
const numbers = ({ values, fine, greatest, below, read }) => [[...values].filter((each) => each === each), [...fine], greatest.map((each) => [...each]), below.map((each) => [...each]), read];
const both = async (doses) => {
  page.doses = doses;
  page.latest.again = await page.moved(Infinity);
  const moved = numbers(page.latest.again), { posterior, prior } = await page.atRest(doses, page.turn);
  for (const { values, times, count, read } of [page.latest.again, posterior, prior])
    for (const o of read) gaps += values.subarray(o * times.length * count, (o + 1) * times.length * count).filter((each) => each !== each).length;
  return JSON.stringify([moved, numbers(posterior), numbers(prior)]);
};
let gaps = 0;
await page.helpers.ready;
const count = page.helpers.all.length;
await both(plans[3]); // both times the first plan follows the last
for (const doses of plans) helped.push(await both(doses));
const still = page.helpers.all.length;
// a helper that fails in the middle of a plan is done without, then and later
page.helpers.asked = async () => { throw new Error("gone"); };
await both(plans[3]);
const left = page.helpers.all.length;
for (const doses of plans) alone.push(await both(doses));
return { count, still, left, gaps, alike: helped.map((each, k) => each === alone[k]), length: helped[0].length };
"""


def test_helpers_compute_what_the_page_computes_alone(page: Explorer) -> None:
    """Witness: the page without helpers, once one has failed, of the same plans, moved and at rest: the same groups of draws give the same numbers,
    every bit."""
    with opened(
        page.html, before="Object.defineProperty(navigator, 'hardwareConcurrency', {value: 2})"
    ) as tab:
        # the last two part late from the one before them: what comes earlier is not computed again, by a helper neither
        late = [LATE + Schedule.at([day], cells=size, product="drug") for day, size in ((41, 2.0), (41, 3.0))]
        found = tab.ask(HELPED % _asked([*_random_plans(4), *late]))
        requests = [url for url in tab.requests if not url.startswith(("data:", "blob:"))]
    assert found["count"] == found["still"] == 1 and found["left"] == 0 and found["length"] > 10_000
    assert found["alike"] == [True] * 6 and found["gaps"] == 0
    assert len(requests) == 1


@pytest.mark.parametrize("broken", ["delete window.Worker", "window.Worker = class { constructor() { throw new Error('no'); } }",
                                    "window.Worker = class { postMessage() { setTimeout(() => this.onerror({ message: 'no', preventDefault() {} })); } terminate() {} }"])  # fmt: skip
def test_a_browser_without_workers_computes_alone(page: Explorer, broken: str) -> None:
    """One that has none, that refuses them, and that cannot load them."""
    script = """
    const page = await cellsim.ready;
    await page.helpers.ready;
    page.rows = [];
    page.words();
    const moved = await page.moved(Infinity);
    return { helpers: page.helpers.all.length, fine: [...moved.fine], worst: page.worst };
    """
    with opened(page.html, before=broken) as tab:
        found = tab.ask(script)
    assert found["helpers"] == 0 and all(found["fine"]) and found["worst"] < 1e-6


FRAMES = """
const page = await cellsim.ready, budgets = [], drawn = [], { moved, show } = page, fill = page.posterior.fill;
await page.helpers.ready;
page.helpers.alone();
page.settle = async () => {};
page.moved = (budget) => { budgets.push(budget); return moved.call(page, budget); };
for (const slow of [20, 20, 400, 0]) {
  page.show = (all) => { for (const end = performance.now() + slow; performance.now() < end; ); show.call(page, all); };
  page.frame = null;
  page.changed();
  while (page.frame === null) await new Promise((go) => setTimeout(go, 5));
}
let clock = 0;
performance.now = () => clock;
page.posterior.fill = (...given) => { clock += 10; return fill.apply(page.posterior, given); };
for (const budget of [1, 25, 45, Infinity]) drawn.push((await page.moved(budget)).drawn);
return { budgets: budgets.slice(0, 4), drawn, width: page.model.machine.width };
"""


def test_a_picture_that_moves_has_as_many_draws_as_its_time_allows(page: Explorer) -> None:
    """What the last picture took to be drawn is left of 50 ms, half of them at least. Witness: a clock by hand, 10 ms for each group of draws."""
    with opened(page.html) as tab:
        found = tab.ask(FRAMES)
    first, *later, last = found["budgets"]
    assert first == 50 and last == 25 and all(25 <= each <= 30 for each in later)
    assert [each / found["width"] for each in found["drawn"]] == [1, 2, 4, 4]


NUMBERS = """
const page = await cellsim.ready;
const lists = %s.map((each) => each.map((value) => value ?? NaN));
return lists.map((all) => {
  const count = all.length / 3;
  const result = { times: [0, 1, 2], count, values: Float64Array.from(all), fine: new Uint8Array(count).fill(1), done: count };
  return cellsim.bands(result, 0);
});
"""


def test_bands_are_quantiles(page: Explorer) -> None:
    """Witness: numpy's quantiles, of draws that keep their order, turn it round, and tie; a value that is no number stands last."""
    random = np.random.default_rng(2)
    lists = [random.standard_normal((3, n)) for n in (1, 2, 20, 101)]
    lists += [np.array([np.arange(40.0), np.arange(40.0)[::-1], random.integers(0, 3, 40)])]
    broken = random.standard_normal((3, 100))
    broken[1, 7] = np.nan
    with opened(page.html) as tab:
        found = tab.ask(
            NUMBERS % json.dumps([[None if x != x else x for x in each.ravel()] for each in [*lists, broken]])
        )
    for each, bands in zip(lists, found, strict=False):
        assert np.allclose(bands, np.quantile(each, [0.05, 0.5, 0.95], axis=1), rtol=1e-14, atol=0)
    last = np.quantile(np.where(np.isnan(broken), np.inf, broken), [0.05, 0.5, 0.95], axis=1)
    assert np.allclose(found[-1], last, rtol=1e-14, atol=0)


# ---- the page of a case, with its measures ---------------------------------------------------------------

DRAWS = 24
WEEKLY = Schedule.every(7, cells=3e7, doses=20, product="rfib")


@pytest.fixture(scope="module")
def whole() -> Explorer:
    """A page of the small patient, on which everything is asked that a case can ask."""
    return explore(small_fit(), until=200.0, draws=DRAWS, seed=3)


def test_numbers_of_a_page_are_those_of_a_sweep(whole: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Witness: `cs.sweep` with the same draws, of every measure and for the prior too; it finds days below by integration.

    A sweep steps more coarsely than the engine does by default and a page does: here it steps as these.
    """
    monkeypatch.setattr("cellsim.predictions.predictor.RTOL", 1e-6)
    monkeypatch.setattr("cellsim.predictions.predictor._PEAK_SHARE", 1e-4)
    script = """
    const page = await cellsim.ready, [doses] = %s, out = {};
    for (const which of ["posterior", "prior"])
      out[which] = cellsim.numbersOf(cellsim.solved(page[which], doses), page.model).map((each) => [...each]);
    return { ...out, asked: page.model.asked.map(({ measure, quantity }) => [measure, quantity]), worst: page.worst };
    """
    with opened(whole.html) as tab:
        found = tab.ask(script % _asked([WEEKLY]))
    swept = cs.sweep(small_fit(), {"weekly": WEEKLY}, until=200.0, draws=DRAWS, seed=3)
    assert found["asked"] == [[each.measure, each.quantity] for each in swept.asked]
    assert {"in range, as sampled", "all in range", "peak", "area", "days below 0.5"} <= {
        each.measure for each in swept.asked
    }
    for which in ("posterior", "prior"):
        here, there = np.array(found[which]), getattr(swept, which)[0]
        size = np.abs(there).max(axis=1, keepdims=True)
        assert np.all(np.abs(here - there) < 1e-6 * size + 1e-9)
    assert found["worst"] < 1e-6


def test_what_plans_share_is_computed_once_and_alike(whole: Explorer) -> None:
    """Witness: a page opened anew, which has nothing to share; moved plans take fewer steps than whole ones."""
    script = """
    const page = await cellsim.ready, plans = %s;
    const all = plans.map((doses) => cellsim.solved(page.posterior, doses)), last = all[all.length - 1];
    return { values: [...last.values], greatest: last.greatest.map((each) => [...each]), below: last.below.map((each) => [...each]) };
    """
    longer = WEEKLY + Schedule.at([150.0, 160.0], cells=5e7, product="ucmsc", duration=0.5)
    with opened(whole.html) as tab:
        shared = tab.ask(script % _asked([WEEKLY, WEEKLY.only(before=80), longer]))
    with opened(whole.html) as tab:
        alone = tab.ask(script % _asked([longer]))
    for name, values in alone.items():
        assert np.array_equal(np.array(shared[name], float), np.array(values, float)), name


def test_a_page_knows_what_was_given(whole: Explorer) -> None:
    """Witness: the trust region of sweeps, on random plans of both products."""
    random = np.random.default_rng(5)
    plans = [
        Schedule.every(
            float(random.choice([3.0, 7.0, 40.0])), cells=float(random.choice([4e7, 5e7, 9e7])),
            doses=int(random.integers(1, 9)), product=str(random.choice(["rfib", "ucmsc"])),
        )
        for _ in range(30)
    ]  # fmt: skip
    script = """
    const page = await cellsim.ready;
    return %s.map((doses) => cellsim.beyondGiven(doses, page.model).map(({ what, product, value, limit }) => [what, product, value, limit]));
    """
    with opened(whole.html) as tab:
        found = tab.ask(script % _asked(plans))
    kinds = set()
    for plan, here in zip(plans, found, strict=True):
        there = beyond_given(plan, whole.case.history, whole.case, 200.0)
        assert here == [[each.what, each.product, each.value, each.limit] for each in there]
        kinds |= {each.what for each in there}
    assert {"dose", "gap", "total", "duration", "last day"} <= kinds


def test_a_page_needs_nothing_beside_it(whole: Explorer, tmp_path: Path) -> None:
    """No request but for the file itself; nothing in it points elsewhere, and its policy would forbid it."""
    with opened(whole.html) as tab:
        tab.ask(
            "await cellsim.ready; document.querySelectorAll('details').forEach((each) => (each.open = true))"
        )
        requests = [url for url in tab.requests if not url.startswith(("data:", "blob:"))]
    assert len(requests) == 1 and requests[0].startswith("file:")
    assert not re.search(r"""(?:src|href|url|import|fetch)\s*[=(]\s*["']?\s*(?:https?:)?//""", whole.html)
    assert "default-src 'none'" in whole.html
    assert len(whole.html.encode()) < 500_000


KEYS = """
await cellsim.ready;
const node = document.querySelector('input[data-key="number"]');
node.focus();
window.before = document.querySelector("#total").textContent;
"""
SETTLED = """
const page = await cellsim.ready;
while (!document.querySelector("#status").textContent.startsWith("At rest")) await new Promise((go) => setTimeout(go, 20));
return { before, total: document.querySelector("#total").textContent, doses: page.doses.length,
  cards: document.querySelector("#outcomes").textContent, beyond: document.querySelector("#beyond").textContent };
"""
NAMES = """
await cellsim.ready;
const named = (node) => node.getAttribute("aria-label") || [...(node.labels ?? [])].map((each) => each.textContent).join("") || node.textContent;
return [...document.querySelectorAll("input, select, button, summary")].filter((node) => !named(node).trim() || node.tabIndex < 0)
  .map((node) => node.outerHTML);
"""
CONTRAST = """
await cellsim.ready;
document.querySelectorAll("details").forEach((each) => (each.open = true));
document.querySelector("#stills").hidden = false;
const parts = (text) => text.match(/[\\d.]+/g).map(Number), poor = [];
const linear = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
for (const node of document.querySelectorAll("body *")) {
  const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.textContent.trim());
  if (!own || !node.checkVisibility()) continue;
  let behind = node, colour = [255, 255, 255];
  for (; behind; behind = behind.parentElement) {
    const found = parts(getComputedStyle(behind).backgroundColor);
    if (found.length === 3 || found[3] === 1) { colour = found; break; }
  }
  const [one, other] = [light(parts(getComputedStyle(node).color)), light(colour)].sort((a, b) => b - a);
  if ((one + 0.05) / (other + 0.05) < 4.5) poor.push(node.outerHTML.slice(0, 200));
}
return poor;
"""


def test_a_page_is_moved_by_keys_and_names_all_it_has(whole: Explorer) -> None:
    """Real keys on a slider change the plan; every control has a name and a place in the order of tabs; WCAG AA contrast."""
    with opened(whole.html, width=400) as tab:
        tab.ask(KEYS)
        tab.press("ArrowRight")
        after = tab.ask(SETTLED)
        assert tab.ask(NAMES) == []
        assert tab.ask(CONTRAST) == []
        assert tab.ask("return document.documentElement.scrollWidth <= innerWidth")
    assert after["before"] == "In all rfib: 6 doses, 3e8 cells."
    assert after["total"] == "In all rfib: 7 doses, 3.5e8 cells." and after["doses"] == 7
    # a dose more than was given: extrapolation, said in words too
    assert "3.5e8 cells of rfib in all (given: 3e8 cells)" in after["beyond"]
    assert "P(better than as given)" in after["cards"] and "prior-driven" in after["cards"]


def test_a_browser_that_cannot_compute_says_so_and_shows_pictures(whole: Explorer) -> None:
    with opened(whole.html, before="delete window.WebAssembly;") as tab:
        said = tab.ask(
            "await cellsim.ready.catch(() => null); await new Promise((go) => setTimeout(go, 20));"
            "return [document.querySelector('#status').textContent, document.querySelectorAll('#stills svg').length,"
            "document.querySelector('#stills').checkVisibility(), document.querySelector('#computed').checkVisibility()]"
        )
    assert "cannot compute" in said[0] and said[1:] == [len(whole.contents.model["curves"]), True, False]


# ---- the module ------------------------------------------------------------------------------------------

ADD = "define void @add(ptr %w, ptr %v) #0 {\nentry:\n  store double 1.0, ptr %w\n  ret void\n}\n"
TABLE = "@t = constant [2 x double] [double 1.0, double 2.0]\n"
READ = (
    "define void @read(ptr %w, ptr %v) #0 {\nentry:\n  %i = load i32, ptr %v\n  %p = getelementptr double, ptr @t, i32 %i\n"
    "  %x = load double, ptr %p\n  store double %x, ptr %w\n  ret void\n}\n"
)


def test_a_module_exports_its_kernels_and_refuses_what_needs_a_linker() -> None:
    """By the binary format: sections in the order of their numbers, the export section before the code, no custom one."""
    sine = "declare double @sin(double)"
    text = ADD.replace("store double 1.0", "%x = call double @sin(double 2.0)\n  store double %x")
    code = exported(object_code([text], [sine]), ["add"])
    kinds = [kind for kind, _ in sections(code)]
    assert kinds == sorted(kinds) and 7 in kinds and 0 not in kinds
    assert imported_functions(code) == ("sin",)
    with pytest.raises(CellsimError, match="defines no minus"):
        exported(object_code([ADD], []), ["minus"])
    with pytest.raises(CellsimError, match="data of their own"):
        exported(object_code([READ], [TABLE]), ["read"])
    with pytest.raises(CellsimError, match="no WebAssembly module"):
        exported(b"\x7fELF0000", ["add"])


# ---- refusals --------------------------------------------------------------------------------------------


def test_what_a_page_cannot_do_is_refused_in_words() -> None:
    fit = small_fit()
    with pytest.raises(CellsimError, match="an objective has no draws"):
        explore(fit.objective)
    with pytest.raises(CellsimError, match=r"(?s)draws.*until"):
        explore(fit, draws=0, until=-1.0)
    with pytest.raises(CellsimError, match="no measure that a page can compute"):
        explore(fit, draws=4, measures=[_Strange()])


class _Strange(Value):
    pass


def test_a_case_without_anything_to_give_is_refused() -> None:
    case = tiny_case("x = 10; x' = -k*x; k = 1", {"y": "x"}, [("y", 1.0, 4.0)], {"k": 1.0})
    draws = np.zeros((4, 0))
    with pytest.raises(CellsimError, match="nothing to move"):
        contents_of(objective_of(case), (draws, draws), [Value()], Schedule(), Schedule(), 10.0)


def test_a_case_in_which_nothing_was_given_begins_with_nothing_and_a_notebook_shows_it() -> None:
    """Witness: exp(-k t) without a dose, and twice that with one of 10 at the start; shown inside a frame, as a notebook does."""
    case = tiny_case(
        "x = 10; x' = -k*x; k = 0.1",
        {"y": "x"},
        [("y", 1.0, 9.0)],
        {"k": ("log-normal", -2.3, 0.5)},
        tables={"products.tsv": "productId\tname\tsource\tstate\tunit\ndrug\ta drug\t\tx\tmg\n"},
    )
    objective = objective_of(case)
    draws = np.zeros((5, 1))
    contents = contents_of(objective, (draws, draws), [Value()], Schedule(), Schedule(), 20.0)
    approximation = Approximation("laplace")
    html = page_of(case, "", contents, approximation)
    shown = Explorer(case, "", html, 5, approximation, contents)._repr_html_()
    script = """
    const inside = document.querySelector("iframe").contentWindow, page = await inside.cellsim.ready;
    const last = (doses) => inside.cellsim.numbersOf(inside.cellsim.solved(page.posterior, doses), page.model)[0][4];
    return [page.rows.length, page.doses.length, last([]), last([{ day: 0, product: "drug", amount: 10, duration: 0 }])];
    """
    with opened(f"<!doctype html><title>notebook</title><body>{shown}</body>") as tab:
        tab.ask(
            "while (!document.querySelector('iframe').contentWindow.cellsim) await new Promise((go) => setTimeout(go, 20))"
        )
        rows, doses, alone, given = tab.ask(script)
    assert (rows, doses) == (0, 0)
    exact = 10 * np.exp(-np.exp(-2.3) * 20)
    assert [alone, given] == pytest.approx([exact, 2 * exact], rel=1e-5)


NOTEBOOK = """
window.told = [];
const model = { get: (name) => window.traits[name], set: (name, value) => { model[name] = value; }, save_changes: () => window.told.push(model.doses) };
widget.render({ model, el: document.body });
window.postMessage({ cellsimDoses: "no frame's" }, "*");
"""


def test_a_widget_tells_python_the_plan_that_it_is_moved_to(
    page: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Witness: a plan moved by hand in a frame, as a notebook's script shows it, written in Python; the extra is named where it is missing."""
    code = files("cellsim.explorer").joinpath("notebook.js").read_text(encoding="utf-8")
    traits = json.dumps({"html": page.html, "title": "a page"}).replace("</", "<\\/")
    script = f"window.traits = {traits}; {code.replace('export default', 'const widget =')} {NOTEBOOK}"
    with opened(f"<!doctype html><title>notebook</title><body><script>{script}</script></body>") as tab:
        tab.ask("while (!window.told.length) await new Promise((go) => setTimeout(go, 20))")
        first, doses = tab.ask(
            "const first = window.told.at(-1), inside = document.querySelector('iframe').contentWindow, page = await inside.cellsim.ready;"
            "const before = window.told.length; page.rows[0].amount = 5; page.rows[0].hours = 12; page.changed();"
            "while (window.told.length === before) await new Promise((go) => setTimeout(go, 20));"
            "return [first, window.told.at(-1)];"
        )
    given = page.case.schedule.infusions
    assert [(each["day"], each["amount"]) for each in first] == [(each.day, each.cells) for each in given]
    try:
        import anywidget
    except ImportError:
        assert not os.environ.get("CI"), "CI installs anywidget with the extra test"
        anywidget = None
    if anywidget is not None:
        widget = page.widget()
        widget.doses = doses
        wanted = Schedule.at([0.0, 7.0, 14.0], cells=5.0, product="drug", duration=0.5)
        assert widget.plan.infusions == wanted.infusions
        assert widget.plan.products == page.case.schedule.products
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(CellsimError, match="cellsim\\[notebook\\]"):
        page.widget()


def test_events_that_wait_for_states_are_refused_by_name() -> None:
    case = tiny_case(
        "x = 1; x' = -0.1*x; again: at (x < 0.5): x = 1",
        {"y": "x"},
        [("y", 1.0, 0.9)],
        {},
    )
    objective = objective_of(case)
    draws = np.zeros((2, 4, len(objective.names)))
    with pytest.raises(CellsimError, match="again"):
        contents_of(objective, (draws[0], draws[1]), [Value()], Schedule(), Schedule(), 10.0)


def test_a_page_too_large_takes_fewer_draws_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellsim.explorer.page.LARGEST", 200_000)
    made = explore(small_fit(), draws=600)
    assert 20 <= made.draws < 600 and len(made.html.encode()) <= 200_000
    assert f"only {made.draws} of 600 draws" in made.html


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_fit().save(tmp_path / "fit.json")
    out = tmp_path / "whatif.html"
    main(["explore", str(tmp_path / "fit.json"), "--out", str(out), "--quick", "--until", "200"])
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "40 draws" in capsys.readouterr().out
