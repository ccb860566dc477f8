"""Points of many fields in whatever order, on disk until they are read field by field, oldest first."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from flows.history.points import BLOCK, Points, Series, ascending
from flows.history.tally import Tally
from flows.model.table import Numbers, Times

_POINT = np.dtype([("at", "<i8"), ("value", "<f8")])


class Spool:
    """Holds points in a folder, a file a field. Memory: one field at a time, and only where it is out of order."""

    def __init__(self, folder: Path, tally: Tally) -> None:
        self._folder, self._tally = folder, tally
        self._files: dict[str, BinaryIO] = {}
        self._last: dict[str, int] = {}
        self._unsorted: set[str] = set()

    def add(self, field: str, at: Times, values: Numbers) -> None:
        """Append points of a field, in any order."""
        if not len(at):
            return
        file = self._files.get(field)
        if file is None:
            file = self._files[field] = (self._folder / f"{len(self._files)}.points").open("w+b")
        if at[0] <= self._last.get(field, -1) or not (at[1:] > at[:-1]).all():
            self._unsorted.add(field)
        self._last[field] = max(int(at.max()), self._last.get(field, -1))
        points = np.empty(len(at), _POINT)
        points["at"], points["value"] = at, values
        file.write(points.tobytes())

    @property
    def fields(self) -> list[str]:
        """Name the fields that have points."""
        return list(self._files)

    def series(self, field: str) -> Series:
        """Read the points of a field, oldest first; of several at one time the last one stays."""
        file = self._files[field]
        file.flush()
        if field in self._unsorted:
            points = np.fromfile(file.name, _POINT)
            yield from _blocks(ascending(points["at"], points["value"], field, self._tally))
            return
        with open(file.name, "rb") as reader:
            while data := reader.read(BLOCK * _POINT.itemsize):
                points = np.frombuffer(data, _POINT)
                yield Points(points["at"].astype(np.int64), points["value"].astype(np.float64))

    def close(self) -> None:
        """Release the files."""
        for file in self._files.values():
            file.close()


def _blocks(points: Points) -> Iterator[Points]:
    for start in range(0, len(points.at), BLOCK):
        yield Points(points.at[start : start + BLOCK], points.values[start : start + BLOCK])
