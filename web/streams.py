"""Live streams: pages and programs are told of a job as it changes, by server-sent events
(WHATWG HTML, section 9.2).

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

import structlog
from flask import Flask, Response, current_app, request, stream_with_context
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import ServiceUnavailable

from farm.database import sessions
from farm.database.models import Job
from farm.errors import NotFound
from farm.settings import settings

LOOK_SECONDS = 0.5  # between two looks at the database
HEARTBEAT_SECONDS = 15.0  # of silence, after which a comment is sent; so a client that left is noticed
LONGEST_SECONDS = 300.0  # of one stream
AWAY_SECONDS = 3.0  # between two tries while the database is away
RETRY_MILLISECONDS = 1500  # after which a browser comes again
FULL = "The farm has as many live streams as it may have. Ask for the job itself now and then."
RETRY_SECONDS = 5  # told with it
IDS_AT_ONCE = 500  # asked for in one query
UNKNOWN = -1  # version of a job that was not looked at yet

log = structlog.get_logger()


@dataclass(frozen=True)
class Told:
    """What a stream tells: JSON, whether that was the last, and for how long it holds if nobody says
    that it changed (s)."""

    json: str
    last: bool
    holds: float = HEARTBEAT_SECONDS

    @property
    def id(self) -> str:
        """Of what is told; the same again is not told again."""
        return hashlib.sha256(self.json.encode()).hexdigest()[:16]


class _Known:
    """What was found out about some jobs by one stream, for all that watch them."""

    def __init__(self) -> None:
        self.finding = threading.Lock()
        self.told: Told | None = None
        self.until = 0.0  # it holds, by the monotonic clock
        self.changes = 0

    def outdated(self) -> None:
        """Something changed; also while it is being found out."""
        self.changes += 1
        self.until = 0.0


class Watch:
    """Wakes whoever waits for a change of some jobs, and counts the streams."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._waiting: dict[threading.Event, frozenset[str]] = {}
        self._versions: dict[str, int | None] = {}
        self._known: dict[frozenset[str], _Known] = {}
        self._thread: threading.Thread | None = None
        self.stopped = threading.Event()

    @contextmanager
    def of(self, jobs: frozenset[str]) -> Iterator[threading.Event]:
        """An event that is set when one of these jobs changed.

        Raises:
            ServiceUnavailable: there are as many streams as there may be.
        """
        changed = threading.Event()
        with self._lock:
            if len(self._waiting) >= self._most or self.stopped.is_set():
                raise ServiceUnavailable(FULL, retry_after=RETRY_SECONDS)
            self._waiting[changed] = jobs
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="live", daemon=True)
                self._thread.start()
        try:
            yield changed
        finally:
            with self._lock:
                del self._waiting[changed]
                if jobs not in self._waiting.values():
                    self._known.pop(jobs, None)

    def told(self, jobs: frozenset[str], tell: Callable[[], Told]) -> Told:
        """What `tell` tells of these jobs, found once for all streams that watch them.

        Raises:
            NotFound: they are gone.
        """
        with self._lock:
            known = self._known.setdefault(jobs, _Known())
        with known.finding:  # the first to come asks; who comes meanwhile gets its answer
            if known.told is None or time.monotonic() >= known.until:
                changes = known.changes
                known.told = tell()
                known.until = time.monotonic() + known.told.holds
                if changes != known.changes:  # while it was found: it may be old already
                    known.until = 0.0
            return known.told

    def stop(self) -> None:
        """End all streams: the web part stops."""
        self.stopped.set()
        with self._lock:
            for changed in self._waiting:
                changed.set()

    def _look(self) -> None:
        """While somebody waits."""
        while not self.stopped.wait(LOOK_SECONDS):
            with self._lock:
                if not self._waiting:
                    self._thread, self._versions = None, {}
                    return
                watched = sorted(frozenset().union(*self._waiting.values()))
            try:
                self._compare(watched)
            except Exception:  # such as a database that is away; the next look tells
                log.exception("live streams: a look failed")

    def _compare(self, watched: Sequence[str]) -> None:
        found: dict[str, int] = {}
        with sessions.read_session() as session:
            for first in range(0, len(watched), IDS_AT_ONCE):
                some = Job.id.in_(watched[first : first + IDS_AT_ONCE])
                for row in session.execute(select(Job.id, Job.version).where(some)):
                    found[row.id] = row.version
        # One that is gone has none, which differs from what it had; of one that is new nobody knows.
        now = {job: found.get(job) for job in watched}
        changed = {job for job in watched if self._versions.get(job, UNKNOWN) != now[job]}
        self._versions = now
        with self._lock:
            for jobs, known in self._known.items():
                if jobs & changed:
                    known.outdated()
            for event, jobs in self._waiting.items():
                if jobs & changed:
                    event.set()


def init_app(app: Flask) -> None:
    """This application's watch."""
    app.extensions["live"] = Watch(settings().web_streams)


def stream(job_ids: Sequence[str], tell: Callable[[], Told]) -> Response:
    """An endless answer that tells of some jobs, and of each change.

    Args:
        tell: how they stand; NotFound: they are gone.

    Raises:
        ServiceUnavailable: there are as many streams as there may be.
    """
    watch: Watch = current_app.extensions["live"]
    events = _events(watch, job_ids, tell, request.headers.get("Last-Event-ID"))
    first = next(events)  # so that a refusal is one, and not a stream that breaks off
    response = Response(stream_with_context(_after(first, events)), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-cache, no-transform"
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(events.close)
    return response


def _after(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _events(
    watch: Watch, job_ids: Sequence[str], tell: Callable[[], Told], sent: str | None
) -> Generator[str, None, None]:
    until = time.monotonic() + LONGEST_SECONDS
    jobs = frozenset(job_ids)
    with watch.of(jobs) as changed:
        yield f"retry: {RETRY_MILLISECONDS}\n\n"
        silent_since = time.monotonic()
        while time.monotonic() < until and not watch.stopped.is_set():
            changed.clear()
            try:
                told = watch.told(jobs, tell)
            except NotFound:
                yield "event: gone\ndata: {}\n\n"
                return
            except SQLAlchemyError as error:  # the client has what there was, and waits
                log.warning("live stream: the database does not answer", error=str(error))
                yield ": the database does not answer\n\n"
                watch.stopped.wait(AWAY_SECONDS)
                continue
            if told.id != sent:
                sent, silent_since = told.id, time.monotonic()
                yield f"id: {told.id}\nevent: state\ndata: {told.json}\n\n"
            if told.last:
                yield "event: end\ndata: {}\n\n"
                return
            changed.wait(told.holds)
            if time.monotonic() - silent_since >= HEARTBEAT_SECONDS:
                silent_since = time.monotonic()
                yield ": still here\n\n"
