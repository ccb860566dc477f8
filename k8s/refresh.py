"""Renew what the chart takes from elsewhere: the broker's files, and the table of values in README.md.

.venv/bin/python k8s/refresh.py
"""

import re
from collections.abc import Iterator
from pathlib import Path

CHART = Path(__file__).parent / "heat-pump"
BROKER = Path(__file__).parent.parent / "deploy" / "mosquitto"
BROKER_FILES = ("mosquitto.conf", "run.sh", "health.sh")
"""Helm reads no file outside the chart, and tells of every symbolic link in it: so these are copies."""

BEGIN, END = "<!-- values -->\n", "<!-- /values -->\n"


def values() -> Iterator[tuple[str, str, str]]:
    """Give each documented value of values.yaml: its name with dots, its default as written, its comment."""
    path: list[tuple[int, str]] = []
    comment = ""
    lines = (CHART / "values.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if text := re.match(r" *# -- (.*)", line):
            comment = text[1]
        elif found := re.match(r"( *)([A-Za-z]+):(?: (.*))?$", line):
            indent, name, default = len(found[1]), found[2], found[3] or ""
            path = [each for each in path if each[0] < indent] + [(indent, name)]
            if comment:
                inside = "" if default else "; ".join(_block(lines[number + 1 :], indent))
                assert default or inside, name
                yield ".".join(each for _, each in path), default or inside, comment
                comment = ""


def _block(lines: list[str], indent: int) -> Iterator[str]:
    for line in lines:
        if not line.strip() or len(line) - len(line.lstrip()) <= indent:
            return
        yield line.strip()


def table() -> str:
    """Give README's table of values."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    rows += [f"| `{name}` | `{default}` | {comment} |" for name, default, comment in values()]
    return "\n".join(rows) + "\n"


def readme() -> str:
    """Give README.md as it should be."""
    text = (CHART / "README.md").read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


def main() -> None:
    """Write all of it."""
    (CHART / "files").mkdir(exist_ok=True)
    for name in BROKER_FILES:
        (CHART / "files" / name).write_bytes((BROKER / name).read_bytes())
    (CHART / "README.md").write_text(readme())


if __name__ == "__main__":
    main()
