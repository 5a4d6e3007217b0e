"""The command line: ``cellsim list | new | convert | export | check | simulate | calibrate | identify | profile | sample | compare | robustness | sweep | optimise | plan | report``.

Results go to standard output or to ``--out``; complaints and progress bars to standard error. Exit status: 0 when
done, 1 when something is wrong with what was asked about, 2 when the command was written wrongly, 130 when it was
interrupted: what was ready is then printed and written as if that had been all, and says so. Ctrl-C and SIGTERM are
heard alike, also by a command that a script started in the background; the second one ends it at once. Text is spelt
as the terminal's code page can hold it; files are in UTF-8.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from cellsim.cli.options import Doing, parser_of
from cellsim.cli.sources import case_of, case_or_model, fit_of, keep_calibration, source_of
from cellsim.errors import ApproximationWarning, CellsimError, CutShortError
from cellsim.files import file_name, replaced, write_whole
from cellsim.interrupts import interrupts_heard
from cellsim.streams import Output, outputs

if TYPE_CHECKING:
    from cellsim.comparison.comparison import Comparison
    from cellsim.comparison.robustness_table import Robustness
    from cellsim.design.optimum import Optimum
    from cellsim.identifiability.profiles import Profiles
    from cellsim.posterior.calibration import Calibration
    from cellsim.posterior.posterior import Posterior
    from cellsim.sweeps.sweep_result import Sweep

__all__ = ["main"]

# states that a hint names
_MOST_NAMED = 8
_MOST_DAYS = 1_000_000  # rows of a simulation
_PICTURES = (".png", ".svg", ".pdf")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``cellsim``; those of the process by default.

    Returns
    -------
    int
        Exit status.

    Examples
    --------
    >>> main(["list"])
    models  cytopenia, persistence, persistence_cytokine, sjogren_rfib
    cases   cytopenia_synthetic, sjogren_rfib
    0
    """
    with outputs() as out, interrupts_heard():
        status = _run(argv)
    if out.lost is None:
        return status
    # a reader that went away, as `head` does, has what it wanted; anything else lost words that were asked for
    if not isinstance(out.lost, BrokenPipeError):
        print(f"standard output cannot be written: {out.lost.strerror}.", file=Output(sys.stderr))
    return status or 1


def _run(argv: Sequence[str] | None) -> int:
    try:
        options = parser_of(_doing()).parse_args(argv)
    except SystemExit as stop:  # argparse has said what is wrong, or shown the help
        return int(stop.code or 0)
    try:
        _can_be_written(options)
        with _plain_warnings():
            status = options.run(options)
    except (KeyboardInterrupt, CutShortError):
        keep_calibration(options)
        status = 130
    except (CellsimError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if status == 130:
        print("interrupted; what was ready is written, if there was anything.", file=sys.stderr)
    return int(status or 0)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """A warning of ours is a sentence for whoever typed the command, without the place in our code that gave it."""
    shown = warnings.showwarning

    def plain(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, ApproximationWarning):
            print(f"Warning. {message}", file=sys.stderr)
        else:
            shown(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.showwarning = plain
        yield


def _can_be_written(options: argparse.Namespace) -> None:
    """Refuse a place that nothing can be written to before hours of work, not after."""
    problems = []
    for name in ("out", "figure", "front"):
        # a report makes its own folder
        if options.run is _report or not (place := getattr(options, name, None)):
            continue
        if not Path(place).absolute().parent.is_dir():
            problems.append(f"--{name} {place}: there is no folder {Path(place).parent}; make it first.")
        elif Path(place).is_dir():
            problems.append(f"--{name} {place}: this is a folder; name a file in it.")
        if name == "figure" and Path(place).suffix.lower() not in _PICTURES:
            problems.append(f"--figure {place}: a name that ends in {', '.join(_PICTURES)} is needed.")
    if problems:
        raise CellsimError(" ".join(problems))


def _doing() -> dict[str, Doing]:
    return {
        "list": _list,
        "new": _new,
        "convert": _convert,
        "export": _export,
        "check": _check,
        "simulate": _simulate,
        "calibrate": _calibrate,
        "identify": _identify,
        "profile": _profile,
        "sample": _sample,
        "compare": _compare,
        "robustness": _robustness,
        "sweep": _sweep,
        "optimise": _optimise,
        "plan": _plan_visits,
        "explore": _explore,
        "report": _report,
    }


# ---- doing it ---------------------------------------------------------------------------------------------


def _list(_: argparse.Namespace) -> None:
    from cellsim.library import shipped_cases, shipped_models

    print(f"models  {', '.join(shipped_models())}")
    print(f"cases   {', '.join(shipped_cases())}")


def _new(options: argparse.Namespace) -> None:
    from cellsim.case.from_sheets import new_case

    units = _named(options.amount_unit, "--amount-unit") if options.amount_unit else {}
    alone = [each for each in options.amount_unit or () if "=" not in each]
    if alone and (units or len(alone) > 1):
        raise CellsimError("--amount-unit says one unit for all products, or PRODUCT=UNIT for each.")
    case = new_case(
        options.values,
        options.doses,
        table=options.table,
        weight=options.weight,
        height=options.height,
        amount_unit=alone[0] if alone else units or None,
        time_unit=options.time_unit,
        compartments=_named(options.compartment, "--compartment", every=True),
        analytes=_named(options.analyte, "--analyte", every=True),
        product=options.product,
        run_in=options.run_in,
        ignore=tuple((options.ignore or "").split(",")) if options.ignore else (),
        model=options.model,
        folder=options.folder,
        name=options.name,
        day_zero=options.day_zero,
    )
    print(f"{case!r}\nis in {options.folder}. Every guess, to be confirmed or corrected:\n")
    for each in case.check():
        print(f"- {each}")
    print(
        f"\nNext: cellsim calibrate {options.folder}; cellsim sweep {options.folder}; cellsim report {options.folder}"
    )


def _named(given: Sequence[str] | None, option: str, *, every: bool = False) -> dict[str, str]:
    """What ``NAME=WHAT`` says, by name; `every` refuses one without a name."""
    found = {}
    for each in given or ():
        name, sign, said = each.partition("=")
        if sign:
            found[name.strip()] = said.strip()
        elif every:
            raise CellsimError(f"{option} {each}: write it as 1=name.")
    return found


def _convert(options: argparse.Namespace) -> None:
    from cellsim.library import model_file, shipped_models
    from cellsim.model.conversion import converted

    sources = [Path(options.model)] if options.model else [model_file(name) for name in shipped_models()]
    for source in sources:
        target = Path(options.target) if options.target else None
        written = converted(source, target)
        print(f"wrote {written}" if written else f"what {source} says stands there already")


def _export(options: argparse.Namespace) -> None:
    from cellsim.case.case import Case
    from cellsim.case.export import export_problem
    from cellsim.case.export_v1 import export_v1
    from cellsim.estimation.omex import export_archive
    from cellsim.estimation.opening import load_case

    case = load_case(options.case)
    if not isinstance(case, Case):
        raise CellsimError(
            f"{options.case} is a problem of many conditions; what is written is one patient's case."
        )
    if options.to == "omex":
        written = export_archive(case, options.out or f"{case.name}.omex")
    else:
        write = export_problem if options.to == "petab2" else export_v1
        written = write(case, options.out or f"{case.name}-{options.to}")
    print(f"wrote {written}")


def _check(options: argparse.Namespace) -> int:
    from cellsim.case.audit import audit
    from cellsim.case.case import Case
    from cellsim.comparison.readiness import check
    from cellsim.estimation.opening import load_case

    case = load_case(options.case)
    if not isinstance(case, Case):
        print(f"{repr(case).strip('<>')}\nlog likelihood at the nominal values {case.log_likelihood():.10g}")
        print(*(f"doubt: {each}" for each in case.check()), sep="\n")
        return 0
    problems = check(case)
    print(audit(case, problems), end="")
    return int(any(each.severity == "error" for each in problems))


def _simulate(options: argparse.Namespace) -> None:
    import numpy as np

    from cellsim.dosing.schedule import Schedule
    from cellsim.solver.simulation import simulate

    case, model = case_or_model(options.source)
    plan: Schedule | None = None
    if options.schedule is not None:
        known = case.products if case is not None else ()
        plan = Schedule.from_table(
            options.schedule,
            products=known,
            day_zero=case.day_zero if case is not None else None,
            product=options.product,
            amount_unit=options.amount_unit,
            time_unit=options.time_unit,
        )
    values: dict[str, float] = {}
    if case is None:
        if options.variant:
            raise CellsimError(f"{options.source} is a model; variants belong to a case.")
        timeline, start = plan or Schedule(), 0.0
    else:
        from cellsim.likelihood.formulation import objective_of

        objective = objective_of(case, model, variant=options.variant)
        timeline = case.timeline if plan is None else case.history + plan
        start = case.start
        values = objective.values(objective.theta({}))
        values = {name: value for name, value in values.items() if name in model}
    begin = min([start, *(each.day for each in timeline.infusions)])
    last = max([0.0, *(each.end for each in timeline.infusions)])
    until = last + 28.0 if options.until is None else options.until
    if not options.step > 0 or not begin < until < np.inf:
        raise CellsimError(f"days {begin:g} to {until:g} by {options.step:g} are no days to simulate.")
    if (until - begin) / options.step > _MOST_DAYS:
        raise CellsimError(
            f"days {begin:g} to {until:g} by {options.step:g} are {(until - begin) / options.step:.3g} rows; "
            f"{_MOST_DAYS:g} are the most. Give a longer --step or an earlier --until."
        )
    days = np.unique(np.append(np.arange(begin, until, options.step), until))
    outputs = [each.strip() for each in options.outputs.split(",")] if options.outputs else None
    tolerances = {"rtol": options.rtol, "atol": options.atol}
    seen = simulate(model, timeline, days, values=values, start=begin, outputs=outputs, **tolerances)
    if case is not None:
        of = f"{case.name}, variant {objective.variant}" if objective.variant else case.name
        print(f"Parameters stand at the nominal values of {of}: nothing was fitted.", file=sys.stderr)
    elif not timeline.count and all(np.ptp(seen[name]) == 0 for name in seen.names):
        states = ", ".join(each.name for each in model.states[:_MOST_NAMED])
        print(
            f"Nothing was infused, and without that nothing moves in {model.name}: every row is the same. Give doses with "
            f"--schedule FILE, a table with columns day, product, cells; a product may be a state of the model ({states}).",
            file=sys.stderr,
        )
    _write(seen.to_frame().to_csv(index=False, lineterminator="\n"), options.out)


def _calibrate(options: argparse.Namespace) -> int:
    from cellsim.posterior.fitting import calibrate

    fit = calibrate(case_of(options.case), variant=options.variant, starts=options.starts, seed=options.seed)
    if options.out:
        fit.save(options.out)
    print(fit.report())
    return _status(fit)


def _identify(options: argparse.Namespace) -> None:
    from cellsim.identifiability.identification import identify
    from cellsim.predictions.predictions import predictions_named

    source = source_of(options)
    found = identify(
        source, seed=options.seed, predictions=predictions_named(source, options.prediction or ())
    )
    if options.out:
        write_whole(options.out, found.table().to_csv(index=False, lineterminator="\n"))
    print(found.report())


def _profile(options: argparse.Namespace) -> int:
    from cellsim.identifiability.profiles import profile
    from cellsim.predictions.predictions import predictions_named

    fit = fit_of(options)
    found = profile(
        fit,
        options.parameter,
        predictions=predictions_named(fit, options.prediction or ()),
        kind=options.kind,
    )
    if options.out:
        write_whole(options.out, found.table().to_csv(index=False, lineterminator="\n"))
    print(found.report())
    if options.figure:
        _draw("profile", found, options.figure)
    return _status(found)


def _sample(options: argparse.Namespace) -> int:
    from cellsim.posterior.posterior import Posterior, sample

    settings = {
        "--variant": options.variant,
        "--method": options.method,
        "--effective": options.effective,
        "--budget": options.budget,
        "--chains": options.chains,
        "--seed": options.seed,
        "--starts": options.starts,
        "--target-accept": options.target_accept,
        "--max-depth": options.max_depth,
        "--rtol": options.rtol,
        "--hold-spreads": options.hold_spreads or None,
    }
    given = {name: value for name, value in settings.items() if value is not None}
    if Path(options.source).suffix == ".nc":
        if given:
            raise CellsimError(
                f"a saved posterior goes on as it was begun; leave {', '.join(given)} out, or sample anew."
            )
        post = Posterior.load(options.source).resume(options.draws, tune=options.tune)
    else:
        options.starts = 8 if options.starts is None else options.starts
        options.seed = 1 if options.seed is None else options.seed
        free = {
            "--method": "method",
            "--effective": "effective",
            "--budget": "budget",
            "--chains": "chains",
            "--target-accept": "target_accept",
            "--max-depth": "max_depth",
            "--rtol": "rtol",
        }
        post = sample(
            fit_of(options),
            draws=options.draws,
            tune=options.tune,
            seed=options.seed,
            hierarchy=not options.hold_spreads,
            **{name: given[option] for option, name in free.items() if option in given},
        )
    if options.out:
        post.save(options.out)
    print(post.report())
    if options.figure:
        _draw("prior_posterior", post, options.figure)
    return _status(post)


def _compare(options: argparse.Namespace) -> int:
    from cellsim.comparison.variants import compare
    from cellsim.posterior.posterior import Posterior

    case = case_of(options.case)
    drawn = [Posterior.load(file) for file in options.posterior or ()]
    posteriors = {post.variant: post for post in drawn}
    if len(posteriors) < len(drawn):
        twice = [post.variant for post in drawn]
        raise CellsimError(f"--posterior: one file a variant is needed; they are of {', '.join(twice)}.")
    if options.model_space:
        from cellsim.comparison.select_import import read_select

        case = read_select(options.model_space, case)
    found = compare(
        case,
        variants=options.variant,
        posteriors=posteriors,
        leave_out=not options.no_left_out,
        effective=options.effective,
        starts=options.starts,
        seed=options.seed,
    )
    if options.out:
        found.save(options.out)
    if options.petab_select:
        found.to_petab_select(options.petab_select)
    print(found)
    if options.figure:
        _draw("evidence", found, options.figure)
    return _status(found)


def _robustness(options: argparse.Namespace) -> int:
    from cellsim.comparison.robustness_analysis import robustness

    found = robustness(
        case_of(options.case), variants=options.variant, starts=options.starts, seed=options.seed
    )
    if options.out:
        write_whole(options.out, found.table().to_csv(index=False, lineterminator="\n"))
    print(found)
    if options.figure:
        _draw("robustness", found, options.figure)
    return _status(found)


def _sweep(options: argparse.Namespace) -> int:
    from cellsim.cli.planning import figure_of_sweep, swept

    result = swept(options, _named_source(options))
    if options.out:
        _write(result.table().to_csv(index=False, lineterminator="\n"), options.out)
    if options.figure:
        _draw(figure_of_sweep(result), result, options.figure)
    print(result.report())
    return _status(result)


def _optimise(options: argparse.Namespace) -> int:
    from cellsim.cli.planning import optimised

    result = optimised(options, _named_source(options))
    for place, table in ((options.out, result.table), (options.front, result.front)):
        if place:
            _write(table().to_csv(index=False, lineterminator="\n"), place)
    print(result.report())
    return _status(result)


def _named_source(options: argparse.Namespace) -> Callable[[str], Calibration | Posterior]:
    """A posterior or a calibration from each of the sources that a command names."""
    given = tuple(options.source)

    def named(name: str) -> Calibration | Posterior:
        options.source = name
        try:
            return source_of(options)
        finally:
            options.source = given

    return named


def _plan_visits(options: argparse.Namespace) -> None:
    from cellsim.cli.next_visit import planned

    result = planned(options, tuple(options.source), _named_source(options))
    if options.out:
        _write(result.table().to_csv(index=False, lineterminator="\n"), options.out)
    if options.figure:
        _draw("next_visit", result, options.figure)
    print(result.report())


def _explore(options: argparse.Namespace) -> int:
    from cellsim.explorer.page import explore

    source = source_of(options)
    usual = 40 if options.quick else 100
    made = explore(
        source,
        options.out or f"{file_name(source.case.name)}-whatif.html",
        until=options.until,
        draws=usual if options.draws is None else options.draws,
        seed=options.seed,
    )
    print(made)
    return _status(source)


def _report(options: argparse.Namespace) -> int:
    _quiet_figures()
    from cellsim.report.report import write_report
    from cellsim.report.steps import FEWEST_EFFECTIVE, LONG

    case = case_of(options.case)
    usual = FEWEST_EFFECTIVE if options.quick else 400
    made = write_report(
        case,
        options.out or f"{file_name(case.name)}-report",
        starts=options.starts,
        draws=options.draws,
        seed=options.seed,
        effective=usual if options.effective is None else options.effective,
        variants=options.variant,
        without=LONG if options.quick else options.without,
    )
    for what, why in made.failures.items():
        print(f"{what} failed. {why}", file=sys.stderr)
    print(made.index)
    if made.interrupted:
        return 130
    return 0 if made.fits else 1


# ---- reading and writing ----------------------------------------------------------------------------------


def _status(found: Calibration | Posterior | Profiles | Comparison | Robustness | Optimum | Sweep) -> int:
    """130 when an interrupt made it shorter than asked for."""
    return 130 if found.interrupted else 0


def _write(text: str, out: str | None) -> None:
    if out is None:
        sys.stdout.write(text)
    else:
        write_whole(out, text)


def _draw(what: str, result: object, file: str) -> None:
    """A figure of `cellsim.plots` into a file."""
    _quiet_figures()
    import matplotlib.pyplot as plt

    from cellsim import plots
    from cellsim.plots.style import figure_of

    figure = figure_of(getattr(plots, what)(result))
    with replaced(file) as place:
        figure.savefig(place, dpi=200)
    plt.close(figure)


def _quiet_figures() -> None:
    """Figures go to files here: no window is opened, with or without a display."""
    import matplotlib as mpl

    mpl.use("Agg")
