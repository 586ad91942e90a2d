"""Films of a farm from the command line: sent, waited for, fetched, and acted on by their ids."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from benchmarks.testbed.processes import SAMPLES, free_port, wait_for
from farm.cli import main, wait
from farm.storage import storage
from tests.films.made import claim_part, finish, know_clips

BRUSH = str(SAMPLES / "brushwork.jpg")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "POLL_SECONDS", 0.05)
    know_clips(monkeypatch)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A file that is a clip by its content, whatever its name says."""
    one, other = (Image.new("RGB", (48, 32), colour) for colour in ("red", "blue"))
    one.save(tmp_path / "walk.bin", "GIF", save_all=True, append_images=[other])
    return tmp_path / "walk.bin"


def paint_all() -> None:
    """Finish the parts of a film as a worker does, to the last, which stores the film."""
    while claim := wait_for(claim_part, pause=0.05):
        storage().put(claim.job.result_key, b"a whole film")
        finish(claim)
        if claim.job.film_role == "join":
            return


@pytest.fixture
def worker(home: Path) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=paint_all)
    yield thread
    thread.join(120)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_a_clip_is_sent_by_its_content_waited_for_and_fetched(
    served: str, clip: Path, worker: threading.Thread, tmp_path: Path
) -> None:
    worker.start()
    film = tmp_path / "film.webm"
    options = [
        "--size",
        64,
        "--frames",
        "2:8",
        "--every",
        2,
        "--moving",
        '{"style_scale": {"2": 1, "8": 2}}',
    ]

    done = run("submit", clip, BRUSH, "--url", served, "--wait", "-o", film, *options)

    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == str(film)
    assert film.read_bytes() == b"a whole film"
    (row,) = json.loads(run("films", "--json", "--url", served).stdout)
    assert (row["name"], row["painted"], row["frames"]) == ("walk", 3, 3)
    given = {"format": "webm", "first": 2, "end": 8, "every": 2}
    assert row["film"].items() >= given.items()
    assert row["film"]["moving"]["style_scale"] == {"2": 1.0, "8": 2.0}
    # And it can be had once more by its id, in its own format alone
    assert run("fetch", row["id"], "-o", f"{tmp_path}/new/", "--url", served).exit_code == 0
    assert (tmp_path / "new" / "walk.webm").read_bytes() == b"a whole film"
    other = run("fetch", row["id"], "-o", tmp_path / "film.mp4", "--url", served)
    assert "output: ends in .mp4; this film is a .webm" in other.output


def test_a_film_is_listed_cancelled_retried_and_deleted_by_its_id(served: str, clip: Path) -> None:
    url = ["--url", served]
    made = run("submit", clip, BRUSH, "--size", 64, *url)
    assert made.exit_code == 0, made.output
    assert f"queued: {served}/films/" in made.output.replace("\n", "")
    film_id = made.stdout.strip().splitlines()[-1]
    for command in (["films"], ["status", film_id]):
        shown = run(*command, *url)
        assert film_id in shown.output, shown.output
        assert "0/10 frames" in " ".join(shown.output.split())
    assert run("cancel", film_id, *url).stdout == "cancelled\n"
    assert run("wait", film_id, *url).exit_code == 4
    assert run("retry", film_id, *url).stdout == "queued\n"
    run("cancel", film_id, *url)
    assert run("delete", film_id, *url).stdout == "deleted\n"
    gone = run("status", film_id, *url)
    assert gone.exit_code == 1


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("clip", ["--wait", "-o", "film.avi"], "output: ends in .avi; a film's file must end in one of"),
        ("clip", ["--frames", "8"], "frames: must be such as 0:48"),
        ("clip", ["--init", BRUSH], "init: is a picture's"),
        ("photograph", ["--every", "2"], "every: goes with a clip, and this is a photograph"),
    ],
)
def test_what_does_not_go_with_it_is_said_before_anything_is_sent(
    clip: Path, content: str, options: list[str], said: str
) -> None:
    path = clip if content == "clip" else SAMPLES / "street.jpg"
    done = run("submit", path, BRUSH, "--url", f"http://127.0.0.1:{free_port()}", *options)
    assert done.exit_code == 1
    assert said in " ".join(done.output.split())
