"""The metrics port: GET /metrics with a token; GET /healthz and /readyz for probes, without one.

It is there from the start on, also while the flow still waits for its store: nothing may take that for dead.
"""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry

from flows.exposition import exposed, registry_of
from flows.http_port import Answer, Handler, Refused, Server, opened
from flows.journal.writer import Journal
from flows.secrets import read_or_create
from flows.settings import Settings
from flows.telemetry.meter import Meter
from flows.telemetry.metrics import FlowMetrics


class MetricsPort:
    """Serves in threads of its own; see `begin`."""

    def __init__(self, settings: Settings, meter: Meter) -> None:
        """Listen. Raises ConfigError if there is no such address, or the port is taken."""
        token = settings.metrics_token.get_secret_value()
        token = token or read_or_create(settings.data / "secrets" / "metrics-token")
        address = settings.metrics_host, settings.metrics_port
        self._metrics, registry = FlowMetrics(meter, settings.store_kind), registry_of("flow")
        registry.register(self._metrics)
        self._server = opened("HEATPUMP_METRICS", address, lambda at: _Server(at, _Handler, token))
        self._server.registry = registry
        self._server.is_ready = lambda: False
        self._server.serve("metrics-port")

    def begin(self, told: Callable[[], dict[str, Any]], journal: Journal, is_ready: Callable[[], bool]) -> None:
        """Tell all there is from now on. is_ready: whether readings come and are stored."""
        self._metrics.journal, self._metrics.told = journal, told
        self._server.is_ready = is_ready

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    def stop(self) -> None:
        """Stop listening."""
        self._server.end()


class _Server(Server):
    registry: CollectorRegistry
    is_ready: Callable[[], bool]


class _Handler(Handler):
    server: _Server
    token_name = "HEATPUMP_METRICS_TOKEN, or else of secrets/metrics-token,"

    def do_GET(self) -> None:
        """Tell."""
        self.answer(self._told, is_open=self.path in ("/healthz", "/readyz"))

    def _told(self) -> Answer:
        if self.path == "/metrics":
            return Answer(200, *exposed(self.server.registry, self.headers.get("Accept", "")))
        if self.path == "/readyz" and not self.server.is_ready():
            return Answer(503, b"not ready\n", "text/plain; charset=utf-8")
        if self.path in ("/healthz", "/readyz"):
            return Answer(200, b"ok\n", "text/plain; charset=utf-8")
        raise Refused(404, f"there is no {self.path[:80]!r}; GET /metrics, /healthz and /readyz")
