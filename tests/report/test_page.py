"""The page, in a real browser."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sweeper.report.page import write_page
from tests.report.test_answer import study as made_up_study
from tests.results.rows import study_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FIGURES = {"forest", "pareto", "curves-0", "classes", "map-0", "map-1", "map-2", "map-3"}
FIGURES |= {f"confusion-{arm}" for arm in ("semantic-only", "garm", "full", "fusion-sum")}
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
        page.wait_for_selector(".save button", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()


def drawn(page):
    """Names of the figures that have marks on them, and a size that can be read."""
    return set(
        page.evaluate(
            """[...document.querySelectorAll(".plot")].filter(plot => {
                 const shown = [...plot.querySelectorAll("svg")].filter(svg => svg.getBoundingClientRect().width > 0);
                 const box = shown[0]?.getBoundingClientRect();
                 const marks = shown.length === 1 && shown[0].querySelector(".hover, image");
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
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", text)
    assert set(re.findall(r"https?://[^\s\"'<]*", text)) <= {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in text
    assert page_path.stat().st_size < 5e5


def test_no_script_but_ours_is_run(page_path, browser):
    page = browser.new_page()
    text = page_path.read_text("utf-8").replace("</main>", "<script>document.title = 'theirs'</script></main>")
    page.set_content(text)
    assert page.title() != "theirs"
    assert page.locator(".save button").count() > 0, "ours is"
    page.close()


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
    open_all(page)
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
    ink = luminance(page, "#forest text", "fill"), luminance(page, "#answer p", "color")
    paper = luminance(page, "#forest", "backgroundColor")
    assert all(value > 180 for value in ink) if scheme == "dark" else all(value < 80 for value in ink)
    assert abs(paper - ink[0]) > 150
    page.emulate_media(color_scheme="light" if scheme == "dark" else "dark")
    page.wait_for_timeout(300)
    assert abs(luminance(page, "#forest text", "fill") - ink[0]) > 100, "a theme that changes later is followed"


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
    page = opened(color_scheme="dark", viewport={"width": 680, "height": 900})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert luminance(page, "#forest text", "fill") < 80
    assert page.locator("details:not([open])").count() == 0
    widths = page.evaluate(
        """[...document.querySelectorAll(".plot")].map(plot =>
             [plot.clientWidth, ...[...plot.querySelectorAll("svg")].map(svg => svg.getBoundingClientRect().width)])"""
    )
    assert all(max(figures) <= box + 1 <= 681 for box, *figures in widths), "nothing is cut off"
    assert not page.locator("nav").is_visible()
    assert not page.locator(".save").first.is_visible()
    assert len(page.pdf(format="A4")) > 20_000
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert luminance(page, "#forest text", "fill") > 180
    assert page.locator("details[open]").count() == 0


def saved(page, button):
    with page.expect_download() as download:
        page.get_by_label(button).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_figures_and_tables_can_be_saved(opened, page_path):
    page = opened()
    name, data = saved(page, re.compile("Save as SVG: Forest"))
    root = ElementTree.fromstring(data)
    assert name == "forest.svg"
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert b"var(" not in data, "its colours are its own"
    assert "semantic-only" in "".join(root.itertext())
    name, data = saved(page, re.compile("Save as PNG: Forest"))
    assert (name, data[:4]) == ("forest.png", b"\x89PNG")
    assert int.from_bytes(data[16:20]) == 3 * int(root.attrib["width"])
    name, data = saved(page, re.compile("Save as CSV: Table 6"))
    rows = list(csv.reader(io.StringIO(data.decode())))
    assert name.endswith(".csv")
    assert [row[0] for row in rows] == ["arm", "semantic-only", "garm", "full"]
    assert len({len(row) for row in rows}) == 1
    name, data = saved(page, re.compile("Save as LaTeX: Table 6"))
    assert name.endswith(".tex")
    assert data.decode().count(r"\begin{tabular}") == 1
    tables, plots, buttons = (page.locator(s).count() for s in ("table", ".plot", ".save button"))
    assert buttons == 2 * (tables + plots), "all of them can"
    assert page.heard == []


def test_a_table_wider_than_the_phone_says_so_and_keeps_its_first_column(opened):
    page = opened(viewport={"width": 390, "height": 844})
    box = page.locator(".scroll").first
    more = lambda: box.evaluate("e => getComputedStyle(e.parentElement, '::before').content")  # noqa: E731
    assert "scroll for more" in more()
    box.evaluate("e => e.scrollLeft = e.scrollWidth")
    page.wait_for_timeout(100)
    assert more() == "none"
    left = box.evaluate(
        "e => e.querySelector('tbody th').getBoundingClientRect().left - e.getBoundingClientRect().left"
    )
    assert 0 <= left < 3
    cut = box.locator("tbody th").evaluate_all("all => all.filter(e => e.scrollWidth > e.clientWidth + 1).length")
    assert cut == 0, "names are whole"


def test_the_answer_comes_first_with_the_figures_that_show_it(opened, tmp_path):
    parts = ("dual-branch", "macem-a", "macem-b", "garm", "macem-a+b", "macem-b+garm", "macem-a+garm")
    made = made_up_study(tmp_path / "s", dict.fromkeys(parts, 0.0) | {"garm": -0.2}, seeds=3)
    page = opened(Path(write_page(made, tmp_path / "report.html")), viewport={"width": 1400, "height": 900})
    assert page.locator(".lead").inner_text().startswith("7 arms against full at ±1 point: 1 worse (garm), 0 better")
    for part in (".lead", "#answer pre.command", "#forest", "#effects"):
        box = page.locator(part).first.bounding_box()
        assert box["y"] + box["height"] < 900, part
    forest, effects = (page.locator(part).bounding_box() for part in ("#forest", "#effects"))
    assert effects["x"] >= forest["x"] + forest["width"]


def test_a_strangers_words_stay_words(opened, tmp_path):
    rude = "<img src=x onerror=alert(1)>$\\frac{1}{2}$ ]]> &amp; \x1b[2J"
    made = made_up_study(tmp_path / "s", {"garm": 0.0})
    plan = json.loads((made.folder / "plan.json").read_text())
    text = json.dumps(plan).replace('"garm"', json.dumps(rude))
    rows = [row | {"arm": rude if row["arm"] == "garm" else row["arm"]} for row in made.trials().to_pylist()]
    study = study_of(tmp_path / "rude", rows, json.loads(text) | {"classes": [rude] * 10})
    page = opened(Path(write_page(study, tmp_path / "report.html")))
    assert page.heard == []
    assert page.locator("img").count() == 0
    assert rude[:20] in page.locator("#forest").inner_html().replace("&lt;", "<").replace("&gt;", ">")
    assert len(page.requested) == 1


def test_a_study_without_its_files_says_what_is_missing(opened, spoiled, tmp_path):
    page = opened(Path(write_page(spoiled, tmp_path / "report.html")))
    assert page.heard == []
    said = " ".join(page.locator(".missing").all_inner_texts())
    for expected in ("no learning curves", "no predictions", "There is no map: the weights of full, fold 1, seed 0"):
        assert expected in said
    assert "missing: 1 of 12 trials" in page.locator("#problems").inner_text()
    assert drawn(page) == {"forest", "pareto"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_bars_anybody_from_the_page(opened, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    page = opened(color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True)
    open_all(page)
    found = axe.Axe().run(page).response["violations"]
    assert [(rule["id"], rule["impact"], rule["nodes"][0]["html"]) for rule in found] == []
