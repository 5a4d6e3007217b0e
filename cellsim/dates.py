"""Calendar dates and study days: day 0 begins at midnight of `day_zero`, and half a day is 0.5."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cellsim.errors import is_finite_number, is_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ONE_INSTANT", "apart", "as_date", "date_of", "day_of", "days_in", "far_away", "serial_date"]

ONE_INSTANT = 1 / 1440
"""Days this near each other, a minute, are likely meant as one instant."""

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ].+)?", re.ASCII)
_SERIAL_ZERO = date(
    1899, 12, 30
)  # so that spreadsheets agree from March 1900 on, in spite of a leap day of theirs
_SERIALS = (20_000, 80_000)  # 1954 to 2119
_FARTHEST = 36_525.0  # a century
_SECONDS_PER_DAY = 86400.0


def _moment(value: object) -> datetime:
    """A date, a date with a time, or the ISO text of either, as a naive moment; ValueError says why not."""
    if isinstance(value, str):
        if not _ISO.fullmatch(value.strip()):
            raise ValueError(f"{value!r} is not a date as year-month-day, such as 2023-10-06")
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError(f"{value!r} is not a date that exists ({error})") from None
    value = _as_python(value)
    if not isinstance(value, date) or value != value:  # pandas' NaT is a datetime that differs from itself
        raise ValueError(f"{value!r} is not a date; write it as 2023-10-06")
    if not isinstance(value, datetime):
        return datetime.combine(value, time())
    if value.tzinfo is not None:
        raise ValueError(f"{value!r} carries a time zone, and study days do not; give local time")
    return value


def _as_python(value: Any) -> Any:
    """numpy's and pandas' dates as Python's; ValueError where they are a span of more than a day."""
    import numpy as np

    if isinstance(value, np.datetime64):
        if np.datetime_data(value)[0] in ("Y", "M", "W") and not np.isnat(value):
            raise ValueError(f"{value} does not say which day; write it as 2023-10-06")
        return value.astype("datetime64[us]").item()
    if isinstance(getattr(value, "start_time", None), datetime):  # a period of pandas
        begin, end = value.start_time, value.end_time
        if begin.date() != end.date():
            raise ValueError(f"{value} is the span from {begin.date()} to {end.date()}; write one day")
        return begin.to_pydatetime()
    return value


def as_date(value: object) -> date:
    """Read a calendar date.

    Parameters
    ----------
    value : datetime.date, numpy.datetime64, pandas.Timestamp, pandas.Period or str
        A date, or ISO text such as ``"2023-10-06"``. A time of day is refused, and so is a longer span.

    Returns
    -------
    datetime.date

    Raises
    ------
    ValueError
        In words, when it is no date, or not one that exists.

    Examples
    --------
    >>> as_date("2023-10-06")
    datetime.date(2023, 10, 6)
    """
    moment = _moment(value)
    if moment.time() != time():
        raise ValueError(f"{value!r} has a time of day where a whole date is meant")
    return moment.date()


def day_of(value: object, day_zero: date | None) -> float:
    """The study day of a number of days or of a calendar date.

    Parameters
    ----------
    value : float, decimal.Decimal, or a date as for :func:`as_date`
        A day number is returned as it is; a date (or its ISO text) is counted from `day_zero`.
    day_zero : datetime.date or None
        The date of day 0.

    Returns
    -------
    float
        Days since midnight of `day_zero`.

    Raises
    ------
    ValueError
        In words: not a day, an impossible date, or a date without `day_zero`.

    Examples
    --------
    >>> from datetime import date
    >>> day_of("2023-10-13", date(2023, 10, 6))
    7.0
    """
    if isinstance(value, Decimal):
        value = float(value)
    if is_finite_number(value):
        return float(value) + 0.0  # so that -0.0 and 0.0 print alike
    if is_number(value):
        raise ValueError(f"day {value!r} is not a finite number of days")
    moment = _moment(value)
    if day_zero is None:
        raise ValueError(f"{value!r} is a calendar date, but no day_zero says which date is day 0")
    return (moment - datetime.combine(day_zero, time())) / timedelta(seconds=_SECONDS_PER_DAY)


def date_of(day: float, day_zero: date) -> date:
    """The calendar date on which a study day falls.

    Parameters
    ----------
    day : float
        Study day; day 0.5 is noon of day 0.
    day_zero : datetime.date
        The date of day 0.

    Returns
    -------
    datetime.date

    Raises
    ------
    ValueError
        When the calendar does not reach that far.

    Examples
    --------
    >>> from datetime import date
    >>> date_of(245, date(2023, 10, 6))
    datetime.date(2024, 6, 7)
    """
    try:
        return day_zero + timedelta(days=math.floor(day))
    except OverflowError:
        raise ValueError(f"day {day:g} after {day_zero} is beyond the calendar") from None


def days_in(values: object, what: str) -> NDArray[np.float64]:
    """Days given as numbers, in one row; nothing else is turned into them.

    Parameters
    ----------
    values : array_like
        Finite numbers of days.
    what : str
        What they are called.

    Returns
    -------
    array, shape (n,)

    Raises
    ------
    ValueError
        In words: dates, spans of time, text, truth values, masked entries, and what is not finite.

    Examples
    --------
    >>> days_in([0, 7.5], "times")
    array([0. , 7.5])
    """
    import numpy as np

    try:
        found = np.ma.asarray(values) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    except ValueError:
        raise ValueError(f"{what} are not one row of numbers") from None
    if np.ma.is_masked(found):
        at = int(np.argmax(np.ma.getmaskarray(found)))
        raise ValueError(
            f"{what}[{at}] is masked, and a masked day is none; leave it out (times.compressed())"
        )
    found = np.asarray(found).reshape(-1)
    if found.dtype.kind not in "iuf":
        wrong = next((k for k, each in enumerate(found.tolist()) if not is_finite_number(each)), None)
        # dates and spans are turned into whole numbers when they are listed
        wrong = 0 if found.dtype.kind in "mMb" and found.size else wrong
        if wrong is not None:
            raise ValueError(
                f"{what}[{wrong}] is {found[wrong]!r}, and days are numbers, counted from day 0: the days since then of "
                "a date are (date - day_zero) / numpy.timedelta64(1, 'D')"
            )
    days = found.astype(float)
    if not np.isfinite(days).all():
        raise ValueError(f"{what}[{int(np.argmin(np.isfinite(days)))}] is not a finite day")
    return days


def serial_date(number: float) -> date | None:
    """The date that a spreadsheet means by a number; None for what is hardly one (before 1954, after 2119).

    Examples
    --------
    >>> serial_date(45296)
    datetime.date(2024, 1, 5)
    """
    if not _SERIALS[0] <= number <= _SERIALS[1]:
        return None
    return _SERIAL_ZERO + timedelta(days=math.floor(number))


def far_away(day: float) -> str:
    """What is odd about a day more than a century from day 0; empty when it is nearer.

    Examples
    --------
    >>> far_away(45296)
    'day 45296 is more than a century from day 0; as the day of a spreadsheet it would be 2024-01-05'
    >>> far_away(500.0)
    ''
    """
    if abs(day) <= _FARTHEST:
        return ""
    meant = serial_date(day)
    guess = f"; as the day of a spreadsheet it would be {meant}" if meant else ""
    return f"day {day:g} is more than a century from day 0{guess}"


def apart(day: float, other: float) -> str:
    """How far a day lies from another that may print as the same number, in words.

    Examples
    --------
    >>> apart(0.3, 0.1 + 0.2)
    '4.8e-12 s before'
    >>> apart(7.25, 7.0)
    '0.25 d after'
    """
    gap = abs(day - other)
    far = f"{gap * _SECONDS_PER_DAY:.2g} s" if gap <= ONE_INSTANT else f"{gap:.6g} d"
    return f"{far} {'before' if day < other else 'after'}"
