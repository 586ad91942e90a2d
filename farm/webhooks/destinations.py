"""Which addresses a webhook may call: somebody's receiver on the internet, and what the operator allows,
but nothing else of the network that the farm stands in.

A name says nothing about where it leads, and may lead elsewhere a moment later. So the form of a URL is
judged when it is sent in; the addresses behind its name at each call, and the call goes to one of those.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from typing import NoReturn

import httpx

from farm.addresses import HOST_NAME
from farm.database.models import WEBHOOK_LENGTH
from farm.errors import FarmError, InvalidInput, Problem
from farm.settings import settings

FIELD = "webhook_url"
LONGEST_NAME = 253  # characters of a host's name
PORTS = range(1, 65536)
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # an IPv4 address in its last 32 bits, RFC 6052
IPV6_TEXT = re.compile(r"[0-9a-f:.]{2,45}")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class PrivateAddress(FarmError):
    """The host has an address that webhooks may not call."""


def check(text: str) -> None:
    """Check that a webhook may have this URL. The addresses behind its name are checked at each call.

    Raises:
        InvalidInput: it is not; the URL itself is not repeated, since it may hold a secret.
    """
    if len(text) > WEBHOOK_LENGTH:
        _refuse(f"has {len(text)} characters; the limit is {WEBHOOK_LENGTH}")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError):
        _refuse("is not an address such as https://example.org/told")
    if url.scheme not in ("http", "https"):
        _refuse("must begin with http:// or https://")
    if url.userinfo:
        _refuse("must not hold a user's name or password")
    if url.fragment:
        _refuse("must not have a #: what follows is never sent")
    if url.port is not None and url.port not in PORTS:
        _refuse(f"has a port that is not from {PORTS[0]} to {PORTS[-1]}")
    name = extract_host(url)
    if not (IPV6_TEXT.fullmatch(name) and ":" in name) and not _is_name(name):
        _refuse("has no host that could be called")
    if not all(_is_allowed(name, address) for address in _parse_address(name)):
        _refuse("is a private address; the farm's operator can allow it in FARM_WEBHOOK_HOSTS")


def extract_host(url: httpx.URL | str) -> str:
    """Return the host's name as it is looked up, or its address."""
    return httpx.URL(url).raw_host.decode("ascii").lower().removesuffix(".")


async def resolve(url: httpx.URL) -> list[str]:
    """Return the addresses of the URL's host, all of them allowed.

    Raises:
        PrivateAddress: at least one is not.
        OSError: the name is not known.
    """
    name = extract_host(url)
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    texts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not all(_is_allowed(name, ipaddress.ip_address(text)) for text in texts):
        raise PrivateAddress()
    return texts


def _refuse(message: str) -> NoReturn:
    raise InvalidInput(Problem(FIELD, message)) from None


def _is_name(name: str) -> bool:
    return len(name) <= LONGEST_NAME and HOST_NAME.fullmatch(name) is not None


def _parse_address(name: str) -> list[Address]:
    """Return the address that is written here, in any form that the system's resolver reads, such as
    127.1 or 2130706433; none for a name."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return []
    return [ipaddress.ip_address(str(entry[4][0])) for entry in found]


def _is_allowed(name: str, address: Address) -> bool:
    wanted = settings()
    if name in wanted.webhook_host_names or _is_public(address):
        return True
    return any(address in network for network in wanted.webhook_networks)


def _is_public(address: Address) -> bool:
    """Check for an address of one host on the internet; a mapped IPv4 address is judged as that."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _find_inner_ipv4(address)
        if inner is not None:
            return _is_public(inner)
        if address not in GLOBAL_UNICAST or address.sixtofour or address.teredo:
            return False  # tunnels of old, which end at an IPv4 address of the caller's choice
    return address.is_global and not address.is_multicast


def _find_inner_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped
