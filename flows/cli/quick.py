"""The `heatpump` command's door: a health check goes past what every other command has to load."""

import sys


def main() -> None:
    """Run a command."""
    words = sys.argv[1:]
    if words[:1] == ["healthy"]:
        from flows.cli.probe import PROCESSES, report

        asked = [word for word in words[1:] if word != "--ready"]
        if len(asked) == 1 and asked[0] in PROCESSES:
            sys.exit(report(asked[0], len(words) > 2))
    from flows.cli.app import main as run

    run()
