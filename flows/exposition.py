"""What every process of ours tells Prometheus, and how: docs/reference/metrics.md."""

from importlib.metadata import version

from prometheus_client import CollectorRegistry, Info, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder


def registry_of(process: str) -> CollectorRegistry:
    """Make a registry with what is known of any process: its build, processor time, memory, open files."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each: nobody asks when a counter began
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    build = Info("heatpump_build", "What runs; always 1.", registry=registry)
    build.info({"process": process, "version": version("heat-pump-monitor")})
    return registry


def exposed(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Give all metrics, and their content type: OpenMetrics where it is asked for, else the text format."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
