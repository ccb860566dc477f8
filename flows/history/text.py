"""Text files, gzipped or not, and what is said of one that cannot be read to its end."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, cast

from flows.errors import ConfigError

NO_TEXT = (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError, zlib.error)
"""What reading a text may raise that is none, or whose gzip is harmed or cut off."""


def open_text(path: Path) -> IO[str]:
    """Open a text file, gzipped or not."""
    return io.TextIOWrapper(_open(path), encoding="utf-8-sig", newline="")


def _open(path: Path) -> IO[bytes]:
    file = path.open("rb")
    if file.peek(2)[:2] != b"\x1f\x8b":
        return file
    file.close()
    return cast(IO[bytes], gzip.open(path))


def check_text(path: Path, delimiter: str) -> None:
    """Read a CSV once to its end: one that cannot be is refused before anything of it is sent.

    A quote that is never closed would make one cell of all rows after it. Raises ConfigError.
    """
    with open_text(path) as file:
        lines: list[str] = []
        row: list[str] = []
        rows = csv.reader(_noted(file, lines), delimiter=delimiter)
        try:
            for _ in rows:
                row = lines.copy()
                lines.clear()
            if row and _is_open(row, delimiter):
                first = rows.line_num - len(row) + 1
                allowed = f"is no CSV file: a quote in line {first} is never closed: {row[0].strip()[:60]!r}"
                raise ConfigError("source", str(path), allowed)
        except csv.Error as error:
            first = rows.line_num - len(lines) + 1  # of the row: a quote makes it as long as can be
            raise ConfigError("source", str(path), f"is no CSV file: {error} in line {first}") from None
        except NO_TEXT as error:
            raise no_text(path, error, "no CSV file in UTF-8") from None


def _noted(lines: Iterable[str], noted: list[str]) -> Iterator[str]:
    for line in lines:
        noted.append(line)
        yield line


def _is_open(lines: list[str], delimiter: str) -> bool:
    """Tell whether a row ends within quotes."""
    try:
        list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False


def no_text(path: Path, error: Exception, what: str) -> ConfigError:
    """Say in words that a file is no text, as NO_TEXT has it, and where. what: it should be."""
    whole, line = 0, b""
    try:
        with _open(path) as file:
            for line in file:
                line.decode()
                whole += 1
    except UnicodeDecodeError as wrong:
        strange, before = line[wrong.start : wrong.end], line[: wrong.start][-40:]
        said = f"is {what}: line {whole + 1} has {strange!r} after {before!r}"
    except EOFError:
        said = f"is a gzip that is cut off after line {whole}: take another copy"
    except (gzip.BadGzipFile, zlib.error) as harm:
        said = f"is a gzip that is damaged after line {whole} ({harm}): take another copy"
    else:
        said = f"is {what}: {error}"
    return ConfigError("source", str(path), said)
