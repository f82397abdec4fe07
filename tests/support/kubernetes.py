"""Builds k8s/ with kustomize, and finds resources in the result."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

K8S = Path(__file__).resolve().parents[2] / "k8s"
# Not the folders that begin with a dot: `production` makes them, in this process or in another one that runs tests.
OVERLAYS = sorted(path.parent.name for path in K8S.glob("overlays/[!.]*/kustomization.yaml"))

# Resources of operators, for which kubernetes-validate has no schemas.
CUSTOM_GROUPS = ("monitoring.coreos.com", "gateway.networking.k8s.io", "gateway.envoyproxy.io")

# Where the image holds bundles and profiles.
IN_IMAGE = "/home/bentoml/bento/src/models/"
PROFILE = "/home/bentoml/bento/src/sites/st-mary-1"

Resource = dict[str, Any]


def kustomize(folder: Path) -> list[Resource]:
    """What `kubectl apply -k folder` would send."""
    kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    assert kubectl, "kubectl is missing: tests/requirements.txt names its package"
    built = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return [resource for resource in yaml.safe_load_all(built.stdout) if resource]


def production(change: Callable[[Resource], None]) -> list[Resource]:
    """The production overlay with its kustomization changed."""
    content = yaml.safe_load((K8S / "overlays" / "production" / "kustomization.yaml").read_text("utf-8"))
    change(content)
    # Beside the overlays, since its paths are relative.
    with tempfile.TemporaryDirectory(prefix=".test-", dir=K8S / "overlays") as folder:
        Path(folder, "kustomization.yaml").write_text(yaml.safe_dump(content), "utf-8")
        return kustomize(Path(folder))


def with_components(*names: str) -> list[Resource]:
    """The production overlay with components that it does not list."""
    return production(lambda content: content["components"].extend(f"../../components/{name}" for name in names))


def of_kind(resources: list[Resource], kind: str) -> list[Resource]:
    return [resource for resource in resources if resource["kind"] == kind]


def named(resources: list[Resource], kind: str, name: str) -> Resource:
    [found] = [resource for resource in of_kind(resources, kind) if resource["metadata"]["name"] == name]
    return found


def pod_specs(resources: list[Resource]) -> Iterator[tuple[str, Resource]]:
    """(name, pod template) of everything that runs pods."""
    for resource in resources:
        spec = resource.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template") if isinstance(spec, dict) else None
        if template:
            yield f"{resource['kind']}/{resource['metadata']['name']}", template


def environment_of(container: Resource, resources: list[Resource]) -> dict[str, str | None]:
    """Names and values of a container's environment; None where Kubernetes or a Secret gives the value."""
    values: dict[str, str | None] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            values |= named(resources, "ConfigMap", source["configMapRef"]["name"])["data"]
    return values | {each["name"]: each.get("value") for each in container.get("env", [])}


def commissioned(content: Resource) -> None:
    """An overlay with a site profile: the line that it shows as a comment."""
    [settings] = content["configMapGenerator"]
    settings["literals"].append(f"CXR_SITE={PROFILE}")


def containers(resources: list[Resource]) -> list[tuple[str, Resource]]:
    """(name of what has the pod, container) of every container."""
    return [(name, container) for name, template in pod_specs(resources) for container in template["spec"]["containers"]]


def servers(resources: list[Resource]) -> list[tuple[Resource, Resource]]:
    """(pod's spec, its only container) of every deployment."""
    specs = [each["spec"]["template"]["spec"] for each in of_kind(resources, "Deployment")]
    return [(spec, container) for spec in specs for [container] in [spec["containers"]]]
