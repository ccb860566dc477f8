"""A mapping file: which field of a source is which quantity, in what unit, and how the source writes it.

`[source]` says what the source is like (see the class of each kind), `[quantity.NAME]` names the field that
becomes the quantity NAME. A mistake is a ConfigError that names file, key, value and what is allowed.
"""

import math
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from flows.errors import ConfigError
from flows.history.tally import Tally
from flows.history.units import units_for
from flows.model.quantities import BY_NAME, FLAG_NAMES, FLAGS, QUANTITIES
from flows.model.table import Numbers
from flows.model.times import DAY_MS, duration_ms, is_zone

MISSING = frozenset(("", "nan", "null", "none", "unknown", "unavailable", "n/a", "-"))
"""Words for nothing, in small letters."""

WORDS = {"on": 1.0, "true": 1.0, "yes": 1.0, "off": 0.0, "false": 0.0, "no": 0.0}
"""Words that flags are written with, in small letters; `words` of a quantity adds to them."""

LONGEST_HOLD_MS = 7 * DAY_MS
"""A held value is given every ten minutes: a sensor that is silent for longer is broken. [ms]"""

MAPPABLE = tuple(quantity.name for quantity in QUANTITIES if quantity.origin == "payload")


class Csv(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a CSV is like.

    time        : name of the time column.
    time_format : iso, unix, unix_ms, or a strptime format such as "%d.%m.%Y %H:%M".
    timezone    : of times that name none, an IANA name.
    delimiter   : between cells. decimal: of numbers, "." or ",".
    name, value : for one value a row: the columns with the field's name and its value; "" for a column a field.
    sorted      : rows come oldest first; false: they are sorted in a temporary file.
    hold        : how long the source holds a value that it does not repeat, such as "1h".
    """

    time: str = "time"
    time_format: str = "iso"
    timezone: str = "UTC"
    delimiter: str = ","
    decimal: str = "."
    name: str = ""
    value: str = ""
    sorted: bool = True
    hold: str = ""


class Emoncms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an emoncms folder is like. hold: see Csv; needed for feeds with an interval above 15 minutes."""

    hold: str = ""


class HomeAssistant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a Home Assistant database or history export is like.

    table : states (as recorded, kept for days) or statistics (means of hours, kept for ever).
    hold  : see Csv; a state is written when it changes.
    """

    table: str = "states"
    hold: str = "1d"


class Influx(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an InfluxDB export, line protocol file or bucket is like.

    measurement : only this one; "" takes any.
    tags        : only points with these.
    org, bucket : of a live InfluxDB 2.
    hold        : see Csv.
    """

    measurement: str = ""
    tags: dict[str, str] = {}
    org: str = "heatpump"
    bucket: str = "sensor_data"
    hold: str = ""


Source = Csv | Emoncms | HomeAssistant | Influx
KINDS: dict[str, type[Source]] = {
    "csv": Csv,
    "emoncms": Emoncms,
    "homeassistant": HomeAssistant,
    "influx": Influx,
}


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One [quantity.NAME]: see Rule."""

    field: str
    unit: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    words: dict[str, float | bool] = {}
    missing: list[str] = []
    above: float | None = None
    use: str = ""


def _with_comma(text: str) -> float:
    """Read a number with a decimal comma. A point in it is of thousands, or of another system: no number."""
    if "." in text:
        raise ValueError(text)
    return float(text.replace(",", "."))


_READ: dict[str, Callable[[str], float]] = {".": float, ",": _with_comma}
"""How a number is read, by its decimal sign. Raises ValueError."""


class Rule(msgspec.Struct, frozen=True):
    """How one field becomes one quantity.

    scale, offset : ours = theirs · scale + offset.
    words         : what texts mean, in small letters; NaN is nothing.
    above         : a flag is true where the number is greater than this; None: the number is 0 or 1.
    use           : of a Home Assistant statistic: mean, min, max, state or sum.
    is_plain      : no word is a number, so a text that is one means itself.
    """

    quantity: str
    field: str
    scale: float
    offset: float
    words: dict[str, float]
    above: float | None
    use: str
    decimal: str
    is_plain: bool

    @property
    def is_counter(self) -> bool:
        """Tell a counter, whose value between two readings lies between theirs."""
        return BY_NAME[self.quantity].kind == "counter"

    def numbers(self, cells: Sequence[str], tally: Tally) -> Numbers:
        """Read texts as numbers; what is neither a number nor a known word is counted and missing."""
        if self.is_plain:
            with suppress(ValueError):
                return np.array(list(map(_READ[self.decimal], cells)))
        return np.array([self._number(cell, tally) for cell in cells])

    def _number(self, cell: str, tally: Tally) -> float:
        text = cell.strip()
        word = self.words.get(text.lower())
        if word is not None:
            return word
        try:
            return _READ[self.decimal](text)
        except ValueError:
            tally.remove(f"{self.quantity}: no number", repr(cell[:60]))
            return np.nan

    def convert(self, numbers: Numbers, tally: Tally) -> Numbers:
        """Bring numbers into our unit; what is infinite, there or here, is counted and missing."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = numbers * self.scale + self.offset
        endless = np.isinf(numbers) | np.isinf(values)
        if endless.any():
            tally.remove(f"{self.quantity}: not finite", str(numbers[endless][0]), int(endless.sum()))
        if self.above is not None:
            values = np.where(np.isnan(values), np.nan, values > self.above)
        return np.where(endless, np.nan, values)


class Mapping(msgspec.Struct, frozen=True):
    """A mapping file, read and checked. text: the file as it is, part of an import's identity."""

    name: str
    text: str
    source: Any
    hold_ms: int
    rules: tuple[Rule, ...]

    @property
    def fields(self) -> list[str]:
        """Name the fields wanted of the source, each once."""
        return list(dict.fromkeys(rule.field for rule in self.rules))


def not_there(mapping: Mapping, rule: Rule, lacks: str, known: Iterable[str]) -> ConfigError:
    """Say that the source has no such field. lacks: such as "is no feed in FOLDER"; known: what it has."""
    allowed = f"{lacks}; there are {some(known)}"
    return ConfigError(f"{mapping.name} [quantity.{rule.quantity}] field", rule.field, allowed)


def some(names: Iterable[str]) -> str:
    """List names for a person: the first 30 of them."""
    ordered = sorted(names)
    return ", ".join(ordered[:30] + ["…"] * (len(ordered) > 30)) or "none"


def load_mapping(path: Path, kind: str) -> Mapping:
    """Read a mapping file for a kind of source. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        tables = tomllib.loads(text)
    except OSError as error:
        raise ConfigError("--map", str(path), f"cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path.name, "", f"is no TOML: {error}") from None
    for name, body in tables.items():
        if name not in ("source", "quantity") or not isinstance(body, dict):
            allowed = "is no part of a mapping; [source] and [quantity.*] are"
            raise ConfigError(f"{path.name} {name}", name, allowed)
    source = _convert(f"{path.name} [source]", tables.get("source", {}), KINDS[kind])
    _check_source(path.name, source)
    entries = tables.get("quantity", {})
    if not entries:
        raise ConfigError(f"{path.name} [quantity.*]", "", "is missing; name the field of at least one quantity")
    decimal = getattr(source, "decimal", ".")
    rules = tuple(_rule(path.name, name, body, decimal) for name, body in entries.items())
    return Mapping(path.name, text, source, _hold_ms(path.name, source.hold), rules)


_UNKNOWN = "Object contains unknown field "
T = TypeVar("T", bound=msgspec.Struct)


def _convert(where: str, body: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        key = path.partition("[")[0].strip(".`")  # words[...] is one of the words
        value = body.get(key, "") if isinstance(body, dict) else body
        known = ", ".join(kind.__struct_fields__)
        if what.startswith(_UNKNOWN):
            key = what.removeprefix(_UNKNOWN).strip("`")
            raise ConfigError(f"{where} {key}", body[key], f"is no key here; the keys are {known}") from None
        allowed = f"cannot be used: {what}; the keys are {known}"
        raise ConfigError(f"{where} {key}".strip(), value, allowed) from None


def _check_source(name: str, source: Source) -> None:
    where = f"{name} [source]"
    if isinstance(source, Csv):
        if len(source.delimiter) != 1:
            raise ConfigError(f"{where} delimiter", source.delimiter, "must be one character")
        if source.decimal not in (".", ","):
            raise ConfigError(f"{where} decimal", source.decimal, 'must be "." or ","')
        if bool(source.name) != bool(source.value):
            raise ConfigError(f"{where} value", source.value, "name and value belong together: give both or none")
        if source.time_format not in ("iso", "unix", "unix_ms"):
            _check_format(where, source.time_format)
        if not is_zone(source.timezone):
            allowed = "must be an IANA time zone, such as Europe/Berlin"
            raise ConfigError(f"{where} timezone", source.timezone, allowed)
    if isinstance(source, HomeAssistant) and source.table not in ("states", "statistics"):
        raise ConfigError(f"{where} table", source.table, "must be states or statistics")


def _check_format(where: str, form: str) -> None:
    """Try a format: what it makes of a time, it must be able to read."""
    allowed = 'must be iso, unix, unix_ms or a format such as "%d.%m.%Y %H:%M"'
    if "%" not in form:
        raise ConfigError(f"{where} time_format", form, allowed)
    try:
        datetime.strptime(datetime(2024, 12, 31, tzinfo=UTC).strftime(form), form)  # noqa: DTZ007 (only tried)
    except (ValueError, re.error) as error:  # re.error: of a part that is named twice
        raise ConfigError(f"{where} time_format", form, f"{allowed}: {error}") from None


def _rule(name: str, quantity: str, body: Any, decimal: str) -> Rule:
    where = f"{name} [quantity.{quantity}]"
    if quantity not in MAPPABLE:
        allowed = f"is no quantity that can be imported; those are {', '.join(MAPPABLE)}"
        raise ConfigError(where, quantity, allowed)
    entry = _convert(where, body, _Entry)
    if not entry.field:
        raise ConfigError(f"{where} field", entry.field, "must name a field of the source")
    is_flag = quantity in FLAG_NAMES
    if entry.above is not None and not is_flag:
        raise ConfigError(f"{where} above", entry.above, f"is for flags, which are {', '.join(FLAGS)}")
    for key in ("scale", "offset", "above"):
        value = getattr(entry, key)
        if value is not None and not math.isfinite(value):
            raise ConfigError(f"{where} {key}", value, "must be a number that is neither nan nor inf")
    scale, offset = 1.0, 0.0
    if entry.unit is not None and is_flag:
        raise ConfigError(
            f"{where} unit", entry.unit, "is not for flags, which are true or false: see above and words"
        )
    if entry.unit is not None:
        units = units_for(quantity)
        if entry.unit not in units:
            known = ", ".join(unit or '""' for unit in units)
            raise ConfigError(f"{where} unit", entry.unit, f"cannot become {quantity}; it may be {known}")
        scale, offset = units[entry.unit]
    if entry.use not in ("", "mean", "min", "max", "state", "sum"):
        raise ConfigError(f"{where} use", entry.use, "must be mean, min, max, state or sum")
    words = {word.strip().lower(): float(value) for word, value in entry.words.items()}
    words |= {word.strip().lower(): np.nan for word in entry.missing}
    is_plain = not any(map(_is_number, words))
    words = {word: np.nan for word in MISSING} | (WORDS if is_flag else {}) | words
    # theirs · scale + offset of the mapping first, then the unit's.
    return Rule(
        quantity,
        entry.field,
        entry.scale * scale,
        entry.offset * scale + offset,
        words,
        entry.above,
        entry.use,
        decimal,
        is_plain,
    )


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _hold_ms(name: str, text: str) -> int:
    try:
        hold = duration_ms(text) if text else 0
    except ValueError as error:
        raise ConfigError(f"{name} [source] hold", text, str(error)) from None
    if hold > LONGEST_HOLD_MS:
        raise ConfigError(f"{name} [source] hold", text, "must be at most 7d")
    return hold
