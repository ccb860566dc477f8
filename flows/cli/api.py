"""heatpump api: the REST and WebSocket API alone."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Data


def api(
    data: Data = None,
    port: Annotated[int | None, typer.Option(help="Port; else HEATPUMP_API_PORT, else 8000.")] = None,
    store: Annotated[Path | None, typer.Option(help="A store to serve; by default the data folder's.")] = None,
) -> int:
    """Serve REST and WebSocket from a store.

    Examples:
      heatpump api --port 8080

      heatpump api --store day.sqlite
    """
    from flows.child import die_with_parent, log_to_stderr

    die_with_parent()
    log_to_stderr()

    from api.serve import main
    from flows.settings import load_settings

    return main(load_settings(data=data, api_port=port), store)
