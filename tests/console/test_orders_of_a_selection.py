"""What is done to a selection: first the questions, then exactly the phones that were agreed to, if one may."""

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from devices.choices import Stage
from devices.models import Phone
from provisioning.jobs import kinds, orders, pace, runner
from provisioning.models import Job, JobTarget, Notify, NotifyKind, NotifyState
from tests import cast
from tests.console.conftest import person, signed_in

pytestmark = pytest.mark.django_db
FETCH = {"X-Requested-With": "fetch"}


@pytest.fixture
def five(db) -> list[Phone]:
    """Two assigned phones, two seen ones, one ignored."""
    for number in range(1, 6):
        phone = cast.seen(f"000B8200000{number}", f"10.0.1.{number}")
        if number < 3:
            cast.save(phone)
    Phone.objects.filter(mac="000B82000005").update(stage=Stage.IGNORED)
    return list(Phone.objects.order_by("mac"))


def by_hand(phones: list[Phone], **more: str) -> dict[str, str]:
    return {"phones": json.dumps([[phone.mac, phone.source_host] for phone in phones]), **more}


def agreed(client, kind: str, fields: dict[str, str], **more: str):
    """Look at the question, and agree to it."""
    words = client.post(f"/orders/{kind}/", fields).content.decode()
    return client.post(f"/orders/{kind}/", fields | {"go": go_of(words)} | more)


def go_of(words: str) -> str:
    """What the dialog sends when somebody agrees."""
    return re.search(r'data-digest="([0-9a-f]{64})"', words)[1]


def targets(job: Job | None = None) -> list[tuple[str, str]]:
    return list(JobTarget.objects.order_by("phone__mac").values_list("phone__mac", "host"))


def test_the_questions_say_whom_it_concerns_and_write_nothing(console, five):
    words = console.post("/orders/reboot/", by_hand(five)).content.decode()
    assert "Restart: 2 phones" in words
    assert "3 more are without a configuration of ours: left out" in words
    assert 'value="30"' in words and 'max="600"' in words
    assert not Job.objects.filter(kind="reboot").exists()


def test_the_order_goes_to_those_phones_at_the_addresses_that_were_shown(console, five):
    Phone.objects.filter(pk=five[1].pk).update(source_host=cast.STRANGER)
    words = console.post("/orders/reboot/", by_hand(five)).content.decode()
    assert "1 phone is at another address than you were shown" in words
    answer = agreed(console, "reboot", by_hand(five), pace="12")
    job = Job.objects.get(kind="reboot")
    assert answer.json()["url"] == f"/jobs/{job.pk}/"
    assert (job.title, job.created_by, job.pace_per_second) == ("Restart: 2 phones", "tess", 0.2)
    assert targets() == [("000B82000001", "10.0.1.1"), ("000B82000002", "10.0.1.2")]


def test_all_that_the_list_finds_is_found_again_by_the_server_less_what_was_taken_out(console, five):
    asked = {"query": "?stage=seen&page=7&sort=mac", "except": json.dumps([five[3].mac])}
    assert "Ignore: 1 phone" in console.post("/orders/ignore/", asked).content.decode()
    assert agreed(console, "ignore", asked).status_code == 200
    assert targets() == [(five[2].mac, five[2].source_host)]


def test_if_they_are_other_phones_by_now_nothing_is_done_and_one_is_asked_again(console, five):
    asked = {"query": "?stage=seen"}
    go = go_of(console.post("/orders/forget/", asked).content.decode())
    Phone.objects.filter(pk=five[3].pk).update(stage=Stage.IGNORED)
    fewer = console.post("/orders/forget/", {**asked, "go": go})
    cast.seen("000B82000009", "10.0.1.9")  # as many, and others
    others = console.post("/orders/forget/", {**asked, "go": go})
    for answer, count in ((fewer, "1 phone."), (others, "2 phones.")):
        words = f"Nothing was done: meanwhile it is another selection, of {count} Look at it and agree again."
        assert (answer.status_code, answer.json()) == (409, {"message": words, "again": True})
    assert not Job.objects.filter(kind="forget").exists()
    assert console.post("/orders/forget/", {**asked, "go": "2"}).status_code == 409, "a number agrees to nothing"
    assert agreed(console, "forget", asked).status_code == 200
    assert [mac for mac, _ in targets()] == ["000B82000003", "000B82000009"]


@pytest.mark.parametrize(
    ("kind", "concerned"),
    [("ignore", 4), ("heed", 1), ("forget", 5), ("notify", 2), ("confirm", 2), ("check", 2), ("resync", 2)],
)
def test_each_order_concerns_the_phones_that_it_can_change(console, five, kind, concerned):
    words = console.post(f"/orders/{kind}/", by_hand(five)).content.decode()
    assert f'data-count="{concerned}"' in words
    assert ("data-pace" in words) == (kinds.ORDERS[kind].tells is not None)


def test_nobody_is_concerned_and_there_is_nothing_to_agree_to(console, five):
    words = console.post("/orders/reboot/", by_hand(five[2:])).content.decode()
    assert "no phone of these" in words and 'type="submit"' not in words
    assert "3 are without a configuration of ours" in words and ">Close<" in words


def test_the_slowest_pace_that_is_not_refused_is_the_bound_of_the_field(console, five, monkeypatch):
    monkeypatch.setattr(pace, "LONGEST_MINUTES", 1 / 30)
    words = console.post("/orders/reboot/", by_hand(five)).content.decode()
    assert 'min="60"' in words and 'value="60"' in words and "60 to 600" in words
    assert agreed(console, "reboot", by_hand(five)).status_code == 409  # at 30 a minute


def test_orders_need_their_permissions(five, viewer):
    may_change = signed_in(person("carl", "view_phone", "change_phone"))
    for browser, kind in ((signed_in(viewer), "reboot"), (may_change, "forget")):
        assert browser.post(f"/orders/{kind}/", by_hand(five, go="5"), headers=FETCH).status_code == 403
    assert not JobTarget.objects.exists()
    bar = signed_in(viewer).get("/").content.decode()
    assert "data-order=" not in bar and 'data-order="forget"' not in may_change.get("/").content.decode()


@pytest.mark.parametrize(
    "posted",
    [{"phones": "x"}, {"phones": "{}"}, {"phones": "[[1]]"}, {"phones": '[["zz", ""]]'}, {"phones": "[7]"},
     {"query": "?q=1", "except": "[1]"}, {"phones": "[" * 3000}],
)  # fmt: skip
def test_what_is_no_selection_is_refused_in_words(console, posted):
    answer = console.post("/orders/reboot/", posted)
    assert answer.status_code == 400 and "Reload the page" in answer.json()["message"]


@pytest.mark.parametrize("pace", ["0", "601", "x", "nan", "-3", "1e999"])
def test_a_senseless_pace_is_refused_in_words(console, five, pace):
    answer = agreed(console, "reboot", by_hand(five), pace=pace)
    assert answer.status_code == 409 and "1 to 600 a minute" in answer.json()["message"]


def test_an_unknown_order_is_not_found(console, five):
    assert console.post("/orders/format/", by_hand(five)).status_code == 404
    assert console.get("/orders/reboot/").status_code == 405


def test_the_page_of_the_job_says_whom_it_asked_who_was_left_out_and_what_came_of_it(console, five):
    Notify.objects.all().delete()
    Phone.objects.filter(pk=five[1].pk).update(source_host=cast.STRANGER)
    agreed(console, "reboot", by_hand(five))
    job = Job.objects.get(kind="reboot")
    runner.run.call(job.pk)
    words = console.get(f"/jobs/{job.pk}/").content.decode()
    assert "of 2 phones have had their turn" in words and 'data-open="yes"' in words
    assert "In the list it was at 10.0.1.2, now it is at 10.0.0.99" in words
    notify = Notify.objects.get(kind=NotifyKind.REBOOT)
    Notify.objects.update(state=NotifyState.REFUSED, status=403, reason="<b>No", first_sent_at=timezone.now())
    words = console.get(f"/jobs/{job.pk}/live/").content.decode()
    assert "403 &lt;b&gt;No" in words and f'href="/phones/{notify.phone.mac}/"' in words
    assert "Sent to 1 of 1 phones, at 30 a minute." in words and 'data-open="no"' in words


def test_its_buttons_pause_and_cancel_an_order(console, five):
    agreed(console, "reboot", by_hand(five))
    job = Job.objects.get(kind="reboot")
    for button, state in (("pause", "paused"), ("resume", "waiting"), ("cancel", "cancelled")):
        assert console.post(f"/jobs/{job.pk}/{button}/", headers=FETCH).status_code == 200
        assert Job.objects.get(pk=job.pk).state == state
    runner.run.call(job.pk)
    assert "nobody more is asked" in console.get(f"/jobs/{job.pk}/").content.decode()


def test_a_selection_of_two_hundred_costs_a_few_queries(console, django_assert_max_num_queries):
    seen = [cast.sighting(f"000B82AA{n:04X}", f"10.0.{n // 200}.{n % 200 + 1}") for n in range(200)]
    cast.inventory.record_sightings(seen, cast.unknown)
    with django_assert_max_num_queries(8):
        words = console.post("/orders/forget/", by_hand(list(Phone.objects.all()))).content.decode()
    assert re.search(r'data-count="200"', words)


class TestConfirming:
    def test_each_phone_is_shown_with_its_address_of_now(self, console, five):
        Phone.objects.filter(pk=five[0].pk).update(source_host="10.0.7.7")
        words = console.post("/orders/confirm/", by_hand(five)).content.decode()
        rows = re.findall(r"<tr><th scope=\"row\".*?</tr>", words)
        assert len(rows) == 2 and "10.0.1.2" in rows[0] and "10.0.7.7" in rows[1]
        assert "00:0B:82:00:00:01" in rows[1] and "GXP1628" in rows[1] and "<td>1001</td>" in rows[1]
        assert "By confirming you say" in words

    def test_the_very_pairs_are_agreed_to(self, console, five):
        fields = by_hand(five)
        go = go_of(console.post("/orders/confirm/", fields).content.decode())
        Phone.objects.filter(pk=five[1].pk).update(source_host=cast.STRANGER)
        answer = console.post("/orders/confirm/", fields | {"go": go})
        assert (answer.status_code, answer.json()["again"]) == (409, True)
        assert not JobTarget.objects.exists()
        assert agreed(console, "confirm", fields).status_code == 200
        assert targets() == [("000B82000001", "10.0.1.1"), ("000B82000002", cast.STRANGER)]

    @pytest.mark.parametrize("doubt", [{"neighbour": "mismatch"}, {"alarm": "Claimed."}])
    def test_phones_in_doubt_are_left_out_and_named(self, console, five, doubt):
        Phone.objects.filter(pk=five[1].pk).update(**doubt)
        words = console.post("/orders/confirm/", by_hand(five)).content.decode()
        assert 'data-count="1"' in words and 'href="/phones/000B82000002/"' in words
        assert agreed(console, "confirm", by_hand(five)).status_code == 200
        assert targets() == [("000B82000001", "10.0.1.1")]

    def test_with_nobody_to_confirm_it_says_why_and_what_helps(self, console, five):
        Phone.objects.filter(pk=five[0].pk).update(source_host=None)
        Phone.objects.filter(pk=five[1].pk).update(alarm="Claimed.")
        words = console.post("/orders/confirm/", by_hand(five)).content.decode()
        assert "no phone of these" in words and "more" not in words and 'type="submit"' not in words
        assert "1 has not been heard yet" in words and "Plug it in" in words
        assert "3 are without a configuration of ours: left out. Assign them first." in words
        assert "its alarm is not settled" in words and ">Close<" in words

    def test_phones_that_started_long_ago_are_said_to_be_held_back(self, console, five):
        Phone.objects.filter(pk=five[1].pk).update(subscribed_at=timezone.now() - timedelta(hours=1))
        assert (
            "1 phone started more than 15 minutes ago"
            in console.post("/orders/confirm/", by_hand(five)).content.decode()
        )

    def test_more_than_can_be_looked_at_are_not_offered(self, console, five, monkeypatch):
        monkeypatch.setattr(orders, "MOST_CONFIRMED", 1)
        words = console.post("/orders/confirm/", by_hand(five)).content.decode()
        assert "At most 1 addresses" in words and 'type="submit"' not in words
        assert agreed(console, "confirm", by_hand(five)).status_code == 409

    def test_it_needs_the_permission_to_change(self, five, viewer):
        answer = signed_in(viewer).post("/orders/confirm/", by_hand(five), headers=FETCH)
        assert answer.status_code == 403

    def test_the_other_one_says_what_to_do_where_addresses_are_not_confirmed(self, console, five):
        assert "Confirm and notify…" in console.post("/orders/notify/", by_hand(five)).content.decode()
