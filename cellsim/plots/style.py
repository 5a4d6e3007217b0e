"""How every figure looks: colours that everyone can tell apart, sizes legible in print, the label beneath.

Nothing here changes matplotlib's settings; everything is said to the Axes at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from textwrap import fill
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from cellsim.errors import CellsimError, did_you_mean
from cellsim.results import label_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from cellsim.case.case import Case
    from cellsim.dosing.schedule import Product, Schedule

Options = ParamSpec("Options")
Drawing = TypeVar("Drawing")

# Okabe and Ito's palette, told apart with any colour vision
BLACK, GREY, PALE = "#000000", "#767676", "#C8C8C8"
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, SKY, PURPLE = "#E69F00", "#56B4E9", "#CC79A7"
# what is believed is blue (posterior) or purple (prior); doses have colours of their own
SOURCE_COLOURS = {"autologous": GREEN, "allogeneic": VERMILLION}
_OTHER_PRODUCTS = (ORANGE, SKY, BLACK)
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)

# prior families whose scale is the logarithm
LOGGED = ("log-normal", "log-uniform", "log-laplace")

WIDE = 7.2
SMALL, TINY = 8.0, 7.0
# beyond this ratio of largest to smallest, equal distances should mean equal factors
WIDE_RANGE = 4.0
_LABEL_ID, _RESTS_ID = "cellsim-label", "cellsim-rests-on"


class AxesArray(np.ndarray):
    """The Axes of one figure in their order: an array of them that can save its figure."""

    @classmethod
    def of(cls, axes: Iterable[Any]) -> AxesArray:
        """From the Axes one by one."""
        listed = list(axes)
        made = np.empty(len(listed), dtype=object)
        made[:] = listed
        return made.view(cls)

    @property
    def figure(self) -> Any:
        """The figure of the first of them."""
        return self.flat[0].figure

    def savefig(self, *args: Any, **options: Any) -> None:
        """Save the whole figure, as :meth:`matplotlib.figure.Figure.savefig` does."""
        self.figure.savefig(*args, **options)


def as_typed(draw: Callable[Options, Drawing]) -> Callable[Options, Drawing]:
    """Show what a plot writes as it was typed: ``$``, ``_``, ``^`` and backslashes in names are no mathematics.

    Text that stood in a caller's figure before, and matplotlib's own numbers at an axis, keep their ways.

    Parameters
    ----------
    draw : callable
        Axes in (or none), Axes out.
    """

    @wraps(draw)
    def drawn(*args: Options.args, **options: Options.kwargs) -> Drawing:
        given = (
            options.get("ax")
            if "ax" in options
            else next((each for each in args[::-1] if _is_axes(each)), None)
        )
        before = {} if given is None else {id(text): text.get_text() for text in _texts(figure_of(given))}
        made = draw(*args, **options)
        for text in _texts(figure_of(made)):
            if before.get(id(text)) != text.get_text():
                text.set_parse_math(False)
                text.set_usetex(False)
        return made

    return drawn


def _is_axes(what: object) -> bool:
    from matplotlib.axes import Axes

    return isinstance(what, (Axes, list, tuple, np.ndarray)) and any(
        isinstance(each, Axes) for each in np.ravel(np.asarray(what, dtype=object))
    )


def _texts(artist: Any) -> Iterator[Text]:
    """All text of a figure but the numbers that matplotlib writes at an axis in its own way, whose ticks need not be made for it."""
    from matplotlib.axis import Axis
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    if isinstance(artist, Axis) and not isinstance(
        artist.get_major_formatter(), (FixedFormatter, FuncFormatter)
    ):
        yield artist.label
        return
    if isinstance(artist, Text):
        yield artist
    for each in artist.get_children():
        yield from _texts(each)


def pick(asked: Iterable[str] | None, known: Iterable[str], what: str) -> list[str]:
    """The names asked for, all by default, refused with all unknown ones at once."""
    names = list(known)
    chosen = names if asked is None else [asked] if isinstance(asked, str) else list(asked)
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise CellsimError(f"no {what} {', '.join(map(repr, unknown))}. {did_you_mean(unknown[0], names)}")
    return chosen


def panels(
    count: int, ax: Any, *, columns: int, width: float = WIDE, height: float = 1.35, **options: Any
) -> AxesArray:
    """As many Axes as asked for: new ones in a figure of their own, or the first of those given."""
    if ax is not None:
        given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(given) < count:
            raise CellsimError(f"{count} panels need {count} Axes; {len(given)} were given.")
        return AxesArray.of(given[:count])
    import matplotlib.pyplot as plt

    columns = min(columns, count)
    rows = -(-count // columns)
    # room for axis labels, legend and the label beneath
    figure = plt.figure(figsize=(width, height * rows + 0.65), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    for spare in axes[count:]:
        spare.remove()
    return AxesArray.of(axes[:count])


def dress(ax: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Small quiet letters and no more lines than needed, on this Axes alone."""
    ax.tick_params(labelsize=TINY, length=2.5, pad=2)
    ax.tick_params(which="minor", length=1.5)
    ax.spines[["top", "right"]].set_visible(False)
    if title:
        ax.set_title(title, fontsize=SMALL, pad=3)
    if x:
        ax.set_xlabel(x, fontsize=TINY, labelpad=2)
    if y:
        ax.set_ylabel(y, fontsize=TINY, labelpad=2)


def label(figure: Any, *, own: bool, case: Case | None, rests_on: Iterable[str] = ()) -> None:
    """Put the mandatory label beneath a figure, and what its numbers rest on, each once.

    Parameters
    ----------
    figure : Figure
    own : bool
        Whether it is ours to lay out.
    case : Case or None
        Whose numbers are shown, which has the label.
    rests_on : iterable of str
        As :attr:`cellsim.posterior.approximation.Approximation.words` has it.
    """
    size, high = 6.5, 6.5 * 1.35 / 72
    # letters of matplotlib's own font are 0.53 of their size wide on average; a margin for lines of wide ones
    across = max(int(figure.get_figwidth() * 72 / (size * 0.56)), 30)
    style = {"ha": "center", "va": "bottom", "fontsize": size, "color": GREY}
    there = {text.get_gid(): text for text in figure.texts}
    new = [fill(f"Numbers rest on {each}.", across) for each in dict.fromkeys(rests_on)]
    if own:
        # room of its own, so that panels keep theirs
        more = sum(each.count("\n") + 1 for each in new) * high
        figure.set_figheight(figure.get_figheight() + more)
    words = fill(label_of() if case is None else case.label, across)
    below = (words.count("\n") + 1) * high
    if _LABEL_ID not in there:
        figure.text(0.5, 0.004, words, gid=_LABEL_ID, **style)
    old = there[_RESTS_ID].get_text() if _RESTS_ID in there else ""
    said = " ".join(old.split())
    note = "\n".join(filter(None, [old, *(each for each in new if " ".join(each.split()) not in said)]))
    if _RESTS_ID in there:
        there[_RESTS_ID].set_text(note)
    elif note:
        place = 0.004 + below / figure.get_figheight()
        # names of parameters may hold a dollar
        figure.text(0.5, place, note, gid=_RESTS_ID, parse_math=False, **style)
    if own:
        share = (below + (note.count("\n") + 1) * high * bool(note) + 4 / 72) / figure.get_figheight()
        figure.get_layout_engine().set(rect=(0, share, 1, 1 - share))


def legend(axes: Sequence[Axes] | AxesArray, handles: Sequence[Any], *, own: bool) -> None:
    """One legend for all panels: above them in a figure of our own, as wide as fits, else in the first."""
    first: Axes = axes[0]
    if not own:
        first.legend(handles=handles, fontsize=TINY, frameon=False)
        return
    figure: Any = first.figure
    # a legend wider than its figure would leave no room for the panels
    room = figure.get_figwidth() * 72 - 12
    columns = next((n for n in range(len(handles), 1, -1) if _legend_width(handles, n) <= room), 1)
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=columns,
        fontsize=TINY,
        frameon=False,
        columnspacing=1.4,
        handlelength=1.6,
    )


def _legend_width(handles: Sequence[Any], columns: int) -> float:
    """Points a legend takes, from the letters of each column's longest entry (it is filled column by column)."""
    longest = [
        max(len(str(handles[k].get_label())) for k in column)
        for column in np.array_split(np.arange(len(handles)), columns)
    ]
    # a letter is about half as wide as high; beside it stand the handle, its gap, and the next column's distance
    return sum(longest) * 0.56 * TINY + columns * (1.6 + 0.8 + 1.4) * TINY


def band(ax: Axes, times: Any, curve: Any, colour: str, *, name: str = "", **line: Any) -> None:
    """Median with its 50 and 90 % bands; `curve` has five rows as in :class:`cellsim.predictions.bands.Bands`."""
    ax.fill_between(times, curve[0], curve[4], color=colour, alpha=0.18, linewidth=0)
    ax.fill_between(times, curve[1], curve[3], color=colour, alpha=0.30, linewidth=0)
    ax.plot(times, curve[2], **{"color": colour, "linewidth": 1.1, "label": name, **line})


def colour_of(product: str, products: Sequence[Product]) -> str:
    """A product's colour: that of its source for the first of a source, else one that no other has while there are any."""
    taken: dict[str, str] = {}
    for each in products:
        own = SOURCE_COLOURS.get(each.source, "")
        free = [colour for colour in (own, *_OTHER_PRODUCTS) if colour and colour not in taken.values()]
        taken[each.name] = free[0] if free else GREY
    return taken.get(product, GREY)


def infusions(ax: Axes, schedule: Schedule, products: Sequence[Product]) -> None:
    """A tick at the foot of the panel for every infusion, in its product's colour."""
    left, right = ax.get_xlim()
    for product in dict.fromkeys(each.product for each in schedule.infusions):
        days = [
            each.day for each in schedule.infusions if each.product == product and left <= each.day <= right
        ]
        if not days:  # an empty line that is not clipped would count as one at the figure's corner
            continue
        ax.plot(
            days,
            np.full(len(days), 0.025),
            linestyle="none",
            marker="|",
            markersize=5,
            markeredgewidth=0.9,
            color=colour_of(product, products),
            transform=ax.get_xaxis_transform(),
            gid=f"infusions-{product}",
            clip_on=False,
        )


def unit_text(unit: str) -> str:
    """A model's unit as a person writes it.

    Examples
    --------
    >>> unit_text("pg_per_mL"), unit_text("Gcell/L"), unit_text("Mcell day"), unit_text("dimensionless")
    ('pg/mL', '10⁹ cells/L', '10⁶ cells × day', '')
    """
    label = {"dimensionless": "", "1": "", "per_day": "1/day", "percent": "%"}
    label |= dict.fromkeys(("Mcell", "1e6 cell"), "10⁶ cells")
    if unit in label:
        return label[unit]
    *before, last = unit.split(" ")
    if before and last == "day":
        return f"{unit_text(' '.join(before))} × day".removeprefix(" × ")
    for short, long in (("_per_", "/"), ("Mcell", "10⁶ cells"), ("Gcell", "10⁹ cells"), ("/uL", "/µL")):
        unit = unit.replace(short, long)
    return unit


def scale(ax: Axes, values: Iterable[Any], *, force: bool | None = None) -> bool:
    """A log axis with plain numbers where the positive values span a wide range; says whether."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    seen = np.concatenate([np.ravel(np.asarray(each, float)) for each in values])
    seen = seen[np.isfinite(seen)]
    wide = bool(seen.size and seen.min() > 0 and seen.max() / seen.min() > WIDE_RANGE)
    if not (wide if force is None else force):
        return False
    ax.set_yscale("log")
    decades = np.log10(seen.max() / seen.min()) if seen.size and seen.min() > 0 else 2.0
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.6 else (1.0,), numticks=6))
    if decades < 5:  # beyond, powers of ten read better, and they are matplotlib's own way
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0f}" if value >= 1 else f"{value:g}")
    if decades < 1.6:
        ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_formatter(NullFormatter())
    return True


def round_numbers(low: float, high: float, *, most: int = 4) -> list[float]:
    """Round numbers between two positive ones, for a log axis: as many as can be read, three at least where there are.

    Examples
    --------
    >>> round_numbers(0.017, 0.4), round_numbers(24, 91), round_numbers(4e-6, 3e-3)
    ([0.03, 0.1, 0.3], [30.0, 50.0, 70.0], [1e-05, 0.0001, 0.001])
    """
    from matplotlib.ticker import MaxNLocator

    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    found: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        found = [float(f"{step}e{decade}") for decade in decades for step in steps]
        found = [each for each in found if low <= each <= high]
        every = -(-len(found) // most) if found else 1
        thinned = found[(len(found) - 1) % every // 2 :: every]
        if len(thinned) > 2:
            return thinned
    for bins in (3, 4, 6):
        ticks = MaxNLocator(bins).tick_values(low, high)
        linear = [float(f"{each:.6g}") for each in ticks if low <= each <= high]
        if len(linear) > 2:
            return linear[:: -(-len(linear) // most)] if len(linear) > most + 1 else linear
    return found


def log_axis(ax: Axes, low: float, high: float, *, most: int = 4) -> None:
    """A horizontal log axis from `low` to `high` with round numbers that have room beside each other."""
    from matplotlib.ticker import NullLocator

    ax.set_xscale("log")
    ax.xaxis.set_minor_locator(NullLocator())
    ticks = round_numbers(low, high, most=most)
    ax.set_xticks(ticks, [f"{each:g}" for each in ticks])
    margin = (high / low) ** 0.04
    ax.set_xlim(low / margin, high * margin)


def own_unit_axis(ax: Axes, family: str, low: float, high: float) -> None:
    """The horizontal axis of a parameter: logarithmic where its prior family is, with round numbers."""
    if family in LOGGED:
        log_axis(ax, low, high)
    else:
        margin = 0.04 * (high - low)
        ax.set_xlim(low - margin, high + margin)
        ax.locator_params(axis="x", nbins=4)


def reference(ax: Axes, low: float | None, high: float | None) -> None:
    """The reference range as a quiet band behind everything; the axis keeps its ends."""
    if low is None and high is None:
        return
    bottom, top = ax.get_ylim()
    floor = bottom if low is None else max(low, bottom) if ax.get_yscale() == "log" else low
    ceiling = top if high is None else high
    if ceiling > floor:
        ax.axhspan(floor, ceiling, color=PALE, alpha=0.45, linewidth=0, zorder=0, gid="reference")
    ax.set_ylim(bottom, top)


def display_name(case: Case, name: str) -> str:
    """An analyte's printed name, or the name itself."""
    return next((each.name for each in case.analytes if each.id == name), name) or name


def own_figure(ax: Any) -> bool:
    """Whether the figure is ours to lay out."""
    return ax is None


def picked(options: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
    """The caller's keywords over ours."""
    return {**defaults, **options}


def figure_of(axes: Any) -> Figure:
    """The figure an Axes (or the first of an array of them) belongs to."""
    found: Any = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()[0].figure
    return found
