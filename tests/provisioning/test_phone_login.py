"""The login by which a phone fetches its file: what its file says of it, and what the door asks for.

A phone that knows a steady path has read the file in which that path stands, and the login with it; the first path
needs none. So each step is tried as a phone makes it: with what its last file told it, and with nothing else.
"""

import pytest
from asgiref.sync import async_to_sync

from devices import inventory
from devices.choices import AlarmKind
from devices.fields import sealed_names
from devices.models import Alarm, LiveEvent, Phone
from provisioning import attempts, checks, rotation, stuck, versions
from provisioning.door import guard, watch
from provisioning.door.http_login import MAX_FAILURES, Nonces
from provisioning.firmware import pins
from provisioning.gxp import document, login
from provisioning.layers import store
from provisioning.models import Attempt, AttemptKind, ConfigFile, Download, SettingsLayer
from provisioning.release import windows
from tests import cast
from tests.provisioning.test_firmware import add
from tests.provisioning.test_http_login import authorization, basic

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]
SCHEMES = ("digest", "basic")
USER = cast.MAC.lower()


@pytest.fixture(params=SCHEMES)
def scheme(request, settings):
    settings.GSPNP_PHONE_LOGIN = request.param
    return request.param


@pytest.fixture
def digest(settings):
    settings.GSPNP_PHONE_LOGIN = "digest"


def texts(version: ConfigFile) -> dict[str, str]:
    return document.values(bytes(cast.now(version).content))


def login_in(version: ConfigFile) -> tuple[str, str]:
    said = texts(version)
    return said[login.USER_SETTING], said[login.PASSWORD_SETTING]


def again(version: ConfigFile, **changes) -> ConfigFile:
    """Tess saves something else."""
    return cast.save(version.phone, cast.draft(display_name="Anew", **changes)).config_file


def switch(scheme: str) -> None:
    store.save(store.find("site", ""), {login.OPTION: scheme}, by="tess")


class Asker:
    """What one phone knows of logins: those of its last file."""

    def __init__(self, version: ConfigFile, host: str = cast.HOST) -> None:
        self.user, self.password = login_in(version)
        self.host = host
        self.header = ""

    def get(self, path: str, **more) -> cast.Answer:
        """Ask, and answer a challenge as firmware does: once, with what the file said."""
        answer = cast.ask(path, host=self.host, **more)
        return self.answer(answer, path, **more) if answer.status == 401 and self.password else answer

    def answer(self, challenged: cast.Answer, path: str, **more) -> cast.Answer:
        self.header = self.header_for(challenged, path, more.get("method", "GET"))
        return cast.ask(path, host=self.host, authorization=self.header, **more)

    def header_for(self, challenged: cast.Answer, path: str, method: str = "GET") -> str:
        said = challenged.headers["www-authenticate"]
        if said.startswith("Basic "):
            return basic(f"{self.user}:{self.password}")
        nonce = said.partition('nonce="')[2].partition('"')[0]
        return authorization(nonce, self.password, path, method, username=self.user)


class TestTheFile:
    def test_without_the_switch_it_has_no_login(self):
        version = cast.assigned()
        assert (login_in(version), version.login_scheme, version.login_secret) == (("", ""), "", "")

    def test_each_phone_and_each_version_has_one_of_its_own(self, scheme):
        version, other = cast.assigned(), cast.assigned(cast.OTHER_MAC, "10.0.0.21")
        newer = again(version)
        found = [login_in(one) for one in (version, other, newer)]
        assert [user for user, _ in found] == [USER, cast.OTHER_MAC.lower(), USER]
        assert len({password for _, password in found}) == 3
        assert all(len(password) == 16 and password.isalnum() for _, password in found)
        assert [cast.now(one).login_secret for one in (version, other, newer)] == [password for _, password in found]
        assert {version.login_scheme, newer.login_scheme} == {scheme}

    def test_the_same_settings_make_no_new_version(self, digest):
        version = cast.fetched(cast.assigned())
        saved = cast.save(version.phone)
        assert (saved.changed, saved.config_file.pk) == (False, version.pk)

    def test_new_paths_bring_a_new_login(self, digest):
        version = cast.fetched(cast.assigned())
        phone = Phone.objects.get(pk=version.phone_id)
        newer = rotation.new_paths(phone, by="tess", seen_host=cast.HOST).config_file
        assert login_in(newer)[1] not in ("", login_in(version)[1])

    @pytest.mark.parametrize("way", [("off", "digest"), ("digest", "basic"), ("basic", "off")])
    def test_another_kind_is_a_new_version(self, way, settings):
        switch(way[0])
        version = cast.fetched(cast.assigned())
        switch(way[1])
        newer = cast.save(version.phone).config_file
        assert newer.pk != version.pk
        assert newer.login_scheme == ("" if way[1] == "off" else way[1])
        assert bool(login_in(newer)[1]) == (way[1] != "off")

    @pytest.mark.parametrize(
        "said",
        [
            {login.USER_SETTING: "proxy", login.PASSWORD_SETTING: "its own"}, {login.PASSWORD_SETTING: "shared"},
            {login.USER_SETTING: None}, {login.PASSWORD_SETTING: None}, {login.PASSWORD_SETTING: ""},
        ],
        ids=str,
    )  # fmt: skip
    def test_where_a_layer_says_another_login_the_door_asks_for_none(self, digest, said):
        """It would ask for what the phone does not have."""
        store.save(store.find("site", ""), said, by="tess")
        version = cast.fetched(cast.assigned())
        assert version.login_scheme == version.login_secret == ""
        written = texts(version)
        assert {name: written.get(name) for name in said} == said
        assert cast.ask(cast.steady_path(version)).status == 200
        assert not cast.save(version.phone).changed

    def test_an_installation_that_leaves_it_alone_asks_for_none(self, digest, settings):
        settings.GSPNP_OPINIONS_OFF = [login.PASSWORD_SETTING]
        version = cast.assigned()
        assert version.login_scheme == "" and login.PASSWORD_SETTING not in texts(version)
        assert [one.id for one in checks.phone_login(None)] == ["provisioning.W005"]
        settings.GSPNP_PHONE_LOGIN = "off"
        assert checks.phone_login(None) == []

    @pytest.mark.parametrize("bootstrap", ["binary", "xml"])
    def test_the_bootstrap_of_an_encrypted_file_does_not_carry_it(self, digest, bootstrap):
        """It leads to the first path, which needs none; so one secret less goes in the clear."""
        store.save(store.find("site", ""), {"file_format": "encrypted", "file_bootstrap": bootstrap}, by="tess")
        version = cast.assigned()
        assert version.login_secret and version.login_secret.encode() not in bytes(version.bootstrap)
        assert b"1360" not in bytes(version.bootstrap)

    def test_a_file_without_secrets_has_none(self, digest, settings, tmp_path):
        settings.GSPNP_DATA_DIR = tmp_path
        add("1.0.7.81")
        pins.pin("GXP1628", ["1.0.7.81"])
        store.save(store.find("site", ""), {"upgrade_first": "yes"}, by="tess")
        version = cast.assigned()
        assert version.held_back and login_in(version) == ("", "") and version.login_scheme == ""

    def test_going_back_does_not_bring_an_old_login_back(self, digest):
        version = cast.fetched(cast.assigned())
        newer = again(version)
        phone = Phone.objects.get(pk=version.phone_id)
        back = versions.roll_back(phone, version.number, by="tess", seen_host=cast.HOST).config_file
        assert login_in(back)[0] == USER and back.login_scheme == "digest"
        assert len({login_in(one)[1] for one in (version, newer, back)}) == 3
        assert not set(login.SETTINGS) & SettingsLayer.objects.get(phone=phone).values.keys()
        switch("off")
        back = versions.roll_back(Phone.objects.get(pk=phone.pk), 1, by="tess", seen_host=cast.HOST).config_file
        assert login_in(back) == ("", ""), "switched off since"

    def test_the_history_does_not_call_it_a_change(self, digest):
        version = cast.assigned()
        again(version)
        assert not {one.name for one in versions.compare(version.phone, 1, 2)} & set(login.SETTINGS)
        switch("off")
        cast.save(version.phone, cast.draft(display_name="Anew"))
        assert {one.name for one in versions.compare(version.phone, 2, 3)} == set(login.SETTINGS)

    def test_it_is_encrypted_at_rest(self):
        assert "login_secret" in sealed_names(ConfigFile)


class TestTheWay:
    def test_the_first_path_needs_none_and_the_steady_one_does(self, scheme):
        version = cast.assigned()
        cast.delivered(version)
        asker = Asker(version)
        assert cast.ask(cast.first_path(version)).status == 200
        bare = cast.ask(cast.steady_path(version))
        assert (bare.status, bare.body) == (401, b"log in\n")
        assert cast.proofs(version) == ("fetched", True, False, 1), "being asked proves nothing"
        answer = asker.get(cast.steady_path(version))
        assert (answer.status, answer.body) == (200, bytes(version.content))
        assert cast.proofs(version) == ("applied", True, True, 2)

    def test_a_304_and_the_headers_need_it_too(self, scheme):
        version = cast.fetched(cast.assigned())
        path, tag = cast.steady_path(version), {"if_none_match": f'"{version.etag}"'}
        for more in ({"method": "HEAD"}, tag, {"range": "bytes=0-99"}):
            bare = cast.ask(path, **more)
            assert bare.status == 401 and "etag" not in bare.headers
        assert cast.proofs(version) == ("fetched", True, False, 1)
        assert Asker(version).get(path, method="HEAD").status == 200
        assert Asker(version).get(path, **tag).status == 304
        assert cast.stage(version) == "applied"

    @pytest.mark.parametrize("file_format", ["encrypted", "binary"])
    def test_other_formats(self, scheme, settings, file_format):
        settings.GSPNP_FILE_FORMAT = file_format
        version = cast.assigned()
        cast.delivered(version)
        asker = Asker(version)
        assert cast.ask(cast.first_path(version)).status == 200
        if file_format == "encrypted":
            assert cast.ask(cast.first_path(version, f"cfg{USER}.xml")).status == 200
            assert cast.ask(cast.steady_path(version, f"cfg{USER}")).status == 404, "no name of this file: no challenge"
        assert asker.get(cast.steady_path(version)).status == 200
        assert cast.stage(version) == "applied"

    def test_the_old_path_wants_the_old_login_until_the_new_file_is_there(self, scheme):
        version = cast.fetched(cast.assigned())
        before = Asker(version)
        assert before.get(cast.steady_path(version)).status == 200
        newer = again(version)
        assert before.get(cast.steady_path(version)).body == bytes(newer.content), "which brings path and login"
        after = Asker(newer)
        assert before.get(cast.steady_path(newer)).status == 401
        assert after.get(cast.steady_path(version)).status == 401
        assert after.get(cast.steady_path(newer)).status == 200
        assert cast.stage(newer) == "applied"
        assert before.get(cast.steady_path(version)).status == 404

    def test_switched_on_for_a_phone_that_is_applied(self, settings):
        version = cast.applied(cast.assigned())
        switch("digest")
        newer = cast.save(version.phone).config_file
        assert cast.ask(cast.steady_path(version)).body == bytes(newer.content), "it has no login yet"
        asker = Asker(newer)
        assert cast.ask(cast.steady_path(newer)).status == 401
        assert asker.get(cast.steady_path(newer)).status == 200
        assert cast.stage(newer) == "applied"

    def test_switched_off_again(self):
        switch("digest")
        version = cast.fetched(cast.assigned())
        asker = Asker(version)
        asker.get(cast.steady_path(version))
        switch("off")
        newer = cast.save(version.phone).config_file
        assert cast.ask(cast.steady_path(version)).status == 401, "it has its login still"
        assert asker.get(cast.steady_path(version)).body == bytes(newer.content)
        assert cast.ask(cast.steady_path(newer)).status == 200
        assert cast.stage(newer) == "applied"

    @pytest.mark.parametrize("way", [("digest", "basic"), ("basic", "digest")])
    def test_from_one_kind_to_the_other(self, way):
        switch(way[0])
        version = cast.fetched(cast.assigned())
        before = Asker(version)
        before.get(cast.steady_path(version))
        switch(way[1])
        newer = cast.save(version.phone).config_file
        assert before.get(cast.steady_path(version)).status == 200
        # A phone may send what it sent last before it is asked anew.
        stale = cast.ask(cast.steady_path(newer), authorization=before.header)
        assert Asker(newer).answer(stale, cast.steady_path(newer)).status == 200
        assert not Attempt.objects.exists() and cast.stage(newer) == "applied"

    def test_a_phone_that_was_reset_comes_by_the_first_path_without(self, digest, clock):
        version = cast.fetched(cast.assigned())
        Asker(version).get(cast.steady_path(version))
        clock.forward(hours=30)
        assert cast.restarted(version) is not None
        clock.forward(seconds=61)
        cast.sent(version)
        assert cast.ask(cast.first_path(cast.now(version))).status == 200

    def test_a_released_plain_name_needs_none(self, digest):
        version = cast.assigned()
        windows.open_release(version.phone_id, cast.HOST, by="tess")
        assert cast.ask(f"/cfg{USER}.xml").body == bytes(version.content)

    def test_revoked_paths_ask_nobody(self, digest):
        version = cast.fetched(cast.assigned())
        asker = Asker(version)
        asker.get(cast.steady_path(version))
        again(version)
        rotation.revoke(version.phone_id, by="tess")
        assert asker.get(cast.steady_path(version)).status == 404


class TestWhoIsNotTheirPhone:
    def test_only_who_names_a_path_that_leads_somewhere_is_asked(self, scheme):
        version = cast.fetched(cast.assigned())
        one = cast.Answer(404, {"content-type": "text/plain", "content-length": "10"}, [b"not found\n"])
        header = Asker(version).header_for(cast.ask(cast.steady_path(version)), cast.steady_path(version))
        paths = [
            f"/p/AAAAAAAAAAAAAAAAAAAAAA/cfg{USER}.xml", f"/cfg{USER}.xml", f"/cfg{USER}", "/", "/cfg.xml",
            cast.steady_path(version, f"cfg{cast.OTHER_MAC}.xml"), cast.steady_path(version, f"cfg{USER}"),
            cast.steady_path(version, f"cfg{USER}.bin"),
        ]  # fmt: skip
        for path in paths:
            assert cast.ask(path) == cast.ask(path, authorization=header) == one, path
        assert cast.ask(cast.first_path(version), host=cast.STRANGER, authorization=header) == one
        assert cast.ask(cast.steady_path(version), host="8.8.8.8", authorization=header) == one
        assert cast.ask(cast.steady_path(version), method="POST", authorization=header) == one

    def test_a_wrong_login_is_asked_again_noted_and_moves_nothing(self, scheme):
        version = cast.fetched(cast.assigned())
        asker = Asker(version)
        asker.password = "a wrong canary"
        answer = asker.get(cast.steady_path(version))
        assert answer.status == 401 and "www-authenticate" in answer.headers
        assert "stale" not in answer.headers["www-authenticate"]
        assert cast.proofs(version) == ("fetched", True, False, 1)
        assert attempts.flush() == 1
        attempt = Attempt.objects.get()
        assert (attempt.kind, attempt.source_host, attempt.name) == (AttemptKind.LOGIN, cast.HOST, f"cfg{USER}.xml")
        assert "with a wrong login, from 10.0.0.20" in LiveEvent.objects.last().text
        asker.get(cast.steady_path(version))
        before = LiveEvent.objects.count()
        attempts.flush()
        assert LiveEvent.objects.count() == before, "said once"
        assert Attempt.objects.get().count == 2

    def test_the_login_of_another_phone_is_wrong(self, scheme):
        version, other = cast.fetched(cast.assigned()), cast.assigned(cast.OTHER_MAC, "10.0.0.21")
        asker = Asker(other, cast.HOST)
        assert asker.get(cast.steady_path(version)).status == 401

    def test_a_recorded_login_opens_nothing(self, digest):
        version = cast.fetched(cast.assigned())
        path, asker = cast.steady_path(version), Asker(version)
        assert asker.get(path).status == 200
        replayed = cast.ask(path, authorization=asker.header)
        assert replayed.status == 401 and "stale=true" in replayed.headers["www-authenticate"]
        assert cast.ask(path, host=cast.STRANGER, authorization=asker.header).status == 401
        assert Download.objects.count() == 2
        for _ in range(MAX_FAILURES + 1):
            cast.ask(path, authorization=asker.header)
        assert asker.get(path).status == 200, "nobody locks a phone out with what he has recorded"
        assert (
            cast.ask(cast.steady_path(version).upper().replace("/P/", "/p/"), authorization=asker.header).status == 404
        )

    def test_a_nonce_of_another_process_costs_one_more_question(self, digest):
        version = cast.fetched(cast.assigned())
        path, asker = cast.steady_path(version), Asker(version)
        challenged = cast.ask(path)
        guard._nonces = Nonces()  # the answer comes to another process, or this one has begun anew
        stale = asker.answer(challenged, path)
        assert stale.status == 401 and stale.headers["www-authenticate"].endswith(", stale=true")
        for _ in range(3 * MAX_FAILURES):  # however often, that is no wrong login
            guard._nonces = Nonces()
            stale = asker.answer(stale, path)
        assert asker.answer(stale, path).status == 200
        assert attempts.flush() == 0 and not Attempt.objects.exists()

    def test_who_fails_often_is_refused_for_a_while_and_raises_an_alarm(self, scheme):
        version, other = cast.fetched(cast.assigned()), cast.assigned(cast.OTHER_MAC, "10.0.0.21")
        cast.sent(other)
        cast.download(cast.first_path(other, f"cfg{cast.OTHER_MAC}"), host="10.0.0.21")
        path = cast.steady_path(version)
        thief = Asker(version, cast.STRANGER)
        right, thief.password = thief.password, "guessed"
        answers = [thief.get(path) for _ in range(MAX_FAILURES)]
        assert {answer.status for answer in answers} == {401}
        assert (thief.get(path).status, thief.get(path).body) == (404, b"not found\n")
        thief.password = right
        assert cast.ask(path, host=cast.STRANGER, authorization="Basic x").status == 404
        behind_the_same = Asker(other, cast.STRANGER)
        assert behind_the_same.get(f"/p/{other.steady_secret}/cfg{cast.OTHER_MAC.lower()}.xml").status == 200
        assert Asker(version).get(path).status == 200, "the phone itself goes on"
        watch.flush()
        alarm = Alarm.objects.get()
        assert (alarm.kind, alarm.source, alarm.mac, alarm.count) == (
            AlarmKind.LOGINS, cast.STRANGER, cast.MAC, MAX_FAILURES,
        )  # fmt: skip
        assert "with a wrong login, 10 times" in LiveEvent.objects.last().text

    def test_a_phone_that_gives_no_login_is_told_of_after_a_while(self, digest):
        version = cast.fetched(cast.assigned())
        cast.ask(cast.steady_path(version))
        assert attempts.flush() == 0, "it may answer yet"
        _overdue()
        assert attempts.flush() == 1
        assert Attempt.objects.get().kind == AttemptKind.NO_LOGIN
        assert "was asked for its login, and gave none" in LiveEvent.objects.last().text

    @pytest.mark.parametrize("kind", [AttemptKind.LOGIN, AttemptKind.NO_LOGIN])
    @pytest.mark.parametrize("then", ["/p/{secret}/cfg.xml", "/cfg{mac}.xml"])
    def test_the_names_that_it_asks_for_after_the_refusal_are_not_the_reason(self, digest, clock, kind, then):
        version = cast.fetched(cast.assigned())
        clock.forward(30)
        Attempt.objects.create(
            phone=version.phone, kind=kind, name=f"cfg{USER}.xml", source_host=cast.HOST, at=clock.at
        )
        clock.forward(1)
        assert cast.ask(then.format(secret=version.steady_secret, mac=USER)).status == 404
        assert attempts.flush() == 1
        clock.forward(minutes=stuck.RESTART_MINUTES)
        assert stuck.explain_all() == 1
        assert "login" in cast.reason(version) and "file format" not in cast.reason(version)

    def test_nor_is_one_that_another_process_has_let_in(self, digest):
        version = cast.fetched(cast.assigned())
        cast.ask(cast.steady_path(version))
        cast.download(cast.steady_path(version))
        _overdue()
        assert attempts.flush() == 0 and not Attempt.objects.exists()

    def test_who_answers_is_not(self, digest):
        version = cast.fetched(cast.assigned())
        Asker(version).get(cast.steady_path(version))
        _overdue()
        assert attempts.flush() == 0

    @pytest.mark.parametrize("kind", ["wrong", "none"])
    def test_a_technician_reads_why_it_does_not_come_back(self, digest, clock, kind):
        version = cast.fetched(cast.assigned())
        clock.forward(seconds=5)
        if kind == "wrong":
            asker = Asker(version, cast.STRANGER)  # behind a NAT: only its file can have told it the path
            asker.password = "another"
            asker.get(cast.steady_path(version))
        else:
            cast.ask(cast.steady_path(version))
            _overdue()
        attempts.flush()
        clock.forward(minutes=stuck.RESTART_MINUTES)
        stuck.explain_all()
        reason = cast.reason(version)
        assert "phone_login" in reason and len(reason) <= inventory.REASON_CHARS
        assert ("wrong" not in reason) and ("right login" in reason) == (kind == "wrong")

    @pytest.mark.parametrize(
        "header",
        ["Digest", "Digest ", "Basic", "Basic =", "\0", "Digest " + "a=b, " * 400, 'Digest username="\\', "Bearer x",
         "ÿ" * 500, "Digest nc=00000001, qop=auth", "Digest x, Basic y", "Digest username=ő", ","],
    )  # fmt: skip
    def test_no_header_makes_it_fail(self, scheme, header):
        version = cast.fetched(cast.assigned())
        assert cast.ask(cast.steady_path(version), authorization=header).status == 401

    def test_nothing_of_a_login_is_logged(self, scheme, caplog):
        caplog.set_level("DEBUG")
        version = cast.fetched(cast.assigned())
        asker = Asker(version)
        asker.get(cast.steady_path(version))
        asker.password = "a wrong canary"
        asker.get(cast.steady_path(version))
        assert "with a wrong login" in caplog.text
        for secret in (version.login_secret, "a wrong canary", asker.header, version.steady_secret):
            assert secret not in caplog.text


def _overdue() -> None:
    async def later() -> None:
        guard.overdue(float("inf"))

    async_to_sync(later)()
