""" "Add a phone": list one by the MAC on its label before it is plugged in; its assignment is the next step."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from devices import inventory
from devices.catalog import MODELS
from devices.mac import MacError, parse_mac, parse_oui
from devices.models import Phone
from gspnp.console.access import CHANGE, needs

# Whose MACs begin like this. Source: formats.md h9 and a15, seen in three projects.
GRANDSTREAM_OUIS = ("000B82", "C074AD", "EC74D7")


class AddForm(forms.Form):
    """A MAC in any spelling, typed, pasted or scanned; what it is; where it will stand."""

    mac = forms.CharField(
        label=gettext_lazy("MAC"),
        help_text=gettext_lazy("from its label, in any spelling"),
        max_length=60,
        error_messages={"required": gettext_lazy("Enter the MAC from the phone's label, or scan it.")},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "characters"}),
    )
    model = forms.ChoiceField(
        label=gettext_lazy("Model"),
        choices=[("", gettext_lazy("Choose what its label says…")), *((name, name) for name in MODELS)],
        error_messages={"required": gettext_lazy("Choose the model that its label names.")},
    )
    site = forms.CharField(
        label=gettext_lazy("Site"),
        help_text=gettext_lazy("where it will stand; empty: the default site"),
        required=False,
        max_length=40,
        widget=forms.TextInput(attrs={"autocomplete": "off", "list": "add-sites"}),
    )

    def clean_mac(self) -> str:
        """The MAC; its fault is said together with those of the other fields."""
        try:
            return parse_mac(self.cleaned_data["mac"])
        except MacError as error:
            raise forms.ValidationError(str(error)) from error


@require_http_methods(["GET", "HEAD", "POST"])
@needs(CHANGE)
def add(request: HttpRequest) -> HttpResponse:
    """GET: the form. POST: JSON with where to assign it, or the form again with the problem beside its field (422)."""
    if request.method != "POST":
        like = {"site": request.GET.get("site", ""), "model": request.GET.get("model", "")}
        return _show(request, AddForm(initial=like))
    form = AddForm(request.POST)
    if form.is_valid():
        typed = form.cleaned_data
        try:
            phone = inventory.prestage(typed["mac"], typed["model"], typed["site"], request.user.get_username())
        except inventory.CannotList as refusal:
            form.add_error(refusal.field, str(refusal))
        else:
            words = _("%(phone)s is listed. Assign it now: it gets its file when it is plugged in.")
            return JsonResponse({
                "message": words % {"phone": phone},
                "mac": phone.mac,
                "assign_url": reverse("console:assign", args=[phone.mac]),
            })  # fmt: skip
    return _show(request, form)


def _show(request: HttpRequest, form: AddForm) -> HttpResponse:
    context: dict[str, Any] = {"form": form, "sites": sites(), "ouis": ouis(), "only_these": bool(settings.GSPNP_OUIS)}
    return render(request, "console/_add_phone.html", context, status=422 if form.is_bound else 200)


def sites() -> list[str]:
    """The sites that phones stand at."""
    named = Phone.objects.exclude(site="").order_by("site")
    return list(named.values_list("site", flat=True).distinct())


def ouis() -> list[str]:
    """How the MACs of our phones begin: as the operator says, else as Grandstream's do."""
    return [parse_oui(text) for text in settings.GSPNP_OUIS] or list(GRANDSTREAM_OUIS)
