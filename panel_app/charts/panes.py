"""The table of charts: which quantities share an axis, and how each is drawn. A new quantity is one row here."""

from typing import Literal

import msgspec

from flows.model.quantities import BY_NAME, Quantity

Mark = Literal["line", "area"]


class Trace(msgspec.Struct, frozen=True):
    """One quantity in a chart; its colour, label and unit are those of quantities.py.

    dash : on, off, … of its line; () is solid. [px]
    mark : area also fills to zero.
    """

    name: str
    dash: tuple[int, ...] = ()
    mark: Mark = "line"

    @property
    def quantity(self) -> Quantity:
        """Its row in the table of quantities."""
        return BY_NAME[self.name]


class Pane(msgspec.Struct, frozen=True):
    """One chart.

    unit, scale : of its axis, and by what a quantity's unit is multiplied to give it.
    digits      : of values in the read-out.
    floor       : the smallest range of its axis, in `unit`.
    usual       : the range while there is nothing to show, in `unit`.
    height      : of the drawing, without the space above and below. [px]
    with_zero   : whether the axis always has zero.
    ratio       : heat and electricity whose ratio (COP) stands in the read-out.
    """

    key: str
    title: str
    unit: str
    traces: tuple[Trace, ...]
    floor: float
    usual: tuple[float, float]
    height: int
    scale: float = 1.0
    digits: int = 1
    with_zero: bool = False
    ratio: tuple[str, str] | None = None


class Lane(msgspec.Struct, frozen=True):
    """One row of bars: when something was on.

    kind  : of the episodes that say so; "" where only the flag does.
    flag  : the quantity that says so now.
    times : what is counted, one and more: seen starts of cycles, bars of others.
    """

    key: str
    kind: str
    flag: str
    times: tuple[str, str]


PANES: tuple[Pane, ...] = (
    Pane(
        "water",
        "Water",
        "°C",
        (
            Trace("temp_outlet"),
            Trace("temp_inlet"),
            Trace("temp_dhw", dash=(5, 3)),
            Trace("setpoint_flow", dash=(1, 3)),
        ),
        floor=5.0,
        usual=(20.0, 50.0),
        height=140,
    ),
    Pane("outdoor", "Outdoor", "°C", (Trace("temp_ambient"),), floor=5.0, usual=(-5.0, 15.0), height=50),
    Pane(
        "power",
        "Power",
        "kW",
        (Trace("heat_power", mark="area"), Trace("power")),
        floor=1.0,
        usual=(0.0, 4.0),
        height=130,
        scale=0.001,
        digits=2,
        with_zero=True,
        ratio=("heat_power", "power"),
    ),
)

LANES: tuple[Lane, ...] = (
    Lane("compressor", "cycle", "compressor_running", ("start", "starts")),
    Lane("defrost", "defrost", "defrost_active", ("×", "×")),
    Lane("dhw", "dhw_run", "dhw_active", ("run", "runs")),
    Lane("backup", "", "backup_active", ("×", "×")),
)


def fields_of(panes: tuple[Pane, ...] = PANES) -> tuple[str, ...]:
    """Name the fields to ask of `/series` for these charts and all lanes."""
    drawn = (trace.name for pane in panes for trace in pane.traces)
    return tuple(dict.fromkeys((*drawn, *(lane.flag for lane in LANES))))
