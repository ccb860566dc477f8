"""The `heatpump` command's door: a health check goes past what every other command has to load."""

import os
import signal
import sys

ENDED_BY_TERM = 128 + signal.SIGTERM


def main() -> None:
    """Run a command."""
    if os.getpid() == 1:
        # A container's first process ignores what it has no handler for: until the command has set its own, a stop
        # would wait for the whole grace time.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(ENDED_BY_TERM))
    words = sys.argv[1:]
    if words[:1] == ["healthy"]:
        from flows.cli.probe import PROCESSES, report

        asked = [word for word in words[1:] if word != "--ready"]
        if len(asked) == 1 and asked[0] in PROCESSES:
            sys.exit(report(asked[0], len(words) > 2))
    from flows.cli.app import main as run

    run()
