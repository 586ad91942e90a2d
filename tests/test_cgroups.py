"""Limits of a container, as the kernel's files tell them: version 2 and 1, nested, with and without a
namespace of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.cgroups import count_cpus, read_cpu_limit, read_memory_left, read_memory_limit

GIB = 2**30
UNLIMITED_OF_V1 = "9223372036854771712"


def lay_out(
    tmp_path: Path, groups: str, mounts: list[tuple[str, str, str]], files: dict[str, str]
) -> Path:
    """Files of a system: /proc/self and what is mounted, as (root, place, type and options)."""
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(groups)
    lines = [
        f"{number} 1 0:{number} {root} {tmp_path / place} rw shared:1 - {kind}"
        for number, (root, place, kind) in enumerate(mounts)
    ]
    (proc / "mountinfo").write_text("\n".join(["1 0 8:1 / / rw - ext4 /dev/sda rw", *lines]) + "\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    return proc


V2 = "cgroup2 cgroup2 rw"


def test_a_container_of_its_own_namespace(tmp_path: Path) -> None:
    files = {"sys/memory.max": str(2 * GIB), "sys/cpu.max": "150000 100000"}
    proc = lay_out(tmp_path, "0::/\n", [("/", "sys", V2)], files)
    assert read_memory_limit(proc) == 2 * GIB
    assert read_cpu_limit(proc) == 1.5


def test_the_narrowest_of_nested_groups_counts(tmp_path: Path) -> None:
    files = {
        "sys/pod/memory.max": str(GIB),
        "sys/pod/cpu.max": "400000 100000",
        "sys/pod/farm/memory.max": str(3 * GIB),
        "sys/pod/farm/cpu.max": "max 100000",
        "sys/pod/farm/worker/memory.max": "max",
    }
    proc = lay_out(tmp_path, "0::/pod/farm/worker\n", [("/", "sys", V2)], files)
    assert read_memory_limit(proc) == GIB
    assert read_cpu_limit(proc) == 4
    # Also where the container sees its own part alone, under the machine's name for it
    other = tmp_path / "other"
    other.mkdir()
    part = {"sys/worker/memory.max": str(GIB // 2), "sys/memory.max": "max"}
    proc = lay_out(other, "0::/pod/farm/worker\n", [("/pod/farm", "sys", V2)], part)
    assert read_memory_limit(proc) == GIB // 2


def test_groups_of_version_1(tmp_path: Path) -> None:
    groups = "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n1:name=systemd:/docker/1\n0::/\n"
    mounts = [
        ("/docker/1", "sys/cpu", "cgroup cgroup rw,cpu,cpuacct"),
        ("/docker/1", "sys/memory", "cgroup cgroup rw,memory"),
        ("/", "sys/unified", V2),
    ]
    files = {
        "sys/memory/memory.limit_in_bytes": str(GIB),
        "sys/cpu/cpu.cfs_quota_us": "50000",
        "sys/cpu/cpu.cfs_period_us": "100000",
    }
    proc = lay_out(tmp_path, groups, mounts, files)
    assert read_memory_limit(proc) == GIB
    assert read_cpu_limit(proc) == 0.5
    assert count_cpus(proc) == 1  # half of one still needs a thread


@pytest.mark.parametrize("groups", ["0::/\n", "0::/../../elsewhere\n", "", "4:memory:/a\n"])
def test_without_a_limit_the_machine_counts(tmp_path: Path, groups: str) -> None:
    files = {"sys/memory.max": "max", "sys/cpu.max": "max 100000"}
    proc = lay_out(tmp_path, groups, [("/", "sys", V2)], files)
    assert read_memory_limit(proc) is None
    assert read_cpu_limit(proc) is None
    assert count_cpus(proc) == count_cpus(tmp_path / "no-such-folder") >= 1


def test_version_1_says_no_limit_by_a_huge_number(tmp_path: Path) -> None:
    files = {"sys/memory.limit_in_bytes": UNLIMITED_OF_V1, "sys/cpu.cfs_quota_us": "-1"}
    mounts = [("/", "sys", "cgroup cgroup rw,memory,cpu")]
    proc = lay_out(tmp_path, "1:memory,cpu:/\n", mounts, files)
    assert read_memory_limit(proc) == int(UNLIMITED_OF_V1)  # more than any machine has
    assert read_cpu_limit(proc) is None


def test_what_is_left_is_the_least_of_all_groups_without_what_is_kept_of_files(tmp_path: Path) -> None:
    files = {
        "sys/pod/memory.max": str(3 * GIB),
        "sys/pod/memory.current": str(2 * GIB + GIB // 2),
        "sys/pod/memory.stat": f"anon {GIB}\ninactive_file {GIB // 4}\nactive_file 5",
        "sys/pod/farm/memory.max": "max",
        "sys/pod/farm/memory.current": str(2 * GIB),
    }
    proc = lay_out(tmp_path, "0::/pod/farm\n", [("/", "sys", V2)], files)
    assert read_memory_left(proc) == GIB // 2 + GIB // 4
    (tmp_path / "sys/pod/memory.max").write_text("max")
    assert read_memory_left(proc) is None
