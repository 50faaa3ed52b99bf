"""The page in headless Chromium, at the width of a desk and of a phone, light and dark."""

from __future__ import annotations

import os
import re
import shutil
from importlib import resources
from pathlib import Path

import pytest

from dllm2rec import export
from tests.server.conftest import N_ITEMS
from tests.server.made_up import made_up_recommender
from tests.server.served import served

pytestmark = pytest.mark.slow  # starts a server and a browser

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SHAPES = {"desk": (1280, 900, "light"), "phone": (390, 844, "dark")}
HOSTILE = "<img src=x onerror=alert(1)> & 'quotes' \"too\""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "export"
    model = made_up_recommender(N_ITEMS, width=16)
    titles = model.catalogue.titles
    assert titles is not None
    titles[7] = HOSTILE
    export(model, folder)
    with served(folder) as server:
        yield server.url


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(params=SHAPES)
def page(request, browser, url):
    width, height, scheme = SHAPES[request.param]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda one: asked.append(one.url))
    page.goto(url)
    page.wait_for_selector("#found button")
    page.wait_for_selector("#places .place")
    yield page
    if "DLLM2REC_SCREENSHOTS" in os.environ:
        place = Path(os.environ["DLLM2REC_SCREENSHOTS"])
        page.screenshot(path=place / f"{request.node.name}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width  # nothing sticks out
    context.close()
    assert said == []
    assert all(one.startswith((url, "data:")) for one in asked)


def expect(locator):
    """What a page comes to show; evaluated without the `eval` that the page forbids."""
    from playwright.sync_api import expect as expected

    return expected(locator)


def names(page, where):
    return page.locator(f"{where} .name").all_inner_texts()


def test_titles_are_searched_a_history_built_and_lists_explained(page):
    assert page.inner_text("#list") == "Most popular"
    page.fill("#query", "golden quest")
    expect(page.locator("#found .name").first).to_contain_text("Golden")
    first = names(page, "#found")[0]
    page.press("#query", "Enter")
    page.wait_for_selector("#places summary")
    assert page.inner_text("#list") == "Recommendations"
    assert names(page, "#chosen") == [first]
    places = names(page, "#places")
    assert len(places) == 10
    assert first not in places
    page.click("#places li:nth-child(2) summary")
    told = page.inner_text("#places li:nth-child(2) details")
    assert "Nearest of the history" in told
    assert first in told
    found = re.search(r"Score (\S+) = student (\S+) \+ memory (\S+)", told)
    assert found is not None
    score, student, memory = map(float, found.groups())
    assert abs(score - student - memory) < 0.02
    page.click("#places li:nth-child(1) button")  # the best of the list joins the history
    expect(page.locator("#chosen li")).to_have_count(2)
    assert names(page, "#chosen") == [first, places[0]]
    page.click("#chosen li:nth-child(1) button")
    assert names(page, "#chosen") == [places[0]]


def test_a_history_stays_in_the_address_and_options_count(page):
    page.click("#found li:nth-child(1) button")
    page.wait_for_selector("#places summary")
    chosen = names(page, "#chosen")
    page.reload()
    page.wait_for_selector("#places summary")
    assert names(page, "#chosen") == chosen
    page.select_option("#k", "50")
    expect(page.locator("#places .place")).to_have_count(50)
    page.click("#clear")
    expect(page.locator("#list")).to_have_text("Most popular")


def test_titles_are_shown_as_they_are(page):
    page.fill("#query", "onerror")
    expect(page.locator("#found button")).to_have_count(1)
    assert names(page, "#found") == [HOSTILE]
    page.press("#query", "Enter")
    page.wait_for_selector("#places summary")
    assert names(page, "#chosen") == [HOSTILE]
    assert page.locator("main img").count() == 0


def test_it_is_worked_by_keyboard(page):
    page.focus("#query")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#chosen button")
    assert names(page, "#chosen") == [names(page, "#found")[1]]


def test_the_page_is_one_file_that_fetches_nothing_from_elsewhere():
    text = resources.files("dllm2rec.server").joinpath("page.html").read_text(encoding="utf-8")
    linked = {*re.findall(r"""(?:https?:)?//[\w.-]+\.\w+[^\s"'<]*""", text)}
    assert linked == {"http://www.w3.org/2000/svg"}
    assert "innerHTML" not in text
