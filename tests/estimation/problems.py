"""Small PEtab problems for tests: A turns into B and back, whose course is known in closed form."""

from collections.abc import Mapping

import numpy as np

MODEL = "A = a0; A' = -k1*A + k2*B; B = b0; B' = k1*A - k2*B; total := A + B; a0 = 1; b0 = 0; k1 = 0.8; k2 = 0.6; scale = 1; twice = 2*k1"


def table(text: str) -> str:
    """A table as written in a test: columns by blanks, ``-`` for an empty cell, rows by lines."""
    rows = [line.split() for line in text.strip().splitlines()]
    return "\n".join("\t".join("" if cell == "-" else cell for cell in row) for row in rows) + "\n"


def version_1(
    parameters: str, conditions: str, observables: str, measurements: str, model: str = MODEL, **more: str
) -> dict[str, str]:
    """The texts of a problem of version 1."""
    yaml = (
        "format_version: 1\nparameter_file: p.tsv\nproblems:\n- condition_files: [c.tsv]\n  observable_files: [o.tsv]\n"
        "  measurement_files: [m.tsv]\n  model_files: {m: {location: m.ant, language: antimony}}\n"
    )
    tables = {"p.tsv": parameters, "c.tsv": conditions, "o.tsv": observables, "m.tsv": measurements}
    return {"any.yaml": yaml, "m.ant": model, **{file: table(text) for file, text in tables.items()}, **more}


def version_2(
    parameters: str, observables: str, measurements: str, *, conditions: str = "", experiments: str = "", mapping: str = "",
    models: Mapping[str, str] | None = None,
) -> dict[str, str]:  # fmt: skip
    """The texts of a problem of version 2."""
    models = models or {"m": MODEL}
    lines = ["format_version: 2.0.0", "model_files:"]
    lines += [f"  {name}: {{location: {name}.ant, language: antimony}}" for name in models]
    texts = {f"{name}.ant": text for name, text in models.items()}
    tables = {
        "parameter": parameters, "observable": observables, "measurement": measurements, "condition": conditions,
        "experiment": experiments, "mapping": mapping,
    }  # fmt: skip
    for kind, text in tables.items():
        if text:
            lines.append(f"{kind}_files: [{kind}.tsv]")
            texts[f"{kind}.tsv"] = table(text)
    return {"any.yaml": "\n".join(lines) + "\n", **texts}


def course(t: float, a: float, b: float, k1: float, k2: float) -> tuple[float, float]:
    """A and B a time `t` after they were `a` and `b`."""
    whole, rest = a + b, (a + b) * k2 / (k1 + k2)
    found = rest + (a - rest) * np.exp(-(k1 + k2) * t)
    return float(found), float(whole - found)
