"""Sender of webhooks: notifies receivers that a job has ended, at least once.

Threads beside the janitor's rounds, so that a slow receiver holds up nothing. Each claims a delivery,
calls outside of any transaction, and stores the outcome. Where the answer, or the farm itself, is lost
in between, the same delivery is sent again.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from datetime import timedelta
from http import HTTPStatus

import httpx
import structlog
from sqlalchemy.exc import OperationalError

from farm.database import sessions, shared_secrets
from farm.webhooks import deliveries, destinations, payload
from farm.webhooks.deliveries import Answer, Claim

SENDERS = 4
TIMEOUT_SECONDS = 10.0  # for a whole call, from the look-up of the name to the answer's head
CONNECT_SECONDS = 5.0  # for one of several addresses
POLL_SECONDS = 1.0  # while nothing is due
OUTAGE_PAUSE_SECONDS = 5.0
USER_AGENT = "style-farm"

logger = structlog.get_logger()


class Senders:
    """Threads that send due deliveries until `stop` is set."""

    def __init__(self, stop: threading.Event, count: int = SENDERS) -> None:
        self._stop = stop
        self._threads = [
            threading.Thread(target=self._send_until_stopped, name=f"webhooks-{number}", daemon=True)
            for number in range(count)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> None:
        """Wait for calls under way, `seconds` at most; those cut off are sent again later."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _send_until_stopped(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            pause = POLL_SECONDS
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
    """Claim a due delivery, call its receiver and store the outcome; False: none was due."""
    with sessions.read_session() as session:
        if not deliveries.has_due(session):
            return False
    with sessions.write_session() as session:
        claim = deliveries.claim(session)
    if claim is None:  # another sender was quicker
        return False
    try:
        answer = call(claim)
    except Exception:  # none is expected; counted as a try, or it would come again for ever
        logger.exception("a webhook broke off", job=claim.job.id, delivery=claim.delivery.id)
        answer = Answer("the farm itself failed; its log says why")
    with sessions.write_session() as session:
        ours = deliveries.record_answer(session, claim, answer)
    _log_call(claim, answer, ours)
    return True


def call(claim: Claim) -> Answer:
    """Call the receiver of a delivery and return the outcome.

    Raises nothing that the network or the receiver can bring about.
    """
    body = payload.build_notice(claim).model_dump_json().encode()
    return asyncio.run(_call_in_time(httpx.URL(claim.url), body, _build_headers(claim, body)))


def _build_headers(claim: Claim, body: bytes) -> dict[str, str]:
    claimed_at = claim.until - timedelta(seconds=deliveries.CLAIM_SECONDS)  # by the database's clock
    timestamp = str(int(claimed_at.timestamp()))
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        payload.DELIVERY: payload.make_name(claim.delivery),
        payload.TIMESTAMP: timestamp,
        payload.SIGNATURE: payload.sign(shared_secrets.read_webhook_key(), timestamp, body),
    }


async def _call_in_time(url: httpx.URL, body: bytes, headers: dict[str, str]) -> Answer:
    """Call under one time limit for the whole, since each single byte of an answer may come late."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await _call_first_reachable(url, body, headers)
    except TimeoutError:
        return Answer(f"no answer within {TIMEOUT_SECONDS:g} s")
    except destinations.PrivateAddress:
        return Answer("refused: private address")
    except httpx.ConnectError as error:
        return Answer(_explain_connect_error(error))
    except httpx.HTTPError:
        return Answer("the connection broke off before an answer")
    except OSError:  # of the look-up
        return Answer("the host's name is not known")


async def _call_first_reachable(url: httpx.URL, body: bytes, headers: dict[str, str]) -> Answer:
    """Call the first of the host's addresses that accepts the connection."""
    addresses = await destinations.resolve(url)
    limits = httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS)
    async with httpx.AsyncClient(
        verify=_create_ssl_context(), trust_env=False, timeout=limits
    ) as client:
        for address in addresses[:-1]:
            try:
                return await _post(client, address, url, body, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await _post(client, addresses[-1], url, body, headers)


async def _post(
    client: httpx.AsyncClient, address: str, url: httpx.URL, body: bytes, headers: dict[str, str]
) -> Answer:
    """Post to an address that was checked; the certificate must be the host name's.

    The name is not resolved again: it could lead elsewhere by now. No redirect is followed: it could
    lead anywhere. Only the head of the answer is read.
    """
    request = client.build_request(
        "POST",
        url.copy_with(host=address),
        content=body,
        headers=headers | {"Host": url.netloc.decode("ascii")},
        extensions={"sni_hostname": destinations.extract_host(url)},
    )
    response = await client.send(request, stream=True, follow_redirects=False)
    await response.aclose()
    return _classify_status(response.status_code)


def _create_ssl_context() -> ssl.SSLContext:
    """Create a context that trusts SSL_CERT_FILE and SSL_CERT_DIR.

    Proxies of the environment are not used: they would resolve the name anew.
    """
    return httpx.create_ssl_context(trust_env=True)


def _classify_status(status: int) -> Answer:
    try:
        words = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        words = str(status)
    if 300 <= status < 400:
        words += "; redirects are not followed"
    gone = status == HTTPStatus.GONE
    return Answer(words, delivered=200 <= status < 300, final=gone)


def _explain_connect_error(error: BaseException | None) -> str:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"the certificate is not valid: {error.verify_message}"
        error = error.__cause__ or error.__context__
    return "no connection"


def _log_call(claim: Claim, answer: Answer, ours: bool) -> None:
    """Log a call with its host alone: path and query may hold a secret."""
    logger.info(
        "webhook",
        job=claim.job.id,
        delivery=claim.delivery.id,
        attempt=claim.delivery.attempt,
        host=destinations.extract_host(claim.url),
        tries=claim.delivery.tries,
        answer=answer.words if ours else f"{answer.words}; too late, sent by another",
    )
