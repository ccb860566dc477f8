"""heatpump rebuild: begin anew from the journal."""

import typer

from flows.cli.options import Data


def rebuild(data: Data = None) -> None:
    """Compute all state anew from the journal.

    For when a start was refused. The flow must not run. Recovery state is set aside, not deleted; the store keeps
    what it has, a damaged one is set aside too; the next start replays the whole journal. Says what stays missing.

    Examples:
      heatpump rebuild

      heatpump rebuild --data /var/lib/heatpump
    """
    from flows.rebuild import rebuild as run
    from flows.settings import load_settings

    typer.echo(run(load_settings(data=data)))
