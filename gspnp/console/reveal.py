"""Looking at a phone's password: a permission of its own, never over plain HTTP beyond loopback, always an event."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from devices.mac import colons
from devices.models import Phone
from gspnp.console.access import REVEAL, is_fetch, needs
from gspnp.console.shell import is_plain_beyond_loopback, shell_context
from provisioning.gxp.entries import label_of
from provisioning.revealing import CannotReveal, reveal

TOO_PLAIN = gettext_lazy(
    "Over plain HTTP a password can be read on the way, so it is not shown. Open the console over HTTPS "
    "(GSPNP_CONSOLE_CERT, or a proxy; docs/tls.md says how) or on the server itself."
)


@require_POST
@needs(REVEAL)
def page(request: HttpRequest, mac: str) -> HttpResponse:
    """The password named in `name`: as JSON for our script, else as a page. Never cached (`needs` says so)."""
    phone = get_object_or_404(Phone, mac=mac)
    if is_plain_beyond_loopback(request):
        return _answer(request, phone, 403, str(TOO_PLAIN))
    name = request.POST.get("name", "")
    try:
        value = reveal(phone, name, by=request.user.get_username())
    except CannotReveal as why:
        return _answer(request, phone, 409, str(why))
    words = _("%(setting)s of %(mac)s") % {"setting": label_of(name), "mac": colons(phone.mac)}
    return _answer(request, phone, 200, words, value)


def _answer(request: HttpRequest, phone: Phone, status: int, words: str, value: str = "") -> HttpResponse:
    if is_fetch(request):
        said = {"message": words} | ({"value": value} if value else {})
        return JsonResponse(said, status=status)
    context = shell_context(request, colons(phone.mac), phone=phone, words=words, value=value)
    return render(request, "console/revealed.html", context, status=status)
