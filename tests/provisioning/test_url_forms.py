"""The two forms of a NOTIFY's URL: which one a phone is told, and what its behaviour teaches for the next one."""

import pytest
from django.utils import timezone

from devices.models import Phone
from provisioning import outbox, url_forms
from provisioning.models import LearnedUrlForm, Notify, UrlForm
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
FIRMWARE = "1.0.4.88"  # the cast's
JUST_BEFORE, JUST_AFTER = 6 * 60 - 1, 6 * 60


def opening(notify: Notify, form: UrlForm) -> outbox.Opening:
    made = cast.opening(str(notify.pk), notify.phone.source_host)
    return outbox.Opening(**{name: getattr(made, name) for name in made.__slots__} | {"url_form": form.value})


def told(version, form: UrlForm | None = None, status: int = 200) -> UrlForm:
    """Its waiting NOTIFY leaves in the form that is chosen for it, and is answered."""
    notify = cast.owed(version.phone_id)
    chosen = form or chosen_for(version)
    assert cast.claim(notify, opening(notify, chosen))
    assert cast.answered(notify, status)
    return chosen


def chosen_for(version) -> UrlForm:
    notify = cast.owed(version.phone_id)
    rows = outbox.read(Notify.objects.filter(pk=notify.pk))
    return url_forms.choose(rows, timezone.now())[notify.pk]


def again(version) -> None:
    """A person asks for another NOTIFY."""
    phone = Phone.objects.get(pk=version.phone_id)
    assert outbox.notify_again(phone.pk, "tess", phone.source_host) is not None


def learned() -> list[tuple[str, str, str]]:
    return list(LearnedUrlForm.objects.values_list("model", "firmware", "form"))


def another(mac: str = cast.OTHER_MAC, host: str = cast.STRANGER, **changes):
    return cast.save(cast.seen(mac, host, **changes)).config_file


class TestWhatAPhoneIsTold:
    def test_a_gxp16xx_the_full_path(self):
        assert chosen_for(cast.assigned()) is UrlForm.FILE

    def test_the_url_of_each_form(self):
        base = "http://10.0.0.1:5481"
        assert url_forms.url(base, "s3cret", cast.MAC, UrlForm.FILE) == f"{base}/p/s3cret/cfg{cast.MAC}"
        assert url_forms.url(base, "s3cret", cast.MAC, UrlForm.FOLDER) == f"{base}/p/s3cret/"

    def test_who_was_told_in_vain_is_told_the_other_form_next_time(self, clock):
        version = cast.assigned()
        assert told(version) is UrlForm.FILE
        clock.forward(JUST_AFTER)
        again(version)
        assert told(version) is UrlForm.FOLDER
        clock.forward(JUST_AFTER)
        again(version)
        assert chosen_for(version) is UrlForm.FILE, "and back again"

    def test_before_six_minutes_are_over_nothing_was_in_vain(self, clock):
        version = cast.assigned()
        told(version)
        clock.forward(JUST_BEFORE)
        again(version)
        assert chosen_for(version) is UrlForm.FILE

    @pytest.mark.parametrize("status", [404, 500])
    def test_who_refused_says_nothing_of_the_form(self, clock, status: int):
        version = cast.assigned()
        told(version, status=status)
        clock.forward(JUST_AFTER)
        again(version)
        assert chosen_for(version) is UrlForm.FILE

    def test_one_that_fetched_is_told_the_form_that_it_fetched(self, clock):
        version = cast.assigned()
        told(version)
        cast.download(cast.first_path(version))
        clock.forward(JUST_AFTER)
        again(version)
        assert chosen_for(version) is UrlForm.FILE


class TestWhatIsLearned:
    def test_a_folder_that_was_fetched_is_the_form_for_the_next_phone_of_that_firmware(self, clock):
        version = cast.assigned()
        told(version)
        clock.forward(JUST_AFTER)
        again(version)
        assert told(version) is UrlForm.FOLDER
        cast.download(cast.first_path(version, f"cfg{cast.MAC.lower()}.xml"))
        assert learned() == [("GXP1628", FIRMWARE, "folder")]
        assert chosen_for(another()) is UrlForm.FOLDER, "at once, without six minutes of its own"

    def test_a_phone_that_asks_below_the_full_path_teaches_at_once(self):
        version = cast.assigned()
        assert told(version) is UrlForm.FILE
        cast.download(cast.first_path(version, f"cfg{cast.MAC}/cfg{cast.MAC.lower()}.xml"))
        assert learned() == [("GXP1628", FIRMWARE, "folder")]
        assert chosen_for(another()) is UrlForm.FOLDER

    def test_another_firmware_and_another_model_are_as_they_were(self):
        version = cast.assigned()
        told(version)
        cast.download(cast.first_path(version, f"cfg{cast.MAC}/cfg{cast.MAC.lower()}.xml"))
        assert chosen_for(another(firmware="1.0.7.81")) is UrlForm.FILE
        assert chosen_for(another("000B82BBBBBB", "10.0.0.98", model="GXP1630")) is UrlForm.FILE

    def test_a_phone_of_no_known_firmware_teaches_nothing(self):
        version = cast.save(cast.seen(firmware="")).config_file
        told(version)
        cast.download(cast.first_path(version))
        assert learned() == []

    def test_the_steady_path_teaches_nothing(self):
        version = cast.assigned()
        told(version, UrlForm.FOLDER)
        cast.download(cast.steady_path(version))
        assert learned() == []

    def test_a_broken_off_download_teaches_nothing(self):
        version = cast.assigned()
        told(version, UrlForm.FOLDER)
        cast.download(cast.first_path(version), counts=False)
        assert learned() == []

    def test_what_was_learned_last_counts(self):
        version = cast.assigned()
        told(version)
        cast.download(cast.first_path(version, f"cfg{cast.MAC}/cfg{cast.MAC.lower()}.xml"))
        other = another()
        assert told(other, UrlForm.FILE) is UrlForm.FILE
        cast.download(cast.first_path(other, f"cfg{cast.OTHER_MAC}"), host=cast.STRANGER)
        assert learned() == [("GXP1628", FIRMWARE, "file")]
        assert LearnedUrlForm.objects.get().learned_at == timezone.now()

    def test_many_phones_of_one_firmware_are_one_row(self):
        for mac, host in ((cast.MAC, cast.HOST), (cast.OTHER_MAC, cast.STRANGER)):
            version = cast.save(cast.seen(mac, host)).config_file
            told(version)
            cast.download(cast.first_path(version, f"cfg{mac}"), host=host)
        assert learned() == [("GXP1628", FIRMWARE, "file")]
