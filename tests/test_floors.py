"""Imports fall downstairs: a module may use its own floor and those below, and nothing goes in circles."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "cellsim"
FLOORS = tuple(
    floor.split()
    for floor in (
        "errors dates units",
        """doses dosing_tables dosing_rows dosing_words schedule delivery quantities balance
        describe model formats case case_alternatives case_audit case_beliefs case_checks case_data case_model
        case_rows case_tables case_treatment library""",
        """graph lowering gradients sparse tableau equations system emit vectormath evaluation
        assembly elimination writer kernels directions tangent_terms tangent_writer tangents""",
        "timetable slots forks courses stepper step_code march solver streaming steady witness conditions path trajectory simulation",
        "noise priors terms scoring likelihood",
        """saved belonging modes curvature fitting fitted diagnosis words identifiability information combinations measures
        predictions valley curves profiles posterior posterior_data posterior_files posterior_words chains
        convergence frames day_nodes unknown_days sampling synthetic rivals evidence leaving_out normal_law nearest_normal prior_power comparison
        variants_words variants_select variants""",
        "sweeps sweep_runs conclusions questions altered_cases alterations robust robust_table robust_words visits",
        """bands figures_chains figures_course figures_fit figures_inference figures_posterior figures_profiles
        figures_robust figures_style figures_sweep figures_variants plots
        report report_chains report_contrasts report_desk report_fit report_foretold report_job report_learned report_pages
        report_plans report_robust report_sections report_variants report_what_if report_words
        cut_short cli cli_options""",
    )
)
FLOOR_OF = {module: level for level, modules in enumerate(FLOORS) for module in modules}
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def _name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def _imports(path: Path) -> set[str]:
    """Modules of ours that `path` imports, wherever in the file, type checking aside."""
    tree = ast.parse(path.read_text())
    only_for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in only_for_types:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cellsim":
            inside = (node.module or "").split(".")[1:]
            found |= (
                {".".join(inside)}
                if inside and inside != ["formats"]
                else {".".join([*inside, alias.name]) for alias in node.names}
            )
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("cellsim.")
                for alias in node.names
                if alias.name.startswith("cellsim.")
            }
    return found


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_module_imports_only_from_its_floor_and_below(path: Path) -> None:
    own = FLOOR_OF[_name(path).split(".")[0]]
    above = {other for other in _imports(path) if FLOOR_OF[other.split(".")[0]] > own}
    assert not above


def test_imports_never_go_in_a_circle() -> None:
    graph = {_name(path): _imports(path) for path in SOURCES}
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_importing_cellsim_loads_no_slow_guest() -> None:
    guests = (
        "numpy",
        "scipy",
        "pandas",
        "sympy",
        "numba",
        "llvmlite",
        "libsbml",
        "antimony",
        "lmfit",
        "matplotlib",
        "petab",
        "pint",
    )
    check = f"import sys, cellsim; print([g for g in {guests!r} if g in sys.modules])"
    out = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
