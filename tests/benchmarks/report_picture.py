"""The picture of the report that the README shows: `python -m tests.benchmarks.report_picture STUDY`.

STUDY is the folder of a study of the demo, whose sounds are synthetic; the page says so. Needs playwright and Chromium.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from sweeper.report.page import write_page
from sweeper.results.store import Study

PICTURE = Path(__file__).parent / "results" / "report.png"
WIDTH, HEIGHT = 1000, 760  # of the window, in pixels: the first screen


def main(study: str) -> None:
    """Write the page of a study and photograph its first screen."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_path = write_page(Study(study), Path(folder) / "report.html")
        program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(Path(page_path).as_uri(), timeout=300_000)
        page.wait_for_timeout(3000)
        page.screenshot(path=PICTURE, timeout=300_000)
        browser.close()
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1])
