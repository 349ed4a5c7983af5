"""The live page in a real browser, from before the first run on, while another process works and the page is read."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Semaphore

import anyio
import anyio.to_thread
import pytest
from playwright.sync_api import Page, expect
from support.browser import launched, opened_at
from support.hidden import Secrets
from support.nights import TASKS, small_night
from support.viewed import viewed

WAIT_MS = 120_000


@pytest.fixture(autouse=True)
def patience() -> Generator[None]:
    """Wait for real runs, which share the machine with other tests."""
    expect.set_options(timeout=WAIT_MS)
    yield
    expect.set_options(timeout=5_000)


def night(folder: Path, steps: Semaphore) -> Secrets:
    """Work for a small night, as far as it may go on; return what its hidden tasks are made of."""

    async def may_go_on() -> None:
        await anyio.to_thread.run_sync(steps.acquire)

    return anyio.run(small_night, folder, may_go_on)[1]


def test_the_page_follows_a_running_night_and_keeps_what_its_reader_does(tmp_path: Path) -> None:
    workspace, steps = tmp_path / "invoices", Semaphore(0)
    with (
        launched() as browser,
        ThreadPoolExecutor(1) as other,
        viewed(workspace) as address,
        opened_at(browser, address) as found,
    ):
        page = found.page
        expect(page.locator("#app")).to_contain_text("Nothing was measured here yet.")
        page.evaluate("window.isStillHere = true")
        working = other.submit(night, tmp_path, steps)
        try:
            follow(page, steps)
        finally:
            steps.release(9)
        secret = working.result()
        expect(page.locator("thead th")).to_have_count(1 + 5)
        assert page.locator("tbody th").all_text_contents() == list(TASKS)
        assert page.evaluate("isStillHere")
        assert len(secret.words) > 10
        assert secret.found_in(page.evaluate("JSON.stringify(autoagent.data)").encode()) == []
        found.see_it_kept_quiet(address)
        assert found.asked_for.count(address) == 1


def follow(page: Page, steps: Semaphore) -> None:
    """Read the page while the night goes on."""
    expect(page.locator("main .hero")).to_contain_text("Nothing was kept yet")
    expect(page.locator("header [role=status]")).to_have_text("● live")
    page.keyboard.press("3")
    page.get_by_label("Search").fill("check its answer")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(0)
    steps.release()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("kept (provisional)")
    expect(page.get_by_label("Search")).to_have_value("check its answer")
    expect(page.get_by_label("Search")).to_be_focused()
    page.evaluate("location.hash = '#/trial/0002/count-words__1'")
    expect(page.locator("article.step")).to_have_count(5)
    page.evaluate("location.hash = '#/tasks'")
    expect(page.locator("thead th")).to_have_count(1 + 2)
