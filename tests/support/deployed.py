"""The services of docker-compose.yml as processes on this machine: the same commands and settings, other places.

Each address of the file's network becomes one of the loopback network, with the same ports; names become these; the
folders of containers become folders of the test. PostgreSQL is Debian's. Processes are ended by their own pid.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support import compose
from tests.support.parts import require
from tests.support.servers import PostgreSQL, die_with_the_suite
from tests.support.site import SOON_SECONDS, START_SECONDS, wait_for

ROOT = compose.ROOT
CONTAINERS = "172.30.81."
STOP_SECONDS = 30
MANAGE_SECONDS = 120
DOORS = {"console-1": 8000, "console-2": 8000, "phones-1": 5481, "phones-2": 5481}


def free_network() -> str:
    """Three numbers of 127.0.0.0/8 that no other process of the suite has."""
    return f"127.{81 + os.getpid() // 250 % 170}.{os.getpid() % 250}."


class Deployed:
    """Everything that the file starts. `start`, `kill` and `manage` take the names of services."""

    def __init__(self, folder: Path, postgresql: PostgreSQL, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._settings = settings or {}
        self.network = free_network()
        self.pnp_port = _free_udp_port()
        self._processes: dict[str, subprocess.Popen] = {}
        for name in ("data", "nginx"):
            (folder / name).mkdir()
        self._make_secrets(postgresql)
        (folder / "nginx.conf").write_text(self._here(self._nginx()))

    # --- addresses ------------------------------------------------------------------------------------------------

    def address(self, name: str) -> str:
        """Where a service of the front network is."""
        networks = compose.services()[name]["networks"]
        return self._here(networks["front"]["ipv4_address"])

    def other_address(self, number: int) -> str:
        """Of a machine that is no service."""
        return f"{self.network}{number}"

    def _here(self, text: str) -> str:
        places = {
            "/etc/nginx/nginx.conf": f"{self.folder}/nginx.conf",
            "/run/secrets/": f"{self.folder}/secrets/",
            "/etc/gspnp/tls/": f"{self.folder}/secrets/tls/",
            CONTAINERS: self.network,
        }
        for there, here in places.items():
            text = text.replace(there, here)
        return f"{self.folder}/data" if text == "/data" else text

    def _nginx(self) -> str:
        text = (ROOT / "docs" / "deploy" / "nginx.conf").read_text(encoding="utf-8")
        proxy = compose.services()["proxy"]["networks"]["front"]["ipv4_address"]
        # On loopback every connection would come from 127.0.0.1; in its container it comes from the proxy's address.
        text = text.replace("proxy_http_version", f"proxy_bind {proxy};\n    proxy_http_version", 1)
        text = re.sub(r"listen (?:127\.0\.0\.1:)?(\d+)", rf"listen {proxy}:\1", text)
        connections = self._settings.get("GSPNP_HTTP_CONNECTIONS_PER_SOURCE")
        if connections is not None:  # for thousands of phones that have one address here, and each its own elsewhere
            text = text.replace("limit_conn phones_of_one 100", f"limit_conn phones_of_one {4 * int(connections)}")
            text = text.replace("hash $remote_addr consistent", "least_conn")
            text = text.replace("worker_connections 4096", "worker_connections 16384")
            text = text.replace("worker_rlimit_nofile 16384", "worker_rlimit_nofile 65536")
        text = text.replace("/tmp/", f"{self.folder}/nginx/")
        return text.replace("/dev/stdout", f"{self.folder}/proxy-access.log")

    # --- secrets and settings -------------------------------------------------------------------------------------

    def _make_secrets(self, postgresql: PostgreSQL) -> None:
        proxy = self._here(compose.services()["proxy"]["networks"]["front"]["ipv4_address"])
        self.public_url = f"https://{proxy}:5482"
        environment = os.environ | {
            "GSPNP_SECRETS": str(self.folder / "secrets"), "GSPNP_SECRETS_GROUP": str(os.getgid())
        }  # fmt: skip
        subprocess.run(
            [ROOT / "docs" / "deploy" / "make-secrets", "--self-signed", proxy, self.public_url],
            env=environment, check=True, capture_output=True,
        )  # fmt: skip
        self.database = postgresql.empty()
        path = self.folder / "secrets" / "gspnp.env"
        lines = dict(line.split("=", 1) for line in path.read_text().splitlines() if line[0] != "#")
        self.admin_password = lines["GSPNP_ADMIN_PASSWORD"]
        lines |= {
            "DATABASE_URL": self.database,
            "REDIS_URL": lines["REDIS_URL"].replace("@redis:", f"@{self.other_address(30)}:"),
            "GSPNP_PNP_INTERFACES": "lo",
            "GSPNP_PNP_PORT": str(self.pnp_port),
            **self._settings,
        }
        path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        self.secrets = [lines[name] for name in ("SECRET_KEY", "GSPNP_FIELD_KEYS", "GSPNP_ADMIN_PASSWORD")]

    def environment(self, name: str) -> dict[str, str]:
        """Of a service: what the file says, and on which of the addresses its door is."""
        ours = ("GSPNP_", "DJANGO_", "SECRET_KEY", "DATABASE_URL", "REDIS_URL")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        kept |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
        said = {key: self._here(value) for key, value in compose.services()[name].get("environment", {}).items()}
        if name in DOORS:
            said |= {f"GSPNP_{door}_BIND": self.address(name) for door in ("CONSOLE", "PHONES")}
        said["GSPNP_METRICS_BIND"] = self.other_address(31)
        return kept | said

    # --- processes ------------------------------------------------------------------------------------------------

    def command(self, name: str) -> list[str]:
        """Of a service, as it runs here."""
        service = compose.services()[name]
        program, *arguments = [self._here(word) for word in service["command"]]
        programs = {"python": sys.executable, "python-raw": sys.executable}
        more = {"redis": ["--bind", self.other_address(30)], "proxy": ["-c", f"{self.folder}/nginx.conf"]}
        return [programs.get(program) or require(program), *arguments, *more.get(name, [])]

    def run(self, name: str, command: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        """A service that ends, or another command in its place."""
        command = command or self.command(name)
        programs = {"python": sys.executable}
        return subprocess.run(
            [programs.get(command[0], command[0]), *command[1:]], cwd=ROOT, env=self.environment(name),
            capture_output=True, text=True, timeout=MANAGE_SECONDS, check=False,
        )  # fmt: skip

    def check(self, name: str) -> subprocess.CompletedProcess[str]:
        """The service's health check."""
        return self.run(name, compose.services()[name]["healthcheck"]["test"][1:])

    def manage(self, *arguments: str, given: str = "", seconds: float = MANAGE_SECONDS) -> str:
        """A command in the worker's place."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment("work"), input=given,
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, *names: str) -> None:
        """Start these at once; doors are waited for."""
        for name in names:
            with (self.folder / f"{name}.log").open("ab") as log:
                self._processes[name] = subprocess.Popen(
                    self.command(name), cwd=ROOT if name not in ("redis", "proxy") else self.folder,
                    env=self.environment(name), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    preexec_fn=die_with_the_suite,
                )  # fmt: skip
        for name in names:
            self._wait_open(name)

    def _wait_open(self, name: str) -> None:
        port = {**DOORS, "proxy": 8443}.get(name)
        if port is not None:
            wait_for(lambda: self._is_open(name, port), START_SECONDS, lambda: f"{name} is open: {self.log(name)}")

    def _is_open(self, name: str, port: int) -> bool:
        assert self._processes[name].poll() is None, self.log(name)
        with socket.socket() as asking:
            return asking.connect_ex((self.address(name), port)) == 0

    def kill(self, name: str) -> None:
        """kill -9, at once."""
        process = self._processes.pop(name)
        process.kill()
        process.wait(STOP_SECONDS)

    def stop(self, name: str) -> int:
        """A clean end; its exit code."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(STOP_SECONDS)

    def close(self) -> None:
        for name in reversed(list(self._processes)):
            process = self._processes[name]
            process.terminate()
        for name in list(self._processes):
            process = self._processes.pop(name)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    # --- observing ------------------------------------------------------------------------------------------------

    def rows(self, question: str, *values: object) -> list[tuple]:
        """Read the database."""
        with psycopg.connect(self.database) as connection:
            return connection.execute(question, values).fetchall()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def logs(self) -> dict[str, str]:
        return {path.stem: self.log(path.stem) for path in self.folder.glob("*.log")}

    def connections(self, name: str) -> int:
        """How many are established at this service's door. Source: proc(5), /proc/net/tcp."""
        packed = int.from_bytes(socket.inet_aton(self.address(name)), sys.byteorder)
        here = f"{packed:08X}:{DOORS[name]:04X}"
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(line[1] == here and line[3] == "01" for line in lines)


@contextmanager
def running(folder: Path, postgresql: PostgreSQL, settings: Mapping[str, str] | None = None) -> Iterator[Deployed]:
    """All of it, started as the file says in which order, with more settings than the file makes."""
    built = Deployed(folder, postgresql, settings)
    try:
        built.start("redis")
        done = built.run("prepare")
        assert done.returncode == 0, done.stderr
        built.start("console-1", "console-2", "phones-1", "phones-2", "listen", "work", "proxy")
        yield built
    finally:
        built.close()


def simulated(deployed: Deployed, *arguments: str) -> subprocess.Popen[str]:
    """Simulated phones on lo that check the proxy's certificate; what becomes of them is JSON on their output."""
    trusted = deployed.folder / "secrets" / "tls" / "fullchain.pem"
    return subprocess.Popen(
        [sys.executable, "-m", "sipmcast.simulator", "--interface", "lo", "--port", str(deployed.pnp_port),
         "--ca", str(trusted), "--seed", "3", "--json", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
    )  # fmt: skip


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Browser:
    """What a person's browser does, as far as a proxy can tell: cookies, forms, a WebSocket. Every answer is read."""

    def __init__(self, deployed: Deployed, number: int, forged: Mapping[str, str]) -> None:
        self.address = deployed.other_address(number)
        self._host = deployed.address("proxy")
        self._context = ssl.create_default_context(cafile=str(deployed.folder / "secrets" / "tls" / "fullchain.pem"))
        self._forged = forged
        self.cookies: dict[str, str] = {}

    @property
    def origin(self) -> str:
        return f"https://{self._host}:8443"

    def _headers(self) -> dict[str, str]:
        return {**self._forged, "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}

    def ask(
        self, method: str, path: str, form: str = "", port: int = 8443, agent: str = "Mozilla/5.0"
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (in lower case) and body."""
        kind, more = (http.client.HTTPSConnection, {"context": self._context})
        if port in (5481, 8080):
            kind, more = http.client.HTTPConnection, {}
        connection = kind(self._host, port, timeout=SOON_SECONDS, source_address=(self.address, 0), **more)
        try:
            headers = {**self._headers(), "User-Agent": agent}
            if method == "POST":
                headers |= {"Origin": self.origin, "Content-Type": "application/x-www-form-urlencoded",
                            "X-CSRFToken": self.cookies.get("csrftoken", "")}  # fmt: skip
            connection.request(method, path, form or None, headers)
            answer = connection.getresponse()
            for cookie in answer.headers.get_all("Set-Cookie", []):
                name, _, value = cookie.partition(";")[0].partition("=")
                self.cookies[name] = value
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def sign_in(self, name: str, password: str) -> int:
        """Through the login form; the status: 302 if it was right."""
        self.ask("GET", "/admin/login/")
        token = self.cookies["csrftoken"]
        return self.ask("POST", "/admin/login/", f"csrfmiddlewaretoken={token}&username={name}&password={password}")[0]

    def live(self) -> "Live":
        """A WebSocket of a page."""
        plain = socket.create_connection((self._host, 8443), SOON_SECONDS, (self.address, 0))
        secure = self._context.wrap_socket(plain, server_hostname=self._host)
        lines = [
            "GET /ws/live HTTP/1.1", f"Host: {self._host}:8443", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"Origin: {self.origin}",
            *(f"{name}: {value}" for name, value in self._headers().items()), "", "",
        ]  # fmt: skip
        secure.sendall("\r\n".join(lines).encode())
        return Live(secure)


class Live:
    """An open WebSocket (RFC 6455 5.2; a server's frames have no mask, a browser's have one)."""

    def __init__(self, secure: ssl.SSLSocket) -> None:
        self._file, self._secure = secure.makefile("rb"), secure
        self.status = self._file.readline().decode()
        while self._file.readline() not in (b"\r\n", b""):
            pass

    def message(self) -> dict:
        """The next one that has text."""
        while True:
            first, length = self._file.read(2)  # a ValueError at its end
            if length >= 126:
                length = int.from_bytes(self._file.read(2 if length == 126 else 8), "big")
            body = self._file.read(length)
            if first & 0x0F == 1:
                return json.loads(body)
            if first & 0x0F == 9:
                self._send(10, body)

    def say(self, message: dict) -> None:
        self._send(1, json.dumps(message).encode())

    def _send(self, kind: int, body: bytes) -> None:
        """A short frame; its mask is zero, which changes nothing."""
        self._secure.sendall(bytes([0x80 | kind, 0x80 | len(body), 0, 0, 0, 0]) + body)

    def end(self) -> None:
        """Whoever waits for a message, in another thread, learns that there will be none."""
        with contextlib.suppress(OSError):
            self._secure.shutdown(socket.SHUT_RDWR)

    def until(self, what: str) -> dict:
        """The first message in which this stands."""
        while what not in json.dumps(said := self.message()):
            pass
        return said

    def close(self) -> None:
        self._file.close()
        self._secure.close()
