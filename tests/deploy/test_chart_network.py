"""The chart's network policies let through what its containers are told to ask, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.deploy.chart import CHART, SETS, Object, Pod, environment, of_kind, pods, render, selects
from tests.deploy.policies import End, allows, end

pytestmark = pytest.mark.slow

POLICED = [path for path in SETS if "behind-a-proxy" not in path.name]
every_set = pytest.mark.parametrize("values", POLICED, ids=lambda path: path.stem)

PORTS = (22, 53, 80, 443, 1883, 5006, 8000, 8086, 8700, 8883, 8884, 9001, 9464)

STRANGER = End({"app": "stranger"}, {"kubernetes.io/metadata.name": "default"})
NEIGHBOUR = End({"app": "stranger"}, {"kubernetes.io/metadata.name": "heating"})
OUTSIDE = End({}, {}, "203.0.113.7")
DEVICE = End({}, {}, "198.51.100.7")
INGRESS = End({"app": "nginx"}, {"kubernetes.io/metadata.name": "ingress-nginx"})
PROMETHEUS = End({"app": "prometheus"}, {"kubernetes.io/metadata.name": "monitoring"})
GRAFANA = End({"app": "grafana"}, {"kubernetes.io/metadata.name": "grafana"})
ASSISTANT = End({"app": "home-assistant"}, {"kubernetes.io/metadata.name": "heating"})
DNS = End({"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"})
INFLUX = End({}, {}, "192.0.2.10")

ELSEWHERE = {
    "stranger": STRANGER, "neighbour": NEIGHBOUR, "outside": OUTSIDE, "device": DEVICE, "ingress": INGRESS,
    "prometheus": PROMETHEUS, "grafana": GRAFANA, "assistant": ASSISTANT, "dns": DNS, "influx": INFLUX,
}  # fmt: skip

OPENED = {
    "everything-values": {
        ("ingress", "api", 8000), ("ingress", "panel", 5006), ("prometheus", "flow", 9464), ("prometheus", "api", 8000),
        ("device", "mosquitto", 8883), ("device", "mosquitto", 1883), ("grafana", "influxdb", 8086),
        ("assistant", "mosquitto", 1883), ("assistant", "mosquitto", 9001),
    },
    "external-influxdb-values": {("flow", "influx", 8086), ("api", "influx", 8086)},
}  # fmt: skip
"""Edges to and from outside the chart that a set's values ask for, by part or name above."""

HOST_AND_PORT = (("MQTT_BROKER", "MQTT_PORT"),)


def asked(objects: tuple[Object, ...]) -> Iterator[tuple[str, str, int]]:
    """Give what containers are told to ask inside the chart: part, part, port."""
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "Service")}
    made = list(pods(objects))
    for pod in made:
        for container in pod.containers:
            told = environment(container)
            places = [(told[host], int(told[port])) for host, port in HOST_AND_PORT if host in told]
            for value in told.values():
                if re.match(r"https?://", value) and (url := urlsplit(value)).hostname in services:
                    places.append((str(url.hostname), url.port or 80))
            for host, port in places:
                spec = services[host]  # a name that is no service's would be a mistake of the chart
                to_ports = {target.ports()[each["targetPort"]] for target in made for each in spec["ports"]
                            if each["port"] == port and selects(target.labels, spec["selector"])}  # fmt: skip
                assert to_ports == {port}, (pod.name, host, port)
                yield from ((pod.part, one.part, port) for one in made if selects(one.labels, spec["selector"]))


def expected(values: Path, objects: tuple[Object, ...]) -> set[tuple[str, str, int]]:
    """Give every edge that should be open: those asked for, and names."""
    edges = {edge for edge in asked(objects) if edge[0] != edge[1]} | OPENED.get(values.stem, set())
    callers = {source for source, _, _ in edges} - set(ELSEWHERE)
    return edges | {(part, "dns", 53) for part in callers}


@every_set
def test_exactly_the_edges_of_the_environment_and_the_values_are_open(values: Path) -> None:
    objects = render(values)
    ends: dict[str, End] = {pod.part: end(pod) for pod in pods(objects)} | ELSEWHERE
    parts = {pod.part for pod in pods(objects)}
    found = {
        (source, target, port)
        for source in ends
        for target in ends
        for port in PORTS
        if source != target and {source, target} & parts
        if allows(objects, ends[source], ends[target], port)
    }
    assert found == expected(values, objects)
    for part in parts:
        assert allows(objects, ends[part], DNS, 53, "UDP") == ((part, "dns", 53) in found)


@every_set
def test_the_environment_names_the_edges_that_we_know(values: Path) -> None:
    """The other tests believe what is parsed; this one knows what must be in it."""
    edges = set(asked(render(values)))
    if "sqlite" in values.name:
        assert edges == {("flow", "mosquitto", 1883), ("panel", "flow", 8000)}
    else:
        assert edges >= {("flow", "mosquitto", 1883), ("api", "flow", 8700), ("panel", "api", 8000)}


@every_set
def test_the_command_port_is_reached_by_the_api_alone(values: Path) -> None:
    objects = render(values)
    made: dict[str, Pod] = {pod.part: pod for pod in pods(objects)}
    ends = {name: end(pod) for name, pod in made.items()} | ELSEWHERE
    reach = {
        name for name, one in ends.items() if name != "flow" and allows(objects, one, end(made["flow"]), 8700)
    }
    assert reach == (set() if "sqlite" in values.name else {"api"})


@every_set
def test_each_edge_has_a_policy_at_each_of_our_ends_with_its_name(values: Path) -> None:
    objects = render(values)
    names = {each["metadata"]["name"] for each in of_kind(objects, "NetworkPolicy")}
    for source, target, _ in expected(values, objects):
        if target != "dns" and source in ("flow", "panel") and target not in ELSEWHERE:
            wanted = f"{source}-to-{'api' if (source, target) == ('panel', 'flow') else target}"
            assert [name for name in names if name.endswith(f"{wanted}-egress")]
            assert [name for name in names if name.endswith(f"{wanted}-ingress")]


def test_without_policies_none_is_made() -> None:
    assert not of_kind(render(CHART / "ci" / "behind-a-proxy-values.yaml"), "NetworkPolicy")


def test_the_model_of_policies_knows_what_denies() -> None:
    objects = render(CHART / "ci" / "minimal-values.yaml")
    parts = {pod.part: end(pod) for pod in pods(objects)}
    without = tuple(each for each in objects if "api-to-flow-ingress" not in each["metadata"]["name"])
    assert len(without) == len(objects) - 1
    assert allows(objects, parts["api"], parts["flow"], 8700)
    assert not allows(without, parts["api"], parts["flow"], 8700)
    assert not allows(objects, parts["api"], parts["flow"], 8701)
    bare = tuple(each for each in objects if each["kind"] != "NetworkPolicy")
    assert allows(bare, STRANGER, parts["flow"], 8700)
