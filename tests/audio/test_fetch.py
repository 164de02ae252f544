"""Fetching from a local server that interrupts, corrupts, forgets and forbids."""

import hashlib
import io
import json
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sweeper.audio import datasets, fetch
from sweeper.audio.datasets import esc50
from sweeper.audio.datasets.base import Download
from sweeper.audio.fetch import FetchError, download, resolve_pointers


@dataclass
class Site:
    """Files by path, and how to misbehave."""

    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)  # bytes sent before each next response is dropped
    status: int | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def etag(self, path: str) -> str:
        return self.etags.get(path, f'"{hashlib.md5(self.files[path]).hexdigest()}"')


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        wanted = self.headers.get("Range")
        site.requests.append((self.path, wanted))
        if site.status or self.path not in site.files:
            self.send_error(site.status or 404)
            return
        content, etag, start = site.files[self.path], site.etag(self.path), 0
        if wanted and site.ranges and self.headers.get("If-Range") == etag:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if site.cut_after:
            body = body[: site.cut_after.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *_args) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.site = Site(url=f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.site  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch) -> None:
    monkeypatch.setattr(fetch, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(fetch, "ATTEMPTS", 3)
    monkeypatch.setattr(fetch, "CHUNK", 1000)


CONTENT = np.random.default_rng(0).bytes(50_000)
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


def item(site: Site, checksum: str | None = MD5) -> Download:
    site.files.setdefault("/a.zip", CONTENT)
    return Download(f"{site.url}/a.zip", "a.zip", 1, checksum)


def test_a_plain_download(site, tmp_path):
    path = download(item(site), tmp_path, progress=False)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]
    assert site.requests == [("/a.zip", None)]


def test_what_is_there_is_not_fetched_again(site, tmp_path):
    download(item(site), tmp_path, progress=False)
    download(item(site), tmp_path, progress=False)
    assert len(site.requests) == 1


def test_interruptions_are_resumed_where_they_happened(site, tmp_path):
    site.cut_after = [20_000, 5_000, 12_000]
    assert download(item(site), tmp_path, progress=False).read_bytes() == CONTENT
    starts = [int(wanted[6:-1]) for _path, wanted in site.requests[1:]]
    assert len(starts) == 3
    assert starts == sorted(starts)
    assert starts[0] > 15_000
    assert starts[-1] > 30_000


def test_a_later_run_continues_an_earlier_one(site, tmp_path):
    site.cut_after = [20_000, 0, 0, 0, 0, 0]
    with pytest.raises(FetchError, match="run the same command again to continue"):
        download(item(site), tmp_path, progress=False)
    kept = (tmp_path / "a.zip.part").stat().st_size
    assert kept > 15_000
    site.requests.clear()
    site.cut_after = []
    assert download(item(site), tmp_path, progress=False).read_bytes() == CONTENT
    assert site.requests == [("/a.zip", f"bytes={kept}-")]


def test_a_file_that_changed_in_between_is_fetched_whole(site, tmp_path):
    old, new = np.random.default_rng(1).bytes(50_000), CONTENT
    site.files["/a.zip"] = old
    site.cut_after = [20_000, 0, 0, 0, 0, 0]
    with pytest.raises(FetchError):
        download(item(site), tmp_path, progress=False)
    site.files["/a.zip"], site.cut_after = new, []
    assert download(item(site), tmp_path, progress=False).read_bytes() == CONTENT


@pytest.mark.parametrize("weakness", ["no ranges", "weak etag"])
def test_a_server_that_cannot_resume_sends_all_of_it(site, tmp_path, weakness):
    if weakness == "no ranges":
        site.ranges = False
    else:
        site.etags["/a.zip"] = 'W/"weak"'
    site.cut_after = [20_000]
    assert download(item(site), tmp_path, progress=False).read_bytes() == CONTENT


def test_corruption_is_caught_and_not_kept(site, tmp_path):
    wanted = item(site)
    site.files["/a.zip"] = CONTENT[:-1] + b"?"
    with pytest.raises(FetchError, match=f"doesn't have the checksum {MD5}; run the same command again"):
        download(wanted, tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []
    site.files["/a.zip"] = CONTENT
    assert download(wanted, tmp_path, progress=False).read_bytes() == CONTENT


def test_a_corrupted_part_file_is_caught_too(site, tmp_path):
    site.cut_after = [20_000, 0, 0, 0, 0, 0]
    with pytest.raises(FetchError):
        download(item(site), tmp_path, progress=False)
    with (tmp_path / "a.zip.part").open("r+b") as part:
        part.write(b"corrupt")
    site.cut_after = []
    with pytest.raises(FetchError, match="doesn't have the checksum"):
        download(item(site), tmp_path, progress=False)
    assert download(item(site), tmp_path, progress=False).read_bytes() == CONTENT


def test_without_a_published_checksum_the_first_download_is_recorded(site, tmp_path):
    download(item(site, checksum=None), tmp_path, progress=False).unlink()
    recorded = json.loads((tmp_path / "checksums.json").read_text())
    assert recorded == {f"{site.url}/a.zip": f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"}
    download(item(site, checksum=None), tmp_path, progress=False).unlink()
    site.files["/a.zip"] = b"another file"
    with pytest.raises(FetchError, match=r"or remove its line from .*checksums.json"):
        download(item(site, checksum=None), tmp_path, progress=False)


@pytest.mark.parametrize(("status", "reason"), [(404, "404"), (403, "403"), (500, "500")])
def test_refusals_are_one_line_with_the_address(site, tmp_path, status, reason):
    wanted = item(site)
    site.status = status
    with pytest.raises(FetchError, match=f"{site.url}/a.zip: the server answers {reason}") as caught:
        download(wanted, tmp_path, progress=False)
    assert "\n" not in str(caught.value)


def test_no_server_at_all(tmp_path):
    nowhere = Download("http://127.0.0.1:9/a.zip", "a.zip", 1, None)
    with pytest.raises(FetchError, match="run the same command again") as caught:
        download(nowhere, tmp_path, progress=False)
    assert len(str(caught.value)) < 300


def esc50_archive() -> bytes:
    """A small ESC-50, in the folder that GitHub puts its archives' content in."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        rows = [("1-100-A-0", 1, 0, "dog"), ("2-200-A-1", 2, 1, "rooster")]
        table = "filename,fold,target,category,esc10,src_file,take\n"
        for stem, fold, target, category in rows:
            table += f"{stem}.wav,{fold},{target},{category},True,{stem[2:5]},A\n"
            sound = io.BytesIO()
            soundfile.write(sound, np.full(100, 0.1 * fold), 8000, format="WAV")
            archive.writestr(f"ESC-50-master/audio/{stem}.wav", sound.getvalue())
        archive.writestr("ESC-50-master/meta/esc50.csv", table)
    return buffer.getvalue()


def serve(monkeypatch, module, site: Site, path: str, content: bytes) -> None:
    site.files[path] = content
    here = Download(f"{site.url}{path}", path[1:], 1, None)
    monkeypatch.setattr(module, "DEFINITION", replace(module.DEFINITION, downloads=(here,)))


def test_fetch_unpacks_into_the_folder_and_it_loads(site, tmp_path, monkeypatch, cache):
    serve(monkeypatch, esc50, site, "/one.zip", esc50_archive())
    folder = tmp_path / "new" / "esc50"
    fetch.fetch("esc50", folder, progress=False)
    assert [clip.clip_id for clip in datasets.load("esc50", folder).clips] == ["1-100-A-0", "2-200-A-1"]
    assert not (cache / "downloads" / "one.zip").exists()
    site.requests.clear()
    fetch.fetch("esc50", folder, progress=False)
    assert site.requests == []


def test_fetch_does_not_touch_a_folder_in_other_use(site, tmp_path, monkeypatch):
    serve(monkeypatch, esc50, site, "/two.zip", esc50_archive())
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(FetchError, match="was not made by fetch"):
        fetch.fetch("esc50", tmp_path, progress=False)
    assert site.requests == []
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_an_unsafe_archive_leaves_nothing(site, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("ok.txt", "fine")
        archive.writestr("../evil.txt", "evil")
    serve(monkeypatch, esc50, site, "/evil.zip", buffer.getvalue())
    with pytest.raises(FetchError, match=r"'../evil.txt' would land outside"):
        fetch.fetch("esc50", tmp_path / "esc50", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_demo_and_folder_have_nothing_to_fetch(tmp_path):
    for name in ("demo", "folder"):
        with pytest.raises(FetchError, match="nothing to download"):
            fetch.fetch(name, tmp_path / name, progress=False)


def cremad_archive(files: dict[str, bytes]) -> bytes:
    """The repository as GitHub archives it: pointers in place of audio."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:

        def add(name: str, content: bytes) -> None:
            info = tarfile.TarInfo(f"CREMA-D-master/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))

        add(".gitattributes", b"*.wav filter=lfs\n")
        for name, content in files.items():
            oid = hashlib.sha256(content).hexdigest()
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
            add(name, pointer.encode())
    return buffer.getvalue()


def sound_bytes(level: float) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(1000, level), 16000, format="WAV")
    return buffer.getvalue()


def test_cremads_pointers_become_audio_and_a_second_run_gets_what_failed(site, tmp_path, monkeypatch):
    from sweeper.audio.datasets import cremad

    names = [f"AudioWAV/10{i:02}_IEO_ANG_LO.wav" for i in range(1, 6)]
    sounds = {name: sound_bytes(0.01 * i) for i, name in enumerate(names, 1)}
    serve(monkeypatch, cremad, site, "/crema.tar.gz", cremad_archive(sounds))
    monkeypatch.setattr(cremad, "DEFINITION", replace(cremad.DEFINITION, lfs_url=f"{site.url}/media/"))
    site.files |= {f"/media/{name}": content for name, content in sounds.items()}
    site.files[f"/media/{names[1]}"] = b"corrupted on the way"
    del site.files[f"/media/{names[3]}"]
    folder = tmp_path / "cremad"
    with pytest.raises(FetchError, match=r"2 of 5 files failed, first .*1002_IEO_ANG_LO.*run it again"):
        fetch.fetch("cremad", folder, progress=False)
    inside = folder / "CREMA-D-master"
    assert (inside / names[1]).read_bytes().startswith(b"version https://git-lfs")
    site.files |= {f"/media/{name}": content for name, content in sounds.items()}
    site.requests.clear()
    fetch.fetch("cremad", folder, progress=False)
    assert {path for path, _range in site.requests} == {f"/media/{names[1]}", f"/media/{names[3]}"}
    assert {name: (inside / name).read_bytes() for name in names} == sounds
    assert len(datasets.load("cremad", folder).clips) == 5


def test_pointers_in_an_own_clone_are_resolved_in_place(site, tmp_path):
    content = sound_bytes(0.5)
    pointer = tmp_path / "AudioWAV" / "a b.wav"
    pointer.parent.mkdir()
    oid = hashlib.sha256(content).hexdigest()
    pointer.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 1\n")
    untouched = tmp_path / "AudioWAV" / "c.wav"
    untouched.write_bytes(sound_bytes(0.1))
    site.files["/AudioWAV/a%20b.wav"] = content
    resolve_pointers(tmp_path, f"{site.url}/", progress=False)
    assert pointer.read_bytes() == content
    assert untouched.read_bytes() == sound_bytes(0.1)


def test_published_addresses_and_checksums_are_well_formed():
    for name in datasets.NAMES:
        for published in datasets.definition(name).downloads:
            assert Path(published.file_name).name == published.file_name
            if published.checksum is not None:
                assert re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", published.checksum)
