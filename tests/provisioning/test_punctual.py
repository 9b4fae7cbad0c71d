"""Waiting until a moment: never less, whoever else waits, and with nothing left open."""

import asyncio
import os
import sys

import pytest

from provisioning.door import punctual


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_nobody_comes_back_early_and_no_descriptor_is_left():
    loop = asyncio.get_running_loop()
    before = descriptors()

    async def late_by(seconds: float) -> float:
        moment = loop.time() + seconds
        await punctual.wait_until(moment)
        return loop.time() - moment

    waits = [late_by(number / 3000) for number in range(-3, 60)]
    assert min(await asyncio.gather(*waits)) >= 0
    assert descriptors() == before


async def test_who_goes_away_leaves_nothing_open():
    before = descriptors()
    waiting = asyncio.create_task(punctual.wait_until(asyncio.get_running_loop().time() + 60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert descriptors() == before


@pytest.mark.parametrize("hindrance", ["no descriptor", "not Linux"])
async def test_without_a_timer_it_is_waited_all_the_same(monkeypatch, hindrance):
    if hindrance == "not Linux":
        monkeypatch.setattr(sys, "platform", "darwin")
    else:
        monkeypatch.setattr(punctual, "TFD_FLAGS", -1)  # EINVAL, as EMFILE would be
    loop = asyncio.get_running_loop()
    moment = loop.time() + 0.02
    await punctual.wait_until(moment)
    assert loop.time() >= moment - 0.001  # asyncio's own clock has a resolution
