"""Accounts, sign-in links and quotas on both databases: from the operator's command to the row."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, update

from farm.cli import main
from farm.cli.supervisor import report_first_link
from farm.database import sessions
from farm.database.base import now
from farm.database.models import Job, JobPicture, PictureRole, State, Upload, WorkClass
from farm.database.people import AuditLine, Person, Role, SignInLink, Token, UploadOwner
from farm.errors import FarmError, QuotaReached, QuotaTooSmall, SignedOut, WrongState
from farm.jobs import actions, cleanup, idempotency, ratings, states
from farm.jobs.idempotency import Key
from farm.jobs.ratings import Rater
from farm.people import accounts, quotas, sign_in, tokens
from farm.people.quotas import Limits, Request
from farm.people.visitors import ANYBODY, Visitor
from tests.conftest import fresh_settings

pytestmark = pytest.mark.usefixtures("database")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"COLUMNS": "200"})


def add(name: str, role: Role = Role.USER, **limits: float) -> Visitor:
    """An account with limits of its own."""
    with sessions.write_session() as session:
        person = accounts.add(session, name, role, by="a test")
        quotas.change_limits(session, name, Limits(**limits), by="a test")  # type: ignore[arg-type]
        return Visitor(person.id, name, role)


def add_job(owner: Visitor, state: State = State.QUEUED, stored_bytes: int | None = None) -> str:
    with sessions.write_session() as session:
        job = Job(name="a", state=state, work_class=WorkClass.PREVIEW, recipe={}, width=1, height=1)
        job.owner_id, job.stored_bytes = owner.person_id, stored_bytes
        session.add(job)
        session.flush()
        return job.id


def take(visitor: Visitor, **asked: float) -> None:
    with sessions.write_session() as session:
        quotas.take(session, visitor, Request(**asked))  # type: ignore[arg-type]


def test_accounts_are_added_listed_changed_and_removed_and_the_audit_tells_who_did_it() -> None:
    assert "Nobody has an account" in run("people", "list").stdout
    link = run("people", "add", "Ada").stdout
    assert link.startswith("http://127.0.0.1:8000/sign-in?link=")
    assert run("people", "add", "Olga", "--role", "operator").exit_code == 0
    assert "has an account already" in run("people", "add", " Ada ").output
    assert run("people", "role", "Ada", "operator").stdout == "Ada: operator\n"
    assert run("people", "quota", "Ada", "--waiting", "3", "--storage-gb", "0.5").exit_code == 0
    assert "waiting: 0 of 3\n" in run("people", "quota", "Ada").stdout
    assert "waiting: 0\n" in run("people", "quota", "Ada", "--waiting", "farm").stdout
    assert "0 kB of 500 MB" in run("people", "list").stdout
    for wrong in ("-1", "nan", "many"):
        assert run("people", "quota", "Ada", "--megapixels-a-day", wrong).exit_code != 0
    wrong_count = run("people", "quota", "Ada", "--waiting", "1.5").output
    assert "'1.5' is neither a whole number nor `farm`" in " ".join(wrong_count.split())
    assert run("people", "remove", "Ada").stdout == "removed\n"
    assert run("people", "remove", "Ada").output == "Error: Nobody called 'Ada' has an account.\n"
    with sessions.read_session() as session:
        lines = session.scalars(select(AuditLine).order_by(AuditLine.id)).all()
    assert {line.person for line in lines} == {"command line"}
    assert [line.action for line in lines][:2] == ["add person", "make sign-in link"]
    assert lines[-1].action == "remove person"


def test_the_last_operator_stays_one() -> None:
    add("Ada")
    add("Olga", Role.OPERATOR)
    for refused in (("remove", "Olga"), ("role", "Olga", "user")):
        assert "Olga is the last operator" in run("people", *refused).output
    # And of two operators who remove each other at once one stays
    add("Otto", Role.OPERATOR)
    refusals: list[FarmError] = []
    start = threading.Barrier(2)

    def demote(name: str) -> None:
        start.wait()
        try:
            with sessions.write_session() as session:
                accounts.change_role(session, name, Role.USER, by="the other")
        except WrongState as error:
            refusals.append(error)

    run_at_once([lambda: demote("Olga"), lambda: demote("Otto")])
    assert len(refusals) == 1


def run_at_once(actions: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_jobs_of_a_removed_person_are_nobodys_and_their_tokens_open_nothing() -> None:
    ada = add("Ada")
    job_id = add_job(ada)
    with sessions.write_session() as session:
        person = accounts.get(session, "Ada")
        name, text = tokens.create_own(session, person, "laptop")
        session.add(Upload(sha256="a" * 64, width=1, height=1, size_bytes=1))
        session.flush()
        session.add(UploadOwner(upload_sha256="a" * 64, person_id=person.id))
        job = session.get_one(Job, job_id)
        job.idempotency_owner, job.idempotency_key = f"person {person.id}", "order 7"
    assert name == "Ada/laptop"
    assert run("people", "remove", "Ada").exit_code == 0
    with sessions.read_session() as session:
        job = session.get_one(Job, job_id)
        assert (job.owner_id, job.idempotency_owner) == (None, None)
        assert tokens.find_by_digest(session, tokens.compute_digest(text)) is None
        assert session.scalars(select(UploadOwner)).all() == []
    assert not ada.may_see(None)
    assert ANYBODY.may_see(None)


def test_a_link_signs_in_once_and_ends() -> None:
    add("Ada")
    first, second = (run("people", "sign-in", "Ada").stdout.strip().partition("=")[2] for _ in range(2))
    with sessions.read_session() as session:
        digests = set(session.scalars(select(SignInLink.sha256)))
        assert first not in digests
    opened: list[str | None] = []
    start = threading.Barrier(4)

    def use() -> None:
        start.wait()
        with sessions.write_session() as session:
            opened.append(sign_in.use_link(session, first))

    run_at_once([use] * 4)
    assert len([each for each in opened if each]) == 1
    with sessions.write_session() as session:
        session.execute(update(SignInLink).values(ends_at=SignInLink.ends_at))
        link = session.scalars(select(SignInLink)).one()
        link.ends_at -= timedelta(hours=25)
        session.flush()
        assert sign_in.use_link(session, second) is None
        # The session that the first opened is a token of hers
        assert [token.name.startswith("Ada/browser ") for token in session.scalars(select(Token))] == [
            True
        ]


def test_the_first_start_makes_an_operator_and_a_link_until_somebody_has_a_token() -> None:
    secret = sign_in.make_first_link()
    assert secret
    again = sign_in.make_first_link()
    assert again
    with sessions.write_session() as session:
        person = session.scalars(select(Person)).one()
        assert (person.name, person.role) == ("operator", Role.OPERATOR)
        assert sign_in.use_link(session, secret)
    assert sign_in.make_first_link() is None


def test_two_submissions_at_once_never_pass_a_quota() -> None:
    ada = add("Ada", waiting=3, megapixels_a_day=2.0)
    outcomes: list[str] = []
    start = threading.Barrier(6)

    def submit() -> None:
        start.wait()
        try:
            with sessions.write_session() as session:
                quotas.take(session, ada, Request(jobs=1, megapixels=0.5))
                job = Job(name="a", work_class=WorkClass.PREVIEW, recipe={}, width=1, height=1)
                job.owner_id = ada.person_id
                session.add(job)
            outcomes.append("taken")
        except QuotaReached as error:
            outcomes.append(str(error))

    run_at_once([submit] * 6)
    assert outcomes.count("taken") == 3
    refusals = [outcome for outcome in outcomes if outcome != "taken"]
    assert all("quota of waiting jobs is 3, and 3 wait" in refusal for refusal in refusals)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (1.9e-6, "0"),
        (0.0125, "0.013"),
        (71.66, "71.7"),
        (999.6, "1,000"),
        (1e9, "1,000,000,000"),
    ],
)
def test_amounts_are_numbers_for_people(value: float, words: str) -> None:
    assert quotas.describe_amount(value) == words


def test_each_quota_is_named_with_its_limit_and_when_it_frees(monkeypatch: pytest.MonkeyPatch) -> None:
    ada = add("Ada", waiting=2, megapixels_a_day=1.0, storage_gb=0.001)
    with pytest.raises(QuotaTooSmall, match=r"waiting jobs is 2, and this makes 3"):
        take(ada, jobs=3)
    with pytest.raises(QuotaTooSmall, match=r"1 megapixel a day, and this has 1.5"):
        take(ada, megapixels=1.5)
    take(ada, megapixels=0.75)
    with pytest.raises(QuotaReached, match=r"0.25 are left and this has 0.5. .*00:00 UTC") as refused:
        take(ada, megapixels=0.5)
    assert 0 < (refused.value.retry_seconds or 0) <= 24 * 3600 + 1
    # A new day is counted anew, whatever was deleted meanwhile
    with sessions.write_session() as session:
        person = accounts.get(session, "Ada")
        assert person.counted_on
        person.counted_on -= timedelta(days=1)
    take(ada, megapixels=0.5)
    # What is stored are jobs' files and uploads
    add_job(ada, State.SUCCEEDED, stored_bytes=999_000)
    with (
        sessions.read_session() as session,
        pytest.raises(QuotaTooSmall, match=r"storage is 1 MB.*Delete some"),
    ):
        quotas.check(session, ada, Request(uploads=(("b" * 64, 2000),)))
    # Limits of nobody's own are the farm's, and 0 is none
    bob = add("Bob")
    monkeypatch.setenv("FARM_QUOTA_WAITING", "1")
    fresh_settings()
    take(bob)
    add_job(bob)
    with pytest.raises(QuotaReached, match="waiting jobs is 1, and 1 wait"):
        take(bob)
    assert run("people", "quota", "Bob", "--waiting", "0").exit_code == 0
    take(bob, jobs=50)
    take(ANYBODY, jobs=50, megapixels=1e9)


def test_uploads_count_as_long_as_a_job_of_ones_own_uses_them() -> None:
    ada, bob = add("Ada"), add("Bob")
    with sessions.write_session() as session:
        sent = now() - timedelta(days=2)
        for sha256 in ("a" * 64, "b" * 64):
            session.add(Upload(sha256=sha256, width=1, height=1, size_bytes=1000, sent_at=sent))
        session.flush()
        for person in (ada, bob):
            for sha256 in ("a" * 64, "b" * 64):
                session.add(UploadOwner(upload_sha256=sha256, person_id=person.person_id))
        for person, sha256 in ((ada, "a" * 64), (bob, "b" * 64), (bob, "a" * 64)):
            job = Job(name="a", work_class=WorkClass.PREVIEW, recipe={}, width=1, height=1)
            job.owner_id = person.person_id
            job.pictures.append(JobPicture(role=PictureRole.CONTENT, position=0, upload_sha256=sha256))
            session.add(job)
    cleanup.sweep()
    with sessions.read_session() as session:
        used = [quotas.measure(session, accounts.get(session, name)) for name in ("Ada", "Bob")]
    assert [each.stored_bytes.used for each in used] == [1000, 2000]


def test_the_first_link_is_reported_where_tokens_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report_first_link(fresh_settings())
    assert capsys.readouterr().err == ""
    for host, asked in (("0.0.0.0", True), ("127.0.0.2", False), ("::", True), ("farm.local", True)):
        monkeypatch.setenv("HOST", host)
        assert fresh_settings().require_token is asked
        monkeypatch.setenv("FARM_REQUIRE_TOKEN", str(int(not asked)))
        assert fresh_settings().require_token is not asked
        monkeypatch.delenv("FARM_REQUIRE_TOKEN")
    monkeypatch.setenv("HOST", "0.0.0.0")
    report_first_link(fresh_settings())
    said = capsys.readouterr().err
    secret = said.partition("http://127.0.0.1:8000/sign-in?link=")[2].split()[0]
    assert "On another machine, put this one's name or address in place of 127.0.0.1" in said
    with sessions.read_session() as session:
        person = sign_in.find_person(session, secret)
    assert person
    assert person.role is Role.OPERATOR
    monkeypatch.setenv("FARM_PUBLIC_URL", "https://farm.example")
    report_first_link(fresh_settings())
    said = capsys.readouterr().err
    assert "https://farm.example/sign-in?link=" in said
    assert "another machine" not in said


def test_a_job_is_not_tried_again_beyond_its_owners_quota() -> None:
    ada = add("Ada", waiting=1)
    failed = [add_job(ada, State.FAILED) for _ in range(2)]
    actions.retry(failed[0], send=lambda job: True)
    with pytest.raises(QuotaReached, match="waiting jobs is 1"):
        actions.retry(failed[1], send=lambda job: True)


def test_whoever_was_signed_out_meanwhile_adds_nothing() -> None:
    ada = add("Ada")
    gone = Visitor(ada.person_id, "Ada", Role.USER, "0" * 64)
    with pytest.raises(SignedOut, match="Nothing was stored"):
        take(gone)
    assert run("people", "add", "Olga", "--role", "operator").exit_code == 0
    run("people", "remove", "Ada")
    with pytest.raises(SignedOut):
        take(ada)


def test_stars_are_a_persons_in_each_browser_and_those_from_before_are_taken_over() -> None:
    ada, bob = add("Ada"), add("Bob")
    job_id = add_job(ada, State.SUCCEEDED)
    before = Rater.from_browser("a browser's mark")
    with sessions.write_session() as session:
        ratings.rate(session, job_id, before, 2)
        # Rated again after signing in, it is the same opinion, under the person's own mark
        ratings.rate(session, job_id, Rater.from_browser("a browser's mark", ada), 5)
        ratings.rate(session, job_id, Rater.from_browser(None, bob), 1)
        ratings.rate(session, job_id, Rater.from_name("me", ada), 4)
        ratings.rate(session, job_id, Rater.from_name("me", bob), 3)
        found = ratings.compute_opinion(session, states.get(session, job_id), bob).picture
        assert (found.mean, found.count) == (3.25, 4)
        assert ratings.find_stars(session, job_id, Rater.from_browser("another's", ada)) == 5
        assert ratings.find_stars(session, job_id, Rater.from_name("me", bob)) == 3
        assert ratings.find_stars(session, job_id, before) is None
        ratings.withdraw(session, job_id, Rater.from_browser(None, ada))
        left = ratings.compute_opinion(session, states.get(session, job_id), bob)
        assert left.picture.count == 3


def test_the_same_request_twice_at_once_is_one_job_though_the_quota_holds_one() -> None:
    ada = add("Ada", waiting=1)
    key = Key.from_client("order 7", ada)
    request = idempotency.Request(key, "d" * 64)

    def submit() -> Job:  # the other of two, which was slower
        job_id = add_job(ada)
        with sessions.write_session() as session:
            request.mark(session.get_one(Job, job_id))
        take(ada)
        raise AssertionError

    assert idempotency.submit_once(request, submit).owner_id == ada.person_id
    # Where there is no such job, the refusal stands
    other = idempotency.Request(Key.from_client("order 8", ada), "e" * 64)
    with pytest.raises(QuotaReached):
        idempotency.submit_once(other, lambda: take(ada))  # type: ignore[arg-type,return-value]


def test_keys_of_a_persons_token_from_before_accounts_find_their_jobs() -> None:
    ada, bob = add("Ada"), add("Bob")
    job_id = add_job(ada)
    with sessions.write_session() as session:
        job = session.get_one(Job, job_id)
        job.idempotency_owner, job.idempotency_key = "token Ada", "order 7"
    with sessions.read_session() as session:
        found = Key.from_client("order 7", ada).find_job(session)
        assert found
        assert found.id == job_id
        assert Key.from_client("order 7", bob).find_job(session) is None
