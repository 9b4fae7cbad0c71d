"""Every row of the rule who may be told a URL that leads to secrets (design 5.2)."""

import pytest

from devices.trust import ATTENDED_CONTACT_SECONDS, Standing, Verdict, objection

HERE, ELSEWHERE = "10.0.0.20", "10.0.0.99"
FRESH, EDGE, OLD, NEVER = 0.0, float(ATTENDED_CONTACT_SECONDS), ATTENDED_CONTACT_SECONDS + 0.1, float("inf")


def says(approved=None, steady=None, age=FRESH, verdict=Verdict.UNKNOWN, source=HERE) -> str | None:
    return objection(Standing(source, approved, steady, age), verdict)


@pytest.mark.parametrize("age", [FRESH, EDGE, OLD, NEVER])
@pytest.mark.parametrize("steady", [None, HERE, ELSEWHERE])
@pytest.mark.parametrize("approved", [None, HERE, ELSEWHERE])
@pytest.mark.parametrize("verdict", Verdict)
def test_the_complete_table(approved, steady, age, verdict):
    attended = approved == HERE and age <= ATTENDED_CONTACT_SECONDS
    verified = verdict is Verdict.MATCH
    routed = verdict is Verdict.UNKNOWN and steady == HERE
    refused = says(approved, steady, age, verdict)
    assert (refused is None) == (attended or verified or routed)


@pytest.mark.parametrize("verdict", Verdict)
def test_without_an_address_nobody_is_told(verdict):
    assert "not known yet" in says(None, None, FRESH, verdict, source=None)
    assert says(source=None, steady=None, approved=None, verdict=Verdict.MATCH)


def test_each_objection_says_what_is_wrong_and_where():
    assert "different MAC" in says(verdict=Verdict.MISMATCH)
    assert "Switch the phone off and on" in says(approved=HERE, age=OLD)
    assert "Notify again" in says(approved=ELSEWHERE)
    assert all(HERE in words for words in (says(), says(approved=HERE, age=OLD), says(verdict=Verdict.MISMATCH)))


def test_a_phone_on_this_very_machine_stays_confirmed():
    """`make demo`: its phones cannot be switched off and on."""
    assert says(approved="127.0.0.1", age=OLD, source="127.0.0.1") is None
    assert says(approved=HERE, age=OLD, source="127.0.0.1") is not None


def test_a_contact_from_the_future_is_not_fresh():
    """The clock went back: fail closed."""
    assert says(approved=HERE, age=-86_400.0) is not None


def test_an_age_that_is_no_number_is_not_fresh():
    assert says(approved=HERE, age=float("nan")) is not None


@pytest.mark.parametrize(
    ("verdict", "told"), [(Verdict.MATCH, True), (Verdict.UNKNOWN, True), (Verdict.MISMATCH, False)]
)
def test_what_nobody_asked_for_is_never_sent_into_a_mismatch(verdict, told):
    """Tess saved a minute ago; since then another device took the address."""
    assert (objection(Standing(HERE, HERE, None, 60.0, insists=False), verdict) is None) == told
    assert objection(Standing(HERE, HERE, None, 60.0, insists=True), verdict) is None
