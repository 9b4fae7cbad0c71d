"""What must never stand on any page: secrets in the clear, and a stranger's text as markup."""

import html

import pytest
from django.contrib import admin
from django.urls import reverse

from devices.models import LiveEvent, Phone
from provisioning.gxp import document
from provisioning.gxp.catalogue import SETTINGS
from provisioning.gxp.files import FileFormat
from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import ConfigFile, Download, Job, Notify, Phonebook
from provisioning.phonebook import books
from tests import cast
from tests.console.conftest import signed_in

pytestmark = pytest.mark.django_db
SCRIPT = "<script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(2)>"


def pages() -> list[str]:
    """Every page that shows a phone: the console's, and each list and form of the admin."""
    found = ["/", "/rows/", "/phones.json", "/?stage=seen", "/?sort=extension"]
    for phone in Phone.objects.all():
        base = f"/phones/{phone.mac}/"
        found += [base, f"{base}live/", f"{base}assign/", f"{base}settings/", f"{base}history/"]
    found += [
        "/settings/",
        "/settings/layer/?level=model&name=GXP1628",
        "/settings/opinions/",
        "/jobs/",
        "/firmware/",
        "/phonebook/",
        "/doctor/",
    ]
    found += [f"/jobs/{job.pk}/" for job in Job.objects.all()]
    for model, _ in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        found.append(reverse(f"{name}_changelist"))
        for row in model._default_manager.only("pk")[:3]:
            found += [reverse(f"{name}_change", args=[row.pk]), reverse(f"{name}_history", args=[row.pk])]
    return found


@pytest.fixture(params=FileFormat)
def everything(administrator, request):
    """The administrator's browser, and one phone that has gone the whole way; its model's layer has a secret."""
    values = {"xsi_password": cast.PASSWORD, "file_format": request.param.value}
    store.save(store.find("model", "GXP1628"), values, by="tess")
    books.switch("", True)
    runner.start("Settings of model GXP1628", {}, by="tess")
    return signed_in(administrator), cast.applied(cast.assigned())


def test_no_page_holds_a_password_a_path_or_a_file(everything):
    browser, version = everything
    Notify.objects.update(datagram=f"NOTIFY /p/{version.first_secret}/".encode())
    texts = document.values(bytes(version.content))
    secrets = [cast.PASSWORD, version.first_secret, version.steady_secret, version.first_hash, version.steady_hash]
    secrets += [text for name, text in texts.items() if SETTINGS[name].secret and len(text) > 7]
    secrets.append(Phonebook.objects.get().secret)
    for page in pages():
        answer = browser.get(page, follow=True)
        assert answer.status_code == 200, page
        words = html.unescape(answer.content.decode())
        for secret in secrets:
            assert secret not in words, page


def test_no_page_needs_the_keys_of_the_secrets_to_be_shown(everything, settings):
    browser, _ = everything
    settings.GSPNP_FIELD_KEYS = ["b3RoZXIga2V5OiAzMiBieXRlcyBvZiBhIGtleS4uLi4="]
    for page in pages():
        assert browser.get(page, follow=True).status_code == 200, page


def test_what_a_stranger_says_is_text_on_every_page(administrator):
    browser = signed_in(administrator)
    said = {"model": SCRIPT, "vendor": IMAGE, "firmware": SCRIPT, "contact": f'"><{SCRIPT}', "interface": IMAGE}
    phone = cast.seen(**said)
    cast.inventory.raise_alarm(phone.pk, f"{SCRIPT} now claims something")
    cast.inventory.explain(phone.pk, IMAGE, ["seen"])
    assert LiveEvent.objects.filter(text__contains=SCRIPT).exists()
    for page in pages():
        if page == "/phones.json":
            continue  # JSON, and served as such
        words = browser.get(page, follow=True).content.decode()
        assert SCRIPT not in words, page
        assert "<img src=x" not in words, page
    assert browser.get("/phones.json")["Content-Type"] == "application/json"


def test_what_a_phone_says_while_downloading_is_text_too(everything):
    browser, version = everything
    Download.objects.update(user_agent=SCRIPT, name=IMAGE)
    cast.save(version.phone, cast.draft(cast.blf("mpk1", "1002", IMAGE), display_name=SCRIPT))
    for page in pages():
        words = browser.get(page, follow=True).content.decode()
        if page != "/phones.json":
            assert SCRIPT not in words, page
            assert "<img src=x" not in words, page
    assert ConfigFile.objects.count() == 2
