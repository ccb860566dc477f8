"""Pods of the chart as containers of the runner: files, users and modes as a kubelet makes them, probes as it asks them."""

import base64
import http.client
import os
import subprocess
from pathlib import Path

from tests.deploy.chart import Object, Pod, of_kind, pods
from tests.deploy.runner import SYSTEM_PATH, VENV, Container, Machine, Mount, Running, Tmpfs

OURS = {
    "PATH": f"{VENV}/bin:{SYSTEM_PATH}",
    "HEATPUMP_DATA": "/data",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "HOME": "/tmp",
}
"""What the image sets itself (Dockerfile)."""

THEIRS = {"PATH": SYSTEM_PATH}


class Cluster:
    """One node: the objects that were rendered, and the Secrets that somebody made beforehand."""

    def __init__(self, machine: Machine, objects: tuple[Object, ...], secrets: dict[str, dict[str, str]]) -> None:
        self.machine, self._objects = machine, objects
        self.pods = {pod.part: pod for pod in pods(objects)}
        self._files = {("Secret", name): values for name, values in secrets.items()}
        for each in of_kind(objects, "ConfigMap"):
            self._files["ConfigMap", each["metadata"]["name"]] = each["data"]
        for each in of_kind(objects, "Secret"):
            encoded = {key: base64.b64decode(value).decode() for key, value in each.get("data", {}).items()}
            self._files["Secret", each["metadata"]["name"]] = encoded | each.get("stringData", {})

    @staticmethod
    def names(objects: tuple[Object, ...]) -> list[str]:
        """Names that the cluster's name server would know."""
        return [each["metadata"]["name"] for each in of_kind(objects, "Service")]

    def start(self, part: str) -> dict[str, Running]:
        """Start the containers of a pod; by name."""
        pod = self.pods[part]
        return {each["name"]: self.machine.start(self.container(pod, each)) for each in pod.spec["containers"]}

    def container(self, pod: Pod, spec: Object) -> Container:
        """Make what the runner starts of one container."""
        security = pod.spec["securityContext"]
        group = security["fsGroup"]
        mounts, tmpfs = [], []
        for mount in spec["volumeMounts"]:
            made = self._volume(pod, mount, group)
            if isinstance(made, Path):
                mounts.append(Mount(made, mount["mountPath"], not mount.get("readOnly", False)))
            else:
                tmpfs.append(made)
        ours = "heat-pump-monitor" in spec["image"]
        return Container(
            name=f"{pod.name}-{spec['name']}",
            argv=(*spec.get("command", ()), *spec.get("args", ())),
            user=(security["runAsUser"], security["runAsGroup"], group),
            env=(OURS if ours else THEIRS) | {each["name"]: each["value"] for each in spec.get("env", ())},
            mounts=tuple(mounts),
            tmpfs=tuple(tmpfs),
            read_only=spec["securityContext"]["readOnlyRootFilesystem"],
            workdir="/tmp" if ours else "/",
            grace_s=float(pod.spec["terminationGracePeriodSeconds"])
            if "terminationGracePeriodSeconds" in pod.spec
            else 30,
        )

    def run(self, kind: str) -> subprocess.CompletedProcess[str]:
        """Run the pod of the only workload of a kind to its end."""
        pod = next(each for each in pods(self._objects) if each.owner["kind"] == kind)
        return self.machine.run(self.container(pod, pod.spec["containers"][0]))

    def probe(self, part: str, name: str, kind: str) -> str:
        """Ask a probe of a container as the kubelet does; give what is wrong, or ""."""
        pod = self.pods[part]
        spec = next(each for each in pod.spec["containers"] if each["name"] == name)
        probe, running = spec[kind], self.machine.running[f"{pod.name}-{name}"]
        if running.ended is not None:
            return f"ended with {running.ended}: {running.said[-2000:]}"
        if "exec" in probe:
            done = running.run(*probe["exec"]["command"])
            return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}"
        port = pod.ports()[probe["httpGet"]["port"]]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=probe.get("timeoutSeconds", 1))
        try:
            connection.request("GET", probe["httpGet"]["path"])
            status = connection.getresponse().status
        except OSError as error:
            return f"port {port}: {error}"
        finally:
            connection.close()
        return "" if 200 <= status < 400 else f"port {port} answers {status}"

    def _volume(self, pod: Pod, mount: Object, group: int) -> Path | Tmpfs:
        volume = next((each for each in pod.spec["volumes"] if each["name"] == mount["name"]), {})
        if "emptyDir" in volume:
            return Tmpfs(mount["mountPath"], 0o2777, 0, group)
        if "persistentVolumeClaim" in volume or mount["name"] in pod.claims:
            claim = volume.get("persistentVolumeClaim", {}).get("claimName") or f"{mount['name']}-{pod.name}-0"
            return _folder(self._claim(claim, group), mount.get("subPath"), group)
        return self._projected(pod, volume, group)

    def _claim(self, name: str, group: int) -> Path:
        """A new disk, as ext4 makes it: root's, and by fsGroup the pod's group's too, which its mode hands on."""
        path = self.machine.volume(name, (0, group), 0o2775)
        (path / "lost+found").mkdir(0o700, exist_ok=True)
        return path

    def _projected(self, pod: Pod, volume: Object, group: int) -> Path:
        """Files of Secrets and ConfigMaps: root's, readable by the pod's group."""
        folder = self.machine.folder / "projected" / pod.name / volume["name"]
        folder.mkdir(parents=True, exist_ok=True)
        kinds = {key: value for key, value in volume.items() if key in ("secret", "configMap")}
        one = volume.get("projected") or {"sources": [kinds], **next(iter(kinds.values()))}
        for source in one["sources"]:
            (kind, spec), *_ = source.items()
            name = spec.get("name") or spec.get("secretName")
            values = self._files[{"secret": "Secret", "configMap": "ConfigMap"}[kind], name]
            for item in spec.get("items") or [{"key": key, "path": key} for key in values]:
                if item["key"] not in values and spec.get("optional"):
                    continue
                path = folder / item["path"]
                path.unlink(missing_ok=True)
                path.write_text(values[item["key"]])
                os.chown(path, 0, group)
                path.chmod(one.get("defaultMode", 0o644))
        return folder


def _folder(volume: Path, sub: str | None, group: int) -> Path:
    if not sub:
        return volume
    path = volume / sub
    if not path.exists():
        path.mkdir()
        os.chown(path, 0, group)
        path.chmod(0o2775)
    return path
