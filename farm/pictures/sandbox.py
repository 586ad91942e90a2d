"""A sandbox for the calling process by what Linux offers: another user, Landlock, a seccomp filter.

Each layer is optional. Afterwards this process reads the folders of Python and its libraries only,
makes and changes no file, opens no socket, starts no process or program and looks into no other.
Sources: landlock(7), seccomp(2), the kernel's tables of system calls. The filter is classic BPF.
"""

from __future__ import annotations

import ctypes
import errno
import importlib.util
import os
import platform
import site
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import farm

USER, LANDLOCK, SECCOMP = "user", "landlock", "seccomp"
NOBODY = 65534  # user and group
READERS = (
    "PIL",
    "numpy",
    "pi_heif",
    "tifffile",
    "av",
)  # of pictures and clips; they import parts of themselves late
KILL, SET_GROUP, SET_USER = 5, 6, 7  # capabilities(7)
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on all architectures
ABI_VERSION, PATH_BENEATH = 1, 1
READ_FILE, READ_DIR = 1 << 2, 1 << 3
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many there are by version of the interface
NET_RIGHTS, SCOPES = 0b11, 0b11  # bind and connect; abstract sockets and signals
FIRST_NET, FIRST_SCOPES = 4, 6  # versions of the interface

SET_FILTER, ALL_THREADS = 1, 1
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF, words
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in `struct seccomp_data`
KILL_PROCESS, REFUSE, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
X32 = 0x40000000  # numbers of the other interface of x86-64
NEW_THREAD = 0x00010000  # of clone's flags

NEW_CALLS = (  # one number everywhere: pidfd_send_signal, io_uring, pidfd_open, pidfd_getfd,
    *(424, 425, 426, 427, 434, 438, 440, 452),  # process_madvise, fchmodat2
)


@dataclass(frozen=True)
class Calls:
    """Numbers of system calls on one architecture."""

    audit: int  # the architecture's own number
    seccomp: int
    clone: int
    # Those refused whatever their arguments are.
    refused: tuple[int, ...]
    # kill and tgkill: only for this process itself.
    signals: tuple[int, ...]
    # prlimit64: only for this process itself, which is 0.
    limits: int


CLONE3 = 435
CALLS = {
    "x86_64": Calls(
        audit=0xC000003E,
        seccomp=317,
        clone=56,
        refused=(
            *(41, 53, 42, 49),  # socket, socketpair, connect, bind
            *(59, 322, 57, 58),  # execve, execveat, fork, vfork
            *(101, 310, 311, 312),  # ptrace, process_vm_readv, process_vm_writev, kcmp
            *(200, 129, 297),  # tkill, rt_sigqueueinfo, rt_tgsigqueueinfo
            *(90, 91, 268, 92, 94, 93, 260, 188, 189, 190),  # chmod, chown, setxattr and their kin
            *(165, 272, 308, 321, 298, 323),  # mount, unshare, setns, bpf, perf_event_open, userfaultfd
            *(
                248,
                249,
                250,
                304,
                29,
                30,
            ),  # add_key, request_key, keyctl, open_by_handle_at, shmget, shmat
        ),
        signals=(62, 234),
        limits=302,
    ),
    "aarch64": Calls(
        audit=0xC00000B7,
        seccomp=277,
        clone=220,
        refused=(
            *(198, 199, 203, 200),  # in the same order; there is no fork, vfork, chmod, chown, lchown
            *(221, 281),
            *(117, 270, 271, 272),
            *(130, 138, 240),
            *(52, 53, 55, 54, 5, 6, 7),
            *(40, 97, 268, 280, 241, 282),
            *(217, 218, 219, 265, 194, 196),
        ),
        signals=(129, 131),
        limits=261,
    ),
}


class _Ruleset(ctypes.Structure):
    """`struct landlock_ruleset_attr`; older kernels take the longer one if what they lack is 0."""

    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    """`struct landlock_path_beneath_attr`."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


class _Instruction(ctypes.Structure):
    """`struct sock_filter`."""

    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("operand", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def leave_root() -> list[str]:
    """Become nobody, if this process is root, may do so, and can read its libraries then."""
    with suppress(OSError):
        if sys.platform == "linux" and os.geteuid() == 0 and _has_capabilities():
            return [USER] if _become_nobody() else []
    return []


def lock() -> list[str]:
    """Put Landlock and the seccomp filter in force, for good; return the names of those that are.

    `prctl.forbid_new_privileges` comes first. Files that are open stay open.
    """
    layers: dict[str, Callable[[], None]] = {LANDLOCK: _restrict_files, SECCOMP: _restrict_calls}
    in_force = []
    for name, restrict in layers.items() if sys.platform == "linux" else ():
        with suppress(
            OSError, AttributeError
        ):  # the kernel has no such thing, or a container refuses it
            restrict()
            in_force.append(name)
    return in_force


def _has_capabilities() -> bool:
    """Return True if root's child can change its user, and root can still kill it then."""
    status = Path("/proc/self/status").read_text()
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    return all(effective >> number & 1 for number in (KILL, SET_GROUP, SET_USER))


def _become_nobody() -> bool:
    """Change user and group for good, or not at all where the libraries are for root's eyes only."""
    groups, group, needed = os.getgroups(), os.getegid(), _find_readable()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    readable = all(_can_read(path) for path in needed)
    os.seteuid(0)
    if not readable:
        os.setegid(group)
        os.setgroups(groups)
        return False
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    return True


def _find_readable() -> list[str]:
    """Find what Python may still need: its folders, those of packages and libraries, the farm's modules.

    Folders of `sys.path` may hold anything, a farm's home and its keys, too: of those only the packages
    that read pictures.
    """
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {*site.getsitepackages(), *LIBRARIES}
    paths |= {site.getusersitepackages()} if site.ENABLE_USER_SITE else set()
    paths |= {str(Path(folder)) for folder in farm.__path__}
    for name in READERS:
        found = importlib.util.find_spec(name)
        paths |= {*(found.submodule_search_locations or [])} if found else set()
    return sorted(path for path in paths if _can_read(path))


def _can_read(path: str) -> bool:
    return os.access(path, os.R_OK, effective_ids=True)


def _restrict_files() -> None:
    """Allow reading what `_find_readable` finds, and nothing else of files.

    Raises:
        OSError: there is no Landlock.
    """
    version = _call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(ABI_VERSION))
    rules = _Ruleset(
        (1 << FILE_RIGHTS[min(version, max(FILE_RIGHTS))]) - 1,
        NET_RIGHTS if version >= FIRST_NET else 0,
        SCOPES if version >= FIRST_SCOPES else 0,
    )
    ruleset = _call(
        CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), ctypes.c_uint32(0)
    )
    try:
        for path in _find_readable():
            _allow_reading(ruleset, path)
        _call(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _allow_reading(ruleset: int, path: str) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(READ_FILE | READ_DIR if Path(path).is_dir() else READ_FILE, opened)
        _call(
            ADD_RULE,
            ctypes.c_int(ruleset),
            ctypes.c_int(PATH_BENEATH),
            ctypes.byref(rule),
            ctypes.c_uint32(0),
        )
    finally:
        os.close(opened)


def _restrict_calls() -> None:
    """Refuse system calls that decoding needs not.

    Raises:
        OSError: there is no seccomp, or nobody has written down this architecture's numbers.
    """
    calls = CALLS.get(platform.machine())
    if calls is None or sys.maxsize < 1 << 32:
        raise OSError(errno.ENOSYS, "no numbers of system calls")
    written = list(_write_filter(calls))
    instructions = (_Instruction * len(written))(*(_Instruction(*each) for each in written))
    program = _Program(len(written), ctypes.cast(instructions, ctypes.POINTER(_Instruction)))
    refused = _call(
        calls.seccomp, ctypes.c_uint(SET_FILTER), ctypes.c_uint(ALL_THREADS), ctypes.byref(program)
    )
    if refused:  # the id of a thread that could not follow
        raise OSError(errno.EBUSY, "a thread has a filter of its own")


def _write_filter(calls: Calls) -> Iterator[tuple[int, int, int, int]]:
    """Yield the filter's instructions: code, how many to skip if true and if not, operand.

    A number that is not the one of a test skips to the next test.
    """
    refuse = RETURN, 0, 0, REFUSE | errno.EPERM
    allow = RETURN, 0, 0, ALLOW
    yield LOAD, 0, 0, ARCHITECTURE
    yield EQUAL, 1, 0, calls.audit
    yield RETURN, 0, 0, KILL_PROCESS
    yield LOAD, 0, 0, NUMBER
    yield AT_LEAST, 0, 1, X32
    yield refuse
    for number in (*calls.refused, *NEW_CALLS):
        yield EQUAL, 0, 1, number
        yield refuse
    yield EQUAL, 0, 1, CLONE3  # its flags lie in memory; the C library then takes clone
    yield RETURN, 0, 0, REFUSE | errno.ENOSYS
    itself = os.getpid()
    arguments = [(number, EQUAL, itself) for number in calls.signals]
    for number, test, value in (
        *arguments,
        (calls.limits, EQUAL, 0),
        (calls.clone, ANY_BIT, NEW_THREAD),
    ):
        yield EQUAL, 0, 4, number
        yield LOAD, 0, 0, FIRST_ARGUMENT
        yield test, 0, 1, value
        yield allow
        yield refuse
    yield allow


def _call(number: int, *arguments: object) -> int:
    """Make a system call; raise OSError if it fails."""
    result = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)
