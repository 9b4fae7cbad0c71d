"""Open a release, take its one download in hand, finish it, close it. Every change is a conditional UPDATE.

A file leaves like this: `begin` takes the release in hand before the first byte, so that a second request that comes
meanwhile, from whatever address, is refused; `finish` closes it before the last bytes; what breaks off gives it back.
Source: design, "Letting a secret out of the door", 1.
"""

from __future__ import annotations

import ipaddress
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from devices import inventory, networks
from devices.choices import WAY, EventKind
from devices.models import Phone
from devices.trust import CLOCK_SLACK_SECONDS
from provisioning import outbox
from provisioning.models import ConfigFile, Release, ReleaseEnd

MINUTES = 10
MOST_MINUTES = 60
IN_HAND_SECONDS = 150  # longer than a download may take (door/wire.py); frees what a killed process had in hand
BROKEN_AT_MOST = 3  # who breaks off has read most of the file; a phone that does so three times needs a person
EXPIRED_AT_ONCE = 100
AFTERWARDS_MINUTES = 10  # more than a phone takes from the first name of its file to the last; our choice

ENDED_WORDS = {
    ReleaseEnd.EXPIRED: "Release to {host} is over: nobody fetched in time.",
    ReleaseEnd.CLOSED: "Release to {host} closed by {by}.",
    ReleaseEnd.REPLACED: "Release to {host} ended: opened anew by {by}.",
    ReleaseEnd.BROKEN: "Release to {host} closed: its download broke off three times.",
    ReleaseEnd.REVOKED: "Release to {host} ended: paths revoked by {by}.",
}


class CannotRelease(Exception):
    """There is nothing to release, or not like that; the text says what to do."""


def minutes_of(text: str) -> int:
    """How many minutes somebody typed; blank is the default. Raises CannotRelease."""
    text = text.strip()
    if not text:
        return MINUTES
    return _within(int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0)


def _within(minutes: int) -> int:
    if not 1 <= minutes <= MOST_MINUTES:
        raise CannotRelease(gettext("Give it a whole number of minutes from 1 to %(most)d.") % {"most": MOST_MINUTES})
    return minutes


def address_of(text: str) -> str:
    """The address that somebody typed, as the door sees it. Raises CannotRelease."""
    try:
        address = ipaddress.ip_address(text.strip().partition("%")[0])  # the door sees no scope of an address
    except ValueError:
        words = gettext("Say to which address, such as 10.0.0.20: the one that the phone asks from.")
        raise CannotRelease(words) from None
    host = networks.plain_host(str(address))
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        raise CannotRelease(gettext("%(host)s is no address of one phone.") % {"host": host})
    if networks.within(host, settings.GSPNP_TRUSTED_PROXIES):
        words = gettext(
            "%(host)s is the proxy, behind which anybody may be: say the address that the phone has itself."
        )
        raise CannotRelease(words % {"host": host})
    if not networks.allowed(host, settings.GSPNP_ALLOWED_NETWORKS):
        words = gettext(
            "%(host)s is in none of the allowed networks (GSPNP_ALLOWED_NETWORKS): nothing is served there."
        )
        raise CannotRelease(words % {"host": host})
    return host


def open_release(phone_id: int, host: str, *, by: str, minutes: int = MINUTES, with_key: bool = False) -> Release:
    """Let the phone's present file out to this address by its plain name, once. Raises CannotRelease.

    One that is open already ends with it. `with_key` gives the key of an encrypted file also to a phone that is known
    to have it: it was reset.
    """
    host, minutes, now = address_of(host), _within(minutes), timezone.now()
    with transaction.atomic():
        outbox.lock_phones([phone_id])
        phone = Phone.objects.filter(pk=phone_id).first()
        if phone is None:
            raise CannotRelease(str(outbox.Forgotten()))
        if not phone.is_assigned:
            raise CannotRelease(gettext("This phone has no configuration to release. Assign it first."))
        current = outbox.current_file(phone_id)
        if current is None:
            words = gettext("This phone has no file yet: it gets it as soon as it is heard. Release it then.")
            raise CannotRelease(words)
        _end(Release.objects.filter(phone_id=phone_id), ReleaseEnd.REPLACED, by=by)
        made = Release.objects.create(
            phone_id=phone_id, host=host, opened_at=now, until=now + timedelta(minutes=minutes), opened_by=by[:150],
            with_key=with_key and current.choice.is_encrypted,
        )  # fmt: skip
        said = "1 minute" if minutes == 1 else f"{minutes} minutes"
        again = " It has been reset, they say: its key leaves with it." if made.with_key else ""
        words = f"Released to {host} by its plain name for {said} by {by}: one download.{again}"
        inventory.tell(phone_id, EventKind.RELEASE, words)
    return made


def close(phone_id: int, *, by: str, why: ReleaseEnd = ReleaseEnd.CLOSED) -> bool:
    """End what is open for this phone; False if nothing was."""
    with transaction.atomic():
        outbox.lock_phones([phone_id])
        return bool(_end(Release.objects.filter(phone_id=phone_id), why, by=by))


def is_open(at: datetime) -> Q:
    """Releases that lead somewhere at this time; not what was opened after it, when the clock went back since."""
    opened = Q(opened_at__lte=at + timedelta(seconds=CLOCK_SLACK_SECONDS))
    return opened & Q(closed_at__isnull=True, until__gt=at)


def open_one(phone_id: int) -> Release | None:
    """What is open for this phone."""
    return Release.objects.filter(is_open(timezone.now()), phone_id=phone_id).first()


def latest(mac: str, host: str) -> Release | None:
    """The last one for this MAC and this source address, open or not."""
    return Release.objects.select_related("phone").filter(phone__mac=mac, host=host).order_by("-pk").first()


def may_begin(release: Release) -> bool:
    """Is it open, and in nobody's hand? `begin` is what decides."""
    now = timezone.now()
    return Release.objects.filter(is_open(now), _free(now), pk=release.pk).exists()


def gives_key(release: Release, current: ConfigFile) -> bool:
    """Does the key of this file leave by it? Once; and not to a phone that is known to have it, unless a person says
    that it has been reset."""
    return release.key_taken_at is None and (current.key_known_at is None or release.with_key)


def concerns(release: Release) -> bool:
    """Does the phone still deal with it? It is open, or ended so short a time ago that the phone asks for the other
    names of the same file."""
    if release.closed_at is None:
        return True
    return abs(timezone.now() - release.closed_at) < timedelta(minutes=AFTERWARDS_MINUTES)


def fresh_name() -> str:
    """Of one download, for `begin`, `finish` and `give_back`."""
    return secrets.token_hex(16)


def begin(release: Release, in_hand: str) -> bool:
    """Take it in hand for one download; False if another one was faster."""
    now = timezone.now()
    taken = Release.objects.filter(is_open(now), _free(now), pk=release.pk)
    return bool(taken.update(in_hand=in_hand, in_hand_until=now + timedelta(seconds=IN_HAND_SECONDS)))


def finish(release: Release, in_hand: str, config_file: ConfigFile, *, is_key: bool) -> bool:
    """The whole of it is about to have left; call it inside the transaction that records it. False if it is not
    released any more, so that the end must not leave.

    The key of an encrypted file leaves once too, and does not close: the file itself follows, by the plain name or by
    the first path, which works for this address as long as the release does.
    """
    now = timezone.now()
    mine = Release.objects.filter(is_open(now), pk=release.pk, in_hand=in_hand)
    if is_key:
        if not mine.filter(key_taken_at__isnull=True).update(key_taken_at=now, in_hand="", in_hand_until=None):
            return False
        ConfigFile.objects.filter(pk=config_file.pk).update(first_host=release.host, first_until=release.until)
        words = f"The key of its file was fetched by its plain name from {release.host}, as released."
    else:
        if not mine.update(closed_at=now, ended=ReleaseEnd.FETCHED, in_hand="", in_hand_until=None):
            return False
        words = f"Its file was fetched by its plain name from {release.host}, as released by {release.opened_by}."
    inventory.tell(release.phone_id, EventKind.RELEASE, words)
    return True


def give_back(release: Release, in_hand: str) -> None:
    """The download broke off: another one may come, but not for ever."""
    with transaction.atomic():
        outbox.lock_phones([release.phone_id])
        mine = Release.objects.filter(pk=release.pk, closed_at__isnull=True, in_hand=in_hand)
        if not mine.update(in_hand="", in_hand_until=None, broken=F("broken") + 1):
            return
        words = f"A download that was released to {release.host} broke off."
        inventory.tell(release.phone_id, EventKind.RELEASE, words)
        _end(Release.objects.filter(pk=release.pk, broken__gte=BROKEN_AT_MOST), ReleaseEnd.BROKEN)


def expire() -> int:
    """End what nobody fetched in time, and what is of a phone that is no longer in service: assigned anew, it would be
    released again. Call it now and then; how many ended."""
    over = ~is_open(timezone.now())
    idle = ~Q(phone__stage__in=WAY)
    rows = Release.objects.filter(over | idle, closed_at__isnull=True)
    late = dict(rows.order_by("pk").values_list("pk", "phone_id")[:EXPIRED_AT_ONCE])
    if not late:  # an UPDATE would take SQLite's lock for nothing
        return 0
    with transaction.atomic():
        outbox.lock_phones(late.values())
        mine = Release.objects.filter(pk__in=list(late))
        ended = _end(mine.filter(~is_open(timezone.now())), ReleaseEnd.EXPIRED)
        return ended + _end(mine.filter(idle), ReleaseEnd.CLOSED, by="gspnp: the phone is not in service")


def _free(at: datetime) -> Q:
    """In nobody's hand, or in that of a process that is gone.

    Far ahead means that the clock went back; a little ahead is what another process has just written.
    """
    lasting = Q(in_hand_until__gt=at, in_hand_until__lte=at + timedelta(seconds=2 * IN_HAND_SECONDS))
    return Q(in_hand="") | ~lasting


def _end(rows: QuerySet[Release], why: ReleaseEnd, by: str = "") -> int:
    """End those of them that are open, and tell it. Their phones are locked.

    A first path that was opened because the key had left ends with it; one that a NOTIFY opened since is not touched.
    """
    ended = 0
    for row in rows.filter(closed_at__isnull=True):
        mine = Release.objects.filter(pk=row.pk, closed_at__isnull=True)
        if mine.update(closed_at=timezone.now(), ended=why):
            ConfigFile.objects.filter(phone_id=row.phone_id, first_host=row.host, first_until=row.until).update(
                first_until=None
            )
            inventory.tell(row.phone_id, EventKind.RELEASE, ENDED_WORDS[why].format(host=row.host, by=by))
            ended += 1
    return ended
