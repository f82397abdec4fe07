"""A browser, the servers whose page it opens, and the page. Each module has its own."""

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.support.server.page import ARGUMENTS, CHROMIUM
from tests.support.server.serving import served

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
    settings = {"CXR_BUNDLE": str(bundle_path), "CXR_DATABASE_URL": records_at, "CXR_TIMEOUT_SECONDS": "115"}
    with served(settings) as server:
        yield server


@pytest.fixture
def new_page(browser):
    """Makes a page in a context of its own. options: of the context."""
    contexts = []

    def make(**options):
        contexts.append(browser.new_context(**options))
        return contexts[-1].new_page()

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_page):
    page = new_page(viewport={"width": 1280, "height": 900})
    page.asked, page.faults = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
    page.set_default_timeout(60_000)
    return page


@pytest.fixture
def opened(page, server):
    page.goto(server.address)
    expect(page.locator("#model")).to_have_text("Model 1.0.0, not commissioned for this site")
    return page
