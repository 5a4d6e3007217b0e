"""The command line: ``cellsim list | check | simulate | calibrate | profile | sample | compare | sweep | report``.

Results go to standard output or to ``--out``; complaints and progress bars to standard error. Exit status: 0 when
done, 1 when something is wrong with what was asked about, 2 when the command was written wrongly.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cellsim.errors import CellsimError

if TYPE_CHECKING:
    from cellsim.case import Case
    from cellsim.fitted import Calibration
    from cellsim.model import Model
    from cellsim.schedule import Schedule

__all__ = ["main"]

_CASE = "name of a shipped case, its folder, or its problem.yaml"


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
    models  persistence, persistence_cytokine, sjogren_rfib
    cases   sjogren_rfib
    0
    """
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has said what is wrong, or shown the help
        return int(stop.code or 0)
    try:
        status = options.run(options)
        sys.stdout.flush()
    except CellsimError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # the reader went away, as `head` does; keep Python from complaining when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was ready is written.", file=sys.stderr)
        return 130
    return int(status or 0)


# ---- what can be asked ------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    import cellsim

    parser = argparse.ArgumentParser(
        prog="cellsim",
        description="One patient's few laboratory visits, turned into an honest answer about dosing schedules.",
    )
    parser.add_argument("--version", action="version", version=f"cellsim {cellsim.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    _add(commands, "list", _list, "show the models and cases that come with cellsim")

    check = _add(commands, "check", _check, "read a case, say everything that is wrong or doubtful about it")
    check.add_argument("case", help=_CASE)

    simulate = _add(
        commands, "simulate", _simulate, "run a model, or a case at its nominal values; writes CSV"
    )
    simulate.add_argument("source", help=f"{_CASE}; or a shipped model's name, an .ant, .xml or .sbml file")
    simulate.add_argument(
        "--schedule",
        metavar="FILE",
        help="table of doses (day, product, cells); for a case it replaces day 0 on",
    )
    simulate.add_argument("--variant", help="variant of a case")
    simulate.add_argument(
        "--until", type=float, metavar="DAY", help="last day (default: 28 days after the last dose)"
    )
    simulate.add_argument("--step", type=float, default=1.0, metavar="DAYS", help="between rows (default: 1)")
    simulate.add_argument(
        "--outputs", metavar="A,B,...", help="states and assignments to write (default: all)"
    )
    _seed(simulate, "accepted everywhere; a simulation has nothing random")
    _out(simulate, "FILE", "CSV file (default: standard output)")

    calibrate = _add(commands, "calibrate", _calibrate, "fit one variant of a case; prints the result")
    calibrate.add_argument("case", help=_CASE)
    calibrate.add_argument("--variant", help="row of the case's model space (default: the case's default)")
    _starts(calibrate, 20)
    _seed(calibrate)
    _out(calibrate, "FILE", "save the calibration as JSON")

    profile = _add(
        commands, "profile", _profile, "hold parameters elsewhere and see how much worse the fit becomes"
    )
    profile.add_argument("source", help=f"a calibration saved as JSON; or {_CASE}, which is calibrated first")
    profile.add_argument(
        "--parameter",
        action="append",
        metavar="NAME",
        help="parameter or group of parameters; may be given several times (default: what cells do)",
    )
    profile.add_argument(
        "--kind",
        default="posterior",
        metavar="KIND",
        help="posterior, unaided (without the parameter's own prior) or likelihood (default: posterior)",
    )
    profile.add_argument("--variant", help="for a case: row of its model space (default: the case's default)")
    _starts(profile, 8)
    _seed(profile)
    profile.add_argument("--figure", metavar="FILE", help="draw the curves too (.png, .svg, .pdf)")
    _out(profile, "FILE", "table as CSV")

    sample = _add(commands, "sample", _sample, "draw from the posterior of one variant; prints the result")
    sample.add_argument(
        "source",
        help=f"a posterior saved as .nc, to go on; a calibration saved as JSON; or {_CASE}, which is calibrated first",
    )
    sample.add_argument("--variant", help="for a case: row of its model space (default: the case's default)")
    sample.add_argument("--draws", type=int, default=1000, metavar="N", help="of each chain (default: 1000)")
    sample.add_argument("--tune", type=int, default=400, metavar="N", help="of warm-up (default: 400)")
    sample.add_argument("--chains", type=int, default=4, metavar="N", help="side by side (default: 4)")
    sample.add_argument(
        "--hold-spreads",
        action="store_true",
        help="hold spreads of hierarchies as a calibration does (what compare --posterior needs)",
    )
    _starts(sample, 8)
    _seed(sample)
    _out(sample, "FILE", "save the posterior as netCDF, which ArviZ opens too")

    compare = _add(commands, "compare", _compare, "fit every variant of a case and compare them")
    compare.add_argument("case", help=_CASE)
    compare.add_argument("--variant", action="append", help="only this variant; may be given several times")
    compare.add_argument(
        "--posterior",
        action="append",
        metavar="FILE",
        help="draws (.nc) of a variant, to check its evidence by bridge sampling; may be given several times",
    )
    _starts(compare, 8)
    _seed(compare)
    compare.add_argument("--figure", metavar="FILE", help="draw the evidences too (.png, .svg, .pdf)")
    compare.add_argument(
        "--model-space",
        metavar="FILE",
        help="variants from a PEtab Select problem file (or its folder) instead of the case's own",
    )
    compare.add_argument("--petab-select", metavar="FOLDER", help="write PEtab Select files there too")
    _out(compare, "FILE", "save the comparison, calibrations included, as JSON")

    sweep = _add(commands, "sweep", _sweep, "compare schedules with what was given; writes CSV")
    sweep.add_argument("source", help=f"a calibration saved as JSON; or {_CASE}, which is calibrated first")
    sweep.add_argument(
        "--plans", metavar="FILE", help="table of doses with a column 'plan' that names the schedule"
    )
    sweep.add_argument("--every", type=float, metavar="DAYS", help="one plan: equal doses at this interval")
    sweep.add_argument("--cells", type=float, metavar="N", help="cells of each of these doses")
    sweep.add_argument("--doses", type=int, metavar="N", help="how many")
    sweep.add_argument("--product", metavar="NAME", help="of which product (default: as given)")
    sweep.add_argument(
        "--until", type=float, metavar="DAY", help="last day (default: that of the last visit)"
    )
    sweep.add_argument("--variant", help="for a case: row of its model space (default: the case's default)")
    _starts(sweep, 8)
    _draws(sweep, 400)
    _seed(sweep)
    sweep.add_argument("--figure", metavar="FILE", help="draw the comparison too (.png, .svg, .pdf)")
    _out(sweep, "FILE", "CSV file (default: standard output)")

    report = _add(
        commands, "report", _report, "the main job: audit, every variant, other schedules, one page"
    )
    report.add_argument("case", help=_CASE)
    report.add_argument("--variant", action="append", help="only this variant; may be given several times")
    _starts(report, 8)
    _draws(report, 200)
    _seed(report)
    _out(report, "FOLDER", "where it is written (default: CASE-report)")
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int | None],
    words: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
    command.set_defaults(run=run)
    return command


def _seed(command: argparse.ArgumentParser, words: str = "of everything random (default: 1)") -> None:
    command.add_argument("--seed", type=int, default=1, metavar="N", help=words)


def _starts(command: argparse.ArgumentParser, default: int) -> None:
    command.add_argument(
        "--starts",
        type=int,
        default=default,
        metavar="N",
        help=f"starts of a calibration (default: {default})",
    )


def _draws(command: argparse.ArgumentParser, default: int) -> None:
    command.add_argument(
        "--draws", type=int, default=default, metavar="N", help=f"draws of the posterior (default: {default})"
    )


def _out(command: argparse.ArgumentParser, what: str, words: str) -> None:
    command.add_argument("--out", metavar=what, help=words)


# ---- doing it ---------------------------------------------------------------------------------------------


def _list(_: argparse.Namespace) -> None:
    from cellsim.library import shipped_cases, shipped_models

    print(f"models  {', '.join(shipped_models())}")
    print(f"cases   {', '.join(shipped_cases())}")


def _check(options: argparse.Namespace) -> None:
    print(_case(options.case).audit(), end="")


def _simulate(options: argparse.Namespace) -> None:
    import numpy as np

    from cellsim.schedule import Schedule
    from cellsim.simulation import simulate

    case, model = _case_or_model(options.source)
    plan: Schedule | None = None
    if options.schedule is not None:
        known = case.products if case is not None else ()
        plan = Schedule.from_table(
            options.schedule, products=known, day_zero=case.day_zero if case is not None else None
        )
    if case is None:
        if options.variant:
            raise CellsimError(f"{options.source} is a model; variants belong to a case.")
        timeline, start, values = plan or Schedule(), 0.0, {}
    else:
        from cellsim.likelihood import objective_of

        objective = objective_of(case, model, variant=options.variant)
        timeline = case.timeline if plan is None else case.history + plan
        start = case.start
        values = objective.values(objective.theta({}))
        values = {name: value for name, value in values.items() if name in model}
    begin = min([start, *(each.day for each in timeline.infusions)])
    last = max([0.0, *(each.end for each in timeline.infusions)])
    until = last + 28.0 if options.until is None else options.until
    if not options.step > 0 or not until > begin:
        raise CellsimError(f"days {begin:g} to {until:g} by {options.step:g} are no days to simulate.")
    days = np.unique(np.append(np.arange(begin, until, options.step), until))
    outputs = [each.strip() for each in options.outputs.split(",")] if options.outputs else None
    seen = simulate(model, timeline, days, values=values, start=begin, outputs=outputs)
    _write(seen.to_frame().to_csv(index=False, lineterminator="\n"), options.out)


def _calibrate(options: argparse.Namespace) -> None:
    from cellsim.fitting import calibrate

    fit = calibrate(_case(options.case), variant=options.variant, starts=options.starts, seed=options.seed)
    if options.out:
        fit.save(options.out)
    print(fit.report())


def _profile(options: argparse.Namespace) -> None:
    from cellsim.profiles import profile

    found = profile(_fit(options), options.parameter, kind=options.kind)
    if options.out:
        found.table().to_csv(options.out, index=False, lineterminator="\n")
    if options.figure:
        _draw("profile", found, options.figure)
    print(found.report())


def _sample(options: argparse.Namespace) -> None:
    from cellsim.posterior import Posterior, sample

    if Path(options.source).suffix == ".nc":
        post = Posterior.load(options.source).resume(options.draws, tune=options.tune)
    else:
        post = sample(
            _fit(options),
            draws=options.draws,
            tune=options.tune,
            chains=options.chains,
            seed=options.seed,
            hierarchy=not options.hold_spreads,
        )
    if options.out:
        post.save(options.out)
    print(post.report())


def _compare(options: argparse.Namespace) -> None:
    from cellsim.posterior import Posterior
    from cellsim.variants import compare

    case = _case(options.case)
    if options.model_space:
        from cellsim.formats.petab_select_reading import read_select

        case = read_select(options.model_space, case)
    found = compare(
        case,
        variants=options.variant,
        posteriors={post.variant: post for post in map(Posterior.load, options.posterior or ())},
        starts=options.starts,
        seed=options.seed,
    )
    if options.out:
        found.save(options.out)
    if options.petab_select:
        found.to_petab_select(options.petab_select)
    if options.figure:
        _draw("variants", found.fits, options.figure)
    print(found)


def _sweep(options: argparse.Namespace) -> None:
    from cellsim.sweeps import sweep

    fit = _fit(options)
    case = fit.case
    plans = {"as given": case.schedule} if case.schedule.count else {}
    plans |= _plans(options, case)
    last_visits = [visit.latest for visit in case.visits]
    last_doses = [each.end for plan in plans.values() for each in plan.infusions]
    until = options.until if options.until is not None else max([*last_visits, *last_doses, 1.0])
    result = sweep(fit, plans, until=until, draws=options.draws, seed=options.seed)
    _write(result.table().to_csv(index=False, lineterminator="\n"), options.out)
    if options.figure:
        _draw("sweep", result, options.figure)
    print(result.label, file=sys.stderr)


def _plans(options: argparse.Namespace, case: Case) -> dict[str, Schedule]:
    """The plans asked for, from a table or from the simple options."""
    from cellsim.report_plans import plans_from_table
    from cellsim.schedule import Schedule

    found = plans_from_table(options.plans, case) if options.plans else {}
    simple = {"--every": options.every, "--cells": options.cells, "--doses": options.doses}
    given = [name for name, value in simple.items() if value is not None]
    if not given and options.product is None:
        return found
    missing = [name for name in simple if name not in given]
    if missing:
        raise CellsimError(
            f"a plan of equal doses needs --every, --cells and --doses; {', '.join(missing)} missing."
        )
    product = options.product
    if product is None:
        used = {each.product for each in case.schedule.infusions}
        if len(used) != 1:
            raise CellsimError(f"say which product is meant with --product: {', '.join(sorted(used))}.")
        [product] = used
    plan = Schedule.every(
        options.every,
        cells=options.cells,
        doses=options.doses,
        product=product,
        products=case.products,
        day_zero=case.day_zero,
    )
    return {**found, f"every {options.every:g} days, {product}": plan}


def _report(options: argparse.Namespace) -> int:
    _quiet_figures()
    from cellsim.report import write_report

    case = _case(options.case)
    made = write_report(
        case,
        options.out or f"{case.name}-report",
        starts=options.starts,
        draws=options.draws,
        seed=options.seed,
        variants=options.variant,
    )
    for what, why in made.failures.items():
        print(f"{what} failed. {why}", file=sys.stderr)
    print(made.index)
    return 0 if made.fits else 1


# ---- reading and writing ----------------------------------------------------------------------------------


def _case(source: str) -> Case:
    from cellsim.case import load_case

    return load_case(source)


def _fit(options: argparse.Namespace) -> Calibration:
    """A saved calibration, or one made now."""
    from cellsim.fitted import Calibration
    from cellsim.fitting import calibrate

    if Path(options.source).suffix == ".json":
        if options.variant:
            raise CellsimError("a saved calibration has its variant already; leave --variant out.")
        return Calibration.load(options.source)
    return calibrate(_case(options.source), variant=options.variant, starts=options.starts, seed=options.seed)


def _case_or_model(source: str) -> tuple[Case | None, Model]:
    """A case with its model, or a model alone; a name that is both means the case."""
    from cellsim.library import shipped_cases
    from cellsim.model import load_model

    path = Path(source)
    if source in shipped_cases() or path.is_dir() or path.suffix in (".yaml", ".yml"):
        case = _case(source)
        return case, load_model(case.model)
    return None, load_model(source)


def _write(text: str, out: str | None) -> None:
    if out is None:
        sys.stdout.write(text)
    else:
        Path(out).write_text(text, encoding="utf-8")


def _draw(what: str, result: object, file: str) -> None:
    """A figure of `cellsim.plots` into a file."""
    _quiet_figures()
    import matplotlib.pyplot as plt

    from cellsim import plots
    from cellsim.figures_style import figure_of

    figure = figure_of(getattr(plots, what)(result))
    figure.savefig(file, dpi=200)
    plt.close(figure)


def _quiet_figures() -> None:
    """Figures go to files here: no window is opened, with or without a display."""
    import matplotlib as mpl

    mpl.use("Agg")
