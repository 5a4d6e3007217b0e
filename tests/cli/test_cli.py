"""The command line: what it prints, where, and with which exit status."""

import _thread
import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pandas as pd
import pytest
from patients import small_fit, small_patient, small_posterior

import cellsim as cs
from cellsim import plots
from cellsim.cli.commands import main
from cellsim.comparison import robustness_analysis as robust
from cellsim.comparison import variants
from cellsim.comparison.alterations import alterations_of
from cellsim.comparison.left_out import Left
from cellsim.errors import CellsimError
from cellsim.identifiability import profile_search, profiles
from cellsim.library import case_folder
from cellsim.posterior import sampler as sampling
from cellsim.report.steps import FEWEST_EFFECTIVE, LONG

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small patient as a folder."""
    home = tmp_path / "small"
    home.mkdir()
    for name, text in small_patient().files.items():
        (home / name).write_text(text, encoding="utf-8")
    return home


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits and draws of the small patient are those made once."""
    for place in (variants, robust):
        monkeypatch.setattr(place, "calibrate", lambda *_, variant, **__: small_fit(variant))
    monkeypatch.setattr(
        "cellsim.comparison.evidence.posterior_of", lambda fit, **_: small_posterior(fit.variant)
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "small.json"
    small_fit().save(path)
    return path


def table(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


def test_list_shows_what_is_shipped(capsys: Captured) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "sjogren_rfib" in out and "persistence_cytokine" in out


def test_check_prints_the_audit(folder: Path, capsys: Captured) -> None:
    assert main(["check", str(folder)]) == 0
    seen = capsys.readouterr()
    assert seen.out == cs.load_case(folder).audit() and not seen.err


def test_check_prints_every_problem_of_a_broken_copy(tmp_path: Path, capsys: Captured) -> None:
    home = tmp_path / "calibration" / "broken"
    shutil.copytree(case_folder("sjogren_rfib"), home)
    (home / "visits.tsv").unlink()
    rows = (home / "measurements.tsv").read_text().splitlines()
    (home / "measurements.tsv").write_text("\n".join([*rows, rows[1]]) + "\n")
    assert main(["check", str(home)]) == 1
    seen = capsys.readouterr()
    assert not seen.out and "Traceback" not in seen.err
    assert "visits.tsv" in seen.err and "measurements.tsv, row 83" in seen.err and "problems:" in seen.err


@pytest.mark.parametrize(
    "words",
    [
        ["check", "sjogren"],
        ["simulate", "nope"],
        ["calibrate", "sjogren_rfib", "--variant", "V9"],
        ["calibrate", "sjogren_rfib", "--starts", "0"],
        ["sweep", "missing.json"],
        ["report", "sjogren_rfib", "--variant", "V9"],
        ["report", "sjogren_rfib", "--without", "sampling"],
        ["robustness", "sjogren_rfib", "--variant", "V9"],
        ["simulate", "persistence", "--until", "-1"],
        ["simulate", "persistence", "--variant", "V2"],
        ["simulate", "persistence", "--outputs", "nothing"],
        ["simulate", "persistence", "--schedule", "missing.csv"],
    ],
)
def test_complaints_are_letters_with_status_1(words: list[str], capsys: Captured) -> None:
    assert main(words) == 1
    seen = capsys.readouterr()
    assert seen.err.strip() and "Traceback" not in seen.err and not seen.out


@pytest.mark.parametrize(
    "words", [[], ["bogus"], ["check"], ["sweep", "x", "--every", "soon"], ["check", "a", "b"]]
)
def test_commands_written_wrongly_have_status_2(words: list[str], capsys: Captured) -> None:
    assert main(words) == 2
    assert "usage: cellsim" in capsys.readouterr().err


def test_help_has_status_0(capsys: Captured) -> None:
    for words in (["--help"], ["report", "--help"], ["--version"]):
        assert main(words) == 0
        assert "cellsim" in capsys.readouterr().out


def test_simulate_writes_what_the_library_computes(tmp_path: Path, capsys: Captured) -> None:
    doses = tmp_path / "doses.csv"
    doses.write_text("day,product,cells\n0,infusate_auto,5e7\n7,infusate_auto,5e7\n")
    words = ["simulate", "persistence", "--schedule", str(doses), "--until", "10", "--step", "2.5"]
    assert main([*words, "--outputs", "viable_auto,cleared"]) == 0
    seen = table(capsys.readouterr().out)
    plan = cs.Schedule.at([0, 7], cells=5e7, product="infusate_auto")
    expected = cs.simulate(cs.load_model("persistence"), plan, [0, 2.5, 5, 7.5, 10])
    assert seen.columns.tolist() == ["time", "viable_auto", "cleared"]
    for name in ("viable_auto", "cleared"):
        assert seen[name].to_numpy() == pytest.approx(expected[name], rel=1e-9)
    assert main([*words, "--out", str(tmp_path / "out.csv")]) == 0
    assert "L_auto" in (tmp_path / "out.csv").read_text() and not capsys.readouterr().out


def test_simulate_says_when_nothing_is_infused_and_nothing_moves(tmp_path: Path, capsys: Captured) -> None:
    """A model of infused cells without infusions stays as it is; one that moves by itself needs no hint."""
    assert main(["simulate", "persistence", "--until", "3"]) == 0
    seen = capsys.readouterr()
    assert not table(seen.out).drop(columns="time").diff().iloc[1:].to_numpy().any()
    assert "--schedule FILE" in seen.err and "infusate_auto" in seen.err
    moving = tmp_path / "decay.ant"
    moving.write_text("model decay()\n  x = 1; x' = -x\nend\n")
    assert main(["simulate", str(moving), "--until", "3"]) == 0
    seen = capsys.readouterr()
    assert table(seen.out)["x"].iloc[-1] == pytest.approx(np.exp(-3), rel=1e-4) and not seen.err


def test_simulate_runs_a_case_at_its_nominal_values(folder: Path, capsys: Captured) -> None:
    words = ["simulate", str(folder), "--until", "60", "--step", "20", "--outputs", "D"]
    assert main(words) == 0
    seen = capsys.readouterr()
    assert "nominal values of small, variant V2: nothing was fitted" in seen.err
    given = table(seen.out)
    case = small_patient()
    model = cs.load_model(case.model)
    values = {name: each for name, each in case.nominal.items() if name in model} | {"phi": 0.0}
    days = np.unique([*np.arange(-300, 60, 20), 60])
    expected = cs.simulate(model, case.timeline, days, values=values, start=-300)
    assert given["D"].to_numpy() == pytest.approx(expected["D"], rel=1e-6)
    # a schedule takes the place of what was given from day 0 on; the history stays
    (folder / "none.csv").write_text("day,product,cells\n0,rfib,1\n")
    assert main([*words, "--schedule", str(folder / "none.csv")]) == 0
    other = table(capsys.readouterr().out)
    assert other["D"].iloc[-1] > given["D"].iloc[-1]
    assert other["D"].iloc[:15].tolist() == pytest.approx(given["D"].iloc[:15].tolist(), rel=1e-6)
    # a variant settles its own values: under V0 the cells do nothing
    assert main([*words, "--variant", "V0"]) == 0
    assert table(capsys.readouterr().out)["D"].to_numpy() == pytest.approx(np.ones(len(days)))


def test_calibrate_prints_and_saves(folder: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "fit.json"
    assert main(["calibrate", str(folder), "--variant", "V0", "--starts", "1", "--out", str(out)]) == 0
    seen = capsys.readouterr()
    assert "Calibration of small" in seen.out and not seen.err  # quiet where there is no terminal
    assert cs.Calibration.load(out).variant == "V0"


def test_compare_writes_petab_select_files_and_reads_them(
    folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "selection"
    words = ["compare", str(folder), "--starts", "1", "--variant", "V0", "--no-left-out", "--effective", "50"]
    assert main([*words, "--petab-select", str(out)]) == 0
    assert {each.name for each in out.iterdir()} == {
        "petab_select_problem.yaml",
        "model_space.tsv",
        "models.yaml",
        "petab_v1",
    }
    space = out / "model_space.tsv"
    space.write_text(space.read_text().replace("V0", "none"))
    capsys.readouterr()
    words[words.index("V0")] = "none"
    assert main([*words, "--model-space", str(out)]) == 0
    assert "none" in capsys.readouterr().out


def test_sweep_compares_named_plans(saved: Path, tmp_path: Path, capsys: Captured) -> None:
    plans = tmp_path / "plans.csv"
    plans.write_text("plan,day,product,cells\nearly,0,rfib,1e8\nearly,7,rfib,1e8\nlate,60,rfib,2e8\n")
    figure, out = tmp_path / "what-if.png", tmp_path / "what-if.csv"
    words = ["sweep", str(saved), "--plans", str(plans), "--every", "14", "--cells", "5e7", "--doses", "4"]
    assert (
        main(
            [
                *words,
                "--draws",
                "8",
                "--until",
                "90",
                "--seed",
                "5",
                "--figure",
                str(figure),
                "--out",
                str(out),
            ]
        )
        == 0
    )
    seen = capsys.readouterr()
    result = table(out.read_text(encoding="utf-8"))
    assert list(dict.fromkeys(result["schedule"])) == ["as given", "early", "late", "every 14 days, rfib"]
    assert (
        "not for treatment decisions" in seen.out and "Numbers rest on Laplace's approximation." in seen.out
    )
    # what is printed is what a script gets
    again = cs.Calibration.load(saved)
    own = cs.sweep(again, {"as given": again.case.schedule}, until=90, draws=8, seed=5).report().splitlines()
    assert (
        own[0] == seen.out.splitlines()[0] and "Difference to “as given”: median (90 % interval)" in seen.out
    )
    assert set(result["approximation"]) == {"Laplace's approximation"}
    assert result["doubts"].str.contains("only one start").all()
    assert figure.read_bytes().startswith(b"\x89PNG")
    fit = cs.Calibration.load(saved)
    late = cs.Schedule.at(
        [60], cells=2e8, product="rfib", products=fit.case.products, day_zero=fit.case.day_zero
    )
    own = cs.sweep(fit, {"as given": fit.case.schedule, "late": late}, until=90, draws=8, seed=5).table()
    for name in ("as given", "late"):
        mine = result[result["schedule"] == name]["estimate"].to_numpy()
        assert mine == pytest.approx(
            own[own["schedule"] == name]["estimate"].to_numpy(), rel=1e-4, nan_ok=True
        )


def test_a_plan_said_by_halves_is_refused(saved: Path, capsys: Captured) -> None:
    assert main(["sweep", str(saved), "--every", "7", "--cells", "5e7"]) == 1
    assert "--doses missing" in capsys.readouterr().err
    assert main(["sweep", str(saved), "--variant", "V0"]) == 1
    assert "has its variant already" in capsys.readouterr().err


def test_report_writes_its_page(
    folder: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cellsim.report.report

    asked = {}

    def stand_in(case: cs.Case, out: str, **options: object) -> cellsim.report.report.Report:
        asked.update(options, case=case.name, out=out)
        fits = {} if options["starts"] == 9 else {"V2": small_fit()}
        return cellsim.report.report.Report(
            folder=Path(out),
            index=Path(out) / "index.html",
            fits=fits,
            sweeps={},
            posteriors={},
            failures={"Calibration of V0": "no."},
            interrupted="profiles" if options["starts"] == 8 else "",
        )

    monkeypatch.setattr(cellsim.report.report, "write_report", stand_in)
    words = ["report", str(folder), "--variant", "V2", "--starts", "1", "--draws", "4", "--seed", "3"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    seen = capsys.readouterr()
    assert seen.out.strip() == str(tmp_path / "out" / "index.html")
    assert "Calibration of V0 failed. no." in seen.err
    assert asked == {
        "case": "small", "out": str(tmp_path / "out"), "variants": ["V2"], "starts": 1, "draws": 4, "seed": 3,
        "effective": 400, "without": [],
    }  # fmt: skip
    assert main(["report", str(folder), "--starts", "9"]) == 1  # nothing could be calibrated
    assert asked["out"] == "small-report"
    assert main(["report", str(folder), "--quick"]) == 130  # interrupted, and the page is there all the same
    assert asked["without"] == LONG and "what was ready is written" in capsys.readouterr().err
    assert asked["effective"] == FEWEST_EFFECTIVE
    main([*words, "--without", "leave-out", "--effective", "50"])
    assert asked["without"] == ["leave-out"] and asked["effective"] == 50


def test_sample_draws_and_an_interrupt_keeps_the_draws(
    saved: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, figure = tmp_path / "post.nc", tmp_path / "post.png"
    words = ["sample", str(saved), "--method", "nuts", "--tune", "40", "--hold-spreads", "--out", str(out)]
    words += ["--chains", "2"]
    assert main([*words, "--draws", "20", "--figure", str(figure)]) == 0
    seen = capsys.readouterr()
    assert "2 chains x 20 draws" in seen.out and not seen.err
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert cs.Posterior.load(out).thetas.shape[:2] == (2, 20)
    # Ctrl-C in the middle of far more
    evaluate, made = sampling._Target.__call__, []

    def counted(self: object, theta: np.ndarray) -> tuple[float, np.ndarray]:
        made.append(1)
        if len(made) == 1250:
            _thread.interrupt_main()
        return evaluate(self, theta)  # type: ignore[arg-type]

    monkeypatch.setattr(sampling._Target, "__call__", counted)
    assert main([*words, "--draws", "50000"]) == 130
    seen = capsys.readouterr()
    assert "Reasons to doubt:\n- interrupted:" in seen.out and "what was ready is written" in seen.err
    assert 4 <= cs.Posterior.load(out).thetas.shape[1] < 50000


def test_profile_draws_and_an_interrupt_keeps_finished_curves(
    saved: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, in_turn = profile_search.walk, profile_search.as_they_end
    column, over = small_fit().objective.names.index("e"), Event()
    monkeypatch.setattr("cellsim.identifiability.profiles.CORES", 4)  # two wait, and others work

    def waiting(ground: object, quantity: Any, first: Any, side: int, **options: Any) -> object:
        if quantity(first.theta)[1][column]:
            over.wait()
            return None
        return real(ground, quantity, first, side, **options)  # type: ignore[arg-type]

    def interrupted(tasks: Any) -> Iterator[Any]:
        """Ctrl-C once both sides of the other parameter are there."""
        yield from islice(in_turn(tasks), 2)
        over.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(profile_search, "walk", waiting)
    monkeypatch.setattr(profile_search, "as_they_end", interrupted)
    out, figure = tmp_path / "profiles.csv", tmp_path / "profiles.png"
    assert main(["profile", str(saved), "--out", str(out), "--figure", str(figure)]) == 130
    seen = capsys.readouterr()
    assert "not profiled (interrupted): e." in seen.out and "kappa:" in seen.out
    assert list(pd.read_csv(out)["name"]) == ["kappa"] and figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("known")
def test_compare_draws_and_an_interrupt_keeps_finished_variants(
    folder: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure, drawn = tmp_path / "evidence.png", []
    real = plots.evidence
    monkeypatch.setattr(plots, "evidence", lambda found: drawn.append(found) or real(found))
    monkeypatch.setattr(variants, "_TRIED", 0)  # other priors of all groups together, not of each
    left = [Left(by, "any", 1, -3.0, "draws", 0.2, 0.1) for by in ("analyte", "visit")]
    monkeypatch.setattr(variants, "all_left_out", lambda *_, **__: (left, []))
    assert main(["compare", str(folder), "--figure", str(figure)]) == 0
    assert "V2 has the greatest evidence" in capsys.readouterr().out
    assert len(drawn) == 1 and figure.read_bytes().startswith(b"\x89PNG")

    def tired(*_: object, variant: str, **__: object) -> cs.Calibration:
        if variant == "V0":
            raise KeyboardInterrupt
        return small_fit(variant)

    monkeypatch.setattr(variants, "calibrate", tired)
    out, draws = tmp_path / "compared.json", tmp_path / "V2.nc"
    small_posterior().save(draws)
    assert main(["compare", str(folder), "--posterior", str(draws), "--out", str(out)]) == 130
    seen = capsys.readouterr()
    assert "V0 not fitted" in seen.out and "what was ready is written" in seen.err
    assert set(cs.Comparison.load(out).fits) == {"V2"}


@pytest.mark.usefixtures("known")
def test_robustness_prints_draws_and_keeps_what_is_done(
    folder: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("sample_effect_none", "sample_effect_twice")
    monkeypatch.setattr(
        robust, "alterations_of", lambda case: [each for each in alterations_of(case) if each.id in few]
    )
    out, figure = tmp_path / "robust.csv", tmp_path / "robust.png"
    words = ["robustness", str(folder), "--out", str(out), "--figure", str(figure)]
    assert main(words) == 0
    seen = capsys.readouterr()
    assert seen.out.startswith("Robustness of small") and small_patient().label in seen.out and not seen.err
    assert list(pd.read_csv(out)["alteration"]) == ["as it stands", *few]
    assert figure.read_bytes().startswith(b"\x89PNG")
    again, calls = robust._again, []

    def tired(*given: Any) -> object:
        calls.append(given)
        if len(calls) > 2:  # two variants of the first alteration
            raise KeyboardInterrupt
        return again(*given)

    monkeypatch.setattr(robust, "_again", tired)
    assert main(words) == 130
    assert "Interrupted after 1 of 2 alterations." in capsys.readouterr().out
    assert list(pd.read_csv(out)["alteration"]) == ["as it stands", few[0]]


def test_the_installed_words_work_and_stop_quietly(tmp_path: Path) -> None:
    """As a process: the entry point, and a reader that goes away from more than a pipe holds."""
    call = [sys.executable, "-c", "import sys; from cellsim.cli.commands import main; sys.exit(main())"]
    done = subprocess.run([*call, "check", "nope"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "nope" in done.stderr and "Traceback" not in done.stderr
    moving = tmp_path / "decay.ant"
    moving.write_text("model decay()\n  x = 1; x' = -x\nend\n")
    cut = subprocess.run(
        f"{sys.executable} -c '{call[2]}' simulate {moving} --until 10 --step 1e-3 | head -1",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert cut.stdout.startswith("time,x") and not cut.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "missing/x.csv"], "there is no folder missing"),
        (["--figure", "x.docx"], "ends in .png, .svg, .pdf"),
        (
            ["--out", "missing/x.csv", "--figure", "x.docx"],
            "there is no folder missing; make it first. --figure",
        ),
    ],
)
def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(
    words: list[str], said: str, saved: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("worked for nothing")

    monkeypatch.setattr(profiles, "profile", never)
    assert main(["profile", str(saved), *words]) == 1
    assert said in capsys.readouterr().err


def test_compare_without_leaving_out(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def seen(case: object, **options: object) -> None:
        asked.update(options)
        raise CellsimError("enough")

    monkeypatch.setattr(variants, "compare", seen)
    assert main(["compare", "sjogren_rfib", "--no-left-out"]) == 1 and asked["leave_out"] is False
    assert main(["compare", "sjogren_rfib"]) == 1 and asked["leave_out"] is True


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few draws of the small patient, saved."""
    path = tmp_path_factory.mktemp("drawn") / "post.nc"
    cs.sample(small_fit(), method="nuts", draws=20, tune=40, seed=2, hierarchy=False).save(path)
    return path


def test_saved_draws_go_on_as_they_were_begun(drawn: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "longer.nc"
    assert main(["sample", str(drawn), "--draws", "10", "--tune", "20", "--out", str(out)]) == 0
    assert "4 chains x 30 draws" in capsys.readouterr().out
    assert cs.Posterior.load(out).thetas.shape[:2] == (4, 30)
    for option in (
        ["--variant", "V0"],
        ["--chains", "8"],
        ["--seed", "3"],
        ["--hold-spreads"],
        ["--starts", "2"],
    ):
        assert main(["sample", str(drawn), *option]) == 1
        assert f"leave {option[0]} out" in capsys.readouterr().err


def test_sample_passes_on_what_doubts_advise(
    saved: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cellsim.posterior.posterior

    asked: dict[str, object] = {}

    def seen(fit: object, **options: object) -> None:
        asked.update(options)
        raise CellsimError("enough")

    monkeypatch.setattr(cellsim.posterior.posterior, "sample", seen)
    words = ["--target-accept", "0.95", "--max-depth", "12", "--rtol", "1e-4", "--chains", "6", "--seed", "0"]
    words += ["--method", "collapsed", "--effective", "200", "--budget", "900"]
    assert main(["sample", str(saved), *words]) == 1
    assert asked == {
        "draws": 1000, "tune": 400, "chains": 6, "seed": 0, "hierarchy": True,
        "target_accept": 0.95, "max_depth": 12, "rtol": 1e-4, "method": "collapsed", "effective": 200, "budget": 900,
    }  # fmt: skip
    asked.clear()
    assert main(["sample", str(saved)]) == 1
    # what is not said is the library's own default
    assert asked == {"draws": 1000, "tune": 400, "seed": 1, "hierarchy": True}
    assert main(["sample", "sjogren_rfib", "--starts", "0"]) == 1
    assert "starts = 0" in capsys.readouterr().err


def test_sweep_asks_saved_draws(drawn: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "asked.csv"
    words = ["sweep", str(drawn), "--draws", "8", "--until", "90", "--seed", "5"]
    assert main([*words, "--out", str(out)]) == 0
    capsys.readouterr()
    seen = table(out.read_text(encoding="utf-8"))
    post = cs.Posterior.load(drawn)
    own = cs.sweep(post, {"as given": post.case.schedule}, until=90, draws=8, seed=5).table()
    assert seen["estimate"].to_numpy() == pytest.approx(own["estimate"].to_numpy(), rel=1e-4, nan_ok=True)
    assert list(seen["verdict"].fillna("")) == list(own["verdict"])
    assert main(["sweep", str(drawn), "--variant", "V0"]) == 1
    assert "a saved posterior has its variant already" in capsys.readouterr().err


def test_identify_tells_of_parameters_and_predictions(
    drawn: Path, saved: Path, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "told.csv"
    words = ["--prediction", "IL6@300", "--prediction", "D", "--out", str(out)]
    for source in (saved, drawn):
        assert main(["identify", str(source), *words]) == 0
        said = capsys.readouterr().out
        assert "prediction, value of IL6 on day 300" in said and "prediction, area of D" in said
        told = pd.read_csv(out).set_index("name")
        assert told.loc["kappa", "verdict"] == "prior-driven" and told.loc["area of D", "unit"] == "day"
        assert told.loc["value of IL6 on day 300", "contraction"] > 0.5
    assert main(["identify", str(saved), "--prediction", "viable_auto"]) == 1
    assert "area of viable_auto does not move with any parameter here" in capsys.readouterr().err


def test_profile_of_a_prediction(saved: Path, capsys: Captured) -> None:
    assert main(["profile", str(saved), "--prediction", "IL6@150"]) == 0
    said = capsys.readouterr().out
    assert "value of IL6 on day 150" in said and "kappa" not in said
    fit = cs.Calibration.load(saved)
    level = fit.objective.days(fit.theta).max()
    assert level < 150  # after the last visit
    for name, words in (
        ("IL7@150", "no analyte 'IL7'"),
        ("IL6", "An analyte needs its day, like IL6@"),
        ("viable_aut", "Did you mean 'viable_auto'"),
        ("IL6@soon", "'soon' is no day"),
        ("IL6@-3", "'-3' is no day"),
        ("IL6@nan", "'nan' is no day"),
    ):
        assert main(["profile", str(saved), "--prediction", name]) == 1
        assert words in capsys.readouterr().err


def test_draws_are_no_calibration(drawn: Path, capsys: Captured) -> None:
    assert main(["profile", str(drawn)]) == 1
    assert "holds draws; a calibration (.json) or a case is needed here" in capsys.readouterr().err


def test_two_posteriors_of_one_variant_are_refused(drawn: Path, folder: Path, capsys: Captured) -> None:
    assert main(["compare", str(folder), "--posterior", str(drawn), "--posterior", str(drawn)]) == 1
    assert "one file a variant is needed" in capsys.readouterr().err


def test_simulate_takes_tolerances(tmp_path: Path, capsys: Captured) -> None:
    """Witness: the closed form of exponential growth from 1e-12, which an absolute tolerance of 1e-9 loses."""
    model = tmp_path / "growth.ant"
    model.write_text("x = 1e-12; x' = 2*x")
    command = ["simulate", str(model), "--until", "10", "--step", "10"]

    def end(*more: str) -> float:
        assert main([*command, *more]) == 0
        return float(capsys.readouterr().out.strip().splitlines()[-1].split(",")[-1])

    exact = 1e-12 * np.exp(20.0)
    assert end() == pytest.approx(exact, rel=1e-4)
    assert end("--rtol", "1e-10") == pytest.approx(exact, rel=1e-8)
    assert end("--atol", "1e-18") == pytest.approx(exact, rel=1e-3)
    assert abs(end("--atol", "1e-6") / exact - 1) > 0.1
    assert main([*command, "--rtol", "2"]) != 0
    assert "rtol 2.0 is not between 0 and 1" in capsys.readouterr().err
