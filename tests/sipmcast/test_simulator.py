"""The phone simulator against a small server written here: real datagrams on loopback, real HTTP, no mocks.

The server shares no code with the simulator or with ours; it knows just enough SIP to be right, and wrong.
"""

import asyncio
import dataclasses
import io
import itertools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sipmcast.simulator import Fleet, Options, OptionsError, Phone, PhoneSetup, Result, Timings, run
from sipmcast.simulator.faults import FAULTS, FaultError, Faults, parse_faults
from sipmcast.simulator.fleet import setups
from sipmcast.simulator.messages import Subscribe

GROUP = "224.0.1.75"
MAC = "000B82273B89"
LOW = MAC.lower()
ROOT = Path(__file__).resolve().parents[2]
FAST = Timings(
    t1=0.15, t2=0.3, pnp_wait=0.2, wait_assign=0.5, reboot=0.02, quiet=0.12,
    http_timeout=3.0, http_attempts=2, retry_wait=0.02, close_wait=0.3,
)  # fmt: skip
FIRST, STEADY = "/p/firstSecret1234567890", "/p/steadySecret123456789"

GUIDE_SUBSCRIBE = (
    "SUBSCRIBE sip:MAC%3A000B82273B89@224.0.1.75 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 172.18.32.197:5060;branch=z9hG4bK458721093;rport\r\n"
    "From: <sip:MAC%3A000B82273B89@224.0.1.75>;tag=1692014507\r\n"
    "To: <sip:MAC%3A000B82273B89@224.0.1.75>\r\n"
    "Call-ID: 1278367207-5060-1@BHC.BI.DC.BJH\r\n"
    "CSeq: 20000 SUBSCRIBE\r\n"
    "Contact: <sip:172.18.32.197:5060>\r\n"
    "X-Grandstream-PBX: true\r\n"
    "Max-Forwards: 70\r\n"
    "User-Agent: Grandstream GXP1628 1.0.2.7\r\n"
    "Expires: 0\r\n"
    "Supported: replaces, path, timer\r\n"
    'Event: ua-profile;profile-type="device";vendor="Grandstream";model="GXP1628";version="1.0.2.7"\r\n'
    "Accept: application/url\r\n"
    "Allow: INVITE, ACK, OPTIONS, CANCEL, BYE, SUBSCRIBE, NOTIFY, INFO, REFER, UPDATE, MESSAGE\r\n"
    "Content-Length: 0\r\n\r\n"
)


def field(message: str, name: str) -> str:
    """One header's value, or an empty text."""
    found = re.search(rf"^{name}:[ ]*(.*?)\r$", message, re.MULTILINE)
    return found[1] if found else ""


def document(host: str, folder: str = STEADY, mac: str | None = LOW, **values: str) -> bytes:
    """A plain configuration file whose P237 leads back to `folder`."""
    settings = {"P271": "1", "P35": "1001", "P237": host + folder, "P212": "1", "P145": "0", **values}
    items = "".join(f"<{name}>{value}</{name}>" for name, value in settings.items())
    owner = f"<mac>{mac}</mac>" if mac else ""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<gs_provision version="1">{owner}<config version="1">'
    return (text + items + "</config></gs_provision>").encode()


class Pbx:
    """Hears SUBSCRIBEs on the group, answers, notifies once, serves files; each habit can be a bad one."""

    def __init__(self) -> None:
        self.statuses: list[int] = []  # answers before the first 200; 0 is silence
        self.alter_answer: Callable[[str], str] = lambda text: text
        self.alter_notify: Callable[[str], str] = lambda text: text
        self.notified_boots = {1}  # counted by Call-ID
        self.notify_after = 0.0
        self.resends = 0  # of a NOTIFY, until it is answered
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.raw: dict[str, bytes] = {}  # whole HTTP answers, head and all
        self.on_get: Callable[[str], None] = lambda path: None
        self.subscribes: list[str] = []
        self.heard_at: list[float] = []
        self.boots: list[str] = []
        self.answers: list[str] = []  # to NOTIFYs
        self.gets: list[str] = []
        self.agents: set[str] = set()
        self.contact = ("", 0)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Pbx":
        loop = asyncio.get_running_loop()
        self.group = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.group.bind((GROUP, 0))
        member = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton("127.0.0.1"))
        self.group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self.group.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sip.bind(("127.0.0.1", 0))
        self.sip.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        for sock, heard in ((self.group, self._subscribed), (self.sip, self._answered)):
            sock.setblocking(False)
            loop.add_reader(sock, self._drain, sock, heard)
        self.http = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.group.getsockname()[1]
        self.host = f"127.0.0.1:{self.http.sockets[0].getsockname()[1]}"
        self.offer(document(self.host))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for sock in (self.group, self.sip):
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self.http.close()

    def offer(self, body: bytes, first: str = f"{FIRST}/cfg{LOW}", steady: str = f"{STEADY}/cfg{LOW}.xml") -> None:
        """Serve one file by a first path, which goes into the NOTIFY, and by a steady one."""
        self.url = f"http://{self.host}{first}"
        self.files = {first: body, steady: body}

    def _drain(self, sock: socket.socket, heard: Callable[[str, tuple[str, int]], None]) -> None:
        while True:
            try:
                data, source = sock.recvfrom(65535)
            except BlockingIOError:
                return
            heard(data.decode(), source)

    def _subscribed(self, text: str, source: tuple[str, int]) -> None:
        self.subscribes.append(text)
        self.heard_at.append(asyncio.get_running_loop().time())
        call_id = field(text, "Call-ID")
        new = call_id not in self.boots
        if new:
            self.boots.append(call_id)
        status = self.statuses.pop(0) if self.statuses else 200
        if status:
            answer = self.alter_answer(self._answer(text, source, status))
            self.sip.sendto(answer.encode(), source)
        if new and len(self.boots) in self.notified_boots:
            self.contact = source
            self.start(self._notify(source, len(self.boots)))

    def _answer(self, text: str, source: tuple[str, int], status: int) -> str:
        via = field(text, "Via").replace(";rport", f";rport={source[1]};received={source[0]}")
        tag = field(text, "Call-ID").partition("-")[0]
        return (
            f"SIP/2.0 {status} Whatever\r\nVia: {via}\r\nFrom: {field(text, 'From')}\r\n"
            f"To: {field(text, 'To')};tag={tag}\r\nCall-ID: {field(text, 'Call-ID')}\r\n"
            f"CSeq: {field(text, 'CSeq')}\r\nExpires: 0\r\nContent-Length: 0\r\n\r\n"
        )

    def start(self, work: Awaitable[None]) -> None:
        """Do something beside, until the server ends."""
        self._tasks.add(asyncio.ensure_future(work))

    async def _notify(self, to: tuple[str, int], number: int) -> None:
        await asyncio.sleep(self.notify_after)
        before = len(self.answers)
        for _ in range(1 + self.resends):
            self.sip.sendto(self.alter_notify(self.notify(to, number)).encode(), to)
            await asyncio.sleep(0.05)
            if len(self.answers) > before:
                return

    def notify(self, to: tuple[str, int], number: int) -> str:
        """A correct NOTIFY; the same number gives the same bytes."""
        host, port = self.sip.getsockname()
        return (
            f"NOTIFY sip:{to[0]}:{to[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKn{number};rport\r\n"
            f"Max-Forwards: 70\r\nContact: <sip:{host}:{port}>\r\nTo: <sip:{to[0]}:{to[1]}>\r\n"
            f"From: <sip:{host}:{port}>;tag=e32c0d70\r\nCall-ID: n{number}-{to[1]}\r\nCSeq: 1 NOTIFY\r\n"
            "Content-Type: application/url\r\nEvent: ua-profile\r\n"
            f"Subscription-State: terminated;reason=timeout\r\n"
            f"Content-Length: {len(self.url)}\r\n\r\n{self.url}"
        )

    def _answered(self, text: str, source: tuple[str, int]) -> None:
        self.answers.append(text)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        self.agents.add(field(head, "User-Agent"))
        self.gets.append(path)
        body = self.files.get(path)
        answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        if body is not None:
            answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s" % (
                len(body),
                body,
            )
        writer.write(self.raw.get(path, answer))
        self.on_get(path)
        writer.close()


def phone_setup(pbx: Pbx, faults: str = "", **changes: object) -> PhoneSetup:
    """A fast GXP1628 on loopback that talks to this server."""
    setup = PhoneSetup(mac=MAC, port=pbx.port, faults=parse_faults(faults), timings=FAST, timeout=15.0)
    return dataclasses.replace(setup, **changes)  # type: ignore[arg-type]


def meet(prepare: Callable[[Pbx], None] = lambda pbx: None, faults: str = "", **changes: object) -> tuple[Pbx, Result]:
    """One phone and one server, from the first boot to the phone's result."""

    async def scene() -> tuple[Pbx, Result]:
        async with Pbx() as pbx:
            prepare(pbx)
            return pbx, await Phone(phone_setup(pbx, faults, **changes)).live()

    return asyncio.run(scene())


def timings(**changes: float) -> Timings:
    """The fast timings with some of them changed."""
    return dataclasses.replace(FAST, **changes)  # type: ignore[arg-type]


# The way through


def test_a_phone_is_through_after_exactly_two_boots() -> None:
    pbx, result = meet()
    assert (result.outcome, result.reason, result.boots) == ("through", "", 2)
    assert result.stage == "applied"
    assert result.delivered_by == "notify"
    assert pbx.gets == [f"{FIRST}/cfg{LOW}", f"{STEADY}/cfg{LOW}", f"{STEADY}/cfg{LOW}.xml"]
    assert pbx.agents == {f"Grandstream Model HW GXP1628 SW 1.0.2.7 DevId {LOW}"}
    assert len(pbx.boots) == len(pbx.subscribes) == 2
    assert list(result.timings) == ["booted", "answered", "notified", "fetched", "rebooted", "applied"]


def test_the_subscribe_is_the_guides_byte_for_byte() -> None:
    message = Subscribe(
        mac=MAC, model="GXP1628", firmware="1.0.2.7", group=GROUP, host="172.18.32.197", port=5060,
        branch="z9hG4bK458721093", tag="1692014507", call_id="1278367207-5060-1@BHC.BI.DC.BJH",
    )  # fmt: skip
    assert message.to_bytes() == GUIDE_SUBSCRIBE.encode()


def test_identifiers_have_the_guides_shapes_and_are_new_at_every_boot() -> None:
    pbx, result = meet()
    port = result.contact.partition(":")[2]
    for text in pbx.subscribes:
        assert re.fullmatch(rf"[0-9]+-{port}-1@BCH\.A\.A\.B", field(text, "Call-ID"))
        assert re.fullmatch(rf"SIP/2.0/UDP {result.contact};branch=z9hG4bK[0-9]+;rport", field(text, "Via"))
        assert field(text, "CSeq") == "20000 SUBSCRIBE"
        assert field(text, "Contact") == f"<sip:{result.contact}>"
    assert len({field(text, "Via") for text in pbx.subscribes}) == 2


def test_the_answer_to_a_notify_echoes_it_and_adds_rport_received_and_a_tag() -> None:
    pbx, _ = meet()
    (answer,) = pbx.answers
    host, port = "127.0.0.1", int(re.search(r"UDP 127\.0\.0\.1:([0-9]+)", answer)[1])  # type: ignore[index]
    assert answer.startswith("SIP/2.0 200 OK\r\n")
    assert field(answer, "Via") == f"SIP/2.0/UDP {host}:{port};branch=z9hG4bKn1;rport={port};received={host}"
    assert re.fullmatch(rf"<sip:{host}:[0-9]+>;tag=[0-9]+", field(answer, "To"))
    assert field(answer, "CSeq") == "1 NOTIFY"
    assert field(answer, "Content-Length") == "0"


def test_the_report_never_holds_the_secret_of_a_path() -> None:
    _, result = meet()
    text = json.dumps(result.as_json(), ensure_ascii=False)
    assert "Secret" not in text
    assert [one["path"] for one in result.as_json()["downloads"]][0] == f"/p/…/cfg{LOW}"


def test_a_notify_that_comes_late_is_still_obeyed() -> None:
    def late(pbx: Pbx) -> None:
        pbx.notify_after = 0.6  # long after the PnP wait

    _, result = meet(late, timings=timings(wait_assign=3))
    assert result.outcome == "through"


# SUBSCRIBE


def test_subscribe_is_sent_five_times_with_the_same_bytes_and_growing_gaps() -> None:
    def silent(pbx: Pbx) -> None:
        pbx.statuses = [0] * 99
        pbx.notified_boots = set()

    pbx, result = meet(silent, timings=timings(t1=0.05, t2=0.4))
    assert len(pbx.subscribes) == 5
    assert len(set(pbx.subscribes)) == 1
    gaps = [after - before for before, after in itertools.pairwise(pbx.heard_at)]
    for gap, least in zip(gaps, (0.05, 0.1, 0.2, 0.4), strict=True):
        assert gap > least * 0.9
    assert result.outcome == "failed"
    assert "SUBSCRIBE was not answered" in result.reason


def test_a_4xx_and_a_3xx_to_subscribe_are_ignored_and_a_200_ends_it() -> None:
    def reluctant(pbx: Pbx) -> None:
        pbx.statuses = [404, 302, 403]
        pbx.notify_after = 0.5

    pbx, result = meet(reluctant, timings=timings(t1=0.03, t2=0.1, wait_assign=3))
    assert result.outcome == "through"
    assert pbx.subscribes[:4] == [pbx.subscribes[0]] * 4
    assert pbx.subscribes[4] != pbx.subscribes[0]  # the second boot's


def test_a_500_to_subscribe_ends_it() -> None:
    def busy(pbx: Pbx) -> None:
        pbx.statuses = [500]
        pbx.notified_boots = set()

    pbx, result = meet(busy)
    assert len(pbx.subscribes) == 1
    assert "answered with 500" in result.reason


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("Content-Length: 0", "Content-Length: 5", "Content-Length is 5 but 0 bytes follow"),
        ("Content-Length: 0\r\n", "", "no content-length header"),
        (r"(To: [^\r]*);tag=[0-9]+", r"\1", "To has no tag"),
        (r"From: <sip:MAC%3A", "From: <sip:mac%3a", "From was changed"),
        ("Call-ID: ", "Call-ID: x", "Call-ID is not ours"),
        ("CSeq: 20000", "CSeq: 1", "CSeq was changed"),
        (";received=127.0.0.1", "", "Via received is None"),
        (";rport=[0-9]+", ";rport", "Via rport is ''"),
        ("branch=z9hG4bK", "branch=z9hG4bKx", "Via branch was changed"),
        ("\r\nTo:", "\nTo:", "a line does not end with CR LF"),
        ("\r\nTo:", "\r\nVia: SIP/2.0/UDP 1.2.3.4;branch=z9hG4bK1\r\nTo:", "2 via headers"),
    ],
)
def test_a_defect_in_the_200_is_reported(before: str, after: str, reason: str) -> None:
    def sloppy(pbx: Pbx) -> None:
        pbx.alter_answer = lambda text: re.sub(before, after, text)

    _, result = meet(sloppy)
    assert result.outcome == "failed"
    assert reason in result.reason


def test_with_p1414_off_no_subscribe_is_sent_after_the_reboot() -> None:
    pbx, result = meet(lambda pbx: pbx.offer(document(pbx.host, P1414="0")))
    assert result.outcome == "through"
    assert len(pbx.subscribes) == 1


# NOTIFY


@pytest.mark.parametrize("event", ["Event: check-sync\r\n", "Event: ua-profiles\r\n", ""])
def test_a_notify_without_the_event_ua_profile_gets_489_and_starts_nothing(event: str) -> None:
    def wrong(pbx: Pbx) -> None:
        pbx.alter_notify = lambda text: text.replace("Event: ua-profile\r\n", event)

    pbx, result = meet(wrong)
    assert pbx.answers[0].startswith("SIP/2.0 489 ")
    assert pbx.gets == []
    assert "489" in result.reason


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("NOTIFY sip:127.0.0.1:[0-9]+", "NOTIFY sip:127.0.0.1:9", "Request-URI is not our Contact"),
        ("branch=z9hG4bK", "branch=", "Via branch does not start with z9hG4bK"),
        (";tag=e32c0d70", "", "From has no tag"),
        ("CSeq: 1 NOTIFY", "CSeq: 1 SUBSCRIBE", "CSeq is"),
        ("Max-Forwards: 70\r\n", "", "no max-forwards header"),
        ("application/url", "text/plain", "Content-Type is 'text/plain'"),
        (r"Content-Length: ([0-9])", r"Content-Length: 1\1", "Content-Length is 1"),
        ("\r\n\r\nhttp://", "\r\n\r\nhttq://", "body is no absolute http or https URL"),
        ("\r\n\r\nhttp:/", "\r\n\r\nhttp: ", "body is not one URL"),
    ],
)
def test_a_defect_in_the_notify_gets_400_with_the_reason(before: str, after: str, reason: str) -> None:
    def sloppy(pbx: Pbx) -> None:
        pbx.alter_notify = lambda text: re.sub(before, after, text)

    pbx, result = meet(sloppy)
    assert pbx.answers[0].startswith("SIP/2.0 400 Bad Request: ")
    assert reason in pbx.answers[0].partition("\r\n")[0]
    assert reason in result.reason
    assert pbx.gets == []


def test_a_retransmitted_notify_gets_the_same_answer_and_starts_nothing_again() -> None:
    def stubborn(pbx: Pbx) -> None:
        def again(path: str) -> None:
            for _ in range(3):
                pbx.sip.sendto(pbx.notify(pbx.contact, 1).encode(), pbx.contact)

        pbx.on_get = again

    pbx, result = meet(stubborn)
    assert (result.outcome, result.boots) == ("through", 2)
    assert len(pbx.answers) > 3
    assert len(set(pbx.answers)) == 1
    assert len(pbx.gets) == 3


def test_another_request_gets_405_and_rubbish_gets_nothing() -> None:
    def noisy(pbx: Pbx) -> None:
        def noise(text: str) -> str:
            pbx.sip.sendto(text.replace("NOTIFY", "OPTIONS").encode(), pbx.contact)
            pbx.sip.sendto(b"\x00\xff rubbish", pbx.contact)
            pbx.sip.sendto(b"\r\n\r\n", pbx.contact)
            return text

        pbx.alter_notify = noise

    pbx, result = meet(noisy)
    assert result.outcome == "through"
    assert [answer[8:11] for answer in pbx.answers] == ["405", "200"]


# Files


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


def test_new_bytes_at_every_question_fail_after_three_boots() -> None:
    def restless(pbx: Pbx) -> None:
        def renew(path: str) -> None:
            pbx.offer(document(pbx.host, P35=str(len(pbx.gets))))

        pbx.on_get = renew

    pbx, result = meet(restless)
    assert result.outcome == "failed"
    assert "more than 3 times" in result.reason
    assert result.boots == len(pbx.boots) == 3


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


# Faults


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


def test_a_forgetful_phone_that_is_notified_at_every_boot_fails_after_three() -> None:
    def insistent(pbx: Pbx) -> None:
        pbx.notified_boots = set(range(1, 9))

    pbx, result = meet(insistent, "forgetful")
    assert (result.outcome, result.boots) == ("failed", 3)
    assert pbx.gets == [f"{FIRST}/cfg{LOW}"] * 3


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


@pytest.mark.parametrize("text", ["loose", "lose=2", "lose=x", "double=1", "answer-4xx=500", "answer-4xx,answer-5xx"])
def test_a_fault_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(FaultError):
        parse_faults(text)


# Many phones, and the command


def open_pbx(pbx: Pbx) -> None:
    """Serve every phone of a fleet the same file, which names no MAC."""
    body = document(pbx.host, mac=None)
    pbx.offer(body, first="/first/cfg.xml", steady=f"{STEADY}/cfg.xml")
    pbx.notified_boots = set()


def test_a_burst_of_phones_of_all_models_gets_through_in_one_process() -> None:
    count = 60

    async def scene() -> tuple[Pbx, list[Result]]:
        async with Pbx() as pbx:
            open_pbx(pbx)
            heard = pbx._subscribed
            seen: set[tuple[str, int]] = set()

            def notify_each(text: str, source: tuple[str, int]) -> None:
                heard(text, source)
                if source not in seen:
                    seen.add(source)
                    pbx.sip.sendto(pbx.notify(source, source[1]).encode(), source)

            asyncio.get_running_loop().remove_reader(pbx.group)
            asyncio.get_running_loop().add_reader(pbx.group, pbx._drain, pbx.group, notify_each)
            options = Options(count=count, model="all", mac=MAC, interface="lo", port=pbx.port, seed=1)
            phones = [dataclasses.replace(one, timings=timings(pnp_wait=0.5)) for one in setups(options)]
            return pbx, await Fleet(phones).live()

    pbx, results = asyncio.run(scene())
    assert {(one.outcome, one.reason, one.boots) for one in results} == {("through", "", 2)}
    assert [one.mac for one in results] == [f"{int(MAC, 16) + number:012X}" for number in range(count)]
    assert len({one.model for one in results}) == 6
    assert len({one.contact for one in results}) == count


def test_macs_follow_from_the_seed_and_stay_under_the_vendors_prefix() -> None:
    def macs(seed: int) -> list[str]:
        return [one.mac for one in setups(Options(count=5, interface="127.0.0.1", seed=seed))]

    assert macs(3) == macs(3)
    assert macs(3) != macs(4)
    assert all(mac.startswith("000B82") for mac in macs(3))


@pytest.mark.parametrize(
    "chosen",
    [
        {"count": 0}, {"mac": "12"}, {"model": "a b"}, {"firmware": "1\r\n"}, {"loss": 1.5},
        {"faults": "none"}, {"group": "10.0.0.1"}, {"stored_path": "ftp://x"},
        {"pnp_wait": -1}, {"port": 0},
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_is_refused(chosen: dict[str, object]) -> None:
    with pytest.raises(OptionsError):
        Options.from_mapping(chosen)


def test_an_interface_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(OptionsError, match="no such interface"):
        setups(Options(interface="nope9"))


def test_the_report_is_json_and_the_exit_code_tells_a_failure() -> None:
    out, err = io.StringIO(), io.StringIO()
    options = Options(
        count=2, interface="127.0.0.1", port=9, wait_assign=0.1, pnp_wait=0.0, timeout=0.3, seed=1, json=True
    )
    assert run(options, out, err) == 1
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["outcome"] for line in lines] == ["failed", "failed"]
    assert {"mac", "model", "firmware", "boots", "stage", "downloads", "reason", "timings"} <= set(lines[0])
    assert "2/2 phones done: 0 through, 2 failed" in err.getvalue()


def test_sigterm_ends_a_run_in_order() -> None:
    command = [sys.executable, "-m", "sipmcast.simulator", "--interface", "lo", "--port", "9", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the first line of progress: it is alive
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert json.loads(out)["outcome"] == "stopped"
    assert "Traceback" not in err


def test_every_fault_is_in_the_help_text() -> None:
    command = [sys.executable, "-m", "sipmcast.simulator", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    flat = re.sub(r"\s+", "", text)
    assert all(name in flat for name in FAULTS)


def test_the_simulator_imports_nothing_of_the_project_and_nothing_but_the_standard_library() -> None:
    allowed = sys.stdlib_module_names | {"sipmcast"}
    for path in sorted((ROOT / "sipmcast" / "simulator").glob("*.py")):
        for line in path.read_text().splitlines():
            if match := re.match(r"\s*(?:from|import) ([a-z_0-9.]+)", line):
                assert match[1].partition(".")[0] in allowed, (path.name, line)
                assert not match[1].startswith("sipmcast") or match[1].startswith("sipmcast.simulator"), line
