"""The web page in Chromium, against the real service."""

import os
import re
import shutil
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect, sync_playwright

from service.access.keys import KeyStore
from service.access.roles import Role
from service.store.labels import confirmed_labels
from service.store.store import RecordStore
from tests.encoded_films import dicom_file, encode, film
from tests.serving import ROOT, served

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
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CXR_")}
    settings = {"CXR_BUNDLE": str(bundle_path), "CXR_DATABASE_URL": records_at, "CXR_TIMEOUT_SECONDS": "115"}
    with served(environment | settings) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(bundle_path, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('guarded')}/records.db"
    records = RecordStore(url)
    records.open()
    key, _ = KeyStore(records.database).create("reader", Role.CLINICIAN)
    records.close()
    settings = {"CXR_BUNDLE": str(bundle_path), "CXR_DATABASE_URL": url, "CXR_AUTH": "keys", "CXR_TIMEOUT_SECONDS": "115"}
    with served(os.environ | settings) as server:
        yield SimpleNamespace(address=server.address, key=key)


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
    expect(page.locator("#cancel")).to_be_hidden(timeout=60_000)


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


def test_another_operating_point_judges_the_films_again(opened):
    upload(opened, FILM)
    with opened.expect_response(re.compile("operating_point=high_sensitivity")):
        opened.get_by_label("High sensitivity").check()
    expect(opened.locator("#call")).to_contain_text("High sensitivity")
    expect(opened.locator("#point-high_sensitivity")).to_contain_text("from 0.30")


def test_the_slider_lays_the_map_over_the_film(opened):
    upload(opened, FILM)

    def pixels(opacity):
        opened.locator("#opacity").fill(str(opacity))
        return opened.locator("#film").evaluate(
            "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"
        )

    bare, covered = pixels(0), pixels(100)
    assert all(bare[place] == bare[place + 1] == bare[place + 2] for place in range(0, len(bare), 4000))
    assert bare != covered
    expect(opened.locator("#opacity-value")).to_have_text("100 %")


def test_reports_are_put_on_record(opened, records_at):
    with opened.expect_response(re.compile("predict/explain")) as waiting:
        upload(opened, FILM)
    request_id = waiting.value.json()["request_id"]
    opened.get_by_role("button", name="It is Tuberculosis").click()
    expect(opened.locator("#report-state")).to_contain_text("Thank you")
    expect(opened.get_by_role("button", name="It is Tuberculosis")).to_have_attribute("aria-pressed", "true")
    opened.get_by_text("Report a misdiagnosis").click()
    opened.get_by_role("button", name="Send the report").click()
    expect(opened.locator("#report-state")).to_contain_text("pseudonym")
    opened.get_by_label("Case, by your own pseudonym").fill("case-17")
    opened.get_by_label("What the film shows").select_option("Normal")
    opened.get_by_role("button", name="Send the report").click()
    expect(opened.locator("#report-state")).to_contain_text("put up for review")
    records = RecordStore(records_at)
    labels = {row["request_id"]: (row["label"], row["kind"]) for row in confirmed_labels(records.database)}
    assert labels[request_id] == ("Normal", "incident")


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
    upload(page, FILM)
    expect(page.locator("#history .state").nth(1)).to_contain_text("%")
    assert page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [0, 0, ""]
    page.reload()
    expect(page.locator("#key-state")).to_have_text("This server asks for a key.")
    page.get_by_label("API key").fill(guarded.key)
    page.get_by_label("Keep it until this tab is closed").check()
    page.get_by_role("button", name="Use this key").click()
    page.reload()
    expect(page.locator("#key-state")).to_have_text("The key is accepted.")


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
    assert {"films", "phantom", "key", "opacity", "copy", "theme", "clear"} - reached == {"key"}  # behind its summary
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
