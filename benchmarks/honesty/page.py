"""docs/honesty.md from what has been done so far."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from benchmarks.clock import table
from benchmarks.honesty import coverage, decisions, figures, preference, ranks, sbc
from benchmarks.honesty.ledger import RESULTS, Record, Study, records
from benchmarks.honesty.patients import NOTHING, drives, full
from benchmarks.honesty.posteriors import SAMPLER
from benchmarks.honesty.ranks import Rate
from cellsim.posterior.approximation import LARGEST_SHAPE

Array = NDArray[np.float64]
DOCS = Path(__file__).resolve().parents[2] / "docs"
POSTERIORS = {
    "laplace": "Laplace mixture",
    "psis": "Laplace, importance weights",
    "nuts": "NUTS, one chain",
    "collapsed": "collapsed sampler",
}
# which study of decisions has draws of the collapsed sampler for patients of a model, read with it
COLLAPSED = {
    "small": ("small", "memory"),
    "V2": ("shipped", "V2"),
    "V0": ("shipped", "V0"),
    "V3": ("shipped", "V3"),
}
WATCHED = (
    *("e", "kappa", "t_R", "lambda_cytokine", "day_after4", "log-likelihood"),
    *("ln drive, day 35", "ln drive, day 259", "drive, given : donor", "viable cells, given : donor"),
)
LEVELS = (0.5, 0.8, 0.95)
LINES = (0.0, np.log(3), np.log(20))
# what is told in words, and the chance below which a count is called off
JUDGED = ("e", "t_R", "ln drive, day 35", "ln drive, day 259", "log-likelihood")
_RARE = 0.01
# fewer patients than these say nothing in a table, or in words
_FEWEST, _FEWEST_SAID = 5, 20


def _done(study: Study, path: Path) -> list[Record]:
    return [line for line in records(study, path) if "failed" not in line]


def _study(studies: Sequence[Study], name: str) -> Study:
    return next(study for study in studies if study.name == name)


def _pm(found: tuple[float, float], scale: float = 100.0, digits: int = 0) -> str:
    return f"{scale * found[0]:.{digits}f} ± {scale * found[1]:.{digits}f}"


# ---- simulation-based calibration ----------------------------------------------------------------


def _calibration(path: Path) -> tuple[list[str], list[str]]:
    """Two tables and a list of what was lost; the figure beside them."""
    rows: list[tuple[str, ...]] = []
    closer: list[tuple[str, ...]] = []
    panels: list[tuple[str, Array, Sequence[str]]] = []
    went = []
    studies = sbc.studies()
    for study in studies:
        objective, watched = sbc.judged()[study.name]
        names, lines, size = sbc.names(objective, watched), _done(study, path), len(objective.names)
        lost = len(records(study, path)) - len(lines)
        k_hat = [line["k_hat"] for line in lines]
        went.append(
            f"{study.name}: {len(lines)} patients, {lost} lost; k-hat of the importance weights, median and 90 %: "
            f"{np.median(k_hat):.2f}, {np.quantile(k_hat, 0.9):.2f}"
            + _chains([line for line in lines if "ess" in line])
        )
        for key in ("laplace", "psis", "nuts"):
            _placed(study.name, key, lines, names, size, rows, closer, panels)
    for model, (family, mechanism) in COLLAPSED.items():
        name = decisions.name_of(family, mechanism, mechanism)
        lines = _done(_study(decisions.studies([family]), name), path)
        about = decisions.FAMILIES[family]()
        objective = about.objectives[mechanism]
        watched = about.watched if mechanism == next(iter(about.objectives)) else NOTHING
        names = sbc.names(objective, watched)
        _placed(model, "collapsed", lines, names, len(objective.names), rows, closer, panels)
        if lines:
            went.append(_weighted(model, lines))
    figures.ranks(panels, DOCS / "honesty_sbc.png")
    head = (
        "model",
        "posterior",
        "patients",
        "in 50 %",
        "in 80 %",
        "in 95 %",
        "spread",
        "p < 0.05",
        "smallest p x number",
    )
    head_closer = ("of V2", "posterior", "mean position", "in 50 %", "in 95 %", "p")
    order = sorted(closer, key=lambda row: WATCHED.index(row[0]))
    return [table(head, rows), table(head_closer, order)], went


def _placed(
    model: str,
    key: str,
    lines: Sequence[Record],
    names: Sequence[str],
    size: int,
    rows: list[tuple[str, ...]],
    closer: list[tuple[str, ...]],
    panels: list[tuple[str, Array, Sequence[str]]],
) -> None:
    """Where one kind of posterior places the truths of a model's patients, added to rows of both tables and to the figure's panels."""
    u = np.array([line[key] for line in lines if key in line])
    if len(u) < _FEWEST:
        return
    title = POSTERIORS[key]
    p = ranks.surprise(u.T)
    share = [_pm(ranks.coverage(u[:, :size], level)) for level in LEVELS]
    rows.append(
        (
            *(model, title, str(len(u)), *share, _pm(ranks.spread(u[:, :size]), 1, 2)),
            *(f"{int((p < 0.05).sum())} of {p.size}", f"{min(1, p.min() * p.size):.3f}"),
        )
    )
    if model == "V2" and key != "psis":
        for name in WATCHED:
            j = names.index(name)
            mean, error = ranks.mean_and_error(u[:, j])
            inside = [
                str(Rate(int((np.abs(u[:, j] - 0.5) < level / 2).sum()), len(u))) for level in (0.5, 0.95)
            ]
            closer.append((name, title, f"{mean:.2f} ± {error:.2f}", *inside, f"{p[j]:.4f}"))
    if model in ("reduced", "small") or key != "psis":
        panels.append((f"{model}: {title}", u, names))


def _weighted(model: str, lines: Sequence[Record]) -> str:
    """How the collapsed sampler fared with the patients of a model."""
    over = sum(line["k_hat"] >= LARGEST_SHAPE for line in lines)
    effective, made = ([line[name] for line in lines] for name in ("effective", "draws"))
    return (
        f"{model}, collapsed sampler: {len(lines)} patients, Pareto k above {LARGEST_SHAPE:g} in {over} when at most {decisions.BUDGET} weighted draws were "
        f"made (none of these fell back to chains here); effective draws, median and least: {np.median(effective):.0f}, {min(effective)}; weighted "
        f"draws, median: {np.median(made):.0f}."
    )


def _sampled(path: Path) -> str:
    """What patients of V2 show of the draws that are quoted, by counts and by what a right posterior would show."""
    lines = _done(_study(decisions.studies(["shipped"]), decisions.name_of("shipped", "V2", "V2")), path)
    if len(lines) < _FEWEST_SAID:
        return f"of V2 only {len(lines)} patients are done so far, too few to say anything in words; their counts stand in the table."
    objective, watched = full("V2"), drives(full("V2"))
    names, u = sbc.names(objective, watched), np.array([line["collapsed"] for line in lines])
    said, off = [], []
    for name in JUDGED:
        distance = np.abs(u[:, names.index(name)] - 0.5)
        counts = [int((distance < level / 2).sum()) for level in (0.95, 0.5)]
        said.append(f"{name} {counts[0]} and {counts[1]}")
        off += [
            f"{name} at {100 * level:.0f} %"
            for level, count in zip((0.95, 0.5), counts, strict=True)
            if binomtest(count, len(u), level).pvalue < _RARE
        ]
    return f"Of {len(u)} patients of V2, intervals of 95 % and of 50 % hold: {', '.join(said)}. " + (
        f"**Off, with a chance below {_RARE:g} each for a right posterior: {', '.join(off)}.**"
        if off
        else f"None of these counts is off by more than luck allows (binomial p of {_RARE:g} each); the p of ranks, which see more, stand in the table."
    )


def _chains(lines: Sequence[Record]) -> str:
    if not lines:
        return "."
    before = sum(line.get("sampler") != SAMPLER for line in lines)
    ess, rhat = [line["ess"] for line in lines], [line["rhat"] for line in lines if "rhat" in line]
    return (
        f". Chains of {len(lines)} patients: worst effective sample size, median {np.median(ess):.0f}, worst "
        f"R-hat of the chain's halves, median {np.median(rhat):.2f}; {before} of them were made before the sampler integrated "
        "sampling days out."
    )


# ---- recovery ------------------------------------------------------------------------------------


def _recovery(path: Path) -> list[str]:
    rows, numbers, drawn = [], [], {}
    for study in coverage.studies():
        if study.name == "published":
            continue
        truth = coverage.TRUTHS[study.name.removesuffix(", sampled")]
        lines = _done(study, path)
        if len(lines) < 2:
            continue
        both = coverage.shared(truth)[2]
        u, bias = (np.array([line[key] for line in lines]) for key in ("u", "bias"))
        contraction = np.array([line["contraction"] for line in lines])
        told = contraction.mean(axis=0) > 0.2
        share = [_pm(ranks.coverage(u, level)) for level in LEVELS]
        learned = [_pm(ranks.coverage(u[:, told], level)) for level in (0.5, 0.95)]
        hinge = "phi" if truth.read_with == "V0" else "e"
        where = both.index(hinge) if hinge in both else None
        off = "" if where is None else f"{bias[:, where].mean():+.2f}, {contraction[:, where].mean():.2f}"
        rows.append((study.name, str(len(lines)), *share, *learned, f"{hinge}: {off}" if off else ""))
        real = drives(full(truth.variant)).of(coverage.truth_theta(truth)[None])[0]
        where_in, mean, sd = (
            np.array([line[key] for line in lines]) for key in ("u_numbers", "mean_numbers", "sd_numbers")
        )
        drawn[study.name] = (float(real[1]), mean[:, 1], sd[:, 1])
        for j, name in enumerate(coverage.numbers(truth)):
            # some are zero by the reading variant's construction, whatever the data
            if sd[:, j].max() == 0 or name not in WATCHED[-3:]:
                continue
            inside = [
                str(Rate(int((np.abs(where_in[:, j] - 0.5) < level / 2).sum()), len(lines)))
                for level in (0.5, 0.95)
            ]
            numbers.append(
                (
                    study.name,
                    name,
                    f"{real[j] + 0.0:.3g}",
                    f"{mean[:, j].mean():.3g}",
                    f"{sd[:, j].mean():.2g}",
                    *inside,
                )
            )
    figures.recovery(drawn, DOCS / "honesty_coverage.png")
    head = (
        "truth",
        "patients",
        *(f"in {100 * level:.0f} %" for level in LEVELS),
        "learned, in 50 %",
        "learned, in 95 %",
        "bias, contraction",
    )
    head_numbers = ("truth", "prediction", "true", "mean", "sd", "in 50 %", "in 95 %")
    meanings = [f"- **{name}**: {truth.meaning}." for name, truth in coverage.TRUTHS.items()]
    return ["\n".join(meanings), table(head, rows), table(head_numbers, numbers)]


def _published(path: Path) -> str:
    """The case itself, three ways."""
    rows = []
    lines = _done(_study(coverage.studies(), "published"), path)
    names = coverage.numbers(coverage.TRUTHS["medians"])
    for j, name in enumerate(names):
        told = [
            f"{np.mean([line[key]['mean_numbers'][j] for line in lines]):.3g} ± "
            f"{np.mean([line[key]['sd_numbers'][j] for line in lines]):.2g}"
            for key in ("laplace", "nuts")
        ]
        rows.append((name, *told))
    evidence = [
        (
            line["variant"],
            line["parameter"],
            *(f"{line[key][i]:.2f}" for i in (0, 1, 2) for key in ("laplace", "quadrature")),
        )
        for line in _done(_study(preference.studies(), "published"), path)
    ]
    head = (
        "variant",
        "parameter",
        "ln evidence, Laplace",
        "by quadrature",
        "mean, Laplace",
        "by quadrature",
        "sd, Laplace",
        "by quadrature",
    )
    first = table(("published case, V2", "Laplace mixture", f"NUTS, {len(lines)} chains"), rows)
    return first + "\n\n" + table(head, evidence)


# ---- preference ----------------------------------------------------------------------------------


def _evidence(study: Study, path: Path, variants: Sequence[str]) -> Array:
    lines = [line["evidence"] for line in _done(study, path)]
    return np.array([[np.nan if line[v] is None else line[v] for v in variants] for line in lines])


def _preference(path: Path) -> tuple[str, str]:
    rows, drawn = [], {}
    kinds = {
        "null": "no effect (V0)",
        "V2": "strong effect, killing (V2)",
        "V4": "strong effect, no killing (V4)",
    }
    apart = []
    for name, meaning in kinds.items():
        found = _evidence(_study(preference.studies(), name), path, preference.VARIANTS)
        best = np.nanmax(found[:, 2:], axis=1) - np.nanmax(found[:, :2], axis=1)
        drawn[meaning] = best
        for title, gain in (
            ("best of V2, V4 over best of V0, V0b", best),
            ("V2 over V0", found[:, 2] - found[:, 0]),
            ("V0b over V0", found[:, 1] - found[:, 0]),
        ):
            rows.append((meaning, title, *(str(Rate(int((gain > line).sum()), gain.size)) for line in LINES)))
        apart.append(found[:, 2] - found[:, 3])
    for name in ("null", "V2"):
        found = _evidence(_study(preference.studies(), f"{name}, closer"), path, ("V0", "V2"))
        if len(found):
            gain = found[:, 1] - found[:, 0]
            drawn[f"{kinds[name]}, quadrature"] = gain
            rows.append(
                (
                    kinds[name],
                    "V2 over V0, by quadrature",
                    *(str(Rate(int((gain > line).sum()), gain.size)) for line in LINES),
                )
            )
    figures.preference(drawn, DOCS / "honesty_preference.png")
    head = ("patients made with", "compared", "above even", "above 3 : 1", "above 20 : 1")
    largest = [f"{np.abs(each).max():.2f}" for each in apart]
    return table(head, rows), (
        f"ln evidence of V2 and V4 differs by at most {', '.join(largest)} (patients of the null, of V2, of V4)."
    )


def _cost(path: Path) -> str:
    rows = []
    for part in (sbc, coverage, preference):
        for study in part.studies():
            if lines := records(study, path):
                seconds = [line["seconds"] for line in lines]
                lost = sum("failed" in line for line in lines)
                rows.append(
                    (
                        study.part,
                        study.name,
                        str(len(lines)),
                        str(study.patients),
                        str(lost),
                        f"{np.mean(seconds):.0f}",
                    )
                )
    return table(("part", "study", "patients", "of", "lost", "seconds each"), rows)


# ---- the page ------------------------------------------------------------------------------------


def write(path: Path = RESULTS) -> None:
    """Tables, figures and words."""
    tables, went = _calibration(path)
    truths, parameters, predictions = _recovery(path)
    rates, apart = _preference(path)
    text = (Path(__file__).parent / "page.md").read_text()
    filled = {
        "date": str(date.today()),
        "sampled": _sampled(path),
        "calibration": tables[0],
        "closer": tables[1],
        "went": "\n".join(f"- {each}" for each in went),
        "truths": truths,
        "parameters": parameters,
        "predictions": predictions,
        "published": _published(path),
        "rates": rates,
        "apart": apart,
        "cost": _cost(path),
    }
    for name, value in filled.items():
        text = text.replace(f"<{name}>", value)
    (DOCS / "honesty.md").write_text(text)
