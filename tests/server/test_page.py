"""The web page in Chromium, against the real service."""

import json
import os
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from playwright.sync_api import expect, sync_playwright

from service.access.keys import KeyStore
from service.access.roles import Role
from service.model.decision import Observed, decide
from service.model.findings import FINDINGS
from service.records.labels import confirmed_labels
from service.records.store import RecordStore
from tests.support.encoded_films import dicom_file, encode, film
from tests.support.manifests import make_manifest, manifest_members
from tests.support.serving import ROOT, environment_without_settings, served

CHROMIUM = os.environ.get("CXR_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="neither chromium nor google-chrome is installed; CXR_TEST_CHROMIUM can name one"),
]

# The second line keeps Chromium from asking its makers' hosts; the third, from finding those that it asks all the same.
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


# A server's first explanation loads PyTorch, which takes long where other tests run beside this one.
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def records_at(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('records')}/records.db"


@pytest.fixture(scope="module")
def server(bundle_path, records_at):
    environment = environment_without_settings()
    settings = {"CXR_BUNDLE": str(bundle_path), "CXR_DATABASE_URL": records_at, "CXR_TIMEOUT_SECONDS": "115"}
    with served(environment | settings) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(bundle_path, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('guarded')}/records.db"
    records = RecordStore(url)
    records.open()
    keys = KeyStore(records.database)
    key, _ = keys.create("reader", Role.CLINICIAN)
    auditors_key, _ = keys.create("auditor", Role.AUDIT)
    records.close()
    settings = {"CXR_BUNDLE": str(bundle_path), "CXR_DATABASE_URL": url, "CXR_AUTH": "keys", "CXR_TIMEOUT_SECONDS": "115"}
    with served(os.environ | settings) as server:
        yield SimpleNamespace(address=server.address, key=key, auditors_key=auditors_key)


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.asked, page.faults = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
    page.set_default_timeout(60_000)
    yield page
    context.close()


@pytest.fixture
def opened(page, server):
    page.goto(server.address)
    expect(page.locator("#model")).to_have_text("Model 1.0.0")
    return page


def upload(page, *files):
    page.set_input_files("#films", [{"name": name, "mimeType": "", "buffer": data} for name, data in files])
    expect(page.locator("#cancel")).to_be_hidden()


FILM = ("one.png", encode(film(256), "PNG"))
DICOM = ("two.dcm", dicom_file(film(300)))
NO_FILM = ("notes.txt", b"no film")


def test_a_film_gets_its_finding_bars_zones_and_picture_as_the_api_answers(opened):
    with opened.expect_response(re.compile("predict/explain")) as waiting:
        upload(opened, FILM)
    answer = waiting.value.json()
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


def asked_of(page, path):
    return sum(path in url for url in page.asked)


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
        answer(shares, names[place % len(names)]) | {"probabilities": dict(zip(FINDINGS, shares, strict=True))}
        for place, shares in enumerate(cases)
    ]
    decided = opened.evaluate(DECIDED_AT, [sent, thresholds])
    assert decided == [[answer(shares, name) for name in names] for shares in cases]


def test_a_model_whose_thresholds_are_not_at_hand_keeps_its_answer(opened):
    change_answers(opened, model_version="9.9.9")
    with opened.expect_response(re.compile("model/info")):  # asked again: another model has answered
        upload(opened, FILM)
    called = opened.locator("#call").text_content()
    opened.get_by_label("High sensitivity").check()
    expect(opened.locator("#record")).to_have_text("The thresholds of model 9.9.9 at High sensitivity are not at hand.")
    assert opened.locator("#call").text_content() == called


def change_answers(page, **members):
    """Let the server's answers come with other members."""

    def change(route):
        response = route.fetch()
        route.fulfill(response=response, body=json.dumps(response.json() | members))

    page.route("**/predict/explain*", change)


def hold_up_a_film(page):
    """The next film goes on its way only once the route in this list is told to continue."""
    held = []

    def hold(route):
        held.append(route)

    page.route("**/predict/explain*", hold, times=1)
    return held


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
  return pixels.every((value, place) => place % 4 === 3 || value === pixels[place - (place % 4)]);
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
    with opened.expect_response(re.compile("predict/explain")) as waiting:
        upload(opened, FILM)
    first = waiting.value.json()
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
    with opened.expect_response(re.compile("predict/explain")) as waiting:
        upload(opened, FILM)
    called = waiting.value.json()["prediction"]
    change_answers(opened, model_version="9.9.9")
    other = next(finding.value for finding in FINDINGS if finding.value != called)
    opened.locator("#targets").get_by_role("button", name=other).click()
    expect(opened.locator("#map-state")).to_have_text(f"No map of {other}: Model 9.9.9 serves now. Choose the film again.")
    expect(opened.locator("#caption")).to_contain_text(f"Map for {called}.")


def test_sides_are_the_patients_only_where_the_file_states_them(opened):
    # DICOM PS3.3 C.7.6.1.1.1: rows that run to the patient's left, columns to the feet.
    upload(opened, DICOM, ("lying.dcm", dicom_file(film(300), PatientOrientation=["L", "F"])))
    expect(opened.locator("#caption")).to_contain_text("Which side is the patient's right is not known from the file.")
    expect(opened.locator(".zones thead th")).to_have_text(["Left", "Right"])
    expect(opened.locator(".zones caption")).to_contain_text("by the side of the picture")
    opened.get_by_role("button", name="lying.dcm").click()
    expect(opened.locator("#caption")).to_contain_text("The patient's right is on the left.")
    expect(opened.locator(".zones thead th")).to_have_text(["Right", "Left"])
    expect(opened.locator(".zones caption")).to_contain_text("by the patient's side")


def test_an_answer_is_announced_to_screen_readers(opened):
    announcement = opened.locator("#announcement")
    expect(announcement).to_have_role("status")
    expect(announcement).to_be_empty()
    with opened.expect_response(re.compile("predict/explain")) as waiting:
        upload(opened, FILM)
    answer = waiting.value.json()
    text = f"one.png: {answer['prediction']}, probability {100 * answer['confidence']:.1f} %."
    expect(announcement).to_contain_text(text)
    expect(announcement).to_contain_text("A person must look" if answer["review"]["required"] else "No reason for review")
    assert opened.evaluate("scrollY") == 0  # all lies side by side here


REMEMBER_HOW_IT_SCROLLS = """
  const scroll = Element.prototype.scrollIntoView;
  Element.prototype.scrollIntoView = function (how) { window.how = how.behavior; scroll.call(this, how); };
"""


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_a_phone_is_scrolled_to_the_answer_and_to_the_key_where_one_is_asked_for(browser, server, guarded, motion):
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, reduced_motion=motion)
    page = context.new_page()
    page.add_init_script(REMEMBER_HOW_IT_SCROLLS)
    page.goto(server.address)
    expect(page.locator("#call")).not_to_be_in_viewport()
    upload(page, FILM)
    expect(page.locator("#call")).to_be_in_viewport()
    expect(page.locator("#result-heading")).to_be_in_viewport(ratio=1)
    assert page.evaluate("how") == ("auto" if motion == "reduce" else "smooth")
    page.goto(guarded.address)
    upload(page, FILM)
    expect(page.locator("#key")).to_be_in_viewport()
    page.locator("#key").fill(guarded.key)
    page.keyboard.press("Enter")
    expect(page.locator("#call")).to_be_in_viewport()
    context.close()


def test_a_reader_who_writes_is_not_scrolled_away(browser, server):
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto(server.address)
    page.get_by_text("Access key").click()
    page.locator("#key").focus()
    before = page.evaluate("scrollY")
    upload(page, FILM)
    expect(page.locator("#caption")).to_contain_text("one.png")
    assert page.evaluate("new Promise((done) => requestAnimationFrame(() => done(scrollY)))") == before
    context.close()


def test_the_slider_lays_the_map_over_the_film(opened):
    upload(opened, FILM)
    for opacity in (0, 100):
        opened.locator("#opacity").fill(str(opacity))
        assert is_grey(opened) == (opacity == 0)
        expect(opened.locator("#opacity-value")).to_have_text(f"{opacity} %")


def test_reports_are_put_on_record(opened, records_at):
    with opened.expect_response(re.compile("predict/explain")) as waiting:
        upload(opened, FILM)
    prediction_id = waiting.value.json()["prediction_id"]
    opened.get_by_role("button", name="It is Tuberculosis").click()
    expect(opened.locator("#report-state")).to_contain_text("Thank you")
    expect(opened.get_by_role("button", name="It is Tuberculosis")).to_have_attribute("aria-pressed", "true")
    opened.get_by_text("Report a misdiagnosis").click()
    opened.get_by_role("button", name="Send the report").click()
    expect(opened.locator("#report-state")).to_contain_text("pseudonym")
    opened.get_by_label("Case, by your own pseudonym").fill("case-17")
    opened.get_by_label("What the film shows").select_option("Normal")
    opened.get_by_role("button", name="Send the report").click()
    expect(opened.locator("#report-state")).to_contain_text("put up for review. Before, it was reported as Tuberculosis.")
    expect(opened.locator("#facts")).to_contain_text(f"Prediction {prediction_id}")
    records = RecordStore(records_at)
    labels = {row["prediction_id"]: (row["label"], row["kind"]) for row in confirmed_labels(records.database)}
    assert labels[prediction_id] == ("Normal", "incident")


def test_what_was_written_of_one_film_is_not_reported_of_another(opened):
    upload(opened, FILM, DICOM)
    opened.get_by_text("Report a misdiagnosis").click()
    opened.get_by_label("Case, by your own pseudonym").fill("case-17")
    opened.get_by_label("What the film shows").select_option("Normal")
    opened.get_by_label("What went wrong").fill("the left one")
    opened.get_by_role("button", name="It is Tuberculosis").click()
    expect(opened.locator("#report-state")).to_contain_text("Thank you")
    expect(opened.locator("#note")).to_have_value("the left one")
    opened.get_by_role("button", name="two.dcm").click()
    for field in ("#case", "#truth", "#note"):
        expect(opened.locator(field)).to_have_value("")
    expect(opened.locator("#report-state")).to_be_empty()
    opened.get_by_role("button", name="one.png").click()
    expect(opened.locator("#report-state")).to_contain_text("Thank you")


def test_a_server_with_keys_asks_for_one_and_forgets_it_unless_told_otherwise(page, guarded):
    page.goto(guarded.address)
    expect(page.locator("#key-state")).to_have_text("This server asks for a key.")
    upload(page, FILM)
    page.get_by_role("button", name="one.png").click()
    expect(page.get_by_role("alert")).to_contain_text("Enter an API key")
    page.get_by_label("API key").fill("cxr_wrong")
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#key-state")).to_have_text("The server does not accept this key.")
    page.get_by_label("API key").fill(guarded.key)
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#key-state")).to_have_text("The key is accepted.")
    expect(page.locator("#history .state")).to_contain_text("%")
    assert page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [0, 0, ""]
    page.reload()
    expect(page.locator("#key-state")).to_have_text("This server asks for a key.")
    page.get_by_label("API key").fill(guarded.key)
    page.get_by_label("Keep it until this tab is closed").check()
    page.get_by_role("button", name="Use this key").click()
    page.reload()
    expect(page.locator("#key-state")).to_have_text("The key is accepted.")


def test_films_refused_for_want_of_a_key_go_again_once_one_is_accepted(page, guarded):
    page.goto(guarded.address)
    limited = {"title": "Rate limited", "status": 429, "detail": "Too many requests."}
    page.route("**/predict/explain*", lambda route: route.fulfill(status=429, json=limited), times=1)
    upload(page, FILM)
    upload(page, DICOM, NO_FILM)
    states = page.locator("#history .state")
    expect(states).to_have_text(["Refused: Rate limited", "Waits for an access key", "Waits for an access key"])
    page.get_by_label("API key").fill(guarded.auditors_key)
    page.get_by_role("button", name="Use this key").click()
    expect(states).to_have_text(["Refused: Access denied"] * 3)
    page.get_by_label("API key").fill(guarded.key)
    page.get_by_role("button", name="Use this key").click()
    expect(states).to_have_text([re.compile("%"), re.compile("%"), "Refused: Unsupported format"])
    expect(page.locator("#caption")).to_contain_text("two.dcm")
    sent = asked_of(page, "predict/explain")
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#cancel")).to_be_hidden()
    assert asked_of(page, "predict/explain") == sent  # another key changes nothing about what is no film


def test_a_key_accepted_while_a_film_is_on_its_way_without_it_counts_and_a_refused_one_ends_there(page, guarded):
    held = hold_up_a_film(page)
    page.goto(guarded.address)
    page.set_input_files("#films", [{"name": "one.png", "mimeType": "", "buffer": FILM[1]}])
    page.get_by_label("API key").fill(guarded.key)
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#key-state")).to_have_text("The key is accepted.")
    held[0].continue_()
    states = page.locator("#history .state")
    expect(states).to_have_text([re.compile("%")])
    page.get_by_label("API key").fill("cxr_wrong")
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator("#key-state")).to_have_text("The server does not accept this key.")
    upload(page, DICOM)
    expect(states).to_have_text([re.compile("%"), "Waits for an access key"])
    assert asked_of(page, "predict/explain") == 3


def test_the_session_is_forgotten_on_request_and_on_leaving(opened):
    upload(opened, FILM)
    opened.get_by_role("button", name="Clear the list").click()
    expect(opened.locator("#history li")).to_have_count(0)
    expect(opened.locator("#result")).to_be_hidden()
    upload(opened, FILM)
    opened.reload()
    expect(opened.locator("#history li")).to_have_count(0)


def test_everything_can_be_reached_and_done_by_keyboard(opened):
    upload(opened, FILM, DICOM)
    reached = set()
    for _ in range(60):
        opened.keyboard.press("Tab")
        reached.add(opened.evaluate("document.activeElement.id || document.activeElement.textContent.trim().slice(0, 20)"))
    assert {"films", "phantom", "key", "opacity", "map-key", "copy", "theme", "clear"} - reached == {
        "key"
    }  # behind its summary
    assert any("It is Pneumonia" in name for name in reached)
    opened.locator("#history button").nth(1).focus()
    opened.keyboard.press("Enter")
    expect(opened.locator("#result-heading")).to_have_text("Result: two.dcm")
    expect(opened.locator("#result")).to_be_focused()
    opened.locator("#access summary").focus()
    opened.keyboard.press("Enter")
    expect(opened.locator("#key")).to_be_visible()


def test_every_control_has_a_name_and_enough_room_for_a_finger(opened):
    upload(opened, FILM)
    for summary in opened.locator("details > summary").all():
        summary.click()
    nameless = opened.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea')]
            .filter(control => !control.textContent.trim() && !control.labels?.length && !control.getAttribute('aria-label'))
            .map(control => control.outerHTML)"""
    )
    assert nameless == []
    small = opened.evaluate(
        """() => [...document.querySelectorAll('button, select, textarea, summary, .button')]
            .filter(control => control.getClientRects().length && control.getBoundingClientRect().height < 44)
            .map(control => control.outerHTML)"""
    )
    assert small == []


def test_nothing_is_asked_of_any_other_server(opened, server):
    upload(opened, FILM)
    opened.get_by_role("button", name="Try it with a drawing").click()
    expect(opened.locator("#history li")).to_have_count(2)
    assert all(url.startswith((server.address, "data:", "blob:")) for url in opened.asked)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground_in_both_colours(browser, server, scheme):
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(server.address)
    upload(page, FILM, NO_FILM)
    low = page.evaluate(CONTRASTS_BELOW_AA)
    context.close()
    assert low == []


# WCAG 2.2, 1.4.3: contrast of each text with the first ground behind it that is not transparent.
CONTRASTS_BELOW_AA = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = numbers(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('body *')]
    .filter((node) => node.getClientRects().length && [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((node) => {
      const [a, b] = [light(numbers(getComputedStyle(node).color)), light(ground(node))];
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.textContent.trim().slice(0, 40)];
    })
    .filter(([ratio]) => ratio < 4.5);
}"""


def test_a_phone_needs_no_scrolling_sideways_and_keeps_the_notice_in_view(browser, server):
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
    page = context.new_page()
    page.goto(server.address)
    upload(page, FILM, NO_FILM)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    expect(page.get_by_role("note")).to_be_in_viewport()
    expect(page.get_by_role("note")).to_contain_text("For research use only")
    context.close()


def test_the_page_is_served_with_a_policy_that_lets_nothing_else_in(opened, server):
    response = opened.request.get(server.address)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = (ROOT / "service" / "ui" / "index.html").read_text("utf-8")
    assert "style=" not in page
    assert "<script>" not in page
