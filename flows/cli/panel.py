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

    `heatpump up` starts them with everything else. Beyond loopback (HEATPUMP_PANEL_HOST) they stand behind a proxy
    that is one origin with the API, where readers log in.

    Examples:
      heatpump panel --panel-port 5007
      HEATPUMP_PANEL_HOST=0.0.0.0 HEATPUMP_API_URL=http://backend:8000 heatpump panel
    """
    from flows.child import die_with_parent, log_to_stderr

    die_with_parent()
    log_to_stderr()

    import asyncio

    from api.version import VERSION
    from flows.cli.checks import api_address
    from flows.cli.status import as_it_runs
    from flows.errors import ConfigError
    from flows.settings import load_settings
    from panel_app.serve import serve

    settings = load_settings(data=data, api_port=api_port, panel_port=panel_port)
    host, port = api_address(as_it_runs(settings) if api_port is None else settings)
    shown = f"[{host}]" if ":" in host else host
    try:
        asyncio.run(
            serve(
                settings.panel_host,
                settings.panel_port,
                settings.api_url or f"http://{shown}:{port}",
                VERSION,
                [origin.strip().rstrip("/") for origin in settings.panel_origins.split(",") if origin.strip()],
                _own_token(settings),
                os.environ.get(SIMULATOR_LINE, ""),
                _demo_loader(),
            )
        )
    except OSError as error:
        raise ConfigError(
            "HEATPUMP_PANEL_PORT",
            f"{settings.panel_host}:{settings.panel_port}",
            f"cannot be used ({error.strerror}); choose another by --panel-port or HEATPUMP_PANEL_HOST",
        ) from None
    return 0


def _own_token(settings: "Settings") -> str:
    """Give what the API is asked with for who is on this machine; beyond it everybody shows his own session."""
    from api.guard import token_for
    from flows.cli.checks import api_token_of
    from flows.loopback import is_loopback

    if not is_loopback(settings.panel_host):
        return ""
    return api_token_of(settings) if settings.api_url else token_for(settings) or ""


def _demo_loader() -> Callable[[], None] | None:
    """Make what loads the demo: our supervisor does, where there is one, see its `Process.parked`."""
    from flows.child import PARENT

    parent = os.getppid()
    return (lambda: os.kill(parent, signal.SIGUSR1)) if os.environ.get(PARENT) == str(parent) else None


def panel_problem(settings: "Settings") -> str:
    """Ask for the pages' icon: unlike a page, it begins no session."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.panel_host, settings.panel_host)
    connection = http.client.HTTPConnection(host, settings.panel_port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/assets/icon.svg")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"does not answer at {host}:{settings.panel_port}: {getattr(error, 'strerror', None) or error}"
    finally:
        connection.close()
    return "" if status == 200 else f"answers {status}"
