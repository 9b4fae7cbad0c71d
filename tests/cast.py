"""The cast that every test of the core knows by name: one desk phone, its technician Tess, and a clock that stands.

A desk phone is a GXP1628 at HOST, heard on `eth0` (our address there is OURS). Each helper takes it one step
further on its way, by the functions that the product itself calls.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from asgiref.sync import async_to_sync
from django.db import connection
from django.test import override_settings

from devices import inventory
from devices.catalog import DEFAULT_CODECS, KeyMode, KeySlot
from devices.models import Phone
from devices.sighting import Sighting
from devices.trust import Verdict
from provisioning import assignment, downloads, outbox, paths, plan, settling, starts
from provisioning.door import app as door
from provisioning.door import delivery
from provisioning.door.http import Request, path_of
from provisioning.gxp.config import AccountConfig, KeyConfig
from provisioning.gxp.files import FileFormat
from provisioning.models import ConfigFile, Download, Notify
from sipmcast.events import Leg

MAC = "000B82273B89"
OTHER_MAC = "000B82AAAAAA"
HOST = "10.0.0.20"
STRANGER = "10.0.0.99"
OURS = "10.0.0.1"
LEG = Leg("eth0", OURS, 6060)
LEGS = {(LEG.interface, LEG.host): LEG}
PASSWORD = "s3cr3t-canary-password"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Clock:
    """Time for the whole product: stands still until it is moved."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float = 0, **units: float) -> datetime:
        self.at += timedelta(seconds=seconds, **units)
        return self.at


@contextmanager
def stopped_clock(at: datetime = NOON) -> Iterator[Clock]:
    clock = Clock(at)
    with patch("django.utils.timezone.now", clock):
        yield clock


def unknown(host: str, mac: str, interface: str = "") -> Verdict:
    return Verdict.UNKNOWN


def match(host: str, mac: str, interface: str = "") -> Verdict:
    return Verdict.MATCH


def mismatch(host: str, mac: str, interface: str = "") -> Verdict:
    return Verdict.MISMATCH


@contextmanager
def neighbours_say(verdict: Verdict, knows_phones: bool = False) -> Iterator[None]:
    """What the kernel's neighbour table says of everybody, and whether it is known to know phones."""
    with (
        patch("sipmcast.neighbours.Neighbours.verify", lambda *question: verdict),
        patch("sipmcast.neighbours.knows_phones", lambda interface: knows_phones),
    ):
        yield


@contextmanager
def before_query(number: int, act: Callable[[], object]) -> Iterator[None]:
    """Somebody else does this just before so many queries have been made, counted from one."""
    made = 0

    def see(execute, sql, params, many, context):
        nonlocal made
        made += 1
        if made == number:
            act()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(see):
        yield


def sighting(mac: str = MAC, host: str = HOST, **changes) -> Sighting:
    said = {
        "mac": mac,
        "vendor": "Grandstream",
        "model": "GXP1628",
        "firmware": "1.0.4.88",
        "source_host": host,
        "source_port": 5060,
        "contact": f"sip:{host}:5060",
        "notify_port": 5060,
        "interface": LEG.interface,
        "local_host": OURS,
        "ours": True,
        "heard_at": 0.0,
    }
    return Sighting(**(said | changes))


def account(number: int = 1, **changes) -> AccountConfig:
    filled = {
        "number": number,
        "sip_server": "172.18.0.10",
        "user_id": f"100{number}",
        "auth_id": "",
        "password": PASSWORD,
        "display_name": "Tess",
        "voicemail": "*97",
        "codecs": DEFAULT_CODECS,
    }
    return AccountConfig(**(filled | changes))


def blf(slot: str, value: str, label: str = "") -> KeyConfig:
    return KeyConfig(KeySlot.parse(slot), KeyMode.BLF, 1, label, value)


def draft(*keys: KeyConfig, **changes) -> plan.Draft:
    return plan.Draft((account(**changes),), keys)


def seen(mac: str = MAC, host: str = HOST, **changes) -> Phone:
    """A phone that was heard."""
    (heard,) = inventory.record_sightings([sighting(mac, host, **changes)], unknown)
    return Phone.objects.get(pk=heard.phone_id)


def save(phone: Phone, made: plan.Draft | None = None) -> assignment.Saved:
    """Tess saves what she sees now."""
    phone = Phone.objects.get(pk=phone.pk)
    return assignment.save(phone, made or draft(), by="tess", seen_host=phone.source_host)


def assigned(mac: str = MAC, host: str = HOST) -> ConfigFile:
    """A phone that was seen and saved; its NOTIFY waits."""
    return save(seen(mac, host)).config_file


def opening(name: str = "1", host: str = HOST, port: int = 5060) -> outbox.Opening:
    return outbox.Opening(f"call-{name}", f"z9hG4bK{name}", "tag", b"NOTIFY", (host, port), "eth0", OURS)


def owed(phone_id: int) -> Notify | None:
    return Notify.objects.filter(phone_id=phone_id, state__in=("waiting", "sending", "withheld")).first()


def claim(notify: Notify, made: outbox.Opening | None = None, by: str = "pbx#1") -> bool:
    """A listener takes this row, whatever became of it meanwhile."""
    rows = outbox.read(Notify.objects.filter(pk=notify.pk)) or [_gone(notify)]
    return outbox.claim([(rows[0], made or opening())], by) == {notify.pk}


def _gone(notify: Notify) -> outbox.Due:
    """What a listener read before the row was deleted."""
    nothing = dict.fromkeys(field.name for field in fields(outbox.Due))
    return outbox.Due(**(nothing | {"pk": notify.pk, "kind": "profile", "phone_id": notify.phone_id, "mac": MAC}))


def answered(notify: Notify, status: int, reason: str = "Why", heard_at: datetime | None = None) -> bool:
    """The phone's final answer to this NOTIFY; whether it was waited for."""
    if 200 <= status < 300:
        return settling.delivered([settling.Answer(notify.pk, status, reason, heard_at)]) == {notify.pk}
    return settling.refused(settling.Answer(notify.pk, status, reason, heard_at))


def sent(version: ConfigFile) -> Notify:
    """Its waiting NOTIFY has left."""
    notify = owed(version.phone_id)
    assert claim(notify, opening(str(notify.pk), version.phone.source_host))
    return Notify.objects.get(pk=notify.pk)


def delivered(version: ConfigFile) -> Notify:
    """It has left, and the phone said 200."""
    notify = sent(version)
    assert answered(notify, 200, "OK")
    return Notify.objects.get(pk=notify.pk)


def fetched(version: ConfigFile) -> ConfigFile:
    """The phone was notified and took its file."""
    delivered(version)
    download(first_path(version))
    return now(version)


def applied(version: ConfigFile) -> ConfigFile:
    """The phone took its file, restarted, and came back by its steady path."""
    fetched(version)
    download(steady_path(version))
    return now(version)


def restarted(version: ConfigFile, **changes) -> Notify | None:
    """The phone sends a SUBSCRIBE; what it is owed now."""
    inventory.record_sightings([sighting(version.phone.mac, **changes)], unknown)
    starts.owe_after_start(version.phone_id)
    return owed(version.phone_id)


def now(version: ConfigFile) -> ConfigFile:
    """The row as it is now."""
    return ConfigFile.objects.select_related("phone").get(pk=version.pk)


def stage(version: ConfigFile) -> str:
    return Phone.objects.get(pk=version.phone_id).stage


def reason(version: ConfigFile) -> str:
    return Phone.objects.get(pk=version.phone_id).stage_reason


def first_path(version: ConfigFile, name: str = f"cfg{MAC}") -> str:
    return f"/p/{version.first_secret}/{name}"


def steady_path(version: ConfigFile, name: str | None = None) -> str:
    suffix = "" if version.format == FileFormat.BINARY else ".xml"
    return f"/p/{version.steady_secret}/{f'cfg{MAC.lower()}{suffix}' if name is None else name}"


def download(path: str, status: int = 200, host: str = HOST, counts: bool = True) -> None:
    """A finished download, without HTTP."""
    offer = downloads.find(paths.read(path), host)
    assert isinstance(offer, downloads.Offer), "the door refuses this"
    downloads.record(offer, status, counts, host, "Grandstream Model HW GXP1628")


@dataclass
class Answer:
    """What the phones' door answered."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answer) and (self.status, self.headers, self.body) == (
            other.status,
            other.headers,
            other.body,
        )


def ask(
    path: str,
    method: str = "GET",
    host: str = HOST,
    hang_up_after: int | None = None,
    settings=None,
    secure: bool = False,
    **headers,
) -> Answer:
    """One request to the phones' door as it comes from the wire; `path` is percent-encoded, as it stands there.

    With `hang_up_after` the client breaks off when it has got so many pieces of the body; `secure`: it came by TLS.
    """
    sent = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    there = path_of(path.encode("utf-8", "surrogateescape"))
    request = Request(method, there, {"host": "10.0.0.1:5481", **sent}, host, OURS, secure, path)
    with override_settings(**(settings or {})):
        return async_to_sync(_answered)(request, hang_up_after)


async def _answered(request: Request, hang_up_after: int | None) -> Answer:
    given = await door.answer(request)
    head = parse_head(given.head(0.0, keep_alive=True))
    answer = Answer(given.status, head, [given.body] if given.body and request.method != "HEAD" else [])
    if given.pieces is not None:
        async for piece in given.pieces:
            if piece:
                answer.chunks.append(piece)
            if len(answer.chunks) == hang_up_after:
                break
        await given.pieces.aclose()
    if given.taken is not None:
        given.taken()
    await delivery.settled()
    return answer


def parse_head(head: bytes) -> dict[str, str]:
    """The headers of an answer but for its date, names in lower case."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    found = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines) if name}
    assert found.pop("date").endswith(" GMT")
    return found


def proofs(version: ConfigFile) -> tuple[str, bool, bool, int]:
    """Stage, fetched?, applied?, downloads on record."""
    version = now(version)
    count = Download.objects.filter(phone_id=version.phone_id).count()
    return version.phone.stage, bool(version.fetched_at), bool(version.applied_at), count
