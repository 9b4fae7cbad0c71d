"""Which bytes a request may have, and what a finished download proves.

Which name leads to what, by which path and in which format, is in gxp/files.py. `fetched` is a complete 200 of the
final file; `applied` is a complete 200, or a 304 with the file's ETag, by that version's own steady path after
`fetched`, because nothing but a phone that took (and decrypted) the file could know it. A bootstrap proves nothing.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from devices import inventory
from devices.choices import EventKind, Stage
from devices.models import Phone
from provisioning import file_key, outbox, url_forms
from provisioning.door.http_login import Login, Scheme
from provisioning.gxp import files, login
from provisioning.gxp.files import Part
from provisioning.models import ConfigFile, Download, PathKind, Release
from provisioning.paths import Ask, hash_of
from provisioning.release import windows
from provisioning.rendering import texts_of

SET_BACK_HOURS = 2  # a clock that is set back by more makes the first paths dead for a moment. Our choice
BOOTSTRAP_SECONDS = 30  # less than a restart takes, more than the retries of a download; our choice
NO_PHONE = 0
# Repeats of one phone that are written down: a phone that was taken over must not fill the disk. Our choice.
REPEATS, REPEATS_MINUTES = 60, 10
BEFORE_FETCHED = (Stage.ASSIGNED, Stage.NOTIFIED)
BEFORE_APPLIED = (*BEFORE_FETCHED, Stage.FETCHED)
HAS_FETCHED = "The phone has fetched its file."
APPLIED = "Applied: it fetched again by the path that stands only inside its own file."
STILL_APPLIED = "Fetched by its own path: still applied."
BY_OWN_PATH = "The phone fetches by its own path."


@dataclass(frozen=True)
class Offer:
    """A file that this request may have. `moves` says whether finishing it can move the phone's stage."""

    mac: str
    config_file: ConfigFile
    content: bytes = field(repr=False)
    part: Part
    path_kind: PathKind
    name: str
    moves: bool
    below: bool = False
    release: Release | None = None
    """What lets it out by its plain name."""
    path_base: str = ""
    """The address of our door that the path was made for; "" for a plain name."""
    login: Login | None = None
    """What has to be shown for it: what stands in the very file whose path was asked for, so that a phone that knows
    the path has the login too, whatever was switched on, off or changed since."""

    @property
    def etag(self) -> str:
        """Of these bytes; that of the final file is stored with it."""
        if self.part is Part.FINAL:
            return self.config_file.etag
        return hashlib.sha256(self.content).hexdigest()[:32]

    @property
    def content_type(self) -> str:
        return files.content_type(self.config_file.choice, self.part)


@dataclass(frozen=True)
class OtherName:
    """A name that the file does not have in its format, or no more, by a path that is open to this phone.

    It is refused as everything else is, and nothing is wrong: phones ask for `cfg<mac>` and for `cfg<mac>.xml` in
    turn, and one of the two is not there by design (design, "Serving").
    """


def find(ask: Ask, source_host: str) -> Offer | OtherName | None:
    """The file behind a secret path for this source address; else the one refusal. Raises CannotDecrypt."""
    digest = hash_of(ask.secret)
    found = (
        ConfigFile.objects.select_related("phone")
        .defer(*outbox.SEALED)
        .filter(Q(first_hash=digest) | Q(steady_hash=digest))
        .first()
    )
    # Asked for in any case: that a path is known must not be told by the time that it takes to refuse it.
    phone_id = found.phone_id if found is not None else NO_PHONE
    newest = ConfigFile.objects.filter(phone_id=phone_id).order_by("-number").values_list("pk", flat=True).first()
    current = found if found is not None and found.pk == newest else outbox.current_file(phone_id)
    if found is None or current is None or found.phone.mac != ask.mac or not found.phone.is_assigned:
        return None
    if found.first_hash == digest:
        allowed = found.pk == current.pk and first_path_open(found, source_host)
        kind = PathKind.FIRST
    elif found.pk == current.pk:
        allowed, kind = True, PathKind.STEADY
    else:
        allowed = found.retired_at is None and found.fetched_at is not None and _can_read(found, current)
        kind = PathKind.OLD
    part = files.part(current.choice, ask.suffix, by_first=kind is PathKind.FIRST)
    if not allowed:
        return None
    if part is None or (part is Part.BOOTSTRAP and not _may_have_key(current, found.phone)):
        return OtherName()
    moves = part is Part.BOOTSTRAP or current.fetched_at is None
    moves = moves or (kind is PathKind.STEADY and current.applied_at is None)
    content, shown = current.bytes_of(part), None if kind is PathKind.FIRST else login_of(found)
    return Offer(
        ask.mac, current, content, part, kind, ask.name, moves, ask.below, path_base=found.base_url, login=shown
    )


def login_of(version: ConfigFile) -> Login | None:
    """What a phone with this version's file shows; None if it needs no login. Raises CannotDecrypt."""
    if not version.login_scheme:
        return None
    return Login(Scheme(version.login_scheme), login.user_of(version.phone.mac), version.login_secret)


def released(ask: Ask, source_host: str) -> Offer | OtherName | None:
    """The file that a person lets out to this source address by its plain name; else the one refusal."""
    found = windows.latest(ask.mac, source_host)
    current = outbox.current_file(found.phone_id if found is not None else NO_PHONE)
    if found is None:
        return None
    if current is None or not found.phone.is_assigned or not windows.may_begin(found):
        return OtherName() if windows.concerns(found) else None
    part = files.part(current.choice, ask.suffix, by_first=True)
    if part is None or (part is Part.BOOTSTRAP and not windows.gives_key(found, current)):
        return OtherName()
    return Offer(ask.mac, current, current.bytes_of(part), part, PathKind.PLAIN, ask.name, True, release=found)


def _can_read(found: ConfigFile, current: ConfigFile) -> bool:
    """Whether a phone with the older version can read the current file: it has the key of an encrypted one already.

    Formats that changed to and fro, or a lost key, make a new one: what the old one cannot open would count as fetched.
    """
    if not current.choice.is_encrypted:
        return True
    return files.is_same_key(current.choice, _key_of(current), found.choice, _key_of(found))


def _key_of(version: ConfigFile) -> str:
    return texts_of(version).get(files.KEY_SETTING, "")


def _may_have_key(current: ConfigFile, phone: Phone) -> bool:
    """Whether the first path gives the key. A phone that is known to have it asks for the next name, and opens that;
    whoever asks in its place, with frames of its MAC, gets what it cannot read."""
    return current.key_known_at is None and not _bootstrap_is_over(current, phone)


def _bootstrap_is_over(current: ConfigFile, phone: Phone) -> bool:
    """Whether the key was taken before the phone's last start: what it asks for now is the file that the key opens.

    Until then it may ask again, because only its last bytes may have been lost. Without a SUBSCRIBE to tell of a
    start, time does.
    """
    at = current.bootstrap_at
    if at is None:
        return False
    started = phone.subscribed_at is not None and phone.subscribed_at > at
    return started or timezone.now() - at > timedelta(seconds=BOOTSTRAP_SECONDS)


def first_path_open(config_file: ConfigFile, source_host: str) -> bool:
    """The first path works only from the address that its NOTIFY was sent to, and not for ever.

    Right after the clock was set back it ends later than it should, until that is seen to (clock_step.py).
    """
    longest = timedelta(hours=outbox.FIRST_PATH_HOURS + SET_BACK_HOURS)
    return (
        config_file.first_host == source_host
        and config_file.first_until is not None
        and timedelta(0) <= config_file.first_until - timezone.now() <= longest
    )


def record(offer: Offer, status: int, counts: bool, source_host: str, user_agent: str) -> None:
    """Store a download and move the stage if it proves something; commit this before the body's end is sent.

    Of a phone that repeats itself on and on only what moves it is written down.
    """
    now = timezone.now()
    version = offer.config_file
    with transaction.atomic():
        if not ConfigFile.objects.filter(pk=version.pk).exists():
            return  # the phone was forgotten while it fetched
        said = (offer.moves and counts and status == 200) or not _goes_on_and_on(version.phone_id, now)
        if said:
            Download.objects.create(
                phone_id=version.phone_id,
                config_file=version,
                path_kind=offer.path_kind,
                name=offer.name[:40],
                status=status,
                counts=counts and offer.part is Part.FINAL,
                source_host=source_host,
                user_agent=user_agent[:200],
                at=now,
            )
        inventory.touch(version.phone_id)
        if offer.part is Part.BOOTSTRAP:
            _took_bootstrap(version, status, counts)
            return
        newest = outbox.current_file(version.phone_id)
        if not counts or newest is None or newest.pk != version.pk:
            return
        fetched_now = status == 200 and bool(
            ConfigFile.objects.filter(pk=version.pk, fetched_at__isnull=True).update(fetched_at=now)
        )
        if fetched_now:
            _fetched(version, offer)
        elif not ConfigFile.objects.filter(pk=version.pk, fetched_at__isnull=False).exists():
            return  # a 304 sends no file: before `fetched` it says nothing
        if offer.path_kind in (PathKind.STEADY, PathKind.OLD):
            file_key.proved(version)
        if offer.path_kind == PathKind.STEADY:
            _by_steady_path(version, source_host, already_fetched=not fetched_now, said=said)
        if said and not fetched_now and offer.path_kind != PathKind.STEADY:
            inventory.tell(version.phone_id, EventKind.DOWNLOAD, f"Fetched {offer.name} again.")


def _goes_on_and_on(phone_id: int, now: datetime) -> bool:
    """Has this phone's path been used so often lately that one more download tells nothing?"""
    lately = now - timedelta(minutes=REPEATS_MINUTES), now + timedelta(minutes=REPEATS_MINUTES)
    at = Download.objects.filter(phone_id=phone_id).values_list("at", flat=True)[REPEATS - 1 : REPEATS].first()
    return at is not None and lately[0] < at < lately[1]


def record_released(offer: Offer, in_hand: str, source_host: str, user_agent: str) -> bool:
    """Store a complete download by the plain name, and close what let it out; commit this before the end is sent.

    False if it must not leave any more: somebody closed it, its time is over, or there is a newer file by now.
    """
    release = offer.release
    assert release is not None
    with transaction.atomic():
        outbox.lock_phones([release.phone_id])
        newest = outbox.current_file(release.phone_id)
        assigned = Phone.objects.filter(pk=release.phone_id, stage__in=inventory.WAY).exists()
        if newest is None or newest.pk != offer.config_file.pk or not assigned:
            return False
        if offer.part is Part.BOOTSTRAP and not windows.gives_key(release, newest):
            return False
        if not windows.finish(release, in_hand, newest, is_key=offer.part is Part.BOOTSTRAP):
            return False
        record(offer, 200, True, source_host, user_agent)
    return True


def _took_bootstrap(version: ConfigFile, status: int, complete: bool) -> None:
    """The phone has the key; it proves nothing but that. The same name leads nowhere from here on."""
    taken = ConfigFile.objects.filter(pk=version.pk, bootstrap_at__isnull=True)
    if status == 200 and complete and taken.update(bootstrap_at=timezone.now()):
        words = "Took the key of its encrypted file; it asks for that next."
        inventory.tell(version.phone_id, EventKind.DOWNLOAD, words)


def _fetched(version: ConfigFile, offer: Offer) -> None:
    inventory.advance(version.phone_id, Stage.FETCHED, BEFORE_FETCHED, fetched_words(offer.name))
    if offer.path_kind == PathKind.FIRST:
        url_forms.learn(version, offer.below)
    outbox.drop_waiting([version.pk], HAS_FETCHED)


def fetched_words(name: str) -> str:
    """What is told of a phone that took its file by this name."""
    return f"Fetched its file ({name}); it restarts now."


def _by_steady_path(version: ConfigFile, source_host: str, *, already_fetched: bool, said: bool) -> None:
    """The phone asks where only its own file could send it."""
    now = timezone.now()
    ConfigFile.objects.filter(pk=version.pk).update(steady_at=now)
    inventory.touch(version.phone_id, steady_host=source_host)
    ConfigFile.objects.filter(phone_id=version.phone_id, number__lt=version.number, retired_at__isnull=True).update(
        retired_at=now
    )
    if not already_fetched:
        return
    first_time = ConfigFile.objects.filter(pk=version.pk, fetched_at__isnull=False, applied_at__isnull=True).update(
        applied_at=now
    )
    if first_time:
        inventory.advance(
            version.phone_id,
            Stage.APPLIED,
            BEFORE_APPLIED,
            APPLIED + _from_elsewhere(version.phone_id, source_host),
        )
    elif said:
        words = STILL_APPLIED + _from_elsewhere(version.phone_id, source_host)
        inventory.tell(version.phone_id, EventKind.DOWNLOAD, words)
        inventory.explain(version.phone_id, "")
    outbox.drop_waiting([version.pk], BY_OWN_PATH)


def _from_elsewhere(phone_id: int, source_host: str) -> str:
    return from_elsewhere(Phone.objects.filter(pk=phone_id).values_list("source_host", flat=True).first(), source_host)


def from_elsewhere(heard_at: str | None, source_host: str) -> str:
    """A phone that asks from another address than it was heard at is behind a NAT or a proxy, or has moved."""
    if heard_at in (None, source_host):
        return ""
    return f" It asked from {source_host}, and was heard at {heard_at}: it has moved, or a NAT or proxy is between."
