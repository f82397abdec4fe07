"""The folder that a start keeps its metrics in, without a server."""

import resource
import tempfile

import pytest

from service.errors import SettingsError
from service.process.supervision import make_metrics_folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_of_temporary_files_without_room_ends_the_start_and_keeps_nothing(temporary):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, limits[1]))  # as a full disk, for this process alone
    try:
        with pytest.raises(SettingsError, match=r"\(TMPDIR\) cannot hold the metrics: File too large"):
            make_metrics_folder()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(temporary.iterdir()) == []


def test_a_folder_of_temporary_files_that_is_not_there_ends_the_start(temporary):
    temporary.rmdir()
    with pytest.raises(SettingsError, match=r"\(TMPDIR\) cannot hold the metrics: No such file or directory"):
        make_metrics_folder()
