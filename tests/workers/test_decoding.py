"""A job's pictures are decoded in another process, which may end and takes no worker with it."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from farm.database.models import State
from farm.pictures import decoder_pool
from farm.storage import storage
from tests.workers.test_render_job import rendered, submitted
from workers import decoding

pytestmark = [
    pytest.mark.usefixtures("database", "weights_dir", "decoders_as_processes"),
    pytest.mark.skipif(sys.platform != "linux", reason="signals and limits as Linux has them"),
]


def list_decoders() -> list[int]:
    found = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child.pid for child in found if "farm.pictures.decoder_process" in child.cmdline()]


def test_each_job_has_a_process_of_its_own_which_is_there_before_the_job() -> None:
    job = submitted()
    decoder_pool.close()  # the web part's, which have checked its pictures
    decoding.start()
    decoding.await_ready()
    (first,) = list_decoders()
    assert rendered(job).state is State.SUCCEEDED
    (second,) = list_decoders()
    assert second != first


def test_a_picture_that_kills_its_process_fails_its_job_in_words_and_the_next_job_is_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a picture that breaks the decoder
    lines = "import os", "from farm.pictures import decode", "def crash(*_):", "    os.abort()"
    (tmp_path / "sitecustomize.py").write_text("\n".join((*lines, "decode.open_to_size = crash")))
    monkeypatch.syspath_prepend(tmp_path)
    failed = rendered(submitted())

    # Then its job has failed and says why, and the log how the process ended
    assert failed.state is State.FAILED
    assert (failed.error or "").startswith(
        "photograph: cannot be decoded within the limits of this farm"
    )
    assert "SIGABRT" in capsys.readouterr().out

    # And the next one, whose picture does not, is rendered
    (tmp_path / "sitecustomize.py").unlink()
    decoding.close()  # its process was started while the file was there
    assert rendered(submitted()).state is State.SUCCEEDED


def test_a_stored_file_that_is_no_picture_fails_its_job_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = submitted()
    monkeypatch.setattr(type(storage()), "get_whole", lambda *_: b"no picture")
    failed = rendered(job)
    assert failed.state is State.FAILED
    assert (failed.error or "").startswith("photograph: is not a JPEG")
