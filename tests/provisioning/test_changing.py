"""Changing a layer: what it would do is counted before, layer and job are stored together or not at all."""

import pytest

from devices.inventory import VersionConflict
from devices.models import Phone
from provisioning.changing import LayerChange, change, preview
from provisioning.gxp.config import ConfigError
from provisioning.jobs import runner
from provisioning.layers import store
from provisioning.models import Job, SettingsLayer
from tests import cast

pytestmark = pytest.mark.django_db


def test_only_phones_whose_settings_change_are_touched():
    cast.assigned()
    cast.assigned(cast.OTHER_MAC, "10.0.0.30")
    own = store.find("model", "GXP1628")
    store.save(own, {"vlan_tag": "5"}, by="otto")
    assert len(preview(store.find("site", ""), {"vlan_tag": "7"}).touched) == 0, "the model's layer wins"
    seen = preview(store.find("site", ""), {"vlan_tag": "7", "mtu": "1400"})
    assert (len(seen.touched), seen.reached) == (2, 2)
    assert not SettingsLayer.objects.filter(level="site").exists()


def test_changes_are_told_in_words_with_secrets_masked():
    site = store.save(store.find("site", ""), {"vlan_tag": "5", "xsi_password": "old", "disable_ssh": "1"}, by="otto")
    seen = preview(site, {"vlan_tag": None, "xsi_password": "new", "mtu": "1400"})
    assert seen.changes == [
        LayerChange("disable_ssh", "1 (yes)", "not said"),
        LayerChange("mtu", "not said", "1400"),
        LayerChange("vlan_tag", "5", "left alone"),
        LayerChange("xsi_password", "********", "********"),
    ]


def test_a_layer_and_its_job_are_stored_together_or_not_at_all():
    cast.assigned()
    with pytest.raises(runner.JobError):
        change(store.find("site", ""), {"vlan_tag": "7"}, by="tess", pace_per_minute=0)
    with pytest.raises(ConfigError):
        change(store.find("site", ""), {"vlan_tag": "99999"}, by="tess")
    assert not SettingsLayer.objects.filter(level="site").exists() and not Job.objects.exists()
    _, job = change(store.find("site", ""), {"vlan_tag": "7"}, by="tess", pace_per_minute=120)
    assert job is not None and (job.title, job.total, job.pace_per_second) == ("Settings of default site", 1, 2)


def test_a_layer_that_reaches_nobody_starts_no_job():
    layer, job = change(store.find("template", "desk"), {"vlan_tag": "7"}, by="tess")
    assert job is None and layer.pk


def test_a_layer_that_was_read_before_somebody_saved_it_is_refused():
    cast.assigned()
    old = store.find("site", "")
    change(store.find("site", ""), {"mtu": "1400"}, by="otto")
    with pytest.raises(VersionConflict):
        change(old, {"vlan_tag": "7"}, by="tess")
    assert store.find("site", "").values == {"mtu": "1400"} and Job.objects.count() == 1


@pytest.mark.parametrize("name", ["two words", "berlin/north", "zürich", "a" * 41])
def test_a_site_that_no_phone_can_have_gets_no_layer(name):
    with pytest.raises(ConfigError):
        store.find("site", name)


def test_a_site_that_a_phone_can_have_gets_one():
    for name in ("", "berlin", "Berlin_2-north"):
        Phone(site=name).clean_fields(exclude=[field.name for field in Phone._meta.fields if field.name != "site"])
        assert store.find("site", name).name == name
