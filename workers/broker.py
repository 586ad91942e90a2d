"""Queues of Redis as a worker reads them: tickets, and nothing else, whatever lies there.

A ticket only wakes (`farm/jobs/tickets.py`), and names its queue. So each message is replaced by
a ticket of this worker's own making before Celery reads it: no field of another's can stop the worker,
or stop it again after each start because it was put back.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from kombu.transport import redis
from redis import ConnectionPool, Redis
from redis.exceptions import ResponseError

from farm.jobs import queue_keys
from farm.jobs.tickets import TASK

log = structlog.get_logger()


def install() -> None:
    """Let the Redis transport of this process use this channel."""
    redis.Transport.Channel = TicketChannel


class TicketQoS(redis.QoS):
    """Book of messages that were taken and not acknowledged."""

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """Forget those of which nothing was heard for `visibility_timeout`, instead of sending them
        again: the janitor sends a ticket for each job that waits, and these may be anything."""
        before = time.time() - self.visibility_timeout
        with self.channel.conn_or_acquire() as client:  # type: ignore[attr-defined]  # not in its stubs
            old = client.zrange(self.unacked_index_key, before, 0, desc=True, byscore=True)
            if old:
                client.hdel(self.unacked_key, *old)
                client.zrem(self.unacked_index_key, *old)


class TicketChannel(redis.Channel):
    """Channel of kombu's that reads tickets alone."""

    QoS = TicketQoS

    def _get_client(self) -> Any:
        return partial(TicketClient, global_keyprefix=queue_keys.PREFIX)


class _MendsKeys:
    """Part that a client and its pipelines share: keys of another type are dropped, and the command is
    sent again. All commands of kombu's may be sent twice; a doubled ticket costs nothing."""

    connection_pool: ConnectionPool

    def _mend(self, send: Callable[[], Any]) -> Any:
        try:
            return send()
        except ResponseError as error:
            if not queue_keys.is_wrong_type(error) or not self._drop_wrong_types():
                raise
            return send()

    def _drop_wrong_types(self) -> bool:
        return queue_keys.drop_wrong_types(Redis(connection_pool=self.connection_pool))


class TicketClient(_MendsKeys, redis.PrefixedStrictRedis):
    """Client of Redis to which a message is a ticket, and a key of another type is none."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command by its name and arguments."""
        return self._mend(lambda: super(TicketClient, self).execute_command(*args, **options))

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        """Return a pipeline that mends keys, too."""
        options = (self.connection_pool, self.response_callbacks, transaction, shard_hint)
        return TicketPipeline(*options, global_keyprefix=self.global_keyprefix)

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        """Parse an answer of Redis; what it pops from a queue becomes a ticket."""
        try:
            answer = super().parse_response(connection, command_name, **options)
        except ResponseError as error:
            if command_name != "BRPOP" or not queue_keys.is_wrong_type(error):
                raise
            self._drop_wrong_types()
            return None  # nothing came; the next question finds a queue
        if command_name != "BRPOP" or not answer:
            return answer
        queue, data = answer
        name = bytes(queue).split(redis.Channel.sep.encode())[0].decode(errors="replace")
        if not is_ticket(data, name):
            log.warning("message dropped: no ticket", queue=name, bytes=len(data), begin=repr(data[:60]))
        return queue, build_ticket(name)


class TicketPipeline(_MendsKeys, redis.PrefixedRedisPipeline):
    """Several commands at once, by such a client."""

    def execute(self, raise_on_error: bool = True) -> Any:
        """Execute the commands; see the base class."""
        commands = list(self.command_stack)

        def send() -> Any:
            self.command_stack = list(commands)
            return super(TicketPipeline, self).execute(raise_on_error)

        return self._mend(send)

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute one of them before the others, while keys are watched."""
        send: Callable[..., Any] = super().immediate_execute_command
        return self._mend(lambda: send(*args, **options))


def is_ticket(data: bytes, queue: str) -> bool:
    """Check that a message is a ticket of this queue."""
    try:
        message = json.loads(data)
        arguments = json.loads(base64.b64decode(message["body"], validate=True))[0]
        return bool(message["headers"]["task"] == TASK and arguments == [queue])
    except (ValueError, TypeError, LookupError, RecursionError):
        return False


def build_ticket(queue: str) -> bytes:
    """Return a ticket as Celery serialises it."""
    ticket_id = uuid.uuid4().hex
    embedded = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))
    headers = dict.fromkeys(("parent_id", "group", "eta", "expires"))
    headers |= {"lang": "py", "task": TASK, "id": ticket_id, "root_id": ticket_id, "origin": "farm"}
    headers |= {"retries": 0, "timelimit": [None, None], "argsrepr": "", "kwargsrepr": "{}"}
    message = {
        "body": base64.b64encode(json.dumps([[queue], {}, embedded]).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": ticket_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": uuid.uuid4().hex,
        },
    }
    return json.dumps(message).encode()
