"""A page with nothing but a ChartStack, served for a browser."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import panel as pn

from panel_app.charts.stack import ChartStack
from panel_app.tokens import Theme, css_variables

_TEMPLATE = """
{% extends base %}
{% block preamble %}<style>:root { VARIABLES } body { background: var(--card); margin: 16px; }</style>{% endblock %}
{% block contents %}<main><h1 hidden>Charts</h1>{{ embed(roots.stack) }}</main>{% endblock %}
"""


@contextmanager
def served(make: Callable[[], ChartStack], theme: Theme = "light") -> Iterator[str]:
    """Serve a stack of its own to every visit; gives the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def page() -> pn.Template:
        template = pn.Template(_TEMPLATE.replace("VARIABLES", css_variables(theme)))
        template.add_panel("stack", make())
        return template

    server = pn.serve(page, port=port, address="127.0.0.1", show=False, threaded=True, title="charts")
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.stop()
        server.join(10)
