"""What comes of a source."""

from pathlib import Path

from flows.history.mapping import load_mapping
from flows.history.source import opened
from flows.history.tally import Tally

T = 1_728_540_000_000  # 2024-10-10T06:00Z
MINUTE = 60_000


class Read:
    """What came of a source: values by time, NaN left out, and the tally."""

    def __init__(self, kind: str, source: Path | str, mapping: str, folder: Path) -> None:
        path = folder / "map.toml"
        path.write_text(mapping)
        self.tally = Tally()
        self.rows: dict[int, dict[str, float]] = {}
        with opened(kind, str(source), load_mapping(path, kind), self.tally) as tables:
            for table in tables:
                assert not self.rows or not len(table.at) or table.at[0] > max(self.rows)
                for at, values in zip(table.at.tolist(), table.values.tolist(), strict=True):
                    self.rows[at] = {n: v for n, v in zip(table.names, values, strict=True) if v == v}
