"""A headless Chromium that notes what a page asks for and complains about."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, ViewportSize, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


@contextmanager
def launched() -> Generator[Browser]:
    """Start the Chromium of this machine; where there is none the test is skipped, or fails where one is required."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        if os.environ.get("AUTOAGENT_REQUIRE_CHROMIUM") == "1":
            pytest.fail("no Chromium is installed")
        pytest.skip("no Chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Opened:
    """A page that is open, and what went on in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.asked_for: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", self._note_error)
        page.on("request", self._note_request)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _note_error(self, error: Error) -> None:
        self.complaints.append(str(error))

    def _note_request(self, request: Request) -> None:
        self.asked_for.append(request.url)

    def go(self, route: str) -> None:
        """Go to a view of the page."""
        self.page.evaluate("route => { location.hash = route }", route)

    def see_it_kept_quiet(self, address: str = "file:") -> None:
        """See that nothing was complained about, and that nothing but what begins with the address was asked for."""
        assert self.complaints == []
        assert [url for url in self.asked_for if not url.startswith((address, "data:", "blob:"))] == []


@contextmanager
def opened(browser: Browser, index: Path, size: ViewportSize | None = None, *, dark: bool = False) -> Generator[Opened]:
    """Open a page from the file system, where there is no network at all."""
    context = browser.new_context(
        viewport=size or DESKTOP, offline=True, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    try:
        found = Opened(context.new_page())
        found.page.goto(index.as_uri())
        found.page.locator("main h1").wait_for(state="attached")
        yield found
    finally:
        context.close()


@contextmanager
def opened_at(browser: Browser, address: str) -> Generator[Opened]:
    """Open a page from a server."""
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    try:
        found = Opened(context.new_page())
        found.page.goto(address)
        yield found
    finally:
        context.close()
