"""A page with nothing but a ChartStack, served for a browser."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import panel as pn

from panel_app.charts.stack import ChartStack
from panel_app.tokens import Theme, css_variables

_TEMPLATE = """
{% extends base %}
{% block preamble %}<style>:root { VARIABLES } body { background: var(--card); color: var(--text); margin: 16px; }</style>{% endblock %}
{% block contents %}<main><h1>Charts</h1><h2>Last 24 hours</h2>{{ embed(roots.stack) }}</main>{% endblock %}
"""


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing listens on {port}")


@contextmanager
def served(make: Callable[[], tuple[ChartStack, Theme]]) -> Iterator[str]:
    """Serve a stack of its own, on a page of that theme, to every visit; gives the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def page() -> pn.Template:
        stack, theme = make()
        template = pn.Template(_TEMPLATE.replace("VARIABLES", css_variables(theme)))
        template.add_panel("stack", stack)
        return template

    server = pn.serve(page, port=port, address="127.0.0.1", show=False, threaded=True, title="charts")
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.stop()
        server.join(10)
