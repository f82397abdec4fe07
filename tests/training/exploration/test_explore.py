"""Exploration of a data set: closed forms of what is measured, statistics by hand, and the whole command on phantoms."""

import csv
import json
from collections import Counter

import cv2
import numpy as np
import pytest

from service.commands.cxr import main
from service.film.preprocessing import PreprocessSpec, decode, to_model_input
from service.model.findings import FINDINGS, Finding
from training.data.folder import FilmFile, scan_folder
from training.errors import ConfigError
from training.exploration.films import HISTOGRAM_BINS, MeasuredFilm, Measures, edge_magnitude, measure_films
from training.exploration.statistics import (
    count_films,
    eta_squared,
    levels,
    summarise_appearance,
    summarise_sizes,
    summary,
    variance_explained,
)


def film_of(
    finding: Finding, source: str, *, split: str = "train", contrast: float = 50.0, width_px: int = 512
) -> MeasuredFilm:
    file = FilmFile(None, f"{split}/{finding}/{source}{contrast}{width_px}", split, finding, source, None)
    measures = Measures("png", width_px, 512, width_px / 512, 100.0, contrast, 5.0, 80.0)
    return MeasuredFilm(file, measures, np.full(HISTOGRAM_BINS, 1 / HISTOGRAM_BINS))


def row_of(rows, finding, source):
    return next(row for row in rows if (row["class"], row["source"]) == (finding, source))


@pytest.mark.parametrize(("across", "down", "slope"), [(0, 0, 0.0), (1, 0, 1.0), (3, 0, 3.0), (0, 2, 2.0), (3, 4, 5.0)])
def test_a_ramp_has_its_slope_as_edge_magnitude(across, down, slope):
    y, x = np.mgrid[0:30, 0:30]
    ramp = (across * x + down * y).astype(np.uint8)
    assert edge_magnitude(ramp) == pytest.approx(slope)


def test_a_summary_equals_what_is_computed_by_hand():
    found = summary(np.array([1.0, 2.0, 3.0, 6.0]))
    assert (found["mean"], found["median"], found["min"], found["max"]) == (3.0, 2.5, 1.0, 6.0)
    assert found["std"] == pytest.approx(np.sqrt(14 / 3), rel=1e-5)
    # The 97.5 % quantile of Student's t with 3 degrees of freedom is 3.182446.
    reach = 3.182446 * np.sqrt(14 / 3) / 2
    assert found["mean_interval_95"] == pytest.approx([3.0 - reach, 3.0 + reach], rel=1e-5)


def test_one_film_has_a_mean_and_no_spread():
    found = summary(np.array([7.0]))
    assert found["mean"] == 7.0 and found["std"] is None and found["mean_interval_95"] == [None, None]


def test_variance_between_groups_is_all_some_or_none_of_it():
    assert eta_squared(np.array([1.0, 1.0, 5.0, 5.0]), ["a", "a", "b", "b"]) == pytest.approx(1.0)
    assert eta_squared(np.array([1.0, 5.0, 1.0, 5.0]), ["a", "a", "b", "b"]) == pytest.approx(0.0)
    # Between: 4 x 1; in all: 4 x 1 + 4 x 1.
    assert eta_squared(np.array([0.0, 2.0, 2.0, 4.0]), ["a", "a", "b", "b"]) == pytest.approx(0.5)
    assert np.isnan(eta_squared(np.ones(4), ["a", "a", "b", "b"]))


def test_a_difference_between_hospitals_is_not_ascribed_to_the_class():
    films = [film_of(Finding.NORMAL, "a", contrast=30 + i) for i in range(4)]
    films += [film_of(Finding.NORMAL, "b", contrast=60 + i) for i in range(2)]
    films += [film_of(Finding.TUBERCULOSIS, "b", contrast=60 + i) for i in range(2)]
    explained = variance_explained(films)["contrast"]
    assert explained["source"] > 0.9 and explained["class"] > 0.2
    assert explained["class_beyond_source"] == pytest.approx(0.0, abs=1e-6)


def test_classes_are_counted_by_split_and_the_imbalance_is_their_ratio():
    films = (
        [film_of(Finding.NORMAL, "a")] * 6 + [film_of(Finding.PNEUMONIA, "a")] * 2 + [film_of(Finding.TUBERCULOSIS, "b")] * 3
    )
    films += [film_of(Finding.NORMAL, "a", split="val")] * 2
    counts = count_films(films)
    assert counts["per_split"]["train"] == {"Normal": 6, "Pneumonia": 2, "Tuberculosis": 3}
    assert counts["imbalance_ratio"] == {"train": 3.0, "val": None, "all": 4.0}
    assert counts["class_source_cramers_v"] == pytest.approx(1.0), "the source is known from the class"
    assert row_of(counts["per_class_and_source"], "Normal", "a")["val"] == 2


def test_films_below_40_count_as_low_in_contrast_per_class_and_source():
    films = [film_of(Finding.NORMAL, "a", contrast=value) for value in (39.9, 40.0, 55.0, 10.0)]
    films += [film_of(Finding.PNEUMONIA, "b")]
    rows = summarise_appearance(films)
    low = row_of(rows, "Normal", "a")["low_contrast"]
    assert (low["films"], low["share"]) == (2, 0.5)
    # Wilson's interval for 2 of 4.
    assert low["interval_95"] == pytest.approx([0.150, 0.850], abs=5e-4)
    assert row_of(rows, "all", "b")["low_contrast"]["share"] == 0.0


def test_resolutions_are_counted_and_the_most_common_comes_first():
    films = [film_of(Finding.NORMAL, "a", width_px=width) for width in (512, 256, 512, 300)]
    sizes = row_of(summarise_sizes(films), "all", "all")
    assert sizes["unique_resolutions"] == 3
    assert sizes["most_common"][0] == {"width_px": 512, "height_px": 512, "share": 0.5}
    assert sizes["aspect_ratio"]["min"] == 0.5


def test_every_class_and_source_with_films_is_a_level_and_no_other():
    films = [film_of(Finding.NORMAL, "a"), film_of(Finding.TUBERCULOSIS, "b")]
    assert [(finding, source) for finding, source, _ in levels(films)] == [
        ("all", "all"), ("all", "a"), ("all", "b"), ("Normal", "all"), ("Normal", "a"),
        ("Tuberculosis", "all"), ("Tuberculosis", "b"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def data(phantom_dataset):
    """Phantoms of two sources, and one file that is no film."""
    root = phantom_dataset(films_per_class={"train": 4, "val": 2}, manifest=True)
    (root / "val" / "Normal" / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return root


@pytest.fixture(scope="module")
def explored(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("reports") / "exploration"
    assert main(["explore", "--data", str(data), "--out", str(out), "--threads", "2"]) == 0
    return out


def test_the_command_writes_report_values_films_and_plots_and_not_where_the_data_lie(explored, data):
    assert {path.name for path in explored.iterdir()} == {"report.md", "exploration.json", "films.csv", "figures"}
    report = (explored / "report.md").read_text()
    for figure in (explored / "figures").iterdir():
        assert figure.read_bytes()[:4] == b"\x89PNG"
        assert f"(figures/{figure.name})" in report
    assert report.count("(figures/") == len(list((explored / "figures").iterdir()))
    assert str(data.parent) not in report


def test_a_refused_film_is_counted_and_named_and_the_others_are_explored(explored):
    values = json.loads((explored / "exploration.json").read_text())
    assert [(each["path"], each["reason"]) for each in values["refused"]] == [("val/Normal/damaged.png", "UnreadableImage")]
    assert values["counts"]["films"] == 18
    assert "val/Normal/damaged.png: UnreadableImage" in (explored / "report.md").read_text()


def test_the_values_are_those_of_the_films_as_the_model_sees_them(explored, data):
    with (explored / "films.csv").open(newline="") as lines:
        rows = {row["path"]: row for row in csv.DictReader(lines)}
    assert len(rows) == 18
    spec = PreprocessSpec()
    for film in scan_folder(data):
        if film.relative in rows:
            pixels = to_model_input(decode(film.path.read_bytes(), spec), spec)
            row = rows[film.relative]
            assert float(row["mean_intensity"]) == pytest.approx(pixels.mean(), rel=1e-4)
            assert float(row["contrast"]) == pytest.approx(pixels.std(), rel=1e-4)
            height_px, width_px = cv2.imread(str(film.path), cv2.IMREAD_GRAYSCALE).shape
            assert (int(row["width_px"]), int(row["height_px"])) == (width_px, height_px)
    values = json.loads((explored / "exploration.json").read_text())
    of_class = [float(row["contrast"]) for row in rows.values() if row["label"] == "Normal"]
    assert row_of(values["appearance"], "Normal", "all")["contrast"]["mean"] == pytest.approx(np.mean(of_class), rel=1e-4)
    assert Counter(row["label"] for row in rows.values()) == {finding.value: 6 for finding in FINDINGS}


def test_mean_films_average_the_films_of_a_class_and_source(data):
    folder = measure_films(scan_folder(data), threads=2)
    spec = PreprocessSpec()
    members = [each.film for each in folder.films if (each.film.finding, each.film.source) == ("Pneumonia", "source1")]
    expected = np.mean([to_model_input(decode(film.path.read_bytes(), spec), spec) for film in members], axis=0)
    np.testing.assert_allclose(folder.mean_films["Pneumonia", "source1"], expected)


def test_the_number_of_threads_changes_nothing_and_none_is_refused(data):
    films = scan_folder(data)
    one, three = (measure_films(films, threads=threads) for threads in (1, 3))
    assert [each.measures for each in one.films] == [each.measures for each in three.films]
    with pytest.raises(ConfigError, match="threads is 0"):
        measure_films(films, threads=0)


def test_a_folder_without_a_readable_film_is_refused(tmp_path, capsys):
    for split in ("train", "val"):
        (tmp_path / "data" / split / "Normal").mkdir(parents=True)
        (tmp_path / "data" / split / "Normal" / "a.png").write_bytes(b"no film")
    assert main(["explore", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 1
    assert "None of the 2 files" in capsys.readouterr().err
