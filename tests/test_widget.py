"""The timeline to play with, in a real browser, on a page that holds nothing else.

Needs `pip install '.[docs]'`, and Chromium with its driver (Debian: chromium, chromium-driver).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from support import EXAMPLES, ROOT

pytest.importorskip("selenium", reason="needs the packages of pip install '.[docs]'")

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

sys.path.insert(0, str(EXAMPLES))

import foo_bar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DOCS = ROOT / "docs"
PATIENCE = 60  # seconds, on a machine that has no time for a browser
SECONDS = [0.0, 0.25, 0.9, 2.0]
CHOICES = list(product(["foo", "bar"], [1, 2], [True, False]))

PAGE = """<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="{theme}/pages.css"><link rel="stylesheet" href="{theme}/timeline.css">
<style>:root {{ --md-default-bg-color: white; --md-default-fg-color: black }}</style>
<script src="{theme}/timeline.js" defer></script>
<body class="md-typeset"><div class="foo-bar-timeline" {data}><img src="{picture}"></div>"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options)
    yield driver
    driver.quit()


class Widget:
    """The timeline as somebody uses it."""

    def __init__(self, browser: webdriver.Chrome, folder: Path) -> None:
        self.browser = browser
        self.page = folder / "page.html"

    def open(
        self, width: int = 1280, *, data: str = "", motion: bool = True, javascript: bool = True
    ) -> None:
        motion_wanted = "no-preference" if motion else "reduce"
        preference = {"name": "prefers-reduced-motion", "value": motion_wanted}
        screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        command = self.browser.execute_cdp_cmd
        command("Emulation.setEmulatedMedia", {"features": [preference]})
        command("Emulation.setDeviceMetricsOverride", screen)
        command("Emulation.setScriptExecutionDisabled", {"value": not javascript})
        theme, picture = ((DOCS / name).as_uri() for name in ("theme", "pictures/idea.svg"))
        self.page.write_text(PAGE.format(theme=theme, picture=picture, data=data))
        self.browser.get(self.page.as_uri())

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, f".foo-bar-timeline {selector}")

    def choose(self, name: str, value: object) -> None:
        self.find(f"[name={name}][value='{str(value).lower()}']").click()

    def press(self, *keys: str) -> None:
        self.browser.switch_to.active_element.send_keys(*keys)

    @property
    def verdict(self) -> str:
        return " ".join(self.find(".verdict").text.split())

    @property
    def sentence(self) -> str:
        return self.find("[role=status]").text

    @property
    def is_playing(self) -> bool:
        return "playing" in (self.find("svg").get_attribute("class") or "")

    def dot(self) -> tuple[float, float]:
        """Where the middle of the value is on the screen."""
        box = self.find(".dot").rect
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def wait_until(self, script: str) -> None:
        WebDriverWait(self.browser, PATIENCE, 0.01).until(
            lambda browser: browser.execute_script(f"return {script}")
        )


@pytest.fixture
def widget(chromium: webdriver.Chrome, tmp_path: Path) -> Widget:
    return Widget(chromium, tmp_path)


SHOWS_THE_VALUE = "document.querySelector('.passing').style.visibility != 'hidden'"
IS_OVER = "!document.querySelector('svg').classList.contains('playing')"


def test_it_stands_on_these_pages_with_a_picture_in_its_place() -> None:
    for page in "index.md", "walkthrough.md":
        text = (DOCS / page).read_text()
        assert re.search(r'<div class="foo-bar-timeline"[^>]* markdown>\n\n!\[[^]]+\]\(', text)
    settings = (ROOT / "mkdocs.yml").read_text()
    assert "theme/timeline.js" in settings
    assert "theme/timeline.css" in settings


def test_it_computes_as_the_example_does(widget: Widget) -> None:
    widget.open()
    names = ["foo", "free", "dependent", "first", "workers", "future"]
    grid: list[dict[str, Any]] = [
        dict(zip(names, (*times, *choices), strict=True))
        for times in product(SECONDS, repeat=3)
        for choices in CHOICES
    ]
    script = "return arguments[0].map(settings => String(fooBarTimeline.makespan(settings)))"
    computed = widget.browser.execute_script(script, grid)
    assert [float(total.replace("Infinity", "inf")) for total in computed] == pytest.approx(
        [foo_bar.makespan(**settings) for settings in grid]
    )


def test_it_plays_and_the_value_travels_from_the_producer_to_the_consumer(widget: Widget) -> None:
    widget.open()
    widget.wait_until(f"!({IS_OVER})")  # it plays at once, some seconds long
    widget.wait_until(IS_OVER)
    assert widget.find("button").text == "▶ Play"
    widget.find("button").click()
    assert widget.is_playing
    assert widget.find("button").text == "■ Stop"
    assert not widget.find(".dot").is_displayed()
    widget.wait_until(SHOWS_THE_VALUE)
    x, above = widget.dot()
    widget.wait_until(IS_OVER)
    end, below = widget.dot()
    assert abs(end - x) < 2  # the consumer waited, so the way leads straight down
    assert below > above
    consumer = widget.find("[clip-path] .uses rect").rect
    assert consumer["y"] < below < consumer["y"] + consumer["height"]


def test_it_can_be_stopped(widget: Widget) -> None:
    widget.open()
    press = f"document.querySelector('button').click(); return {IS_OVER}"
    pressed = [widget.browser.execute_script(press) for _ in range(2)]
    assert sorted(pressed) == [False, True]  # in which order, depends on whether it played already
    widget.wait_until(IS_OVER)
    assert widget.find(".dot").is_displayed()


def test_it_is_played_with_the_keyboard(widget: Widget) -> None:
    widget.open()
    assert widget.verdict.startswith("1.35 s instead of 1.85 s")
    widget.press(Keys.TAB)
    assert widget.browser.switch_to.active_element == widget.find("button")
    widget.press(Keys.TAB)
    widget.press(Keys.ARROW_RIGHT)  # foo's time
    assert widget.verdict.startswith("1.40 s instead of 1.90 s")
    widget.press(Keys.TAB)
    widget.press(Keys.END)  # bar's free part
    assert widget.sentence.endswith("Nobody waits.")
    widget.press(Keys.TAB)
    widget.press(Keys.HOME)  # bar's dependent part
    assert widget.verdict.startswith("2.00 s instead of 2.95 s")
    for stop in "first", "workers", "future":
        widget.press(Keys.TAB)
        assert widget.browser.switch_to.active_element.get_attribute("name") == stop
    widget.press(Keys.ARROW_RIGHT)
    assert widget.verdict.startswith("2.95 s 2.00 s with the future")
    for control in widget.browser.find_elements(By.CSS_SELECTOR, "form :is(input, button)"):
        assert control.accessible_name


def test_one_worker_with_bar_first_ends_in_a_deadlock(widget: Widget) -> None:
    widget.open(data='data-first="foo"')
    widget.choose("workers", 1)
    assert widget.verdict.startswith("1.85 s as without the future")
    widget.choose("first", "bar")
    assert widget.verdict.startswith("for ever instead of 1.85 s")
    assert widget.sentence == "bar waits for foo, and foo for bar's worker: for ever."
    assert len(widget.browser.find_elements(By.CSS_SELECTOR, "[clip-path] path.stuck")) == 2
    widget.wait_until(IS_OVER)
    assert widget.browser.find_elements(By.CSS_SELECTOR, "path.value:not(.head)") == []


def test_nothing_moves_where_somebody_asked_for_less_motion(widget: Widget) -> None:
    widget.open(motion=False)
    assert not widget.find("button").is_displayed()
    widget.choose("workers", 1)
    widget.choose("workers", 2)
    assert not widget.is_playing
    assert widget.find(".dot").is_displayed()
    assert widget.find("[clip-path] .uses").is_displayed()


def test_without_javascript_a_still_picture_stands_there(widget: Widget) -> None:
    widget.open(javascript=False)
    assert widget.browser.find_elements(By.CSS_SELECTOR, "form") == []
    assert widget.find("img").is_displayed()
    assert widget.find("img").rect["height"] > 100


WRONG = """
const form = document.querySelector('form'), wrong = [];
for (const settings of arguments[0]) {
    for (const [name, value] of Object.entries(settings)) form.elements[name].value = value;
    form.elements.foo.dispatchEvent(new Event('input', {bubbles: true}));
    const frame = form.querySelector('.picture').getBoundingClientRect();
    for (const text of form.querySelectorAll('svg text')) {
        const own = text.getBoundingClientRect(), before = text.previousElementSibling;
        const inBox = before?.matches('rect') && text.textContent;
        const outer = inBox ? before.getBoundingClientRect() : frame;
        if (own.width && (own.left < outer.left - 1 || own.right > outer.right + 1))
            wrong.push([JSON.stringify(settings), text.textContent]);
    }
}
return [wrong, document.documentElement.scrollWidth - innerWidth];
"""


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_every_text_fits_whatever_the_settings(widget: Widget, width: int) -> None:
    widget.open(width, motion=False)
    settings = [
        {"foo": foo, "free": free, "dependent": dependent}
        | {"first": first, "workers": workers, "future": str(future).lower()}
        for foo, free, dependent in product(SECONDS, repeat=3)
        for first, workers, future in CHOICES
    ]
    wrong, too_wide = widget.browser.execute_script(WRONG, settings)
    assert wrong == []
    assert too_wide <= 0
