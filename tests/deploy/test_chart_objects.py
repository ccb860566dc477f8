"""Every set of values of the chart gives objects that Kubernetes takes and that fit together."""

import functools
import re
from collections import Counter
from pathlib import Path

import kubernetes_validate
import pytest

from tests.deploy.chart import (
    CHART,
    NAMESPACE,
    SETS,
    TEMPLATED,
    VERSIONS,
    environment,
    helm,
    of_kind,
    pods,
    render,
    selects,
)

pytestmark = pytest.mark.slow

CUSTOM = ("ServiceMonitor", "PrometheusRule")
"""Kinds that the Prometheus operator brings."""

# It reads 1.5 MB of definitions anew for each object.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

every_set = pytest.mark.parametrize("values", SETS, ids=lambda path: path.stem)


def test_there_are_at_least_four_sets_and_no_two_give_the_same() -> None:
    assert len(SETS) >= 4
    given = [repr(render(values)) for values in SETS]
    assert len(set(given)) == len(given)


@every_set
def test_helm_finds_nothing_to_say_about_it(values: Path) -> None:
    done = helm("lint", "--strict", CHART, "-f", values)
    assert done.returncode == 0, done.stdout + done.stderr
    said = [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if "[" in line and "icon is recommended" not in line
    ]
    assert not said


@every_set
@pytest.mark.parametrize("version", VERSIONS)
def test_each_object_is_one_that_this_kubernetes_knows(values: Path, version: str) -> None:
    known = [each for each in render(values, version) if each["kind"] not in CUSTOM]
    assert len(known) >= 10
    for each in known:
        assert kubernetes_validate.validate(each, version, strict=True) == version.rpartition(".")[0]


@every_set
def test_each_object_has_one_name_in_the_namespace_and_our_labels(values: Path) -> None:
    objects = render(values)
    names = Counter((each["kind"], each["metadata"]["name"]) for each in objects)
    assert [name for name, times in names.items() if times > 1] == []
    for each in objects:
        assert each["metadata"]["namespace"] == NAMESPACE, each["metadata"]["name"]
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "hp" and labels["helm.sh/chart"] == "heat-pump-0.1.0"


@every_set
def test_each_selector_selects_a_pod_and_no_workload_selects_anothers(values: Path) -> None:
    objects = render(values)
    made = list(pods(objects))
    for owner in of_kind(objects, *TEMPLATED):
        selected = [pod.name for pod in made if selects(pod.labels, owner["spec"]["selector"])]
        assert selected == [owner["metadata"]["name"]]
    for kind, key in (
        ("Service", "selector"),
        ("PodDisruptionBudget", "selector"),
        ("NetworkPolicy", "podSelector"),
    ):
        for each in of_kind(objects, kind):
            assert any(selects(pod.labels, each["spec"][key]) for pod in made), each["metadata"]["name"]
    for pod in made:
        for spread in pod.spec.get("topologySpreadConstraints", ()):
            assert selects(pod.labels, spread["labelSelector"])


@every_set
def test_each_port_of_a_service_is_one_of_a_container(values: Path) -> None:
    objects = render(values)
    for service in of_kind(objects, "Service"):
        for pod in (pod for pod in pods(objects) if selects(pod.labels, service["spec"]["selector"])):
            for port in service["spec"]["ports"]:
                assert pod.ports()[port["targetPort"]] == port["port"], service["metadata"]["name"]


@every_set
def test_each_port_of_a_pod_has_one_name_and_each_probe_asks_an_open_one(values: Path) -> None:
    for pod in pods(render(values)):
        named = [each["name"] for one in pod.containers for each in one.get("ports", ())]
        assert len(named) == len(set(named)) == len(set(pod.ports().values()))
        for container in pod.spec["containers"]:
            ports = {each["name"] for each in container.get("ports", ())}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                asked = container.get(probe, {}).get("httpGet", {}).get("port")
                assert asked is None or asked in ports


@every_set
def test_each_pod_that_serves_is_probed(values: Path) -> None:
    for pod in pods(render(values)):
        for container in pod.spec["containers"]:
            if container.get("ports"):
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys(), container["name"]


@every_set
def test_each_rule_of_the_ingress_leads_to_a_port_of_a_service(values: Path) -> None:
    objects = render(values)
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "Service")}
    for ingress in of_kind(objects, "Ingress"):
        paths = ingress["spec"]["rules"][0]["http"]["paths"]
        assert {each["path"] for each in paths} >= {"/api", "/ws", "/login", "/logout", "/docs", "/openapi.json"}
        for each in paths:
            backend = each["backend"]["service"]
            assert backend["port"]["name"] in {port["name"] for port in services[backend["name"]]["ports"]}


@every_set
def test_what_a_pod_mounts_exists_or_is_named_in_the_values(values: Path) -> None:
    objects = render(values)
    there = {(each["kind"], each["metadata"]["name"]) for each in objects}
    named = set(re.findall(r"[a-z][a-z0-9-]+", values.read_text()))
    for pod in pods(objects):
        volumes = {each["name"] for each in pod.spec["volumes"]} | pod.claims
        for container in pod.containers:
            mounted = {each["name"] for each in container["volumeMounts"]}
            assert mounted <= volumes, (pod.name, mounted - volumes)
            targets = [each["mountPath"] for each in container["volumeMounts"]]
            assert len(targets) == len(set(targets))
        used = {each["name"] for one in pod.containers for each in one["volumeMounts"]}
        assert used == volumes, (pod.name, volumes - used)
        for kind, name in referenced(pod.spec):
            assert (kind, name) in there or (kind != "ConfigMap" and name in named) or _is_made(objects, name), (
                name
            )


def referenced(spec: object) -> list[tuple[str, str]]:
    """Find the ConfigMaps, Secrets and claims that a pod refers to, wherever in it."""
    found: list[tuple[str, str]] = []
    if isinstance(spec, dict):
        for key, value in spec.items():
            if key == "secret":
                found.append(("Secret", value.get("secretName") or value["name"]))
            elif key in ("secretKeyRef", "secretRef"):
                found.append(("Secret", value["name"]))
            elif key in ("configMap", "configMapKeyRef", "configMapRef"):
                found.append(("ConfigMap", value["name"]))
            elif key == "claimName":
                found.append(("PersistentVolumeClaim", value))
            elif key == "serviceAccountName":
                found.append(("ServiceAccount", value))
        spec = list(spec.values())
    if isinstance(spec, list):
        found += [each for one in spec for each in referenced(one)]
    return found


def _is_made(objects: tuple[dict, ...], name: str) -> bool:  # type: ignore[type-arg]
    """Tell whether a StatefulSet makes a claim of this name for its only pod."""
    return any(
        name == f"{claim['metadata']['name']}-{each['metadata']['name']}-0"
        for each in of_kind(objects, "StatefulSet")
        for claim in each["spec"]["volumeClaimTemplates"]
    )


@every_set
def test_a_container_sees_the_secrets_it_needs_one_by_one(values: Path) -> None:
    seen = {}
    for pod in pods(render(values)):
        volumes = {each["name"]: each for each in pod.spec["volumes"]}
        for container in pod.containers:
            assert not [
                each for each in container.get("env", ()) if "secret" in repr(each.get("valueFrom", "")).lower()
            ]
            keys = set()
            for mount in container["volumeMounts"]:
                for source in volumes.get(mount["name"], {}).get("projected", {}).get("sources", ()):
                    assert source["secret"]["items"], "without items it would be all of them"
                    keys |= {each["key"] for each in source["secret"]["items"]}
            seen[container["name"]] = keys
    assert "INFLUXDB_PASSWORD" not in seen["flow"] | seen["api"] and not seen.get("panel")
    assert {"INFLUXDB_PASSWORD"} <= seen.get("setup", {"INFLUXDB_PASSWORD"}) and not seen.get("influxdb")
    assert seen["mosquitto"] == {"HEATPUMP_MQTT_HEALTH_PASSWORD"}
    assert not {each for name in seen.keys() - {"api"} for each in seen[name]} & {"HEATPUMP_API_TOKEN"}
    assert "HEATPUMP_COMMAND_TOKEN" in seen["flow"] & seen["api"]


@every_set
def test_every_pod_passes_the_restricted_standard(values: Path) -> None:
    for pod in pods(render(values)):
        spec, security = pod.spec, pod.spec["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] >= 1000
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & spec.keys()
        allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
        assert all(volume.keys() - {"name"} <= allowed for volume in spec["volumes"])
        for container in pod.containers:
            own = container["securityContext"]
            assert own == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container.get("ports", ()))
            assert {"requests", "limits"} <= container["resources"].keys()


@every_set
def test_no_variable_is_made_of_a_services_name(values: Path) -> None:
    """A service heatpump-panel would give HEATPUMP_PANEL_PORT=tcp://…, which is a setting of ours."""
    for pod in pods(render(values)):
        assert pod.spec["enableServiceLinks"] is False


@every_set
def test_nothing_is_random_two_renderings_are_the_same(values: Path) -> None:
    render.cache_clear()
    first = render(values)
    render.cache_clear()
    assert render(values) == first


def test_a_change_of_the_broker_or_of_a_secret_in_the_values_restarts_who_reads_it() -> None:
    values = CHART / "ci" / "sqlite-values.yaml"
    before = {pod.name: pod.annotations for pod in pods(render(values))}
    changed = render(values, VERSIONS[-1], "--set", "secrets.values.MQTT_PASSWORD=another-password")
    after = {pod.name: pod.annotations for pod in pods(changed)}
    assert {name for name in before if before[name] != after[name]} == {"heatpump-flow", "heatpump-mosquitto"}
    assert "checksum/config" in before["heatpump-mosquitto"]


def test_with_sqlite_the_api_runs_where_the_file_is_and_nowhere_else() -> None:
    objects = render(CHART / "ci" / "sqlite-values.yaml")
    parts = {pod.part: pod for pod in pods(objects)}
    assert "api" not in parts and "influxdb" not in parts
    flow, api = parts["flow"].spec["containers"]
    assert (flow["name"], api["name"]) == ("flow", "api")
    data = {"name": "data", "mountPath": "/data"}
    assert data in flow["volumeMounts"] and data in api["volumeMounts"]
    assert "HEATPUMP_COMMAND_HOST" not in environment(flow), "the command port stays on the pod's loopback"
    assert "commands" not in parts["flow"].ports()


def test_the_backup_runs_on_the_node_that_has_the_flows_volume() -> None:
    backup = next(pod for pod in pods(render(CHART / "ci" / "sqlite-values.yaml")) if pod.part == "backup")
    rule = backup.spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert rule["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "flow"


def test_the_brokers_queue_is_as_long_as_its_memory_allows() -> None:
    objects = render(CHART / "ci" / "minimal-values.yaml")
    conf = next(each["data"]["mosquitto.conf"] for each in of_kind(objects, "ConfigMap"))
    assert re.findall(r"^max_queued_bytes (\d+)$", conf, re.MULTILINE) == ["150000000"]
    changed = render(CHART / "ci" / "minimal-values.yaml", VERSIONS[-1], "--set", "mosquitto.queuedBytes=20000000")
    assert "max_queued_bytes 20000000\n" in next(
        each["data"]["mosquitto.conf"] for each in of_kind(changed, "ConfigMap")
    )
