"""A simulated phone that stays switched on: commands, passwords, its user's name, new files, and the form of a URL."""

import re

import pytest

from tests.support.phone_in_use import ACCOUNT, STORED, Peer, in_use
from tests.support.small_pbx import FIRST, LOW, Pbx, document, field, meet


def statuses(answers: list[str]) -> list[str]:
    return [answer[8:11] for answer in answers]


def test_a_phone_that_stays_is_through_when_it_is_stopped_and_answers_options_until_then() -> None:
    async def scene(peer: Peer) -> None:
        text = peer.pbx.notify(peer.pbx.contact, 9).replace("NOTIFY", "OPTIONS")
        assert (await peer.exchange(text)).startswith("SIP/2.0 200 ")

    pbx, result = in_use(scene)
    assert (result.outcome, result.stage, result.reason, result.options) == ("through", "applied", "", 1)
    assert pbx.gets == []


def test_by_default_a_phone_leaves_when_it_is_through() -> None:
    _, result = meet()
    assert (result.outcome, result.options, result.challenges) == ("through", 0, 0)


@pytest.mark.parametrize("event", ["check-sync", "resync", "sys-control"])
def test_a_command_is_challenged_and_makes_it_ask_its_stored_path(event: str) -> None:
    async def scene(peer: Peer) -> None:
        first, second = await peer.command(event)
        assert first.startswith("SIP/2.0 401 ")
        assert re.fullmatch(
            r'Digest realm="pbx\.example", nonce="[0-9a-f]{32}", algorithm=MD5, qop="auth"',
            field(first, "WWW-Authenticate"),
        )
        assert second.startswith("SIP/2.0 200 ")
        await peer.until(lambda: len(peer.pbx.gets) == 2, "it asks")

    pbx, result = in_use(scene)
    assert pbx.gets == STORED
    assert (result.boots, result.orders[1:]) == (2, ["check-sync" if event == "sys-control" else event])


def test_a_reboot_is_a_boot_with_all_that_belongs_to_it() -> None:
    async def scene(peer: Peer) -> None:
        for number in range(1, 5):  # more often than a restless phone may
            assert statuses(await peer.command("check-sync;reboot=true")) == ["401", "200"]
            await peer.until(lambda n=number: len(peer.pbx.gets) == 2 * n, "it asks again")

    pbx, result = in_use(scene)
    assert pbx.gets == STORED * 4
    assert (result.outcome, result.boots, len(pbx.boots)) == ("through", 6, 6)


def test_a_new_file_by_its_stored_path_is_flashed_and_proved() -> None:
    async def scene(peer: Peer) -> None:
        body = document(peer.pbx.host, **ACCOUNT, P3="Newer")
        peer.pbx.offer(body)
        await peer.command("check-sync")
        await peer.until(lambda: len(peer.pbx.gets) == 4, "the file, and the boot that follows")

    pbx, result = in_use(scene)
    assert pbx.gets == STORED * 2
    assert (result.outcome, result.boots, result.delivered_by) == ("through", 3, "check-sync")


def test_a_server_that_is_away_for_a_boot_does_not_end_a_phone_in_use() -> None:
    async def scene(peer: Peer) -> None:
        files, peer.pbx.files = peer.pbx.files, {}
        await peer.command("check-sync;reboot=true")
        await peer.until(lambda: "after the reboot" in " ".join(peer.phone.result.notes), "it has noticed")
        peer.pbx.files = files
        assert statuses(await peer.command("check-sync")) == ["401", "200"]

    assert in_use(scene)[1].outcome == "through"


@pytest.mark.parametrize(
    ("faults", "answers"),
    [
        ("", ["401", "200"]),
        ("sha256", ["401", "200"]),
        ("no-qop", ["401", "200"]),
        ("sha256,no-qop,407", ["407", "200"]),
        ("stale", ["401", "401", "200"]),
    ],
)
def test_each_way_to_ask_for_a_password(faults: str, answers: list[str]) -> None:
    async def scene(peer: Peer) -> None:
        said = await peer.command("check-sync")
        assert statuses(said) == answers
        assert ("stale=true" in said[-2]) is ("stale" in faults)

    assert in_use(scene, faults)[1].challenges == len(answers) - 1


def test_a_phone_of_another_system_asks_even_for_its_first_notify() -> None:
    _, result = meet(faults="other-password")
    assert (result.outcome, result.challenges, result.stage) == ("failed", 1, "answered")


def test_p4428_switches_the_challenge_off() -> None:
    async def scene(peer: Peer) -> None:
        assert statuses(await peer.command("check-sync")) == ["200"]

    assert in_use(scene, P4428="1")[1].challenges == 0


def test_the_authentication_id_counts_where_the_account_has_one() -> None:
    async def scene(peer: Peer) -> None:
        challenge = await peer.send("check-sync", call="a")
        right = peer.login(challenge, username="auth-1001")
        assert (await peer.send("check-sync", cseq=2, call="a", login=right)).startswith("SIP/2.0 200 ")

    in_use(scene, P36="auth-1001")


@pytest.mark.parametrize(
    ("changes", "cseq", "call", "note"),
    [
        ({"password": "wrong"}, 2, "a", "the password is wrong"),
        ({"username": "1002"}, 2, "a", "another account's"),
        ({"realm": "elsewhere"}, 2, "a", "another account's"),
        ({"nonce": "0" * 32}, 2, "a", "its nonce is not ours"),
        ({"uri": "sip:10.0.0.9"}, 2, "a", "its uri is not the Request-URI"),
        ({}, 1, "a", "CSeq was not raised"),
        ({}, 2, "b", "another call"),
    ],
)
def test_a_login_that_is_not_right_is_asked_for_again(changes: dict[str, str], cseq: int, call: str, note: str) -> None:
    async def scene(peer: Peer) -> None:
        challenge = await peer.send("check-sync", call="a")
        wrong = peer.login(challenge, **changes)
        assert (await peer.send("check-sync", cseq=cseq, call=call, login=wrong)).startswith("SIP/2.0 401 ")

    pbx, result = in_use(scene)
    assert pbx.gets == []
    assert [text for text in result.notes if note in text], result.notes


@pytest.mark.parametrize("login", ["Basic dTpw", "Digest username", 'Digest realm="x"', 'Digest a="1", a="2"'])
def test_a_login_that_cannot_be_read_is_asked_for_again(login: str) -> None:
    async def scene(peer: Peer) -> None:
        challenge = await peer.send("check-sync", call="a")
        again = await peer.send("check-sync", cseq=2, call="a", login=f"Authorization: {login}\r\n")
        assert again.startswith("SIP/2.0 401 ")
        assert field(again, "WWW-Authenticate") != field(challenge, "WWW-Authenticate"), "a new nonce"

    in_use(scene)


def test_a_configured_phone_is_told_without_a_password_unless_the_fault_says_so() -> None:
    async def free(peer: Peer) -> None:
        assert (await peer.send("ua-profile")).startswith("SIP/2.0 200 ")

    async def guarded(peer: Peer) -> None:
        assert statuses(await peer.command("ua-profile")) == ["401", "200"]

    in_use(free)
    in_use(guarded, "challenge")


def test_its_user_is_known_by_name_and_nobody_else() -> None:
    async def scene(peer: Peer) -> None:
        assert statuses(await peer.command("check-sync", user="1001@")) == ["401", "200"]
        assert (await peer.send("check-sync", user="1002@")).startswith("SIP/2.0 404 ")

    in_use(scene)


def test_device_unknown_obeys_its_user_only() -> None:
    async def scene(peer: Peer) -> None:
        assert (await peer.send("check-sync")).startswith("SIP/2.0 404 ")
        assert statuses(await peer.command("check-sync", user="1001@")) == ["401", "200"]

    in_use(scene, "device-unknown")


def test_path_as_folder_asks_below_the_full_path() -> None:
    def below(pbx: Pbx) -> None:
        pbx.files[f"{FIRST}/cfg{LOW}/cfg{LOW}.xml"] = pbx.files[f"{FIRST}/cfg{LOW}"]

    pbx, result = meet(below, "path-as-folder")
    assert result.outcome == "through"
    assert pbx.gets[:2] == [f"{FIRST}/cfg{LOW}/cfg{LOW}", f"{FIRST}/cfg{LOW}/cfg{LOW}.xml"]


def test_folder_only_answers_200_to_a_full_path_and_does_not_fetch() -> None:
    pbx, result = meet(faults="folder-only")
    assert pbx.answers[0].startswith("SIP/2.0 200 ")
    assert (result.outcome, result.stage, pbx.gets) == ("failed", "notified", [])

    def folder(pbx: Pbx) -> None:
        pbx.url = f"http://{pbx.host}{FIRST}/"

    assert meet(folder, "folder-only")[1].outcome == "through"


def test_no_password_is_in_the_report() -> None:
    async def scene(peer: Peer) -> None:
        await peer.command("check-sync", password="wrong")

    _, result = in_use(scene)
    text = str(result.as_json())
    assert "secret" not in text.lower().replace("/p/…", "")
    assert "nonce=" not in text and "response" not in text
