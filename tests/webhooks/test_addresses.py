"""Where a webhook may go: judged by form when it is sent in, by address at each call."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from farm.database.models import WEBHOOK_LENGTH
from farm.errors import InvalidInput
from farm.settings import SettingsInvalid
from farm.webhooks import destinations
from farm.webhooks.destinations import PrivateAddress, check, resolve
from tests.conftest import fresh_settings

PUBLIC = "93.184.215.14"


def resolves_to(monkeypatch: pytest.MonkeyPatch, *found: str) -> None:
    """The resolver of this machine, which answers a name only so: there is none for tests."""
    real = socket.getaddrinfo

    def answer(name: str, port: int, *rest: Any, **options: Any) -> list[Any]:
        if name != "hook.test":
            return real(name, port, *rest, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, 0)) for text in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def addresses_of(url: str) -> list[str]:
    """On a thread of its own: the main one may have a browser's event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, resolve(httpx.URL(url))).result()


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/told?key=1",
        "http://hook.example.org:8080",
        "https://EXAMPLE.org./",
        "https://bücher.example/ä",
        f"http://{PUBLIC}/",
        "https://[2606:4700::1111]:8443/x",
    ],
)
def test_an_address_on_the_internet_is_taken(url: str) -> None:
    check(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("example.org/told", "http://"),
        ("ftp://example.org/", "http://"),
        ("javascript:alert(1)", "http://"),
        ("https://me:secret@example.org/", "password"),
        ("https://example.org/#part", "#"),
        ("https:///told", "no host"),
        ("https://a b/", "no host"),
        ("https://*/", "no host"),
        ("https://a..b/", "no host"),
        (f"https://{'a' * 64}.org/", "no host"),
        ("https://example.org:99999999/", "port"),
        ("https://example.org:0/", "port"),
        ("https://exa\x00mple.org/", "is not an address"),
        ("https://[::1/", "is not an address"),
        ("https://example.org/" + "x" * WEBHOOK_LENGTH, f"limit is {WEBHOOK_LENGTH}"),
        ("http://127.0.0.1:6379/", "private"),
        ("http://127.1/", "private"),
        ("http://2130706433/", "private"),
        ("http://0x7f.0.0.1/", "private"),
        ("http://[::1]/", "private"),
        ("http://[::ffff:10.0.0.1]/", "private"),
        ("http://169.254.169.254/latest/meta-data/", "private"),
    ],
)
def test_what_is_no_address_or_a_private_one_is_refused_in_words(url: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(url)
    (problem,) = caught.value.problems
    assert problem.field == "webhook_url"
    assert said in problem.message
    assert url not in problem.message


@pytest.mark.parametrize(
    ("text", "public"),
    [
        (PUBLIC, True),
        ("2606:4700::1111", True),
        ("::ffff:93.184.215.14", True),
        ("64:ff9b::5db8:d70e", True),  # the same, translated
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("192.168.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::7f00:1", False),  # 127.0.0.1, compatible
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),  # 6to4
        ("2002:5db8:d70e::", False),
        ("2001:0:1::1", False),  # Teredo
        ("fc00::1", False),
        ("fe80::1", False),
        ("fec0::1", False),
        ("ff0e::1", False),
    ],
)
def test_only_single_hosts_on_the_internet_are_public(text: str, public: bool) -> None:
    assert destinations._is_public(ipaddress.ip_address(text)) is public


def test_a_name_that_leads_home_is_refused_when_it_is_looked_up() -> None:
    check("http://localhost:1/")  # as a name it may be anything
    with pytest.raises(PrivateAddress):
        addresses_of("http://localhost:1/")


def test_one_private_address_among_public_ones_is_enough_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolves_to(monkeypatch, PUBLIC)
    assert addresses_of("http://hook.test/") == [PUBLIC]
    resolves_to(monkeypatch, PUBLIC, "10.0.0.7")
    with pytest.raises(PrivateAddress):
        addresses_of("http://hook.test/")


@pytest.mark.parametrize("allowed", ["localhost", "LOCALHOST, other.example", "127.0.0.0/8,::1/128"])
def test_the_operator_allows_hosts_and_networks(monkeypatch: pytest.MonkeyPatch, allowed: str) -> None:
    monkeypatch.setenv("FARM_WEBHOOK_HOSTS", allowed)
    fresh_settings()
    assert "127.0.0.1" in addresses_of("http://localhost:1/")


def test_what_the_operator_allows_is_all_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_WEBHOOK_HOSTS", "10.1.0.0/16,hook.test")
    fresh_settings()
    check("http://10.1.2.3/")
    for refused in ("http://10.2.0.1/", "http://127.0.0.1/"):
        with pytest.raises(InvalidInput):
            check(refused)
    with pytest.raises(PrivateAddress):
        addresses_of("http://localhost/")


@pytest.mark.parametrize("value", ["*", "*.example.org", "0.0.0.0/0", "::/0", "10.0.0.1/8", "http://x"])
def test_a_list_that_names_no_hosts_stops_the_farm(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    with monkeypatch.context() as wrong:
        wrong.setenv("FARM_WEBHOOK_HOSTS", value)
        with pytest.raises(SettingsInvalid, match="FARM_WEBHOOK_HOSTS"):
            fresh_settings()
