"""heatpump panel: the analytics pages as a process."""

import http.client
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from flows.cli.options import AskedPort, Data, PanelPort

if TYPE_CHECKING:
    from flows.settings import Settings

SIMULATOR_LINE = "HEATPUMP_SIMULATOR_LINE"
"""Variable by which `up` tells its pages the command that plays a device: it knows broker and password."""

ANSWER_S = 2.0


def panel(
    data: Data = None,
    api_port: AskedPort = None,
    panel_port: PanelPort = None,
) -> int:
    """Serve the pages alone, for an API that is running.

    `heatpump up` starts them with everything else.

    Examples:
      heatpump panel --panel-port 5007
    """
    from flows.child import die_with_parent, log_to_stderr

    die_with_parent()
    log_to_stderr()

    import asyncio

    from api.guard import token_for
    from api.version import VERSION
    from flows.cli.checks import api_address
    from flows.cli.status import as_it_runs
    from flows.errors import ConfigError
    from flows.settings import load_settings
    from panel_app.serve import serve

    settings = load_settings(data=data, api_port=api_port, panel_port=panel_port)
    host, port = api_address(as_it_runs(settings) if api_port is None else settings)
    try:
        asyncio.run(
            serve(
                "127.0.0.1",
                settings.panel_port,
                f"http://{host}:{port}",
                token_for(settings) or "",
                VERSION,
                os.environ.get(SIMULATOR_LINE, ""),
                _demo_loader(),
            )
        )
    except OSError as error:
        raise ConfigError(
            "HEATPUMP_PANEL_PORT",
            settings.panel_port,
            f"cannot be used ({error.strerror}); choose another by --panel-port",
        ) from None
    return 0


def _demo_loader() -> Callable[[], None] | None:
    """Make what loads the demo: our supervisor does, where there is one, see its `Process.parked`."""
    from flows.child import PARENT

    parent = os.getppid()
    return (lambda: os.kill(parent, signal.SIGUSR1)) if os.environ.get(PARENT) == str(parent) else None


def panel_problem(settings: "Settings") -> str:
    """Ask for the pages' icon: unlike a page, it begins no session."""
    connection = http.client.HTTPConnection("127.0.0.1", settings.panel_port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/assets/icon.svg")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"does not answer at 127.0.0.1:{settings.panel_port}: {getattr(error, 'strerror', None) or error}"
    finally:
        connection.close()
    return "" if status == 200 else f"answers {status}"
