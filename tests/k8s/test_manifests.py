"""The manifests: valid, safe, and of one mind with the service about names, ports, paths and times."""

import re
from itertools import combinations

import kubernetes_validate
import pytest
import yaml

from service.access.roles import PROBES, PUBLIC
from service.model.releases import MODELS_DIR
from service.settings import PREFIX, Settings, read_settings
from tests.support.kubernetes import (
    CUSTOM_GROUPS,
    IN_IMAGE,
    K8S,
    OVERLAYS,
    commissioned,
    containers,
    environment_of,
    kustomize,
    named,
    of_kind,
    pod_specs,
    production,
    servers,
    with_components,
)
from tests.support.releases import FORMER, RELEASED

COMPONENTS = ("canary", "shadow", "retraining")
PORT = 3000

# What the Secret must hold; see docs/kubernetes.md.
SECRET_SETTINGS = {"CXR_DATABASE_URL", "CXR_AUDIT_SECRET", "CXR_RATE_LIMIT_STORAGE"}

BUILT = {name: kustomize(K8S / "overlays" / name) for name in OVERLAYS}
for chosen in [pair for size in (1, 2, 3) for pair in combinations(COMPONENTS, size)]:
    BUILT["production+" + "+".join(chosen)] = with_components(*chosen)


BUILT["production, commissioned"] = production(commissioned)

every_build = pytest.mark.parametrize("resources", BUILT.values(), ids=BUILT.keys())


def test_the_overlays_are_those_promised():
    assert OVERLAYS == ["local", "production", "staging"]


@every_build
def test_resources_have_the_schema_of_their_kind(resources):
    for resource in resources:
        if not resource["apiVersion"].startswith(CUSTOM_GROUPS):
            kubernetes_validate.validate(resource, "1.37", strict=True)


@every_build
def test_nothing_is_made_twice_and_all_is_in_the_overlays_namespace(resources):
    names = [(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in resources]
    assert len(names) == len(set(names))
    [namespace] = of_kind(resources, "Namespace")
    placed = {each["metadata"]["namespace"] for each in resources if each["kind"] != "Namespace"}
    assert placed == {namespace["metadata"]["name"]}
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@every_build
def test_no_secret_is_in_the_manifests(resources):
    assert of_kind(resources, "Secret") == []
    for _, container in containers(resources):
        environment = environment_of(container, resources)
        assert {name for name in SECRET_SETTINGS & set(environment) if not environment[name].startswith("sqlite:")} == set()


@every_build
def test_every_container_meets_the_restricted_standard_and_cannot_write_its_image(resources):
    for name, template in pod_specs(resources):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False and context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}, name
            for bound in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][bound]), name


@every_build
def test_images_are_pinned(resources):
    for name, container in containers(resources):
        if container["image"] != "chest-xray-training":  # whoever builds it names it in the overlay's images
            assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+", container["image"]), name


@every_build
def test_every_setting_is_one_that_the_service_knows_and_takes(resources, monkeypatch):
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name, container in containers(resources):
        environment = environment_of(container, resources)
        settings = {key: value for key, value in environment.items() if key.startswith(PREFIX)}
        assert set(settings) <= known, name
        secrets = dict.fromkeys(SECRET_SETTINGS, "sqlite:////tmp/records.db") | {"CXR_AUDIT_SECRET": "sixteen characters"}
        for key in known:
            monkeypatch.delenv(key, raising=False)
        for key, value in (secrets | settings).items():
            monkeypatch.setenv(key, "2" if value is None else value)
        read_settings(settings)


@every_build
def test_the_model_named_is_one_that_the_image_holds(resources):
    for name, container in containers(resources):
        bundle = environment_of(container, resources).get("CXR_BUNDLE", IN_IMAGE + RELEASED.name)
        assert bundle.startswith(IN_IMAGE) and (MODELS_DIR / bundle.removeprefix(IN_IMAGE) / "manifest.json").is_file(), name


@every_build
def test_threads_follow_the_limit_of_the_pod(resources):
    for _, container in servers(resources):
        sources = {each["name"]: each.get("valueFrom", {}).get("resourceFieldRef", {}) for each in container["env"]}
        for name in ("CXR_THREADS", "OMP_NUM_THREADS"):
            assert sources[name] == {"resource": "limits.cpu", "divisor": "1"}
        assert container["resources"]["limits"]["cpu"].isdigit()


@every_build
def test_ports_and_paths_are_the_services(resources):
    bentofile = yaml.safe_load((K8S.parent / "bentofile.yaml").read_text("utf-8"))
    assert bentofile["service"] == "service.app:ChestXrayService"
    for _, container in servers(resources):
        assert container["ports"] == [{"name": "http", "containerPort": PORT}]
        paths = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "readiness", "liveness")}
        assert {get["port"] for get in paths.values()} == {"http"}
        assert {get["path"] for get in paths.values()} <= PROBES
        assert paths["liveness"]["path"] == "/livez"  # a database that is away is no reason to end the process
    for service in of_kind(resources, "Service"):
        assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    for monitor in of_kind(resources, "ServiceMonitor"):
        [endpoint] = monitor["spec"]["endpoints"]
        assert endpoint["port"] == "http" and endpoint["path"] in PUBLIC
    [policy] = [each for each in of_kind(resources, "NetworkPolicy") if each["metadata"]["name"] == "chest-xray"]
    assert [port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]] == [PORT]


@every_build
def test_selectors_find_the_pods_that_they_are_for(resources):
    labels = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"] for each in of_kind(resources, "Deployment")
    }
    retention = {"chest-xray-retention": {"app.kubernetes.io/name": "chest-xray", "app.kubernetes.io/component": "retention"}}

    def chosen(selector):
        return {name for name, own in (labels | retention).items() if selector.items() <= own.items()}

    for service in of_kind(resources, "Service"):
        assert chosen(service["spec"]["selector"]) == {service["metadata"]["name"]}
    for budget in of_kind(resources, "PodDisruptionBudget"):
        assert chosen(budget["spec"]["selector"]["matchLabels"]) == {"chest-xray"}
    for scaler in of_kind(resources, "HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"]["name"] in labels
        assert "replicas" not in named(resources, "Deployment", "chest-xray")["spec"]
    for deployment in of_kind(resources, "Deployment"):
        assert chosen(deployment["spec"]["selector"]["matchLabels"]) == {deployment["metadata"]["name"]}
    services = {each["metadata"]["name"]: each["metadata"]["labels"] for each in of_kind(resources, "Service")}
    for monitor in of_kind(resources, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        assert {name for name, own in services.items() if wanted <= own.items()} == set(services)


@every_build
def test_a_roll_out_drops_no_request(resources):
    for deployment in of_kind(resources, "Deployment"):
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    for spec, container in servers(resources):
        timeout = float(environment_of(container, resources)["CXR_TIMEOUT_SECONDS"])
        pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        readiness = container["readinessProbe"]
        # Endpoints are gone before the server is told to end, and it may finish what it began.
        assert pause >= readiness["periodSeconds"] * 2
        assert spec["terminationGracePeriodSeconds"] >= pause + timeout + 10
    for route in of_kind(resources, "HTTPRoute"):
        [rule] = route["spec"]["rules"]
        assert float(rule["timeouts"]["request"].rstrip("s")) > 60


@every_build
def test_the_gateway_closes_idle_connections_before_the_service_does(resources):
    for policy in of_kind(resources, "BackendTrafficPolicy"):
        assert policy["spec"]["targetRefs"][0]["name"] == of_kind(resources, "HTTPRoute")[0]["metadata"]["name"]
        idle = float(policy["spec"]["timeout"]["http"]["connectionIdleTimeout"].rstrip("s"))
        for _, container in servers(resources):
            assert idle < float(environment_of(container, resources)["CXR_KEEP_ALIVE_SECONDS"])
    assert len(of_kind(resources, "BackendTrafficPolicy")) == len(of_kind(resources, "HTTPRoute"))


def test_one_line_changes_the_model_and_with_it_the_pods():
    """The settings' name ends with a hash of their content, which the pods' template repeats."""
    assert (K8S / "overlays" / "production" / "kustomization.yaml").read_text("utf-8").count(RELEASED.name) == 1

    def other_model(content):
        [settings] = content["configMapGenerator"]
        settings["literals"] = [line.replace(RELEASED.name, FORMER.name) for line in settings["literals"]]

    names = {
        container["envFrom"][0]["configMapRef"]["name"]
        for resources in (BUILT["production"], production(other_model))
        for _, container in servers(resources)
    }
    assert len(names) == 2


def test_another_image_has_a_migration_of_its_own():
    [job] = of_kind(BUILT["production"], "Job")
    [other] = of_kind(production(lambda content: content["images"][0].update(newTag="9.8.7")), "Job")
    [[_, container]] = servers(BUILT["production"])
    tag = container["image"].partition(":")[2]
    assert job["metadata"]["name"] == f"chest-xray-migration-{tag}"
    assert other["metadata"]["name"] == "chest-xray-migration-9.8.7"


def test_the_canary_takes_its_share_and_the_shadow_all_unheard():
    [route] = of_kind(BUILT["production+canary"], "HTTPRoute")
    weights = {each["name"]: each["weight"] for each in route["spec"]["rules"][0]["backendRefs"]}
    assert weights == {"chest-xray": 90, "chest-xray-canary": 10}
    resources = BUILT["production+shadow"]
    [route] = of_kind(resources, "HTTPRoute")
    [rule] = route["spec"]["rules"]
    assert [each["name"] for each in rule["backendRefs"]] == ["chest-xray"]
    assert rule["filters"][0]["requestMirror"]["backendRef"]["name"] == "chest-xray-shadow"
    [container] = named(resources, "Deployment", "chest-xray-shadow")["spec"]["template"]["spec"]["containers"]
    # Its rows are in a file of its own pod, whatever the Secret says.
    assert environment_of(container, resources)["CXR_DATABASE_URL"].startswith("sqlite:////tmp/")


@pytest.mark.parametrize("track", ["canary", "shadow"])
def test_canary_and_shadow_serve_another_model_than_the_stable_pods(track):
    resources = BUILT[f"production+{track}"]
    assert len({environment_of(container, resources)["CXR_BUNDLE"] for _, container in servers(resources)}) == 2


def test_only_tls_1_3_is_spoken():
    [policy] = of_kind(BUILT["production"], "ClientTrafficPolicy")
    assert policy["spec"]["tls"] == {"minVersion": "1.3"}
    assert policy["spec"]["targetRefs"][0]["name"] == of_kind(BUILT["production"], "Gateway")[0]["metadata"]["name"]


def test_the_operators_rules_are_the_plain_ones():
    [rule] = of_kind(BUILT["production"], "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((K8S / "monitoring" / "rules.yaml").read_text("utf-8"))
