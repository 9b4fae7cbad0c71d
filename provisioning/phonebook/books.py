"""Phonebooks of sites: switched on and off, made anew when their rows change, found by their secret path."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping

from django.db.models import Count, Max, Q, QuerySet, Sum
from django.utils import timezone

from devices.choices import WAY
from devices.crypto import CannotDecrypt
from devices.models import Account, Phone
from provisioning.gxp import phonebook
from provisioning.gxp.phonebook import Entry
from provisioning.paths import fresh_secret, hash_of, read_phonebook
from provisioning.phonebook.models import Contact, Phonebook

log = logging.getLogger(__name__)

PATH = "phonebook_server_path"
INTERVAL_MINUTES = 60  # between two downloads of a phone; 5 to 720 are allowed (e7). Our choice.


def secrets() -> Mapping[str, str]:
    """The secret of every phonebook that is on, by site; one that no key opens counts as off, and is logged."""
    on = Phonebook.objects.filter(is_on=True)
    try:
        return dict(on.values_list("site", "secret"))
    except CannotDecrypt:
        return dict(_readable(on.only("site")))


def _readable(books: Iterable[Phonebook]) -> Iterator[tuple[str, str]]:
    for book in books:
        try:
            yield book.site, book.secret
        except CannotDecrypt:
            where = book.site or "the default site"
            log.error("the path of the phonebook of %s cannot be read: give it a new one", where)


def settings_for(secret: str, base: str) -> Mapping[str, str | None]:
    """What a phone's file says so that it fetches its site's phonebook; nothing if there is none."""
    if not secret:
        return {}
    scheme, _, place = base.partition("://")
    return {
        "phonebook_download_protocol": "3" if scheme == "https" else "1",
        PATH: f"{place}/phonebook/{secret}",
        "phonebook_interval_minutes": str(INTERVAL_MINUTES),
        "phonebook_replace_manual_entries": "0",  # what people typed into their phones is theirs
    }


def ours_among(texts: Mapping[str, str]) -> set[str]:
    """Which settings of a file are there because of a phonebook of ours."""
    return set(settings_for("-", "")) if read_phonebook(_path_of(texts.get(PATH, ""))) else set()


def _path_of(text: str) -> str:
    """/phonebook/<secret>/phonebook.xml of host[:port][/path]/phonebook/<secret>."""
    head, mark, secret = text.rpartition("/phonebook/")
    return f"{mark}{secret}/phonebook.xml" if head else ""


def switch(site: str, on: bool) -> Phonebook:
    """Switch a site's phonebook; its phones need a new file then. It is made at once, so that no phone asks in vain."""
    book = Phonebook.objects.filter(site=site).first()
    if book is None:
        secret = fresh_secret()
        book = Phonebook(site=site, secret=secret, secret_hash=hash_of(secret))
    book.is_on = on
    book.save()
    if on:
        refresh(book)
    return book


def renew(site: str) -> Phonebook:
    """Give a site's phonebook another secret path; the old one leads nowhere from now on."""
    book = Phonebook.objects.defer("secret").get(site=site)
    book.secret = fresh_secret()
    book.secret_hash = hash_of(book.secret)
    book.save()
    return book


def refresh_all() -> int:
    """Make anew what has changed; how many. Call it now and then: what has not costs one question each."""
    return sum(refresh(book) for book in Phonebook.objects.filter(is_on=True).defer("content", "secret"))


def refresh(book: Phonebook) -> bool:
    """Make this phonebook anew if the rows behind it have changed."""
    made_of = _made_of(book.site)
    if made_of == book.made_of:
        return False
    content, entries, left_out = phonebook.render(entries_of(book.site))
    Phonebook.objects.filter(pk=book.pk).update(
        content=content,
        etag=hashlib.sha256(content).hexdigest()[:32],
        entries=entries,
        left_out=left_out,
        made_of=made_of,
        made_at=timezone.now(),
    )
    return True


def entries_of(site: str, most: int | None = None) -> Iterator[Entry]:
    """Every account of the site's assigned phones, and every contact of the site; of each at most so many."""
    for name, user_id in _accounts(site).order_by("pk").values_list("display_name", "user_id")[:most]:
        first, _, last = name.strip().rpartition(" ")
        yield Entry(first or last, last if first else "", (("Work", user_id),))
    for contact in _contacts(site).order_by("pk")[:most]:
        numbers = (("Work", contact.work), ("Home", contact.home), ("Cell", contact.cell))
        kept = tuple((kind, phonebook.dialled(number)) for kind, number in numbers if number)
        yield Entry(contact.first_name, contact.last_name, kept, contact.department)


def count(site: str) -> int:
    """How many entries there would be, with those that phones do not take."""
    return _accounts(site).count() + _contacts(site).count()


def _accounts(site: str) -> QuerySet[Account]:
    return Account.objects.filter(phone__site=site, phone__stage__in=WAY).exclude(user_id="")


def _contacts(site: str) -> QuerySet[Contact]:
    """Those without a number are in no phonebook."""
    there = Contact.objects.filter(Q(site=site) | Q(site=""))
    return there.exclude(work="", home="", cell="")


def find(secret: str) -> Phonebook | None:
    """The phonebook behind a secret path, if it is on and made."""
    found = Phonebook.objects.filter(secret_hash=hash_of(secret), is_on=True).first()
    return found if found is not None and found.content is not None else None


def _made_of(site: str) -> str:
    """Changes whenever a row behind the phonebook does: every save of a phone counts its version up."""
    phones = Phone.objects.filter(site=site, stage__in=WAY).aggregate(Count("pk"), Sum("version"), Sum("pk"), Max("pk"))
    contacts = Contact.objects.filter(Q(site=site) | Q(site="")).aggregate(Count("pk"), Max("changed_at"), Max("pk"))
    accounts = Account.objects.filter(phone__site=site).aggregate(Count("pk"), Max("pk"))
    return " ".join(str(value) for counted in (phones, accounts, contacts) for value in counted.values())[:200]
