import json

import cv2
import pytest

from service.commands.cxr import main
from service.model import load_model
from tests.support.encoded_films import encode, film
from tests.support.site_profiles import make_profile

PNG = encode(film(), "PNG")


@pytest.fixture
def predict(bundle_path, capsys):
    """Runs `cxr predict`; returns exit status, lines of stdout and lines of stderr."""

    def run(*arguments):
        status = main(["predict", "--bundle", str(bundle_path), *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out.splitlines(), printed.err.splitlines()

    return run


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "film.png"
    path.write_bytes(PNG)
    return path


def test_a_person_reads_finding_probabilities_set_review_and_what_it_is_not_for(predict, path, bundle_path):
    expected = load_model(bundle_path).predict(PNG)
    status, lines, _ = predict(path)
    assert (status, lines[0]) == (0, f"{path}: {expected.finding}, confidence {expected.confidence:.3f}")
    for name, value in expected.probabilities.items():
        assert f"{name} {value:.3f}" in lines[1]
    assert lines[3].split(maxsplit=1) == ["review", ", ".join(expected.review_reasons) or "not required"]
    assert lines[-2].startswith("chest-xray 1.0.0, operating point balanced,")
    assert "research use only" in lines[-2]
    assert lines[-1] == "Not commissioned for the site of these films."


def test_a_person_reads_which_site_profile_answered_and_its_warnings(predict, path, bundle, tmp_path):
    made = make_profile(bundle, tmp_path, version=2)
    _, lines, _ = predict(path, "--site", made.path)
    assert lines[-1] == "Commissioned for mercy, profile 2."
    made = make_profile(bundle, tmp_path, version=3, verified=False, warnings=("The scanner explains most of the gain.",))
    _, lines, _ = predict(path, "--site", made.path)
    assert lines[-3:] == [
        "Commissioned for mercy, profile 3.",
        "Nothing was verified: this site gave films without labels alone.",
        "The scanner explains most of the gain.",
    ]
    _, [line], _ = predict(path, "--site", made.path, "--json")
    assert json.loads(line)["site"] == {"name": "mercy", "version": 3}


def test_a_program_reads_a_line_of_json_for_each_film(predict, path, bundle_path):
    status, lines, _ = predict(path, path, "--json", "--operating-point", "tb_screening")
    answers = [json.loads(line) for line in lines]
    expected = load_model(bundle_path).predict(PNG, "tb_screening").members()
    assert (status, len(answers)) == (0, 2)
    assert (answers[0]["film"], answers[0]["site"]) == (str(path), None)
    assert answers[0]["probabilities"] == expected["probabilities"]
    assert answers[0]["review"] == json.loads(json.dumps(expected["review"]))


def test_an_explanation_is_drawn_and_summed_up(predict, path, tmp_path):
    status, lines, _ = predict(path, "--explain", tmp_path / "overlay.png")
    assert status == 0
    assert "in the patient's" in lines[4]
    assert cv2.imread(str(tmp_path / "overlay.png")).shape == (224, 224, 3)
    _, [line], _ = predict(path, "--explain", tmp_path / "overlay.png", "--json")
    assert sum(json.loads(line)["explanation"]["zones"].values()) == pytest.approx(1)


def test_films_that_cannot_be_judged_are_one_line_each_and_the_others_are_judged(predict, path, tmp_path):
    text = tmp_path / "notes.png"
    text.write_text("no film")
    gone = tmp_path / "gone.png"
    status, lines, complaints = predict(text, gone, path, tmp_path)
    assert (status, lines[0].startswith(f"{path}: ")) == (1, True)
    assert complaints[0].startswith(f"{text}: ") and "Send a JPEG" in complaints[0]
    assert complaints[1] == f"{gone}: No such file or directory."
    assert f"`cxr score {tmp_path} --out predictions.csv`" in complaints[2]
    assert len(complaints) == 3


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["film.png", "film.png", "--explain", "x.png"], 2, "one film can be explained at a time"),
        (["film.png", "--explain", "x.jpg"], 2, "x.jpg must end in .png"),
        (["film.png", "--operating-point", "y"], 1, "no operating point 'y'; choose one of: balanced"),
        (["film.png", "--bundle", "nowhere"], 1, "No bundle folder at nowhere"),
        (["film.png", "--site", "nowhere"], 1, "No site profile at nowhere"),
    ],
)
def test_wrong_arguments_are_one_line(predict, arguments, status, complaint):
    returned, lines, complaints = predict(*arguments)
    assert (returned, lines, len(complaints)) == (status, [], 1)
    assert complaint in complaints[0]
