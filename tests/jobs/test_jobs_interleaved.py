"""Whatever happens to jobs in whatever order, on both databases, against a model of what is right."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, select

from farm.database import sessions
from farm.database.models import HELD, Attempt, Job, State
from farm.errors import AttemptLost, NotFound, WrongState
from farm.jobs import attempts, job_rows, losses, states
from farm.jobs.states import AttemptRef
from tests.jobs.test_jobs import claim, make_job, progress

OUTCOMES = st.sampled_from(["succeed", "fail", "give back", "lost", "out of memory"])


@dataclass
class Known:
    """What a job must be."""

    priority: int
    state: State = State.QUEUED
    attempt: int = 0
    checkpoint: int | None = None
    asleep: bool = False  # waits because its worker is taken for lost, which may wake
    broken: dict[str, int] = field(default_factory=dict)  # attempts by outcome, since the last retry


class Interleaved(RuleBasedStateMachine):
    """Picks a job and an attempt of it by number, stale ones too, and does something to them."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Known] = {}
        with sessions.write_session() as session:
            session.execute(delete(Job))

    def pick(self, number: int) -> tuple[str, Known] | None:
        """One of the jobs there are."""
        return list(self.known.items())[number % len(self.known)] if self.known else None

    @rule(priority=st.integers(-1, 1))
    def submit(self, priority: int) -> None:
        self.known[make_job(priority=priority)] = Known(priority)

    @rule()
    def claim(self) -> None:
        waiting = [(id, known) for id, known in self.known.items() if known.state is State.QUEUED]
        taken = claim()
        if not waiting:
            assert taken is None
            return
        best = max(waiting, key=lambda item: item[1].priority)  # the first of them: the oldest
        assert taken is not None
        assert taken.job.id == best[0]
        best[1].state, best[1].attempt = State.RUNNING, best[1].attempt + 1
        best[1].asleep = False
        assert taken.attempt.number == best[1].attempt

    @rule(number=st.integers(0, 9), back=st.integers(0, 2), kind=st.sampled_from("hrcn"))
    def attempt_writes(self, number: int, back: int, kind: str) -> None:
        if not (picked := self.pick(number)):
            return
        job_id, known = picked
        attempt = AttemptRef(job_id, known.attempt - back)
        write: Any = {
            "h": lambda s: attempts.renew_lease(s, attempt),
            "r": lambda s: attempts.report(s, attempt, progress()),
            "c": lambda s: attempts.record_checkpoint(s, attempt),
            "n": lambda s: attempts.note(s, attempt, "noted"),
        }[kind]
        if known.asleep and back == 0:  # it was the first to look at its job again
            known.state, known.asleep = State.RUNNING, False
            known.broken[losses.LOST] -= 1
        if self.do(known, attempt, write) and kind == "c":
            known.checkpoint = attempt.number

    @rule(number=st.integers(0, 9), back=st.integers(0, 2), outcome=OUTCOMES)
    def attempt_ends(self, number: int, back: int, outcome: str) -> None:
        if not (picked := self.pick(number)):
            return
        job_id, known = picked
        attempt = AttemptRef(job_id, known.attempt - back)
        cause = {"lost": losses.LOST, "out of memory": losses.OUT_OF_MEMORY}.get(outcome, "")
        end: Any = {
            "succeed": lambda s: states.succeed(s, attempt, {}),
            "fail": lambda s: states.fail(s, attempt, "it broke"),
            "give back": lambda s: states.requeue(s, attempt, "stopped"),
        }.get(outcome, lambda s: losses.release_interrupted(s, attempt, cause, "broke off"))
        if outcome == "succeed" and known.state is State.CANCELLING:
            with pytest.raises(AttemptLost), sessions.write_session() as session:
                end(session)
        elif self.do(known, attempt, end):
            self.ended(known, outcome, cause)

    def ended(self, known: Known, outcome: str, cause: str) -> None:
        """What becomes of a job whose attempt ended so."""
        if known.state is State.CANCELLING:
            known.state = State.CANCELLED
        elif outcome in ("succeed", "fail"):
            known.state = State.SUCCEEDED if outcome == "succeed" else State.FAILED
        else:
            known.state = State.QUEUED
            if cause:
                known.broken[cause] = known.broken.get(cause, 0) + 1
                if known.broken[cause] >= losses.MAX_FAILURES[cause]:
                    known.state = State.FAILED
                known.asleep = cause == losses.LOST and known.state is State.QUEUED
        if known.state.ended:
            known.checkpoint = None

    @rule(number=st.integers(0, 9))
    def lapses(self, number: int) -> None:
        if not (picked := self.pick(number)):
            return
        job_id, known = picked
        with sessions.write_session() as session:
            theirs = [each for each in losses.list_leases(session) if each.job_id == job_id]
            moved = losses.requeue_lost(session, theirs)
        assert moved == ([job_id] if known.state in HELD else [])
        if moved:
            self.ended(known, "lost", losses.LOST)

    @rule(number=st.integers(0, 9), what=st.sampled_from(["cancel", "retry", "delete"]))
    def person(self, number: int, what: str) -> None:
        if not (picked := self.pick(number)):
            return
        job_id, known = picked
        do: Any = {"cancel": states.cancel, "retry": states.retry, "delete": job_rows.delete_ended}[what]
        right = {
            "cancel": known.state not in (State.SUCCEEDED, State.FAILED),
            "retry": known.state in (State.FAILED, State.CANCELLED),
            "delete": known.state.ended,
        }[what]
        try:
            with sessions.write_session() as session:
                do(session, job_id)
            assert right
        except WrongState:
            assert not right
            return
        if what == "cancel" and not known.state.ended:
            known.state = State.CANCELLING if known.state in HELD else State.CANCELLED
            known.asleep = False
            known.checkpoint = known.checkpoint if known.state is State.CANCELLING else None
        elif what == "retry":
            known.state, known.broken = State.QUEUED, {}
        elif what == "delete":
            del self.known[job_id]

    def do(self, known: Known, attempt: AttemptRef, write: Any) -> bool:
        """Whether it was taken; it must be exactly if this attempt has the job."""
        try:
            with sessions.write_session() as session:
                write(session)
        except AttemptLost:
            assert known.state not in HELD or attempt.number != known.attempt
            return False
        assert known.state in HELD
        assert attempt.number == known.attempt
        return True

    @invariant()
    def all_is_as_known(self) -> None:
        with sessions.read_session() as session:
            rows = {job.id: job for job in session.scalars(select(Job)).unique()}
            open_attempts = session.scalars(
                select(Attempt.job_id).where(Attempt.outcome.is_(None))
            ).all()
        assert set(rows) == set(self.known)
        held = [id for id, known in self.known.items() if known.state in HELD]
        assert sorted(open_attempts) == sorted(held)
        for job_id, known in self.known.items():
            row = rows[job_id]
            assert (row.state, row.attempt, row.checkpoint_attempt) == (
                known.state,
                known.attempt,
                known.checkpoint,
            )
            assert (row.finished_at is not None) == known.state.ended
            assert (row.lease_until is not None) == (known.state in HELD)


@pytest.mark.no_cover  # what it runs is run by tests of one order each, too
@pytest.mark.slow
def test_no_order_of_events_breaks_a_job(database: str) -> None:
    checks = list(HealthCheck)
    often = settings(
        max_examples=30 if database == "sqlite" else 12,  # fewer where each statement takes longer
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=checks,
    )
    run_state_machine_as_test(Interleaved, settings=often)


@pytest.mark.usefixtures("database")
def test_a_job_that_is_gone_takes_nothing() -> None:
    for write in (
        lambda s: attempts.renew_lease(s, AttemptRef("gone", 1)),
        lambda s: states.fail(s, AttemptRef("gone", 1), "x"),
        lambda s: losses.release_interrupted(s, AttemptRef("gone", 1), losses.LOST, "x"),
    ):
        with pytest.raises(AttemptLost), sessions.write_session() as session:
            write(session)
    with pytest.raises(NotFound), sessions.write_session() as session:
        states.cancel(session, "gone")
