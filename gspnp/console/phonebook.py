"""The page of phonebooks: per site on or off, what is in it, and a new secret path."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from devices.models import Phone
from gspnp.console.access import CHANGE, VIEW, needs
from gspnp.console.shell import shell_context
from provisioning.gxp.phonebook import MAX_ENTRIES, Entry
from provisioning.jobs import runner
from provisioning.models import Contact, Phonebook
from provisioning.phonebook import books

SHOWN = 100


@dataclass(frozen=True)
class SiteBook:
    """A site with its phonebook, if it has one, and the first of its entries."""

    site: str
    book: Phonebook | None
    entries: list[Entry]
    more: int

    @property
    def title(self) -> str:
        return f"Site {self.site}" if self.site else "Default site"

    @property
    def is_on(self) -> bool:
        return self.book is not None and self.book.is_on


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
    return render(request, "console/phonebook.html", shell_context(request, "Phonebook") | context)


@require_POST
@needs(CHANGE)
def switch(request: HttpRequest) -> HttpResponse:
    """On or off; the phones of the site get a new file by a job."""
    site, on = request.POST.get("site", "")[:40], request.POST.get("on") == "1"
    books.switch(site, on)
    job = _tell_phones(request, site, f"Phonebook {'on' if on else 'off'}")
    messages.success(request, f"The phonebook is {'on' if on else 'off'}. Job {job} gives the phones their files.")
    return redirect("console:phonebook")


@require_POST
@needs(CHANGE)
def renew(request: HttpRequest) -> HttpResponse:
    """Another secret path; the old one leads nowhere."""
    site = request.POST.get("site", "")
    get_object_or_404(Phonebook, site=site)
    books.renew(site)
    job = _tell_phones(request, site, "Phonebook at a new path")
    messages.success(request, f"The old path leads nowhere now. Job {job} tells the phones the new one.")
    return redirect("console:phonebook")


def _tell_phones(request: HttpRequest, site: str, title: str) -> int:
    return runner.start(title, {"site": site}, by=request.user.get_username()).pk


def _site(site: str, book: Phonebook | None) -> SiteBook:
    entries = [entry for entry in books.entries_of(site) if entry.numbers]
    return SiteBook(site, book, entries[:SHOWN], max(0, len(entries) - SHOWN))
