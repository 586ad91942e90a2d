"""Live streams: server-sent events (WHATWG HTML, section 9.2) about jobs and films, as they change.

Programs get events `state` with the JSON of the API, pages events `changed` without data: they fetch
what they show. Both carry the same id, a digest of the JSON.

The row is the truth here too: one thread asks the database for the versions of all watched jobs, and
wakes the streams of those that changed; each then reads its job. A stream holds a thread of the web
part, so their number is limited, and each ends after some minutes: the browser comes again with the id
of the last event it got.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import structlog
from flask import Flask, Response, current_app, request, stream_with_context
from sqlalchemy import case, func, select
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import ServiceUnavailable

from farm.database import sessions
from farm.database.films import Film
from farm.database.models import Job
from farm.errors import NotFound
from farm.people import tokens
from farm.people.visitors import ANYBODY, Visitor
from farm.settings import settings
from web.middleware.authentication import get_visitor

LOOK_SECONDS = 0.5  # between two looks at the database
HEARTBEAT_SECONDS = 15.0  # of silence, after which a comment is sent; so a client that left is noticed
LONGEST_SECONDS = 300.0  # of one stream
AWAY_SECONDS = 3.0  # between two tries while the database is away
RETRY_MILLISECONDS = 1500  # after which a browser comes again
TOKEN_LOOKS = 4  # at the database, of which one asks whether tokens are still good: every 2 s
FULL = "The farm has as many live streams as it may have. Ask for the job itself now and then."
RETRY_SECONDS = 5  # sent with it
IDS_AT_ONCE = 500  # of one query
UNKNOWN = -1  # version of a job that was not read yet
# Of a film: another with each change of a part, with each new one, and once it has ended.
VERSION_OF_FILM = 2 * func.sum(Job.version + 1) + func.max(case((Film.outcome.is_(None), 0), else_=1))

log = structlog.get_logger()


@dataclass(frozen=True)
class Snapshot:
    """All that a stream sends about its jobs, at one moment."""

    # What clients of the API get.
    json: str
    # Nothing will change any more.
    last: bool
    # Good for so long (s) although no row changes.
    valid_seconds: float = HEARTBEAT_SECONDS

    @property
    def id(self) -> str:
        """Id of the event; the same is not sent twice in a row."""
        return hashlib.sha256(self.json.encode()).hexdigest()[:16]


class _Shared:
    """The newest snapshot of some jobs, for all streams that watch them."""

    def __init__(self) -> None:
        self.reading = threading.Lock()
        self.snapshot: Snapshot | None = None
        self.valid_until = 0.0  # by the monotonic clock
        self.changes = 0

    def invalidate(self) -> None:
        """Note a change; also while a snapshot is being read."""
        self.changes += 1
        self.valid_until = 0.0


@dataclass
class _Waiting:
    """A stream that waits."""

    # Ids of its jobs.
    jobs: frozenset[str]
    # Who asked for it.
    visitor: Visitor
    # That token was revoked, or the role is another by now.
    signed_out: bool = False


class Watch:
    """Wakes whoever waits for a change of some jobs, and counts the streams."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._waiting: dict[threading.Event, _Waiting] = {}
        self._versions: dict[str, int | None] = {}
        self._shared: dict[tuple[frozenset[str], str], _Shared] = {}  # by jobs and path prefix
        self._thread: threading.Thread | None = None
        self.stopped = threading.Event()

    @contextmanager
    def watch(self, jobs: frozenset[str], visitor: Visitor = ANYBODY) -> Iterator[threading.Event]:
        """Yield an event that is set when one of these jobs changed, or the visitor was signed out.

        Raises:
            ServiceUnavailable: there are as many streams as there may be.
        """
        changed = threading.Event()
        with self._lock:
            if len(self._waiting) >= self._most or self.stopped.is_set():
                raise ServiceUnavailable(FULL, retry_after=RETRY_SECONDS)
            self._waiting[changed] = _Waiting(jobs, visitor)
            if self._thread is None:
                self._thread = threading.Thread(target=self._poll, name="live", daemon=True)
                self._thread.start()
        try:
            yield changed
        finally:
            with self._lock:
                del self._waiting[changed]
                if all(jobs != each.jobs for each in self._waiting.values()):
                    for key in [key for key in self._shared if key[0] == jobs]:
                        del self._shared[key]

    def is_signed_out(self, changed: threading.Event) -> bool:
        """Check whether whoever waits by this event may no longer see what it shows."""
        with self._lock:
            return self._waiting[changed].signed_out

    def read(self, jobs: frozenset[str], take: Callable[[], Snapshot], prefix: str = "") -> Snapshot:
        """Return a snapshot of these jobs, taken once for all streams that watch them.

        Args:
            prefix: of the paths in it, which differ from proxy to proxy.

        Raises:
            NotFound: they are gone.
        """
        with self._lock:
            shared = self._shared.setdefault((jobs, prefix), _Shared())
        with shared.reading:  # the first to come asks; who comes meanwhile gets its answer
            if shared.snapshot is None or time.monotonic() >= shared.valid_until:
                changes = shared.changes
                shared.snapshot = take()
                shared.valid_until = time.monotonic() + shared.snapshot.valid_seconds
                if changes != shared.changes:  # while it was taken: it may be old already
                    shared.valid_until = 0.0
            return shared.snapshot

    def stop(self) -> None:
        """End all streams: the web part stops."""
        self.stopped.set()
        with self._lock:
            for changed in self._waiting:
                changed.set()

    def _poll(self) -> None:
        """Look for changes while somebody waits."""
        looks = 0
        while not self.stopped.wait(LOOK_SECONDS):
            with self._lock:
                if not self._waiting:
                    self._thread, self._versions = None, {}
                    return
                watched = sorted(frozenset().union(*(each.jobs for each in self._waiting.values())))
            looks += 1
            try:
                self._wake_changed(watched)
                if looks % TOKEN_LOOKS == 0:
                    self._wake_signed_out()
            except Exception:  # such as a database that is away; the next look finds it
                log.exception("live streams: a look failed")

    def _wake_changed(self, watched: Sequence[str]) -> None:
        found: dict[str, int] = {}
        with sessions.read_session() as session:
            for first in range(0, len(watched), IDS_AT_ONCE):
                some = watched[first : first + IDS_AT_ONCE]
                of_jobs = select(Job.id, Job.version).where(Job.id.in_(some))
                of_films = select(Film.id, VERSION_OF_FILM).join(Job, Job.film_id == Film.id)
                found.update((row.id, row.version) for row in session.execute(of_jobs))
                of_films = of_films.where(Film.id.in_(some)).group_by(Film.id)
                for film_id, version in session.execute(of_films):
                    found[film_id] = int(version)
        # One that is gone has no version, which differs from what it had.
        now = {job: found.get(job) for job in watched}
        changed = {job for job in watched if self._versions.get(job, UNKNOWN) != now[job]}
        self._versions = now
        with self._lock:
            for (jobs, _prefix), shared in self._shared.items():
                if jobs & changed:
                    shared.invalidate()
            for event, waiting in self._waiting.items():
                if waiting.jobs & changed:
                    event.set()

    def _wake_signed_out(self) -> None:
        with self._lock:
            shown = {each.visitor.token_sha256 for each in self._waiting.values()} - {None}
        if not shown:
            return
        with sessions.read_session() as session:
            roles = tokens.find_roles(session, [each for each in shown if each])
        with self._lock:
            for event, waiting in self._waiting.items():
                sha256 = waiting.visitor.token_sha256
                if sha256 in shown and roles.get(sha256 or "") is not waiting.visitor.role:
                    waiting.signed_out = True
                    event.set()


def init_app(app: Flask) -> None:
    """Give this application its watch."""
    app.extensions["live"] = Watch(settings().web_streams)


def send_states(job_ids: Sequence[str], take: Callable[[], Snapshot]) -> Response:
    """Return an endless answer with the JSON of some jobs, now and after each change.

    Args:
        take: how they stand; NotFound: they are gone.

    Raises:
        ServiceUnavailable: there are as many streams as there may be.
    """
    return _send(job_ids, take, _write_state)


def send_changes(job_ids: Sequence[str], take: Callable[[], Snapshot]) -> Response:
    """Return the same for pages: the events say only that something changed.

    Raises:
        ServiceUnavailable: there are as many streams as there may be.
    """
    return _send(job_ids, take, _write_change)


def _write_state(found: Snapshot) -> str:
    return f"id: {found.id}\nevent: state\ndata: {found.json}\n\n"


def _write_change(found: Snapshot) -> str:
    return f"id: {found.id}\nevent: changed\ndata: {{}}\n\n"


def _send(
    job_ids: Sequence[str], take: Callable[[], Snapshot], write: Callable[[Snapshot], str]
) -> Response:
    watch: Watch = current_app.extensions["live"]
    sent = request.headers.get("Last-Event-ID")
    jobs, visitor = frozenset(job_ids), get_visitor()
    events = _write_events(watch, jobs, visitor, take, write, sent, request.script_root)
    first = next(events)  # so that a refusal is one, and not a stream that breaks off
    response = Response(stream_with_context(chain([first], events)), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-cache, no-transform"
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(events.close)
    return response


def _write_events(
    watch: Watch,
    jobs: frozenset[str],
    visitor: Visitor,
    take: Callable[[], Snapshot],
    write: Callable[[Snapshot], str],
    sent: str | None,
    prefix: str,
) -> Generator[str]:
    until = time.monotonic() + LONGEST_SECONDS
    with watch.watch(jobs, visitor) as changed:
        yield f"retry: {RETRY_MILLISECONDS}\n\n"
        silent_since = time.monotonic()
        while time.monotonic() < until and not watch.stopped.is_set():
            changed.clear()
            if watch.is_signed_out(changed):
                yield ": signed out\n\n"
                return
            try:
                found = watch.read(jobs, take, prefix)
            except NotFound:
                yield "event: gone\ndata: {}\n\n"
                return
            except SQLAlchemyError as error:  # the client has what there was, and waits
                log.warning("live stream: the database does not answer", error=str(error))
                yield ": the database does not answer\n\n"
                watch.stopped.wait(AWAY_SECONDS)
                continue
            if found.id != sent:
                sent, silent_since = found.id, time.monotonic()
                yield write(found)
            if found.last:
                yield "event: end\ndata: {}\n\n"
                return
            changed.wait(found.valid_seconds)
            if time.monotonic() - silent_since >= HEARTBEAT_SECONDS:
                silent_since = time.monotonic()
                yield ": still here\n\n"
