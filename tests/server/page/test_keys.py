"""The page of a server with keys."""

import re

from playwright.sync_api import expect

from service.access.roles import Role
from tests.support.server.page import DICOM, FILM, MARKS, NO_FILM, PHONE, asked_of, hold_up_a_film, upload

pytestmark = MARKS


def use_key(page, key):
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Use this key").click()


def test_a_server_with_keys_asks_for_one_and_forgets_it_unless_told_otherwise(page, guarded):
    page.goto(guarded.address)
    expect(page.locator("#key-state")).to_have_text("This server asks for a key.")
    upload(page, FILM)
    page.get_by_role("button", name="one.png").click()
    expect(page.get_by_role("alert")).to_contain_text("Enter an API key")
    use_key(page, "cxr_wrong")
    expect(page.locator("#key-state")).to_have_text("The server does not accept this key.")
    use_key(page, guarded.key[Role.CLINICIAN]["X-API-Key"])
    expect(page.locator("#key-state")).to_have_text("The key is accepted.")
    expect(page.locator("#history .state")).to_contain_text("%")
    assert page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [0, 0, ""]
    page.reload()
    expect(page.locator("#key-state")).to_have_text("This server asks for a key.")
    page.get_by_label("API key").fill(guarded.key[Role.CLINICIAN]["X-API-Key"])
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
    use_key(page, guarded.key[Role.AUDIT]["X-API-Key"])
    expect(states).to_have_text(["Refused: Access denied"] * 3)
    use_key(page, guarded.key[Role.CLINICIAN]["X-API-Key"])
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
    use_key(page, guarded.key[Role.CLINICIAN]["X-API-Key"])
    expect(page.locator("#key-state")).to_have_text("The key is accepted.")
    held[0].continue_()
    states = page.locator("#history .state")
    expect(states).to_have_text([re.compile("%")])
    use_key(page, "cxr_wrong")
    expect(page.locator("#key-state")).to_have_text("The server does not accept this key.")
    upload(page, DICOM)
    expect(states).to_have_text([re.compile("%"), "Waits for an access key"])
    assert asked_of(page, "predict/explain") == 3


def test_a_phone_is_scrolled_to_the_key_where_one_is_asked_for(new_page, guarded):
    page = new_page(**PHONE)
    page.goto(guarded.address)
    upload(page, FILM)
    expect(page.locator("#key")).to_be_in_viewport()
    page.locator("#key").fill(guarded.key[Role.CLINICIAN]["X-API-Key"])
    page.keyboard.press("Enter")
    expect(page.locator("#call")).to_be_in_viewport()
