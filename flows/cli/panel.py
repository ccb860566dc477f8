"""heatpump panel: the analytics pages as a process."""

from flows.cli.options import ApiPort, Data, PanelPort


def panel(
    data: Data = None,
    api_port: ApiPort = None,
    panel_port: PanelPort = None,
) -> int:
    """Serve the pages alone, for an API that is running.

    `heatpump up` starts them with everything else.

    Example:
      heatpump panel --panel-port 5007
    """
    from flows.child import die_with_parent, log_to_stderr

    die_with_parent()
    log_to_stderr()

    import asyncio

    from api.guard import token_for
    from api.version import VERSION
    from flows.errors import ConfigError
    from flows.settings import load_settings
    from panel_app.serve import serve

    settings = load_settings(data=data, api_port=api_port, panel_port=panel_port)
    host = "127.0.0.1" if settings.api_host == "0.0.0.0" else settings.api_host
    try:
        asyncio.run(
            serve(
                "127.0.0.1",
                settings.panel_port,
                f"http://{host}:{settings.api_port}",
                token_for(settings) or "",
                VERSION,
            )
        )
    except OSError as error:
        raise ConfigError(
            "HEATPUMP_PANEL_PORT",
            settings.panel_port,
            f"cannot be used ({error.strerror}); choose another by --panel-port",
        ) from None
    return 0
