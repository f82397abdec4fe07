"""Reading and reporting: sides, announcements, reports, keyboard, small screens, colours."""

import pytest
from playwright.sync_api import expect

from service.records.labels import confirmed_labels
from service.records.store import RecordStore
from tests.support.encoded_films import dicom_file, film
from tests.support.server.page import DICOM, FILM, MARKS, NO_FILM, PHONE, answer_of, upload
from tests.support.server.serving import ROOT

pytestmark = MARKS


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
    answer = answer_of(opened, FILM)
    text = f"one.png: {answer['prediction']}, probability {100 * answer['confidence']:.1f} %."
    expect(announcement).to_contain_text(text)
    expect(announcement).to_contain_text("A person must look" if answer["review"]["required"] else "No reason for review")
    assert opened.evaluate("scrollY") == 0  # all lies side by side here


REMEMBER_HOW_IT_SCROLLS = """
  const scroll = Element.prototype.scrollIntoView;
  Element.prototype.scrollIntoView = function (how) { window.how = how.behavior; scroll.call(this, how); };
"""


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_a_phone_is_scrolled_to_the_answer(new_page, server, motion):
    page = new_page(**PHONE, reduced_motion=motion)
    page.add_init_script(REMEMBER_HOW_IT_SCROLLS)
    page.goto(server.address)
    expect(page.locator("#call")).not_to_be_in_viewport()
    upload(page, FILM)
    expect(page.locator("#call")).to_be_in_viewport()
    expect(page.locator("#result-heading")).to_be_in_viewport(ratio=1)
    assert page.evaluate("how") == ("auto" if motion == "reduce" else "smooth")


def test_a_reader_who_writes_is_not_scrolled_away(new_page, server):
    page = new_page(viewport={"width": 360, "height": 740})
    page.goto(server.address)
    page.get_by_text("Access key").click()
    page.locator("#key").focus()
    before = page.evaluate("scrollY")
    upload(page, FILM)
    expect(page.locator("#caption")).to_contain_text("one.png")
    assert page.evaluate("new Promise((done) => requestAnimationFrame(() => done(scrollY)))") == before


def test_reports_are_put_on_record(opened, records_at):
    prediction_id = answer_of(opened, FILM)["prediction_id"]
    opened.get_by_role("button", name="It is Tuberculosis").click()
    expect(opened.locator("#report-state")).to_contain_text("Thank you")
    expect(opened.get_by_role("button", name="It is Tuberculosis")).to_have_attribute("aria-pressed", "true")
    opened.get_by_text("Report a misdiagnosis").click()
    opened.get_by_role("button", name="Send the report").click()
    expect(opened.locator("#report-state")).to_contain_text("pseudonym")
    opened.get_by_label("Case, by your own pseudonym").fill("case-17")
    opened.get_by_label("What the film shows").select_option("Normal")
    opened.get_by_role("button", name="Send the report").click()
    expect(opened.locator("#report-state")).to_contain_text("marked for review. Before, it was reported as Tuberculosis.")
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
def test_text_stands_out_from_its_ground_in_both_colours(new_page, server, scheme):
    page = new_page(color_scheme=scheme)
    page.goto(server.address)
    upload(page, FILM, NO_FILM)
    assert page.evaluate(CONTRASTS_BELOW_AA) == []


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


def test_a_phone_needs_no_scrolling_sideways_and_keeps_the_notice_in_view(new_page, server):
    page = new_page(**PHONE)
    page.goto(server.address)
    upload(page, FILM, NO_FILM)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    expect(page.get_by_role("note")).to_be_in_viewport()
    expect(page.get_by_role("note")).to_contain_text("For research use only")


def test_the_page_is_served_with_a_policy_that_lets_nothing_else_in(opened, server):
    response = opened.request.get(server.address)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = (ROOT / "service" / "ui" / "index.html").read_text("utf-8")
    assert "style=" not in page
    assert "<script>" not in page
