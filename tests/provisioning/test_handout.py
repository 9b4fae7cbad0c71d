"""Extensions handed out by themselves: in order of arrival, each once, and no secret to an address nobody verified."""

from unittest.mock import patch

import pytest
from django.utils import timezone

from devices import directory, inventory, trust
from devices.choices import Neighbour, Stage
from devices.directory import Entry
from devices.models import Account, Phone
from devices.trust import Verdict
from provisioning import assignment, clock_step
from provisioning.handout import giving, ranges, waiting
from provisioning.handout.ranges import Range
from provisioning.layers import store
from provisioning.management.commands import work
from provisioning.models import HandedOut, Handout, Notify, NotifyOrigin, PhoneTemplate
from sipmcast.endings import standing
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]
WANTED = Range("200", "249", sip_server="pbx.example")


def extensions(*numbers: str, site: str = "", **more) -> None:
    for number in numbers:
        directory.add(Entry(site, number, f"Name {number}", f"s3cr3t-{number}", **more))


def on(site: str = "", wanted: Range = WANTED) -> Handout:
    return ranges.switch(site, wanted, on=True, by="tess")


def arrive(number: int, site: str = "", **changes) -> Phone:
    """A new phone is heard at the site."""
    told = cast.sighting(f"000B82{number:06X}", f"10.0.1.{number}", **changes)
    (heard,) = inventory.record_sightings([told], cast.unknown, site=site)
    return Phone.objects.get(pk=heard.phone_id)


def invented(count: int, host: str = "10.0.0.66", verify=cast.unknown, site: str = "") -> None:
    """One host says to be so many phones."""
    told = [cast.sighting(f"000B8200{0xFF00 + number:04X}", host) for number in range(count)]
    inventory.record_sightings(told, verify, site=site)


def numbers() -> dict[int, str]:
    """Which phone has which extension."""
    return {int(mac[-4:], 16): number for mac, number in Account.objects.values_list("phone__mac", "user_id")}


def test_new_phones_get_the_free_ones_in_order_and_nothing_before_it_is_switched_on(clock):
    extensions("1000", "201", "200", "249", "250")
    arrive(1)
    clock.forward(1)
    on()
    for number in (3, 2):
        clock.forward(1)
        arrive(number)
    assert giving.hand_out() == 2
    assert numbers() == {3: "200", 2: "201"}, "the phone that was there before is for a person"
    account = Account.objects.get(user_id="200")
    assert (account.password, account.display_name, account.sip_server) == ("s3cr3t-200", "Name 200", "pbx.example")
    assert giving.hand_out() == 0
    assert HandedOut.objects.exclude(done_at=None).count() == 2


def test_it_is_a_part_of_the_workers_round(clock):
    extensions("200")
    on()
    arrive(1)
    work.one_round()
    assert numbers() == {1: "200"}


def test_one_that_a_phone_has_is_not_handed_out_again(clock):
    extensions("200", "201")
    cast.save(cast.seen(), cast.draft(user_id="200"))
    on()
    arrive(1)
    giving.hand_out()
    assert numbers()[1] == "201"


def test_it_stops_with_a_remark_and_goes_on_when_there_is_one_again(clock):
    extensions("200")
    handout = on()
    arrive(1)
    arrive(2)
    giving.hand_out()
    handout.refresh_from_db()
    assert numbers() == {1: "200"} and "Add some to the directory" in handout.words
    extensions("201")
    giving.hand_out()
    handout.refresh_from_db()
    assert numbers() == {1: "200", 2: "201"} and handout.words == ""


def test_only_its_site_its_models_and_phones_that_nobody_touched(clock):
    extensions("200", "201", "202", "203", site="berlin")
    extensions("204")
    on("berlin", Range("200", "249", "pbx.example", only_models=("GXP1628",)))
    arrive(1)  # another site
    arrive(2, "berlin", model="GXP1610")
    arrive(3, "berlin", model="GRP2612")
    inventory.ignore(arrive(4, "berlin").pk, "tess")
    Phone.objects.filter(pk=arrive(5, "berlin").pk).update(alarm="Another address claims to be it.")
    Phone.objects.filter(pk=arrive(6, "berlin").pk).update(neighbour=Neighbour.MISMATCH)
    arrive(7, "berlin")
    assert giving.hand_out() == 1
    assert numbers() == {7: "200"}


def test_one_host_that_invents_phones_takes_one_until_that_has_applied_its_file(clock):
    extensions("200", "201", "202", "203")
    on()
    invented(12)
    clock.forward(1)
    arrive(1)
    assert giving.hand_out() == 2
    assert numbers() == {0xFF00: "200", 1: "201"}, "a phone at an address of its own is not kept waiting"
    clock.forward(minutes=10)
    assert giving.hand_out() == 0
    Phone.objects.filter(mac="000B8200FF00").update(stage=Stage.APPLIED)
    assert giving.hand_out() == 1 and numbers()[0xFF01] == "202"


def test_who_is_verified_does_not_wait_for_who_had_the_address_before(clock):
    extensions("200", "201")
    on()
    invented(1, "10.0.0.20")
    giving.hand_out()
    inventory.record_sightings([cast.sighting("000B82000001", "10.0.0.20")], cast.match)
    giving.hand_out()
    assert numbers() == {0xFF00: "200", 1: "201"}


def test_an_assignment_by_hand_at_the_same_address_keeps_nobody_waiting(clock):
    extensions("200", "201")
    on()
    invented(2)
    claim = giving._claim(Handout.objects.get(), Phone.objects.get(mac="000B8200FF00").pk)
    cast.save(claim.phone, cast.draft(user_id="900"))
    giving.hand_out()
    assert numbers() == {0xFF00: "900", 0xFF01: "200"}


def test_two_workers_give_one_to_an_address(clock):
    extensions("200", "201")
    handout = on()
    invented(2)
    first, second = Phone.objects.order_by("mac")
    assert giving._claim(handout, first.pk) is not None
    assert giving._claim(handout, second.pk) is None, "it was ready when the other worker looked"


def test_verified_ones_get_so_many_a_minute(clock):
    extensions(*(str(number) for number in range(200, 240)))
    handout = on()
    invented(40, verify=cast.match)
    assert giving.hand_out() == waiting.PER_MINUTE == 30
    assert giving.hand_out() == 0 and giving._claim(handout, waiting.ready(handout).first().pk) is None
    clock.forward(61)
    assert giving.hand_out() == 10


def test_while_new_phones_come_in_a_burst_nothing_is_handed_out(clock):
    extensions("200", "201", "202")
    extensions("200", site="berlin")
    handout, elsewhere = on(), on("berlin")
    invented(61, verify=cast.match)
    clock.forward(1)
    arrive(1)
    arrive(2, "berlin")
    assert giving.hand_out() == 1 and numbers() == {2: "200"}
    handout.refresh_from_db()
    elsewhere.refresh_from_db()
    assert handout.words.startswith("10.0.0.66 has announced more than 60 phones") and elsewhere.words == ""
    clock.forward(61)
    assert giving.hand_out() == 3
    handout.refresh_from_db()
    assert handout.words == giving.NONE_LEFT


def test_the_remark_on_a_burst_goes_when_it_is_over(clock):
    handout = on()
    invented(61)
    giving.hand_out()
    Phone.objects.all().delete()
    giving.hand_out()
    handout.refresh_from_db()
    assert handout.words == ""


def test_switched_off_it_does_nothing_and_switched_on_again_it_is_for_later_ones(clock):
    extensions("200", "201")
    on()
    ranges.switch("", WANTED, on=False, by="tess")
    arrive(1)
    assert giving.hand_out() == 0
    clock.forward(1)
    on()
    clock.forward(1)
    arrive(2)
    giving.hand_out()
    assert numbers() == {2: "200"}


def test_nobody_confirmed_its_address_so_the_secret_waits_for_the_neighbour_table_or_a_click(clock):
    extensions("200")
    on()
    phone = arrive(1)
    giving.hand_out()
    phone.refresh_from_db()
    assert (phone.stage, phone.approved_host, phone.approved_at) == (Stage.ASSIGNED, None, None)
    notify = Notify.objects.get()
    assert notify.origin == NotifyOrigin.JOB
    said = {one: trust.objection(standing(notify, phone, timezone.now(), one), one) for one in Verdict}
    assert said[Verdict.MATCH] is None
    assert "Nobody has confirmed" in said[Verdict.UNKNOWN]
    assert "Another device" in said[Verdict.MISMATCH]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_dies_leaves_the_same_number_for_the_same_phone(clock, when):
    extensions("200", "201")
    on()
    arrive(1)
    real = assignment.save

    def dying(*args, **options):
        if when == "after":
            real(*args, **options)
        raise KeyboardInterrupt

    with patch.object(assignment, "save", dying), pytest.raises(KeyboardInterrupt):
        giving.hand_out()
    arrive(2)
    giving.hand_out()
    assert numbers() == {1: "200", 2: "201"}
    assert HandedOut.objects.filter(done_at=None).count() == 0


def test_two_workers_at_the_same_phone_give_it_one(clock):
    extensions("200", "201")
    on()
    arrive(1)
    real = assignment.save

    def overtaken(*args, **options):
        with patch.object(assignment, "save", real):
            giving.hand_out()  # the other worker is faster by a hair
        return real(*args, **options)

    with patch.object(assignment, "save", overtaken):
        giving.hand_out()
    giving.hand_out()
    assert numbers() == {1: "200"} and Phone.objects.get().version == 1
    assert HandedOut.objects.get().done_at is not None


def test_a_number_that_another_worker_takes_at_this_moment_is_left_to_it(clock):
    extensions("200", "201")
    handout = on()
    first, second = arrive(1), arrive(2)
    real = giving.left

    def stale(asked):
        found = real(asked)
        free = list(found)
        giving.left = real
        giving._claim(asked, first.pk)  # between the look and the lock
        found._result_cache = free
        return found

    with patch.object(giving, "left", stale):
        claim = giving._claim(handout, second.pk)
    assert (HandedOut.objects.get(phone=first).number, claim.number) == ("200", "201")


def test_a_person_who_was_faster_keeps_the_phone(clock):
    extensions("200", "201")
    on()
    phone = arrive(1)
    claim = giving._claim(Handout.objects.get(), phone.pk)
    cast.save(phone, cast.draft(user_id="900"))
    giving.hand_out()
    claim.refresh_from_db()
    assert numbers() == {1: "900"} and claim.done_at is not None and "otherwise" in claim.words
    arrive(2)
    giving.hand_out()
    assert numbers()[2] == "200"


def test_one_that_cannot_be_saved_says_why_keeps_its_number_and_is_tried_again(clock):
    extensions("200", "201")
    on("", Range("200", "249"))  # no SIP server anywhere
    arrive(1)
    assert giving.hand_out() == 0
    claim = HandedOut.objects.get()
    assert "needs a SIP server" in claim.words and claim.number == "200" and "s3cr3t" not in claim.words
    on()
    assert giving.hand_out() == 0, "not again at once"
    clock.forward(minutes=6)
    assert giving.hand_out() == 1
    assert numbers() == {1: "200"}


def test_after_the_clock_was_set_back_neither_new_phones_nor_a_next_try_wait_for_an_hour(clock):
    extensions("200", "201")
    on()
    clock.forward(1)
    first = arrive(1)
    claim = Handout.objects.get().given.create(phone=first, number="200", at=clock.at, words="Busy.")
    clock.forward(hours=-1)
    clock_step.went_back(3600)
    clock.forward(minutes=giving.RETRY_MINUTES, seconds=1)
    arrive(2)
    giving.hand_out()
    assert numbers() == {1: "200", 2: "201"}
    claim.refresh_from_db()
    assert claim.done_at is not None


def test_an_entry_that_is_gone_is_said(clock):
    extensions("200")
    on()
    phone = arrive(1)
    giving._claim(Handout.objects.get(), phone.pk)
    one = directory.readable().get()
    directory.remove(one.pk, one.version)
    giving.hand_out()
    assert "not in the directory any more" in HandedOut.objects.get().words


def test_codecs_and_a_template_come_along(clock):
    extensions("200", voicemail="*97")
    template = store.save(store.find("template", "Desk"), {"vlan_tag": "7"}, by="tess")
    on("", Range("200", "249", "pbx.example", codecs=("PCMA",), template="Desk"))
    phone = arrive(1)
    giving.hand_out()
    assert PhoneTemplate.objects.get(phone=phone).layer == template
    assert (Account.objects.get().codecs, Account.objects.get().voicemail) == (["PCMA"], "*97")


def test_digits_are_counted(clock):
    extensions("0200", "200", "0201")
    on("", Range("0200", "0249", "pbx.example"))
    assert [one.number for one in giving.left(Handout.objects.get())] == ["0200", "0201"]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (Range("", "249"), "first"),
        (Range("200", "x"), "last"),
        (Range("200", "0249"), "last"),
        (Range("249", "200"), "last"),
        (Range("200", "249", "http://x"), "sip_server"),
        (Range("200", "249", codecs=("nothing",)), "codecs"),
        (Range("200", "249", only_models=("GXP9",)), "only_models"),
        (Range("200", "249", template="none"), "template"),
    ],
)
def test_what_cannot_be_handed_out_is_refused_by_field(wanted, field):
    assert [name for name, _ in ranges.faults(wanted)] == [field]


def claimed(phone: Phone) -> HandedOut:
    """A worker has claimed a number for it, and is about to save."""
    claim = giving._claim(Handout.objects.get(site=phone.site), phone.pk)
    assert claim is not None
    return claim


def test_a_phone_that_is_put_at_another_site_after_the_claim_gets_the_extension_of_that_site(clock):
    extensions("200", site="berlin")
    extensions("210", site="hamburg")
    on("berlin")
    on("hamburg")
    phone = arrive(1, "berlin")
    claim = claimed(phone)
    inventory.move(phone.pk, "hamburg", "theo")
    assert not giving._finish(claim)
    assert giving.hand_out() == 1
    assert numbers() == {1: "210"}
    arrive(2, "berlin")
    giving.hand_out()
    assert numbers() == {1: "210", 2: "200"}, "the number is free again"


def test_one_that_is_moved_while_it_is_saved_is_looked_at_again(clock):
    extensions("200", site="berlin")
    on("berlin")
    phone = arrive(1, "berlin")
    claim, real = claimed(phone), giving._account

    def meanwhile(*arguments):
        inventory.move(phone.pk, "hamburg", "theo")
        return real(*arguments)

    with patch.object(giving, "_account", meanwhile):
        assert not giving._finish(claim)
    assert giving.hand_out() == 0 and numbers() == {} and not HandedOut.objects.exists()


def test_an_alarm_after_the_claim_keeps_the_extension_back(clock):
    extensions("200")
    on()
    phone = arrive(1)
    claim = claimed(phone)
    inventory.raise_alarm(phone.pk, "Another device is at its address.")
    assert not giving._finish(claim)
    assert giving.hand_out() == 0 and numbers() == {}
    inventory.dismiss_alarm(phone.pk, "tess")
    assert giving.hand_out() == 1 and numbers() == {1: "200"}


def test_a_person_s_assignment_that_has_no_file_yet_is_not_replaced(clock):
    """Ignored and heeded again it looks new; it has its accounts all the same."""
    extensions("200")
    on()
    phone = arrive(1)
    cast.save(phone, cast.draft(user_id="1001"))
    phone.config_files.all().delete()
    inventory.ignore(phone.pk, "tess")
    assignment.heed(phone.pk, "tess")
    giving.hand_out()
    phone.refresh_from_db()
    assert (phone.stage, numbers()) == (Stage.SEEN, {1: "1001"})


def test_a_round_goes_on_if_a_phone_is_forgotten_just_when_its_number_is_claimed(monkeypatch, clock):
    extensions("200")
    phone = arrive(1)
    ready = waiting.ready

    class Forgotten:
        """It is there when it is looked at, and gone thereafter."""

        def filter(self, pk):
            return self

        def exists(self):
            return bool(inventory.forget(phone.pk, "theo"))

    handout = on()
    monkeypatch.setattr(waiting, "ready", lambda of: Forgotten())
    assert giving._claim(handout, phone.pk) is None
    assert not HandedOut.objects.exists()
    monkeypatch.setattr(waiting, "ready", ready)
    arrive(2)
    assert giving.hand_out() == 1
