"""Where the simulated phone asks for its file, and which files it takes."""

import asyncio

import pytest

from sipmcast.simulator import Phone, Result
from tests.support.small_pbx import FIRST, LOW, MAC, STEADY, Pbx, document, meet, phone_setup


def test_known_bytes_are_neither_flashed_nor_rebooted_for() -> None:
    def twice(pbx: Pbx) -> None:
        def again(path: str) -> None:
            if path.endswith(".xml"):
                pbx.sip.sendto(pbx.notify(pbx.contact, 2).encode(), pbx.contact)
                pbx.on_get = lambda path: None

        pbx.on_get = again

    pbx, result = meet(twice)
    assert (result.outcome, result.boots) == ("through", 2)
    assert pbx.gets[-1] == f"{FIRST}/cfg{LOW}"  # asked again, and left at that
    assert len(pbx.answers) == 2


def test_new_bytes_at_every_question_fail_after_six_boots() -> None:
    def restless(pbx: Pbx) -> None:
        def renew(path: str) -> None:
            pbx.offer(document(pbx.host, P35=str(len(pbx.gets))))

        pbx.on_get = renew

    pbx, result = meet(restless)
    assert result.outcome == "failed"
    assert "more than 6 times" in result.reason
    assert result.boots == len(pbx.boots) == 6


def test_a_notify_on_the_second_boot_keeps_the_phone_from_its_stored_path() -> None:
    def insistent(pbx: Pbx) -> None:
        pbx.notified_boots = {1, 2}

    pbx, result = meet(insistent)
    assert result.outcome == "failed"
    assert "P237 was not asked" in result.reason
    assert pbx.gets == [f"{FIRST}/cfg{LOW}"] * 2


def test_below_a_folder_the_names_are_asked_in_order_until_one_is_xml() -> None:
    def folder(pbx: Pbx) -> None:
        body = document(pbx.host)
        pbx.offer(body, first="/some/cfg.xml")
        pbx.files[f"/some/cfg{LOW}"] = b"\x00\x00\x00\x16binary"
        pbx.url = f"http://{pbx.host}/some/"

    pbx, result = meet(folder)
    assert result.outcome == "through"
    names = [f"cfg{LOW}", f"cfg{LOW}.xml", "cfggxp1628.xml", "cfg.xml"]
    assert pbx.gets[:4] == [f"/some/{name}" for name in names]
    assert [one.problem for one in result.downloads[:4]] == ["no XML", "404", "404", ""]


def test_prefix_and_postfix_are_glued_to_the_names() -> None:
    def glued(pbx: Pbx) -> None:
        body = document(pbx.host, P234="pre-", P235=".post")
        pbx.offer(body, steady=f"{STEADY}/pre-cfg{LOW}.post")

    pbx, result = meet(glued)
    assert result.outcome == "through"
    assert pbx.gets[-1] == f"{STEADY}/pre-cfg{LOW}.post"


def test_option_66_is_asked_before_the_stored_path_and_not_at_all_with_p145_off() -> None:
    async def scene() -> tuple[Pbx, Result]:
        async with Pbx() as pbx:
            pbx.notified_boots = set()
            pbx.offer(document(pbx.host), first=f"/stored/cfg{LOW}.xml")
            setup = phone_setup(pbx, option66=f"http://{pbx.host}/option", stored_path=f"http://{pbx.host}/stored")
            return pbx, await Phone(setup).live()

    pbx, result = asyncio.run(scene())
    assert (result.outcome, result.delivered_by) == ("through", "stored")
    assert [path.rpartition("/")[0] for path in pbx.gets] == ["/option"] * 4 + ["/stored"] * 2 + [STEADY] * 2


def test_option_66_that_delivers_again_keeps_the_phone_from_its_stored_path() -> None:
    async def scene() -> Result:
        async with Pbx() as pbx:
            pbx.notified_boots = set()
            pbx.offer(document(pbx.host, P145="1"), first=f"/option/cfg{LOW}")
            return await Phone(phone_setup(pbx, option66=f"{pbx.host}/option")).live()

    result = asyncio.run(scene())
    assert (result.outcome, result.delivered_by) == ("failed", "option66")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"P237": ""}, "names no P237"),
        ({"P237": "127.0.0.1:1/p/none/"}, "ends with a slash"),
        ({"P237": "http://127.0.0.1:1/p/none"}, "has a scheme"),
        ({"P212": "0"}, "TFTP"),
        ({"P237": "127.0.0.1:1/p/none"}, "stored brought no file"),
        ({"P237": "127.0.0.1:http/p/none"}, "the address cannot be asked"),
        ({"P237": "127.0.0.1:1\u00e9/p/none"}, "the address cannot be asked"),
    ],
)
def test_a_stored_path_that_leads_nowhere_is_reported(changes: dict[str, str], reason: str) -> None:
    _, result = meet(lambda pbx: pbx.offer(document(pbx.host, **changes)))
    assert (result.outcome, result.boots) == ("failed", 2)
    assert reason in result.reason


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (LOW.encode(), MAC.encode(), "the file is for '000B82273B89'"),
        (b'gs_provision version="1"', b'gs_provision version="2"', "the root is not gs_provision"),
        (b"P35>", b"account>", "account is no P-value"),
        (b"P35>", b"P271>", "P271 comes twice"),
        (b"1001", b"10&01", "not well-formed"),
        (b'config version="1"', b"config", 'config has not version="1"'),
    ],
)
def test_a_file_that_no_phone_may_take_is_refused(before: bytes, after: bytes, reason: str) -> None:
    pbx, result = meet(lambda pbx: pbx.offer(document(pbx.host).replace(before, after)))
    assert (result.outcome, result.boots) == ("failed", 1)
    assert reason in result.reason


def test_a_file_without_mac_is_for_everybody() -> None:
    _, result = meet(lambda pbx: pbx.offer(document(pbx.host, mac=None)))
    assert result.outcome == "through"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n<x/>", "no Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<x/>", "more bytes follow the body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<x/>", "ended after 4 of 9 bytes"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "302"),
        (b"HTTP/1.1 200 OK\r\nContent Length: 4\r\n\r\n<x/>", "not a header line"),
        (b"", "connection closed after 0 bytes"),
    ],
)
def test_a_defect_in_http_is_reported(answer: bytes, reason: str) -> None:
    def broken(pbx: Pbx) -> None:
        pbx.raw[f"{FIRST}/cfg{LOW}"] = answer

    _, result = meet(broken)
    assert result.outcome == "failed"
    assert reason in result.reason
