"""The page of phonebooks: per site on or off, what is in it, and a new secret path."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from devices.models import Phone
from gspnp.console.access import CHANGE, VIEW, needs
from gspnp.console.shell import shell_context
from provisioning.gxp.phonebook import MAX_ENTRIES, names
from provisioning.jobs import runner
from provisioning.models import Contact, Phonebook
from provisioning.phonebook import books

SHOWN = 100


@dataclass(frozen=True)
class Line:
    """One entry as the phone shows it."""

    name: str
    numbers: tuple[tuple[str, str], ...]
    department: str


@dataclass(frozen=True)
class SiteBook:
    """A site with its phonebook, if it has one, and the first of its entries."""

    site: str
    book: Phonebook | None
    entries: list[Line]
    more: int

    @property
    def title(self) -> str:
        return _("Site %(name)s") % {"name": self.site} if self.site else _("Default site")

    @property
    def is_on(self) -> bool:
        return self.book is not None and self.book.is_on

    @property
    def standing(self) -> str:
        """On or off, and with how many entries."""
        if self.book is None or not self.book.is_on:
            return _("off")
        entries, left_out = self.book.entries, self.book.left_out
        if left_out:
            words = ngettext(
                "on, %(number)d entry, %(left_out)d left out", "on, %(number)d entries, %(left_out)d left out", entries
            )
        else:
            words = ngettext("on, %(number)d entry", "on, %(number)d entries", entries)
        return words % {"number": entries, "left_out": left_out}


@require_safe
@needs(VIEW)
def page(request: HttpRequest) -> HttpResponse:
    """Every site that has phones, contacts or a phonebook."""
    sites = {""}
    for rows in (Phone.objects, Contact.objects, Phonebook.objects):
        sites |= set(rows.order_by().values_list("site", flat=True).distinct())
    existing = {book.site: book for book in Phonebook.objects.defer("content", "secret")}
    context = {
        "sites": [_site(site, existing.get(site)) for site in sorted(sites)],
        "max_entries": MAX_ENTRIES,
        "may_change": request.user.has_perm(CHANGE),
        "may_edit_contacts": request.user.has_perm("provisioning.change_contact"),
    }
    return render(request, "console/phonebook.html", shell_context(request, _("Phonebook")) | context)


@require_POST
@needs(CHANGE)
def switch(request: HttpRequest) -> HttpResponse:
    """On or off; the phones of the site get a new file by a job."""
    site, on = request.POST.get("site", "")[:40], request.POST.get("on") == "1"
    books.switch(site, on)
    _tell_phones(request, site, f"Phonebook {'on' if on else 'off'}")
    on_words, off_words = (
        _("The phonebook is on; its phones get new files."),
        _("The phonebook is off; its phones get new files."),
    )
    messages.success(request, on_words if on else off_words)
    return redirect("console:phonebook")


@require_POST
@needs(CHANGE)
def renew(request: HttpRequest) -> HttpResponse:
    """Another secret path; the old one leads nowhere."""
    site = request.POST.get("site", "")
    get_object_or_404(Phonebook, site=site)
    books.renew(site)
    _tell_phones(request, site, "Phonebook at a new path")
    messages.success(request, _("The old path leads nowhere now; the phones are told the new one."))
    return redirect("console:phonebook")


@require_safe
@needs(VIEW)
def file(request: HttpRequest) -> HttpResponse:
    """The XML that the phones of a site get."""
    book = get_object_or_404(Phonebook.objects.defer("secret"), site=request.GET.get("site", ""), content__isnull=False)
    return HttpResponse(bytes(book.content or b""), content_type="text/xml; charset=utf-8")


def _tell_phones(request: HttpRequest, site: str, title: str) -> None:
    """By a job, which is shown with the others. Its title is stored, so it is in English for every reader."""
    where = f" of site {site}" if site else ""
    job = runner.start(f"{title}{where}", {"site": site}, by=request.user.get_username())
    url = reverse("console:job", args=[job.pk])
    words = _('<a href="{url}">Job {number}</a> shows how far they are.')
    messages.info(request, format_html(words, url=url, number=job.pk))


def _site(site: str, book: Phonebook | None) -> SiteBook:
    entries = list(islice(books.entries_of(site, SHOWN), SHOWN))
    lines = [Line(" ".join(filter(None, names(entry))), entry.numbers, entry.department) for entry in entries]
    return SiteBook(site, book, lines, max(0, books.count(site) - SHOWN))
