"""The chart as the real helm renders it, and what its objects say of pods."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.helm import Tools, find

CHART = Path(__file__).parent.parent.parent / "k8s" / "heat-pump"
SETS = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASE, NAMESPACE = "hp", "heating"
VERSIONS = ("1.27.0", "1.35.0")
"""The oldest that Chart.yaml allows, and the newest that the installed helm knows."""

TEMPLATED = ("StatefulSet", "Deployment")

Object = dict[str, Any]


def tools() -> Tools:
    """Give helm and kubectl; skip the test, saying why, where there are none."""
    found = find()
    if isinstance(found, str):
        pytest.skip(found)
    return found


def helm(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run helm."""
    command = [str(tools().helm), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@cache
def render(values: Path, version: str = VERSIONS[-1], *options: str) -> tuple[Object, ...]:
    """Render a set of values; give every object."""
    done = helm("template", RELEASE, CHART, "-n", NAMESPACE, "-f", values, "--kube-version", version, *options)
    assert done.returncode == 0, done.stderr
    return tuple(each for each in yaml.safe_load_all(done.stdout) if each)


def of_kind(objects: tuple[Object, ...], *kinds: str) -> list[Object]:
    """Give the objects of some kinds."""
    return [each for each in objects if each["kind"] in kinds]


@dataclass(frozen=True)
class Pod:
    """A pod as its owner would make it."""

    name: str
    owner: Object
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: Object

    @property
    def part(self) -> str:
        """What of the installation it is."""
        return self.labels["app.kubernetes.io/component"]

    @property
    def containers(self) -> list[Object]:
        """All its containers."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def claims(self) -> set[str]:
        """Names of the claims its volumes are, or that its StatefulSet makes for it."""
        made = {each["metadata"]["name"] for each in self.owner["spec"].get("volumeClaimTemplates", ())}
        return made

    def ports(self) -> dict[str, int]:
        """Give its named ports."""
        return {each["name"]: each["containerPort"] for one in self.containers for each in one.get("ports", ())}


def pods(objects: tuple[Object, ...]) -> Iterator[Pod]:
    """Give a pod for each workload."""
    for owner in of_kind(objects, "StatefulSet", "Deployment", "CronJob", "Job"):
        spec = owner["spec"]
        template = spec["jobTemplate"]["spec"]["template"] if owner["kind"] == "CronJob" else spec["template"]
        meta = template["metadata"]
        yield Pod(owner["metadata"]["name"], owner, meta["labels"], meta.get("annotations", {}), template["spec"])


def selects(labels: dict[str, str], selector: Object) -> bool:
    """Tell whether a selector (of a Service, or with matchLabels and matchExpressions) selects labels."""
    if not {"matchLabels", "matchExpressions"} & selector.keys():
        return all(labels.get(name) == value for name, value in selector.items())
    for expression in selector.get("matchExpressions", ()):
        assert expression["operator"] == "In", expression
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())


def environment(container: Object) -> dict[str, str]:
    """Give a container's variables."""
    return {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}
