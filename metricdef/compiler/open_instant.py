"""Instants that follow from an as-of which is only known when the SQL runs."""

from __future__ import annotations

from typing import Any, NoReturn, Self, SupportsIndex

DAY = 86_400_000_000
OPEN_FOR = 730 * DAY  # after the last window is complete: so far the time zone's changes are written out


class OpenInstant(int):
    """min(as-of + `shift`, `latest`), both microseconds, None for no such part; the integer is its value at one as-of.

    It can be moved by a duration, compared for equality, and written by `SqlText`. Whatever would take it for a plain
    number, and so write one as-of into SQL that is for all of them, raises TypeError.
    """

    shift: int | None
    latest: int | None

    def __new__(cls, value: int, shift: int | None, latest: int | None) -> Self:
        """An instant whose value at some as-of is `value`."""
        made = super().__new__(cls, value)
        made.shift, made.latest = shift, latest
        return made

    def __add__(self, other: int) -> OpenInstant:
        """Later by a duration."""
        if isinstance(other, OpenInstant):
            self._refuse()
        moved = (None if part is None else part + other for part in (self.shift, self.latest))
        return OpenInstant(self.__index__() + other, *moved)

    def __sub__(self, other: int) -> int:
        """Earlier by a duration; the duration between two instants where it is the same at every as-of."""
        if not isinstance(other, OpenInstant):
            return self + -other
        parts = [(self.shift, other.shift), (self.latest, other.latest)]
        between = {None if a is None or b is None else a - b for a, b in parts if (a, b) != (None, None)}
        if len(between) != 1 or None in between:
            self._refuse()
        return int(between.pop() or 0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OpenInstant) and (self.shift, self.latest) == (other.shift, other.latest)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.shift, self.latest))

    def __repr__(self) -> str:
        return f"OpenInstant(as-of + {self.shift}, {self.latest})"

    def __lt__(self, other: int) -> NoReturn:
        self._refuse()

    __le__ = __gt__ = __ge__ = __radd__ = __rsub__ = __floordiv__ = __mod__ = __lt__

    def __str__(self) -> NoReturn:  # noqa: PLE0307 - it never returns
        self._refuse()

    def __format__(self, spec: str) -> NoReturn:
        self._refuse()

    def __round__(self, digits: SupportsIndex | None = None) -> Any:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise TypeError("an instant that follows from an open as-of is no number")


def earlier(first: int, second: int) -> int:
    """The earlier of two instants, at every as-of."""
    if not isinstance(first, OpenInstant) and not isinstance(second, OpenInstant):
        return min(first, second)
    pairs = zip(_parts(first), _parts(second), strict=True)
    shift, latest = (b if a is None else a if b is None else min(a, b) for a, b in pairs)
    return OpenInstant(min(first.__index__(), second.__index__()), shift, latest)


def later(first: int, second: int) -> int:
    """The later of two instants; of open ones an instant that is never before either."""
    if not isinstance(first, OpenInstant) and not isinstance(second, OpenInstant):
        return max(first, second)
    pairs = zip(_parts(first), _parts(second), strict=True)
    shift, latest = (None if a is None or b is None else max(a, b) for a, b in pairs)
    return OpenInstant(max(first.__index__(), second.__index__()), shift, latest)


def may_be_earlier(first: int, second: int) -> bool:
    """Whether `first` is before `second`; of open ones whether it is at some as-of, to be on the safe side."""
    if isinstance(first, OpenInstant) or isinstance(second, OpenInstant):
        return first != second
    return first < second


def _parts(instant: int) -> tuple[int | None, int | None]:
    return (instant.shift, instant.latest) if isinstance(instant, OpenInstant) else (None, instant)
