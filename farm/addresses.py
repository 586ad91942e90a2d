"""Addresses as operators write them, of hosts, networks, databases, brokers: check, split, complete."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import quote

HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")  # in lower case
# scheme://user:password@host:port/rest, as RFC 3986 has it; and with a password as it is.
ADDRESS = re.compile(
    r"(?P<scheme>[a-z0-9+]+)://((?P<user>[^:@/?#]*)(:(?P<password>[^@/?#]*))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*)(:(?P<port>[0-9]{1,5}))?(?P<rest>([/?].*)?)"
)
UNQUOTED = re.compile(r"(?P<start>[a-z0-9+]+://)(?P<user>[^:/?#]*):(?P<password>.*)@(?P<place>[^@]*)")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def split_address(url: str) -> dict[str, str] | None:
    """Return the parts of an address; None: it is none, or its port is no port."""
    found = ADDRESS.fullmatch(url)
    if not found or int(found["port"] or 1) not in range(1, 65536):
        return None
    return {name: text or "" for name, text in found.groupdict().items()}


def quote_password(url: str) -> str:
    """Return an address whose password is written as it is with the %XX that addresses have instead."""
    if ADDRESS.fullmatch(url) or not (found := UNQUOTED.fullmatch(url)):
        return url
    user, password = (
        re.sub(r"%(?![0-9A-Fa-f]{2})|[@:/?#\[\] ]", lambda each: quote(each[0], safe=""), found[name])
        for name in ("user", "password")
    )
    return f"{found['start']}{user}:{password}@{found['place']}"


def add_password(url: str, password: str) -> str:
    """Return an address with this password, if it has a host and no password of its own."""
    known = split_address(url)
    if not password or not known or known["password"] or not known["host"]:
        return url
    port = f":{known['port']}" if known["port"] else ""
    place = f"{known['host']}{port}{known['rest']}"
    return f"{known['scheme']}://{known['user']}:{quote(password, safe='')}@{place}"


def name_driver(url: str) -> str:
    """Return the database's address with psycopg for PostgreSQL; providers write either scheme."""
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)


def is_host(text: str) -> bool:
    """Check whether a text is the name of a host, or an address without brackets."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return HOST_NAME.fullmatch(text.lower()) is not None
    return True


def is_loopback(host: str) -> bool:
    """Check whether an address or a host's name is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_network(entry: str) -> Network | None:
    """Return the network; None for a name."""
    try:
        return ipaddress.ip_network(entry)
    except ValueError:
        return None
