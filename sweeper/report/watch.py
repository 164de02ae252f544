"""A study's page, served to this machine alone and renewed as trials land.

The server listens on 127.0.0.1, where every user and every page in a browser of this machine could ask: so the address
holds a secret, the answer goes to whoever asks for this host by its name only (a page elsewhere can give a name of its
own this address), and no other site may read, frame or embed it.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from sweeper.report.features import KnownMaps
from sweeper.report.page import page, render
from sweeper.results import leaderboard
from sweeper.results.folder import StorageError
from sweeper.results.store import Study
from sweeper.results.tables import StudyError

POLL_SECONDS = 2.0  # of a folder; a store is asked less often
_SILENCE_SECONDS = 15.0  # then something is sent all the same, which tells whether anybody still listens
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "sweeper",
    "X-Content-Type-Options": "nosniff",
}


class Watch:
    """The newest page of a study, and who waits for the next.

    Attributes:
        token: the secret in the address.
        making: whether a page is being made.

    Args:
        name: the study's name, as the user gave it.
        find: returns the study, or None as long as there is none.
        margin: largest difference that doesn't matter, as a fraction of 1; None: what the study was run with.
        data: where the data set lies, for the maps of its features.
        poll: seconds between two looks at a folder.
    """

    def __init__(
        self,
        name: str,
        find: Callable[[], Study | None],
        margin: float | None,
        data: Path | None = None,
        poll: float = POLL_SECONDS,
    ) -> None:
        self.token = secrets.token_urlsafe(24)
        self.making = False
        self._name, self._find, self._margin, self._data, self._poll = name, find, margin, data, poll
        self._seen: object = None
        self._trouble = ""
        self._maps: KnownMaps = {}
        self._number = 0
        self._status = "no trial yet"
        self._page = self._waiting(f"There is no study {name} yet.")
        self._number = 1
        self._renewed = asyncio.Condition()
        self._ended = False

    async def keep_up(self) -> None:
        """Look for news until cancelled."""
        while True:
            patience = 1
            try:
                study = await asyncio.to_thread(self._find)
                if study is not None:
                    patience = study.storage.patience
                    if (state := await asyncio.to_thread(_state, study)) != self._seen:
                        self._seen = state
                        await self._show(study)
                elif self._seen is not None:
                    self._seen = None
                    gone = f"There is no study {self._name} any more"
                    await self._announce(self._waiting(f"{gone}: it was moved or deleted."), "gone")
            except (StorageError, StudyError) as error:
                if isinstance(error, StorageError):  # may pass without a change of what is there
                    self._seen = None
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    await self._announce(self._waiting(f"{error}."), f"can't read {self._name}")
            await asyncio.sleep(self._poll * patience)

    async def _show(self, study: Study) -> None:
        self.making = True
        try:
            shown, status = await asyncio.to_thread(self._made, study)
        finally:
            self.making = False
        self._trouble = ""
        await self._announce(shown, status)

    def _made(self, study: Study) -> tuple[str, str]:
        """The page as it is now, with the next number, and how far the study is."""
        planned = len((study.read_plan() or {}).get("trials", ()))
        if not study.finished() and not study.failures.single():
            searched = bool((study.read_plan() or {}).get("searches"))
            what = "The search has begun" if searched else f"{planned} trials are planned"
            return self._waiting(f"{what}; none has finished yet."), f"0 of {planned} trials"
        board = leaderboard.derive(study, self._margin)
        done = sum(status == "complete" for status in board.trials["status"].to_pylist())
        shown = render(board, self._data, live=self._number + 1, known_maps=self._maps)
        return shown, f"{done} of {max(planned, done)} trials"

    def _waiting(self, reason: str) -> str:
        nothing: dict[str, Any] = {"tables": (), "caption": "", "notes": ()}
        return page("waiting.html", live=self._number + 1, title=self._name, reason=reason, **nothing)

    async def _announce(self, shown: str, status: str) -> None:
        async with self._renewed:
            self._number += 1
            self._page, self._status = shown, f"{status} · {datetime.now():%H:%M:%S}"
            self._renewed.notify_all()

    def application(self, port: Callable[[], int]) -> web.Application:
        """The web application that serves the page.

        Args:
            port: returns the port that the server listens on; called per request, when it is known.
        """

        @web.middleware
        async def guard(request: web.Request, handler: Callable[[web.Request], object]) -> web.StreamResponse:
            hosts = {f"127.0.0.1:{port()}", f"localhost:{port()}"}
            given = request.path.removeprefix("/").partition("/")[0]
            if request.headers.get("Host") not in hosts:
                return web.Response(status=421, text="ask for 127.0.0.1\n", headers=_HEADERS)
            if not secrets.compare_digest(given.encode(), self.token.encode()):
                return web.Response(status=404, text="the address is not whole\n", headers=_HEADERS)
            return await handler(request)  # type: ignore[misc, no-any-return]

        application = web.Application(middlewares=[guard])
        application.router.add_get("/{token}/", self._answer)
        application.router.add_get("/{token}/events", self._tell)
        application.on_shutdown.append(self._end)
        return application

    async def _answer(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._page, content_type="text/html", headers=_HEADERS)

    async def _tell(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: the number of the newest page, and how far the study is."""
        response = web.StreamResponse(headers=_HEADERS | {"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            async for line in self._news():
                await response.write(line.encode())
        return response

    async def _news(self) -> AsyncIterator[str]:
        told = 0
        while not self._ended:
            if told == self._number:
                yield ": still here\n\n"
            told = self._number
            yield f"event: status\ndata: {self._status}\n\nevent: page\ndata: {told}\n\n"
            async with self._renewed:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SILENCE_SECONDS):
                        await self._renewed.wait_for(lambda: self._ended or self._number != told)  # noqa: B023

    async def _end(self, _application: web.Application) -> None:
        async with self._renewed:
            self._ended = True
            self._renewed.notify_all()


def _state(study: Study) -> object:
    """What changes when there is something new to show."""
    plan = study.storage.changed("plan.json") if study.storage.exists("plan.json") else None
    return plan, study.storage.files("trials"), study.storage.files("failures")


async def serve(watch: Watch, port: int, say: Callable[[str], None]) -> None:
    """Serve until cancelled.

    Args:
        watch: what.
        port: 0 for a free one.
        say: takes the address, and later why the end takes a while.

    Raises:
        StudyError: the port is taken.
    """
    listening: list[int] = []
    runner = web.AppRunner(watch.application(lambda: listening[0]), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    news = asyncio.create_task(watch.keep_up())
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            raise StudyError(f"can't listen on port {port}: {error.strerror}; use --port 0 for a free one") from None
        listening.append(runner.addresses[0][1])
        say(f"http://127.0.0.1:{listening[0]}/{watch.token}/")
        await news
    finally:
        news.cancel()
        if watch.making:
            say("ends when the page that is being made is done; Ctrl-C again ends it at once")
        await runner.cleanup()
