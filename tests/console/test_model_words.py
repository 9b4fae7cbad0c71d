"""Names of tables and columns: in the reader's language on a page, in English in a migration and in what is stored."""

import pytest
from django.contrib.auth.models import Permission

from devices.models import Phone
from gspnp.console.admin.contacts import ContactForm
from gspnp.console.model_words import as_source
from tests.support.translation import mark_translations


def test_they_are_said_in_the_readers_language_also_in_forms_that_were_made_before(monkeypatch):
    mark_translations(monkeypatch)
    assert str(Phone._meta.verbose_name_plural) == "⟦phones⟧"
    assert str(Phone._meta.get_field("firmware").verbose_name) == "⟦firmware⟧"
    assert "⟦" in str(ContactForm().fields["first_name"].label)


def test_the_translators_get_each_of_them_and_no_empty_one():
    assert "gettext_noop('firmware')\n" in as_source() and "gettext_noop('')" not in as_source()


@pytest.mark.django_db
def test_permissions_keep_their_english_names():
    names = Permission.objects.filter(codename__endswith="_phone").values_list("name", flat=True)
    assert set(names) == {"Can add phone", "Can change phone", "Can delete phone", "Can view phone"}
