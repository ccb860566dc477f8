"""heatpump healthy: one process, for the health checks of containers."""

from enum import StrEnum
from typing import Annotated

import typer


class Which(StrEnum):
    """The processes that can be asked."""

    flow = "flow"
    api = "api"
    panel = "panel"


def healthy(
    process: Annotated[Which, typer.Argument(help="Which of them.")],
    ready: Annotated[bool, typer.Option("--ready", help="Does its work just now, too.")] = False,
) -> int:
    """Say in one line whether a process on this machine is alive: exit code 0, else 1.

    Alive is what answers. A store or a broker that is away is no reason to restart anything: what arrives is kept.
    With --ready it must also do its work: the flow subscribed and storing, the API with its store, the pages with
    the API.

    Examples:
      heatpump healthy flow

      heatpump healthy api --ready
    """
    from flows.cli.probe import report

    return report(process.value, ready)
