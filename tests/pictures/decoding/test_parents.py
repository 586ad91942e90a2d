"""Decoding processes end with their parents, whatever these do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.testbed.processes import FARM, answers, free_port, sample_files, wait_for
from farm.database.setup import install
from tests.pictures.decoding.children import SMALL, is_gone, stopped

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and limits as Linux has them")

ONE_PICTURE = """
import os, sys, time
from pathlib import Path
from farm import log
from farm.pictures import decoder_pool
from farm.pictures.decoder_request import PictureFile

log.configure()

def look():
    data = Path(sys.argv[1]).read_bytes()
    (checked,) = decoder_pool.check([PictureFile(data, "content")])
    print(checked.width, flush=True)

look()
"""


@contextmanager
def other_process(folder: Path, then: str) -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process]]:
    """A process that has a child of its own and goes on with something else, and that child."""
    (folder / "picture").write_bytes(SMALL)
    command = [sys.executable, "-W", "error", "-c", ONE_PICTURE + then, str(folder / "picture")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"160\n"
        yield parent, psutil.Process(parent.pid).children()[0]
        parent.kill()


@pytest.mark.processes
def test_a_child_dies_with_its_parent_even_in_the_middle_of_a_picture(tmp_path: Path) -> None:
    with other_process(tmp_path, "time.sleep(60)") as (parent, child):
        stopped(child)
        parent.kill()
        wait_for(lambda: is_gone(child), pause=0.02)


@pytest.mark.processes
def test_a_process_that_ends_leaves_no_child(tmp_path: Path) -> None:
    with other_process(tmp_path, "time.sleep(0.5)") as (parent, child):
        assert parent.wait(120) == 0
        assert is_gone(child)


@pytest.mark.processes
def test_a_forked_process_has_children_of_its_own(tmp_path: Path) -> None:
    then = "pid = os.fork()\nlook()\nif pid: os.waitpid(pid, 0)"
    with other_process(tmp_path, then) as (parent, _):
        assert parent.wait(120) == 0
        assert parent.stdout
        assert parent.stdout.read() == b"160\n160\n"


@pytest.mark.processes
def test_the_web_part_that_is_stopped_leaves_no_child(farm_home: Path) -> None:
    # Given a web part that has taken a job
    install()
    port = free_port()
    environment = os.environ | {"PORT": str(port), "REDIS_URL": ""}
    web = subprocess.Popen([*FARM, "web"], env=environment)
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: answers(url), pause=0.05)
    assert httpx.post(f"{url}/api/v1/jobs", files=sample_files(), timeout=120).status_code == 202
    family = psutil.Process(web.pid).children(recursive=True)
    assert any("farm.pictures.decoder_process" in child.cmdline() for child in family)

    # When it is stopped, nothing of it is left
    web.terminate()
    web.wait(120)
    wait_for(lambda: all(is_gone(child) for child in family), pause=0.02)
