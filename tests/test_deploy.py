"""deploy/: the dashboard and the alerts ask for metrics that there are, the manifests are what
Kubernetes takes, and what they set is a setting of the farm."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from farm.database.models import WorkClass
from farm.database.sessions import redact_url
from farm.settings import Settings
from tests.conftest import fresh_settings
from web import metrics
from workers.janitor import STOP_SECONDS

DEPLOY = Path(__file__).parents[1] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
VERSION = "1.31"  # of Kubernetes, whose schemas are asked
OTHERS = {"keda.sh/v1alpha1", "kustomize.config.k8s.io/v1beta1"}  # APIs without a schema here
NAME = re.compile(r"\bfarm_[a-z_]+")


def list_queries() -> Iterator[tuple[str, str]]:
    """Yield title and query of everything on the dashboard, and of each alert."""
    for panel in json.loads((DEPLOY / "grafana.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for rule in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]:
        yield rule["alert"], rule["expr"]


def read_manifests() -> dict[tuple[str, str], dict[str, Any]]:
    """Each object of the manifests by its kind and name."""
    found = {}
    for path in sorted(KUBERNETES.glob("*.yaml")):
        for each in yaml.safe_load_all(path.read_text()):
            found[each["kind"], each.get("metadata", {}).get("name", "")] = each
    return found


def list_pods() -> dict[str, dict[str, Any]]:
    """The specification of each kind of pod."""
    kinds = ("Deployment", "Job")
    found = {key: each for key, each in read_manifests().items() if key[0] in kinds}
    return {name: each["spec"]["template"]["spec"] for (_, name), each in found.items()}


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed: Debian's package is `prometheus`")
    return found


def test_what_the_dashboard_and_the_alerts_ask_for_is_in_metrics() -> None:
    there = set()
    for name, kind, _, _ in metrics.list_all():
        ends = ("_bucket", "_count", "_sum") if kind == "histogram" else ("",)
        there |= {f"{name}{end}" for end in ends}
    asked = {name for _, query in list_queries() for name in NAME.findall(query)}
    assert len(asked) > 15
    assert asked - there == set()


def test_labels_that_are_asked_for_are_labels_of_their_metric() -> None:
    labels = {name: set(labels) | {"instance"} for name, _, _, labels in metrics.list_all()}
    wrong = []
    for title, query in list_queries():
        for name, chosen in re.findall(r"\b(farm_[a-z_]+)\{([^}]*)\}", query):
            known = labels[re.sub(r"_(bucket|count|sum)$", "", name)]
            wrong += [(title, each) for each in re.findall(r"(\w+)[=!]", chosen) if each not in known]
    assert wrong == []


def test_panels_have_their_place_and_say_what_they_show() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((DEPLOY / "grafana.json").read_text())["panels"]:
        assert panel["title"]
        assert panel["description"]
        place = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not mine & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= mine


def test_prometheus_takes_the_alerts_and_they_fire_when_they_should(promtool: str) -> None:
    for command, file in (("check", "alerts.yml"), ("test", "alerts_test.yml")):
        done = subprocess.run(
            [promtool, command, "rules", DEPLOY / file], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_each_query_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": f"q:{n}", "expr": query} for n, (_, query) in enumerate(list_queries())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("key", sorted(read_manifests()), ids=":".join)
def test_a_manifest_is_what_kubernetes_takes(key: tuple[str, str]) -> None:
    import kubernetes_validate

    manifest = read_manifests()[key]
    if manifest["apiVersion"] not in OTHERS:
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_the_kustomization_has_every_file() -> None:
    names = {path.name for path in KUBERNETES.glob("*.yaml")}
    listed = read_manifests()["Kustomization", ""]["resources"]
    assert {*listed} == names - {"kustomization.yaml", "secrets.example.yaml"} | {"secrets.yaml"}


def test_what_the_manifests_set_are_settings_of_the_farm(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_manifests()
    given = found["ConfigMap", "farm-settings"]["data"] | found["Secret", "farm-secrets"]["stringData"]
    for pod in list_pods().values():
        (container,) = pod["containers"]
        given |= {each["name"]: each.get("value", "worker-1") for each in container.get("env", [])}
    known = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert {name for name in given if not name.startswith("AWS_")} <= known
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    wanted = fresh_settings()
    assert (wanted.require_token, wanted.hosts) == (True, None)
    assert redact_url().startswith("postgresql+psycopg://")


def test_pods_are_confined_have_limits_and_time_to_end() -> None:
    pods = list_pods()
    assert pods.keys() == {"migrate", "web", "janitor", "worker"}
    for name, pod in pods.items():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["resources"]["limits"]["memory"]
    assert pods["worker"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pods["worker"]["terminationGracePeriodSeconds"] >= 120  # as docker-compose.yml
    assert pods["janitor"]["terminationGracePeriodSeconds"] > STOP_SECONDS


def test_no_worker_is_taken_for_dead_while_the_database_is_away() -> None:
    (container,) = list_pods()["worker"]["containers"]
    probe = container["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] > Settings().outage_seconds


def test_keda_scales_the_workers_by_what_the_farm_wants_of_every_class() -> None:
    found = read_manifests()
    spec = found["ScaledObject", "worker"]["spec"]
    assert ("Deployment", spec["scaleTargetRef"]["name"]) in found
    assert "replicas" not in found["Deployment", "worker"]["spec"], "KEDA and kubectl would fight"
    modifiers = spec["advanced"]["scalingModifiers"]
    assert set(modifiers["formula"].split(" + ")) == set(WorkClass)
    locations = {each["name"]: each["metadata"]["valueLocation"] for each in spec["triggers"]}
    assert locations == {each.value: f'farm_wanted_workers{{class="{each}"}}' for each in WorkClass}
    (reference,) = found["TriggerAuthentication", "metrics"]["spec"]["secretTargetRef"]
    assert reference["key"] in found["Secret", "farm-secrets"]["stringData"]
