"""What goes wrong with a simulated phone on demand."""

import asyncio

import pytest

from sipmcast.simulator import Phone
from sipmcast.simulator.faults import FaultError, Faults, parse_faults
from tests.support.small_pbx import FIRST, LOW, Pbx, meet, phone_setup, timings


def test_late_notify_ignored_leaves_a_late_notify_unanswered() -> None:
    def late(pbx: Pbx) -> None:
        pbx.notify_after = 0.3

    pbx, result = meet(late, "late-notify-ignored=0.2")
    assert pbx.answers == pbx.gets == []
    assert (result.outcome, result.notes) == ("failed", ["a NOTIFY was not heard: late-notify-ignored"])


@pytest.mark.parametrize(("faults", "status"), [("answer-4xx", 403), ("answer-4xx=481", 481), ("answer-5xx", 500)])
def test_a_phone_told_to_refuse_answers_so_and_fetches_nothing(faults: str, status: int) -> None:
    pbx, result = meet(faults=faults)
    assert pbx.answers[0].startswith(f"SIP/2.0 {status} ")
    assert pbx.gets == []
    assert (result.outcome, result.stage) == ("failed", "answered")


def test_no_answer_swallows_the_first_notifies_and_takes_the_next() -> None:
    def patient(pbx: Pbx) -> None:
        pbx.resends = 5

    pbx, result = meet(patient, "no-answer=2")
    assert result.outcome == "through"
    assert len(pbx.answers) == 1
    pbx, result = meet(patient, "no-answer")
    assert (result.outcome, pbx.answers) == ("failed", [])


def test_double_sends_each_datagram_twice() -> None:
    pbx, result = meet(faults="double")
    assert result.outcome == "through"
    assert len(pbx.subscribes) == 4
    assert len(pbx.answers) == 2
    assert len(set(pbx.answers)) == 1


def test_with_losses_and_reordering_a_phone_still_gets_through() -> None:
    def patient(pbx: Pbx) -> None:
        pbx.resends = 12

    for seed in ("1", "2", "3"):
        _, result = meet(patient, "lose=0.3,reorder=0.05", seed=seed, timings=timings(wait_assign=3))
        assert (result.outcome, result.reason) == ("through", "")


def test_a_wire_that_loses_everything_is_silent_both_ways() -> None:
    pbx, result = meet(faults="lose=1", timings=timings(t1=0.02, t2=0.05))
    assert pbx.subscribes == []
    assert result.subscribes == 5
    assert result.outcome == "failed"


def test_the_same_seed_throws_the_same_dice() -> None:
    def luck(seed: str) -> list[list[float]]:
        faults = Faults(parse_faults("lose=0.5,reorder,double"), seed)
        return [faults.sending() for _ in range(50)]

    assert luck("7") == luck("7")
    assert luck("7") != luck("8")


def test_reorder_lets_a_later_datagram_overtake() -> None:
    faults = Faults(parse_faults("reorder=0.2"), "1")
    delays = [faults.sending()[0] for _ in range(20)]
    assert delays != sorted(delays)
    assert all(0 <= delay <= 0.2 for delay in delays)


def test_an_aborted_download_is_asked_for_again_once() -> None:
    pbx, result = meet(faults="aborted-download=50")
    assert result.outcome == "through"
    assert pbx.gets[:2] == [f"{FIRST}/cfg{LOW}"] * 2
    assert [one.problem for one in result.downloads[:2]] == ["aborted on purpose", ""]
    assert len(pbx.gets) == 4


def test_an_aborted_download_of_a_large_file_is_seen_by_the_server() -> None:
    sent = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n")
        try:
            for _ in range(300):
                writer.write(b"x" * 10000)
                await writer.drain()
            sent.append("everything")
        except ConnectionError:
            sent.append("broken")
        finally:
            writer.transport.abort()

    async def scene() -> None:
        async with Pbx() as pbx:
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            pbx.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
            await Phone(phone_setup(pbx, "aborted-download=100")).live()
            server.close()

    asyncio.run(scene())
    assert sent == ["broken", "everything"]


def test_crash_after_download_forgets_the_file_and_asks_again_when_notified() -> None:
    def patient(pbx: Pbx) -> None:
        pbx.notified_boots = {1, 2}

    pbx, result = meet(patient, "crash-after-download")
    assert (result.outcome, result.boots) == ("through", 3)
    assert pbx.gets[:2] == [f"{FIRST}/cfg{LOW}"] * 2


def test_a_forgetful_phone_that_is_notified_at_every_boot_fails_after_six() -> None:
    def insistent(pbx: Pbx) -> None:
        pbx.notified_boots = set(range(1, 9))

    pbx, result = meet(insistent, "forgetful")
    assert (result.outcome, result.boots) == ("failed", 6)
    assert pbx.gets == [f"{FIRST}/cfg{LOW}"] * 6


def test_after_a_factory_reset_the_phone_has_to_get_through_again() -> None:
    def patient(pbx: Pbx) -> None:
        pbx.notified_boots = {1, 3}

    pbx, result = meet(patient, "factory-reset")
    assert (result.outcome, result.boots) == ("through", 4)
    assert pbx.gets[:3] == pbx.gets[3:]
    _, result = meet(faults="factory-reset")
    assert (result.outcome, result.boots, result.stage) == ("failed", 3, "answered")


def test_late_fetch_answers_at_once_and_asks_later() -> None:
    _, result = meet(faults="late-fetch=0.3")
    assert result.outcome == "through"
    assert result.timings["fetched"] - result.timings["notified"] >= 0.3


@pytest.mark.parametrize(
    "text",
    [
        "loose",
        "lose=2",
        "lose=x",
        "double=1",
        "answer-4xx=500",
        "answer-4xx,answer-5xx",
        "folder-only,path-as-folder",
        "407=1",
    ],
)
def test_a_fault_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(FaultError):
        parse_faults(text)
