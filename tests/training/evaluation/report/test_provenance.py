"""What a data folder states about its films."""

import pytest

from training.data.folder import scan_folder
from training.evaluation.report.provenance import summarise_data


def test_data_are_summarised_by_source_class_split_and_licence(licensed_data):
    summary = summarise_data(licensed_data, scan_folder(licensed_data))
    assert set(summary) == {"source0", "source1"}
    assert summary["source1"]["noncommercial"] == {"yes": 3 * (1 + 1 + 2)}
    assert summary["source0"]["licence"] == {"CC BY 4.0": 3 * (1 + 1 + 3) + 1}
    assert summary["source0"]["dataset"] == {"not stated": 16}
    assert summary["source0"]["counts"]["Normal"] == {"train": 1, "val": 1, "test": 4}


def test_a_folder_without_manifest_is_of_unknown_source_and_licence(phantom_dataset):
    root = phantom_dataset(films_per_class={"train": 1, "val": 1})
    summary = summarise_data(root, scan_folder(root))
    assert list(summary) == ["unknown"]
    assert summary["unknown"]["licence"] == {"not stated": 6}


@pytest.mark.parametrize(("written", "meant"), [("YES ", "yes"), ("perhaps", "unclear")])
def test_an_unknown_flag_is_unclear(licensed_data, tmp_path, written, meant):
    rows = (licensed_data / "manifest.csv").read_text().replace("\r", "")
    assert ",yes\n" in rows
    (tmp_path / "manifest.csv").write_text(rows.replace(",yes\n", f",{written}\n"))
    films = [film for film in scan_folder(licensed_data) if film.source == "source1"]
    assert set(summarise_data(tmp_path, films)["source1"]["noncommercial"]) == {meant}
