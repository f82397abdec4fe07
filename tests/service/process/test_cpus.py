"""Quotas as Linux shows them to a container."""

import os

import pytest

from service.process.cpus import usable_cpus
from service.settings import read_settings


@pytest.fixture
def group(tmp_path, monkeypatch):
    """The folder of a container's control group, on a machine with 16 CPUs."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("1000 1000000", 1),
        ("max 100000", 16),
        ("9000000 100000", 16),
        ("none of these", 16),
        ("100000 0", 16),
    ],
)
def test_a_container_of_version_2_has_its_quota(group, quota, cpus):
    (group / "cpu.max").write_text(f"{quota}\n")
    assert usable_cpus(group) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("250000", 3), ("20000", 1), ("-1", 16)])
def test_a_container_of_version_1_has_its_quota(group, quota, cpus):
    (group / "cpu").mkdir()
    (group / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (group / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cpus(group) == cpus


def test_the_affinity_counts_where_it_is_smaller(group, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    (group / "cpu.max").write_text("400000 100000\n")
    assert usable_cpus(group) == 1


def test_a_system_without_control_groups_has_all_its_cpus(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cpus(tmp_path) == os.cpu_count()


def test_as_many_films_are_judged_at_once():
    assert read_settings({}).threads == usable_cpus()
