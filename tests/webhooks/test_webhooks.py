"""Webhooks over real sockets: signed, tried again, never led where they may not go."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from benchmarks.testbed.processes import FARM, free_port, wait_for
from farm.database import sessions, shared_secrets
from farm.database.deliveries import Delivery, DeliveryStatus
from farm.database.models import State, WorkClass
from farm.jobs import claims, states
from farm.jobs.claims import Taker
from farm.jobs.states import AttemptRef
from farm.settings import settings
from farm.storage import storage
from farm.webhooks import deliveries, destinations, payload
from tests.conftest import fresh_settings
from tests.jobs.test_jobs import state, to_state
from tests.receiver import Receiver, receiving
from tests.webhooks.test_addresses import resolves_to
from tests.webhooks.test_deliveries import again, cancel, claim, make_due, rows, told_job
from tests.workers.test_janitor import Rounds
from workers import webhook_sender
from workers.janitor import ROUND_SECONDS
from workers.webhook_sender import Senders, send_one

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def home(farm_with_tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A farm on SQLite that may call this machine."""
    monkeypatch.setenv("FARM_WEBHOOK_HOSTS", "127.0.0.1/32")
    fresh_settings()
    storage().mark()


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_sender, "POLL_SECONDS", 0.02)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(Receiver()) as listening:
        yield listening


def ended(url: str) -> str:
    """A job that was cancelled, so that this address is to be told; its id."""
    return cancel(told_job(url))


def send() -> bool:
    """One try, on a thread of its own as in the farm: the main one may have a browser's event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(send_one).result()


def the_row(job_id: str) -> Delivery:
    (row,) = rows(job_id)
    return row


def test_a_success_is_told_with_a_signature_that_verifies(receiver: Receiver) -> None:
    # Given a job that succeeds
    job_id = told_job(receiver.url)
    with sessions.write_session() as session:
        claims.claim(session, Taker("worker@test", frozenset({WorkClass.PREVIEW})))
        states.succeed(session, AttemptRef(job_id, 1), {"ssim": 0.5})
    # When what is due is sent
    assert send() is True
    assert send() is False
    # Then it was told once, by somebody who knows the secret
    (call,) = receiver.calls
    assert call.path == "/told?key=letmein"
    timestamp, secret = call.headers["Style-Farm-Timestamp"], shared_secrets.read_webhook_key().encode()
    expected = hmac.new(secret, f"{timestamp}.".encode() + call.body, hashlib.sha256).hexdigest()
    assert call.headers["Style-Farm-Signature"] == f"v1={expected}"
    assert abs(time.time() - int(timestamp)) < 60
    told = call.json
    assert call.headers["Style-Farm-Delivery"] == told["delivery"] == f"{job_id}.{the_row(job_id).id}"
    assert (told["event"], told["job"]["state"]) == ("job.succeeded", "succeeded")
    assert (told["job"]["id"], told["job"]["metrics"]) == (job_id, {"ssim": 0.5})
    assert told["job"]["links"]["result"] == f"/api/v1/jobs/{job_id}/result"
    assert call.headers["Content-Type"] == "application/json"
    # And the row says so
    row = the_row(job_id)
    assert (row.status, row.answer, row.tries) == (DeliveryStatus.DELIVERED, "204 No Content", 1)


def test_the_receiver_of_the_docs_knows_the_farm(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = (DOCS / "operating.md").read_text().partition("## Webhooks")[2]
    names: dict[str, Any] = {}
    exec(section.partition("```python\n")[2].partition("```")[0], names)
    from_the_farm = names["from_the_farm"]
    ended(receiver.url)
    send()
    (call,) = receiver.calls
    monkeypatch.setenv("FARM_WEBHOOK_SECRET", shared_secrets.read_webhook_key())
    assert from_the_farm(call.headers, call.body) is True
    assert from_the_farm(call.headers, call.body + b" ") is False
    long_ago = str(int(time.time()) - 3600)
    signature = payload.sign(shared_secrets.read_webhook_key(), long_ago, call.body)
    old = {"Style-Farm-Timestamp": long_ago, "Style-Farm-Signature": signature}
    assert from_the_farm(old, call.body) is False


def test_a_failure_is_told_with_its_reason_and_whole_addresses(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_PUBLIC_URL", "https://farm.example.org/")
    monkeypatch.setenv("FARM_WEBHOOK_SECRET", "a secret of the operator's own")
    fresh_settings()
    job_id = told_job(receiver.url)
    with sessions.write_session() as session:
        claims.claim(session, Taker("worker@test", frozenset({WorkClass.PREVIEW})))
        states.fail(session, AttemptRef(job_id, 1), "it broke")
    send()
    (call,) = receiver.calls
    job = call.json["job"]
    assert (call.json["event"], job["error"], job["metrics"]) == ("job.failed", "it broke", None)
    api = f"https://farm.example.org/api/v1/jobs/{job_id}"
    page = f"https://farm.example.org/jobs/{job_id}"
    assert job["links"] == {"self": api, "page": page, "result": None}
    message = call.headers["Style-Farm-Timestamp"].encode() + b"." + call.body
    expected = hmac.new(b"a secret of the operator's own", message, hashlib.sha256).hexdigest()
    assert call.headers["Style-Farm-Signature"] == f"v1={expected}"


def test_a_receiver_that_fails_is_tried_again_with_the_same_delivery() -> None:
    with receiving(Receiver(statuses=[500, 503, 204])) as receiver:
        job_id = ended(receiver.url)
        for tries, words in ((1, "500 Internal Server Error"), (2, "503 Service Unavailable")):
            assert send()
            row = the_row(job_id)
            assert (row.status, row.tries, row.answer) == (DeliveryStatus.WAITING, tries, words)
            assert send() is False  # not before its time
            make_due(job_id)
        assert send()
    assert the_row(job_id).status is DeliveryStatus.DELIVERED
    assert len({call.headers["Style-Farm-Delivery"] for call in receiver.calls}) == 1
    assert len(receiver.calls) == 3


def test_a_receiver_that_is_gone_is_not_asked_again() -> None:
    with receiving(Receiver(statuses=[410])) as receiver:
        job_id = ended(receiver.url)
        send()
    assert the_row(job_id).status is DeliveryStatus.GIVEN_UP
    assert the_row(job_id).answer == "410 Gone"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    with receiving(Receiver(statuses=[status], location=receiver.url)) as first:
        job_id = ended(first.url)
        send()
    assert len(first.calls) == 1
    assert receiver.calls == []
    row = the_row(job_id)
    assert row.status is DeliveryStatus.WAITING
    assert (row.answer or "").endswith("redirects are not followed")


@pytest.mark.parametrize("how", ["hanging", "dripping"])
def test_a_receiver_that_does_not_come_to_an_end_is_left(
    monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with receiving(Receiver(hanging=how == "hanging", dripping=how == "dripping")) as receiver:
        # Given that the time for a call is over soon after the receiver has it, however busy the machine
        monkeypatch.setattr(asyncio, "timeout", partial(end_after_call, receiver, asyncio.timeout))
        job_id = ended(receiver.url)
        send()
        assert len(receiver.calls) == 1
    row = the_row(job_id)
    assert (row.status, row.answer) == (DeliveryStatus.WAITING, "no answer within 10 s")


@asynccontextmanager
async def end_after_call(
    receiver: Receiver, timeout: Callable[[float | None], asyncio.Timeout], seconds: float | None
) -> AsyncIterator[None]:
    """End a block as `asyncio.timeout` does, but some milliseconds after the receiver was called."""
    loop = asyncio.get_running_loop()
    async with timeout(seconds) as limit:
        if seconds == webhook_sender.TIMEOUT_SECONDS:  # and not one of the libraries'

            def end() -> None:
                receiver.called.wait(seconds)
                loop.call_soon_threadsafe(lambda: limit.reschedule(loop.time() + 0.05))

            threading.Thread(target=end).start()
        yield


def test_where_nobody_listens_the_try_says_so() -> None:
    job_id = ended(f"http://127.0.0.1:{free_port()}/")
    send()
    assert (the_row(job_id).answer, the_row(job_id).tries) == ("no connection", 1)


def test_a_name_that_nobody_knows_is_said_so() -> None:
    job_id = ended("http://no-such-name.invalid/")
    send()
    assert the_row(job_id).answer == "the host's name is not known"


def test_a_name_that_leads_home_is_not_called(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_WEBHOOK_HOSTS", "")
    fresh_settings()
    for host in ("localhost", "127.0.0.1"):
        job_id = ended(f"http://{host}:{receiver.port}/")
        send()
        assert the_row(job_id).answer == "refused: private address"
    assert receiver.calls == []


def test_the_call_goes_to_the_address_that_was_checked_under_the_name_that_was_given(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is looked up once; whatever it leads to afterwards is not asked for."""
    resolves_to(monkeypatch, "127.0.0.1")
    job_id = ended(f"http://hook.test:{receiver.port}/")
    asked = []
    real = destinations.resolve

    async def once(url: httpx.URL) -> list[str]:
        found = await real(url)
        resolves_to(monkeypatch, "192.0.2.1")  # a moment later the name leads elsewhere
        asked.append(url)
        return found

    monkeypatch.setattr(destinations, "resolve", once)
    send()
    assert the_row(job_id).status is DeliveryStatus.DELIVERED
    assert len(asked) == 1
    assert receiver.calls[0].headers["Host"] == f"hook.test:{receiver.port}"


def test_of_several_addresses_the_next_is_tried(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_WEBHOOK_HOSTS", "127.0.0.0/8")
    fresh_settings()
    resolves_to(monkeypatch, "127.0.0.2", "127.0.0.1")  # nobody listens at the first
    job_id = ended(f"http://hook.test:{receiver.port}/")
    send()
    assert the_row(job_id).status is DeliveryStatus.DELIVERED


def test_a_proxy_of_the_environment_is_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    job_id = ended(receiver.url)
    send()
    assert the_row(job_id).status is DeliveryStatus.DELIVERED


@contextmanager
def certified(folder: Path, name: str) -> Iterator[tuple[ssl.SSLContext, Path]]:
    """A server's context with a certificate for this name, and its file for those who trust it."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    moment = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    both = folder / "both.pem"
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    both.write_bytes(key.private_bytes(pem, *plain) + certificate.public_bytes(pem))
    trusted = folder / "trusted.pem"
    trusted.write_bytes(certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    yield context, trusted


@pytest.mark.parametrize(
    ("name", "trust", "words"),
    [
        ("hook.test", True, "204 No Content"),
        ("other.test", True, "the certificate is not valid: Hostname mismatch"),
        ("hook.test", False, "the certificate is not valid: self-signed"),
    ],
)
def test_the_certificate_must_be_the_names_although_the_call_goes_to_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trust: bool, words: str
) -> None:
    resolves_to(monkeypatch, "127.0.0.1")
    with certified(tmp_path, name) as (context, trusted), receiving(Receiver(), context) as receiver:
        if trust:
            monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        job_id = ended(f"https://hook.test:{receiver.port}/")
        send()
        delivered = words.startswith("204")
        assert (the_row(job_id).answer or "").startswith(words)
        assert len(receiver.calls) == delivered


def test_what_breaks_inside_is_counted_as_a_try(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_claim: object) -> bytes:
        raise ZeroDivisionError

    job_id = ended(receiver.url)
    monkeypatch.setattr(webhook_sender, "call", broken)
    assert send()
    assert (the_row(job_id).tries, the_row(job_id).status) == (1, DeliveryStatus.WAITING)


def test_the_log_names_the_host_alone(receiver: Receiver) -> None:
    ended(receiver.url)
    with capture_logs() as said:
        send()
    assert "127.0.0.1" in str(said)
    assert "letmein" not in str(said)


def test_a_slow_receiver_holds_up_neither_others_nor_the_janitor(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a sender that is kept waiting by a receiver
    stop = threading.Event()
    with receiving(Receiver(hanging=True)) as slow:
        waiting, lost = ended(slow.url), to_state(State.RUNNING)
        senders = Senders(stop, 2)
        senders.start()
        assert slow.called.wait(120)
        # Then another is told meanwhile, and the janitor goes its rounds
        other = ended(receiver.url)
        wait_for(lambda: the_row(other).status is DeliveryStatus.DELIVERED, pause=0.02)
        Rounds(monkeypatch).watch(settings().lease_seconds + ROUND_SECONDS)
        assert state(lost) is State.QUEUED
        assert the_row(waiting).status is DeliveryStatus.SENDING
        stop.set()
    senders.join(120)


def test_senders_go_on_after_the_database_was_away(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sender, "OUTAGE_PAUSE_SECONDS", 0.05)
    stop, refused = threading.Event(), threading.Event()
    real = webhook_sender.logger.warning

    def heard(said: str, **facts: object) -> None:
        refused.set()
        real(said, **facts)

    monkeypatch.setattr(webhook_sender.logger, "warning", heard)
    with monkeypatch.context() as away:
        away.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
        fresh_settings()
        senders = Senders(stop, 1)
        senders.start()
        assert refused.wait(120)
    fresh_settings()
    job_id = ended(receiver.url)
    wait_for(lambda: the_row(job_id).status is DeliveryStatus.DELIVERED, pause=0.05)
    stop.set()
    senders.join(120)


def test_two_farms_of_senders_tell_each_end_once(receiver: Receiver) -> None:
    told = [ended(receiver.url) for _ in range(8)]
    stop = threading.Event()
    both = [Senders(stop), Senders(stop)]
    for senders in both:
        senders.start()
    wait_for(lambda: all(the_row(job).status is DeliveryStatus.DELIVERED for job in told), pause=0.05)
    stop.set()
    for senders in both:
        senders.join(120)
    assert sorted(call.json["job"]["id"] for call in receiver.calls) == sorted(told)


@pytest.mark.processes
def test_the_janitors_process_sends_and_what_was_cut_off_comes_again(farm_home: Path) -> None:
    with receiving(Receiver(hanging=True)) as slow, receiving(Receiver()) as receiver:
        ended(slow.url)
        told = ended(receiver.url)
        process = subprocess.Popen([*FARM, "janitor"], env=os.environ | {"REDIS_URL": ""})
        try:
            wait_for(lambda: the_row(told).status is DeliveryStatus.DELIVERED, pause=0.1)
            assert slow.called.wait(120)
            process.kill()
        finally:
            process.kill()
            process.wait(120)
    cut_off = slow.calls[0].json["job"]["id"]
    assert the_row(cut_off).status is DeliveryStatus.SENDING
    assert claim() is None
    make_due(cut_off)  # its sender is taken for lost
    found = claim()
    assert found
    assert (found.job.id, found.delivery.tries) == (cut_off, 2)


def test_sent_again_by_a_person_it_is_delivered_again(receiver: Receiver) -> None:
    job_id = ended(receiver.url)
    send()
    again(job_id, the_row(job_id).id)
    send()
    assert len(receiver.calls) == 2
    assert the_row(job_id).status is DeliveryStatus.DELIVERED
    assert deliveries.CLAIM_SECONDS > 2 * webhook_sender.TIMEOUT_SECONDS
