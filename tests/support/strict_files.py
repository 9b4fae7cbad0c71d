"""The strict phone's downloads: one GET at a time, and the file it takes in. Standard library only."""

import base64
import re
import socket
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.netns import Host, inside
from tests.support.strict_sip import Wrong, must

HTTP_SECONDS = 30.0  # a bound of what hangs, not a measure


@dataclass(frozen=True)
class HttpAnswer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Downloads:
    """A phone as the phones' door sees it. `mac` is what it says of itself."""

    host: Host
    mac: str
    model: str = "GXP1628"
    firmware: str = "1.0.2.7"
    port: int = 5060
    group_port: int = 5060
    loopback: bool = False
    values: dict[str, str] = field(default_factory=dict)  # what is flashed: P-value -> text
    file: bytes = b""

    @property
    def address(self) -> str:
        return "127.0.0.1" if self.loopback else self.host.address

    def get(self, url: str, **headers: str) -> HttpAnswer:
        """One download; asked for its login, the phone shows what its file said, once."""
        answer = self._get_once(url, **headers)
        user, password = self.values.get("P1360", ""), self.values.get("P1361", "")
        if answer.status != 401 or not password:
            return answer
        asked = answer.headers["www-authenticate"]
        must(asked == 'Basic realm="gspnp"', f"asked for a login by {asked}")
        shown = base64.b64encode(f"{user}:{password}".encode()).decode()
        return self._get_once(url, **headers, authorization=f"Basic {shown}")

    def _get_once(self, url: str, **headers: str) -> HttpAnswer:
        """One download in a connection of its own, with an exact length."""
        raw = self.open_download(url, **headers)
        with raw:
            data = b""
            while piece := raw.recv(65_536):
                data += piece
        return self.read_http(data)

    def open_download(self, url: str, **headers: str) -> socket.socket:
        """A connection on which the GET is sent and nothing is read yet."""
        parts = urlsplit(url)
        with inside(self.host.namespace):
            asking = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        asking.settimeout(HTTP_SECONDS)
        asking.bind((self.address, 0))
        asking.connect((str(parts.hostname), parts.port or 80))
        agent = f"Grandstream Model HW {self.model} SW {self.firmware} DevId {self.mac.lower()}"
        lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", f"User-Agent: {agent}"]
        lines.append("Connection: Close")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        asking.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return asking

    @staticmethod
    def read_http(data: bytes) -> HttpAnswer:
        head, empty_line, body = data.partition(b"\r\n\r\n")
        must(empty_line, f"no HTTP answer: {data!r}")
        status, *lines = head.decode("latin-1").split("\r\n")
        must(re.fullmatch(r"HTTP/1\.[01] \d{3} .*", status), f"HTTP status line: {status}")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            must(name.lower() not in headers, f"two {name} headers")
            headers[name.lower()] = value.strip()
        must("transfer-encoding" not in headers, "chunks instead of a length")
        promised = headers.get("content-length")
        must(promised == str(len(body)), f"{len(body)} bytes came, {promised} were promised")
        return HttpAnswer(int(status.split()[1]), headers, body)

    def flash(self, answer: HttpAnswer) -> bool:
        """Take a file in; False if it is the one that is there already (the phone's checksum)."""
        must(answer.status == 200, f"download: {answer.status}")
        if answer.body == self.file:
            return False
        self.values = self._read_values(answer.body)
        self.file = answer.body
        return True

    def _read_values(self, document: bytes) -> dict[str, str]:
        """Shape: PG2011, PG2012 (formats.md a1 to a3)."""
        must(document.startswith(b"<?xml "), "no XML declaration")
        root = ElementTree.fromstring(document)
        must((root.tag, root.attrib) == ("gs_provision", {"version": "1"}), f"root {root.tag} {root.attrib}")
        must([child.tag for child in root] == ["mac", "config"], "children of the root")
        mac, config = root
        must(mac.text == self.mac.lower(), f"the file is for {mac.text}")
        must(config.attrib == {"version": "1"}, f"config {config.attrib}")
        values: dict[str, str] = {}
        for setting in config:
            must(re.fullmatch(r"P\d+", setting.tag), f"element {setting.tag}")
            must(setting.tag not in values, f"{setting.tag} stands twice")
            must(not len(setting) and not setting.attrib, f"{setting.tag} is not a plain text")
            values[setting.tag] = setting.text or ""
        return values

    def fetch_stored(self) -> HttpAnswer:
        """The second download: where the flashed file says, cfg<mac> first and cfg<mac>.xml then (PG2012)."""
        must(self.values.get("P212") == "1", "P212 is not HTTP")
        place = self.values.get("P237", "")
        must(re.fullmatch(r"[0-9.]+:\d+/p/[A-Za-z0-9_-]{22}", place), f"P237: {place}")
        for name in (f"cfg{self.mac.lower()}", f"cfg{self.mac.lower()}.xml"):
            answer = self.get(f"http://{place}/{name}")
            if answer.status == 200:
                return answer
            must(answer.status == 404, f"{name}: {answer.status}")
        raise Wrong("the stored path has no file")
