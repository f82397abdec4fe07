"""Site profiles in the manifests: one line of an overlay."""

from pathlib import Path

import pytest

from service.model.releases import sites_dir
from tests.support.kubernetes import (
    IN_IMAGE,
    K8S,
    PROFILE,
    commissioned,
    containers,
    environment_of,
    kustomize,
    production,
    servers,
    with_components,
)
from tests.support.releases import FORMER, RELEASED

PRODUCTION, COMMISSIONED = kustomize(K8S / "overlays" / "production"), production(commissioned)


@pytest.mark.parametrize("overlay", ["production", "staging"])
def test_the_overlay_shows_the_line_of_a_profile(overlay):
    lines = (K8S / "overlays" / overlay / "kustomization.yaml").read_text("utf-8").splitlines()
    [bundle] = [index for index, line in enumerate(lines) if "- CXR_BUNDLE=" in line]
    assert lines[bundle + 2] == f"      # - CXR_SITE={PROFILE}"


def test_one_line_gives_the_pods_a_profile_and_rolls_them():
    before, after = (servers(resources)[0][1] for resources in (PRODUCTION, COMMISSIONED))
    assert "CXR_SITE" not in environment_of(before, PRODUCTION)
    assert environment_of(after, COMMISSIONED)["CXR_SITE"] == PROFILE
    assert before["envFrom"][0]["configMapRef"]["name"] != after["envFrom"][0]["configMapRef"]["name"]


@pytest.mark.parametrize("track", ["canary", "shadow"])
def test_a_profile_of_the_stable_model_is_not_given_to_another_model(track):
    def beside(content):
        commissioned(content)
        content["components"].append(f"../../components/{track}")

    resources = production(beside)
    found = {
        environment_of(container, resources)["CXR_BUNDLE"]: environment_of(container, resources)["CXR_SITE"]
        for _, container in servers(resources)
    }
    assert found == {IN_IMAGE + RELEASED.name: PROFILE, IN_IMAGE + FORMER.name: "none"}


def test_retraining_finds_profiles_where_the_registry_looks_for_them():
    resources = with_components("retraining")
    [container] = [each for name, each in containers(resources) if each["name"] == "retraining"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    [models] = [argument.partition("=")[2] for argument in container["args"] if argument.startswith("--models=")]
    assert mounts[str(sites_dir(Path(models)))] == {"name": mounts[models]["name"], "mountPath": "/sites", "subPath": "sites"}
