"""The environment, typed. This is the only file that reads it.

Every setting has a default under which `farm up` works on one machine with nothing else installed.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import platform
import re
import secrets
import tempfile
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LONGEST_SOCKET_PATH = 100  # bytes; sockaddr_un holds 108
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST_SECRET = 16  # characters of FARM_WEBHOOK_SECRET
HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")  # in lower case
RATE = re.compile(r"[1-9][0-9]{0,8} per ([1-9][0-9]{0,3} )?(second|minute|hour|day)")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Settings(BaseSettings):
    """What an operator can set, each by the environment variable named in `validation_alias`."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    home: Path = Field(default=Path("var"), validation_alias="FARM_HOME")
    host: str = Field(default="127.0.0.1", validation_alias="HOST")
    port: int = Field(default=8000, ge=1, le=65535, validation_alias="PORT")
    database_url: str = Field(default="", validation_alias="DATABASE_URL")
    redis_url: str = Field(default="", validation_alias="REDIS_URL")
    storage: str = Field(default="", validation_alias="FARM_STORAGE")
    weights_dir: Path = Field(
        default=Path("~/.cache/style-farm/weights"), validation_alias="FARM_WEIGHTS_DIR"
    )
    max_upload_mb: int = Field(default=64, ge=1, validation_alias="FARM_MAX_UPLOAD_MB")
    max_upload_megapixels: int = Field(default=100, ge=1, validation_alias="FARM_MAX_UPLOAD_MEGAPIXELS")
    trusted_hosts: str = Field(default="", validation_alias="FARM_TRUSTED_HOSTS")
    require_token: bool = Field(default=False, validation_alias="FARM_REQUIRE_TOKEN")
    token: str = Field(default="", repr=False, validation_alias="FARM_TOKEN")
    rate_limit: str = Field(default="600 per minute", validation_alias="FARM_RATE_LIMIT")
    read_limit: str = Field(default="", validation_alias="FARM_READ_LIMIT")
    proxies: int = Field(default=0, ge=0, le=10, validation_alias="FARM_PROXIES")
    web_threads: int = Field(default=16, ge=1, validation_alias="FARM_WEB_THREADS")
    web_streams: int = Field(default=64, ge=0, validation_alias="FARM_WEB_STREAMS")
    silence_seconds: int = Field(default=30, ge=1, le=3600, validation_alias="FARM_SILENCE_SECONDS")
    worker_name: str = Field(
        default_factory=lambda: f"worker@{platform.node()}", validation_alias="FARM_WORKER_NAME"
    )
    memory_gb: float = Field(default=0, ge=0, allow_inf_nan=False, validation_alias="FARM_MEMORY_GB")
    lease_seconds: int = Field(default=60, ge=3, validation_alias="FARM_LEASE_SECONDS")
    stall_seconds: int = Field(default=600, ge=1, validation_alias="FARM_STALL_SECONDS")
    checkpoint_seconds: int = Field(default=240, ge=1, validation_alias="FARM_CHECKPOINT_SECONDS")
    outage_seconds: int = Field(default=300, ge=0, validation_alias="FARM_OUTAGE_SECONDS")
    log_format: Literal["console", "json"] = Field(default="console", validation_alias="FARM_LOG_FORMAT")
    public_url: str = Field(default="", validation_alias="FARM_PUBLIC_URL")
    webhook_hosts: str = Field(default="", validation_alias="FARM_WEBHOOK_HOSTS")
    webhook_secret: str = Field(default="", repr=False, validation_alias="FARM_WEBHOOK_SECRET")

    @field_validator("public_url")
    @classmethod
    def _an_address(cls, text: str) -> str:
        parts = urlsplit(text)
        if text and (parts.scheme not in ("http", "https") or not parts.netloc):
            raise ValueError("must be an address such as https://farm.example.org")
        if parts.query or parts.fragment:
            raise ValueError("must end with its path, without ? and #")
        return text.rstrip("/")

    @field_validator("webhook_hosts")
    @classmethod
    def _names_or_networks(cls, text: str) -> str:
        """Nobody opens every private address by a star."""
        for entry in _entries(text):
            network = _network(entry)
            if network is None and not HOST_NAME.fullmatch(entry):
                raise ValueError(f"{entry!r} is neither a host's name nor a network such as 10.1.0.0/16")
            if network is not None and not network.prefixlen:
                raise ValueError(f"{entry!r} is every address there is; name the hosts or networks")
        return text

    @field_validator("rate_limit", "read_limit")
    @classmethod
    def _a_rate(cls, text: str) -> str:
        """Empty: none."""
        text = text.strip().lower()
        if text and text != "off" and not RATE.fullmatch(text):
            raise ValueError("must be such as `600 per minute`, or `off`")
        return "" if text == "off" else text

    @field_validator("webhook_secret")
    @classmethod
    def _long_enough(cls, text: str) -> str:
        if text and len(text) < SHORTEST_SECRET:
            raise ValueError(f"must have {SHORTEST_SECRET} characters or more")
        return text

    @model_validator(mode="after")
    def _fill_in_the_embedded_default(self) -> Self:
        """What is not set points into `home`."""
        home = self.home.expanduser().resolve()
        filled = {
            "home": home,
            "weights_dir": self.weights_dir.expanduser().resolve(),
            "database_url": self.database_url or f"sqlite:///{home / 'farm.db'}",
            "storage": self.storage or f"file://{home / 'storage'}",
        }
        for name, value in filled.items():
            object.__setattr__(self, name, value)
        if self.database_url.startswith("postgres://"):
            object.__setattr__(self, "database_url", "postgresql" + self.database_url[8:])
        if self.database_url.startswith("postgresql://"):
            object.__setattr__(self, "database_url", "postgresql+psycopg" + self.database_url[10:])
        return self

    @property
    def hosts(self) -> frozenset[str] | None:
        """Host names under which the web part answers; None: any.

        On loopback, this machine's names alone, so that a page elsewhere whose name was pointed at
        127.0.0.1 cannot use the farm through a visitor's browser.
        """
        loopback = {"127.0.0.1", "localhost", "[::1]"}
        if self.trusted_hosts:
            return frozenset({*self.trusted_hosts.lower().replace(" ", "").split(","), *loopback})
        return frozenset(loopback) if self.host in LOOPBACK else None

    @property
    def embedded_redis(self) -> bool:
        """Whether the farm runs a private Redis-protocol server of its own."""
        return not self.redis_url

    @property
    def redis_socket(self) -> Path:
        """The private server's socket: in `home`, or where that path is too long, in /tmp."""
        path = self.home / "redis.sock"
        if len(str(path).encode()) <= LONGEST_SOCKET_PATH:
            return path
        short = hashlib.sha256(str(self.home).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"farm-{short}" / "redis.sock"

    @property
    def broker_url(self) -> str:
        """What Celery connects to."""
        return self.redis_url or f"redis+socket://{self.redis_socket}"

    @property
    def limits_url(self) -> str:
        """Where requests are counted: the broker's server, if it is one; otherwise this process."""
        url = self.broker_url.replace("redis+socket://", "redis+unix://")
        return url if url.startswith(("redis://", "rediss://", "redis+unix://")) else "memory://"

    @cached_property
    def webhook_host_names(self) -> frozenset[str]:
        """Hosts that webhooks may call wherever they are."""
        return frozenset(entry for entry in _entries(self.webhook_hosts) if _network(entry) is None)

    @cached_property
    def webhook_networks(self) -> tuple[Network, ...]:
        """Private networks that webhooks may call."""
        return tuple(found for entry in _entries(self.webhook_hosts) if (found := _network(entry)))

    @cached_property
    def webhook_key(self) -> str:
        """Signs webhooks: FARM_WEBHOOK_SECRET, or one that is made once and kept in `home`."""
        return self.webhook_secret or self._kept("webhook_secret")

    @cached_property
    def secret_key(self) -> str:
        """Signs the session, and with it the forms' CSRF tokens; made once and kept in `home`, for its
        owner alone."""
        return self._kept("secret_key")

    def _kept(self, name: str) -> str:
        """A secret in a file of `home`. The file appears whole: two processes that start at once must
        not go on with different ones, nor with half of one."""
        path = self.home / name
        if not path.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{name}.{secrets.token_hex(8)}.part")
            with open(part, "x", opener=_owner_only) as file:
                file.write(secrets.token_urlsafe(32))
            with suppress(FileExistsError):  # somebody else was quicker
                os.link(part, path)
            part.unlink()
        return path.read_text()


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _entries(text: str) -> list[str]:
    return [entry for entry in text.lower().replace(" ", "").split(",") if entry]


def _network(entry: str) -> Network | None:
    """None: it is a name."""
    try:
        return ipaddress.ip_network(entry)
    except ValueError:
        return None


class SettingsInvalid(SystemExit):
    """Raised at start-up: one line for each environment variable that is wrong."""


@lru_cache
def settings() -> Settings:
    """The settings of this process, read once."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise SettingsInvalid("The environment is not valid:\n  " + "\n  ".join(lines)) from None
