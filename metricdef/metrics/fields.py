"""Values that analysts spell in YAML: durations, windows, percentages, sizes, caps and dates.

Each type is a frozen record with a `parse` that takes what YAML gives and raises ValueError in the author's words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from fractions import Fraction
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, WithJsonSchema

MICROSECONDS = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}

LONGEST_NAME = 48  # some engines cut longer column names without a word

FIRST_YEAR, LAST_YEAR = 1971, 2200  # the compiled SQL counts microseconds since 1970
LONGEST = 3650 * MICROSECONDS["d"]

_DURATION = re.compile(r"(\d+)([mhdw])")
_NUMBER = r"\d+(?:\.\d+)?"
_PERCENT = re.compile(rf"({_NUMBER})%")
_POINTS = re.compile(rf"({_NUMBER})pp")
_SIGNED = re.compile(rf"[-+−]\s*{_NUMBER}(%|pp)?")
_NEGATIVE = "`{}` has a sign: write the size alone; the direction comes from the metric"
_PERCENTILE = re.compile(rf"p({_NUMBER})")
_FRACTION = re.compile(r"(\d+)/(\d+)")
_CURRENCY = re.compile(r"currency:[A-Z]{3}")
NAME = re.compile(r"[a-z][a-z0-9_]*")


class Strict(BaseModel):
    """Base of every definition: frozen, no unknown keys, no silent conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time; `1d` is 24 hours."""

    microseconds: int
    text: str

    @classmethod
    def parse(cls, value: object) -> Duration:
        """Read `30m`, `12h`, `7d` or `4w`."""
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if not match:
            raise ValueError(f"`{value}` is not a duration: write for example 30m, 12h, 7d or 4w")
        microseconds = int(match[1]) * MICROSECONDS[match[2]]
        if microseconds > LONGEST:
            raise ValueError(f"`{value}` is too long: use at most ten years (3650d)")
        return cls(microseconds, str(value))


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of time counts for a unit. Bounds are microseconds after first exposure.

    `span`: [exposure + start, exposure + end). `last`: the `end` microseconds before the analysis instant.
    `experiment`: from first exposure until the experiment's end.
    """

    kind: Literal["span", "last", "experiment"]
    start: int
    end: int | None
    text: str

    @classmethod
    def parse(cls, value: object) -> Window:
        """Read `7d`, `7d..14d`, `last 7d` or `experiment`."""
        text = value if isinstance(value, str) else ""
        if text == "experiment":
            return cls("experiment", 0, None, text)
        try:
            if text.startswith("last "):
                return cls("last", 0, Duration.parse(text.removeprefix("last ").strip()).microseconds, text)
            first, dots, second = text.partition("..")
            start = Duration.parse(first).microseconds if dots else 0
            end = Duration.parse(second if dots else first).microseconds
        except ValueError:
            raise ValueError(
                f"`{value}` is not a window: write for example 7d, 7d..14d, last 7d or experiment"
            ) from None
        if end <= start:
            raise ValueError(f"window `{text}` is empty: it must end after it starts")
        return cls("span", start, end, text)


@dataclass(frozen=True, slots=True)
class Size:
    """An effect size: relative to the baseline, in percentage points, or in the metric's own unit. Never negative."""

    kind: Literal["relative", "points", "absolute"]
    value: float
    text: str

    @classmethod
    def parse(cls, value: object) -> Size:
        """Read `2%` (relative), `0.5pp` (percentage points) or `1.5` (the metric's unit)."""
        if isinstance(value, str):
            if match := _PERCENT.fullmatch(value):
                return cls("relative", float(Fraction(match[1]) / 100), value)
            if match := _POINTS.fullmatch(value):
                return cls("points", float(Fraction(match[1]) / 100), value)
            if _SIGNED.fullmatch(value):
                raise ValueError(_NEGATIVE.format(value))
        if isinstance(value, int | float) and not isinstance(value, bool):
            if value < 0:
                raise ValueError(_NEGATIVE.format(value))
            return cls("absolute", float(value), str(value))
        raise ValueError(f"`{value}` is not a size: write 2% (relative), 0.5pp (points) or 1.5 (the metric's unit)")


def parse_percent(value: object) -> Fraction:
    """Read `95%` or `0.1%` into an exact fraction."""
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ValueError(f"`{value}` is not a percentage: write for example 95%")
    return Fraction(match[1]) / 100


def parse_share(value: object) -> Fraction:
    """Read an arm's share, `50%` or `1/3`, into an exact fraction."""
    if isinstance(value, str) and (match := _FRACTION.fullmatch(value)) and int(match[2]):
        return Fraction(int(match[1]), int(match[2]))
    try:
        return parse_percent(value)
    except ValueError:
        raise ValueError(f"`{value}` is not a share: write for example 50% or 1/3") from None


def parse_probability(value: object) -> float:
    """Read an error rate, `5%` or `0.05`, strictly between 0 and 1."""
    if isinstance(value, float | int) and not isinstance(value, bool):
        number = float(value)
    else:
        try:
            number = float(parse_percent(value))
        except ValueError:
            raise ValueError(f"`{value}` is not a probability: write for example 5% or 0.05") from None
    if not 0 < number < 1:
        raise ValueError(f"`{value}` must lie strictly between 0 and 1 (between 0% and 100%)")
    return number


def parse_one_sided(value: object) -> float:
    """Read a one-sided error rate, `2.5%` or `0.025`, below one half."""
    number = parse_probability(value)
    if number >= 0.5:
        raise ValueError(f"`{value}` must lie below 50%: it is a one-sided error rate")
    return number


def parse_confidence(value: object) -> float:
    """Read a confidence level such as `95%`, between 50% and 100%."""
    level = float(parse_percent(value))
    if not 0.5 <= level <= 0.9999:
        raise ValueError(f"`{value}` is not a confidence level: write for example 95%")
    return level


def parse_key(value: object) -> str:
    """Read the value that stands in the data for an experiment or an arm; compared as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | str) and str(value) and str(value).isprintable():
        return str(value)
    if isinstance(value, str) and value:
        raise ValueError(
            f"`{repr(value)[1:-1]}` is not a key: it must be one line, without characters that can't be seen"
        )
    raise ValueError(f"`{value}` is not a key: write the text that stands in the data")


@dataclass(frozen=True, slots=True)
class Percentile:
    """A percentile as a fraction between 0 and 1."""

    fraction: float
    text: str

    @classmethod
    def parse(cls, value: object) -> Percentile:
        """Read `p95` or `p99.5`."""
        match = _PERCENTILE.fullmatch(value) if isinstance(value, str) else None
        if not match or not 0 < Fraction(match[1]) < 100:
            raise ValueError(f"`{value}` is not a percentile: write for example p95 or p99.5")
        return cls(float(Fraction(match[1]) / 100), str(value))


def parse_limit(value: object) -> Percentile | float:
    """Read a cap's limit: `p99.5` (pooled percentile) or `500` (in the metric's unit)."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value.startswith("p"):
        return Percentile.parse(value)
    raise ValueError(f"`{value}` is not a limit: write a percentile such as p99.5 or a number such as 500")


@dataclass(frozen=True, slots=True)
class Instant:
    """A date or timestamp as written; it becomes an instant once the project's time zone is known."""

    text: str
    day: date | None
    moment: datetime | None

    @classmethod
    def parse(cls, value: object) -> Instant:
        """Read `2026-09-01` or an ISO timestamp such as `2026-09-01T08:30:00Z`."""
        text = value if isinstance(value, str) else ""
        try:
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
                return cls._between(text, date.fromisoformat(text), None)
            if re.match(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}", text):
                return cls._between(text, None, datetime.fromisoformat(text))
        except ValueError:
            pass
        raise ValueError(f"`{value}` is not a date: write for example 2026-09-01 or 2026-09-01T08:30:00Z")

    @classmethod
    def _between(cls, text: str, day: date | None, moment: datetime | None) -> Instant:
        year = (day or moment or date.min).year
        if not FIRST_YEAR <= year <= LAST_YEAR:
            raise ValueError
        return cls(text, day, moment)

    def at(self, timezone: str) -> datetime:
        """The instant in UTC; a date is its midnight in `timezone`, a timestamp without zone is UTC."""
        if self.day is not None:
            return datetime.combine(self.day, time(), ZoneInfo(timezone)).astimezone(UTC)
        assert self.moment is not None  # noqa: S101 - parse fills exactly one
        return (self.moment if self.moment.tzinfo else self.moment.replace(tzinfo=UTC)).astimezone(UTC)


def parse_format(value: object) -> str:
    """Read `number`, `percent`, `duration` or `currency:EUR`."""
    if isinstance(value, str) and (value in ("number", "percent", "duration") or _CURRENCY.fullmatch(value)):
        return value
    raise ValueError(f"`{value}` is not a format: write number, percent, duration or currency:EUR")


def parse_name(value: object) -> str:
    """Check the name of a definition, arm, measure or step."""
    if isinstance(value, str) and NAME.fullmatch(value):
        if len(value) > LONGEST_NAME:
            raise ValueError(
                f"`{value}` is too long for a name: use at most {LONGEST_NAME} characters, and `label` for display"
            )
        return value
    raise ValueError(f"`{value}` is not a name: use lower-case letters, digits and _, starting with a letter")


def as_tuple(value: object) -> object:
    """YAML lists become tuples, so that definitions stay frozen; a single string stands for a list of one."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _text(pattern: str, *examples: str) -> WithJsonSchema:
    """What an editor should know of a spelling: a regular expression of the whole, and examples."""
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern})$", "examples": list(examples)})


def _text_or_number(pattern: str, *examples: str | float, **bounds: float) -> WithJsonSchema:
    number = {"type": "number", **bounds}
    return WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": f"^({pattern})$"}, number], "examples": list(examples)}
    )


_LENGTH = r"\d+[mhdw]"
_PLAIN_NUMBER = r"\d+(\.\d+)?"
_MANY = str | list[str]


def as_names(value: object) -> object:
    """A list of names, or one name; several in one text are a list without its brackets."""
    if isinstance(value, str) and "," in value:
        listed = ", ".join(word.strip() for word in value.split(","))
        raise ValueError(f"`{value}` is one text: write a list, [{listed}]")
    return as_tuple(value)


DurationField = Annotated[Duration, PlainValidator(Duration.parse), _text(_LENGTH, "7d", "12h", "30m", "4w")]
WindowField = Annotated[
    Window,
    PlainValidator(Window.parse),
    _text(rf"experiment|last {_LENGTH}|{_LENGTH}(\.\.{_LENGTH})?", "7d", "7d..14d", "last 7d", "experiment"),
]
SizeField = Annotated[
    Size, PlainValidator(Size.parse), _text_or_number(rf"{_PLAIN_NUMBER}(%|pp)", "2%", "0.5pp", 1.5, minimum=0)
]
ShareField = Annotated[Fraction, PlainValidator(parse_share), _text(rf"{_PLAIN_NUMBER}%|\d+/\d+", "50%", "1/3")]
ProbabilityField = Annotated[
    float,
    PlainValidator(parse_probability),
    _text_or_number(f"{_PLAIN_NUMBER}%", "5%", 0.05, exclusiveMinimum=0, exclusiveMaximum=1),
]
OneSidedField = Annotated[
    float,
    PlainValidator(parse_one_sided),
    _text_or_number(f"{_PLAIN_NUMBER}%", "2.5%", 0.025, exclusiveMinimum=0, exclusiveMaximum=0.5),
]
ConfidenceField = Annotated[float, PlainValidator(parse_confidence), _text(f"{_PLAIN_NUMBER}%", "95%")]
PercentileField = Annotated[Percentile, PlainValidator(Percentile.parse), _text(f"p{_PLAIN_NUMBER}", "p95", "p99.5")]
LimitField = Annotated[
    Percentile | float, PlainValidator(parse_limit), _text_or_number(f"p{_PLAIN_NUMBER}", "p99.5", 500)
]
InstantField = Annotated[
    Instant,
    PlainValidator(Instant.parse),
    _text(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?", "2026-09-01", "2026-09-01T08:30:00Z"),
]
KeyField = Annotated[str, PlainValidator(parse_key), WithJsonSchema({"type": ["string", "integer", "boolean"]})]
FormatField = Annotated[
    str,
    PlainValidator(parse_format),
    _text("number|percent|duration|currency:[A-Z]{3}", "number", "percent", "duration", "currency:EUR"),
]
NameField = Annotated[
    str,
    PlainValidator(parse_name),
    WithJsonSchema({"type": "string", "pattern": "^[a-z][a-z0-9_]*$", "maxLength": LONGEST_NAME}),
]
Names = Annotated[tuple[str, ...], BeforeValidator(as_names, json_schema_input_type=_MANY)]
Texts = Annotated[tuple[str, ...], BeforeValidator(as_tuple, json_schema_input_type=_MANY)]
Filter = Annotated[tuple[str, ...], BeforeValidator(as_tuple, json_schema_input_type=_MANY)]


class Cap(Strict):
    """Winsorising limits of the per-unit value."""

    lower: LimitField | None = None
    upper: LimitField | None = None
    zeros: Literal["include", "exclude"] = "include"


class Covariates(Strict):
    """Pre-exposure values that sharpen the estimate."""

    lookback: DurationField
    extra: Names = ()


def parse_covariates(value: object) -> object:
    """`off` switches adjustment off; otherwise a map."""
    return None if value == "off" else value


CovariatesField = Annotated[
    Covariates | None, BeforeValidator(parse_covariates, json_schema_input_type=Literal["off"] | Covariates)
]
