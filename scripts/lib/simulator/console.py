"""What is said to people."""

from __future__ import annotations

import sys
from typing import Any


def say(line: str, to: Any = None) -> None:
    """Print one line whole: several threads print here."""
    out = to or sys.stdout
    out.write(line + "\n")
    out.flush()


def complain(sentence: str) -> None:
    say("simulate_device.py: " + sentence, to=sys.stderr)
