"""The chart's values: each is documented, each has a place in the schema, and what cannot work is refused with a sentence."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from flows.settings import Settings
from tests.deploy.chart import CHART, NAMESPACE, SETS, environment, helm, pods, render, tools

REFRESH = CHART.parent / "refresh.py"
MINIMAL = CHART / "ci" / "minimal-values.yaml"
SQLITE = CHART / "ci" / "sqlite-values.yaml"

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())

VARIABLES = {
    str(name)
    for field in Settings.model_fields.values()
    for name in getattr(field.validation_alias, "choices", ())
}


def test_readme_and_the_copies_of_the_brokers_files_are_current() -> None:
    sys.path.insert(0, str(REFRESH.parent))
    try:
        import refresh
    finally:
        sys.path.pop(0)
    again = "run .venv/bin/python k8s/refresh.py"
    assert refresh.readme() == (CHART / "README.md").read_text(), again
    for name in refresh.BROKER_FILES:
        assert (CHART / "files" / name).read_bytes() == (refresh.BROKER / name).read_bytes(), again
    assert len(list(refresh.values())) > 60


def leaves(values: dict[str, Any], documented: set[str], path: str = "") -> Iterator[str]:
    """Give the names of values, no deeper than a documented one."""
    for key, value in values.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict) and value and name not in documented:
            yield from leaves(value, documented, name)
        else:
            yield name


def test_each_value_has_a_row_in_the_readme() -> None:
    rows = set(re.findall(r"^\| `([A-Za-z.]+)` \|", (CHART / "README.md").read_text(), re.MULTILINE))
    missing = [name for name in leaves(VALUES, rows) if name not in rows]
    assert not missing


def allowed(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Give each property of the schema, with what its reference says."""
    for key, value in schema.get("properties", {}).items():
        if "$ref" in value:
            value = SCHEMA["$defs"][value["$ref"].rpartition("/")[2]]
        name = f"{path}.{key}" if path else key
        yield name, value
        yield from allowed(value, name)


def test_each_value_is_in_the_schema_and_the_schema_has_no_others() -> None:
    known = dict(allowed(SCHEMA))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)
    names = set(leaves(VALUES, {name for name, each in known.items() if "properties" not in each}))
    optional = {"global", *(name for name in known if name.startswith(("settings.", "secrets.values.")))}
    within = {name for name in known if name.rpartition(".")[2] in ("requests", "limits")}
    deep = {name for name in known if name.rpartition(".")[0] in within}
    last = {name for name, each in known.items() if not each.get("properties")}
    assert last - optional - deep == names - deep - {"settings", "secrets.values"}


def test_no_object_of_the_schema_takes_what_it_does_not_know() -> None:
    def closed(schema: Any) -> None:
        if isinstance(schema, dict):
            if "properties" in schema and schema.get("type") == "object" and "required" not in schema:
                assert schema["additionalProperties"] is False, schema
            for each in schema.values():
                closed(each)
        elif isinstance(schema, list):
            for each in schema:
                closed(each)

    closed(SCHEMA)


def test_settings_of_the_chart_are_settings_of_ours_with_the_same_limits() -> None:
    offered = SCHEMA["properties"]["settings"]["properties"]
    assert offered.keys() <= VARIABLES
    for name, limits in offered.items():
        field = next(
            one for one in Settings.model_fields.values() if name in getattr(one.validation_alias, "choices", ())
        )
        bounds = {key: getattr(one, key) for one in field.metadata for key in ("ge", "le") if hasattr(one, key)}
        assert limits.get("minimum") == bounds.get("ge") and limits.get("maximum") == bounds.get("le"), name


@pytest.mark.slow
@pytest.mark.parametrize("values", SETS, ids=lambda path: path.stem)
def test_the_variables_of_our_containers_are_settings_of_ours(values: Path) -> None:
    for pod in pods(render(values)):
        for container in pod.containers:
            if container["name"] not in ("mosquitto", "influxdb"):
                extra = {"TZ"} if values.stem == "everything-values" else set()
                assert environment(container).keys() - extra <= VARIABLES, container["name"]


REFUSED = [
    ({"api.replicas": "2"}, SQLITE, "api.replicas is 2, but with store: sqlite it can only be 1"),
    ({"influxdb.external.url": "http://x:8086"}, SQLITE, "influxdb.external.url is http://x:8086, but store is sqlite"),
    ({"secrets.existing": "mine"}, SQLITE, "secrets.existing is mine and secrets.values has keys too"),
    ({"secrets.existing": ""}, MINIMAL, "kubectl create secret generic heat-pump -n heating --from-env-file=/dev/stdin"),
    ({"secrets.existing": "", "secrets.values.MQTT_PASSWORD": "only-this-one"}, MINIMAL, "secrets.values.HEATPUMP_API_TOKEN is missing"),
    ({"influxdb.external.url": "https://x"}, MINIMAL, "the network policies must be told where https://x is"),
    ({"mosquitto.devices.type": "NodePort"}, MINIMAL, "kubectl create secret tls heat-pump-mqtt -n heating"),
    ({"mosquitto.tls.ca": "true"}, MINIMAL, "mosquitto.tls.ca is true, but mosquitto.tls.existing is empty"),
    ({"ingress.enabled": "true"}, MINIMAL, "ingress.host is empty"),
    ({"ingress.enabled": "true", "ingress.host": "x.org"}, MINIMAL, "kubectl create secret tls heat-pump-web -n heating"),
    ({"networkPolicy.dns": "[]"}, MINIMAL, "networkPolicy.dns is empty, which would mean everyone"),
    ({"networkPolicy.monitoring": "[]"}, MINIMAL, "networkPolicy.monitoring is empty, which would mean everyone"),
    ({"restore.from": "newest"}, MINIMAL, "restore.from is newest, but backup.volume.existing is empty"),
    ({"restore.from": "../x"}, MINIMAL, "does not match pattern"),
    ({"store": "mysql"}, MINIMAL, "'influxdb', 'sqlite'"),
    ({"flow.replicas": "2"}, MINIMAL, "additional properties 'replicas' not allowed"),
    ({"api.replicas": "0"}, MINIMAL, "minimum: got 0, want 1"),
    ({"settings.HEATPUMP_DATA": "/tmp"}, MINIMAL, "additional properties 'HEATPUMP_DATA' not allowed"),
    ({"settings.HEATPUMP_EPOCH_MS": "5"}, MINIMAL, "minimum: got 5, want 100"),
    ({"image.digest": "latest"}, MINIMAL, "does not match pattern"),
    ({"influxdb.external.url": "http://me:secret@x"}, MINIMAL, "does not match pattern"),
    ({"mosquitto.devices.nodePort": "80"}, MINIMAL, "nodePort"),
    ({"backup.schedule": "daily"}, MINIMAL, "does not match pattern"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("given", "values", "sentence"), REFUSED, ids=lambda each: str(each)[:40])
def test_what_cannot_work_is_refused_with_a_sentence(given: dict[str, str], values: Path, sentence: str) -> None:
    options = [option for name, value in given.items() for option in ("--set-json", f"{name}={_json(value)}")]
    done = helm("template", "hp", CHART, "-n", NAMESPACE, "-f", values, *options)
    assert done.returncode != 0 and not done.stdout
    assert sentence in done.stderr


def _json(value: str) -> str:
    return value if re.fullmatch(r"\d+|true|null|\[.*\]", value) else json.dumps(value)


@pytest.mark.slow
def test_a_backup_is_put_into_a_new_release_alone() -> None:
    done = helm("template", "hp", CHART, "-f", CHART / "ci" / "restore-values.yaml", "--is-upgrade")
    assert done.returncode != 0 and "a backup is put into a new release" in done.stderr


@pytest.mark.slow
def test_the_command_that_a_refusal_gives_makes_a_secret_with_which_it_is_taken(tmp_path: Path) -> None:
    """Run as written, but that kubectl prints what it would have made."""
    refused = helm("template", "hp", CHART, "-n", NAMESPACE)
    command = re.search(r"Make them with `(for key in .*?)` and set secrets.existing", refused.stderr)
    assert command, refused.stderr
    kubectl = f"{tools().kubectl} --dry-run=client -o yaml"
    written = command[1].replace("| kubectl create", f"| {kubectl} create")
    done = subprocess.run(["bash", "-c", written], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    secret = yaml.safe_load(done.stdout)
    used = {
        item["key"]
        for pod in pods(render(MINIMAL))
        for volume in pod.spec["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        if not source["secret"].get("optional")
        for item in source["secret"]["items"]
    }
    assert used == secret["data"].keys() and len(set(secret["data"].values())) == len(used)
    assert helm("template", "hp", CHART, "--set", "secrets.existing=heat-pump").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("values", SETS, ids=lambda path: path.stem)
def test_the_notes_name_only_what_was_made(values: Path) -> None:
    done = helm("install", "hp", CHART, "-n", NAMESPACE, "-f", values, "--dry-run=client")
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    names = {each["metadata"]["name"] for each in render(values)} | {
        f"{pod.name}-0" for pod in pods(render(values))
    }
    for name in re.findall(r"(?:service/|service -n \S+ |exec -n \S+ )(\S+)", notes):
        assert name in names, name
    assert ("heatpump device add site1" in notes and "https://" in notes) or "port-forward" in notes


@pytest.mark.slow
def test_the_packed_chart_gives_the_same(tmp_path: Path) -> None:
    assert helm("package", CHART, "-d", tmp_path).returncode == 0
    packed = next(tmp_path.glob("*.tgz"))
    one, other = (helm("template", "hp", chart, "-f", MINIMAL).stdout for chart in (packed, CHART))
    assert one == other and "kind: StatefulSet" in one
