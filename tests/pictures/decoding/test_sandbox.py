"""A decoding process that was taken over reaches nothing: no secret, file, process or network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from farm.errors import InvalidInput
from farm.pictures import decoder_child, sandbox
from farm.pictures.decoder_pool import Pool
from farm.pictures.sandbox import LANDLOCK, SECCOMP
from tests.pictures.decoding.children import SMALL, one, started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and limits as Linux has them")


def test_a_child_has_no_secret_and_none_of_the_farms_settings(
    monkeypatch: pytest.MonkeyPatch, pool: Pool
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://farm:secret@db/farm")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("FARM_WEBHOOK_SECRET", "another secret of ours")
    seen = started(pool).environ()
    assert "secret" not in "".join(seen.values())
    assert not [name for name in seen if name.startswith(("FARM_", "AWS_", "DATABASE", "REDIS"))]
    assert set(seen) <= {*decoder_child.PASSED_ON, "PYTHONPATH", "OPENBLAS_NUM_THREADS", "LC_CTYPE"}


PROBE = """
import ctypes, errno, json, os, socket, threading
from pathlib import Path
from farm.errors import InvalidInput, Problem
from farm.pictures import decode

home, parent, libc = Path({home!r}), {parent}, ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

def write():
    (home / "new").touch()

attempts = dict(
    read=lambda: (home / "secret").read_bytes(),
    look=lambda: os.listdir(home),
    write=write,
    remove=lambda: (home / "secret").unlink(),
    mode=lambda: (home / "secret").chmod(0),
    environ=lambda: Path(f"/proc/{{parent}}/environ").read_bytes(),
    socket=socket.socket,
    pair=socket.socketpair,
    execute=lambda: os.execv("/bin/true", ["true"]),
    fork=os.fork,
    signal=lambda: os.kill(parent, 0),
    ptrace=lambda: call("ptrace", 16, parent, None, None),
    memory=lambda: call("process_vm_readv", parent, None, 0, None, 0, 0),
    thread=lambda: threading.Thread(target=int).start(),
    itself=lambda: os.kill(os.getpid(), 0),
)

def attempt(what):
    try:
        what()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

def check(*_):
    found = {{name: attempt(what) for name, what in attempts.items()}}
    raise InvalidInput(Problem("", json.dumps(found)))

decode.check = check
"""
LAYERS = "from farm import prctl; from farm.pictures import sandbox; prctl.forbid_new_privileges(); {}"
REFUSED_BY = {
    SECCOMP: {"mode", "socket", "pair", "execute", "fork", "signal", "ptrace", "memory"},
    LANDLOCK: {"read", "look", "write", "remove", "environ"},
}


@pytest.fixture(scope="module")
def layers() -> list[str]:
    """Those of the sandbox that this machine has."""
    code = LAYERS.format("print(*sandbox.lock())")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return found.stdout.split()


def test_a_decoder_taken_over_reaches_no_file_no_process_and_no_network(
    layers: list[str],
    farm_home: Path,
    tmp_path: Path,
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a secret, and a decoder that a picture has taken over
    farm_home.mkdir()
    (farm_home / "secret").write_text("the key")
    probe = PROBE.format(home=str(farm_home), parent=os.getpid())
    (tmp_path / "sitecustomize.py").write_text(probe)
    monkeypatch.syspath_prepend(tmp_path)

    # When it tries what it likes
    with pytest.raises(InvalidInput) as caught:
        one(pool, SMALL)
    found = json.loads(caught.value.problems[0].message)

    # Then all but threads and signals to itself is refused, as far as this kernel has the means
    for layer in layers:
        reached = {name: found[name] for name in REFUSED_BY[layer] if found[name] == "done"}
        assert reached == {}, layer
    assert found["thread"] == found["itself"] == "done"


def test_packages_that_read_pictures_are_found_wherever_they_lie(tmp_path, monkeypatch) -> None:
    # As with `pip install --target` and PYTHONPATH, beside what is nobody's business.
    package = tmp_path / "tifffile"
    package.mkdir()
    (package / "__init__.py").touch()
    (tmp_path / "secret-key").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tifffile", raising=False)
    found = sandbox._find_readable()
    assert str(package) in found
    assert str(tmp_path) not in found


def test_the_log_tells_once_which_layers_of_the_sandbox_are_in_force(
    layers: list[str], make_pool: Callable[..., Pool], capsys: pytest.CaptureFixture[str]
) -> None:
    decoder_child._log_sandbox.cache_clear()
    for _ in range(2):
        pool = make_pool()
        one(pool, SMALL)
        pool.close()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "sandbox" in line]
    in_force, missing = line.split("in_force=")[1].split("missing=")
    assert all(repr(layer) in in_force for layer in layers)
    assert all((repr(layer) in missing) == (layer not in layers) for layer in REFUSED_BY)


@pytest.mark.parametrize("fails", ["_restrict_files", "_restrict_calls"])
def test_a_kernel_that_lacks_a_layer_has_the_other(
    fails: str, layers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a kernel that refuses the system calls of one layer
    code = f"def fail(): raise OSError(38, 'lacking')\nsandbox.{fails} = fail\nprint(*sandbox.lock())"
    given = LAYERS.format("") + "\n" + code
    found = subprocess.run([sys.executable, "-c", given], capture_output=True, text=True, check=True)
    lacking = LANDLOCK if fails == "_restrict_files" else SECCOMP
    assert found.stdout.split() == [layer for layer in layers if layer != lacking]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
@pytest.mark.parametrize(("mode", "user"), [(0o755, 65534), (0o700, 0)])
def test_a_child_of_root_becomes_nobody_where_nobody_can_read_its_libraries(
    mode: int, user: int
) -> None:
    with TemporaryDirectory() as libraries:  # below /tmp, which everybody may enter
        Path(libraries).chmod(mode)
        become = f"sandbox._find_readable = lambda: [{libraries!r}]; print(*sandbox.leave_root())"
        then = "import os; print(*os.getresuid(), *os.getresgid(), *os.getgroups()[:1])"
        before = subprocess.run([sys.executable, "-c", then], capture_output=True, text=True, check=True)
        code = LAYERS.format(f"{become}; {then}")
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    nobody = ["user", " ".join(["65534"] * 6)]
    assert found.stdout.strip().splitlines() == (nobody if user else [before.stdout.strip()])


def test_a_child_imports_little() -> None:
    heavy = {"torch", "sqlalchemy", "celery", "flask", "pydantic", "structlog", "redis"}
    code = f"import sys, farm.pictures.decoder_process; print(sorted({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
