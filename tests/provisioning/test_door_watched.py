"""The phones' door shows how it does to whoever may read that, and is as any other 404 to everybody else."""

import json
from collections import Counter

import pytest
from django.db import OperationalError

from provisioning import readiness
from provisioning.door import watched
from tests import cast
from tests.provisioning.test_door import refusals

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
NAME = f"cfg{cast.MAC}"
READER = "127.0.0.1"


def counted(metric) -> Counter:
    """Value of its only label -> count."""
    return Counter(
        {
            next(iter(sample.labels.values())): sample.value
            for family in metric.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        }
    )


def test_a_reader_on_this_machine_gets_all_of_it():
    answer = cast.ask("/metrics", host=READER)
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'gspnp_door_answers_total{status="404"}' in answer.body
    assert cast.ask("/metrics", host=READER, method="HEAD").body == b""


def test_to_everybody_else_it_is_what_is_not_there():
    nothing = cast.ask("/nothing")
    asked = {
        "a phone": cast.ask("/metrics"),
        "no network": cast.ask("/metrics", host="8.8.8.8"),
        "a proxy on this machine": cast.ask("/metrics", host=READER, x_forwarded_for=READER),
        "another one": cast.ask("/metrics", host=READER, forwarded="for=127.0.0.1"),
        "who says so": cast.ask("/metrics", x_forwarded_for=READER),
        "a trusted proxy": cast.ask(
            "/metrics", host=READER, x_forwarded_for=READER, settings={"GSPNP_TRUSTED_PROXIES": [READER]}
        ),
        "by POST": cast.ask("/metrics", host=READER, method="POST"),
        "below it": cast.ask("/metrics/", host=READER),
    }
    assert {who: answer for who, answer in asked.items() if answer != nothing} == {}


def test_no_answer_to_a_stranger_has_an_id_of_its_request():
    for path in ("/nothing", "/healthz", "/readyz"):
        assert "x-request-id" not in cast.ask(path, x_request_id="mine").headers


def test_whether_it_is_ready_is_told_and_why_not_only_to_a_reader(monkeypatch):
    assert (cast.ask("/readyz").status, cast.ask("/readyz").body) == (200, b"ok\n")

    def away():
        raise OperationalError("10.9.8.7")

    monkeypatch.setattr(readiness, "STORE", {"database": away})
    answer = cast.ask("/readyz")
    assert (answer.status, answer.body) == (503, b"not ready\n")
    told = cast.ask("/readyz", host=READER)
    assert json.loads(told.body) == {"ready": False, "checks": {"database": readiness.AWAY}}


def test_downloads_are_counted_by_what_came_of_them():
    version = cast.assigned()
    cast.sent(version)
    before = counted(watched.DOWNLOADS)
    cast.ask(cast.first_path(version), hang_up_after=1)
    cast.ask(cast.first_path(version), method="HEAD")
    cast.ask(cast.first_path(version), range="bytes=0-1")
    cast.ask(cast.first_path(version))
    cast.ask(cast.steady_path(version))
    cast.ask(cast.steady_path(version), if_none_match=f'"{version.etag}"')
    gained = counted(watched.DOWNLOADS) - before
    assert gained == {"broken_off": 1, "head": 1, "part": 1, "complete": 2, "not_modified": 1}


def test_refusals_are_counted_by_kind_and_once_each():
    version = cast.assigned()
    cast.sent(version)
    before, answers = counted(watched.REFUSALS), counted(watched.ANSWERS)
    asked = refusals(version)
    gained = counted(watched.REFUSALS) - before
    assert sum(gained.values()) == len(asked) == (counted(watched.ANSWERS) - answers)["404"]
    assert {"config", "unheard", "other_name", "other"} <= gained.keys() <= set(watched.KINDS)


def test_no_label_is_what_somebody_has_sent():
    version = cast.assigned()
    cast.sent(version)
    refusals(version)
    cast.ask(cast.first_path(version), user_agent="canary-agent")
    body = cast.ask("/metrics", host=READER).body.decode()
    for canary in (cast.MAC, cast.MAC.lower(), version.first_secret, cast.HOST, cast.STRANGER, "canary-agent", "cfg"):
        assert canary not in body
