"""The environment: read in one place, loud when wrong."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from click import ClickException
from kombu import Connection
from redis import Redis
from sqlalchemy.engine import make_url

from benchmarks.testbed.processes import wait_for
from farm.cli.private_redis import build_redis_command
from farm.database import sessions
from farm.database.models import WorkClass
from farm.database.setup import install
from farm.jobs.tickets import send_ticket
from farm.settings import MAX_SOCKET_PATH, SECRET, Settings, SettingsInvalid, settings
from farm.storage import storage
from tests.conftest import fresh_settings


def test_with_nothing_set_everything_lies_in_home(farm_home: Path) -> None:
    found = fresh_settings()
    assert found.database_url == f"sqlite:///{farm_home}/farm.db"
    assert found.storage == f"file://{farm_home}/storage"
    assert found.embedded_redis


def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "eighty")
    with pytest.raises(SettingsInvalid, match="PORT"):
        fresh_settings()
    monkeypatch.delenv("PORT")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_a_postgresql_url_gets_the_driver_that_is_installed(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://farm:secret@db/farm")
    assert fresh_settings().database_url == "postgresql+psycopg://farm:secret@db/farm"


def test_a_long_home_still_has_a_socket_that_fits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FARM_HOME", str(tmp_path / ("long" * 40)))
    path = fresh_settings().redis_socket
    assert len(str(path)) <= MAX_SOCKET_PATH
    assert path == fresh_settings().redis_socket


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FARM_WEBHOOK_SECRET", "too short"),
        ("FARM_PUBLIC_URL", "/farm/here"),
        ("FARM_PUBLIC_URL", "https://farm.example.org/?page"),
    ],
)
def test_a_wrong_setting_of_webhooks_is_named_and_no_secret_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with monkeypatch.context() as wrong:
        wrong.setenv(name, value)
        with pytest.raises(SettingsInvalid, match=name) as caught:
            fresh_settings()
    assert value not in str(caught.value)
    assert "Value error" not in str(caught.value)


@pytest.mark.parametrize("value", ["inf", "nan", "-1", "much"])
def test_a_memory_budget_that_is_no_amount_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FARM_MEMORY_GB", value)
    with pytest.raises(SettingsInvalid, match="FARM_MEMORY_GB"):
        fresh_settings()
    monkeypatch.delenv("FARM_MEMORY_GB")


@pytest.mark.parametrize("name", ["FARM_RATE_LIMIT", "FARM_READ_LIMIT"])
@pytest.mark.parametrize("value", ["many", "0 per minute", "600", "600 per fortnight", "-1 per minute"])
def test_a_limit_that_is_no_rate_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with monkeypatch.context() as wrong:
        wrong.setenv(name, value)
        with pytest.raises(SettingsInvalid, match=f"{name}.*600 per minute"):
            fresh_settings()


@pytest.mark.parametrize(
    ("broker", "counted"),
    [
        ("redis://cache:6379/0", "redis://cache:6379/0"),
        ("rediss://cache:6379/0", "rediss://cache:6379/0"),
    ],
)
def test_requests_are_counted_in_the_brokers_server(
    monkeypatch: pytest.MonkeyPatch, broker: str, counted: str
) -> None:
    monkeypatch.setenv("REDIS_URL", broker)
    assert fresh_settings().limits_url == counted


def test_where_the_database_is_is_shown_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "postgresql://farm:hunter2@db:5432/farm?password=hunter2&sslmode=require"
    monkeypatch.setenv("DATABASE_URL", address)
    fresh_settings()
    assert sessions.redact_url() == "postgresql+psycopg://farm:***@db:5432/farm"
    monkeypatch.setenv("DATABASE_URL", "sqlite:////tmp/farm.db")
    fresh_settings()
    assert sessions.redact_url() == "sqlite:////tmp/farm.db"


def test_a_token_is_in_no_listing_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_TOKEN", "farm_of_ones_own")
    assert "of_ones_own" not in repr(fresh_settings())


ADDRESSES = {"DATABASE_URL": "postgresql+psycopg://a:secret@of/its", "REDIS_URL": "redis://:secret@of/1"}
SECRETS = {
    "FARM_METRICS_TOKEN": "metrics_token",
    "DATABASE_URL": "database_url",
    "DATABASE_PASSWORD": "database_password",
    "REDIS_URL": "redis_url",
    "REDIS_PASSWORD": "redis_password",
    "AWS_ACCESS_KEY_ID": "s3_access_key",
    "AWS_SECRET_ACCESS_KEY": "s3_secret_key",
    "AWS_SESSION_TOKEN": "s3_session_token",
    "FARM_SECRET_KEY": "session_secret",
    "FARM_WEBHOOK_SECRET": "webhook_secret",
    "FARM_TOKEN": "token",
}


def test_every_setting_that_holds_a_secret_may_lie_in_a_file() -> None:
    fields = Settings.model_fields.values()
    marked = {str(field.validation_alias) for field in fields if SECRET in field.metadata}
    assert marked == set(SECRETS)
    assert not any(field.repr for field in fields if SECRET in field.metadata)


@pytest.mark.parametrize("variable", SECRETS)
def test_a_secret_is_read_from_its_file(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    secret = ADDRESSES.get(variable, "a-secret-of-its-own")
    path.write_text(f"{secret}\n")
    monkeypatch.setenv(f"{variable}_FILE", str(path))
    found = fresh_settings()
    assert getattr(found, SECRETS[variable]) == secret
    assert secret not in repr(found)


@pytest.mark.parametrize("variable", SECRETS)
def test_a_secret_that_is_given_twice_is_named(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    path.write_text("one of two secrets")
    with monkeypatch.context() as wrong:
        wrong.setenv(variable, "the other of two secrets")
        wrong.setenv(f"{variable}_FILE", str(path))
        with pytest.raises(SettingsInvalid, match=f"{variable}_FILE: {variable} is set, too") as caught:
            fresh_settings()
    assert "of two secrets" not in str(caught.value)


def test_files_of_secrets_that_cannot_be_read_are_all_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with monkeypatch.context() as wrong:
        wrong.setenv("DATABASE_URL_FILE", str(tmp_path / "missing"))
        wrong.setenv("REDIS_URL_FILE", str(tmp_path / "empty"))
        wrong.setenv("FARM_TOKEN_FILE", str(tmp_path / "binary"))
        wrong.setenv("FARM_SECRET_KEY_FILE", str(tmp_path))
        with pytest.raises(SettingsInvalid) as caught:
            fresh_settings()
    told = str(caught.value).splitlines()[1:]
    assert sorted(line.split()[0] for line in told) == [
        "DATABASE_URL_FILE:",
        "FARM_SECRET_KEY_FILE:",
        "FARM_TOKEN_FILE:",
        "REDIS_URL_FILE:",
    ]
    assert "No such file or directory" in str(caught.value)
    assert "is empty" in str(caught.value)
    assert "is not text" in str(caught.value)


@pytest.mark.parametrize(
    "variable", ["FARM_TOKEN", "DATABASE_URL", "REDIS_URL", "AWS_SECRET_ACCESS_KEY"]
)
def test_a_secret_of_two_lines_is_named_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    file = tmp_path / "secret"
    file.write_text("sqlite:///one\nsqlite:///two\n")
    with monkeypatch.context() as patch:
        patch.setenv(f"{variable}_FILE", str(file))
        with pytest.raises(SettingsInvalid) as caught:
            fresh_settings()
    assert f"{variable}: " in str(caught.value)
    assert "one line" in str(caught.value)
    assert "two" not in str(caught.value).replace("one line", "")


@pytest.mark.parametrize("url", ["garbage", "mysql://farm:secret@host/farm", "postgresql:/host"])
def test_an_address_that_is_no_database_of_ours_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("DATABASE_URL", url)
        with pytest.raises(SettingsInvalid, match=r"DATABASE_URL: .*postgresql://") as caught:
            fresh_settings()
    assert "secret" not in str(caught.value)


def test_a_short_secret_in_a_file_is_refused_like_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    path.write_text("too short")
    with monkeypatch.context() as wrong:
        wrong.setenv("FARM_SECRET_KEY_FILE", str(path))
        with pytest.raises(SettingsInvalid, match=r"FARM_SECRET_KEY: .*16 characters") as caught:
            fresh_settings()
    assert "too short" not in str(caught.value)


def test_a_variable_that_is_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields.values():
        if field.validation_alias != "FARM_HOME":
            monkeypatch.setenv(str(field.validation_alias), "")
            monkeypatch.setenv(f"{field.validation_alias}_FILE", "")
    assert fresh_settings().storage.startswith("file://")
    assert fresh_settings().port == 8000


def test_keys_of_an_s3_storage_are_left_to_boto_unless_both_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert fresh_settings().s3_keys == {}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "name")
    assert fresh_settings().s3_keys == {}
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    assert fresh_settings().s3_keys == {"key": "name", "secret": "key"}
    monkeypatch.setenv("AWS_SESSION_TOKEN", "for an hour")
    assert fresh_settings().s3_keys == {"key": "name", "secret": "key", "token": "for an hour"}


def test_a_bucket_is_reached_with_keys_in_files(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        (tmp_path / variable).write_text("of a file\n")
        monkeypatch.delenv(variable)
        monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / variable))
    monkeypatch.setenv("FARM_STORAGE", bucket)
    fresh_settings()
    storage().mark()
    storage().put("a", b"1")
    assert storage().get("a") == b"1"


WRONG = {
    "FARM_HOME": ["~nobody-of-this-name/farm", "two\nlines"],
    "FARM_WEIGHTS_DIR": ["~nobody-of-this-name/weights", "a\ttab"],
    "HOST": ["*", "http://localhost", "a host", "127.0.0.1:8000", "[::1", "0.0.0.0/0", "-x"],
    "PORT": ["eighty", "0", "65536", "8000.5", "-1"],
    "DATABASE_URL": [
        "garbage",
        "postgresql://",
        "postgresql://farm:hidden@host:port/farm",
        "postgresql://farm:hidden@host:99999/farm",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "http://farm:hidden@host/farm",
        "file:///farm.db",
    ],
    "REDIS_URL": [
        "http://host",
        "redis://",
        "redis:host",
        "memory://",
        "sentinel://one:26379",
        "amqp://host",
        "redis://:hidden@host:port/0",
        "redis://:hidden@host:6379/first",
        "host:6379",
    ],
    "FARM_STORAGE": [
        "memory://",
        "file://relative/folder",
        "s3://",
        "s3://x",
        "s3://bucket/a*b",
        "ftp://host",
    ],
    "FARM_LOG_FORMAT": ["xml", "JSON lines"],
    "FARM_TRUSTED_HOSTS": [
        "*",
        "farm.example.org:8443",
        "https://farm.example.org",
        "one,*.example.org",
    ],
    "FARM_PUBLIC_URL": [
        "farm.example.org",
        "ftp://farm.example.org",
        "https://",
        "https://ada:hidden@farm.example.org",
        "https://farm.example.org:port",
        "https://farm.example.org:99999",
        "https://[::1",
        "https://farm.example.org/a b",
        "https://farm.example.org//farm",
        "https://farm.example.org/a/../b",
    ],
    "FARM_PROXIES": ["-1", "many", "99"],
    "FARM_REQUIRE_TOKEN": ["perhaps", "2"],
    "FARM_SHARED": ["perhaps", "2"],
    "FARM_QUOTA_RUNNING": ["-1", "1.5", "many"],
    "FARM_QUOTA_WAITING": ["-1", "1.5", "many"],
    "FARM_QUOTA_MEGAPIXELS_A_DAY": ["-1", "nan", "inf", "many"],
    "FARM_QUOTA_STORAGE_GB": ["-1", "nan", "inf", "many"],
    "FARM_SECRET_KEY": ["hidden", " " * 40],
    "FARM_WEBHOOK_SECRET": ["hidden", " " * 40],
    "FARM_WEBHOOK_HOSTS": ["*", "0.0.0.0/0", "::/0", "10.0.0.0/99", "http://host"],
    "FARM_MAX_UPLOAD_MB": ["0", "1e99", "9" * 30],
    "FARM_MAX_UPLOAD_MEGAPIXELS": ["0", "9" * 30],
    "FARM_WEB_THREADS": ["0", "9" * 9],
    "FARM_WEB_STREAMS": ["-1", "9" * 9],
    "FARM_SILENCE_SECONDS": ["0", "9" * 9],
    "FARM_WORKER_NAME": ["%z", "--version", "one,two", "w" * 121, " "],
    "FARM_LEASE_SECONDS": ["2", "9" * 20],
    "FARM_STALL_SECONDS": ["0", "9" * 20],
    "FARM_CHECKPOINT_SECONDS": ["0", "9" * 20],
    "FARM_OUTAGE_SECONDS": ["-1", "9" * 20],
    "FARM_TOKEN": ["farm_\N{SNOWMAN}", "hidden token"],
}


@pytest.mark.parametrize(("name", "value"), [(name, each) for name in WRONG for each in WRONG[name]])
def test_garbage_in_a_variable_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with monkeypatch.context() as wrong:
        wrong.setenv(name, value)
        with pytest.raises(SettingsInvalid) as caught:
            fresh_settings()
    (line,) = str(caught.value).splitlines()[1:]
    assert line.strip().startswith(f"{name}: ")
    assert "hidden" not in line


@pytest.mark.parametrize("password", ["p@ss", "100%", "a#b", "a?b", "a:b", "two words", "a/b", "@%#?: "])
def test_a_password_may_have_any_characters(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    written = password.replace(" ", "%20")  # in an address; elsewhere as it is
    for variables in (
        {"DATABASE_URL": f"postgresql://farm:{written}@db/f", "REDIS_URL": f"redis://:{written}@r:1/2"},
        {
            "DATABASE_URL": "postgresql://farm@db/f",
            "DATABASE_PASSWORD": password,
            "REDIS_URL": "redis://r:1/2",
            "REDIS_PASSWORD": password,
        },
    ):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            found = fresh_settings()
            database = make_url(found.database_url)
            assert (database.username, database.password, database.host) == ("farm", password, "db")
            broker = Connection(found.broker_url)
            assert (broker.password, broker.hostname, broker.virtual_host) == (password, "r", "2")
            assert Redis.from_url(found.limits_url).get_connection_kwargs()["password"] == password
            assert password not in sessions.redact_url()


@pytest.mark.processes
@pytest.mark.parametrize("name", ["@ % # ? :", "two::parts", "%20", "[a-z]*"])
def test_a_home_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    home = tmp_path / name / "home"
    monkeypatch.setenv("FARM_HOME", str(home))
    fresh_settings()
    install()
    storage().put("a/b", b"1")
    assert (home / "storage" / "a" / "b").read_bytes() == b"1"
    assert (home / "farm.db").exists()
    storage().delete_folder("a")
    assert storage().list_keys() == []
    # And the private server is found where it listens
    server = subprocess.Popen(build_redis_command(settings()), stdout=subprocess.DEVNULL)
    try:
        wait_for(settings().redis_socket.exists, 60, 0.02)
        assert wait_for(lambda: send_ticket(WorkClass.PREVIEW), 60, 0.02)
        url = settings().limits_url.replace("redis+unix://", "unix://")
        assert Redis.from_url(url).ping()
    finally:
        server.terminate()
        server.wait(60)


@pytest.mark.parametrize("first", ["secret", "database", "storage"])
def test_whoever_comes_first_makes_a_home_for_its_owner_alone(farm_home: Path, first: str) -> None:
    match first:
        case "secret":
            assert settings().read_or_make_secret("secret_key")
        case "database":
            sessions.engine().connect().close()
        case _:
            install()
    assert stat.S_IMODE(farm_home.stat().st_mode) == 0o700


def test_a_folder_in_tmp_that_is_not_ours_alone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_HOME", str(tmp_path / ("long" * 40)))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    config = fresh_settings()
    folder = config.redis_socket.parent
    assert build_redis_command(config)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    with pytest.raises(ClickException, match="not this user's alone"):
        build_redis_command(config)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(ClickException, match="not this user's alone"):
        build_redis_command(config)
