"""The page, in a real browser."""

import re
import shutil
from pathlib import Path

import pytest

from sweeper.report.page import write_page
from tests.report.test_answer import study as made_up_study

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FIGURES = {"forest", "pareto", "classes", "map-0", "map-1", "map-2", "map-3"}
FIGURES |= {
    f"{kind}-{arm}" for kind in ("curve", "confusion") for arm in ("semantic-only", "garm", "full", "fusion-sum")
}
SECTIONS = ("answer", "data", "differences", "tables", "cost-accuracy", "learning", "confusions")
SECTIONS += ("features", "cost", "paper", "provenance", "again")


@pytest.fixture(scope="module")
def page_path(study, demo_store, tmp_path_factory):
    return Path(write_page(study, tmp_path_factory.mktemp("page") / "report.html"))


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, page_path):
    """Opens the page in a context of its own; whatever it says or asks for is kept."""
    contexts = []

    def open_page(path=page_path, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.heard, page.requested = [], []
        page.on("console", lambda message: page.heard.append(message.text))
        page.on("pageerror", lambda error: page.heard.append(str(error)))
        page.on("request", lambda request: page.requested.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector(".main-svg")
        return page

    yield open_page
    for context in contexts:
        context.close()


def drawn(page):
    """Names of the figures that have marks on them, and a size."""
    return set(
        page.evaluate(
            """[...document.querySelectorAll(".plot")].filter(plot => {
                 const marks = plot.querySelector(".point, .js-line, .hm image, .js-fill");
                 const box = plot.querySelector(".main-svg")?.getBoundingClientRect();
                 return marks && box.width > 80 && box.height > 80;
               }).map(plot => plot.id)"""
        )
    )


def open_all(page):
    page.evaluate("document.querySelectorAll('details').forEach(box => box.open = true)")
    page.wait_for_timeout(300)


def test_every_figure_is_drawn_without_a_complaint_or_a_request(opened, page_path):
    page = opened()
    open_all(page)
    assert drawn(page) == FIGURES
    assert page.heard == []
    assert page.requested == [page_path.as_uri()]
    assert "NaN" not in page.inner_text("body")
    for section in SECTIONS:
        assert page.locator(f"section#{section}").count() == 1
        assert page.locator(f"nav a[href='#{section}']").count() == 1
    assert page.locator(".missing").count() == 0
    assert page.locator("#synthetic").is_visible()


def test_nothing_outside_is_even_named(page_path):
    text = page_path.read_text("utf-8")
    ours = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)  # plotly.js names sites, and the policy stops it
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", ours)
    assert "default-src 'none'" in ours
    assert page_path.stat().st_size < 6e6


def test_a_phone_scrolls_in_one_direction(opened):
    page = opened(viewport={"width": 390, "height": 844})
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert drawn(page) == FIGURES
    widths = page.evaluate("[...document.querySelectorAll('.grid .plot, #forest')].map(plot => plot.clientWidth)")
    assert max(widths) <= 390


def test_a_factorial_among_the_arms_has_a_figure_and_a_section(opened, tmp_path):
    parts = ("dual-branch", "macem-a", "macem-b", "garm", "macem-a+b", "macem-b+garm", "macem-a+garm")
    made = made_up_study(tmp_path / "s", dict.fromkeys(parts, 0.0), seeds=3)
    page = opened(Path(write_page(made, tmp_path / "report.html", margin=0.02)), viewport={"width": 390, "height": 844})
    assert page.heard == []
    assert {"forest", "effects"} <= drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("nav a[href='#parts']").count() == 1
    text = page.inner_text("#parts")
    assert "MACEM-A × MACEM-B × GARM" in text
    assert "Lenth" in text
    assert "±2 points" in page.inner_text("#differences figcaption")
    answer = page.locator("#answer")
    assert "Undecided at ±2 points" in answer.inner_text()
    assert answer.locator("pre.command").inner_text().startswith("python -m sweeper run ablations ")


def luminance(page, selector, attribute):
    red, green, blue = re.findall(
        r"\d+", page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{attribute}")
    )[:3]
    return 0.3 * int(red) + 0.6 * int(green) + 0.1 * int(blue)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_figures_follow_the_theme(opened, scheme):
    page = opened(color_scheme=scheme)
    ink = luminance(page, "#forest .xtick text", "fill"), luminance(page, "#answer p", "color")
    paper = luminance(page, "#forest", "backgroundColor")
    assert all(value > 180 for value in ink) if scheme == "dark" else all(value < 80 for value in ink)
    assert abs(paper - ink[0]) > 150
    page.emulate_media(color_scheme="light" if scheme == "dark" else "dark")
    page.wait_for_timeout(300)
    assert abs(luminance(page, "#forest .xtick text", "fill") - ink[0]) > 100, "a theme that changes later is followed"


def test_the_keyboard_reaches_everything(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#answer")
    page.locator("#confusions summary").focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    assert "confusion-garm" in drawn(page)
    scrolls = page.evaluate("[...document.querySelectorAll('.scroll, .wide, pre')].every(box => box.tabIndex === 0)")
    assert scrolls, "a box that scrolls can be focused"
    labels = page.evaluate("[...document.querySelectorAll('.plot')].map(plot => plot.getAttribute('aria-label'))")
    assert all(labels)


def test_it_prints_light_and_within_the_paper(opened):
    page = opened(color_scheme="dark", viewport={"width": 1200, "height": 900})
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert luminance(page, "#forest .xtick text", "fill") < 80
    widths = page.evaluate(
        """[...document.querySelectorAll(".plot")].filter(plot => plot.clientWidth > 0).map(plot =>
             [plot.clientWidth, plot.querySelector(".main-svg").getBoundingClientRect().width])"""
    )
    assert all(figure <= box <= 680 for box, figure in widths), "nothing is cut off"
    assert not page.locator("nav").is_visible()
    assert len(page.pdf(format="A4")) > 20_000
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert luminance(page, "#forest .xtick text", "fill") > 180


def test_a_study_without_its_files_says_what_is_missing(opened, spoiled, tmp_path):
    page = opened(Path(write_page(spoiled, tmp_path / "report.html")))
    assert page.heard == []
    said = " ".join(page.locator(".missing").all_inner_texts())
    for expected in ("no learning curves", "no predictions", "There is no map: the weights of full, fold 1, seed 0"):
        assert expected in said
    assert "missing: 1 of 12 trials" in page.locator("#problems").inner_text()
    assert drawn(page) == {"forest", "pareto"}
