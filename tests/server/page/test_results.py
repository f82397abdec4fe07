"""Answers on the page: films, operating points, order, and the map."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from playwright.sync_api import expect

from service.model.decision import Observed, decide
from service.model.findings import FINDINGS
from tests.support.encoded_films import encode, film
from tests.support.manifests import make_manifest, manifest_members
from tests.support.server.page import DICOM, FILM, MARKS, NO_FILM, answer_of, asked_of, hold_up_a_film, upload

pytestmark = MARKS


def test_a_film_gets_its_finding_bars_zones_and_picture_as_the_api_answers(opened):
    answer = answer_of(opened, FILM)
    expect(opened.locator("#call")).to_contain_text(answer["prediction"])
    numbers = opened.locator("#bars .number").all_text_contents()
    assert numbers == [f"{100 * share:.1f} %" for share in answer["probabilities"].values()]
    widths = opened.locator("#bars .fill").evaluate_all("fills => fills.map(fill => parseFloat(fill.style.width))")
    assert widths == pytest.approx([100 * share for share in answer["probabilities"].values()], abs=0.01)
    zones = answer["explanation"]["zones"]
    shown = opened.locator("#zones tr").first.locator("td").all_text_contents()
    assert shown == [f"{100 * zones['right_upper']:.1f} %", f"{100 * zones['left_upper']:.1f} %"]
    assert opened.locator("#film").evaluate("canvas => [canvas.width, canvas.height]") == [256, 256]
    assert opened.locator("#review li").count() == len(answer["review"]["reasons"])
    assert opened.faults == []


def test_several_films_are_answered_and_a_bad_one_fails_alone(opened):
    upload(opened, FILM, NO_FILM, DICOM)
    expect(opened.locator("#history li")).to_have_count(3)
    states = opened.locator("#history .state").all_text_contents()
    assert states[1] == "Refused: Unsupported format"
    assert "%" in states[0]
    assert "%" in states[2]
    opened.get_by_role("button", name="notes.txt").click()
    expect(opened.get_by_role("alert")).to_contain_text("Save the film as")
    opened.get_by_role("button", name="two.dcm").click()
    expect(opened.locator("#caption")).to_contain_text("DICOM")
    assert opened.locator("#film").evaluate("canvas => canvas.width") == 300


def test_names_of_files_are_not_sent(opened):
    sent = []
    opened.on("request", lambda request: sent.append((request.url, request.headers, request.post_data_buffer or b"")))
    upload(opened, ("DOE^JOHN.png", FILM[1]))
    assert any("predict/explain" in url for url, _, _ in sent)
    assert "DOE" not in str(sent)


POINTS = ("balanced", "high_sensitivity", "high_specificity", "tb_screening")


def test_another_operating_point_is_decided_here_and_no_film_is_sent_again(opened, server):
    upload(opened, FILM, DICOM)
    for point, title in zip(POINTS[1:], ("High sensitivity", "High specificity", "TB screening"), strict=True):
        opened.get_by_label(title).check()
        answer = opened.request.post(f"{server.address}/predict?operating_point={point}", data=FILM[1]).json()
        expect(opened.locator("#call")).to_contain_text(f"{answer['prediction']}probability {100 * answer['confidence']:.1f} %")
        expect(opened.locator("#call")).to_contain_text(title)
        expect(opened.locator("#history .state").first).to_contain_text(answer["prediction"])
        assert opened.locator("#review li").count() == len(answer["review"]["reasons"])
        expect(opened.locator("#record")).to_have_text(re.compile(r"^On record: \w+, at Balanced\.$"))
    opened.get_by_label("Balanced").check()
    expect(opened.locator("#record")).to_be_empty()
    assert asked_of(opened, "predict/explain") == 2
    expect(opened.locator("#point-high_sensitivity")).to_contain_text("from 0.30")


def test_a_film_is_sent_at_the_point_that_is_chosen(opened):
    opened.get_by_label("TB screening").check()
    with opened.expect_response(re.compile("operating_point=tb_screening")):
        upload(opened, FILM)
    expect(opened.locator("#record")).to_be_empty()
    opened.get_by_label("Balanced").check()
    expect(opened.locator("#record")).to_contain_text("at TB screening")


DECIDED_AT = """async ([answers, points]) => {
  const { decideAt } = await import("./ui/decide.js");
  return answers.map((answer) => points.map(([name, thresholds]) => {
    const { operating_point, prediction, confidence, review } = decideAt(answer, name, thresholds);
    return { operating_point, prediction, confidence, review };
  }));
}"""


def test_the_page_decides_by_the_services_rule_ties_and_limits_included(opened):
    # Twentieths meet each other and the thresholds; the last point's ratios meet where the probabilities do not.
    twentieths = [(a / 20, b / 20, (20 - a - b) / 20) for a in range(21) for b in range(21 - a)]
    drawn = [tuple(map(float, row)) for row in np.random.default_rng(0).dirichlet((0.7, 0.7, 0.7), 500)]
    uneven = {"description": "", "thresholds": {"Tuberculosis": 0.2, "Pneumonia": 0.4}}
    manifest = make_manifest(operating_points=manifest_members()["operating_points"] | {"uneven": uneven})
    names = tuple(manifest.operating_points)
    thresholds = [(name, dict(manifest.operating_points[name].thresholds)) for name in names]

    def answer(shares, point):
        decision = decide(shares, manifest, point, Observed(denies_frontal_chest=True))
        reasons = [reason.value for reason in decision.review_reasons]
        members = {"operating_point": point, "prediction": decision.finding.value, "confidence": decision.confidence}
        return members | {"review": {"required": bool(reasons), "reasons": reasons}}

    cases = twentieths + drawn
    sent = [
        answer(shares, names[index % len(names)]) | {"probabilities": dict(zip(FINDINGS, shares, strict=True))}
        for index, shares in enumerate(cases)
    ]
    decided = opened.evaluate(DECIDED_AT, [sent, thresholds])
    assert decided == [[answer(shares, name) for name in names] for shares in cases]


def test_the_page_decides_as_the_service_answers_at_every_point(opened, server):
    info = opened.request.get(f"{server.address}/model/info").json()
    points = [(name, info["operating_points"][name]["thresholds"]) for name in POINTS]
    for seed in range(4):
        data = encode(film(128, seed), "PNG")
        urls = [f"{server.address}/predict?operating_point={point}" for point in POINTS]
        answers = [opened.request.post(url, data=data).json() for url in urls]
        wanted = [
            {name: answer[name] for name in ("operating_point", "prediction", "confidence", "review")} for answer in answers
        ]
        assert opened.evaluate(DECIDED_AT, [answers, points]) == [wanted] * len(POINTS)


def test_a_model_whose_thresholds_are_not_at_hand_keeps_its_answer(opened):
    change_answers(opened, model_version="9.9.9")
    with opened.expect_response(re.compile("model/info")):  # asked again: another model has answered
        upload(opened, FILM)
    called = opened.locator("#call").text_content()
    opened.get_by_label("High sensitivity").check()
    expect(opened.locator("#record")).to_have_text("The thresholds of model 9.9.9 at High sensitivity are not known.")
    assert opened.locator("#call").text_content() == called


def change_answers(page, **members):
    """Let the server's answers come with other members."""

    def change(route):
        response = route.fetch()
        route.fulfill(response=response, body=json.dumps(response.json() | members))

    page.route("**/predict/explain*", change)


@pytest.fixture
def late_first(opened):
    """A page whose second film is answered, and whose first is held up until `release` is called."""
    held = hold_up_a_film(opened)
    opened.set_input_files("#films", [{"name": name, "mimeType": "", "buffer": data} for name, data in (FILM, DICOM)])
    expect(opened.locator("#history .state").nth(1)).to_contain_text("%")
    return SimpleNamespace(page=opened, release=held[0].continue_)


def test_the_film_shown_first_is_the_first_chosen_not_the_first_answered(late_first):
    expect(late_first.page.locator("#result-heading")).to_have_text("Result: one.png")
    expect(late_first.page.locator("#pending")).to_have_text("Being read…")
    expect(late_first.page.locator("#answer")).to_be_hidden()
    late_first.release()
    expect(late_first.page.locator("#caption")).to_contain_text("one.png")


def test_a_film_that_the_reader_has_chosen_stays_when_another_is_answered(late_first):
    late_first.page.get_by_role("button", name="two.dcm").click()
    expect(late_first.page.locator("#caption")).to_contain_text("two.dcm")
    late_first.release()
    expect(late_first.page.locator("#history .state").first).to_contain_text("%")
    expect(late_first.page.locator("#result-heading")).to_have_text("Result: two.dcm")
    expect(late_first.page.locator("#caption")).to_contain_text("two.dcm")


def test_films_chosen_later_are_shown_from_their_first(opened):
    upload(opened, FILM)
    upload(opened, DICOM, NO_FILM)
    expect(opened.locator("#result-heading")).to_have_text("Result: two.dcm")
    expect(opened.locator("#caption")).to_contain_text("two.dcm")
    expect(opened.locator("#progress")).to_have_text("2 of 3 films answered, 1 refused")


IS_GREY = """canvas => {
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.every((value, index) => index % 4 === 3 || value === pixels[index - (index % 4)]);
}"""


def is_grey(page):
    return page.locator("#film").evaluate(IS_GREY)


def test_a_film_is_shown_alone_until_one_key_lays_the_map_over_it(opened):
    upload(opened, FILM)
    opacity = opened.locator("#opacity-value")
    expect(opacity).to_have_text("0 %")
    assert is_grey(opened)
    expect(opened.locator("#film")).to_have_attribute("aria-label", "Film one.png")
    opened.keyboard.press("o")
    expect(opacity).to_have_text("45 %")
    assert not is_grey(opened)
    expect(opened.locator("#film")).to_have_attribute("aria-label", re.compile("with the Grad-CAM map for"))
    opened.locator("#opacity").fill("70")
    for wanted in ("0 %", "70 %"):
        opened.keyboard.press("O")  # the slider has the focus
        expect(opacity).to_have_text(wanted)
    upload(opened, DICOM)
    expect(opened.locator("#caption")).to_contain_text("two.dcm")
    expect(opacity).to_have_text("0 %")
    assert is_grey(opened)


def test_the_slider_lays_the_map_over_the_film(opened):
    upload(opened, FILM)
    for opacity in (0, 100):
        opened.locator("#opacity").fill(str(opacity))
        assert is_grey(opened) == (opacity == 0)
        expect(opened.locator("#opacity-value")).to_have_text(f"{opacity} %")


def test_the_key_is_a_letter_in_fields_and_can_be_switched_off(opened):
    upload(opened, FILM)
    opened.get_by_text("Report a misdiagnosis").click()
    for field in ("#case", "#truth", "#note"):
        opened.locator(field).focus()
        opened.keyboard.press("o")
    expect(opened.locator("#note")).to_have_value("o")
    opened.locator("#result").focus()
    opened.keyboard.press("Control+o")
    # WCAG 2.2, 2.1.4: a shortcut of one letter can be turned off; speech input would press it by chance.
    opened.get_by_label("Key O").uncheck()
    opened.keyboard.press("o")
    expect(opened.locator("#opacity-value")).to_have_text("0 %")


def test_the_map_of_another_finding_is_asked_for_once_and_reports_name_the_first_prediction(opened):
    first = answer_of(opened, FILM)
    other = next(finding.value for finding in FINDINGS if finding.value != first["prediction"])
    targets = opened.locator("#targets")
    expect(targets.get_by_role("button", name=first["prediction"])).to_have_attribute("aria-pressed", "true")
    with opened.expect_response(re.compile(f"target={other}")) as waiting:
        targets.get_by_role("button", name=other).click()
    zones = waiting.value.json()["explanation"]["zones"]
    shown = opened.locator("#zones tr").first.locator("td")
    expect(shown).to_have_text([f"{100 * zones['right_upper']:.1f} %", f"{100 * zones['left_upper']:.1f} %"])
    expect(opened.locator("#caption")).to_contain_text(f"Map for {other}.")
    expect(opened.locator("#opacity-value")).to_have_text("45 %")
    for finding in (first["prediction"], other):
        targets.get_by_role("button", name=finding).click()
        expect(opened.locator("#caption")).to_contain_text(f"Map for {finding}.")
    assert asked_of(opened, "predict/explain") == 2
    with opened.expect_request(re.compile("feedback")) as sent:
        opened.get_by_role("button", name="It is Normal").click()
    assert sent.value.post_data_json == {"prediction_id": first["prediction_id"], "label": "Normal"}


def test_a_map_that_cannot_be_had_leaves_the_one_that_is_there(opened):
    called = answer_of(opened, FILM)["prediction"]
    change_answers(opened, model_version="9.9.9")
    other = next(finding.value for finding in FINDINGS if finding.value != called)
    opened.locator("#targets").get_by_role("button", name=other).click()
    fault = f"No map of {other}: The server now uses model 9.9.9, not commissioned for this site. Choose the film again."
    expect(opened.locator("#map-state")).to_have_text(fault)
    expect(opened.locator("#caption")).to_contain_text(f"Map for {called}.")
