"""The command line's client where the network is bad."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from benchmarks.testbed.processes import SAMPLES
from farm.cli.client import Client
from farm.cli.refusals import ResponseLost
from farm.database.models import Job, State
from farm.errors import FarmError
from farm.recipe import Recipe


@pytest.fixture
def losing(served: str) -> Iterator[str]:
    """The farm behind a line that loses the first answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    there = urlsplit(served)

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(65536):
            target.sendall(data)

    def serve() -> None:
        for number in (1, 2):
            asker, _ = listener.accept()
            farm = socket.create_connection((there.hostname, there.port))
            upwards = threading.Thread(target=pass_on, args=(asker, farm), daemon=True)
            upwards.start()
            if number == 1:
                farm.recv(1)  # the farm has answered
            else:
                pass_on(farm, asker)
            farm.close()
            asker.shutdown(socket.SHUT_RDWR)
            asker.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def test_a_submission_whose_answer_was_lost_is_sent_again_and_is_one_job(
    losing: str, served: str
) -> None:
    content, style = (SAMPLES / f"{name}.jpg" for name in ("street", "mosaic"))
    job = Client(losing).submit(content, [style], Recipe(size=128), "once", 0)
    assert job["name"] == "once"
    assert [found["id"] for found in Client(served).list_jobs()] == [job["id"]]


def test_a_farm_that_answers_nothing_twice_is_said_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted = []

        def hang_up() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                connection.recv(65536)
                connection.close()
                accepted.append(1)

        thread = threading.Thread(target=hang_up)
        thread.start()
        picture = tmp_path / "a.jpg"
        picture.write_bytes(b"1")
        with pytest.raises(ResponseLost, match="broke off"):
            Client(f"http://127.0.0.1:{listener.getsockname()[1]}").submit(
                picture, [picture], Recipe(), "", 0
            )
        thread.join()
    assert len(accepted) == 2


@pytest.mark.parametrize(
    ("name", "format"),
    [("x.png", "PNG"), ("x.jpg", "JPEG"), ("x.JPEG", "JPEG"), ("x.webp", "WEBP"), ("x", "PNG")],
)
def test_the_ending_of_the_output_chooses_the_format(
    served: str, make_job: Callable[..., Job], tmp_path: Path, name: str, format: str
) -> None:
    job = make_job(State.SUCCEEDED)
    client = Client(served)
    path = client.fetch(client.find(job.id), tmp_path / name)
    with Image.open(path) as picture:
        assert picture.format == format


@pytest.mark.parametrize(("name", "words"), [("x.tif", "must be one of png"), ("x.bmp", "ends in .bmp")])
def test_a_format_that_cannot_be_had_is_named(
    served: str, make_job: Callable[..., Job], tmp_path: Path, name: str, words: str
) -> None:
    job = make_job(State.SUCCEEDED)
    client = Client(served)
    with pytest.raises(FarmError, match=words):
        client.fetch(client.find(job.id), tmp_path / name)
    assert list(tmp_path.glob("x*")) == []
