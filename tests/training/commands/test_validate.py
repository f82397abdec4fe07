"""`cxr validate` on phantoms."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.commands.cxr import main
from service.model.findings import Finding
from tests.support.training.data_folders import films_of


@pytest.fixture
def folder(phantom_dataset: Callable[..., Path]) -> Path:
    """A sound data folder with a manifest: three films per class in train, two in val and in test."""
    return phantom_dataset(films_per_class={"train": 3, "val": 2, "test": 2}, size_px=160, manifest=True)


def test_the_command_prints_the_table_of_a_sound_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["validate", "--data", str(folder), "--workers", "1", "--near-duplicate-bits", "3"])

    assert code == 0
    assert "21 of 21 films (100.00 %) are usable." in capsys.readouterr().out


def test_the_command_writes_the_report_before_it_fails_on_leakage(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(films_of(folder, "train", Finding.NORMAL)[0], folder / "test/Normal/again.png")

    code = main(["validate", "--data", str(folder), "--out", str(tmp_path), "--near-duplicate-bits", "3"])

    printed = capsys.readouterr()
    assert code == 1
    assert "1 pair(s) of films are in two splits" in printed.err
    assert "test/Normal/again.png" in printed.err
    assert "Same file in two splits" in printed.out
    assert "test/Normal/again.png" in (tmp_path / "validation_report.md").read_text()


@pytest.mark.parametrize(
    ("option", "value", "status"),
    [("--near-duplicate-bits", "-1", 1), ("--near-duplicate-bits", "256", 1), ("--workers", "0", 2)],
)
def test_the_command_refuses_settings_out_of_range(
    folder: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, status: int
) -> None:
    assert main(["validate", "--data", str(folder), option, value]) == status
    assert option.strip("-").replace("-", "_") in capsys.readouterr().err.replace("-", "_")
