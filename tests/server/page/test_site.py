"""What the page says of the site profile that answered, or that none did."""

import json
import re

import pytest
from playwright.sync_api import expect

from service.model.findings import FINDINGS
from tests.support.server.page import FILM, MARKS, answer_of, upload
from tests.support.server.serving import served
from tests.support.site_profiles import make_profile, site_head

pytestmark = MARKS

WARNING = "The scanner alone explains most of the gain."


def test_a_model_that_was_not_commissioned_says_so_plainly(opened):
    upload(opened, FILM)
    box = opened.locator("#site")
    expect(box.locator("strong")).to_have_text("Not commissioned for this site")
    expect(box).to_contain_text("The model was not tested on films of this hospital.")
    expect(box).to_have_class(re.compile("flag"))
    expect(opened.locator("#announcement")).to_contain_text("Not commissioned for this site.")


def test_a_fallback_may_be_the_same_release_with_another_profile_and_is_not_called_older(page, server):
    def in_use(route):
        health = route.fetch()
        route.fulfill(response=health, json=health.json() | {"fallback_in_use": True})

    page.route("**/health", in_use)
    page.goto(server.address)
    expect(page.locator("#model")).to_have_text(
        "Model 1.0.0, not commissioned for this site "
        "(another release or profile than the chosen one, which could not be trusted)"
    )


@pytest.fixture(scope="module")
def commissioned_server(bundle, tmp_path_factory):
    points = {name: point.model_dump() for name, point in bundle.manifest.operating_points.items()}
    points["high_sensitivity"]["thresholds"] = {"Tuberculosis": 0.21, "Pneumonia": 0.22}
    sites = tmp_path_factory.mktemp("sites")
    described = {"verified": False, "warnings": (WARNING,), "operating_points": points}
    profile = make_profile(bundle, sites, version=2, head=site_head(1280), **described)
    settings = {"CXR_BUNDLE": str(bundle.path), "CXR_SITE": str(profile.path), "CXR_TIMEOUT_SECONDS": "115"}
    with served(settings) as server:
        yield server


def opened_at(page, server):
    page.goto(server.address)
    expect(page.locator("#model")).to_have_text("Model 1.0.0, commissioned for mercy, profile 2")
    return page


@pytest.fixture
def commissioned(page, commissioned_server):
    return opened_at(page, commissioned_server)


def test_a_profile_is_named_with_what_was_not_verified_and_its_warnings(commissioned):
    answer = answer_of(commissioned, FILM)
    assert answer["site"] == {"name": "mercy", "version": 2}
    box = commissioned.locator("#site")
    expect(box.locator("strong")).to_have_text("Commissioned for mercy, profile 2, not verified")
    expect(box.locator("li")).to_have_text(["Nothing was verified: this site gave only films without labels.", WARNING])
    expect(box).to_have_class(re.compile("flag"))
    expect(commissioned.locator("#announcement")).to_contain_text("Commissioned for mercy, profile 2, not verified.")
    assert commissioned.faults == []


def test_a_profile_that_was_verified_without_a_warning_is_named_quietly(page, commissioned_server):
    def verify(route):
        response = route.fetch()
        info = response.json()
        route.fulfill(response=response, body=json.dumps(info | {"site": info["site"] | {"verified": True, "warnings": []}}))

    page.route("**/model/info", verify)
    upload(opened_at(page, commissioned_server), FILM)
    expect(page.locator("#site")).to_have_text("Commissioned for mercy, profile 2.")
    expect(page.locator("#site")).not_to_have_class(re.compile("flag"))


def test_another_operating_point_is_decided_by_the_thresholds_of_the_profile(commissioned, commissioned_server):
    upload(commissioned, FILM)
    commissioned.get_by_label("High sensitivity").check()
    url = f"{commissioned_server.address}/predict?operating_point=high_sensitivity"
    answer = commissioned.request.post(url, data=FILM[1]).json()
    shown = f"{answer['prediction']}probability {100 * answer['confidence']:.1f} %"
    expect(commissioned.locator("#call")).to_contain_text(shown)
    expect(commissioned.locator("#point-high_sensitivity")).to_contain_text("Tuberculosis from 0.21")


def test_an_answer_of_another_profile_of_the_same_model_is_not_taken_for_one_of_this(commissioned):
    called = answer_of(commissioned, FILM)["prediction"]

    def change(route):
        response = route.fetch()
        route.fulfill(response=response, body=json.dumps(response.json() | {"site": {"name": "mercy", "version": 3}}))

    commissioned.route("**/predict/explain*", change)
    other = next(finding.value for finding in FINDINGS if finding.value != called)
    commissioned.locator("#targets").get_by_role("button", name=other).click()
    fault = f"No map of {other}: The server now uses model 1.0.0, commissioned for mercy, profile 3. Choose the film again."
    expect(commissioned.locator("#map-state")).to_have_text(fault)
    with commissioned.expect_response(re.compile("model/info")):
        upload(commissioned, ("three.png", FILM[1]))
    expect(commissioned.locator("#site li")).to_have_text(["What this profile was tested on is not known."])
    commissioned.get_by_label("High sensitivity").check()
    expect(commissioned.locator("#record")).to_contain_text("are not known.")
