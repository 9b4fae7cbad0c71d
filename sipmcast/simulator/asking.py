"""Asking for files: one GET after another until a readable one is delivered, each on record in the phone's result."""

import asyncio
import random
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from sipmcast.simulator import http_login
from sipmcast.simulator.faults import Faults
from sipmcast.simulator.flash import looks_like_binary, looks_like_xml, redacted
from sipmcast.simulator.http import Aborted, Answer, FetchError, Getter, HttpViolation, target_of
from sipmcast.simulator.options import Timings
from sipmcast.simulator.result import Download, Result

LOGINS_AT_MOST = 3  # for one file: once, and again where only the nonce was refused
BUSY = (429, 500, 502, 503, 504)  # asked again after a moment, like a connection that fails


class Asking:
    """The phone's HTTP side. `trouble` is why the last question brought no file, in words."""

    def __init__(
        self,
        getter: Getter,
        faults: Faults,
        timings: Timings,
        result: Result,
        login: Callable[[], tuple[str, str] | None] = lambda: None,
        dice: random.Random | None = None,
    ):
        self.trouble = ""
        self._login = login
        self._dice = dice or random.Random()
        self._getter = getter
        self._faults = faults
        self._timings = timings
        self._result = result

    async def first_file(self, urls: Iterable[str], why: str, readable: Callable[[bytes], bool]) -> bytes | None:
        """The first file among `urls`, in order, that the phone can read, or None.

        HttpViolation is the caller's to report.
        """
        tried = []
        for url in urls:
            answer = await self._patiently(url, why)
            if answer is not None and answer.status == 200 and readable(answer.body):
                return answer.body
            name = urlsplit(url).path.rpartition("/")[2]
            tried.append(f"{name}: {self._result.downloads[-1].problem}")
        self.trouble = f"{why} brought no file ({', '.join(tried)})"
        return None

    async def _patiently(self, url: str, why: str) -> Answer | None:
        for attempt in range(self._timings.http_attempts):
            if attempt:
                await asyncio.sleep(self._timings.retry_wait)
            answer = await self._once(url, why)
            if answer is not None and answer.status not in BUSY:
                return answer
        return None

    async def _once(self, url: str, why: str) -> Answer | None:
        """One GET, and one more for each login that is asked for."""
        answer = await self._asked(url, why)
        for _ in range(LOGINS_AT_MOST):
            header = self._authorization(answer, url)
            if not header:
                break
            answer = await self._asked(url, why, header)
            if answer is None or not http_login.is_stale(answer.challenge):
                break
        return answer

    def _authorization(self, answer: Answer | None, url: str) -> str:
        """What answers a 401; empty if nothing does."""
        login = self._login()
        if answer is None or answer.status != 401 or login is None or self._faults.has("no-login"):
            return ""
        user, password = login[0], "of another phone" if self._faults.has("wrong-login") else login[1]
        cnonce = f"{self._dice.getrandbits(64):016x}"
        return http_login.authorization(answer.challenge, user, password, "GET", target_of(url), cnonce)

    async def _asked(self, url: str, why: str, authorization: str = "") -> Answer | None:
        """One GET and its record; after the aborted download, one more."""
        began = asyncio.get_running_loop().time()
        abort = int(self._faults.value("aborted-download")) if self._faults.armed("aborted-download") else None
        try:
            answer = await self._getter.get(url, abort, authorization)
        except (FetchError, HttpViolation, Aborted) as error:
            problem = "aborted on purpose" if isinstance(error, Aborted) else str(error)
            took = asyncio.get_running_loop().time() - began
            self._record(why, url, Answer(0, b"", True, took), problem)
            if isinstance(error, HttpViolation):
                raise HttpViolation(f"{redacted(url)}: {error}") from None
            if isinstance(error, Aborted):
                self._faults.used("aborted-download")
                await asyncio.sleep(self._timings.retry_wait)
                return await self._once(url, why)
            return None
        self._record(why, url, answer, _problem(answer))
        return answer

    def _record(self, why: str, url: str, answer: Answer, problem: str) -> None:
        self._result.downloads.append(
            Download(
                boot=self._result.boots,
                why=why,
                path=redacted(url),
                status=answer.status,
                size=len(answer.body),
                closed=answer.closed,
                seconds=answer.seconds,
                problem=problem,
            )  # fmt: skip
        )


def _problem(answer: Answer) -> str:
    if answer.status != 200:
        return str(answer.status)
    if looks_like_xml(answer.body) or looks_like_binary(answer.body):
        return ""
    return "encrypted, cannot be read" if answer.body.startswith(b"Salted__") else "no XML"
