"""The number of CPUs this process may use, by its affinity and the quota of its control groups (`docker run --cpus`).

Quotas are in the files cpu.max (version 2) and cpu.cfs_quota_us (version 1) (Documentation/admin-guide/cgroup-v2.rst and
scheduler/sched-bwc.rst of Linux). Without a quota, and on other systems than Linux, all CPUs count.
"""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc/self")


def usable_cpus(proc: Path = PROC) -> int:
    """Whole CPUs, at least 1. A fraction is rounded up, so that the quota can be used up. proc: /proc/self."""
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([present, *map(math.ceil, _quotas(proc))]))


def _quotas(proc: Path) -> Iterator[float]:
    """The quota of each group that contains this process, directly or through another group, in CPUs."""
    try:
        memberships, mounts = _lines(proc / "cgroup"), _lines(proc / "mountinfo")
    except OSError:
        return
    groups = {}
    for line in memberships:
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            groups["cgroup" if controllers else "cgroup2"] = path
    for line in mounts:
        placed, _, described = line.partition(" - ")
        root, mount_point = (_unescaped(field) for field in placed.split(" ")[3:5])
        kind, _, options = described.split(" ", 2)
        if kind in groups and (kind == "cgroup2" or "cpu" in options.split(",")):
            for folder in _upwards(Path(mount_point), root, groups[kind]):
                yield from _quota(folder)


def _lines(path: Path) -> list[str]:
    """Folder names in these files are bytes that need not be valid text."""
    return [os.fsdecode(line) for line in path.read_bytes().split(b"\n") if line]


def _upwards(mount_point: Path, root: str, group: str) -> Iterator[Path]:
    """The folders of a group and of its parents, as far as they are mounted. root: the group at the mount point."""
    try:
        below = Path(group).relative_to(root)
    except ValueError:  # a container sees only its own group, which the host calls by another name
        below = Path()
    if ".." not in below.parts:  # else the group is outside this namespace
        yield from (mount_point / part for part in (below, *below.parents))


def _quota(folder: Path) -> Iterator[float]:
    """CPUs, as a fraction; nothing if the group has no quota."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text("ascii").split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period"))
        if quota != "max" and int(quota) > 0:  # version 1 writes -1
            yield int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return


def _unescaped(field: str) -> str:
    r"""Decode spaces and the like, written as \040 (proc_pid_mountinfo(5))."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field)
