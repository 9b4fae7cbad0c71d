"""One phone's life: boot, SUBSCRIBE, NOTIFY, fetch, flash, reboot, fetch again, and then quiet or in use.

A boot is a function that says whether another one must follow; whatever ends the phone early is a Failure
with its reason. Every loop has a bound: boots, waits, attempts, and one limit on the whole life. Source:
vendor guide; what follows a Plug and Play without NOTIFY is its last remark.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

from sipmcast.simulator.asking import Asking
from sipmcast.simulator.faults import Faults
from sipmcast.simulator.flash import (
    FILE_KEY,
    OPTION_66_ALLOWED,
    PLUG_AND_PLAY,
    SERVER_PATH,
    FileRefused,
    Flash,
    NoWay,
    looks_like_binary,
    opened,
    read_binary,
)
from sipmcast.simulator.flash import read_file as read_xml
from sipmcast.simulator.hearing import Hearing
from sipmcast.simulator.http import Getter, HttpViolation
from sipmcast.simulator.judge import Order
from sipmcast.simulator.options import PhoneSetup, stored_values
from sipmcast.simulator.result import FAILED, STAGES, STOPPED, THROUGH, Result

MARGIN_SECONDS = 120.0  # what a phone may take besides waiting for its NOTIFY


class Failure(Exception):
    """The phone does not get through; the text is the reason in its result."""


class Phone:
    """A phone from its first boot to its result. `live()` is called once."""

    def __init__(self, setup: PhoneSetup, changed: Callable[["Phone"], None] = lambda phone: None):
        self.setup = setup
        self.result = Result(setup.mac, setup.model, setup.firmware)
        self.flash = Flash()
        self.flash.factory.update(stored_values(setup.stored_path))
        self._changed = changed
        self._timings = setup.timings
        self._faults = Faults(setup.faults, setup.seed)
        agent = f"Grandstream Model HW {setup.model} SW {setup.firmware} DevId {setup.mac.lower()}"
        getter = Getter(setup.address, agent, self._timings.http_timeout, self._timings.close_wait, setup.ca)
        dice = random.Random(f"{setup.seed}/login")
        self._asking = Asking(getter, self._faults, self._timings, self.result, self.flash.http_login, dice)
        self._hearing = Hearing(setup, self._faults, self.result, self._reach, self._break, self.flash.account)
        self._boots_left = setup.boots_max
        self._flashed_before = False  # before this boot
        self._began = 0.0
        self._stays_until: float | None = None  # a time of the loop, from the moment that it is through
        self._ended: asyncio.Future[tuple[str, str]] | None = None

    async def live(self) -> Result:
        """Run to the end, whatever it is; the result says which."""
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        self._began = loop.time() + self.setup.start_after
        life: asyncio.Future[None] = asyncio.ensure_future(self._life())
        limit = self._limit()
        try:
            either: set[asyncio.Future[Any]] = {life, self._ended}
            await asyncio.wait(either, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if life.done() and not self._ended.done():
                self._conclude(life)
            self._end_early(FAILED, f"not through within {limit:g} s: {self._trouble()}")
            self.result.outcome, self.result.reason = self._ended.result()
        finally:
            life.cancel()
            await asyncio.wait({life})
            self._hearing.close()
        self._changed(self)
        return self.result

    @property
    def is_through(self) -> bool:
        """Whether it has proved its file; with `stay` it lives on."""
        return self._stays_until is not None

    def stop(self) -> None:
        """End the phone from outside; its result says so."""
        self._end_early(STOPPED, "stopped")

    def _limit(self) -> float:
        rounds = 2 if self._faults.has("factory-reset") else 1
        patience = self.setup.timeout or rounds * (self._timings.wait_assign + MARGIN_SECONDS)
        return self.setup.start_after + patience + self.setup.stay

    def _conclude(self, life: "asyncio.Future[None]") -> None:
        error = life.exception()
        if error is not None and not isinstance(error, Failure):
            raise error
        self._end(FAILED if error else THROUGH, str(error or ""))

    def _end_early(self, outcome: str, reason: str) -> None:
        """End from outside: what is through stays through."""
        self._end(*((THROUGH, "") if self.is_through else (outcome, reason)))

    def _break(self, reason: str) -> None:
        self._end(FAILED, reason)

    def _end(self, outcome: str, reason: str) -> None:
        """Decide the outcome; the first decision stays."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result((outcome, reason))

    def _reach(self, stage: str) -> None:
        if STAGES.index(stage) > STAGES.index(self.result.stage):
            self.result.stage = stage
            self.result.timings[stage] = asyncio.get_running_loop().time() - self._began
            self._changed(self)

    async def _life(self) -> None:
        await asyncio.sleep(self.setup.start_after)
        try:
            await self._hearing.open()
        except OSError as error:
            raise Failure(f"cannot use the address {self.setup.address}: {error.strerror}") from None
        while True:
            try:
                again = await self._boot()
            except (FileRefused, HttpViolation, NoWay) as error:
                raise Failure(str(error)) from None
            if not again and not self._faults.armed("factory-reset"):
                return
            if not again:
                self._reset()
            await self._go_down()

    async def _boot(self) -> bool:
        """One boot; true if the phone restarts, false if it is through. Raises what stops it."""
        if self._boots_left == 0:
            most = self.setup.boots_max
            raise Failure(f"wants to boot more than {most} times: it restarts without coming to rest")
        self._boots_left -= 1
        self.result.boots += 1
        self._flashed_before = bool(self.flash.checksum)
        self._asking.trouble = ""
        self._reach("booted")
        booted = asyncio.get_running_loop().time()
        self._hearing.wake(subscribe=self.flash.get(PLUG_AND_PLAY) != "0")
        delivered = restarts = steady = False
        order = await self._hearing.first_order()
        if order is not None:
            delivered, restarts = await self._obey(order)
        if not delivered and not restarts:
            steady, restarts = await self._provision_normally()
        return restarts or await self._rest(steady, booted)

    async def _obey(self, order: Order) -> tuple[bool, bool]:
        """Do what a NOTIFY wants: (it brought the file that it named, the phone restarts)."""
        self.result.obeyed(order.why)
        if order.why == "reboot":
            self._boots_left += 1  # who is told to restart is not restless
            return False, True
        if self._faults.has("late-fetch"):
            await asyncio.sleep(self._faults.value("late-fetch"))
        came, restarts, _ = await self._bring(self._places(order), order.why)
        return came and not order.is_command, restarts

    async def _bring(self, urls: Sequence[str], why: str) -> tuple[bool, bool, bool]:
        """Ask for these files: (one came, the phone restarts, it was the one that it had flashed before it started).

        A binary file is applied at once, then the phone goes on with the XML request, at the server that the binary
        file may just have named (formats.md c8). It remembers the checksum of one file only, the last one.
        """
        body = await self._asking.first_file(urls, why, self._is_readable)
        if body is None:
            return False, False, False
        known = self._flashed_before and self.flash.knows(body)
        restarts = self._take(body, why)
        if looks_like_binary(body):
            folder = self.flash.stored_url()
            names = [name for name in self._below(folder) if name.endswith(".xml")] if folder else []
            trouble = self._asking.trouble
            xml = await self._asking.first_file(names, why, lambda one: self._text_of(one) is not None)
            self._asking.trouble = trouble
            if xml is not None:
                known = self._flashed_before and self.flash.knows(xml)
                restarts = self._take(xml, why) or restarts
        return True, restarts, known

    def _is_readable(self, body: bytes) -> bool:
        return looks_like_binary(body) or self._text_of(body) is not None

    def _text_of(self, body: bytes) -> bytes | None:
        return opened(body, self.flash.get(FILE_KEY), "sha256" if self._faults.has("sha256-files") else "md5")

    def _places(self, order: Order) -> list[str]:
        """What to ask for, in order. Source: vendor guide, step 4; formats.md f33 to f36, g1, g2."""
        if order.is_command:
            folder = self.flash.stored_url()
            return self._below(folder) if folder else []
        path = order.url.partition("?")[0]
        if path.endswith("/"):
            return self._below(path)
        if self._faults.has("folder-only"):
            self.result.note("a URL that is no folder was ignored")
            return []
        return self._below(f"{path}/") if self._faults.has("path-as-folder") else [order.url]

    async def _provision_normally(self) -> tuple[bool, bool]:
        """Option 66, else the stored path: (the flashed file came by its own P237, the phone restarts)."""
        if self.setup.option66 and self.flash.get(OPTION_66_ALLOWED) != "0":
            folder = self.flash.option_66_url(self.setup.option66)
            came, restarts, _ = await self._bring(self._below(folder), "option66")
            if came:
                return False, restarts
        folder = self.flash.stored_url()
        if not folder:
            return False, False
        _, restarts, steady = await self._bring(self._below(folder), "stored")
        return steady, restarts

    def _below(self, folder: str) -> list[str]:
        names = self.flash.names(self.setup.mac, self.setup.model)
        if self._faults.has("old-order"):
            names[:2] = reversed(names[:2])
        return [folder + name for name in names]

    def _take(self, body: bytes, why: str) -> bool:
        """Flash a file that is new; true if the phone restarts. Source: vendor guide, step 5."""
        self._reach("fetched")
        if self._faults.armed("crash-after-download"):
            self._faults.used("crash-after-download")
            self.result.note("power was lost before the file was flashed")
            return True
        if self.flash.knows(body):
            return False
        text = self._text_of(body)
        self.flash.write(body, read_binary(body, self.setup.mac) if text is None else read_xml(text, self.setup.mac))
        self.result.delivered_by = why
        return True

    async def _rest(self, steady: bool, booted: float) -> bool:
        """Be quiet if all is well, else wait for a NOTIFY; orders are obeyed. True if it restarts."""
        until = asyncio.get_running_loop().time() + self._timings.quiet
        if not self._flashed_before:
            until = booted + self._timings.wait_assign
        if steady:
            self._reach("applied")
        if await self._obey_until(until):
            return True
        if steady:
            return await self._stay()
        why = self._why_not_steady() if self._flashed_before else self._why_no_file()
        if self._stays_until is None or not self._flashed_before:
            raise Failure(why)
        self.result.note(why)  # in use: it goes on with the file that it has
        return await self._obey_until(self._stays_until)

    async def _stay(self) -> bool:
        """It is through; what comes now is a phone in use. True if it restarts."""
        self._boots_left = self.setup.boots_max
        if self._faults.armed("factory-reset"):
            return False
        if self._stays_until is None:
            self._stays_until = asyncio.get_running_loop().time() + self.setup.stay
        return await self._obey_until(self._stays_until)

    async def _obey_until(self, until: float) -> bool:
        loop = asyncio.get_running_loop()
        while (left := until - loop.time()) > 0:
            order = await self._hearing.order_within(left)
            if order is not None and (await self._obey(order))[1]:
                return True
        return False

    async def _go_down(self) -> None:
        self._hearing.sleep()
        if self._faults.has("forgetful"):
            self.flash.forget()
        await asyncio.sleep(self._timings.reboot)
        if self.flash.checksum:
            self._reach("rebooted")

    def _reset(self) -> None:
        self._faults.used("factory-reset")
        self.flash.forget()
        self._boots_left = self.setup.boots_max
        self.result.note(f"through after {self.result.boots} boots, then reset to factory values")
        self.result.stage = "waiting"

    def _why_not_steady(self) -> str:
        if not self.flash.get(SERVER_PATH):
            return "the file names no P237, so there is nothing to ask after the reboot"
        if self._asking.trouble:
            return f"after the reboot, {self._asking.trouble}"
        return "after the reboot a NOTIFY or option 66 brought a file, so P237 was not asked"

    def _why_no_file(self) -> str:
        return f"no file within {self._timings.wait_assign:g} s of the boot: {self._trouble()}"

    def _trouble(self) -> str:
        return self._asking.trouble or self._hearing.trouble() or "no NOTIFY came"
