"""Code that lets the error allowed in a state follow the largest value it has had, after a step from slot y to slot y1.

What it decides is said in `cellsim.solver.step_control.follow_scales`, which goes on where it finds news.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellsim.compiler.llvm import BLOCK

if TYPE_CHECKING:
    from cellsim.compiler.writer import Writer

__all__ = ["GROWTH", "LEAST", "RESOLVED_FROM", "RISEN", "write_scales"]

LEAST = 1e-290
"""Absolute tolerance: below it rounding is no share of the value any more."""
RESOLVED_FROM = 1e3
"""Times its absolute error: of a state below that too little is known for what it may grow to."""
RISEN = 10.0
"""Times the least a state has been since: then it is asked why it rises."""
GROWTH = 0.25
"""Of a state in the first stage of a step: the same."""


def write_scales(writer: Writer) -> str:
    """Kernel ``scales``: slots peak, atol and least after a step; news of a block is not zero where a state in it has changed sides."""
    code, lay = writer.code(), writer.layout
    slots = ("y", "y1", "k", "peak", "atol", "share", "low", "least", "news")
    y, y1, k, peak, atol, share, low, least, news = (code.pointer("%w", lay[slot]) for slot in slots)
    truth = code.kind(BLOCK, "i1")

    def number(value: float) -> str:
        return code.const(value, BLOCK)

    def both(how: str, one: str, other: str) -> str:
        return code.line(f"{how} {truth} {one}, {other}")

    def size(value: str) -> str:
        return code.intrinsic("llvm.fabs", value, width=BLOCK)

    def bits_of(truths: str) -> str:
        return code.line(f"bitcast {truth} {truths} to i{BLOCK}")

    def body(o: str) -> None:
        value, top, part = (
            size(code.load(y1, o, BLOCK)),
            code.load(peak, o, BLOCK),
            code.load(share, o, BLOCK),
        )
        counted = code.compare("oge", part, number(0.0), BLOCK)  # the clock and modes have no error
        larger = both("and", code.compare("ogt", value, top, BLOCK), counted)
        top = code.choose(larger, value, top, BLOCK)
        code.store(top, peak, o, BLOCK)
        allowed = code.two("fmul", part, value, BLOCK)
        allowed = code.choose(
            code.compare("ogt", allowed, number(LEAST), BLOCK), allowed, number(LEAST), BLOCK
        )
        follows = both("and", larger, code.compare("ogt", part, number(0.0), BLOCK))
        code.store(code.choose(follows, allowed, code.load(atol, o, BLOCK), BLOCK), atol, o, BLOCK)
        scarce = code.two("fmul", code.two("fmul", number(RESOLVED_FROM), part, BLOCK), top, BLOCK)
        below = code.compare("olt", value, scarce, BLOCK)
        was = code.compare("one", code.load(low, o, BLOCK), number(0.0), BLOCK)
        place = code.line(f"udiv i64 {o}, {BLOCK}")
        code.store(code.const(0.0, 1), news, place, 1)

        def fallen() -> None:
            before = code.load(least, o, BLOCK)
            lowest = code.choose(code.compare("olt", value, before, BLOCK), value, before, BLOCK)
            code.store(lowest, least, o, BLOCK)
            old, first = code.load(y, o, BLOCK), code.load(k, o, BLOCK)
            rises = code.compare("ogt", value, code.two("fmul", number(RISEN), lowest, BLOCK), BLOCK)
            pace, square = code.two("fmul", first, old, BLOCK), code.two("fmul", old, old, BLOCK)
            grows = code.compare("ogt", pace, code.two("fmul", number(GROWTH), square, BLOCK), BLOCK)
            turns = code.compare("ogt", size(first), code.two("fmul", number(1.001), size(old), BLOCK), BLOCK)
            asked = both("and", below, both("or", rises, both("or", grows, turns)))
            changed = both("or", both("xor", below, was), asked)
            code.store(code.line(f"uitofp i{BLOCK} {bits_of(changed)} to double"), news, place, 1)

        # few states are, or were, so low that their error counts
        code.when(code.line(f"icmp ne i{BLOCK} {bits_of(both('or', below, was))}, 0"), fallen)

    code.loop(writer.nw // BLOCK, body)
    return writer.finish(code, "scales")
