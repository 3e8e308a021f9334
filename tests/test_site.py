"""The built pages in a real browser, as somebody sees them who opened them from a folder.

Needs `pip install '.[docs]'`, and Chromium with its driver (Debian: chromium, chromium-driver).
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from importlib import import_module
from inspect import isclass, isfunction
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from zipfile import ZipFile

import pytest

pytest.importorskip("material", reason="needs the packages of pip install '.[docs]'")
pytest.importorskip("selenium", reason="needs the packages of pip install '.[docs]'")

from selenium import webdriver
from selenium.common.exceptions import JavascriptException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).parents[1]
PAGES = re.findall(r": (\S+)\.md$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
EXERCISES = sorted((ROOT / "docs" / "exercises").glob("[0-9]*/README.md"))
PAGES += [str(page.relative_to(ROOT / "docs").with_suffix("")) for page in EXERCISES]
WITH_PICTURES = [  # but for those in whose place there is a timeline to play with
    name
    for name in PAGES
    if (ROOT / "docs" / f"{name}.md").read_text().count(".svg)")
    > (name in ("index", "walkthrough"))
]

each_page = pytest.mark.parametrize("name", PAGES)
each_width = pytest.mark.parametrize("width", [390, 1280])
each_module = pytest.mark.parametrize("module", ["proxyfuture", "connectors"])

PATIENCE = 60  # seconds, on a machine that has no time for a browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),  # the first test builds the pages and starts the browser
]


def build(site: Path, root: Path = ROOT, **environment: str) -> str:
    """Builds the pages, and returns what MkDocs said."""
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=root,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert built.returncode == 0, built.stdout
    return built.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "site"
    assert "WARNING" not in build(folder)
    return folder


def built_page(site: Path, name: str) -> Path:
    return site / f"{re.sub('README$', 'index', name)}.html"


class Page(HTMLParser):
    """The anchors and links of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.edit_links: list[str] = []
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        links = self.edit_links if values.get("rel") == "edit" else self.links
        links += [values[name] for name in ("href", "src") if name in values]


page_of = cache(Page)


# What is built


@each_page
def test_every_link_within_the_site_leads_somewhere(site: Path, name: str) -> None:
    file = built_page(site, name)
    for link in page_of(file).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
        assert target.is_file(), link
        if parts.fragment:
            assert unquote(parts.fragment) in page_of(target).anchors, link


def test_without_an_address_of_the_project_no_page_has_a_pencil(site: Path) -> None:
    assert [name for name in PAGES if page_of(built_page(site, name)).edit_links] == []


def test_with_an_address_a_page_leads_to_where_it_can_be_edited_and_cloned(tmp_path: Path) -> None:
    build(tmp_path / "site", REPO_URL="https://example.org/project")
    [link] = page_of(tmp_path / "site" / "reference" / "connectors.html").edit_links
    assert link == "https://example.org/project/edit/main/docs/reference/connectors.md"
    text = (tmp_path / "site" / "copy_it.html").read_text()
    assert "git clone https://example.org/project" in re.sub("<.*?>", "", text)


def test_the_site_offers_the_modules_and_all_of_the_project(site: Path) -> None:
    for name in "proxyfuture.py", "connectors.py", "LICENSE":
        assert (site / name).read_bytes() == (ROOT / name).read_bytes()
    assert "proxyfuture/docs/exercises/check.py" in names_in(site)


def names_in(site: Path) -> set[str]:
    with ZipFile(site / "proxyfuture.zip") as whole:
        return {name for name in whole.namelist() if not name.endswith("/")}


def test_a_project_that_was_unzipped_builds_a_site_with_the_same_files_to_offer(
    site: Path, tmp_path: Path
) -> None:
    with ZipFile(site / "proxyfuture.zip") as whole:
        whole.extractall(tmp_path)
    unzipped = tmp_path / "proxyfuture"
    unzipped.joinpath("site").mkdir()
    unzipped.joinpath("site", "index.html").write_text("It was built before, and is left out.")
    build(tmp_path / "again", root=unzipped)
    assert names_in(tmp_path / "again") == names_in(site)


def test_a_page_of_an_exercise_has_its_starter_and_is_linked_from_the_track(site: Path) -> None:
    track = page_of(site / "exercises.html").links
    for page in EXERCISES:
        name = page.parent.name
        assert f"exercises/{name}/index.html" in track
        text = html.unescape((site / "exercises" / name / "index.html").read_text())
        starter = (page.parent / "exercise.py").read_text()
        assert starter.splitlines()[0] in re.sub("<.*?>", "", text)
        assert (site / "exercises" / name / "exercise.py").read_text() == starter


@each_module
def test_every_public_name_is_in_the_reference(site: Path, module: str) -> None:
    public = [
        f"{module}.{name}"
        for name, value in vars(import_module(module)).items()
        if name[0] != "_" and (isclass(value) or isfunction(value)) and value.__module__ == module
    ]
    anchors = page_of(site / "reference" / f"{module}.html").anchors
    assert [name for name in public if name not in anchors] == []


@each_module
def test_the_reference_leads_to_the_documentation_of_python(site: Path, module: str) -> None:
    text = (site / "reference" / f"{module}.html").read_text()
    without_a_link = set(re.findall(r'<span title="([^"]+)"', text))
    # What is left is of the module itself, and not documented: type variables for instance.
    assert {name for name in without_a_link if not name.startswith(("proxyf", "conn"))} == set()


# What a browser shows


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("needs chromium and its driver, chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (
        "--headless=new",
        "--no-sandbox",  # which needs rights that containers do not give
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND",  # there is no network
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    chrome.set_page_load_timeout(PATIENCE)
    yield chrome
    chrome.quit()


def wait_for(browser: webdriver.Chrome, script: str) -> Any:
    """Waits until a line of JavaScript gives something, and returns it."""
    # A page that is on its way to another may answer with an exception.
    wait = WebDriverWait(browser, PATIENCE, ignored_exceptions=[JavascriptException])
    return wait.until(lambda _: browser.execute_script(script))


def open_page(browser: webdriver.Chrome, file: Path, width: int = 1280) -> None:
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(file.as_uri())
    # The theme's script has run when it has wrapped the tables, and marked the page as alive.
    wait_for(browser, "return document.readyState == 'complete' && document.querySelector('.js')")


def log(browser: webdriver.Chrome, kind: str) -> list[dict[str, Any]]:
    """Returns what was logged since this was asked last."""
    entries: list[dict[str, Any]] = browser.get_log(kind)  # type: ignore[no-untyped-call]  # theirs
    return entries


# The page hides what sticks out of the screen, but it is measured.
WIDTH = "return Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"

# What is folded is opened first, since it shall not be cut either.
TOO_WIDE = """
document.querySelectorAll('article details').forEach(folded => folded.open = true);
const wide = [...document.querySelectorAll(arguments[0])].filter(
    part => part.scrollWidth > part.clientWidth + 1);
return wide.map(part => part.textContent.trim().slice(0, 80));
"""
SCHEME = "return document.body.dataset.mdColorScheme"


@each_page
def test_a_page_is_whole_at_both_widths_in_both_schemes_and_requests_only_files_of_its_folder(
    browser: webdriver.Chrome, site: Path, name: str
) -> None:
    file = built_page(site, name)
    for width in 390, 1280:
        open_page(browser, file, width)
        seen = set()
        for _ in range(2):
            seen.add(browser.execute_script(SCHEME))
            assert browser.find_element(By.CSS_SELECTOR, "article h1").is_displayed()
            assert browser.execute_script(WIDTH) <= width
            # On a phone, a listing may be pushed aside.
            parts = ".md-typeset__table, pre > code" if width == 1280 else ".md-typeset__table"
            assert browser.execute_script(TOO_WIDE, parts) == []
            toggle_scheme(browser)
        assert seen == {"default", "slate"}
    assert [entry for entry in log(browser, "browser") if entry["level"] != "INFO"] == []

    events = [json.loads(entry["message"])["message"] for entry in log(browser, "performance")]
    requests = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert file.as_uri() in requests  # it was really listened to
    inside = (site.as_uri(), "data:", "blob:")
    assert [url for url in requests if not url.startswith(inside)] == []


def toggle_scheme(browser: webdriver.Chrome) -> None:
    before = browser.execute_script(SCHEME)
    labels = browser.find_elements(By.CSS_SELECTOR, "[data-md-component=palette] label")
    [toggle] = [label for label in labels if label.is_displayed()]
    toggle.click()
    wait_for(browser, f"{SCHEME} != '{before}'")


CUT = """
return [...document.querySelectorAll('.timeline, .chart')].flatMap(picture => {
    const frame = picture.getBoundingClientRect();
    return [...picture.querySelectorAll('text')].filter(text => {
        const own = text.getBoundingClientRect();
        return own.left < frame.left - 1 || own.right > frame.right + 1
            || own.top < frame.top - 1 || own.bottom > frame.bottom + 1;
    }).map(text => text.textContent);
});
"""


@each_width
@pytest.mark.parametrize("name", WITH_PICTURES)
def test_every_text_in_a_picture_is_seen_and_another_stands_in_its_place(
    browser: webdriver.Chrome, site: Path, name: str, width: int
) -> None:
    open_page(browser, built_page(site, name), width)
    assert browser.find_elements(By.CSS_SELECTOR, ":is(.timeline, .chart) text")
    assert browser.execute_script(CUT) == []
    for picture in browser.find_elements(By.CSS_SELECTOR, "svg:is(.timeline, .chart)"):
        assert picture.get_attribute("role") == "img"
        assert len(picture.get_attribute("aria-label") or "") >= 20


def test_the_search_finds_deferrable(browser: webdriver.Chrome, site: Path) -> None:
    open_page(browser, site / "index.html")
    box = browser.find_element(By.CSS_SELECTOR, "input.md-search__input")
    assert box.is_displayed()
    box.click()
    box.send_keys("deferrable")
    # In one step each, since the list is made anew while one types.
    found = """[...document.querySelectorAll('.md-search-result__item a')]
        .find(link => link.textContent.toLowerCase().includes('deferrable'))"""
    wait_for(browser, f"return {found}")
    browser.execute_script(f"{found}.click()")
    wait_for(
        browser,
        "return document.readyState == 'complete' && !location.pathname.endsWith('index.html')"
        " && document.querySelector('article').innerText.toLowerCase().includes('deferrable')",
    )


@each_width
def test_a_note_opens_at_its_line_of_code(
    browser: webdriver.Chrome, site: Path, width: int
) -> None:
    open_page(browser, site / "how_it_works.html", width)
    wait_for(browser, "return document.querySelector('.md-annotation__index')")
    mark = browser.find_element(By.CSS_SELECTOR, ".md-annotation__index")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", mark)
    browser.execute_script("arguments[0].focus()", mark)
    active = "document.querySelector('.md-tooltip--active')"
    wait_for(browser, f"return {active}?.innerText.includes('Threads that share')")
    note = browser.find_element(By.CSS_SELECTOR, ".md-tooltip--active")
    assert 0 <= note.rect["x"] <= note.rect["x"] + note.rect["width"] <= width


COLORS = """
const seen = (selector, name) => getComputedStyle(document.querySelector(selector))[name];
return [seen('body', 'backgroundColor'), seen('article', 'color'), seen('.timeline text', 'fill')];
"""


def test_the_toggle_changes_the_colors_of_the_page_and_its_picture(
    browser: webdriver.Chrome, site: Path
) -> None:
    open_page(browser, site / "walkthrough.html")
    light, ink, drawn = browser.execute_script(COLORS)
    assert ink == drawn
    toggle_scheme(browser)
    dark, ink_now, drawn_now = browser.execute_script(COLORS)
    assert dark != light
    assert ink_now == drawn_now != ink


def test_a_listing_is_copied_with_one_click(browser: webdriver.Chrome, site: Path) -> None:
    open_page(browser, site / "index.html")
    # In place of the clipboard, which a browser without a window does not have.
    browser.execute_script(
        "window.copied = []; document.execCommand = () => copied.push(`${getSelection()}`"
        "|| document.activeElement.value);"
    )
    for listing in ".language-python", ".language-console":
        button = browser.find_element(By.CSS_SELECTOR, f"{listing} [data-clipboard-target]")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()
    wait_for(browser, "return copied.length == 2")
    program, command = browser.execute_script("return copied")
    assert "future.proxy()" in program
    assert command.strip() == "python3 docs/examples/starts_first.py"  # without what it prints
