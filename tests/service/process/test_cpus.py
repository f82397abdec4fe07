"""Quotas as Linux shows them, and a real one where this machine lets us set it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.process.cpus import usable_cpus
from tests.support.server.serving import ROOT, environment_without_settings


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Draws /proc/self and the control groups of a machine with 16 CPUs, and asks for the usable ones.

    mounts: lines of mountinfo without their first fields. groups: lines of /proc/self/cgroup. files: below the mount points,
    which lie in the folder "sys fs".
    """
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    mounted = tmp_path / "sys fs"

    def draw(mounts, groups, files):
        for name, content in files.items():
            (mounted / name).parent.mkdir(parents=True, exist_ok=True)
            (mounted / name).write_text(f"{content}\n")
        escaped = str(mounted).replace(" ", "\\040")
        lines = ["25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"]
        for root, at, kind, options in mounts:
            lines.append(f"30 25 0:26 {root} {escaped}/{at} rw,nosuid shared:9 - {kind} {kind} {options}")
        (tmp_path / "mountinfo").write_text("\n".join(lines) + "\n")
        (tmp_path / "cgroup").write_text("\n".join(groups) + "\n")
        return usable_cpus(tmp_path)

    return draw


V2 = [("/", "cgroup", "cgroup2", "rw,nsdelegate")]


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("1000 1000000", 1),
        ("max 100000", 16),
        ("9000000 100000", 16),
        ("30000 10000", 3),
        ("", 16),
        ("none of these", 16),
        ("100000 0", 16),
    ],
)
def test_a_container_of_version_2_has_its_quota(machine, quota, cpus):
    assert machine(V2, ["0::/"], {"cgroup/cpu.max": quota}) == cpus


def test_a_mount_point_whose_name_is_no_text_hinders_nothing(machine, tmp_path):
    machine(V2, ["0::/"], {"cgroup/cpu.max": "200000 100000"})
    with (tmp_path / "mountinfo").open("ab") as mounts:
        mounts.write(b"31 25 8:2 / /mnt/Aufnahmen-\xfc rw - ext4 /dev/sdb1 rw\n")  # of Latin-1
        mounts.write("32 25 8:3 / /mnt/a\u2028b\rc rw - ext4 /dev/sdc1 rw\n".encode())  # line breaks to Python, not to Linux
    assert usable_cpus(tmp_path) == 2


def test_the_smallest_quota_on_the_way_up_counts(machine):
    files = {
        "cgroup/cpu.max": "max 100000",
        "cgroup/pods/cpu.max": "300000 100000",
        "cgroup/pods/one/cpu.max": "800000 100000",
        "cgroup/pods/one/app/cpu.max": "max 100000",
        "cgroup/other/cpu.max": "100000 100000",
    }
    assert machine(V2, ["0::/pods/one/app"], files) == 3


def test_a_group_is_found_below_the_part_of_the_tree_that_is_mounted(machine):
    mounts = [("/pods/one", "cgroup", "cgroup2", "rw")]
    assert machine(mounts, ["0::/pods/one/app"], {"cgroup/app/cpu.max": "200000 100000"}) == 2
    assert machine(mounts, ["0::/pods/one"], {"cgroup/cpu.max": "100000 100000", "cgroup/app/cpu.max": "1 1"}) == 1


V1 = [
    ("/docker/4f", "cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
    ("/docker/4f", "cpuset", "cgroup", "rw,cpuset"),
    ("/", "unified", "cgroup2", "rw"),
]
V1_GROUPS = ["9:cpuset:/docker/4f", "4:cpu,cpuacct:/docker/4f", "1:name=systemd:/docker/4f", "0::/system.slice/docker.service"]


@pytest.mark.parametrize(("quota", "cpus"), [("250000", 3), ("-1", 16), ("20000", 1)])
def test_a_container_of_version_1_has_its_quota(machine, quota, cpus):
    files = {"cpu,cpuacct/cpu.cfs_quota_us": quota, "cpu,cpuacct/cpu.cfs_period_us": "100000"}
    assert machine(V1, V1_GROUPS, files) == cpus


def test_a_group_of_version_1_that_the_host_names_otherwise_is_the_one_that_is_mounted(machine):
    files = {"cpu,cpuacct/cpu.cfs_quota_us": "200000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}
    assert machine(V1, ["4:cpuacct,cpu:/kubepods/4f"], files) == 2
    assert machine([("/", *V1[0][1:])], ["4:cpuacct,cpu:/../../4f"], files) == 16


def test_the_affinity_counts_where_it_is_smaller(machine, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert machine(V2, ["0::/"], {"cgroup/cpu.max": "400000 100000"}) == 1


def test_a_system_without_control_groups_has_all_its_cpus(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cpus(tmp_path / "no proc") == os.cpu_count()


@pytest.fixture
def real_group():
    """A control group of this machine with a quota of one CPU."""
    kinds = {"cpu.max": Path("/sys/fs/cgroup"), "cpu.cfs_quota_us": Path("/sys/fs/cgroup/cpu")}
    quota, parent = next((kind for kind in kinds.items() if (kind[1] / "cgroup.procs").exists()), ("", Path()))
    group = parent / f"chest-xray-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("this machine lets nobody make a control group")
    try:
        (group / quota).write_text("100000")
        yield group
    except OSError:
        pytest.skip("this machine lets nobody set a quota")
    finally:
        group.rmdir()


@pytest.mark.skipif(usable_cpus() < 2, reason="one CPU is all there is")
def test_a_real_quota_decides_how_many_films_are_worked_on_at_once(real_group):
    program = "from service.settings import read_settings; print(read_settings({}).threads)"
    joined = f"open({str(real_group / 'cgroup.procs')!r}, 'w').write('0'); {program}"
    environment = environment_without_settings()
    done = subprocess.run([sys.executable, "-c", joined], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
