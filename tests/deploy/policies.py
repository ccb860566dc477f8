"""What NetworkPolicies let through, as Kubernetes defines it: both ends must allow a connection, if either is isolated."""

import ipaddress
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.deploy.chart import NAMESPACE, Object, Pod, of_kind, selects

Labels = dict[str, str]


class End(NamedTuple):
    """One end of a connection: a pod with its namespace's labels, or an address outside."""

    labels: Labels
    namespace: Labels
    address: str = ""


HERE = {"kubernetes.io/metadata.name": NAMESPACE}


def end(pod: Pod) -> End:
    """Give the end that a pod of the chart is."""
    return End(pod.labels, HERE)


def allows(objects: tuple[Object, ...], source: End, target: End, port: int, protocol: str = "TCP") -> bool:
    """Tell whether a connection passes: out of its source, and into its target."""
    return _direction(objects, "Egress", source, target, port, protocol) and _direction(
        objects, "Ingress", target, source, port, protocol
    )


def _direction(
    objects: tuple[Object, ...], direction: str, isolated: End, peer: End, port: int, protocol: str
) -> bool:
    if isolated.namespace != HERE:
        return True  # what others isolate is not the chart's
    found = [policy["spec"] for policy in of_kind(objects, "NetworkPolicy")]
    ours = [
        spec
        for spec in found
        if direction in spec["policyTypes"] and selects(isolated.labels, spec["podSelector"])
    ]
    if not ours:
        return True
    return any(
        _matches(rule, direction, peer, port, protocol) for spec in ours for rule in _rules(spec, direction)
    )


def _rules(spec: Object, direction: str) -> Iterator[Object]:
    yield from spec.get(direction.lower(), ())


def _matches(rule: dict[str, Any], direction: str, peer: End, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    if ports and not any(each["port"] == port and each["protocol"] == protocol for each in ports):
        return False
    peers = rule.get("to" if direction == "Egress" else "from")
    return not peers or any(_is_peer(each, peer) for each in peers)


def _is_peer(rule: Object, peer: End) -> bool:
    if "ipBlock" in rule:
        return bool(peer.address) and ipaddress.ip_address(peer.address) in ipaddress.ip_network(
            rule["ipBlock"]["cidr"]
        )
    if peer.address:
        return False
    if "namespaceSelector" in rule:
        if not selects(peer.namespace, rule["namespaceSelector"]):
            return False
    elif peer.namespace != HERE:
        return False
    return "podSelector" not in rule or selects(peer.labels, rule["podSelector"])
