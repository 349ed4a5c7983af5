"""The page of a night, opened from a file in a real browser: what a person sees, and that nothing else happens."""

from __future__ import annotations

import base64
import fcntl
import gzip
import json
import re
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import anyio
import pytest
from playwright.sync_api import Browser, Error, Page, expect
from support.browser import PHONE, Opened, launched, opened
from support.hidden import Secrets
from support.nights import FLOOD_CHARS, HOSTILE, TASKS, small_night

from autoagent_mcp.report.writing import write_report

ROUTES = (
    "#/", "#/tasks", "#/experiments", "#/experiments/1", "#/cost", "#/trial/0002/count-words__1",
    "#/compare/0001/count-words__1/0002/count-words__1",
)  # fmt: skip


@pytest.fixture(scope="session")
def index(shared_folder: Path) -> Path:
    """Work for a small night and write its page, once for all processes that share the tests."""

    async def work(folder: Path) -> None:
        workspace, secret = await small_night(folder)
        (shared_folder / "secrets.json").write_text(json.dumps(secret.words), encoding="utf-8")
        await write_report(workspace, shared_folder / "report")

    with (shared_folder / "report.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared_folder / "report").exists():
            anyio.run(work, Path(tempfile.mkdtemp(dir=shared_folder)))
    return shared_folder / "report" / "index.html"


@pytest.fixture(scope="module")
def browser(index: Path) -> Generator[Browser]:  # noqa: ARG001 - made before: Playwright's event loop runs until the end
    """Start a browser; no longer than for this module, as no other event loop can run beside it."""
    with launched() as found:
        yield found


@pytest.fixture
def night(browser: Browser, index: Path) -> Generator[Opened]:
    """Open the page, and see at the end that it kept quiet."""
    with opened(browser, index) as found:
        yield found
        found.see_it_kept_quiet()


def cell(page: Page, experiment: int, task: str) -> str:
    """Return how a cell of the matrix is found."""
    place = page.evaluate("name => autoagent.data.tasks.indexOf(name)", task)
    return f'td[data-at="{experiment} {place}"]'


def test_the_first_screen_says_what_was_gained_and_whether_to_believe_it(night: Opened) -> None:
    main = night.page.locator("main")
    expect(main.locator(".gain")).to_contain_text("points")
    expect(main.locator(".side.before")).to_contain_text("2 of 10 trials passed, 95 % interval 5.7 to 51.0 %")
    expect(main.locator(".side.now")).to_contain_text("of 20 trials passed")
    expect(main.locator(".hero")).to_contain_text("provisional")
    expect(main.locator(".hero")).to_contain_text("hidden tasks: not worse")
    expect(main.locator(".numbers")).to_contain_text("unknown")
    expect(main.locator(".doubts")).to_contain_text("autoagent-mcp review")
    expect(main.locator(".kept li")).to_have_count(1)
    expect(main.locator(".kept")).to_contain_text("Have the agent check its answer")
    expect(main.locator(".chart canvas")).to_be_visible()
    expect(main.locator(".line.added").first).to_contain_text("First look, then check what you wrote.")


def test_a_cell_leads_to_its_trace_by_mouse_and_by_keys(night: Opened) -> None:
    page = night.page
    page.keyboard.press("2")
    expect(page.locator("h1")).to_have_text("Tasks by experiments")
    assert page.locator(cell(page, 1, "join-tables")).get_attribute("data-c") == "S"
    assert page.locator(cell(page, 2, "join-tables")).get_attribute("data-c") == "X"
    assert page.locator(cell(page, 4, "join-tables")).get_attribute("data-c") == "."
    page.locator(cell(page, 1, "join-tables")).click()
    steps = page.locator("article.step")
    expect(steps).to_have_count(5)
    expect(steps.nth(2)).to_contain_text("I should look at what is there before I change anything.")
    expect(steps.nth(3)).to_contain_text("printf '42\\n' > answer.txt && cat answer.txt")
    expect(page.locator("main")).to_contain_text("verifier/reward.txt")
    page.go_back()
    page.locator("td[tabindex]").focus()
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("count-words")
    expect(page.locator(".facts").first).to_contain_text("experiment 1")


def test_experiments_are_searched_filtered_sorted_and_opened(night: Opened) -> None:
    page = night.page
    night.go("#/experiments")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(5)
    page.keyboard.press("/")
    page.keyboard.type("fewer TURNS")
    expect(rows).to_have_count(1)
    page.get_by_label("Search").fill("")
    page.get_by_label("any status").select_option("crashed")
    expect(rows).to_contain_text(["another field"])
    page.get_by_label("any status").select_option("")
    page.get_by_role("button", name="First run").click()
    expect(rows.first).to_contain_text("Have the agent check")
    rows.filter(has_text="Fewer turns").click()
    main = page.locator("main")
    expect(main).to_contain_text("most need the look at what is there.")
    expect(main.locator(".line.removed").first).to_contain_text("First look")
    page.keyboard.press("ArrowLeft")
    expect(main.locator("h1")).to_contain_text("#1")
    expect(main).to_contain_text("Verdict: kept (provisional)")
    expect(main.locator(".pairs")).to_contain_text("won")
    prediction = main.locator("section", has_text="Prediction")
    expect(prediction.locator(".facts > div", has_text="Came true")).to_contain_text("count-words")
    expect(prediction.locator(".facts > div", has_text="Did not").first).to_contain_text("unsolvable")


def test_two_trials_are_compared_from_where_the_agents_part(night: Opened) -> None:
    page = night.page
    night.go("#/trial/0001/count-words__1")
    page.get_by_label("Compare with").select_option(label="experiment 1, suite run 0002, trial 1: passed")
    expect(page.locator("#parting")).to_contain_text("The agents part at step 4.")
    sides = page.locator(".sides > div")
    expect(sides.nth(0)).to_contain_text("cat notes.txt")
    expect(sides.nth(1)).to_contain_text("printf '42\\n' > answer.txt")


def test_hostile_output_of_5_mb_is_text_and_bounded(night: Opened) -> None:
    page = night.page
    night.go("#/trial/0006/count-words__1")
    expect(page.locator("article.step").nth(2)).to_contain_text(HOSTILE.replace("'", ""))
    output = page.locator("article.step .result .text").first
    told = output.locator(".more")
    expect(told).to_contain_text(f"4,000 of {FLOOD_CHARS:,} characters")
    output.get_by_text("Show more").click()
    expect(told).to_contain_text("44,000 of")
    assert page.evaluate("document.querySelectorAll('*').length") < 1_000
    assert page.evaluate("document.body.textContent.length") < 1_000_000
    assert page.locator("main script, main img, main iframe").count() == 0
    assert page.title() == "count-words passed – invoices"  # noqa: RUF001 - the page's dash


def test_no_text_can_become_markup_and_no_foreign_script_runs(browser: Browser, index: Path) -> None:
    with opened(browser, index) as found:
        with pytest.raises(Error, match="TrustedHTML"):
            found.page.evaluate("document.body.innerHTML = '<b>no</b>'")
        with pytest.raises(Error, match="TrustedScript"):
            found.page.evaluate("document.body.setAttribute('onclick', 'document.title = 1')")
        with pytest.raises(Error, match="no trace's address"):
            found.page.evaluate("autoagent.loadTrace({ run: 0, id: 'a', trace: '../evil' })")


@pytest.mark.parametrize("is_dark", [False, True])
def test_each_view_fits_a_phone_and_has_no_faint_text(browser: Browser, index: Path, is_dark: bool) -> None:  # noqa: FBT001
    with opened(browser, index, PHONE, dark=is_dark) as found:
        for route in ROUTES:
            found.go(route)
            found.page.locator("main h1").wait_for(state="attached")
            expect(found.page.locator("[aria-busy=true]")).to_have_count(0)
            assert found.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], route
            assert found.page.evaluate(FAINT) == [], route
        found.see_it_kept_quiet()


def test_a_page_that_was_sent_alone_says_where_its_traces_are(browser: Browser, index: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(index, tmp_path))
    with opened(browser, alone) as found:
        found.go("#/trial/0002/count-words__1")
        expect(found.page.locator("p.doubts")).to_contain_text("beside this page")
        found.go("#/experiments/1")
        expect(found.page.locator(".line.added")).to_have_count(1)


def test_every_task_is_a_row_of_the_matrix(night: Opened) -> None:
    night.go("#/tasks")
    expect(night.page.locator("tbody th")).to_have_text(list(TASKS))


def test_no_word_of_the_hidden_tasks_is_in_it(index: Path, shared_folder: Path) -> None:
    secret = Secrets()
    secret.words = json.loads((shared_folder / "secrets.json").read_text(encoding="utf-8"))
    files = b"".join(path.read_bytes() for path in index.parent.rglob("*") if path.is_file())
    packed = re.findall(rb'(?:id="data">|",")(H4sI[A-Za-z0-9+/=]*)', files)
    said = files + b"".join(gzip.decompress(base64.b64decode(one)) for one in packed)
    assert b"I should look at what is there" in said
    assert len(secret.words) > 10
    assert secret.found_in(said) == []


FAINT = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const bytes = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const part = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("script, .away, .skip, td.cell, i.cell")) continue;
    const layers = [];
    let pictured = false;
    for (let one = element; one; one = one.parentElement) {
      const style = getComputedStyle(one);
      layers.unshift(style.backgroundColor);
      pictured ||= style.backgroundImage !== "none";
    }
    if (pictured) continue;
    const back = light(bytes(layers)), front = light(bytes([...layers, getComputedStyle(element).color]));
    const contrast = (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
    const named = `${element.tagName}.${element.className} "${walker.currentNode.data.slice(0, 40)}"`;
    if (contrast < 4.5) faint.push(`${named} ${contrast.toFixed(2)}`);
  }
  return faint.slice(0, 5);
}"""
"""Finds text whose contrast with what lies behind it is below 4.5 (WCAG 2.2, 1.4.3)."""
