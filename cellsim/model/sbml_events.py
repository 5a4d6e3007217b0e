"""Events as SBML has them, written as the plain events of a model: delays, priorities, triggers that are called off.

A plain event acts at the instant its trigger turns true, together with all others of that instant and from the values before them.
SBML asks for more, and each of it becomes states that remember and plain events that read them:

* **Delay.** The trigger notes when the execution is due (and the values, if they are those of that moment) in the first free of a few
  places; another event acts when the clock gets there. Where all places are taken the run has no value, which is an error. A trigger that
  time alone turns true just after an instant (``time > 2``) is executed just after its due one.
* **Order.** Where an event has a priority, or reads or is called off by what another of its instant sets, executions wait in
  a queue: triggers note that they wait; of those that wait the one of highest priority acts; triggers are then read again
  before the next one acts. Among equal priorities the earlier in the file acts first (SBML leaves that open).
* **Persistence.** A trigger that is not persistent and turns false again takes its waiting executions back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from cellsim.model.content import TIME, Event, State

__all__ = ["SbmlEvent", "plain_events", "undecided"]

# executions of one event that may wait at once
_PLACES = 4
# an instant that no clock reaches, and what is taken for it
_NEVER, _LATE = sp.Float(1e18), sp.Float(1e17)
_NOUGHT, _HALF = sp.Integer(0), sp.Rational(1, 2)
_LOWEST = sp.Float(-1e300)


@dataclass(frozen=True)
class SbmlEvent:
    """An event as it is written.

    Parameters
    ----------
    name : str
    trigger : sympy Boolean
    assignments : tuple of (str, sympy.Expr)
    initially : bool
        What the trigger is taken to have been just before the start.
    delay, priority : sympy.Expr or None
    persistent : bool
        Whether an execution that waits is kept when the trigger turns false.
    early : bool
        Whether new values are those at the trigger, and not at the execution.
    factors : tuple of (str, sympy.Expr)
        What new values of some targets are multiplied by, as it is at the execution, whatever `early` says.
    """

    name: str
    trigger: sp.Basic
    assignments: tuple[tuple[str, sp.Expr], ...]
    initially: bool = True
    delay: sp.Expr | None = None
    priority: sp.Expr | None = None
    persistent: bool = True
    early: bool = True
    factors: tuple[tuple[str, sp.Expr], ...] = ()

    def late(self) -> list[sp.Expr]:
        """The formulas that are worked out when the event is executed."""
        values = [] if self.early else [value for _, value in self.assignments]
        return [*values, *(factor for _, factor in self.factors)]

    def set_to(self, values: Mapping[str, sp.Expr]) -> tuple[tuple[str, sp.Expr], ...]:
        """What an execution sets, with these values where they were kept since the trigger."""
        factors = dict(self.factors)
        return tuple(
            (target, values.get(target, value) * factors.get(target, sp.Integer(1)))
            for target, value in self.assignments
        )


def plain_events(
    events: Sequence[SbmlEvent],
    names_behind: Callable[..., Collection[str]],
    fresh: Callable[[str], str],
) -> tuple[tuple[Event, ...], tuple[State, ...]]:
    """Plain events that do the same, and the states they remember by.

    Parameters
    ----------
    events : sequence of SbmlEvent
    names_behind : callable
        Names that formulas read, those of rules included.
    fresh : callable
        A name that nothing has, from one that would do.

    Returns
    -------
    events : tuple of Event
    states : tuple of State

    Examples
    --------
    >>> late = SbmlEvent("e", sp.Symbol("x") > 1, (("x", sp.Integer(0)),), delay=sp.Integer(2))
    >>> events, states = plain_events([late], lambda *_: set(), lambda name: name)
    >>> len(events), len(states)
    (5, 9)
    """
    plain = _Plain(fresh)
    queued = _order_matters(events, names_behind)
    lost = "An execution of {} is due while another of it waits its turn: one of the two would be lost."
    waits = {
        each.name: plain.remember(f"waiting_of_{each.name}", note=lost.format(each.name))
        for each in events
        if queued
    }
    for each in events:
        plain.add(each, waits.get(each.name))
    if queued:
        plain.queue(events, waits, names_behind)
    return tuple(plain.events), tuple(plain.states)


def undecided(events: Sequence[SbmlEvent], names_behind: Callable[..., Collection[str]]) -> list[str]:
    """Pairs that the same trigger sets off, whose order SBML leaves open and whose order changes the result, in words.

    Parameters
    ----------
    events : sequence of SbmlEvent
    names_behind : callable
        Names that formulas read, those of rules included.
    """
    said = []
    for place, one in enumerate(events):
        for other in events[place + 1 :]:
            together = one.trigger == other.trigger and one.delay == other.delay
            if together and one.priority == other.priority and _order_shows(one, other, names_behind):
                said.append(
                    f"Events {one.name} and {other.name} happen at one instant with the same priority, and the result depends on which is first."
                )
    return said


def _hears(event: SbmlEvent, other: SbmlEvent, names_behind: Callable[..., Collection[str]]) -> bool:
    """Whether what the other sets changes what an event then does."""
    changed = {name for name, _ in other.assignments}
    reads = set(names_behind(*event.late()))
    return bool(changed & (reads if event.persistent else reads | set(names_behind(event.trigger))))


def _order_shows(one: SbmlEvent, other: SbmlEvent, names_behind: Callable[..., Collection[str]]) -> bool:
    """Whether the result depends on which of two is first."""
    return _hears(one, other, names_behind) or _hears(other, one, names_behind) or _collide(one, other)


def _as_urgent(one: SbmlEvent, other: SbmlEvent) -> sp.Basic:
    """When two have the same priority; one without any comes after all others."""
    if one.priority is None or other.priority is None:
        return sp.true if one.priority is other.priority else sp.false
    return sp.Eq(one.priority, other.priority)


def _collide(one: SbmlEvent, other: SbmlEvent) -> bool:
    """Whether both set something to different values."""
    values = dict(other.assignments)
    return any(name in values and values[name] != value for name, value in one.assignments)


def _order_matters(events: Sequence[SbmlEvent], names_behind: Callable[..., Collection[str]]) -> bool:
    """Whether it changes anything that events of one instant act one after the other."""
    for event in events:
        set_by_others = {name for each in events if each is not event for name, _ in each.assignments}
        if len(events) > 1 and event.priority is not None:
            return True
        if set(names_behind(*event.late())) & set_by_others:
            return True
        if not event.persistent and set(names_behind(event.trigger)) & set_by_others:
            return True
    return False


class _Plain:
    """Plain events and states, as they are collected."""

    def __init__(self, fresh: Callable[[str], str]) -> None:
        self.fresh = fresh
        self.events: list[Event] = []
        self.states: list[State] = []
        self.kept: dict[str, dict[str, sp.Symbol]] = {}  # by event: target to the value kept for it

    def remember(self, name: str, start: sp.Expr = _NOUGHT, note: str = "") -> sp.Symbol:
        """A state that only events change; `note` says when that leaves it without a value."""
        own = self.fresh(name)
        self.states.append(State(own, start, sp.Integer(0), note=note))
        return sp.Symbol(own)

    def add(self, event: SbmlEvent, wait: sp.Symbol | None) -> None:
        """One event, which acts by itself or, where it waits in a queue, says so."""
        if wait is not None and event.early:
            self.kept[event.name] = {
                target: self.remember(f"value_of_{target}_for_{event.name}")
                for target, _ in event.assignments
            }
        if event.delay is not None and event.delay != 0:
            self._delayed(event, wait)
        else:
            self.events.append(Event(event.name, event.trigger, self._acts(event, wait, {}), event.initially))
        if wait is not None and not event.persistent:
            undone = sp.And(wait > _HALF, sp.Not(event.trigger))
            self.events.append(
                Event(self.fresh(f"{event.name}_called_off"), undone, ((wait.name, sp.Integer(0)),))
            )

    def _acts(
        self, event: SbmlEvent, wait: sp.Symbol | None, kept: dict[str, sp.Symbol]
    ) -> tuple[tuple[str, sp.Expr], ...]:
        """What happens when an event is due: its assignments, or a note that it waits."""
        if wait is None:
            return event.set_to(kept)
        values = (
            tuple(
                (self.kept[event.name][target].name, kept.get(target, value))
                for target, value in event.assignments
            )
            if event.early
            else ()
        )
        # an execution that waits already would be lost: it has no value then, and the run says so
        once = sp.Piecewise((sp.Integer(1), wait < _HALF), (sp.log(-wait), True))
        return ((wait.name, once), *values)

    def _delayed(self, event: SbmlEvent, wait: sp.Symbol | None) -> None:
        delay = event.delay
        assert delay is not None
        early = f"The delay of {event.name} is negative there."
        dues = [self.remember(f"due_{k + 1}_of_{event.name}", _NEVER, early) for k in range(_PLACES)]
        # whether the trigger does not hold yet at the instant itself
        strict, open_ended = list[sp.Symbol](), sp.Piecewise((_NOUGHT, event.trigger), (sp.Integer(1), True))
        if TIME in event.trigger.free_symbols:
            strict = [self.remember(f"just_after_{k + 1}_of_{event.name}") for k in range(_PLACES)]
        taken: list[sp.Basic] = []
        noted: list[tuple[str, sp.Expr]] = []
        kept: list[dict[str, sp.Symbol]] = []
        instant = sp.Piecewise((TIME + delay, delay >= 0), (sp.log(delay), True))
        for k, due in enumerate(dues):
            here = sp.And(due > _LATE, *taken)
            if strict:
                noted.append((strict[k].name, sp.Piecewise((open_ended, here), (strict[k], True))))
            places = {}
            if event.early:
                places = {
                    target: self.remember(f"value_{k + 1}_of_{target}_for_{event.name}")
                    for target, _ in event.assignments
                }
                noted += [
                    (places[target].name, sp.Piecewise((value, here), (places[target], True)))
                    for target, value in event.assignments
                ]
            noted.append((due.name, sp.Piecewise((instant, here), (due, True))))
            taken.append(due <= _LATE)
            kept.append(places)
        crowded = (
            f"More than {_PLACES} executions of {event.name} would wait at once, and no more can be kept: "
            "its delay is too long for how often it is set off."
        )
        full = self.remember(f"places_taken_of_{event.name}", note=crowded)
        noted.append(
            (full.name, sp.Piecewise((sp.log(-sp.Integer(1) - full**2), sp.And(*taken)), (full, True)))
        )
        self.events.append(Event(event.name, event.trigger, tuple(noted), event.initially))
        for k, due in enumerate(dues):
            reached = sp.Ge(TIME, due)
            if strict:
                reached = sp.Or(sp.Gt(TIME, due), sp.And(reached, strict[k] < _HALF))
            self.events.append(
                Event(
                    self.fresh(f"{event.name}_due_{k + 1}"),
                    reached,
                    (*self._acts(event, wait, kept[k]), (due.name, _NEVER)),
                )
            )
        if not event.persistent:
            back = tuple((due.name, _NEVER) for due in dues)
            self.events.append(Event(self.fresh(f"{event.name}_taken_back"), sp.Not(event.trigger), back))

    def queue(
        self,
        events: Sequence[SbmlEvent],
        waits: dict[str, sp.Symbol],
        names_behind: Callable[..., Collection[str]],
    ) -> None:
        """Those that wait, one after the other."""
        busy = self.remember("event_just_executed")
        for place, event in enumerate(events):
            wait = waits[event.name]
            first: list[sp.Basic] = [wait > _HALF, busy < _HALF]
            for other_place, other in enumerate(events):
                if other is event:
                    continue
                own, its = (_LOWEST if each.priority is None else each.priority for each in (event, other))
                before = its >= own if other_place < place else its > own
                first.append(sp.Not(sp.And(waits[other.name] > _HALF, before)))
            acts = event.set_to(self.kept.get(event.name, {}))
            level = [
                sp.And(waits[other.name] > _HALF, _as_urgent(event, other))
                for other in events
                if other is not event and _order_shows(event, other, names_behind)
            ]
            if (tie := sp.Or(*level)) != sp.false:
                note = (
                    f"{event.name} and another event of the same priority happen at one instant, and the result depends on "
                    "which is first. Give them priorities that differ."
                )
                undecided = self.remember(f"order_open_at_{event.name}", note=note)
                none = sp.Piecewise((sp.log(-sp.Integer(1) - undecided**2), tie), (undecided, True))
                acts = (*acts, (undecided.name, none))
            self.events.append(
                Event(
                    self.fresh(f"{event.name}_executed"),
                    sp.And(*first),
                    (*acts, (wait.name, sp.Integer(0)), (busy.name, sp.Integer(1))),
                )
            )
        self.events.append(Event(self.fresh("triggers_read"), busy > _HALF, ((busy.name, sp.Integer(0)),)))
