"""A real browser, Chromium, on a real server. What a page complains of fails the test that opened it."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.running import Server, running

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic", "--no-first-run"]
EXPECTED = ("ERR_CONNECTION_REFUSED", "ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION_RESET", "net::ERR_")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as server:
        yield server


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = os.environ.get("CHAT_TEST_CHROMIUM") or shutil.which("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        await browser.close()


class Window:
    """Somebody's browser window, and what it complained of."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.context = context
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self._complain(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _complain(self, kind: str, text: str) -> None:
        """A lost connection is logged by the browser itself, and is no fault of the page."""
        if kind in ("error", "warning") and not any(expected in text for expected in EXPECTED):
            self.complaints.append(text)


@pytest.fixture
async def open_window(browser: Browser) -> AsyncIterator[Callable[..., object]]:
    windows: list[Window] = []

    async def open_one(url: str, *, width: int = 1280, height: int = 800) -> Window:
        context = await browser.new_context(viewport={"width": width, "height": height}, locale="en-GB")
        window = Window(context, await context.new_page())
        windows.append(window)
        await window.page.goto(url)
        return window

    yield open_one
    for window in windows:
        assert window.complaints == []
        await window.context.close()
