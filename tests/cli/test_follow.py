"""`farm submit --wait`: a bar for each job, its picture, and an exit status that means something."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from benchmarks.testbed.processes import SAMPLES, free_port, wait_for
from farm.cli import main, wait
from farm.cli.client import Client
from farm.database import sessions
from farm.database.models import WorkClass
from farm.jobs import claims, states
from farm.jobs.claims import Taker
from farm.pictures.decode import decode
from farm.pictures.encode import encode_picture
from farm.storage import storage
from tests.conftest import load_sample

BRUSH = str(SAMPLES / "brushwork.jpg")
SMALL = ["--size", "96", "--preset", "draft"]
Painter = Callable[..., None]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "POLL_SECONDS", 0.05)


@pytest.fixture
def painter(home: Path) -> Iterator[Painter]:
    """A worker in a thread, which brings each job that comes to one of the ends that it is given."""
    threads = []

    def paint(*ends: str) -> None:
        picture = load_sample("street", 48)

        def one(end: str) -> None:
            claim = wait_for(claimed, pause=0.05)
            storage().put(claim.job.result_key, encode_picture(picture, claim.job.format.name))
            with sessions.write_session() as session:
                if end == "failed":
                    states.fail(session, claim.attempt, "No paint left.")
                elif end == "cancelled":
                    states.cancel(session, claim.job.id)
                    states.confirm_cancelled(session, claim.attempt)
                else:
                    states.succeed(session, claim.attempt, {})

        def claimed() -> states.Claim | None:
            with sessions.write_session() as session:
                return claims.claim(session, Taker("worker-1", frozenset({WorkClass.PREVIEW})))

        thread = threading.Thread(target=lambda: [one(end) for end in ends])
        thread.start()
        threads.append(thread)

    yield paint
    for thread in threads:
        thread.join(120)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder with two pictures and something else."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    shutil.copy(SAMPLES / "street.jpg", folder / "street.jpg")
    shutil.copy(SAMPLES / "mountain_lake.jpg", folder / "lake.JPG")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def submit(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["submit", *map(str, arguments), *SMALL])


def test_a_picture_is_waited_for_and_fetched(served: str, painter: Painter, tmp_path: Path) -> None:
    painter("succeeded")
    path = tmp_path / "out.png"

    done = submit(SAMPLES / "street.jpg", BRUSH, "--url", served, "--wait", "-o", path)

    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == str(path)
    assert decode(path.read_bytes(), "result", 1).shape == load_sample("street", 48).shape


def test_a_folder_is_sent_in_one_command(
    served: str, painter: Painter, photographs: Path, tmp_path: Path
) -> None:
    painter("succeeded", "succeeded")
    out = tmp_path / "out"
    out.mkdir()
    (out / "street.png").write_bytes(b"mine")

    done = submit(photographs, BRUSH, "--url", served, "--wait", "-o", out)

    assert done.exit_code == 0, done.output
    found = sorted(path.name for path in out.iterdir())
    assert found[:1] == ["lake.png"]
    assert found[1].startswith("street-")
    assert (out / "street.png").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("ends", "status"),
    [(("succeeded", "failed"), 3), (("cancelled", "succeeded"), 4), (("failed", "cancelled"), 3)],
)
def test_the_exit_status_tells_how_it_went(
    served: str, painter: Painter, photographs: Path, tmp_path: Path, ends: tuple[str, ...], status: int
) -> None:
    painter(*ends)
    done = submit(photographs, BRUSH, "--url", served, "--wait", "-o", tmp_path)
    assert done.exit_code == status, done.output
    assert len(list(tmp_path.glob("*.png"))) == ends.count("succeeded")
    if "failed" in ends:
        assert "No paint left." in done.output


def test_without_waiting_the_ids_are_printed(served: str, photographs: Path) -> None:
    done = submit(photographs, BRUSH, "--url", served)
    assert done.exit_code == 0
    assert [len(line) for line in done.stdout.splitlines()] == [32, 32]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "x.png"), "output: goes with --wait"),
        (("--wait", "-o", "nowhere/x.png"), "output: nowhere is not a folder"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_sent(
    arguments: tuple[str, ...], message: str
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = submit(SAMPLES / "street.jpg", BRUSH, "--url", url, *arguments)
    assert done.exit_code == 1
    assert message in done.output


def test_a_folder_needs_pictures_and_a_folder_to_put_them(photographs: Path, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "has no picture in it" in submit(empty, BRUSH, "--url", url).output
    one_file = submit(photographs, BRUSH, "--url", url, "--wait", "-o", tmp_path / "x.png")
    assert "must be a folder" in one_file.output
    submit(photographs, BRUSH, "--url", url, "--wait", "-o", tmp_path / "painted")
    assert (tmp_path / "painted").is_dir()


def test_a_farm_that_is_away_for_long_is_given_up(
    served: str, monkeypatch: pytest.MonkeyPatch, app
) -> None:
    monkeypatch.setattr(wait, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr("farm.cli.client.Client.poll", _away)
    done = submit(SAMPLES / "street.jpg", BRUSH, "--url", served, "--wait")
    assert done.exit_code == 1
    assert "No answer" in done.output


def _away(client, row: dict, tag: str | None):
    """As if the farm had been stopped after the submission."""
    from farm.cli.refusals import Unavailable

    raise Unavailable(f"No answer from {client.url}: stopped.")


def test_a_bad_file_in_a_folder_is_named_and_keeps_no_other_from_its_picture(
    served: str, painter: Painter, photographs: Path, tmp_path: Path
) -> None:
    # Given a folder with a file that is no picture, one of macOS's and a hidden one
    (photographs / "letter.jpg").write_text("Dear farm")
    (photographs / "._street.jpg").write_bytes(b"\x00\x05\x16\x07")
    (photographs / ".hidden.jpg").write_bytes((SAMPLES / "street.jpg").read_bytes())
    painter("succeeded", "succeeded")
    out = tmp_path / "out"

    done = submit(photographs, BRUSH, "--url", served, "--wait", "-o", out)

    assert done.exit_code == 1, done.output
    assert sorted(path.name for path in out.iterdir()) == ["lake.png", "street.png"]
    assert f"Not sent: {photographs / 'letter.jpg'}: content: is not a" in done.output
    assert done.output.count("Not sent") == 1


@pytest.mark.slow
def test_a_folder_that_is_sent_again_is_the_same_jobs_and_the_same_files(
    served: str, painter: Painter, photographs: Path, tmp_path: Path
) -> None:
    # Given a batch of which one picture was sent before the command was stopped
    first = submit(photographs, BRUSH, "--url", served).stdout.splitlines()
    painter("succeeded", "succeeded")
    out = tmp_path / "out"
    # When the command is given again, twice
    for _ in range(2):
        done = submit(photographs, BRUSH, "--url", served, "--wait", "-o", out)
        assert done.exit_code == 0, done.output
    # Then there are no more jobs and no more files, unless they are asked for
    assert sorted(path.name for path in out.iterdir()) == ["lake.png", "street.png"]
    assert submit(photographs, BRUSH, "--url", served).stdout.splitlines() == first
    anew = submit(photographs, BRUSH, "--url", served, "--again").stdout.splitlines()
    assert len(set(anew) | set(first)) == 4


def test_a_wrong_painting_stops_a_batch_at_once(served: str, photographs: Path) -> None:
    done = submit(photographs, photographs / "notes.txt", "--url", served)
    assert done.exit_code == 1
    assert "style" in done.output
    assert "Not sent" not in done.output


def test_one_picture_that_cannot_be_fetched_keeps_no_other_from_it(
    served: str, painter: Painter, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(client, row: dict[str, Any], output: Path | None) -> Path:
        assert output is not None
        if output.name.startswith("lake"):
            raise OSError(28, "No space left on device")
        return whole(client, row, output)

    whole = Client.fetch
    monkeypatch.setattr(Client, "fetch", fetch)
    painter("succeeded", "succeeded")
    out = tmp_path / "out"
    done = submit(photographs, BRUSH, "--url", served, "--wait", "-o", out)
    assert done.exit_code == 1
    assert [path.name for path in out.iterdir()] == ["street.png"]
    assert "lake" in done.output
    assert "No space left" in done.output


def test_jobs_are_waited_for_listed_by_state_tried_again_and_fetched_into_a_folder(
    served: str, painter: Painter, tmp_path: Path
) -> None:
    url = ["--url", served.removeprefix("http://")]
    street, lake = (
        submit(SAMPLES / name, BRUSH, *url).stdout.strip()
        for name in ("street.jpg", "mountain_lake.jpg")
    )
    painter("succeeded", "failed")
    out = tmp_path / "out"
    # When both are waited for, one of which fails
    done = run("wait", street, lake, "-o", str(out), *url)
    assert done.exit_code == 3, done.output
    assert [path.name for path in out.iterdir()] == ["street.png"]
    # Then the list of one state has it, and it is tried again
    assert json.loads(run("status", "--state", "failed", "--json", *url).stdout)[0]["id"] == lake
    assert json.loads(run("status", "--state", "running", "--json", *url).stdout) == []
    assert run("retry", lake, *url).stdout == "queued\n"
    # And the other is fetched once more, beside nothing
    assert run("fetch", street, "-o", str(out), *url).stdout == f"{out / 'street.png'}\n"
    assert len(list(out.iterdir())) == 1


@pytest.mark.parametrize(
    ("file", "name"),
    [(b"x" * 200 + b".jpg", "x" * 120), (b"caf\xe9.jpg", "caf?"), ("西湖.jpg".encode(), "西湖")],
)
def test_a_photograph_is_sent_whatever_its_file_is_called(
    served: str, tmp_path: Path, file: bytes, name: str
) -> None:
    path = tmp_path / os.fsdecode(file)
    shutil.copy(SAMPLES / "street.jpg", path)
    done = CliRunner().invoke(main, ["submit", str(path), BRUSH, "--url", served, *SMALL])
    assert done.exit_code == 0, done.output
    assert Client(served).list_jobs()[0]["name"] == name


def test_a_grid_is_explored(served: str) -> None:
    grid = ["--across", "balance", "--across-values", "[-1, 1]", "--down-values", "[1.0]"]
    done = run("explore", str(SAMPLES / "street.jpg"), BRUSH, *grid, "--url", served)
    assert done.exit_code == 0, done.output
    page = done.stderr.partition("2 drafts: ")[2].strip()
    assert httpx.get(page).status_code == 200, page
    assert page.endswith(done.stdout.strip())
    assert len(done.stdout.strip()) == 32
    unknown = run("explore", str(SAMPLES / "street.jpg"), BRUSH, "--across", "mood", "--url", served)
    assert unknown.exit_code == 1
    assert "across: " in unknown.output
    assert "style_scale" in unknown.output
    wrong = run("explore", str(SAMPLES / "street.jpg"), BRUSH, "--down-values", "[", "--url", served)
    assert wrong.exit_code == 1
    assert "down_values: must be a list" in wrong.output


@pytest.mark.parametrize("url", ["ftp://farm", "http://", "farm:80000", "a farm"])
def test_an_address_that_is_none_is_refused_by_name(url: str) -> None:
    done = run("status", "--url", url)
    assert done.exit_code == 1
    assert "url: must be such as http://127.0.0.1:8000" in done.output


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_slash_at_the_end_is_a_folder_which_is_made(
    served: str, painter: Painter, tmp_path: Path
) -> None:
    street = submit(SAMPLES / "street.jpg", BRUSH, "--url", served).stdout.strip()
    painter("succeeded")
    for command in ("wait", "fetch"):
        done = run(command, street, "-o", f"{tmp_path}/{command}/new/", "--url", served)
        assert done.stdout == f"{tmp_path / command / 'new' / 'street.png'}\n", done.output
    file = tmp_path / "file"
    file.touch()
    done = run("fetch", street, "-o", f"{file}/", "--url", served)
    assert (done.exit_code, f"{file} cannot be a folder: File exists." in done.output) == (2, True)
