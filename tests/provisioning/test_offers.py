"""Files that are looked up together: each phone gets what it would get alone, and nobody is given what is refused."""

from unittest.mock import patch

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices import inventory
from devices.models import Phone
from provisioning import downloads, offers, paths
from provisioning.models import FileFormat
from tests import cast
from tests.provisioning.test_proofs_together import STORIES, Twin

pytestmark = [pytest.mark.django_db, pytest.mark.db, pytest.mark.usefixtures("clock")]
ELSEWHERE = "10.0.9.9"


Found = downloads.Offer | downloads.OtherName


def same(one: Found, other: Found) -> bool:
    if not isinstance(one, downloads.Offer) or not isinstance(other, downloads.Offer):
        return type(one) is type(other)
    versions = [
        {name: getattr(offer.config_file, name) for name in (*offers.PLAIN, "steady_at", "content")}
        for offer in (one, other)
    ]
    return versions[0] == versions[1] and one == other


def is_ordinary(offer: Found) -> bool:
    """What is looked up together: all else is left to the closer look."""
    if not isinstance(offer, downloads.Offer):
        return True
    return not offer.config_file.choice.is_encrypted and offer.path_kind != "old" and offer.login is None


@pytest.mark.parametrize("format", [FileFormat.XML, FileFormat.ENCRYPTED, FileFormat.BINARY])
def test_together_each_is_offered_what_it_would_be_alone(settings, format):
    settings.GSPNP_FILE_FORMAT = format.value
    questions = []
    for number, story in enumerate(STORIES):
        twin = Twin(number, story)
        for path in (twin.path, twin.path.removesuffix(".xml"), twin.path.replace("cfg000", "cfg001")):
            questions += [(paths.read(path), host) for host in (twin.host, ELSEWHERE)]
    together = offers.find_all(questions)
    expected = {question: downloads.find(*question) for question in questions}
    ordinary = {question for question, one in expected.items() if one is not None and is_ordinary(one)}
    assert set(together) == (set() if format is FileFormat.ENCRYPTED else ordinary)
    assert all(same(one, expected[question]) for question, one in together.items())
    assert (downloads.OtherName() in together.values()) is (format is FileFormat.XML)


def asked(story: str, number: int) -> tuple[Twin, offers.Question]:
    twin = Twin(number, story)
    return twin, (paths.read(twin.path), twin.host)


def test_a_file_that_no_key_opens_is_looked_at_closer_and_the_others_go_out():
    (broken, question), (_, other) = asked("by_its_own_path", 1), asked("by_its_own_path", 2)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE provisioning_configfile SET content = %s WHERE phone_id = %s",
            [b"no key opens this", Phone.objects.get(mac=broken.mac).pk],
        )
    assert set(offers.find_all([question, other])) == {other}


def test_what_cannot_be_looked_up_together_is_looked_up_one_by_one():
    _, question = asked("first_time", 1)
    with patch("provisioning.offers._by_digest", side_effect=ValueError("a row that nobody can read")):
        assert offers.find_all([question]) == {}
        answer = cast.ask(f"/p/{question[0].secret}/{question[0].name}", host=question[1])
    assert answer.status == 200


def test_who_is_ignored_overtaken_or_unknown_is_not_offered_anything():
    (ignored, by_ignored), (overtaken, by_overtaken), (_, other) = (asked("first_time", number) for number in (1, 2, 3))
    inventory.ignore(Phone.objects.get(mac=ignored.mac).pk, "tess")
    cast.save(Phone.objects.get(mac=overtaken.mac), cast.draft(display_name="Tess II"))
    unknown = (paths.read(f"/p/{'x' * 22}/cfg{ignored.mac}"), ignored.host)
    assert set(offers.find_all([by_ignored, by_overtaken, unknown, other])) == {other}


def test_what_is_refused_costs_the_same_statements_as_what_is_not_there():
    """That a path is known must not be told by the time that it takes to refuse it."""
    twin, question = asked("first_time", 1)
    asks = [(question[0], ELSEWHERE), (paths.read(f"/p/{'x' * 22}/cfg{twin.mac}"), twin.host)]
    asks.append((paths.read(twin.path.replace(twin.mac, cast.OTHER_MAC)), twin.host))
    statements = []
    for one in asks:
        with CaptureQueriesContext(connection) as captured:
            assert offers.find_all([one]) == {}
        statements.append([query["sql"].partition("WHERE")[0] for query in captured])
    assert statements == [statements[0]] * len(asks)
