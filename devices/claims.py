"""Claims and alarms: another address says that it is a phone that we know. A part of the inventory.

A claim waits until the kernel's neighbour table has had time to show who is there; then it is a phone that moved, or an
alarm. Source: design, "Letting a secret out of the door", 2.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from devices import batch, live
from devices.choices import EventKind, Neighbour
from devices.mac import colons
from devices.models import Phone
from devices.places import follows, is_one_start, of_site, site_words
from devices.trust import Verdict

CLAIM_WORDS = " now claims "
ALARM_BREAK = "\n"  # a phone may have more than one alarm
ALARM_CHARS = 300
CLAIM_SETTLE_SECONDS = 1.0  # our 200 makes the kernel ask who has the address; the answer needs a moment
JUDGE_AT_ONCE = 100
NAMED = (Neighbour.MATCH.value, Neighbour.MISMATCH.value)  # verdicts that know who is there


def judge_claims(verify: Callable[[str, str, str], Verdict], site: str | None = None) -> list[int]:
    """Decide on claims that have had time to show in the neighbour table; ids of phones that really moved.

    A claim that the table verifies is a phone with a new address. Any other raises an alarm and stays a claim. `site`
    is the listener's: only its own machine's table knows who is there. None: every claim.
    """
    now = timezone.now()
    moved = []
    ripe = Phone.objects.filter(
        of_site("claimed_site", site),
        claimed_host__isnull=False,
        claimed_at__lte=now - timedelta(seconds=CLAIM_SETTLE_SECONDS),
    ).exclude(alarm__contains=CLAIM_WORDS, alarm_at__gte=F("claimed_at"))
    # Sorted here: asked to, SQLite would go through all phones, in this order.
    oldest = sorted(ripe.order_by().values_list("pk", flat=True))[:JUDGE_AT_ONCE]
    for phone in ripe.filter(pk__in=oldest).order_by("pk"):  # asked again: one may be settled by now
        if _is_heard_at_home(phone):
            _drop_claim(phone)
        elif verify(phone.claimed_host or "", phone.mac, phone.claimed_interface) is Verdict.MATCH:
            if accept_claim(phone.pk, phone.claimed_host or "", by="", site=site):
                moved.append(phone.pk)
        else:
            raise_alarm(phone.pk, f"{colons(phone.mac)}{CLAIM_WORDS}{_place(phone)}. Nothing is sent there.")
    return moved


def _is_heard_at_home(phone: Phone) -> bool:
    """Has its own site's listener heard the very start that this claim is of?"""
    if phone.claimed_host != phone.source_host or phone.claim_heard_at is None:
        return False
    if None in (phone.claimed_site, phone.heard_site) or phone.claimed_site == phone.heard_site:
        return False
    return is_one_start(phone.subscribed_at, phone.claim_heard_at)


def _drop_claim(seen: Phone) -> None:
    """Nobody claims anything: two listeners hear the same phone."""
    with transaction.atomic():
        phone = Phone.objects.select_for_update().filter(pk=seen.pk, claim_heard_at=seen.claim_heard_at).first()
        if phone is not None:
            _clear_claim(phone)
            phone.save()


def _place(phone: Phone) -> str:
    """The claimed address; the interface too where only that differs (two LANs with the same addresses)."""
    if phone.claimed_host == phone.source_host and phone.claimed_site not in (None, phone.heard_site):
        return f"{phone.claimed_host} {site_words(phone.claimed_site)}"
    if phone.claimed_host == phone.source_host and phone.claimed_interface:
        return f"{phone.claimed_host} on {phone.claimed_interface}"
    return str(phone.claimed_host)


def accept_claim(phone_id: int, host: str, by: str, site: str | None = None) -> bool:
    """Take the claimed address as the phone's own, if it still is `host`, the one that was seen or verified.

    `by` names the person; empty if the neighbour table showed it: that of the listener of `site`, which has the phone
    from now on if nobody knows where the claim was heard.
    """
    now = timezone.now()
    with transaction.atomic():
        phone = Phone.objects.select_for_update().filter(pk=phone_id, claimed_host=host).first()
        if phone is None:
            return False
        where = _place(phone)
        phone.source_host, phone.notify_port = phone.claimed_host, phone.claimed_port
        phone.interface, phone.local_host = phone.claimed_interface, phone.claimed_local_host
        _follow(phone, site if phone.claimed_site is None else phone.claimed_site, now)
        phone.approved_host, phone.approved_at = (phone.source_host, now) if by else (None, None)
        phone.subscribed_at = phone.last_seen_at = phone.claim_heard_at or now
        phone.neighbour = Neighbour.UNKNOWN if by else Neighbour.MATCH
        _clear_claim(phone)
        phone.save()
        who = f"confirmed by {by}" if by else "the neighbour table shows it there"
        live.append([live.event(phone, EventKind.CHANGED, f"Moved to {where}; {who}.", now)])
    return True


def _follow(phone: Phone, site: str | None, now: datetime) -> None:
    """It is heard at the claim's site from now on, and stands there unless a person has said otherwise."""
    if site is None or site == phone.heard_site:
        return
    stands = follows(phone.site, phone.heard_site, site)
    if stands != phone.site:
        phone.site, phone.site_moved_at = stands, now
    if phone.heard_site is not None:
        phone.steady_host = None  # an address at one site says nothing at another
    phone.heard_site = site


def dismiss_alarm(phone_id: int, by: str) -> bool:
    """Forget a claim and its alarm; the phone keeps its address."""
    with transaction.atomic():
        phone = Phone.objects.select_for_update().filter(pk=phone_id).exclude(alarm="").first()
        if phone is None:
            return False
        _clear_claim(phone)
        phone.alarm, phone.alarm_at = "", None
        phone.save()
        live.append([live.event(phone, EventKind.ALARM, f"Alarm dismissed by {by}.", timezone.now())])
    return True


def _clear_claim(phone: Phone) -> None:
    phone.claimed_host = phone.claimed_at = phone.claim_heard_at = phone.claimed_local_host = phone.claimed_site = None
    phone.claimed_interface = ""
    others = [line for line in phone.alarm.split(ALARM_BREAK) if line and CLAIM_WORDS not in line]
    phone.alarm = ALARM_BREAK.join(others)
    phone.alarm_at = phone.alarm_at if others else None


def raise_alarm(phone_id: int, text: str) -> None:
    """Put an alarm on a phone; it stays until a person deals with it."""
    now = timezone.now()
    with transaction.atomic():
        phone = Phone.objects.select_for_update().filter(pk=phone_id).first()
        if phone is None:
            return
        others = [line for line in phone.alarm.split(ALARM_BREAK) if line and not _same_kind(line, text)]
        phone.alarm, phone.alarm_at = ALARM_BREAK.join([text, *others])[:ALARM_CHARS], now
        phone.save(update_fields=["alarm", "alarm_at"])
        live.append([live.event(phone, EventKind.ALARM, text, now)])


def _same_kind(line: str, text: str) -> bool:
    """A newer claim takes the place of an older one; other alarms stand until a person has seen them."""
    return line == text or (CLAIM_WORDS in line and CLAIM_WORDS in text)


def record_verdicts(verdicts: Iterable[tuple[int, str, Verdict]]) -> None:
    """Note what the neighbour table says of phones, as (phone, its address when the table was read, verdict).

    Whoever has another address by now is passed over. Nothing is locked if nothing has changed.
    """
    said = {phone_id: (host, verdict.value) for phone_id, host, verdict in verdicts}
    if not _changed(said, lock=False):
        return
    now = timezone.now()
    with transaction.atomic():
        changed = _changed(said, lock=True)
        batch.update(Phone, ("pk", "neighbour"), [(one[0], said[one[0]][1]) for one in changed])
        live.append_rows([row for one in changed if (row := _verdict_event(one, said[one[0]][1], now))])


def _changed(said: dict[int, tuple[str, str]], lock: bool) -> list[tuple]:
    """Those phones of which something else is known: id, MAC, stage, address, what was known."""
    rows = batch.select(Phone, ("pk", "mac", "stage", "source_host", "neighbour"), "pk", list(said), lock=lock)
    return [row for row in rows if row[3] == said[row[0]][0] and row[4] != said[row[0]][1]]


def _verdict_event(phone: tuple, after: str, now: datetime) -> live.EventRow | None:
    """What people are told: that another device is at the phone's address, and that this is over."""
    pk, mac, stage, host, before = phone
    if after == Neighbour.MISMATCH:
        return pk, mac, EventKind.ALARM.value, stage, f"Another device answers at {host}: its MAC is not this one.", now
    if before in NAMED and after in NAMED:
        return pk, mac, EventKind.CHANGED.value, stage, f"The neighbour table shows it at {host} again.", now
    return None
