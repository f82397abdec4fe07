"""What the benchmark writes."""

import json
import platform
import re
from email import message_from_bytes
from pathlib import Path

from benchmarks import report
from benchmarks.conditions import Conditions, read_conditions
from benchmarks.films import MULTIPART_TYPE, jpeg_films, multipart_body
from benchmarks.summary import EXPLAIN, RAW, SERVICE, Cell
from service.film.film import Radiograph
from tests.benchmarks.test_summary import measurements, sample

CONDITIONS = Conditions(
    model="chest-xray 1.0.0 (efficientnet_b0)",
    cpu="Some CPU",
    cores=2,
    memory_gigabytes=16.0,
    system="Linux x86_64",
    python="3.11.7",
    versions={"torch": "2.14.1"},
    load_average=0.1,
)


def test_markdown_shows_each_target_with_its_bound_and_whether_it_is_met():
    text = report.render_markdown(CONDITIONS, measurements({Cell(SERVICE, EXPLAIN, RAW, 1): sample(16.0)}))
    [met] = [line for line in text.splitlines() if line.startswith("| Start to ready")]
    assert [cell.strip() for cell in met.strip("|").split("|")] == ["Start to ready", "at most 6 s", "5.00 s", "yes"]
    [missed] = [line for line in text.splitlines() if line.startswith("| p50 of /predict/explain")]
    assert [cell.strip() for cell in missed.strip("|").split("|")][1:] == ["at most 1.5 x", "1.60 x", "**no**"]


def test_markdown_has_a_row_for_every_cell():
    text = report.render_markdown(CONDITIONS, measurements())
    assert len([line for line in text.splitlines() if "/predict" in line and "multipart" in line]) >= 7


def test_inputs_and_overload_have_their_tables_and_targets():
    text = report.render_markdown(CONDITIONS, measurements())
    [judged] = [line for line in text.splitlines() if line.startswith("| Films judged a second")]
    assert [cell.strip() for cell in judged.strip("|").split("|")][1:] == ["at least 0.9 x", "0.95 x", "yes"]
    [large] = [line for line in text.splitlines() if line.startswith("| JPEG, 2048 px / JPEG, 512 px")]
    assert [cell.strip() for cell in large.strip("|").split("|")][1:] == ["at most 1.6 x", "1.75 x", "**no**"]


def test_json_holds_targets_and_the_values_of_each_round(tmp_path):
    path = tmp_path / "results" / "latest.json"
    report.write(path, CONDITIONS, measurements())
    document = json.loads(path.read_text("utf-8"))
    assert {target["met"] for target in document["targets"]} == {True, False}
    assert all(len(cell["requests_per_second_per_round"]) == 2 for cell in document["cells"])
    assert path.with_suffix(".md").read_text("utf-8").startswith("# Speed and size")


def test_results_name_the_kind_of_machine_and_neither_it_nor_its_folders(bundle, tmp_path):
    report.write(tmp_path / "latest.json", read_conditions(bundle.manifest), measurements())
    for path in tmp_path.iterdir():
        text = path.read_text("utf-8")
        assert bundle.manifest.architecture in text
        assert not re.search(rf"\b{re.escape(platform.node())}\b", text)
        assert str(bundle.path) not in text
        assert str(Path.cwd()) not in text


def test_films_differ_and_are_read_by_the_service_as_jpeg():
    films = jpeg_films(512, 4)
    assert len(set(films)) == 4
    read = Radiograph.from_bytes(films[0])
    assert (read.format, read.width_px, read.height_px) == ("jpeg", 512, 512)


def test_a_form_carries_the_film_unchanged():
    [film] = jpeg_films(128, 1)
    message = message_from_bytes(f"Content-Type: {MULTIPART_TYPE}\r\n\r\n".encode() + multipart_body(film))
    [part] = message.get_payload()
    assert part.get_param("name", header="content-disposition") == "image"
    assert part.get_payload(decode=True) == film
