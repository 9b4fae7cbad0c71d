"""A simulated phone that stays switched on once it is through, and a peer that speaks to it: commands and logins."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable

from sipmcast.simulator import Phone, Result
from tests.support.small_pbx import LOW, STEADY, Pbx, document, field, phone_setup

STAY_SECONDS = 20.0  # the tests end it themselves
SOON_SECONDS = 5.0
ACCOUNT = {"P34": "secret", "P35": "1001", "P36": "", "P47": "pbx.example"}
HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
STORED = [f"{STEADY}/cfg{LOW}", f"{STEADY}/cfg{LOW}.xml"]

Scene = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The server as this phone sees it, with requests of its own."""

    def __init__(self, pbx: Pbx, phone: Phone) -> None:
        self.pbx, self.phone = pbx, phone
        self._serial = 100

    async def until(self, condition: Callable[[], object], what: str) -> None:
        try:
            async with asyncio.timeout(SOON_SECONDS):
                while not condition():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"not within {SOON_SECONDS:g} s: {what}") from None

    async def send(self, event: str, user: str = "", cseq: int = 1, call: str = "", login: str = "") -> str:
        """One NOTIFY and its answer."""
        self._serial += 1
        host = f"127.0.0.1:{self.pbx.contact[1]}"
        text = self.pbx.notify(self.pbx.contact, self._serial)
        text = text.replace(f"sip:{host}", f"sip:{user}{host}")
        text = text.replace("CSeq: 1 ", f"CSeq: {cseq} ").replace("Event: ua-profile", f"Event: {event}")
        if call:
            text = re.sub(r"Call-ID: \S+", f"Call-ID: {call}", text)
        if event != "ua-profile":
            text = text.partition("\r\n\r\n")[0] + "\r\n\r\n"
            text = re.sub(r"Content-Type: .*\r\n", "", re.sub(r"Content-Length: \d+", "Content-Length: 0", text))
        text = text.replace("Max-Forwards", f"{login}Max-Forwards") if login else text
        return await self.exchange(text)

    async def exchange(self, text: str) -> str:
        before = len(self.pbx.answers)
        self.pbx.sip.sendto(text.encode(), self.pbx.contact)
        await self.until(lambda: len(self.pbx.answers) > before, "an answer")
        return self.pbx.answers[before]

    async def command(self, event: str, user: str = "", password: str = "secret") -> list[str]:
        """A NOTIFY that logs in each time that it is asked to, at most three times; all answers."""
        answers = [await self.send(event, user, call="one-call")]
        for cseq in (2, 3, 4):
            if answers[-1][8:11] not in ("401", "407"):
                break
            login = self.login(answers[-1], user, password)
            answers.append(await self.send(event, user, cseq, "one-call", login))
        return answers

    def login(self, challenge: str, user: str = "", password: str = "secret", **changes: str) -> str:
        """The header that answers a challenge (RFC 7616 3.4, RFC 2617 3.2.2), with what the test changes."""
        name = "Proxy-Authenticate" if challenge[8:11] == "407" else "WWW-Authenticate"
        asked = dict(re.findall(r'(\w+)="?([^",]*)"?', field(challenge, name)))
        uri = f"sip:{user}127.0.0.1:{self.pbx.contact[1]}"
        said = {"username": "1001", "realm": asked["realm"], "nonce": asked["nonce"], "uri": uri} | changes

        def digest(*parts: str) -> str:
            return HASHES[asked["algorithm"]](":".join(parts).encode()).hexdigest()

        secret, wanted = digest(said["username"], said["realm"], password), digest("NOTIFY", said["uri"])
        parts = [f'{key}="{text}"' for key, text in said.items()] + [f"algorithm={asked['algorithm']}"]
        if "qop" in asked:
            response = digest(secret, said["nonce"], "00000001", "c", "auth", wanted)
            parts += ["qop=auth", "nc=00000001", 'cnonce="c"']
        else:
            response = digest(secret, said["nonce"], wanted)
        header = "Proxy-Authorization" if challenge[8:11] == "407" else "Authorization"
        return f'{header}: Digest {", ".join(parts)}, response="{response}"\r\n'


def in_use(scene: Scene, faults: str = "", **values: str) -> tuple[Pbx, Result]:
    """A phone with an account that has applied its file; then the scene, then it is switched off."""

    async def story() -> tuple[Pbx, Result]:
        async with Pbx() as pbx:
            pbx.offer(document(pbx.host, **(ACCOUNT | values)))
            phone = Phone(phone_setup(pbx, faults, stay=STAY_SECONDS))
            life = asyncio.ensure_future(phone.live())
            peer = Peer(pbx, phone)
            await peer.until(lambda: phone.is_through or life.done(), "it is through, and stays")
            assert not life.done(), life.result()
            pbx.gets.clear()
            pbx.answers.clear()
            await scene(peer)
            phone.stop()
            return pbx, await life

    return asyncio.run(story())
