"""exp and log written out without branches, for any number of lanes.

LLVM turns its own intrinsics on vectors into one call of the C library per lane; these stay vectors.
"""

from __future__ import annotations

from cellsim.compiler.emit import Code

__all__ = ["exp", "log"]

# (exp(r) - 1 - r) / r^2 on |r| < log(2)/2: interpolation at Chebyshev points, relative error of exp below
# 2e-17
_EXP = (
    0.5000000000000001,
    0.16666666666666669,
    0.04166666666662413,
    0.008333333333330062,
    0.0013888888917213717,
    0.00019841269863053618,
    2.4801521295954376e-05,
    2.7557268459997064e-06,
    2.7620088445409746e-07,
    2.510038549551032e-08,
)
# log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)), s = f/(2 + f): the polynomial of fdlibm's e_log.c (Sun
# Microsystems)
_LOG = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
_ROUNDER = 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits


def exp(code: Code, x: str, width: int | None = None) -> str:
    """e^x without branches, error below 1.5 ulp; 3e-308 for everything below -708, infinite above 709.78."""
    n = code.width if width is None else width
    kind, whole = code.kind(n), code.kind(n, "i64")

    def c(value: float) -> str:
        return code.const(value, n)

    low = code.compare("olt", x, c(-708.0), n)
    high = code.compare("ogt", x, c(709.8), n)
    t = code.choose(high, c(709.8), code.choose(low, c(-708.0), x, n), n)
    shifted = code.times_plus(t, c(1.4426950408889634), c(_ROUNDER), n)
    k = code.line(f"fsub {kind} {shifted}, {c(_ROUNDER)}")
    r = code.times_minus(k, c(_LN2_HIGH), t, n)
    r = code.times_minus(k, c(_LN2_LOW), r, n)
    r2 = code.two("fmul", r, r, n)
    r4 = code.two("fmul", r2, r2, n)
    r8 = code.two("fmul", r4, r4, n)
    pair = [code.times_plus(c(_EXP[i + 1]), r, c(_EXP[i]), n) for i in range(0, 10, 2)]
    low4 = code.times_plus(pair[1], r2, pair[0], n)
    mid4 = code.times_plus(pair[3], r2, pair[2], n)
    q = code.times_plus(mid4, r4, low4, n)
    q = code.times_plus(pair[4], r8, q, n)
    p = code.two("fadd", code.times_plus(q, r2, r, n), c(1.0), n)
    bits = code.line(f"bitcast {kind} {shifted} to {whole}")
    # the low bits hold k; 2^(k-1) as a double, then twice that, so that k = 1024 does not overflow too early
    power = code.line(f"add {whole} {bits}, {code.integer(1022, n)}")
    power = code.line(f"shl {whole} {power}, {code.integer(52, n)}")
    scale = code.line(f"bitcast {whole} {power} to {kind}")
    result = code.line(f"fmul {kind} {p}, {scale}")
    result = code.line(f"fmul {kind} {result}, {c(2.0)}")
    return code.choose(code.compare("ogt", x, c(709.782712893384), n), c(float("inf")), result, n)


def log(code: Code, x: str, width: int | None = None) -> str:
    """Natural logarithm without branches, error below 1 ulp; log(0) = -inf, NaN for negatives."""
    n = code.width if width is None else width
    kind, whole = code.kind(n), code.kind(n, "i64")

    def c(value: float) -> str:
        return code.const(value, n)

    tiny = code.compare("olt", x, c(2.2250738585072014e-308), n)
    scaled = code.choose(tiny, code.line(f"fmul {kind} {x}, {c(2.0**54)}"), x, n)
    bits = code.line(f"bitcast {kind} {scaled} to {whole}")
    above = code.line(f"sub {whole} {bits}, {code.integer(0x3FE6A09E667F3BCD, n)}")
    e = code.line(f"ashr {whole} {above}, {code.integer(52, n)}")
    back = code.line(f"shl {whole} {e}, {code.integer(52, n)}")
    m = code.line(f"bitcast {whole} {code.line(f'sub {whole} {bits}, {back}')} to {kind}")
    wrapped = code.line(f"add {whole} {e}, {code.integer(0x4338000000000000, n)}")
    k = code.line(f"fsub {kind} {code.line(f'bitcast {whole} {wrapped} to {kind}')}, {c(_ROUNDER)}")
    k = code.choose(tiny, code.line(f"fsub {kind} {k}, {c(54.0)}"), k, n)
    f = code.line(f"fsub {kind} {m}, {c(1.0)}")
    s = code.line(f"fdiv {kind} {f}, {code.two('fadd', f, c(2.0), n)}")
    z = code.two("fmul", s, s, n)
    w = code.two("fmul", z, z, n)
    even = code.times_plus(w, code.times_plus(w, c(_LOG[5]), c(_LOG[3]), n), c(_LOG[1]), n)
    odd = code.times_plus(w, code.times_plus(w, c(_LOG[6]), c(_LOG[4]), n), c(_LOG[2]), n)
    odd = code.times_plus(w, odd, c(_LOG[0]), n)
    big_r = code.two("fadd", code.two("fmul", w, even, n), code.two("fmul", z, odd, n), n)
    half = code.two("fmul", code.two("fmul", f, f, n), c(0.5), n)
    tail = code.times_plus(s, code.two("fadd", half, big_r, n), code.two("fmul", k, c(_LN2_LOW), n), n)
    inner = code.two("fsub", code.two("fsub", half, tail, n), f, n)
    result = code.two("fsub", code.two("fmul", k, c(_LN2_HIGH), n), inner, n)
    result = code.choose(code.compare("oeq", x, c(float("inf")), n), c(float("inf")), result, n)
    result = code.choose(code.compare("oeq", x, c(0.0), n), c(float("-inf")), result, n)
    wrong = code.line(f"fcmp ult {kind} {x}, {c(0.0)}")
    return code.choose(wrong, c(float("nan")), result, n)
