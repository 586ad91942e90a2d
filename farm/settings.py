"""The environment, typed. This is the only file that reads it.

Every setting has a default under which `farm up` works on one machine with nothing else installed. A
secret may lie in a file instead: `DATABASE_URL_FILE` names the one that holds `DATABASE_URL`.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from farm.addresses import (
    HOST_NAME,
    Network,
    add_password,
    is_host,
    is_loopback,
    name_driver,
    parse_network,
    quote_password,
    split_address,
)

MAX_SOCKET_PATH = 100  # bytes; sockaddr_un holds 108
A_WEEK = 7 * 24 * 3600  # s
MAX_KEEP_DAYS = 100_000
MAX_KEEP_GB = 1_000_000
MIN_SECRET = 16  # characters of a secret that signs
POSTGRESQL = re.compile(r"postgres(ql)?(\+psycopg)?")
SQLITE_FILE = re.compile(r"sqlite:///(?!:memory:).+")
REDIS_DATABASE = re.compile(r"(/[0-9]*)?(\?.*)?")
S3_ADDRESS = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]{2,254}(/[A-Za-z0-9._~-]+)*/?")
WORKER_NAME = re.compile(r"[^\s%,-][^%,]{0,119}")  # Celery expands % and splits at commas
RATE = re.compile(r"[1-9][0-9]{0,8} per ([1-9][0-9]{0,3} )?(second|minute|hour|day)")
PATH_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]*[A-Za-z0-9_~-])+")  # such as /farm; no . nor .. and no //
TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")  # that a job asks for and a worker has
CLASSES = ("preview", "standard", "large")  # of work, as `farm.database.models.WorkClass` has them

SECRET = "secret"  # noqa: S105 - marks the settings that may lie in files and are in no listing
Secret = Annotated[str, Field(default="", repr=False), SECRET]


class SettingsInvalid(SystemExit):
    """Raised at start-up: one line for each environment variable that is wrong.

    Attributes:
        problems: `VARIABLE: what is wrong`, each.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("The environment is not valid:\n  " + "\n  ".join(problems))


class SecretFiles(PydanticBaseSettingsSource):
    """Secrets from the files that `VARIABLE_FILE` names, as Docker and Kubernetes mount them."""

    def __call__(self) -> dict[str, Any]:
        """Return the secrets by variable.

        Raises:
            SettingsInvalid: a file cannot be read or is empty, or its variable is set, too.
        """
        found, problems = {}, []
        for name, field in self.settings_cls.model_fields.items():
            try:
                value, variable, _ = self.get_field_value(field, name)
            except ValueError as error:
                problems.append(str(error))
                continue
            if value:
                found[variable] = value
        if problems:
            raise SettingsInvalid(problems)
        return found

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str, str, bool]:
        """Return the secret ("": in no file), its variable, and that it is no JSON."""
        variable = str(field.validation_alias)
        path = os.environ.get(f"{variable}_FILE", "") if SECRET in field.metadata else ""
        if not path:
            return "", variable, False
        if variable in self.current_state:
            raise ValueError(f"{variable}_FILE: {variable} is set, too; give one of the two")
        return _read_secret(variable, path), variable, False


def _read_secret(variable: str, path: str) -> str:
    """Return what the file holds without the line's end; ValueError names the variable."""
    try:
        text = Path(path).read_text().rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"{variable}_FILE: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{variable}_FILE: {path} is not text") from None
    if not text:
        raise ValueError(f"{variable}_FILE: {path} is empty")
    return text


def split_list(text: str) -> list[str]:
    """Return the words between commas."""
    return [word for part in text.split(",") if (word := part.strip())]


def _split_list(text: str) -> list[str]:
    return [entry for entry in text.lower().replace(" ", "").split(",") if entry]


class Settings(BaseSettings):
    """All that an operator can set, each by the environment variable in its `validation_alias`.

    docs/settings.md is written from here: `make docs`.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    home: Path = Field(
        default=Path("var"),
        validation_alias="FARM_HOME",
        description="Folder of database, pictures, queue and secrets, unless those are set elsewhere.",
    )
    host: str = Field(
        default="127.0.0.1",
        validation_alias="HOST",
        description="Address that the web part listens on; `0.0.0.0`: all of this machine's.",
    )
    port: int = Field(
        default=8000,
        ge=1,
        le=65535,
        validation_alias="PORT",
        description="Port that the web part listens on.",
    )
    database_url: Secret = Field(
        validation_alias="DATABASE_URL",
        description="`postgresql://...`; when unset, SQLite in `FARM_HOME`.",
    )
    database_password: Secret = Field(
        validation_alias="DATABASE_PASSWORD",
        description="Password of the user in `DATABASE_URL`, as it is, where that has none.",
    )
    redis_url: Secret = Field(
        validation_alias="REDIS_URL",
        description="`redis://...` or `rediss://...`; when unset, `farm up` runs a private server.",
    )
    redis_password: Secret = Field(
        validation_alias="REDIS_PASSWORD",
        description="Password for `REDIS_URL`, as it is, where that has none.",
    )
    storage: str = Field(
        default="",
        validation_alias="FARM_STORAGE",
        description="Where pictures lie: `file:///folder`, or `s3://bucket/prefix` (extra `s3`); "
        "when unset, a folder in `FARM_HOME`.",
    )
    disk_reserve_gb: float = Field(
        default=1,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        validation_alias="FARM_DISK_RESERVE_GB",
        description="Free space below which the farm takes no new pictures, on the disk of "
        "`FARM_STORAGE` or a SQLite database, GB; of a small disk a quarter at most; 0: it takes them "
        "to the end.",
    )
    keep_days: float = Field(
        default=0,
        ge=0,
        le=MAX_KEEP_DAYS,
        allow_inf_nan=False,
        validation_alias="FARM_KEEP_DAYS",
        description="Days after which ended jobs are deleted with their pictures; 0: never.",
    )
    keep_gb: float = Field(
        default=0,
        ge=0,
        le=MAX_KEEP_GB,
        allow_inf_nan=False,
        validation_alias="FARM_KEEP_GB",
        description="What the pictures of all jobs may take, GB; beyond it the oldest ended jobs are "
        "deleted, those with stars last; 0: no limit.",
    )
    s3_access_key: Secret = Field(
        validation_alias="AWS_ACCESS_KEY_ID",
        description="Name of the key to an `s3://` storage; when unset, wherever boto finds one.",
    )
    s3_secret_key: Secret = Field(
        validation_alias="AWS_SECRET_ACCESS_KEY",
        description="The key itself. `AWS_ENDPOINT_URL` and the rest are read by boto.",
    )
    s3_session_token: Secret = Field(
        validation_alias="AWS_SESSION_TOKEN",
        description="Token that belongs to a key for a limited time.",
    )
    weights_dir: Path = Field(
        default=Path("~/.cache/style-farm/weights"),
        validation_alias="FARM_WEIGHTS_DIR",
        description="Folder of the networks' weights.",
    )
    log_format: Literal["console", "json"] = Field(
        default="console",
        validation_alias="FARM_LOG_FORMAT",
        description="`console` for people, `json` for one object a line.",
    )

    trusted_hosts: str = Field(
        default="",
        validation_alias="FARM_TRUSTED_HOSTS",
        description="Host names under which pages answer, with commas; "
        "when unset, this machine's on loopback, else any.",
    )
    public_url: str = Field(
        default="",
        validation_alias="FARM_PUBLIC_URL",
        description="Address under which people reach the farm, with its path if a proxy shows it below "
        "one; for links, and to know its own pages. With https the session's cookie is for https only.",
    )
    proxies: int = Field(
        default=0,
        ge=0,
        le=10,
        validation_alias="FARM_PROXIES",
        description="How many proxies in front add to `X-Forwarded-For` and `X-Forwarded-Proto`; "
        "`X-Forwarded-Prefix` is believed, too.",
    )
    require_token: bool | None = Field(
        default=None,
        validation_alias="FARM_REQUIRE_TOKEN",
        description="`1`: programs send a token, people sign in; `0`: whoever reaches the farm may do "
        "everything. When unset, `1` if `HOST` is more than loopback.",
    )
    shared: bool | None = Field(
        default=None,
        validation_alias="FARM_SHARED",
        description="`1`: all see and change all jobs; `0`: users their own. When unset, `0`, which is "
        "noticed as soon as there are accounts of the role `user`.",
    )
    quota_running: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        validation_alias="FARM_QUOTA_RUNNING",
        description="Jobs of one person that are rendered at once, unless the account has a limit of "
        "its own; 0: no limit.",
    )
    quota_waiting: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        validation_alias="FARM_QUOTA_WAITING",
        description="Jobs of one person that wait, likewise.",
    )
    quota_megapixels_a_day: float = Field(
        default=0,
        ge=0,
        le=1_000_000_000,
        allow_inf_nan=False,
        validation_alias="FARM_QUOTA_MEGAPIXELS_A_DAY",
        description="Megapixels of all pictures that one person submits in a day (UTC), likewise.",
    )
    quota_storage_gb: float = Field(
        default=0,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        validation_alias="FARM_QUOTA_STORAGE_GB",
        description="GB that one person's pictures and uploads take, likewise.",
    )
    session_secret: Secret = Field(
        validation_alias="FARM_SECRET_KEY",
        description="Signs sessions and forms, 16 characters or more; when unset, made once for the "
        "whole farm: kept in its PostgreSQL, or in `FARM_HOME`.",
    )
    rate_limit: str = Field(
        default="600 per minute",
        validation_alias="FARM_RATE_LIMIT",
        description="Changes by one client; or `off`.",
    )
    read_limit: str = Field(
        default="",
        validation_alias="FARM_READ_LIMIT",
        description="Everything else by one client, such as `6000 per minute`; when unset, no limit.",
    )
    max_upload_mb: int = Field(
        default=64,
        ge=1,
        le=100_000,
        validation_alias="FARM_MAX_UPLOAD_MB",
        description="Size limit of one submission, MB.",
    )
    max_upload_megapixels: int = Field(
        default=100,
        ge=1,
        le=10_000,
        validation_alias="FARM_MAX_UPLOAD_MEGAPIXELS",
        description="Size limit of one picture, megapixels.",
    )
    max_clip_mb: int = Field(
        default=200,
        ge=1,
        le=100_000,
        validation_alias="FARM_MAX_CLIP_MB",
        description="Size limit of one clip's file, MB. A submission with a clip may be larger than "
        "`FARM_MAX_UPLOAD_MB` by this.",
    )
    max_clip_frames: int = Field(
        default=1500,
        ge=2,
        le=1_000_000,
        validation_alias="FARM_MAX_CLIP_FRAMES",
        description="Limit of a clip's frames.",
    )
    max_clip_minutes: float = Field(
        default=10,
        ge=0.1,
        le=10_000,
        allow_inf_nan=False,
        validation_alias="FARM_MAX_CLIP_MINUTES",
        description="Limit of a clip's length, minutes.",
    )
    max_clip_megapixels: int = Field(
        default=9,
        ge=1,
        le=10_000,
        validation_alias="FARM_MAX_CLIP_MEGAPIXELS",
        description="Size limit of a clip's frames, megapixels; 4K has 8.3.",
    )
    web_threads: int = Field(
        default=16,
        ge=1,
        le=1000,
        validation_alias="FARM_WEB_THREADS",
        description="Threads of the web part that answer requests.",
    )
    web_streams: int = Field(
        default=64,
        ge=0,
        le=10_000,
        validation_alias="FARM_WEB_STREAMS",
        description="Live streams at once, each a thread more; beyond them pages ask once a second.",
    )
    silence_seconds: int = Field(
        default=30,
        ge=1,
        le=3600,
        validation_alias="FARM_SILENCE_SECONDS",
        description="Silence in the middle of a request or an answer after which its client is let go, "
        "s; less than 1 kB/s counts as silence, while few threads are free up to 64 kB/s.",
    )

    worker_name: str = Field(
        default_factory=lambda: f"worker@{platform.node()}",
        validation_alias="FARM_WORKER_NAME",
        description="Name of the worker on pages, its own in the whole farm; when unset, its device's "
        "and the host's, such as `gpu0@attic`.",
    )
    classes: str = Field(
        default="preview,standard,large",
        validation_alias="FARM_CLASSES",
        description="Work that a worker takes: `preview` to 384 px, `standard` to 2048, `large` beyond.",
    )
    tags: str = Field(
        default="",
        validation_alias="FARM_TAGS",
        description="Tags of a worker, such as `night,studio-b`: it takes the jobs that ask for one of "
        "them, and those that ask for none.",
    )
    aside_seconds: int = Field(
        default=300,
        ge=0,
        le=A_WEEK,
        validation_alias="FARM_ASIDE_SECONDS",
        description="A larger picture makes way for drafts that wait at most once in this time, s; 0: "
        "never.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        validation_alias="FARM_DEVICE",
        description="What pictures are rendered on: `cuda`, a GPU or nothing; `cpu`; `auto`, a GPU "
        "where one can be used, else the CPU.",
    )
    memory_gb: float = Field(
        default=0,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        validation_alias="FARM_MEMORY_GB",
        description="Memory that a rendering may use, GB; 0: three quarters of a CPU's, on a GPU nine "
        "tenths of what is free when the job begins.",
    )
    lease_seconds: int = Field(
        default=60,
        ge=3,
        le=A_WEEK,
        validation_alias="FARM_LEASE_SECONDS",
        description="Silence after which a worker is taken for lost, s.",
    )
    stall_seconds: int = Field(
        default=600,
        ge=1,
        le=A_WEEK,
        validation_alias="FARM_STALL_SECONDS",
        description="Time without progress, and 2 minutes more a megapixel, after which a worker ends "
        "itself, s.",
    )
    checkpoint_seconds: int = Field(
        default=240,
        ge=1,
        le=A_WEEK,
        validation_alias="FARM_CHECKPOINT_SECONDS",
        description="Time between checkpoints of a running job, s.",
    )
    outage_seconds: int = Field(
        default=300,
        ge=0,
        le=A_WEEK,
        validation_alias="FARM_OUTAGE_SECONDS",
        description="How long a worker retries when the database or the storage fails, s.",
    )

    webhook_hosts: str = Field(
        default="",
        validation_alias="FARM_WEBHOOK_HOSTS",
        description="Private hosts and networks that webhooks may call, with commas; when unset, hosts "
        "on the internet alone.",
    )
    webhook_secret: Secret = Field(
        validation_alias="FARM_WEBHOOK_SECRET",
        description="Signs webhooks, 16 characters or more; when unset, made once for the whole farm: "
        "kept in its PostgreSQL, or in `FARM_HOME`.",
    )

    metrics_token: Secret = Field(
        validation_alias="FARM_METRICS_TOKEN",
        description="Opens `/metrics`, where the farm asks for tokens; 16 characters or more; when "
        "unset, operators' tokens alone do.",
    )

    url: str = Field(
        default="http://127.0.0.1:8000",
        validation_alias="FARM_URL",
        description="The farm that the command line talks to (`--url`).",
    )
    token: Secret = Field(
        validation_alias="FARM_TOKEN",
        description="Token that the command line sends.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment, then the files of secrets; no `.env`."""
        return init_settings, env_settings, SecretFiles(settings_cls)

    @field_validator("public_url")
    @classmethod
    def _check_address(cls, text: str) -> str:
        text = text.rstrip("/")
        if not text:
            return ""
        try:
            parts = urlsplit(text)
            host, _port = parts.hostname or "", parts.port
        except ValueError:
            raise ValueError("must be an address such as https://farm.example.org") from None
        if parts.scheme not in ("http", "https") or not is_host(host):
            raise ValueError("must be an address such as https://farm.example.org")
        if parts.username is not None:
            raise ValueError("must have no user and no password: everybody who uses the farm sees it")
        if parts.query or parts.fragment:
            raise ValueError("must end with its path, without ? and #")
        if parts.path and not PATH_PREFIX.fullmatch(parts.path):
            raise ValueError("must have a path of letters, digits and ._~- such as /farm, or none")
        return text

    @field_validator("webhook_hosts")
    @classmethod
    def _check_hosts(cls, text: str) -> str:
        """Take names and networks; nobody opens every private address by a star."""
        for entry in _split_list(text):
            network = parse_network(entry)
            if network is None and not HOST_NAME.fullmatch(entry):
                raise ValueError(f"{entry!r} is neither a host's name nor a network such as 10.1.0.0/16")
            if network is not None and not network.prefixlen:
                raise ValueError(f"{entry!r} is every address there is; name the hosts or networks")
        return text

    @field_validator("rate_limit", "read_limit")
    @classmethod
    def _check_rate(cls, text: str) -> str:
        """Return the rate in lower case; "" for none."""
        text = text.strip().lower()
        if text and text != "off" and not RATE.fullmatch(text):
            raise ValueError("must be such as `600 per minute`, or `off`")
        return "" if text == "off" else text

    @field_validator("*")
    @classmethod
    def _check_line(cls, value: Any) -> Any:
        """Refuse a file of several lines, and what no header or address can hold."""
        if isinstance(value, str | Path) and not str(value).isprintable():
            raise ValueError("must be one line of printable characters")
        return value

    @field_validator("home", "weights_dir")
    @classmethod
    def _expand_user(cls, folder: Path) -> Path:
        try:
            return folder.expanduser()
        except RuntimeError:
            raise ValueError("begins with the home of a user who is not known here") from None

    @field_validator("host")
    @classmethod
    def _check_host(cls, text: str) -> str:
        host = re.sub(r"^\[(.*)\]$", r"\1", text)
        if not is_host(host):
            raise ValueError("must be an address such as 127.0.0.1, 0.0.0.0 or ::1, or a host's name")
        return host

    @field_validator("database_url")
    @classmethod
    def _check_database(cls, url: str) -> str:
        url = quote_password(url)
        known = split_address(url) or {"scheme": "", "host": "", "rest": ""}
        postgresql = POSTGRESQL.fullmatch(known["scheme"]) and known["host"] + known["rest"]
        if url and not SQLITE_FILE.fullmatch(url) and not postgresql:
            raise ValueError(
                "must be an address such as postgresql://user:password@host/farm or sqlite:////folder/file"
            )
        return url

    @field_validator("redis_url")
    @classmethod
    def _check_redis(cls, url: str) -> str:
        if not url or url.startswith("redis+socket:///"):
            return url
        url = quote_password(url)
        known = split_address(url)
        if not known or known["scheme"] not in ("redis", "rediss") or not known["host"]:
            raise ValueError("must be an address such as redis://:password@host:6379/0")
        if not REDIS_DATABASE.fullmatch(known["rest"]):
            raise ValueError("must end with the number of a database, such as redis://host:6379/0")
        return url

    @field_validator("storage")
    @classmethod
    def _check_storage(cls, url: str) -> str:
        scheme, separator, place = url.partition("://")
        if scheme == "s3" and separator:
            if not S3_ADDRESS.fullmatch(url):
                raise ValueError("must be s3://bucket/prefix, of letters, digits and ._-")
            if importlib.util.find_spec("s3fs") is None:
                raise ValueError("s3:// needs the extra `s3`: pip install 'style-farm[s3]'")
        elif separator and (scheme != "file" or not place.startswith("/")):
            raise ValueError("must be file:///folder or s3://bucket/prefix")
        return url

    @field_validator("trusted_hosts")
    @classmethod
    def _check_names(cls, text: str) -> str:
        for entry in _split_list(text):
            if not is_host(entry.removeprefix("[").removesuffix("]")):
                raise ValueError(f"{entry!r} is no host's name; it has no port and no *")
        return text

    @field_validator("worker_name")
    @classmethod
    def _check_worker_name(cls, name: str) -> str:
        if not WORKER_NAME.fullmatch(name):
            raise ValueError("must have 120 characters at most, no % and no comma, and begin with no -")
        return name

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, text: str) -> str:
        wrong = [name for name in split_list(text) if name not in CLASSES]
        if wrong or not split_list(text):
            raise ValueError(f"must be some of {', '.join(CLASSES)}, with commas between them")
        return text

    @field_validator("tags")
    @classmethod
    def _check_tags(cls, text: str) -> str:
        if not all(TAG.fullmatch(tag) for tag in split_list(text)):
            raise ValueError(
                "must be words with commas between them, each of 40 letters, digits and . _ -"
            )
        return text

    @field_validator("token")
    @classmethod
    def _check_token(cls, text: str) -> str:
        if not text.isascii() or " " in text:
            raise ValueError("is no token of a farm: those are made by `farm token create NAME`")
        return text

    @field_validator("webhook_secret", "session_secret", "metrics_token")
    @classmethod
    def _check_length(cls, text: str) -> str:
        if text and len(text.strip()) < MIN_SECRET:
            raise ValueError(f"must have {MIN_SECRET} characters or more")
        return text

    @model_validator(mode="after")
    def _fill_in_the_embedded_default(self) -> Self:
        """Point what is not set into `home`, and PostgreSQL at the driver that is installed."""
        home = self.home.resolve()
        database = add_password(name_driver(self.database_url), self.database_password)
        filled: dict[str, Any] = {
            "home": home,
            "weights_dir": self.weights_dir.resolve(),
            "database_url": database or f"sqlite:///{quote(str(home / 'farm.db'))}",
            "redis_url": add_password(self.redis_url, self.redis_password),
            "storage": self.storage or f"file://{home / 'storage'}",
        }
        if self.require_token is None:
            filled["require_token"] = not is_loopback(self.host)
        for name, value in filled.items():
            object.__setattr__(self, name, value)
        return self

    @property
    def names_worker(self) -> bool:
        """Tell apart a worker's name that the operator gave from one by device and host."""
        return "worker_name" in self.model_fields_set

    @property
    def hosts(self) -> frozenset[str] | None:
        """Return the host names under which the web part answers; None: any.

        On loopback, this machine's names alone, so that a page elsewhere whose name was pointed at
        127.0.0.1 cannot use the farm through a visitor's browser.
        """
        loopback = {"127.0.0.1", "localhost", "[::1]"}
        public = urlsplit(self.public_url).netloc.lower()
        own = {*loopback, re.sub(r":[0-9]+$", "", public)} - {""}
        if self.trusted_hosts:
            return frozenset({*_split_list(self.trusted_hosts), *own})
        return frozenset(own) if is_loopback(self.host) else None

    @property
    def public_path(self) -> str:
        """Return the path of FARM_PUBLIC_URL, such as /farm; "": none."""
        return urlsplit(self.public_url).path

    @property
    def embedded_redis(self) -> bool:
        """Tell apart a private Redis-protocol server, run by `farm up`, from one at `redis_url`."""
        return not self.redis_url

    @property
    def redis_socket(self) -> Path:
        """Return the private server's socket: in `home`, or where that path is too long, in /tmp."""
        path = self.home / "redis.sock"
        if len(str(path).encode()) <= MAX_SOCKET_PATH:
            return path
        short = hashlib.sha256(str(self.home).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"farm-{short}" / "redis.sock"

    @property
    def broker_url(self) -> str:
        """Return the address that Celery connects to."""
        return self.redis_url or f"redis+socket://{quote(str(self.redis_socket))}"

    @property
    def limits_url(self) -> str:
        """Return where requests are counted: by the broker, which is Redis, else by this process."""
        url = self.broker_url.replace("redis+socket://", "redis+unix://")
        return url if url.startswith(("redis://", "rediss://", "redis+unix://")) else "memory://"

    @property
    def s3_keys(self) -> dict[str, str]:
        """Return the keys of an S3 storage as s3fs takes them; none when both are left to boto."""
        if not self.s3_access_key or not self.s3_secret_key:
            return {}
        token = {"token": self.s3_session_token} if self.s3_session_token else {}
        return {"key": self.s3_access_key, "secret": self.s3_secret_key, **token}

    @cached_property
    def webhook_host_names(self) -> frozenset[str]:
        """Return the hosts that webhooks may call wherever they are."""
        return frozenset(
            entry for entry in _split_list(self.webhook_hosts) if parse_network(entry) is None
        )

    @cached_property
    def webhook_networks(self) -> tuple[Network, ...]:
        """Return the private networks that webhooks may call."""
        return tuple(
            found for entry in _split_list(self.webhook_hosts) if (found := parse_network(entry))
        )

    def make_home(self) -> None:
        """Make the folder, unless it is there: others may not look into a new one."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        self.home.mkdir(mode=0o700, exist_ok=True)

    def read_secret(self, name: str) -> str:
        """Return the secret in a file of `home`; "": there is none."""
        return _read_if_any(self.home / name)

    def read_or_make_secret(self, name: str) -> str:
        """Return the secret in a file of `home`, made anew where there is none or it is empty, for its
        owner alone. Two processes that start at once must not run with different ones, nor with half of
        one."""
        path = self.home / name
        if secret := _read_if_any(path):
            return secret
        self.make_home()
        with lock_folder(self.home):
            if secret := _read_if_any(path):  # somebody else was quicker
                return secret
            secret = secrets.token_urlsafe(32)
            part = path.with_name(f"{name}.{secrets.token_hex(8)}.part")
            with open(part, "x", opener=_open_for_owner) as file:
                file.write(secret)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        return secret


def _open_for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read_if_any(path: Path) -> str:
    """Return a file's text; "" where there is no file, or nothing in it."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return ""
    return text if text.strip() else ""


@contextmanager
def lock_folder(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a folder's lock, which is on no file of it.

    Raises:
        BlockingIOError: another process has it, and this one does not wait.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@lru_cache
def settings() -> Settings:
    """Return the settings of this process, read once."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise SettingsInvalid(problems) from None
