"""fields: what a client may ask for by name, where the store keeps it, and its unit."""

from flows.errors import BadQuery
from flows.model.quantities import BY_NAME, ENERGY_COLUMNS, QUANTITIES, Quantity, rollup_columns
from flows.store.protocol import StoredDevice

MOST_FIELDS = 64


def _energy_unit(column: str) -> str:
    if column.startswith("seconds_"):
        return "s"
    return "kWh °C" if "_x_" in column else "kWh"


def _part_unit(quantity: Quantity, column: str) -> str:
    return quantity.unit if column.endswith(("_mean", "_min", "_max")) else ""


COLUMN_UNITS: dict[str, str] = {
    "count": "",
    **{column: _part_unit(q, column) for q in QUANTITIES for column in rollup_columns(q)},
    **{column: _energy_unit(column) for column in ENERGY_COLUMNS},
}
"""Columns of a rollup row that can be asked for by themselves, with their units."""

_QUANTITY_OF: dict[str, Quantity] = {column: q for q in QUANTITIES for column in rollup_columns(q)}


def unit_of(field: str) -> str:
    """Give the unit of a quantity or column, "" of ratios and counts."""
    return BY_NAME[field].unit if field in BY_NAME else COLUMN_UNITS[field]


def asked_fields(text: str | None, device: StoredDevice) -> list[str]:
    """Read a comma-separated list; without one: every quantity the device ever sent. Raises BadQuery."""
    if text is None:
        return [quantity.name for quantity in QUANTITIES if quantity.name in device.latest]
    fields = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not 1 <= len(fields) <= MOST_FIELDS:
        raise BadQuery("fields", text[:200], f"must name 1 to {MOST_FIELDS} fields, separated by commas")
    for name in fields:
        if name not in BY_NAME and name not in COLUMN_UNITS:
            raise BadQuery(
                "fields", name[:80], "is no quantity or rollup column; see docs/reference/quantities.md"
            )
    return fields


def columns_of_rollups(fields: list[str]) -> list[str]:
    """Name the columns of rollup rows that fields are made of; those of one quantity always together."""
    columns: dict[str, None] = {}
    for name in fields:
        quantity = BY_NAME.get(name) or _QUANTITY_OF.get(name)
        columns.update(dict.fromkeys(rollup_columns(quantity) if quantity else (name,)))
    return list(dict.fromkeys(["count", "heat_source", *columns]))


def coverage_column(field: str) -> str | None:
    """Name the column that says how much of a bucket a field covers; None of energies and counts."""
    quantity = BY_NAME.get(field) or _QUANTITY_OF.get(field)
    return f"{quantity.name}_coverage" if quantity else None


def refuse_rollup_columns(fields: list[str]) -> None:
    """Raise BadQuery where a field exists in rollups only."""
    for name in fields:
        if name not in BY_NAME:
            raise BadQuery("fields", name, "exists in rollups only: ask resolution 1m, 1h or 1d")


def any_in_rollups_only(fields: list[str]) -> bool:
    """Tell whether some field does not exist in raw rows."""
    return any(name not in BY_NAME for name in fields)
