"""``python -m benchmarks differences COUNT [--seed N]``: random SBML models, simulated here and by libRoadRunner.

Networks of reactions in compartments that rules, rates and events change, with amounts beside concentrations, start values worked out
from each other, nested functions, conditions, `rateOf`, and events with delays, priorities and either kind of values. Every model
is made from its number alone. What is not made is what libRoadRunner 2.10 takes for something else: a species twice in one reaction
whose numbers of molecules change, a concentration with a rate or set by an event in a compartment set by a rule, triggers with a delay that are not
persistent, and comparisons of what is no number, which it takes for true.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np

import cellsim as cs
from benchmarks.cross_tools import roadrunner_engine
from cellsim.errors import CellsimError
from cellsim.model.antimony import antimony_to_sbml

__all__ = ["compared", "main", "random_model"]

TIMES = np.linspace(0.0, 4.0, 33)
_CLOSE = 1e-5  # of both engines at tight tolerances, across jumps
_OPERATIONS = (
    "({a} + {b})", "({a}*{b})", "({a}/(1 + abs({b})))", "piecewise({a}, {c} > {d}, {b})", "max({a}, {b})", "min({a}, {b}, 2)",
    "exp(-abs({a}))", "sqrt(abs({a}))", "tanh({a} - {b})", "(({a} > {b}) + 0.5)", "abs(rem({a}, 1.3))", "ln(1 + abs({a}))",
    "piecewise({a}, implies({c} > 1, {d} < 2), 0.2)", "piecewise({a}, xor({c} > 1, {d} < 2), 0.3)", "f({a}, {b})", "g({a}, {b})",
)  # fmt: skip
_BODIES = ("x*y", "x/(1 + abs(y))", "piecewise(x, x > y, y)", "max(x, y) - min(x, y)/2", "abs(x - y)")


class _Maker:
    """One random model, as Antimony."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)
        self.lines: list[str] = []
        boxes = [f"C{k}" for k in range(self.r.randint(1, 3))]
        constants = [f"k{k}" for k in range(4)]
        self.species = [f"S{k}" for k in range(self.r.randint(2, 4))]
        self.home = {each: self.r.choice(boxes) for each in self.species}
        self.counts: list[str] = []
        self.reactions: list[str] = []
        for k in range(self.r.randint(1, 3)):
            self._reaction(f"R{k}")
        free = [*boxes, *constants[2:], *self.counts, *self.species]
        # what gives each quantity its value: nothing, a rate, a rule or an event
        self.kinds = dict(zip(free, self.r.choices(["", "rate", "rule", "event"], (6, 2, 2, 2), k=len(free))))
        self.all = [*constants, *boxes, *self.counts, *self.species]
        self.ruled = [each for each in self.all if self.kinds.get(each) == "rule"]
        self._quantities(boxes, constants)
        self._rules()
        for k in range(self.r.randint(0, 3)):
            self._event(k)

    def number(self, low: float = 0.2, high: float = 3.0) -> str:
        return f"{self.r.uniform(low, high):.2f}"

    def formula(self, names: Sequence[str], depth: int = 1, rates: bool = False) -> str:
        if depth == 0:
            return self.r.choices([self.number(), "(1 + sin(time))", self.r.choice(list(names))], (2, 1, 8))[
                0
            ]
        parts = {each: self.formula(names, depth - 1, rates) for each in "abcd"}
        moving = [
            each
            for each in names
            if self.kinds.get(each) in ("", "rate") and not self._in_ruled(each, self.ruled)
        ]
        if rates and moving and self.r.random() < 0.1:
            return f"(0.1*tanh(rateOf({self.r.choice(moving)})))"
        return self.r.choice(_OPERATIONS).format(**parts)

    def _in_ruled(self, name: str, ruled: Sequence[str]) -> bool:
        return name in ruled or self.home.get(name) in ruled

    def _reaction(self, name: str) -> None:
        left = self.r.sample(self.species, len(self.species))
        sides: list[str] = []
        reads: list[str] = []
        for side in range(2):
            terms = []
            for _ in range(min(len(left), self.r.choice([0, 1, 1, 2]))):
                species, count = left.pop(), self.r.choice(["", "2 ", "0.5 "])
                if self.r.random() < 0.3:
                    self.counts.append(f"n{len(self.counts)}")
                    count = f"{self.counts[-1]} "
                terms.append(count + species)
                reads += [species] * (side == 0)
            sides.append(" + ".join(terms))
        self.reactions.append(name)
        self.kinds: dict[str, str] = {}
        self.ruled: list[str] = []
        law = "*".join([*reads, self.formula([*self.species, "k0", "k1", *self.reactions[:-1]], 1)])
        self.lines.append(f"{name}: {sides[0]} => {sides[1]}; 0.2*{law};")

    def _quantities(self, boxes: Sequence[str], constants: Sequence[str]) -> None:
        for name, box in self.home.items():
            fixed = self.kinds[name] in ("rate", "rule") or self.r.random() < 0.2
            amount = self.r.random() < 0.4 or (self.kinds[name] == "rate" and self.kinds[box] == "rule")
            self.lines.insert(0, f"{'substanceOnly ' * amount}species {'$' * fixed}{name} in {box};")
        self.lines.insert(0, f"compartment {', '.join(boxes)};")
        known: list[str] = []
        for name in [*constants, *boxes, *self.counts, *self.species]:
            if self.kinds.get(name) == "rule":
                continue
            worked_out = len(known) > 1 and self.r.random() < 0.25
            self.lines.append(
                f"{name} = {f'0.3 + abs({self.formula(known)})' if worked_out else self.number()};"
            )
            if not self._in_ruled(name, self.ruled):
                known.append(name)

    def _rules(self) -> None:
        done: list[str] = []
        for name in self.ruled:
            later = [each for each in self.ruled if each not in done]
            reads = [each for each in self.all if each not in later and self.home.get(each) not in later]
            self.lines.append(f"{name} := 0.4 + abs({self.formula(reads)});")
            done.append(name)
        for name in (each for each, kind in self.kinds.items() if kind == "rate"):
            self.lines.append(f"{name}' = 0.3*{self.formula([*self.all, *self.reactions])} - 0.2*{name};")

    def _event(self, k: int) -> None:
        r = self.r
        set_by_events = [each for each in self.all if self.kinds.get(each) in ("event", "rate")]
        targets = [each for each in set_by_events if not self._in_ruled(each, self.ruled)]
        if not targets:
            return
        x = r.choice(self.all)
        when = r.choice(
            [
                f"time >= {self.number()}3",
                f"{x} > {self.number()}",
                f"{x} < {self.number()}",
                "sin(3*time) > 0.5",
            ]
        )
        delayed = r.random() < 0.4
        options = [
            f"priority={k}",
            f"t0={r.choice(['true', 'false'])}",
            f"fromTrigger={r.choice(['true', 'false'])}",
        ]
        if not delayed:
            options.append(f"persistent={r.choice(['true', 'false'])}")
        new = ", ".join(
            f"{each} = 0.2 + abs({self.formula(self.all, rates=True)})"
            for each in r.sample(targets, min(len(targets), r.choice([1, 2])))
        )
        after = f"{self.number(0.05, 1.5)}1 after " if delayed else ""
        self.lines.append(f"E{k}: at {after}({when}), {', '.join(options)}: {new};")

    def text(self) -> str:
        one, two = self.r.choice(_BODIES), self.r.choice(["f(y, x) + x", "f(x, f(x, y))", "0.5*f(x + 1, y)"])
        body = "\n  ".join(self.lines)
        return f"function f(x, y) {one}; end\nfunction g(x, y) {two}; end\nmodel m()\n  {body}\nend"


def random_model(seed: int) -> str:
    """A random model as Antimony.

    Parameters
    ----------
    seed : int
        Its number, which alone tells what it is.
    """
    return _Maker(seed).text()


def compared(text: str) -> tuple[str, str]:
    """How a model of Antimony compares: ``same``, ``differ``, ``refused`` here or ``refused there``, and what was said."""
    try:
        sbml = antimony_to_sbml(text)
        found = cs.simulate(cs.load_model(sbml), cs.Schedule(), TIMES, start=0.0, rtol=1e-9, atol=1e-12)
    except CellsimError as error:
        return "refused", str(error).splitlines()[0]
    names = [
        each
        for each in found.names
        if not each.startswith(("amount_of_", "value_", "due_", "waiting_", "places_", "order_", "event_"))
    ]
    try:
        wanted = roadrunner_engine()(sbml, names, TIMES.tolist())
    except RuntimeError as error:
        return "refused there", str(error).splitlines()[0]
    for name in names:
        here, there = np.asarray(found[name], float), wanted[name]
        far = np.abs(here - there) > _CLOSE * (np.abs(there) + 0.1)
        if far.any():
            at = int(np.argmax(far))
            return "differ", f"{name} at {TIMES[at]:g}: {here[at]:.8g}, libRoadRunner {there[at]:.8g}"
    return "same", ""


def main(arguments: Sequence[str]) -> int:
    """Compare so many models and print those that differ; the status is not zero where one does."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks differences")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0, help="number of the first model")
    asked = parser.parse_args(arguments)
    counts: Counter[str] = Counter()
    for seed in range(asked.seed, asked.seed + asked.count):
        verdict, said = compared(random_model(seed))
        counts[verdict] += 1
        if verdict != "same":
            print(f"{seed}: {verdict}: {said}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    return int(counts["differ"] > 0)
