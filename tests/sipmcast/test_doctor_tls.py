"""What the doctor and the checks make of the doors' certificates, and of phones that still come by plain HTTP."""

from dataclasses import replace

import pytest
from django.core.checks import run_checks
from django.test import override_settings
from django.utils import timezone

from provisioning import certificates, crossing
from sipmcast.doctor import examine, tls
from sipmcast.doctor.finding import State
from tests import cast
from tests.sipmcast.test_doctor import SETUP
from tests.support.certificates import DAY, Authority


@pytest.fixture
def door(tmp_path):
    """A certificate of the phones' door, by how long it is valid and for whom."""

    def made(**how):
        return Authority().files(tmp_path, **how)

    return made


def judged() -> list[tuple[State, str]]:
    return [(one.state, one.words) for one in tls.judge_certificates(certificates.seen(), timezone.now())]


@pytest.mark.parametrize(
    ("how", "state", "words"),
    [
        ({}, State.OK, "Valid for 89 more days"),
        ({"until": 10 * DAY}, State.WARNING, "expires on"),
        ({"until": -DAY}, State.WRONG, "expired on"),
        ({"hosts": ["elsewhere.example"]}, State.WARNING, "is not for pnp.example"),
    ],
)
def test_a_certificate_is_judged_by_its_dates_and_names(door, how, state, words):
    files = door(**{"hosts": ["pnp.example"]} | how)
    with override_settings(PHONES_CERTIFICATE=files, GSPNP_PUBLIC_URL="https://pnp.example:5481"):
        (said,) = judged()
        assert said[0] is state and words in said[1]
        warned = [one.id for one in run_checks() if one.id.startswith("provisioning.")]
    assert warned == ([] if state is State.OK else ["provisioning.W003"])


def test_one_that_cannot_be_used_is_wrong_and_no_command_stops_for_it(door):
    files = door()
    files.key.unlink()
    with override_settings(PHONES_CERTIFICATE=files):
        ((state, words),) = judged()
        assert state is State.WRONG and "GSPNP_PHONES_KEY: there is no file" in words
        found = [one for one in run_checks() if one.id == "provisioning.W002"]
    assert len(found) == 1 and not found[0].is_serious()


def test_a_certificate_that_phones_are_not_told_of_is_said(door):
    with override_settings(PHONES_CERTIFICATE=door(), GSPNP_PUBLIC_URL="http://127.0.0.1:5481"):
        assert [one.id for one in run_checks() if one.id.startswith("provisioning.")] == ["provisioning.W004"]


def test_phones_of_an_interface_are_sent_to_https():
    assert SETUP.base_url("10.0.0.1") == "http://10.0.0.1:5481"
    assert replace(SETUP, phones_tls=True).base_url("10.0.0.1") == "https://10.0.0.1:5481"


@pytest.mark.django_db
def test_phones_that_still_have_a_file_with_http_are_counted(door):
    version = cast.assigned()
    assert crossing.plain_phones() == 1
    with override_settings(PHONES_CERTIFICATE=door()):
        (section,) = examine._certificates(timezone.now())
        assert "The newest file of 1 assigned phone says http" in section.findings[-1].words
        cast.save(version.phone)
        assert crossing.plain_phones() == 0
        (section,) = examine._certificates(timezone.now())
        assert [one.state for one in section.findings] == [State.OK, State.OK]


@pytest.mark.parametrize(
    ("plain", "how", "state"),
    [
        (0, "moving", State.OK),
        (0, "0", State.OK),
        (0, "1", State.WARNING),
        (3, "moving", State.WARNING),
        (3, "0", State.WRONG),
        (None, "moving", State.UNKNOWN),
    ],
)
def test_what_is_left_of_plain_http(plain, how, state):
    assert tls.judge_moving(plain, how).state is state


def test_without_a_certificate_nothing_is_said():
    assert examine._certificates(timezone.now()) == ()
