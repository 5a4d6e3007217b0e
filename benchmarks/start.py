"""Import, first result of a new model, first use after installation."""

from __future__ import annotations

from benchmarks.clock import fresh, table

_IMPORT = "import cellsim"
_FIRST = """
import time
import cellsim as cs
from cellsim.compiler.equations import equations_of
from cellsim.compiler.kernels import compile_equations
from cellsim.solver.integration import Doses, integrate
import cellsim.solver.step_loop_cache
model = cs.load_model("sjogren_rfib")
begin = time.process_time()
names = [each.name for each in model.assignments if each.name.startswith("value_")]
kernels = compile_equations(equations_of(model, names))
p = [each.value for each in model.parameters]
doses = Doses(jumps=((0.0, "infusate_auto", 50.0),))
integrate(kernels, p, doses, [35.0], start=-931.0)
first = time.process_time() - begin
begin = time.process_time()
integrate(kernels, p, doses, [35.0], start=-931.0, directions=["e", "phi", "t_R"])
print(f"{first:.3f} {time.process_time() - begin:.3f}")
"""
_COLD = "import os, tempfile; os.environ['CELLSIM_CACHE_DIR'] = tempfile.mkdtemp()\n"


def start() -> str:
    """Processor seconds, each in a new interpreter."""
    nothing = min(fresh("pass")[0] for _ in range(3))
    imported = min(fresh(_IMPORT)[0] for _ in range(3)) - nothing
    cold, warm = fresh(_COLD + _FIRST)[1].split(), min(fresh(_FIRST)[1] for _ in range(3)).split()
    rows = [
        ("import cellsim", f"{imported:.3f}"),
        ("new model to first result, engine compiled before", warm[0]),
        ("the same model with three directions, first time", warm[1]),
        ("first use after installation (step loop compiled, then cached)", cold[0]),
    ]
    return table(("what", "s"), rows)
