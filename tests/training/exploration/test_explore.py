"""Exploration of a data set: closed forms of what is measured, statistics by hand, and the whole command on phantoms."""

import csv

import cv2
import numpy as np
import pytest

from service.commands.cxr import main
from service.film.preprocessing import PreprocessSpec, decode, to_model_input
from service.model.findings import FINDINGS, Finding
from training.data.folder import FilmFile, scan_folder
from training.exploration.films import HISTOGRAM_BINS, MeasuredFilm, Measures, edge_magnitude, measure_films
from training.exploration.report import appearance_table, count_table, low_contrast_table, resolution_table, size_table
from training.exploration.statistics import (
    eta_squared,
    imbalance,
    levels,
    mean_interval,
    variance_explained,
)


def film_of(
    finding: Finding, source: str, *, split: str = "train", contrast: float = 50.0, width_px: int = 512
) -> MeasuredFilm:
    file = FilmFile(None, f"{split}/{finding}/{source}{contrast}{width_px}", split, finding, source, None)
    measures = Measures("png", width_px, 512, width_px / 512, 100.0, contrast, 5.0, 80.0)
    return MeasuredFilm(file, measures, np.full(HISTOGRAM_BINS, 1 / HISTOGRAM_BINS))


def cells_of(table: str, finding: str, source: str) -> list[str]:
    """The cells of a class and source, without these two."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return next(cells for of_class, of_source, *cells in rows if (of_class, of_source) == (finding, source))


@pytest.mark.parametrize(("across", "down", "slope"), [(0, 0, 0.0), (1, 0, 1.0), (3, 0, 3.0), (0, 2, 2.0), (3, 4, 5.0)])
def test_a_ramp_has_its_slope_as_edge_magnitude(across, down, slope):
    y, x = np.mgrid[0:30, 0:30]
    ramp = (across * x + down * y).astype(np.uint8)
    assert edge_magnitude(ramp) == pytest.approx(slope)


def test_a_mean_stands_with_its_deviation_and_interval_as_computed_by_hand():
    # The 97.5 % quantile of Student's t with 3 degrees of freedom is 3.182446.
    reach = 3.182446 * np.sqrt(14 / 3) / 2
    assert mean_interval(np.array([1.0, 2.0, 3.0, 6.0])) == pytest.approx((3.0 - reach, 3.0 + reach), rel=1e-5)
    films = [film_of(Finding.NORMAL, "a", contrast=contrast) for contrast in (1.0, 2.0, 3.0, 6.0)]
    films.append(film_of(Finding.NORMAL, "b", contrast=7.0))
    table = appearance_table(films, {"contrast": "standard deviation"})
    assert cells_of(table, "Normal", "a") == ["4", "3.0 ± 2.2 (-0.4 to 6.4)"]
    assert cells_of(table, "Normal", "b") == ["1", "7.0 ± -"], "one film has a mean and no spread"


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
    of_class, of_source, beyond_source = variance_explained(films, "contrast")
    assert of_source > 0.9 and of_class > 0.2
    assert beyond_source == pytest.approx(0.0, abs=1e-6)


def test_classes_are_counted_by_split_and_the_imbalance_is_their_ratio():
    films = [film_of(Finding.NORMAL, "a")] * 6 + [film_of(Finding.NORMAL, "a", split="val")] * 2
    assert imbalance(films) is None
    films += [film_of(Finding.PNEUMONIA, "a")] * 2 + [film_of(Finding.TUBERCULOSIS, "b")] * 3
    assert cells_of(count_table(films), "Normal", "a") == ["6", "2", "0", "8", "61.5 %"]
    assert imbalance(films) == 4.0


def test_films_below_40_count_as_low_in_contrast_per_class_and_source():
    films = [film_of(Finding.NORMAL, "a", contrast=value) for value in (39.9, 40.0, 55.0, 10.0)]
    films += [film_of(Finding.PNEUMONIA, "b")]
    # Wilson's interval for 2 of 4.
    assert cells_of(low_contrast_table(films), "Normal", "a") == ["4", "2", "50.0 % (15.0 % to 85.0 %)"]
    assert cells_of(low_contrast_table(films), "all", "b")[1] == "0"


def test_resolutions_are_counted_and_the_most_common_comes_first():
    films = [film_of(Finding.NORMAL, "a", width_px=width) for width in (512, 256, 512, 300)]
    common, formats, resolutions = cells_of(resolution_table(films), "all", "all")
    assert common.startswith("512 x 512 (50.0 %)") and (formats, resolutions) == ("png 4", "3")
    width, height, ratio = cells_of(size_table(films), "all", "all")
    assert width == "256 to 512; 395 ± 136; 406" and height == "512 to 512; 512 ± 0; 512"
    assert ratio.startswith("0.50 to 1.00")


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


def test_the_command_writes_report_films_and_plots_and_not_where_the_data_lie(explored, data):
    assert {path.name for path in explored.iterdir()} == {"report.md", "films.csv", "figures"}
    report = (explored / "report.md").read_text()
    for figure in (explored / "figures").iterdir():
        assert figure.read_bytes()[:4] == b"\x89PNG"
        assert f"(figures/{figure.name})" in report
    assert report.count("(figures/") == len(list((explored / "figures").iterdir()))
    assert str(data.parent) not in report


def test_a_film_that_cannot_be_read_is_named_and_the_others_are_explored(explored):
    report = (explored / "report.md").read_text()
    assert "18 usable films of 19" in report
    assert "val/Normal/damaged.png: unreadable" in report


def test_the_values_are_those_of_the_films_as_the_model_sees_them(explored, data):
    with (explored / "films.csv").open(newline="") as lines:
        rows = {row["path"]: row for row in csv.DictReader(lines)}
    films = [film for film in scan_folder(data) if film.path.name != "damaged.png"]
    assert list(rows) == [film.relative for film in films]
    spec = PreprocessSpec()
    for film in films:
        pixels = to_model_input(decode(film.path.read_bytes(), spec), spec)
        row = rows[film.relative]
        assert (row["split"], row["label"], row["source"]) == (film.split, film.finding, film.source)
        assert float(row["mean_intensity"]) == pytest.approx(pixels.mean(), rel=1e-4)
        assert float(row["contrast"]) == pytest.approx(pixels.std(), rel=1e-4)
        height_px, width_px = cv2.imread(str(film.path), cv2.IMREAD_GRAYSCALE).shape
        assert (int(row["width_px"]), int(row["height_px"])) == (width_px, height_px)


def test_mean_films_average_the_films_of_a_class_and_source_whatever_the_threads(data):
    films = [film for film in scan_folder(data) if film.path.name != "damaged.png"]
    (one, mean_films), (three, _) = (measure_films(films, threads=threads) for threads in (1, 3))
    assert [each.measures for each in one] == [each.measures for each in three]
    spec = PreprocessSpec()
    members = [film for film in films if (film.finding, film.source) == ("Pneumonia", "source1")]
    expected = np.mean([to_model_input(decode(film.path.read_bytes(), spec), spec) for film in members], axis=0)
    np.testing.assert_allclose(mean_films["Pneumonia", "source1"], expected)
    assert set(mean_films) == {(finding.value, source) for finding in FINDINGS for source in ("source0", "source1")}


def test_a_folder_without_a_readable_film_is_refused(tmp_path, capsys):
    for split in ("train", "val"):
        (tmp_path / "data" / split / "Normal").mkdir(parents=True)
        (tmp_path / "data" / split / "Normal" / "a.png").write_bytes(b"no film")
    assert main(["explore", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 1
    assert "None of the 2 files" in capsys.readouterr().err
