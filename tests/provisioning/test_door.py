"""The phones' door: one refusal for everything, exact lengths, and no secret in any log.

Requests go through the real ASGI application with the door's own settings.
"""

import logging
from unittest.mock import patch

import pytest
from django.db import DatabaseError

from devices.crypto import CannotDecrypt
from gspnp.logs import RedactingFormatter
from provisioning import downloads, offers, proofs
from provisioning.models import Download
from sipmcast.events import Outgoing
from sipmcast.pnp import NotifyIds, Telling, notify_datagram
from sipmcast.sip.message import parse_message
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
NAME = f"cfg{cast.MAC}"
UNKNOWN_SECRET = "AAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture
def version():
    version = cast.assigned()
    cast.sent(version)
    return version


@pytest.fixture
def lines(caplog):
    """Every log line of every logger, as the project's own formatter writes it."""
    caplog.set_level(logging.DEBUG)
    for name in ("django.request", "django", "provisioning", "asyncio", "daphne"):
        caplog.set_level(logging.DEBUG, logger=name)
    formatter = RedactingFormatter("{asctime} {levelname} {name}: {message}", style="{")
    return lambda: "\n".join(formatter.format(record) for record in caplog.records)


def refusals(version) -> dict[str, cast.Answer]:
    secret, steady = version.first_secret, version.steady_secret
    paths = {
        "root": "/",
        "unknown secret": f"/p/{UNKNOWN_SECRET}/{NAME}",
        "unknown mac": f"/p/{secret}/cfg{cast.OTHER_MAC}",
        "plain name of an assigned phone": f"/provisioning/{NAME}.xml",
        "plain name at the root": f"/{NAME}",
        "model name": "/cfggxp1628.xml",
        "binary": f"/p/{secret}/{NAME}.bin",
        "steady without suffix": f"/p/{steady}/{NAME}",
        "dot dot": f"/p/{secret}/../{NAME}",
        "encoded dot dot": f"/p/{secret}/%2e%2e/{NAME}",
        "out of the tree": "/../../../../etc/passwd",
        "encoded slash": f"/p/{secret}/%2e%2e%2f{NAME}",
        "newline": f"/p/{secret}/{NAME}%0A",
        "newline inside": f"/p/{secret}%0A/{NAME}",
        "carriage return": f"/p/{secret}/{NAME}%0D%0Ax:y",
        "nul": f"/p/{secret}/{NAME}%00",
        "not utf-8": f"/p/{secret}/%ff%fe{NAME}",
        "half a character": f"/p/{secret}/%ed%a0%80{NAME}",
        "10,000 characters": f"/p/{secret}/" + "a" * 10_000,
        "10,000 slashes": "/" * 10_000,
        "trailing slash": f"/p/{secret}/{NAME}/",
        "dead healthz": "/healthz/",
        "admin": "/admin/",
    }
    answers = {what: cast.ask(path) for what, path in paths.items()}
    good = f"/p/{secret}/{NAME}"
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "TRACE"):
        answers[method] = cast.ask(good, method=method)
    answers["another address"] = cast.ask(good, host=cast.STRANGER)
    answers["no allowed network"] = cast.ask(good, host="8.8.8.8")
    answers["no address at all"] = cast.ask(good, host="")
    answers["host header"] = cast.ask("/", x_forwarded_for="10.0.0.20", x_forwarded_host="evil/..\\")
    return answers


def test_every_refusal_is_the_same_bytes(version):
    answers = refusals(version)
    one = cast.Answer(404, {"content-type": "text/plain", "content-length": "10"}, [b"not found\n"])
    assert {what: answer for what, answer in answers.items() if answer != one} == {}
    assert not Download.objects.exists()


def test_a_refusal_is_the_same_bytes_whether_the_phone_exists_or_not(version):
    known = cast.ask(f"/p/{UNKNOWN_SECRET}/{NAME}")
    assert known == cast.ask(f"/p/{UNKNOWN_SECRET}/cfg{cast.OTHER_MAC}")
    assert known == cast.ask(f"/provisioning/{NAME}") == cast.ask(f"/provisioning/cfg{cast.OTHER_MAC}")


def test_what_is_served_has_its_exact_length_and_no_redirect(version):
    for method in ("GET", "HEAD"):
        answer = cast.ask(cast.first_path(version), method=method)
        assert answer.headers == {
            "content-type": "text/xml",
            "content-length": str(len(version.content)),
            "etag": f'"{version.etag}"',
            "cache-control": "no-store",
        }
        assert answer.body in (b"", version.content)


def test_a_query_string_changes_nothing(version):
    assert cast.ask(cast.first_path(version) + "?mac=1&x=%00").body == version.content


def test_healthz_answers_with_an_exact_length():
    answer = cast.ask("/healthz")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"ok\n", "3")


def test_the_secret_path_is_in_no_log_line(version, lines):
    refusals(version)
    cast.ask(cast.first_path(version), user_agent=cast.first_path(version))
    cast.ask(cast.first_path(version), hang_up_after=1)
    cast.ask(cast.steady_path(version))
    cast.ask(cast.steady_path(version), if_none_match=f'"{version.etag}"')
    assert "asked for" in lines()
    assert version.first_secret not in lines()
    assert version.steady_secret not in lines()
    assert cast.PASSWORD not in lines()


@pytest.mark.parametrize("mangled", ["/P/{}/x", "/{}/cfg.zip", "//p/{}/x", "/a/p/{}", "/p/{}%0a", "/{}", "/p%2f{}/x"])
def test_a_mangled_path_that_holds_the_secret_is_not_logged(version, lines, mangled):
    """A proxy that strips /p or a firmware that changes its case must not write the secret to the log."""
    for secret in (version.first_secret, version.steady_secret):
        assert cast.ask(mangled.format(secret)).status == 404
        assert secret not in lines()


@pytest.mark.parametrize("error", [RuntimeError, CannotDecrypt, ValueError], ids=lambda error: error.__name__)
def test_an_unforeseen_error_tells_no_secret_and_has_an_exact_length(version, lines, error):
    """A bug or a lost key: the phone gets a short answer, the log the reason, nobody the path."""
    path = cast.first_path(version)
    found = error(f"while looking for {path}")
    with patch.object(downloads, "find", side_effect=found), patch.object(offers, "_by_digest", side_effect=found):
        answer = cast.ask(path)
    assert answer.status in (500, 503)
    assert version.first_secret not in lines() + str(answer.headers) + answer.body.decode()
    assert "while looking for" in lines(), "the operator must be able to read what went wrong"
    assert answer.headers.get("content-length") == str(len(answer.body))


def test_a_database_that_is_away_is_said_so_and_not_refused(version, lines):
    path = cast.first_path(version)
    locked = DatabaseError("locked")
    with patch.object(downloads, "find", side_effect=locked), patch.object(offers, "_by_digest", side_effect=locked):
        answer = cast.ask(path)
    assert (answer.status, answer.headers["content-length"]) == (503, str(len(answer.body)))
    assert version.first_secret not in lines()


def test_a_file_whose_proof_cannot_be_stored_is_not_served_to_its_end(version, lines):
    path = cast.first_path(version)
    full = DatabaseError("disk full")
    with patch.object(downloads, "record", side_effect=full), patch.object(proofs, "_store", side_effect=full):
        try:
            answer = cast.ask(path)
        except DatabaseError:
            answer = None  # the server closes the connection
    assert answer is None or len(answer.body) < len(version.content)
    assert cast.proofs(version) == ("assigned", False, False, 0)
    assert version.first_secret not in lines()


def test_an_ipv4_phone_is_the_same_phone_when_the_door_is_bound_to_ipv6(version):
    """With GSPNP_PHONES_BIND=:: the kernel says ::ffff:10.0.0.20."""
    assert cast.ask(cast.first_path(version), host=f"::ffff:{cast.HOST}").body == version.content
    assert Download.objects.get().source_host == cast.HOST


class TestProxies:
    """Forwarded headers are believed from a trusted proxy only."""

    proxy = "10.0.0.5"
    trusted = {"GSPNP_TRUSTED_PROXIES": [proxy, "10.0.1.0/24"]}

    def status(self, version, forwarded, peer=proxy, **settings) -> int:
        answer = cast.ask(
            cast.first_path(version), host=peer, x_forwarded_for=forwarded, settings=self.trusted | settings
        )
        return answer.status

    def test_a_trusted_proxy_names_the_phone(self, version):
        assert self.status(version, cast.HOST) == 200
        assert self.status(version, f"{cast.HOST}, 10.0.1.7") == 200
        assert Download.objects.filter(source_host=cast.HOST).count() == 2

    def test_only_the_hop_that_the_proxy_saw_counts(self, version):
        assert self.status(version, f"{cast.HOST}, {cast.STRANGER}") == 404

    def test_a_stranger_cannot_name_another(self, version):
        assert self.status(version, cast.HOST, peer=cast.STRANGER) == 404

    def test_without_trusted_proxies_the_header_is_ignored(self, version):
        assert self.status(version, cast.HOST, GSPNP_TRUSTED_PROXIES=[]) == 404
        assert self.status(version, cast.STRANGER, peer=cast.HOST, GSPNP_TRUSTED_PROXIES=[]) == 200

    @pytest.mark.parametrize("header", ["", ",", "unknown", "10.0.0.20:4711", "<script>", "10.0.0.20,"])
    def test_a_header_that_cannot_be_read_opens_nothing(self, version, header):
        assert self.status(version, header) == 404

    def test_the_phone_behind_a_proxy_must_be_in_an_allowed_network(self, version):
        assert self.status(version, "8.8.8.8") == 404


def test_repr_of_what_holds_a_secret_url_does_not_show_it(version):
    url = f"http://{cast.OURS}:5481{cast.first_path(version)}"
    datagram = notify_datagram(
        phone=(cast.HOST, 5060), ours=(cast.OURS, 6060), telling=Telling("ua-profile", url), ids=NotifyIds.fresh()
    )
    request = parse_message(datagram)
    opening = cast.outbox.Opening("c", "b", "t", datagram, (cast.HOST, 5060), "eth0", cast.OURS)
    outgoing = Outgoing(datagram, (cast.HOST, 5060), cast.LEG)
    telling = Telling("ua-profile", url)
    held = (opening, outgoing, request, version, telling)
    shown = {type(one).__name__: version.first_secret in repr(one) for one in held}
    assert shown == dict.fromkeys(shown, False)


def test_the_formatter_redacts_messages_arguments_and_tracebacks():
    formatter = RedactingFormatter("{message}", style="{")
    path = f"http://h:1/p/{UNKNOWN_SECRET}/cfg{cast.MAC}"
    try:
        raise ValueError(path)
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "%s %r", (path, path.encode()), info)
    text = formatter.format(record)
    assert UNKNOWN_SECRET not in text
    assert text.count("/p/…") >= 3
