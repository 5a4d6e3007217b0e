"""Small problems whose answers are known, for every solver and everything built on solvers to visit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from cellsim.compiler.equations import Equations

Array = NDArray[np.float64]


def system(rates: dict[str, str], parameters: str = "", **initials: float) -> Equations:
    """Equations from text; what stands in `parameters` are parameters, everything else states."""
    names = {name: sp.Symbol(name) for name in [*rates, *parameters.split(), "time"]}
    return Equations(
        states=tuple(rates),
        parameters=tuple(parameters.split()),
        rates=tuple(sp.parse_expr(text, local_dict=dict(names)) for text in rates.values()),
        initials=tuple(sp.Float(initials.get(name, 0.0), 17) for name in rates),
    )


@dataclass(frozen=True)
class Stiff:
    """A classical stiff problem: where it ends and what is there.

    The values are those published in the Test Set for Initial Value Problem Solvers (Mazzia & Magherini,
    Bari, release 2.4) and by Hairer & Wanner, Solving Ordinary Differential Equations II, unless a test
    recomputes them.
    """

    name: str
    equations: Equations
    end: float
    values: tuple[float, ...]
    smallest: float  # absolute tolerance per unit of relative tolerance
    allowed: float = 10.0  # error at the end, in units of the tolerance


ROBERTSON = Stiff(
    "Robertson",
    system(
        {
            "y1": "-0.04*y1 + 10**4*y2*y3",
            "y2": "0.04*y1 - 10**4*y2*y3 - 3*10**7*y2**2",
            "y3": "3*10**7*y2**2",
        },
        y1=1.0,
    ),
    1e11,
    (0.2083340149701255e-07, 0.8333360770334713e-13, 0.9999999791665050),
    1e-12,
)
HIRES = Stiff(
    "HIRES",
    system(
        {
            "y1": "-1.71*y1 + 0.43*y2 + 8.32*y3 + 0.0007",
            "y2": "1.71*y1 - 8.75*y2",
            "y3": "-10.03*y3 + 0.43*y4 + 0.035*y5",
            "y4": "8.32*y2 + 1.71*y3 - 1.12*y4",
            "y5": "-1.745*y5 + 0.43*y6 + 0.43*y7",
            "y6": "-280*y6*y8 + 0.69*y4 + 1.71*y5 - 0.43*y6 + 0.69*y7",
            "y7": "280*y6*y8 - 1.81*y7",
            "y8": "-280*y6*y8 + 1.81*y7",
        },
        y1=1.0,
        y8=0.0057,
    ),
    321.8122,
    (
        0.7371312573325668e-3,
        0.1442485726316185e-3,
        0.5888729740967575e-4,
        0.1175651343283149e-2,
        0.2386356198831331e-2,
        0.6238968252742796e-2,
        0.2849998395185769e-2,
        0.2850001604814231e-2,
    ),
    1e-4,
)
OREGO = Stiff(
    "OREGO",
    system(
        {
            "y1": "77.27*(y2 + y1*(1 - 8.375*10**(-6)*y1 - y2))",
            "y2": "(y3 - (1 + y1)*y2)/77.27",
            "y3": "0.161*(y1 - y3)",
        },
        y1=1.0,
        y2=2.0,
        y3=3.0,
    ),
    360.0,
    (0.1000814870318523e1, 0.1228178521549917e4, 0.1320554942846706e3),
    1e-2,
)
E5 = Stiff(
    "E5",
    system(
        {
            "y1": "-789*y1/10**12 - 11*10**6*y1*(y2 - y4)",
            "y2": "789*y1/10**12 - 113*10**7*y2*(y2 - y4)",
            "y4": "11*10**6*y1*(y2 - y4) - 1130*y4",
        },
        y1=1.76e-3,
    ),
    1e13,
    # y3 = y2 - y4 is used, as Hairer & Wanner advise: with an equation of its own the four states drift off
    # this distribution by 4e-20 in double precision, beside an end value of 9e-23. The published end value is good
    # to three digits only; this one is recomputed.
    (0.0, 8.86123352129108e-23, 0.0),
    1e-22,
)
VANDERPOL = Stiff(
    "Van der Pol",
    system({"y1": "y2", "y2": "1000*((1 - y1**2)*y2) - y1"}, y1=2.0, y2=0.0),
    2000.0,
    (0.1706167732170469e1, -0.8928097010248125e-3),
    1e-3,
)
_POLLUTION_K = [
    ".35",
    "26.6",
    "12300",
    ".00086",
    ".00082",
    "15000",
    ".00013",
    "24000",
    "16500",
    "9000",
    ".022",
    "12000",
    "1.88",
    "16300",
    "4800000",
    ".00035",
    ".0175",
    "1e8",
    "4.44e11",
    "1240",
    "2.1",
    "5.78",
    ".0474",
    "1780",
    "3.12",
]
_POLLUTION_R = [
    "y1",
    "y2*y4",
    "y5*y2",
    "y7",
    "y7",
    "y7*y6",
    "y9",
    "y9*y6",
    "y11*y2",
    "y11*y1",
    "y13",
    "y10*y2",
    "y14",
    "y1*y6",
    "y3",
    "y4",
    "y4",
    "y16",
    "y16",
    "y17*y6",
    "y19",
    "y19",
    "y1*y4",
    "y19*y1",
    "y20",
]
_POLLUTION = {
    1: "-r1 - r10 - r14 - r23 - r24 + r2 + r3 + r9 + r11 + r12 + r22 + r25",
    2: "-r2 - r3 - r9 - r12 + r1 + r21",
    3: "-r15 + r1 + r17 + r19 + r22",
    4: "-r2 - r16 - r17 - r23 + r15",
    5: "-r3 + 2*r4 + r6 + r7 + r13 + r20",
    6: "-r6 - r8 - r14 - r20 + r3 + 2*r18",
    7: "-r4 - r5 - r6 + r13",
    8: "r4 + r5 + r6 + r7",
    9: "-r7 - r8",
    10: "-r12 + r7 + r9",
    11: "-r9 - r10 + r8 + r11",
    12: "r9",
    13: "-r11 + r10",
    14: "-r13 + r12",
    15: "r14",
    16: "-r18 - r19 + r16",
    17: "-r20",
    18: "r20",
    19: "-r21 - r22 - r24 + r23 + r25",
    20: "-r25 + r24",
}


def _pollution() -> Equations:
    terms = {
        f"r{i}": f"({k}*{r})" for i, (k, r) in enumerate(zip(_POLLUTION_K, _POLLUTION_R, strict=True), 1)
    }
    rates = {}
    for i, text in _POLLUTION.items():
        rates[f"y{i}"] = " ".join(
            ("2*" + terms[word[2:]] if word.startswith("2*") else terms.get(word.lstrip("-"), word)).join(
                ("-" if word.startswith("-r") else "", "")
            )
            for word in text.split()
        )
    return system(rates, y2=0.2, y4=0.04, y7=0.1, y8=0.3, y9=0.01, y17=0.007)


POLLUTION = Stiff(
    "Pollution",
    _pollution(),
    60.0,
    (
        0.5646255480022769e-01,
        0.1342484130422339e00,
        0.4139734331099427e-08,
        0.5523140207484359e-02,
        0.2018977262302196e-06,
        0.1464541863493966e-06,
        0.7784249118997964e-01,
        0.3245075353396018e00,
        0.7494013383880406e-02,
        0.1622293157301561e-07,
        0.1135863833257075e-07,
        0.2230505975721359e-02,
        0.2087162882798630e-03,
        0.1396921016840158e-04,
        0.8964884856898295e-02,
        0.4352846369330103e-17,
        0.6899219696263405e-02,
        0.1007803037365946e-03,
        0.1772146513969984e-05,
        0.5682943292316392e-04,
    ),
    1e-14,
)


def _ring_modulator() -> Equations:
    """Two signals multiplied by four diodes: 7 voltages, 8 currents; capacitance Cs = 2e-12 makes it stiff."""
    signal, carrier = "0.5*sin(2000*pi*time)", "2*sin(20000*pi*time)"
    voltages = (
        f"y3 - y5 - y7 - {carrier}",
        f"-y4 + y6 - y7 - {carrier}",
        f"y4 + y5 + y7 + {carrier}",
        f"-y3 - y6 + y7 + {carrier}",
    )
    q1, q2, q3, q4 = (f"40.67286402e-9*(exp(17.7493332*({voltage})) - 1)" for voltage in voltages)
    return system(
        {
            "y1": "(y8 - y10/2 + y11/2 + y14 - y1/25000)/1.6e-8",
            "y2": "(y9 - y12/2 + y13/2 + y15 - y2/25000)/1.6e-8",
            "y3": f"(y10 - {q1} + {q4})/2e-12",
            "y4": f"(-y11 + {q2} - {q3})/2e-12",
            "y5": f"(y12 + {q1} - {q3})/2e-12",
            "y6": f"(-y13 - {q2} + {q4})/2e-12",
            "y7": f"(-y7/50 + {q1} + {q2} - {q3} - {q4})/1e-8",
            "y8": "-y1/4.45",
            "y9": "-y2/4.45",
            "y10": "(y1/2 - y3 - 17.3*y10)/5e-4",
            "y11": "(-y1/2 + y4 - 17.3*y11)/5e-4",
            "y12": "(y2/2 - y5 - 17.3*y12)/5e-4",
            "y13": "(-y2/2 + y6 - 17.3*y13)/5e-4",
            "y14": f"(-y1 + {signal} - 86.3*y14)/2e-3",
            "y15": "(-y2 - 636.3*y15)/2e-3",
        }
    )


RINGMODULATOR = Stiff(
    "Ring modulator",
    _ring_modulator(),
    1e-3,
    (
        -0.2339057358486745e-1,
        -0.7367485485540825e-2,
        0.2582956709291169,
        -0.4064465721283450,
        -0.4039455665149794,
        0.2607966765422943,
        0.1106761861269975,
        0.2939904342435596e-6,
        -0.2840029933642329e-7,
        0.7267198267264553e-3,
        0.7929487196960840e-3,
        -0.7255283495698965e-3,
        -0.7941401968526521e-3,
        0.7088495416976114e-4,
        0.2390059075236570e-4,
    ),
    1e-4,
    # while the diodes block, voltages 3 to 6 ring with a period of 2e-7 and a decay time of 6e-5, so the errors
    # of many hundred steps add up: by 23 and 10 tolerances here, by 760 with LSODA at 1e-4
    40.0,
)
STIFF = (ROBERTSON, HIRES, OREGO, E5, VANDERPOL, POLLUTION, RINGMODULATOR)


@dataclass(frozen=True)
class OneCompartment:
    """x' = u - k x, x(0) = x0, with one jump and one zero-order input: closed form and its derivatives."""

    jump: tuple[float, float] = (1.0, 5.0)  # time, amount
    input: tuple[float, float, float] = (2.0, 4.0, 3.0)  # on, off, rate

    @property
    def equations(self) -> Equations:
        x, k, x0 = sp.symbols("x k x0")
        return Equations(("x",), ("k", "x0"), (-k * x,), (x0,), (x**2 * k,), ("effect",))

    def state(self, t: Array, k: float, x0: float) -> Array:
        (at, amount), (on, off, rate) = self.jump, self.input
        run = np.clip(t, on, off)
        return np.asarray(
            x0 * np.exp(-k * t)
            + amount * np.exp(-k * (t - at)) * (t >= at)
            + rate / k * (np.exp(-k * (t - run)) - np.exp(-k * (t - on))) * (t > on)
        )

    def slopes(self, t: Array, k: float, x0: float, step: float = 1e-30) -> dict[str, Array]:
        """d x / d each of k, x0, jump time, jump amount, input on, off, rate."""
        (at, amount), (on, off, rate) = self.jump, self.input
        z = complex(k, step)
        run = np.clip(t, on, off)
        complexly = (
            x0 * np.exp(-z * t)
            + amount * np.exp(-z * (t - at)) * (t >= at)
            + rate / z * (np.exp(-z * (t - run)) - np.exp(-z * (t - on))) * (t > on)
        )
        return {
            "k": complexly.imag / step,
            "x0": np.exp(-k * t),
            "jump time": amount * k * np.exp(-k * (t - at)) * (t >= at),
            "jump amount": np.exp(-k * (t - at)) * (t >= at),
            "on": -rate * np.exp(-k * (t - on)) * (t >= on),
            "off": rate * np.exp(-k * (t - off)) * (t >= off),
            "rate": (np.exp(-k * (t - run)) - np.exp(-k * (t - on))) / k * (t > on),
        }
