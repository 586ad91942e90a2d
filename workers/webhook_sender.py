"""Webhooks: whoever asked for it is told that a job has ended.

Threads beside the janitor's rounds, so that a slow receiver holds up nothing. Each claims a delivery,
calls outside of any transaction, and writes how that went. Told at least once: where the answer, or the
farm itself, is lost in between, the same delivery comes again.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from http import HTTPStatus

import httpx
import structlog
from sqlalchemy.exc import OperationalError

from farm.database import sessions
from farm.settings import settings
from farm.webhooks import deliveries, destinations, payload
from farm.webhooks.deliveries import Answer, Claim

SENDERS = 4
TIMEOUT_SECONDS = 10.0  # for a whole call, from the look-up of the name to the answer's head
CONNECT_SECONDS = 5.0  # for one of several addresses
PAUSE_SECONDS = 1.0  # between two looks while nothing is due
OUTAGE_PAUSE_SECONDS = 5.0
USER_AGENT = "style-farm"

logger = structlog.get_logger()


class Senders:
    """Threads that send what is due until `stop` is set."""

    def __init__(self, stop: threading.Event, count: int = SENDERS) -> None:
        self._stop = stop
        self._threads = [
            threading.Thread(target=self._run, name=f"webhooks-{number}", daemon=True)
            for number in range(count)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> None:
        """Wait so long at most for calls under way; what is cut off comes again later."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            pause = PAUSE_SECONDS
            try:
                if send_one():
                    pause = 0.0
            except OperationalError as error:
                logger.warning("the database is away", error=str(error.orig))
                pause = OUTAGE_PAUSE_SECONDS
            except Exception:
                logger.exception("a webhook broke off")
                pause = OUTAGE_PAUSE_SECONDS


def send_one() -> bool:
    """Try one delivery that is due; False: there is none."""
    with sessions.reading() as session:
        if not deliveries.any_due(session):
            return False
    with sessions.writing() as session:
        claim = deliveries.claim(session)
    if claim is None:  # another sender was quicker
        return False
    try:
        answer = call(claim)
    except Exception:  # none is expected; counted as a try, or it would come again for ever
        logger.exception("a webhook broke off", job=claim.job.id, delivery=claim.delivery.id)
        answer = Answer("the farm itself failed; its log says why")
    with sessions.writing() as session:
        ours = deliveries.answered(session, claim, answer)
    _log(claim, answer, ours)
    return True


def call(claim: Claim) -> Answer:
    """One call, and how it went. Raises nothing that the network or the receiver can bring about."""
    assert claim.job.webhook_url
    url = httpx.URL(claim.job.webhook_url)
    body = payload.Notice.of(claim).model_dump_json().encode()
    return asyncio.run(_in_time(url, body, _headers(claim, body)))


def _headers(claim: Claim, body: bytes) -> dict[str, str]:
    timestamp = str(int(time.time()))
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        payload.DELIVERY: payload.name_of(claim.delivery),
        payload.TIMESTAMP: timestamp,
        payload.SIGNATURE: payload.signature(settings().webhook_key, timestamp, body),
    }


async def _in_time(url: httpx.URL, body: bytes, headers: dict[str, str]) -> Answer:
    """One limit for the whole, since each single byte of an answer may come late."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await _call(url, body, headers)
    except TimeoutError:
        return Answer(f"no answer within {TIMEOUT_SECONDS:g} s")
    except destinations.PrivateAddress:
        return Answer("refused: private address")
    except httpx.ConnectError as error:
        return Answer(_why_no_connection(error))
    except httpx.HTTPError:
        return Answer("the connection broke off before an answer")
    except OSError:  # of the look-up
        return Answer("the host's name is not known")


async def _call(url: httpx.URL, body: bytes, headers: dict[str, str]) -> Answer:
    """At the first of the host's addresses that takes the connection."""
    found = await destinations.resolve(url)
    limits = httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS)
    async with httpx.AsyncClient(verify=_certificates(), trust_env=False, timeout=limits) as client:
        for address in found[:-1]:
            try:
                return await _call_at(client, address, url, body, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await _call_at(client, found[-1], url, body, headers)


async def _call_at(
    client: httpx.AsyncClient, address: str, url: httpx.URL, body: bytes, headers: dict[str, str]
) -> Answer:
    """At the address that was checked, not at what the name leads to by now; the certificate must be the
    name's. Of the answer only the head is read, and no redirect is followed: it could lead anywhere."""
    request = client.build_request(
        "POST",
        url.copy_with(host=address),
        content=body,
        headers=headers | {"Host": url.netloc.decode("ascii")},
        extensions={"sni_hostname": destinations.host(url)},
    )
    response = await client.send(request, stream=True, follow_redirects=False)
    await response.aclose()
    return _answer(response.status_code)


def _certificates() -> ssl.SSLContext:
    """What SSL_CERT_FILE and SSL_CERT_DIR say. Proxies of the environment are not used: they would look
    the name up anew."""
    return httpx.create_ssl_context(trust_env=True)


def _answer(status: int) -> Answer:
    try:
        words = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        words = str(status)
    if 300 <= status < 400:
        words += "; redirects are not followed"
    gone = status == HTTPStatus.GONE
    return Answer(words, delivered=200 <= status < 300, final=gone)


def _why_no_connection(error: BaseException | None) -> str:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"the certificate is not valid: {error.verify_message}"
        error = error.__cause__ or error.__context__
    return "no connection"


def _log(claim: Claim, answer: Answer, ours: bool) -> None:
    """The host alone: path and query may hold what lets one in."""
    assert claim.job.webhook_url
    logger.info(
        "webhook",
        job=claim.job.id,
        delivery=claim.delivery.id,
        attempt=claim.delivery.attempt,
        host=destinations.host(claim.job.webhook_url),
        tries=claim.delivery.tries,
        answer=answer.words if ours else f"{answer.words}; too late, sent by another",
    )
