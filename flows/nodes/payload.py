"""A well-formed reading, decoded in one go: types and spans of quantities.py are checked while its JSON is parsed.

What does not fit at once (another type, a value out of its span, a sentinel, NaN, an escape in a text) gives None:
then `decode` reads it field by field and `validate` judges each. Both ways give the same reading: a test holds
them to it.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import groupby
from struct import Struct
from struct import error as StructError
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec

from flows.model.cells import NAN, NOTHING, NOTHING_DERIVED, TREE, Tree
from flows.model.quantities import Quantity
from flows.nodes.validate import SENTINELS

T = TypeVar("T")

_TEXTS, _LONGEST = 1_000, 1_000
"""How many texts of a part are remembered, and of what length at most."""

LEVEL_NAMES = ("voltage", "compressor_temp", "pressure_high", "pressure_low", "current")
ALL_WELL = dict.fromkeys(LEVEL_NAMES, 0)

_GROUPS: dict[str, Any] = {}
"""Types of groups, by their keys joined by _."""


def _type(name: str, part: Quantity | Tree) -> Any:
    """Make the type of a quantity, or of a group of them: a Struct whose fields have the names of the payload."""
    if isinstance(part, dict):
        fields = [(key, _type(f"{name}_{key}", inner) | None, _default(inner)) for key, inner in part.items()]
        _GROUPS[name] = msgspec.defstruct(name, fields, gc=False)
        return _GROUPS[name]
    if part.kind == "flag":
        return bool | Literal[0, 1]
    return Annotated[float, msgspec.Meta(ge=part.low, le=part.high)]


def _default(part: Quantity | Tree) -> float | None:
    return NAN if isinstance(part, Quantity) else None


def _may_be_sentinel(quantity: Quantity) -> bool:
    """Tell whether a sentinel lies within the span, and is one there."""
    return quantity.kind == "number" and any(quantity.low <= value <= quantity.high for value in SENTINELS)


Pack = Callable[..., bytes]


def _strict(width: int) -> Pack:
    """Lay numbers out. Raises StructError for a null."""
    return Struct(f"{width}d").pack


def _lenient(width: int) -> Pack:
    """Lay numbers out, NaN for a null."""
    pack = _strict(width)
    return lambda *row: pack(*[NAN if value is None else value for value in row])


def _layer(tree: Tree, packer: Callable[[int], Pack]) -> Callable[[Any], bytes]:
    """Write the function that lays a payload's quantities out in the order of cells.SENT; b"" of a sentinel.

    packer : makes what lays so many numbers out. Written out, like the `__init__` of a dataclass, the function
             is faster than a loop over the same fields; a group that is not there costs next to nothing.
    """
    known: dict[str, Any] = {"astuple": msgspec.structs.astuple, "SENTINELS": SENTINELS}
    lines, parts = ["def lay(payload):"], []

    def pick(part: Tree, path: str, name: str) -> None:
        quantities = [(key, inner) for key, inner in part.items() if isinstance(inner, Quantity)]
        doubtful = [f"{name}.{key} in SENTINELS" for key, quantity in quantities if _may_be_sentinel(quantity)]
        refuse = [f"if {' or '.join(doubtful)}: return b''"] if doubtful else []
        lines.append(f" {name} = {path}")
        if len(quantities) == len(part):
            parts.append(name)
            known[f"pack_{name}"], known[f"no_{name}"] = packer(len(part)), NOTHING[: 8 * len(part)]
            lines.append(f" if {name} is None: {name} = no_{name}")
            lines.append(" else:")
            lines.extend(f"  {line}" for line in [*refuse, f"{name} = pack_{name}(*astuple({name}))"])
            return
        known[f"no_{name}"] = _GROUPS[name]()
        lines.append(f" if {name} is None: {name} = no_{name}")
        lines.extend(f" {line}" for line in refuse)
        for is_quantity, run in groupby(part.items(), lambda item: isinstance(item[1], Quantity)):
            keys = [key for key, _ in run]
            if is_quantity:
                known[f"pack_{name}_{keys[0]}"] = packer(len(keys))
                parts.append(f"pack_{name}_{keys[0]}({', '.join(f'{name}.{key}' for key in keys)})")
                continue
            for key in keys:
                inner = part[key]
                assert isinstance(inner, dict)
                pick(inner, f"{name}.{key}", f"{name}_{key}")

    for group, part in tree.items():
        assert isinstance(part, dict)
        pick(part, f"payload.{group}", group)
    known["rest"] = NOTHING_DERIVED
    exec("\n".join([*lines, f" return b''.join(({', '.join(parts)}, rest))"]), known)
    lay: Callable[[Any], bytes] = known["lay"]
    return lay


_OTHERS = ("device", "timestamp", "boot_id", "seq", "version", "firmware_version")
_Payload: Any = msgspec.defstruct(
    "Payload",
    [
        *((group, _type(group, part) | None, None) for group, part in TREE.items()),
        *((name, Any, None) for name in _OTHERS),
        *((name, msgspec.Raw, msgspec.Raw()) for name in ("alerts", "valid")),
    ],
    gc=False,
)
_decode = msgspec.json.Decoder(_Payload).decode
_decode_all = msgspec.json.Decoder(list[_Payload]).decode
_lay, _lay_with_nulls = _layer(TREE, _strict), _layer(TREE, _lenient)


def is_plain(text: bytes) -> bool:
    """Tell whether JSON is valid UTF-8 without escapes: what the decoder skips, it does not look at."""
    if text.find(b"\\") >= 0:  # in half the time of `in`
        return False
    try:
        return text.isascii() or bool(text.decode())
    except UnicodeDecodeError:
        return False


def decode_payload(text: bytes) -> Any | None:
    """Decode plain JSON of one reading; None where it does not fit."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def decode_payloads(text: bytes) -> list[Any] | None:
    """Decode plain JSON of an array of readings at once; None where one does not fit."""
    try:
        found: list[Any] = _decode_all(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return found


def cells_of(payload: Any) -> bytes:
    """Lay out the quantities of a decoded payload; nothing (b"") of one with a sentinel, or without any."""
    try:
        cells = _lay(payload)
    except StructError:
        cells = _lay_with_nulls(payload)
    return b"" if cells == NOTHING else cells


def levels_of(sent: object) -> dict[str, int]:
    """Read the alert levels that a device reports; one and the same dict where all is well."""
    if not isinstance(sent, dict):
        return {}
    given = ((name, sent.get(name)) for name in LEVEL_NAMES)
    found = {name: int(level) for name, level in given if isinstance(level, int | float) and level in (0, 1, 2)}
    return ALL_WELL if found == ALL_WELL else found


def untrusted(sent: object) -> tuple[str, ...]:
    """Name the fields that a device itself calls invalid."""
    return tuple([name for name, ok in sent.items() if ok is False]) if isinstance(sent, dict) else ()


class Known(Generic[T]):
    """Reads a part of a payload by its text: most readings of a fleet say the same there.

    read : what a part that was decoded means.
    """

    def __init__(self, read: Callable[[object], T]) -> None:
        self._read = lambda text: read(msgspec.json.decode(text or b"null"))
        self._remembered = lru_cache(_TEXTS)(self._read)
        self._text, self._found = msgspec.Raw(), read(None)

    def __call__(self, part: msgspec.Raw) -> T:
        """Read a part, empty where there is none. Raises msgspec.DecodeError, RecursionError."""
        if part != self._text:
            text = bytes(part)
            found = (self._remembered if len(text) < _LONGEST else self._read)(text)
            self._text, self._found = msgspec.Raw(text), found
        return self._found
