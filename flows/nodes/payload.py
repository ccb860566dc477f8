"""A well-formed reading, decoded in one go: types and spans of quantities.py are checked while its JSON is parsed.

What does not fit at once (another type, a value out of its span, a sentinel, NaN, an escape in a text) gives None:
then `decode` reads it field by field and `validate` judges each. Both ways give the same reading: a test holds
them to it.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from flows.model.quantities import QUANTITIES, Quantity
from flows.model.reading import Value
from flows.nodes.validate import SENTINELS

LEVEL_NAMES = ("voltage", "compressor_temp", "pressure_high", "pressure_low", "current")
ALL_WELL = dict.fromkeys(LEVEL_NAMES, 0)

Tree = dict[str, "Quantity | Tree"]


def quantity_tree() -> Tree:
    """Arrange the quantities of the payload as the payload does: groups, in them keys."""
    tree: Tree = {}
    for quantity in QUANTITIES:
        if quantity.path:
            *groups, key = quantity.path
            branch: Any = tree
            for group in groups:
                branch = branch.setdefault(group, {})
            branch[key] = quantity
    return tree


def _type(name: str, part: Quantity | Tree) -> Any:
    """Make the type of a quantity, or of a group of them: a Struct whose fields have the names of the payload."""
    if isinstance(part, dict):
        return msgspec.defstruct(
            name, [(key, _type(key, inner) | None, None) for key, inner in part.items()], gc=False
        )
    if part.kind == "flag":
        return bool | Literal[0, 1]
    return Annotated[float, msgspec.Meta(ge=part.low, le=part.high)]


def _may_be_sentinel(quantity: Quantity) -> bool:
    """Tell whether a sentinel lies within the span, and is one there."""
    return quantity.kind == "number" and any(quantity.low <= value <= quantity.high for value in SENTINELS)


def _flatten(tree: Tree) -> Callable[[Any], dict[str, Value]]:
    """Write the function that picks what is there from a payload, by stored name; nothing of one with a sentinel.

    Written out, like the `__init__` of a dataclass, it takes half the time of a loop over the same fields.
    """
    lines = ["def flatten(payload):", " values = {}"]

    def pick(part: Quantity | Tree, path: str, depth: int) -> None:
        inner = f"part{depth}"
        lines.append(f"{' ' * depth}{inner} = {path}")
        lines.append(f"{' ' * depth}if {inner} is not None:")
        if isinstance(part, Quantity):
            if _may_be_sentinel(part):
                lines.append(f"{' ' * depth} if {inner} in SENTINELS: return {{}}")
            value = f"{inner} == 1" if part.kind == "flag" else inner
            lines.append(f"{' ' * depth} values[{part.name!r}] = {value}")
        else:
            for key, deeper in part.items():
                pick(deeper, f"{inner}.{key}", depth + 1)

    for group, part in tree.items():
        pick(part, f"payload.{group}", 1)
    written: dict[str, Any] = {"SENTINELS": SENTINELS}
    exec("\n".join([*lines, " return values"]), written)
    flatten: Callable[[Any], dict[str, Value]] = written["flatten"]
    return flatten


TREE = quantity_tree()
_Level = Annotated[int, msgspec.Meta(ge=0, le=2)]
_Levels = msgspec.defstruct("Levels", [(name, _Level | None, None) for name in LEVEL_NAMES], gc=False)
_WELL = _Levels(**ALL_WELL)
_OTHERS = ("device", "timestamp", "boot_id", "seq", "version", "firmware_version")
_Payload = msgspec.defstruct(
    "Payload",
    [
        *((group, _type(group, part) | None, None) for group, part in TREE.items()),
        *((name, Any, None) for name in _OTHERS),
        ("alerts", _Levels | None, None),
        ("valid", dict[str, Any] | None, None),
    ],
    gc=False,
)
_decode = msgspec.json.Decoder(_Payload).decode
_values = _flatten(TREE)


def is_plain(text: bytes) -> bool:
    """Tell whether JSON is valid UTF-8 without escapes: what the decoder skips, it does not look at."""
    if text.find(b"\\") >= 0:  # in half the time of `in`
        return False
    try:
        return text.isascii() or bool(text.decode())
    except UnicodeDecodeError:
        return False


def decode_payload(text: bytes) -> tuple[Any, dict[str, Value]] | None:
    """Decode plain JSON: the payload with all but the quantities, and these by stored name, valid every one.

    None where it does not fit, holds a sentinel, or has no quantity at all.
    """
    try:
        payload = _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    values = _values(payload)
    return (payload, values) if values else None


def levels_of(payload: Any) -> dict[str, int]:
    """Give the alert levels of a decoded payload; one and the same dict where all is well."""
    levels = payload.alerts
    if levels is None:
        return {}
    if levels == _WELL:
        return ALL_WELL
    given = zip(LEVEL_NAMES, msgspec.structs.astuple(levels), strict=True)
    return {name: level for name, level in given if level is not None}
