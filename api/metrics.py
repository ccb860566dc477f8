"""What the API tells Prometheus: requests by route, live connections, and whether store and broker are there."""

import time
from collections.abc import Iterable

from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.deps import Context
from flows.errors import StoreError
from flows.exposition import registry_of
from flows.queries.dead_letters import MOST_WAITING, waiting

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
OTHER = "other"
"""The route of what none takes, and of what is refused before one is looked for; a method of none of ours."""
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LETTERS_EVERY_S = 60.0
"""How often dead letters are counted. [s]"""


class ApiMetrics(Collector):
    """All of them, of one app."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.registry = registry_of("api")
        labels = ("route", "method")
        self._requests = Counter(
            "heatpump_api_requests", "Requests answered.", (*labels, "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "heatpump_api_request_seconds",
            "Time until an answer was sent whole. [s]",
            labels,
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._letters, self._letters_at = 0, -LETTERS_EVERY_S
        self.registry.register(self)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request. route: as it is declared, with its parameters' names."""
        method = method if method in METHODS else OTHER
        self._requests.labels(route, method, status).inc()
        self._seconds.labels(route, method).observe(seconds)

    def collect(self) -> Iterable[Metric]:
        """Tell how things are now; asks the store."""
        hub, feed, has_store = self._context.hub, self._context.feed, self._has_store()
        yield _gauge("websocket_clients", "WebSockets that are open.", len(hub.clients))
        text = "Live messages not sent to clients that read too slowly."
        yield CounterMetricFamily("heatpump_api_websocket_dropped", text, value=hub.dropped)
        yield InfoMetricFamily(
            "heatpump_api_store", "Which store is in use; always 1.", {"kind": self._context.settings.store_kind}
        )
        yield _gauge("store_connected", "1 while the store answers.", has_store)
        yield _gauge(
            "mqtt_connected", "1 while live messages are subscribed.", feed is not None and feed.connected
        )
        again = 0 if feed is None else max(0, feed.subscriptions - 1)
        text = "How often live messages were subscribed anew after a loss."
        yield CounterMetricFamily("heatpump_api_mqtt_reconnects", text, value=again)
        is_heard = feed is not None and feed.flow_running
        yield _gauge("flow_heard", "1 while the flow publishes its counters.", is_heard)
        text = f"Dead letters that are open, at most {MOST_WAITING}; counted once a minute."
        yield GaugeMetricFamily("heatpump_dead_letters_waiting", text, value=self._waiting(has_store))

    def _has_store(self) -> bool:
        try:
            self._context.reader.ping()
        except StoreError:
            return False
        return True

    def _waiting(self, has_store: bool) -> int:
        now = time.monotonic()
        if has_store and now - self._letters_at >= LETTERS_EVERY_S:
            try:
                self._letters, self._letters_at = waiting(self._context.reader), now
            except StoreError:
                pass  # what was counted last stands
        return self._letters


class Counted:
    """Middleware, around all others: counts every HTTP request."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, and take its time."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", OTHER)
            self._metrics.answered(route, scope["method"], status, time.perf_counter() - began)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"heatpump_api_{name}", text, value=value)
