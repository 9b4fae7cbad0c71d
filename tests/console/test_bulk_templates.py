"""Templates for many phones at once, in the administration."""

import json
import re

import pytest
from django.urls import reverse

from devices.models import Phone
from provisioning import outbox
from provisioning.gxp.document import values
from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import Job, PhoneTemplate, SettingsLayer
from tests import cast
from tests.console.conftest import signed_in

pytestmark = pytest.mark.django_db
URL = reverse("admin:devices_phone_changelist")


@pytest.fixture
def phones(db) -> list[Phone]:
    made = [cast.seen(f"000B8200000{place}", f"10.0.0.{place}") for place in range(1, 4)]
    for phone in made:
        cast.save(phone)
    return made


@pytest.fixture
def hall(db) -> SettingsLayer:
    return store.save(store.find("template", "Hall"), {"vlan_tag": "9"}, by="tess")


def press(client, action: str, phones: list[Phone], template: SettingsLayer):
    """Choose phones, read the page in between, and go on."""
    chosen = {"action": action, "_selected_action": [phone.pk for phone in phones]}
    page = client.post(URL, chosen).content.decode()
    assert "Hall" in page
    seen = json.dumps([[phone.pk, Phone.objects.get(pk=phone.pk).version, phone.source_host] for phone in phones])
    return client.post(URL, chosen | {"apply": "1", "value": template.pk, "seen": seen}, follow=True)


def test_a_template_is_given_to_phones_and_taken_from_them(administrator, phones, hall):
    client = signed_in(administrator)
    assert "Phones that were given the template: 2" in press(client, "give_template", phones[:2], hall).content.decode()
    runner.run.call(Job.objects.latest("pk").pk)
    said = [values(bytes(outbox.current_file(phone.pk).content)).get("vlan_tag") for phone in phones]
    assert said == ["9", "9", None]
    found = client.get(URL, {"template": hall.pk}).content.decode()
    assert set(re.findall(r"00:0B:82:00:00:0\d", found)) == {"00:0B:82:00:00:01", "00:0B:82:00:00:02"}
    press(client, "take_template", phones[:1], hall)
    assert [row.phone_id for row in PhoneTemplate.objects.all()] == [phones[1].pk]


def test_a_page_that_is_too_old_changes_nothing(administrator, phones, hall):
    chosen = {"action": "give_template", "_selected_action": [phones[0].pk]}
    seen = json.dumps([[phones[0].pk, 99, phones[0].source_host]])
    answer = signed_in(administrator).post(URL, chosen | {"apply": "1", "value": hall.pk, "seen": seen}, follow=True)
    assert "saved by somebody else" in answer.content.decode()
    assert not PhoneTemplate.objects.exists()


def test_a_template_in_use_says_who_has_it(administrator, phones, hall):
    store.give(phones[0], hall)
    client = signed_in(administrator)
    url = "/settings/layer/?level=template&name=Hall"
    assert "1 assigned phone" in client.get(url).content.decode()
    refused = client.post(url, {"do": "delete", "version": hall.version})
    assert refused.status_code == 409 and "00:0B:82:00:00:01" in refused.content.decode()
