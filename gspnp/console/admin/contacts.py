"""Contacts of the phonebooks, for people who keep them."""

from __future__ import annotations

from django import forms
from django.contrib import admin
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin

from provisioning.gxp.phonebook import number_fault
from provisioning.models import Contact

NUMBERS = ("work", "home", "cell")


class ContactForm(forms.ModelForm):
    """A contact has a number, and each is one that a phone can dial."""

    class Meta:
        model = Contact
        fields = ("site", "first_name", "last_name", "department", *NUMBERS)

    def clean(self) -> None:
        super().clean()
        for name in NUMBERS:
            number = (self.cleaned_data.get(name) or "").strip()
            wrong = number_fault(number) if number else None
            if wrong:
                self.add_error(name, _("This %(wrong)s.") % {"wrong": wrong})
        if not any(self.cleaned_data.get(name) for name in NUMBERS) and not self.errors:
            raise forms.ValidationError(_("A contact needs a number; enter one."))


@admin.register(Contact)
class ContactAdmin(ModelAdmin):
    """Everybody without a phone of ours."""

    form = ContactForm
    list_display = ("first_name", "last_name", *NUMBERS, "department", "site")
    list_display_links = ("first_name", "last_name")
    list_filter = ("site", "department")
    search_fields = ("first_name", "last_name", "department", *NUMBERS)
    list_per_page = 100
