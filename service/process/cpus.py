"""The number of CPUs this process may use, by its affinity and by its container's quota (`docker run --cpus`)."""

import math
import os
from pathlib import Path

# Where a container sees its own control group.
CONTROL_GROUP = Path("/sys/fs/cgroup")


def usable_cpus(group: Path = CONTROL_GROUP) -> int:
    """Whole CPUs, at least 1. A fraction is rounded up, so that the quota can be used up."""
    present = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(group)
    return present if quota is None else min(present, math.ceil(quota))


def _quota(group: Path) -> float | None:
    """CPUs, as a fraction, more than 0; None without a quota.

    It is in the file cpu.max (version 2) or in cpu.cfs_quota_us and cpu.cfs_period_us (version 1)
    (Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst of Linux).
    """
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text("ascii").split()
        else:
            quota, period = ((group / "cpu" / f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None  # version 1 writes -1
    except (OSError, ValueError, ZeroDivisionError):  # ValueError: version 2 writes "max"
        return None
