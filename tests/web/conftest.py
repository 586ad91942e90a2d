"""One farm with a database and storage of its own for each test, and clients for its pages and API."""

from __future__ import annotations

import io
import json
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from apiflask import APIFlask
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from jinja2 import FileSystemBytecodeCache
from jinja2.bccache import Bucket
from limits.storage import memory
from sqlalchemy import select
from werkzeug.routing import Rule
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import TestResponse
from werkzeug.wsgi import ClosingIterator

from farm.clips import look
from farm.clips.clip import Clip
from farm.clips.turns import Turn
from farm.database import sessions
from farm.database.models import Job, State
from farm.jobs import attempts, claims, states, submit
from farm.jobs.attempts import Progress
from farm.jobs.claims import Taker
from farm.jobs.states import AttemptRef
from farm.pictures.decode import decode
from farm.pictures.encode import encode_picture
from farm.recipe import Recipe
from farm.settings import settings
from farm.storage import storage
from tests.conftest import forget_settings, use_broker_in_memory
from tests.web import bad_pictures
from web import create_app, streams

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

POLL_SECONDS = 0.02  # in which a server notices that it shall stop; half a second is the usual
LOOK_SECONDS = 0.02  # between two looks of a stream at the database
TO_CLOSE = "tests.to_close"  # in a request's environment: what ends its answer


@pytest.fixture(scope="session", autouse=True)
def shared_by_pages(shared_folder: Path) -> Iterator[None]:
    """Set up once what all tests of pages share: templates and addresses are compiled, and what the
    framework says of the API by itself is generated, which depends on no setting.

    Streams look for changes every few milliseconds. Requests are counted without a thread for each that
    forgets old counts: a count that is read is looked at first.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Flask.jinja_options, "bytecode_cache", KeptTemplates(str(shared_folder)))
        patch.setattr(Rule, "compile", keep_by_address(Rule.compile))
        patch.setattr(APIFlask, "_generate_spec", keep_first(APIFlask._generate_spec))
        patch.setattr(streams, "LOOK_SECONDS", LOOK_SECONDS)
        patch.setattr(memory, "threading", SimpleNamespace(Timer=NoTimer, RLock=threading.RLock))
        yield


class NoTimer:
    """A timer that never ends."""

    def __init__(self, *_: object) -> None:
        pass

    def start(self) -> None:
        pass

    def is_alive(self) -> bool:
        return True


def keep_first(generate: Callable[[APIFlask], Any]) -> Callable[[APIFlask], Any]:
    """Generate an application's document once, and give out copies."""
    kept: list[dict[str, Any]] = []

    def generate_once(app: APIFlask) -> SimpleNamespace:
        if not kept:
            kept.append(generate(app).to_dict())
        return SimpleNamespace(to_dict=lambda: deepcopy(kept[0]))

    return generate_once


class KeptTemplates(FileSystemBytecodeCache):
    """Templates as they were compiled, in files for other processes and in memory for this one."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self._kept: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        key = (bucket.key, bucket.checksum)
        bucket.code = self._kept.get(key)
        if not bucket.code:
            super().load_bytecode(bucket)
            self._kept[key] = bucket.code


def keep_by_address(compile_rule: Callable[[Rule], None]) -> Callable[[Rule], None]:
    """Compile an address once: half of the time that an application takes to make. What is compiled
    depends on the rule alone, and the functions that build addresses get theirs when they are called."""
    kept: dict[object, dict[str, Any]] = {}

    def compile_once(rule: Rule) -> None:
        key = (rule.rule, rule.subdomain, rule.merge_slashes, repr(rule.defaults))
        if key not in kept:
            compile_rule(rule)
            names = ("_parts", "_trace", "_converters", "arguments")
            kept[key] = {name: getattr(rule, name) for name in names}
            kept[key] |= {name: getattr(rule, name).__func__ for name in ("_build", "_build_unknown")}
        for name, value in kept[key].items():
            setattr(rule, name, value.__get__(rule) if callable(value) else value)

    return compile_once


@pytest.fixture(scope="module", autouse=True)
def checked_clips() -> Iterator[None]:
    """A good clip is looked at by a process once a run, not once for each test that sends it. What is
    refused is looked at each time."""

    def check(data: bytes, field: str, turn: Turn) -> tuple[Clip, bytes]:
        held = settings()
        limits = (held.max_clip_frames, held.max_clip_minutes, held.max_clip_megapixels)
        if (data, field, limits) not in LOOKED_AT:
            LOOKED_AT[data, field, limits] = look_at_clip(data, field, turn)
        return LOOKED_AT[data, field, limits]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(look, "_look", check)
        yield


look_at_clip = look._look
LOOKED_AT: dict[tuple[bytes, str, tuple[float, ...]], tuple[Clip, bytes]] = {}


@pytest.fixture
def home(
    request: pytest.FixtureRequest, tmp_path: Path, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A farm on SQLite, or on the database that the test asks for."""
    if "database" in request.fixturenames:
        request.getfixturevalue("database")
        use_broker_in_memory(monkeypatch)
        yield request.getfixturevalue("farm_home")
        return
    with farm_in(tmp_path, tables, monkeypatch):
        yield tmp_path


@contextmanager
def farm_in(folder: Path, tables: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """A farm without rows, which this process finds in its environment."""
    patch.setenv("FARM_HOME", str(folder))
    patch.setenv("FARM_MAX_UPLOAD_MB", "2")
    patch.delenv("REDIS_URL", raising=False)
    use_broker_in_memory(patch)
    for name in ("DATABASE_URL", "FARM_STORAGE"):
        patch.delenv(name, raising=False)
    folder.mkdir(exist_ok=True)
    (folder / "farm.db").write_bytes(tables.read_bytes())
    forget_settings()
    storage().mark()
    try:
        yield
    finally:
        forget_settings()


@pytest.fixture
def app(home: Path) -> Flask:
    return create_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def served(app: Flask) -> Iterator[str]:
    """The address at which a browser finds this test's farm."""
    with serving(app) as address:
        yield address


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """An application on a real socket: its address. At the end every answer is waited for and closed, so
    that nothing of a test's outlives it."""
    counted = AnswersAtWork(app)
    server = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=ClosingHandler)
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        watch = app.extensions["live"]
        watch.stop()
        server.shutdown()
        thread.join()
        server.server_close()
        counted.wait()
        if looking := watch._thread:  # at the database, whenever it is stopped
            looking.join()


class AnswersAtWork:
    """An application, and how many of its answers are neither sent nor given up."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._left = 0
        self._changed = threading.Condition()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[TO_CLOSE] = at_end = ExitStack()
        at_end.callback(self._count, -1)
        self._count(1)
        try:
            answer = self._app(environ, start_response)
        except BaseException:
            at_end.close()
            raise
        at_end.callback(answer.close)  # type: ignore[attr-defined]
        return ClosingIterator((each for each in answer), at_end.close)

    def _count(self, change: int) -> None:
        with self._changed:
            self._left += change
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until all answers have ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._left, timeout=30), (
                f"{self._left} answers left"
            )


class ClosingHandler(WSGIRequestHandler):
    """Closes an answer whose reader went away, which werkzeug's own may leave open."""

    def connection_dropped(self, error: BaseException, environ: WSGIEnvironment | None = None) -> None:
        if environ and TO_CLOSE in environ:
            environ[TO_CLOSE].close()


@pytest.fixture
def post_api(client: FlaskClient) -> Callable[..., TestResponse]:
    """Submit through the API: a good job, but for what a test says."""

    def post(
        content: bytes | None = None, styles: list[bytes] | None = None, **fields: Any
    ) -> TestResponse:
        recipe = fields.pop("recipe", {"size": 96, "preset": "draft"})
        headers = fields.pop("headers", None)
        data: dict[str, Any] = {"recipe": recipe if isinstance(recipe, str) else json.dumps(recipe)}
        body = data | fields | _files(content, styles)
        return client.post("/api/v1/jobs", data=body, headers=headers)

    return post


@pytest.fixture
def post_form(client: FlaskClient) -> Callable[..., TestResponse]:
    """Submit through the form, with its CSRF token: a good job, but for what a test says."""

    def post(
        content: bytes | None = None, styles: list[bytes] | None = None, **fields: Any
    ) -> TestResponse:
        data = {"csrf_token": token(client), "size": "96", "preset": "draft"}
        path = fields.pop("path", "/")
        return client.post(path, data=data | fields | _files(content, styles))

    return post


def _files(content: bytes | None, styles: list[bytes] | None) -> dict[str, Any]:
    """None: a good one."""
    content = bad_pictures.photo() if content is None else content
    styles = [bad_pictures.photo(100, 100)] if styles is None else styles
    return {
        "content": (io.BytesIO(content), "photo.jpg"),
        "style": [(io.BytesIO(style), "painting.jpg") for style in styles],
    }


def token(client: FlaskClient) -> str:
    """The CSRF token of a client's session, without a page to take it from, which would take ten times
    as long."""
    with client.session_transaction() as kept:
        raw = kept.setdefault("csrf_token", secrets.token_hex(20))
    secret = client.application.config["SECRET_KEY"]
    return str(URLSafeTimedSerializer(secret, salt="wtf-csrf-token").dumps(raw))


@pytest.fixture
def make_job(home: Path) -> Callable[..., Job]:
    return job_made


def job_made(
    state: State = State.QUEUED,
    name: str = "Bridge at dusk",
    content: tuple[int, int] = (160, 120),  # px
    webhook_url: str = "",
    job_id: str | None = None,
    **recipe: Any,
) -> Job:
    """A job in storage and database, in any state."""
    settings_ = Recipe.parse({"size": 96, "preset": "draft"} | recipe)
    styles = [bad_pictures.photo(100, 100), bad_pictures.photo(110, 100)]
    photograph = bad_pictures.photo(*content)
    job = submit.submit(photograph, styles, settings_, name=name, webhook_url=webhook_url, job_id=job_id)
    bring_to(job, state)
    with sessions.read_session() as session:
        return states.get(session, job.id)


def bring_to(job: Job, state: State) -> None:
    """Do as a worker and a person until a waiting job is in this state."""
    if state is State.QUEUED:
        return
    if state is State.CANCELLED:
        with sessions.write_session() as session:
            states.cancel(session, job.id)
        return
    attempt = paint(job)
    with sessions.write_session() as session:
        if state is State.CANCELLING:
            states.cancel(session, job.id)
        if state is State.FAILED:
            states.fail(session, attempt, "The device has too little memory.")
    if state is State.SUCCEEDED:
        finish(attempt)


def finish(attempt: AttemptRef) -> None:
    """A worker stores the result, and ends."""
    with sessions.write_session() as session:
        claimed = states.get(session, attempt.job_id)
        result = decode(bad_pictures.photo(96, 72), "result", 1)
        storage().put(claimed.result_key, encode_picture(result, claimed.format.name))
        states.succeed(session, attempt, {"ssim": 0.5, "seconds": 61.0, "precision": "mixed"})


def paint(job: Job) -> AttemptRef:
    """A worker takes it, reports twice, stores a preview."""
    with sessions.write_session() as session:
        claim = claims.claim(session, Taker("worker-1", frozenset({job.work_class})))
        assert claim
        assert claim.job.id == job.id
        for iteration in (10, 30):
            progress = Progress(iteration / 72, 1, 2, iteration, 72, 9.0, 0.1, 2.0 / iteration, 0.01)
            attempts.report(session, claim.attempt, progress)
    storage().put(claim.job.preview_key, bad_pictures.photo(96, 72))
    with sessions.write_session() as session:
        attempts.record_preview(session, claim.attempt)
    return claim.attempt


@pytest.fixture
def nothing_left(home: Path) -> Callable[[], None]:
    """Whether a refused submission left neither file nor row."""

    def check() -> None:
        with sessions.read_session() as session:
            assert list(session.scalars(select(Job))) == []
        assert storage().list_keys() == []

    return check
