"""What the command line can be asked: every command with its options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from cellsim.cli.planning import optimise_options, sweep_options

__all__ = ["Doing", "parser_of"]

Doing = Callable[[argparse.Namespace], int | None]

_CASE = "name of a shipped case, its folder, or its problem.yaml"
_SOURCES = f"a posterior saved as .nc; a calibration saved as JSON; or {_CASE}, which is calibrated first; several are averaged by evidence"


def parser_of(doing: Mapping[str, Doing]) -> argparse.ArgumentParser:
    """The commands and their options; `doing` says what each of them runs."""
    import cellsim

    parser = argparse.ArgumentParser(
        prog="cellsim",
        description="One patient's few laboratory visits, turned into an honest answer about dosing schedules.",
    )
    parser.add_argument("--version", action="version", version=f"cellsim {cellsim.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    _add(commands, "list", doing, "show the models and cases that come with cellsim")

    new = _add(commands, "new", doing, "make a case from spreadsheets: laboratory values, and doses")
    new.add_argument("folder", metavar="FOLDER", help="where the case is written; it must be new or empty")
    new.add_argument(
        "--values",
        metavar="FILE",
        help="laboratory values: .xlsx (a sheet as FILE.xlsx::SHEET), .csv or .tsv; one row a value, an analyte or a visit",
    )
    new.add_argument("--doses", metavar="FILE", help="doses: date or day, product, and cells or 'dose (mg)'")
    new.add_argument(
        "--table",
        metavar="FILE",
        help="values and doses in one table, as NONMEM and Monolix keep them (TIME, AMT, DV, DVID, CENS, ...), in place of both",
    )
    new.add_argument(
        "--amount-unit",
        action="append",
        metavar="[PRODUCT=]UNIT",
        help="unit of AMT in the table: mg, '1e6 cells', graft=cells; never guessed",
    )
    new.add_argument(
        "--time-unit", default="day", metavar="UNIT", help="of TIME in the table: day or hour (default: day)"
    )
    new.add_argument(
        "--compartment", action="append", metavar="N=PRODUCT", help="product of a number in CMT: 1=rituximab"
    )
    new.add_argument(
        "--analyte", action="append", metavar="N=NAME", help="what a number in DVID is: '1=urea (mmol/L)'"
    )
    new.add_argument(
        "--weight", type=float, metavar="KG", help="of the patient, for doses per kg and per m^2"
    )
    new.add_argument("--height", type=float, metavar="CM", help="of the patient, for doses per m^2")
    new.add_argument("--product", metavar="NAME", help="of doses in the table that name none")
    new.add_argument(
        "--run-in",
        type=int,
        default=0,
        metavar="N",
        help="doses of the table that stand for a steady state (SS)",
    )
    new.add_argument("--ignore", metavar="A,B,...", help="columns of the table to leave aside")
    new.add_argument("--model", metavar="FILE", help="an .ant or .xml file (default: a small one is written)")
    new.add_argument("--name", default="", help="of the case (default: the folder's)")
    new.add_argument("--day-zero", metavar="DATE", help="date of day 0 (default: of the first dose)")

    convert = _add(
        commands, "convert", doing, "write a model of Antimony as SBML, or one of SBML as Antimony"
    )
    convert.add_argument(
        "model", nargs="?", metavar="MODEL", help="an .ant, .xml or .sbml file (default: every shipped .ant)"
    )
    convert.add_argument(
        "target", nargs="?", metavar="TARGET", help="what is written (default: beside it, .xml or .ant)"
    )

    export = _add(commands, "export", doing, "write a case for other tools")
    export.add_argument("case", help=_CASE)
    export.add_argument(
        "--to",
        choices=("omex", "petab2", "petab1"),
        default="omex",
        help="a COMBINE archive with everything in it (the default), or a folder with the part that PEtab 2 or 1 can say",
    )
    _out(export, "PATH", "where it is written (default: CASE.omex, CASE-petab2 or CASE-petab1)")

    check = _add(commands, "check", doing, "read a case, say everything that is wrong or doubtful about it")
    check.add_argument("case", help=_CASE)

    simulate = _add(commands, "simulate", doing, "run a model, or a case at its nominal values; writes CSV")
    simulate.add_argument("source", help=f"{_CASE}; or a shipped model's name, an .ant, .xml or .sbml file")
    simulate.add_argument(
        "--schedule",
        metavar="FILE",
        help="table of doses (day, product, cells); for a case it replaces day 0 on",
    )
    simulate.add_argument("--product", metavar="NAME", help="of doses whose row names none")
    _units(simulate)
    simulate.add_argument("--variant", help="variant of a case")
    simulate.add_argument(
        "--until", type=float, metavar="DAY", help="last day (default: 28 days after the last dose)"
    )
    simulate.add_argument("--step", type=float, default=1.0, metavar="DAYS", help="between rows (default: 1)")
    simulate.add_argument(
        "--outputs", metavar="A,B,...", help="states and assignments to write (default: all)"
    )
    simulate.add_argument(
        "--rtol", type=float, default=1e-6, metavar="R", help="relative error of a step (default: 1e-6)"
    )
    simulate.add_argument(
        "--atol",
        type=float,
        metavar="A",
        help="absolute error of a step, in the unit of each state (default: follows the values of each state)",
    )
    _seed(simulate, "accepted everywhere; a simulation has nothing random")
    _out(simulate, "FILE", "CSV file (default: standard output)")

    calibrate = _add(commands, "calibrate", doing, "fit one variant of a case; prints the result")
    calibrate.add_argument("case", help=_CASE)
    calibrate.add_argument("--variant", help="row of the case's model space (default: the case's default)")
    _starts(calibrate, 20)
    _seed(calibrate)
    _out(calibrate, "FILE", "save the calibration as JSON")

    identify = _add(
        commands, "identify", doing, "say which parameters, combinations and predictions the data inform"
    )
    identify.add_argument(
        "source",
        help=f"a posterior saved as .nc; a calibration saved as JSON; or {_CASE}, which is calibrated first",
    )
    _predictions(identify)
    identify.add_argument(
        "--variant", help="for a case: row of its model space (default: the case's default)"
    )
    _starts(identify, 8)
    _seed(identify)
    _out(identify, "FILE", "table as CSV")

    profile = _add(
        commands, "profile", doing, "hold parameters elsewhere and see how much worse the fit becomes"
    )
    profile.add_argument("source", help=f"a calibration saved as JSON; or {_CASE}, which is calibrated first")
    profile.add_argument(
        "--parameter",
        action="append",
        metavar="NAME",
        help="parameter or group of parameters; may be given several times (default: what cells do)",
    )
    _predictions(profile)
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

    sample = _add(commands, "sample", doing, "draw from the posterior of one variant; prints the result")
    sample.add_argument(
        "source",
        help=f"a posterior saved as .nc, to go on; a calibration saved as JSON; or {_CASE}, which is calibrated first",
    )
    sample.add_argument("--variant", help="for a case: row of its model space (default: the case's default)")
    sample.add_argument("--draws", type=int, default=1000, metavar="N", help="of each chain (default: 1000)")
    sample.add_argument("--tune", type=int, default=400, metavar="N", help="of warm-up (default: 400)")
    # without defaults: what a saved posterior fixes already must not be asked for again
    sample.add_argument("--chains", type=int, metavar="N", help="side by side (default: 4)")
    sample.add_argument(
        "--target-accept",
        type=float,
        metavar="A",
        help="mean acceptance the step is tuned to; nearer to one against divergences (default: 0.8)",
    )
    sample.add_argument(
        "--max-depth", type=int, metavar="N", help="longest trajectory 2^N steps (default: 10)"
    )
    sample.add_argument(
        "--method",
        choices=("auto", "collapsed", "nuts"),
        help="weighted draws with the evidence (collapsed), chains (nuts), or the first where it can be trusted and else the "
        "second (auto, the default)",
    )
    sample.add_argument(
        "--effective",
        type=int,
        metavar="N",
        help="effective draws asked of the collapsed sampler (default: 400)",
    )
    sample.add_argument(
        "--budget", type=int, metavar="N", help="weighted draws it may take for them (default: 30 for each)"
    )
    sample.add_argument(
        "--rtol", type=float, metavar="T", help="relative tolerance of the simulations (default: 1e-3)"
    )
    sample.add_argument(
        "--hold-spreads",
        action="store_true",
        help="hold spreads of hierarchies as a calibration does (what compare --posterior needs)",
    )
    sample.add_argument("--starts", type=int, metavar="N", help="starts of a calibration (default: 8)")
    sample.add_argument("--seed", type=int, metavar="N", help="of everything random (default: 1)")
    sample.add_argument("--figure", metavar="FILE", help="draw prior and posterior too (.png, .svg, .pdf)")
    _out(sample, "FILE", "save the posterior as netCDF, which ArviZ opens too")

    compare = _add(commands, "compare", doing, "fit every variant of a case and compare them")
    compare.add_argument("case", help=_CASE)
    compare.add_argument("--variant", action="append", help="only this variant; may be given several times")
    compare.add_argument(
        "--posterior",
        action="append",
        metavar="FILE",
        help="draws (.nc) of a variant, which is then not sampled; may be given several times",
    )
    compare.add_argument(
        "--no-left-out",
        action="store_true",
        help="evidences only: do not predict every analyte and visit from the others, which takes most of the time",
    )
    _effective(compare)
    _starts(compare, 8)
    _seed(compare)
    compare.add_argument(
        "--figure", metavar="FILE", help="draw evidences and what is predicted too (.png, .svg, .pdf)"
    )
    compare.add_argument(
        "--model-space",
        metavar="FILE",
        help="variants from a PEtab Select problem file (or its folder) instead of the case's own",
    )
    compare.add_argument("--petab-select", metavar="FOLDER", help="write PEtab Select files there too")
    _out(compare, "FILE", "save the comparison, calibrations included, as JSON")

    robust = _add(
        commands, "robustness", doing, "draw every conclusion again under what may have been otherwise"
    )
    robust.add_argument("case", help=_CASE)
    robust.add_argument(
        "--variant",
        action="append",
        help="only this variant; may be given several times (default: nulls, the default one, those without clearance)",
    )
    _starts(robust, 10)
    _seed(robust)
    robust.add_argument("--figure", metavar="FILE", help="draw the table too (.png, .svg, .pdf)")
    _out(robust, "FILE", "table as CSV")

    sweep = _add(commands, "sweep", doing, "compare schedules with what was given; prints the answer")
    sweep.add_argument("source", nargs="+", help=f"{_SOURCES}; with --parameter, a model (.ant, .xml)")
    sweep_options(sweep)
    _units(sweep)
    _of_plans(sweep, 400)
    sweep.add_argument("--figure", metavar="FILE", help="draw the comparison too (.png, .svg, .pdf)")
    _out(sweep, "FILE", "the numbers as CSV too")

    optimise = _add(
        commands, "optimise", doing, "find the best plans under a clinic's rules; prints the answer"
    )
    optimise.add_argument("source", nargs="+", help=_SOURCES)
    optimise_options(optimise)
    _of_plans(optimise, 500)
    _out(optimise, "FILE", "the plans as CSV too")

    plan = _add(
        commands,
        "plan",
        doing,
        "say which visit still to come, on which day and with which panel, tells most",
    )
    plan.add_argument(
        "source",
        nargs="+",
        help=f"a posterior saved as .nc; a calibration saved as JSON; or {_CASE}, which is calibrated first; several are averaged by evidence",
    )
    plan.add_argument(
        "--days", metavar="DAYS", help="on which a visit may be: 280,308,364, or first:last:step"
    )
    plan.add_argument(
        "--stored",
        action="append",
        metavar="VISIT",
        help="visit, or its day, of which a sample is stored that may be assayed again; may be given several times",
    )
    plan.add_argument(
        "--panel",
        action="append",
        metavar="NAME",
        help="panel or analyte that may be measured; may be given several times (default: every panel)",
    )
    plan.add_argument(
        "--question",
        action="append",
        metavar="NAME",
        help="plan, variant, parameter, prediction or everything; may be given several times (default: plan)",
    )
    plan.add_argument("--parameter", metavar="NAME", help="for the question of that name")
    plan.add_argument("--prediction", metavar="ANALYTE@DAY", help="for the question of that name")
    plan.add_argument(
        "--outcome", metavar="NAME", help="of the case, by which plans are judged (default: its first)"
    )
    plan.add_argument(
        "--visits", type=int, default=1, metavar="N", help="how many, one after the other (default: 1)"
    )
    plan.add_argument(
        "--day-error",
        type=float,
        default=0.0,
        metavar="DAYS",
        help="a sample is taken so much earlier or later",
    )
    plan.add_argument(
        "--cost",
        action="append",
        metavar="PANEL=N",
        help="of a visit with that panel, in a unit of your own; PANEL@VISIT=N of a new assay of a stored sample",
    )
    plan.add_argument("--variant", help="for a case: row of its model space (default: the case's default)")
    _starts(plan, 8)
    _draws(plan, 500)
    _seed(plan)
    plan.add_argument("--figure", metavar="FILE", help="draw it too (.png, .svg, .pdf)")
    _out(plan, "FILE", "the numbers as CSV too")

    explore = _add(
        commands, "explore", doing, "write a page on which doses can be moved, one file that computes"
    )
    explore.add_argument(
        "source",
        help=f"a posterior saved as .nc; a calibration saved as JSON; or {_CASE}, which is calibrated first",
    )
    explore.add_argument(
        "--until", type=float, metavar="DAY", help="last day looked at (default: the last visit or dose)"
    )
    explore.add_argument("--variant", help="for a case: row of its model space (default: the case's default)")
    _starts(explore, 8)
    explore.add_argument(
        "--draws", type=int, metavar="N", help="draws of the posterior (default: 100, of a quick page 40)"
    )
    explore.add_argument("--quick", action="store_true", help="fewer draws")
    _seed(explore)
    _out(explore, "FILE", "the page (default: CASE-whatif.html)")

    report = _add(commands, "report", doing, "the main job: audit, every variant, other schedules, one page")
    report.add_argument("case", help=_CASE)
    report.add_argument("--variant", action="append", help="only this variant; may be given several times")
    _starts(report, 8)
    _draws(report, 200)
    report.add_argument(
        "--effective",
        type=int,
        metavar="N",
        help="effective draws of the mechanism shown (default: 400; of a quick report 100), and a quarter of them, but 40 at least, of each other one",
    )
    report.add_argument(
        "--without",
        action="append",
        metavar="STEP",
        default=[],
        help="leave this out: leave-out or robustness, which take minutes; may be given both",
    )
    report.add_argument(
        "--quick",
        action="store_true",
        help="leave both out, ask for fewer draws, and calibrate mechanisms that it does not show from at most four starts",
    )
    _seed(report)
    _out(report, "FOLDER", "where it is written (default: CASE-report)")
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    doing: Mapping[str, Doing],
    words: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
    command.set_defaults(run=doing[name])
    return command


def _seed(command: argparse.ArgumentParser, words: str = "of everything random (default: 1)") -> None:
    command.add_argument("--seed", type=int, default=1, metavar="N", help=words)


def _predictions(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--prediction",
        action="append",
        metavar="NAME[@DAY]",
        help="an analyte on a day (ESR@400), or the area under a quantity of the model (its name), of the course as "
        "given; may be given several times",
    )


def _of_plans(command: argparse.ArgumentParser, draws: int) -> None:
    command.add_argument(
        "--until", type=float, metavar="DAY", help="last day (default: that of the last visit or dose)"
    )
    command.add_argument("--variant", help="for a case: row of its model space (default: the case's default)")
    _starts(command, 8)
    _draws(command, draws)
    _seed(command)


def _units(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--amount-unit",
        metavar="UNIT",
        help="what one of a column AMT is: cells, '1e6 cells' or Mcell; never guessed",
    )
    command.add_argument(
        "--time-unit",
        default="day",
        metavar="UNIT",
        help="of a column TIME: day or hour (default: day)",
    )


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


def _effective(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--effective",
        type=int,
        default=400,
        metavar="N",
        help="effective draws asked of each posterior (default: 400)",
    )


def _out(command: argparse.ArgumentParser, what: str, words: str) -> None:
    command.add_argument("--out", metavar=what, help=words)
