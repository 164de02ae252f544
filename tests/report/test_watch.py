"""A study's page, served while its trials land: who may read it, and that it is renewed."""

import asyncio
import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import pytest

from sweeper.cli.main import main
from sweeper.cli.report import find_study
from sweeper.report.watch import Watch, serve
from sweeper.results.store import Study
from sweeper.results.tables import StudyError
from tests.report.test_answer import study as made_up_study
from tests.report.test_page import browser  # noqa: F401

PATIENCE = 60.0


@contextlib.contextmanager
def served(name, results, port=0):
    """Serves in a thread of its own; gives the page's address."""
    said, ending = [], threading.Event()

    async def run():
        watch = Watch(name, partial(find_study, name, str(results)), 0.01, poll=0.05)
        task = asyncio.create_task(serve(watch, port, said.append))
        while not ending.is_set() and not task.done():
            await asyncio.sleep(0.02)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        until(lambda: said)
        yield said[0]
    finally:
        ending.set()
        thread.join(PATIENCE)


def until(true, patience=PATIENCE):
    end = time.monotonic() + patience
    while not (found := true()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    return found


def ask(address, **headers):
    """Status, headers and text."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=PATIENCE) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def whole(tmp_path):
    """A finished study to copy from."""
    return made_up_study(tmp_path / "whole", {"garm": -0.2}, seeds=3).folder


def begin(whole, folder, trials):
    """A study called `s`, as its run leaves it after so many trials; adds to one that is there."""
    study = Study(folder / "s")
    study.create()
    shutil.copy(whole / "plan.json", folder / "s/plan.json")
    for row in sorted((whole / "trials").glob("*.parquet"))[:trials]:
        study.storage.write(f"trials/{row.name}", row.read_bytes(), once=True)
    return study


def test_only_the_whole_address_is_answered(folder, whole):
    begin(whole, folder, 6)
    with served("s", folder) as address:
        host, token = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/([\w-]{32})/", address).groups()
        assert ask(address)[0] == 200
        wrong = [
            f"{token[:-1]}{'a' if token[-1] != 'a' else 'b'}",
            token[:-1],
            f"{token}x",
            "",
            "%00",
            "é".encode().hex(),
        ]
        for guess in wrong:
            for rest in ("/", "/events", ""):
                status, headers, text = ask(f"{host}/{guess}{rest}")
                assert (status, text) == (404, "the address is not whole\n")
                assert headers["Content-Security-Policy"]
        assert ask(f"{host}/{token}/nothing")[0] == 404


def test_a_page_elsewhere_can_not_borrow_the_name(folder):
    with served("s", folder) as address:
        port = address.split(":")[2].partition("/")[0]
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{int(port) + 1}", ""):
            status, _, text = ask(address, Host=host)
            assert (status, "study" in text) == (421, False), host
        assert ask(address, Host=f"localhost:{port}")[0] == 200


def test_no_other_site_may_read_frame_or_keep_it(folder):
    with served("s", folder) as address:
        _, headers, text = ask(address, Origin="https://evil.example")
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Python" not in headers["Server"]
        assert "connect-src 'self'" in text
        assert "default-src 'none'" in text


def test_it_listens_on_this_machine_alone(folder):
    with served("s", folder) as address:
        port = int(address.split(":")[2].partition("/")[0])
        others = [info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
        for other in {"127.0.0.2", *others} - {"127.0.0.1"}:
            with pytest.raises(OSError), socket.create_connection((other, port), timeout=2):
                pass


def test_addresses_differ(folder):
    with served("s", folder) as one, served("s", folder) as other:
        assert one.rsplit("/", 2)[1] != other.rsplit("/", 2)[1]


def test_a_study_that_does_not_exist_yet_is_waited_for(folder, whole):
    with served("s", folder) as address:
        assert "There is no study s yet." in ask(address)[2]
        begin(whole, folder, 0)
        until(lambda: "6 trials are planned; none has finished yet" in ask(address)[2])
        begin(whole, folder, 5)
        until(lambda: "missing: 1 of 6 trials" in ask(address)[2])
        begin(whole, folder, 6)
        text = until(lambda: "missing: 1 of 6" not in (found := ask(address)[2]) and found)
        assert 'id="forest"' in text


def test_what_can_not_be_read_is_said_until_it_can(folder, whole):
    study = begin(whole, folder, 6)
    with served("s", folder) as address:
        until(lambda: 'id="forest"' in ask(address)[2])
        row = next((study.folder / "trials").glob("*.parquet"))
        good = row.read_bytes()
        row.write_bytes(b"<b>not a table")
        text = until(lambda: ">Waiting<" in (found := ask(address)[2]) and found)
        assert row.name in text
        assert "<b>" not in text
        row.write_bytes(good)
        until(lambda: 'id="forest"' in ask(address)[2])


def test_a_study_that_goes_away_is_said_to_be_gone_until_it_is_there_again(folder, whole):
    study = begin(whole, folder, 6)
    with served("s", folder) as address:
        until(lambda: 'id="forest"' in ask(address)[2])
        study.folder.rename(folder.parent / "elsewhere")
        until(lambda: "There is no study s any more" in ask(address)[2])
        (folder.parent / "elsewhere").rename(study.folder)
        until(lambda: 'id="forest"' in ask(address)[2])


def test_events_say_that_there_is_a_new_page(folder, whole):
    begin(whole, folder, 5)
    with served("s", folder) as address, urllib.request.urlopen(address + "events", timeout=PATIENCE) as events:
        assert events.headers["Content-Type"] == "text/event-stream"
        read = lambda: events.readline().decode().strip()  # noqa: E731
        until(lambda: read().startswith("data: 5 of 6 trials"))
        assert [read(), read()] == ["", "event: page"]
        number = int(read().removeprefix("data: "))
        begin(whole, folder, 6)
        until(lambda: read().startswith("data: 6 of 6 trials"))
        assert [read(), read()] == ["", "event: page"]
        assert int(read().removeprefix("data: ")) > number


def test_a_taken_port_is_named(folder):
    with served("s", folder) as address:
        port = int(address.split(":")[2].partition("/")[0])
        watch = Watch("s", lambda: None, 0.01)
        with pytest.raises(StudyError, match=f"can't listen on port {port}: .*; use --port 0 for a free one"):
            asyncio.run(serve(watch, port, print))


def test_a_study_in_an_object_store_is_watched(s3, whole):
    with served(f"{s3.url}/results/s", "results") as address:
        assert "There is no study" in ask(address)[2]
        study = Study(f"{s3.url}/results/s")
        for path in [*sorted((whole / "trials").glob("*.parquet")), whole / "plan.json"]:
            study.storage.write(path.relative_to(whole).as_posix(), path.read_bytes())
        until(lambda: 'id="forest"' in ask(address)[2])


@pytest.mark.parametrize("words", [["watch", "s", "--port", "x"], ["watch", "s", "--port", "70000"]])
def test_a_port_that_is_none_is_refused(capsys, words):
    with pytest.raises(SystemExit):
        main(words)
    assert "is no port; expected 0 to 65535" in capsys.readouterr().err


def test_a_name_that_no_study_can_have_is_not_waited_for(capsys, folder):
    assert main(["watch", ".hidden", "--results", str(folder)]) == 2
    assert "sweeper: error: " in capsys.readouterr().err


def test_ctrl_c_ends_it(folder):
    command = [sys.executable, "-m", "sweeper", "watch", "s", "--results", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        address = process.stdout.readline().strip()
        assert ask(address)[0] == 200
        with urllib.request.urlopen(address + "events", timeout=PATIENCE) as events:
            events.readline()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert address not in out


def test_a_browser_shows_the_new_page_where_the_reader_is(browser, folder, whole):  # noqa: F811
    page = browser.new_page(viewport={"width": 1400, "height": 700})
    heard = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    with served("s", folder) as address:
        page.goto(address)
        page.get_by_text("There is no study s yet.").wait_for()
        begin(whole, folder, 5)
        # The page is made again while the trials arrive: the one with all five is waited for.
        page.locator("#problems", has_text="missing: 1 of 6").wait_for(timeout=1000 * PATIENCE)
        page.locator("#differences summary").click()
        page.evaluate("scrollTo(0, 600)")
        top = page.evaluate("scrollY")
        begin(whole, folder, 6)
        page.locator("#live", has_text="6 of 6 trials").wait_for(timeout=1000 * PATIENCE)
        page.locator("#problems").wait_for(state="detached")
        assert page.locator("#differences details[open]").count() == 1
        assert abs(page.evaluate("scrollY") - top) < 200
        assert page.locator("#forest + .save button").count() == 2
        assert heard == []
    page.locator("#live", has_text="no longer live").wait_for()
    assert page.locator("#forest").is_visible()
    assert Path(page.url.rsplit("/", 1)[0]).name, "the address stays"
    page.close()
