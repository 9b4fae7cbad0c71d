"""What docker-compose.yml, Dockerfile, nginx.conf and the units of systemd promise, as far as it can be seen without a
container engine. What the same topology does is in tests/e2e/test_deployed.py."""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError, connections

from gspnp import healthy, open_port, prepare
from gspnp.env import BASE_DIR, parse_env_file
from gspnp.keys import parse_field_keys
from tests.support import compose
from tests.support.certificates import Authority
from tests.support.deployed import free_network
from tests.support.parts import require

DEPLOY = BASE_DIR / "docs" / "deploy"
NGINX = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
DOCKERFILE = (BASE_DIR / "Dockerfile").read_text(encoding="utf-8")
OURS = ("prepare", "console-1", "console-2", "phones-1", "phones-2", "listen", "work")
OTHERS = ("postgres", "redis", "proxy")
MEMBERS = ("POSTGRES_PASSWORD_FILE", "POSTGRES_INITDB_ARGS")


# --- docker-compose.yml -----------------------------------------------------------------------------------------------


def test_it_is_as_the_specification_says():
    assert compose.faults() == []
    assert tuple(sorted(compose.services())) == tuple(sorted(OURS + OTHERS))


def test_docker_compose_reads_it(tmp_path):
    done = subprocess.run(
        [require("docker-compose"), "-f", str(compose.FILE), "config", "--quiet"],
        cwd=BASE_DIR, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", OURS + OTHERS)
def test_nobody_is_root_or_writes_to_his_image_or_may_more_than_he_needs(name):
    service = compose.services()[name]
    user, group = service["user"].split(":")
    assert int(user) > 0 and int(group) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "privileged" not in service and "pid" not in service and "devices" not in service
    assert service.get("cap_add", []) == (["NET_RAW"] if name == "listen" else [])
    assert service["security_opt"] == ([] if name == "listen" else ["no-new-privileges:true"])
    assert service["restart"] == ("on-failure" if name == "prepare" else "unless-stopped")
    assert name == "prepare" or service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert any(place.startswith("/tmp:") for place in service["tmpfs"])
    mounted = [place for place in service.get("volumes", ()) if place.startswith((".", "/"))]
    assert all(place.endswith(":ro") for place in mounted), "of this machine's files nothing is written"
    assert not any("docker.sock" in place for place in mounted)


def test_only_the_listener_is_on_the_hosts_network_and_only_the_proxy_is_reached_from_outside():
    services = compose.services()
    assert [name for name, one in services.items() if one.get("network_mode")] == ["listen"]
    assert services["listen"]["network_mode"] == "host"
    for name, service in services.items():
        for port in service.get("ports", ()):
            assert name == "proxy" or port.startswith("127.0.0.1:"), f"{name} publishes {port}"
    # What the listener calls postgres and redis is what these two publish, at the same port inside and outside.
    for name in ("postgres", "redis"):
        assert f"{name}:127.0.0.1" in services["listen"]["extra_hosts"]
        (published,) = services[name]["ports"]
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", published)


def test_no_secret_is_written_down_and_none_has_a_default():
    text = compose.FILE.read_text(encoding="utf-8")
    assert "${" not in text, "nothing is taken from the shell, and so nothing has a default"
    for name, service in compose.services().items():
        environment = service.get("environment", {})
        secret = [key for key in environment if re.search("SECRET|PASSWORD|KEYS|_URL", key) and key not in MEMBERS]
        assert secret == [], f"{name}: {secret}"
        assert "env_file" not in service, "docker inspect would show it"
    given = {name: service.get("secrets", []) for name, service in compose.services().items()}
    assert given == dict.fromkeys(OURS, ["gspnp.env"]) | {
        "postgres": ["postgres-password"], "redis": ["redis.conf"], "proxy": []
    }  # fmt: skip
    assert {one["file"].split("/")[1] for one in compose.content()["secrets"].values()} == {"secrets"}
    assert "\nsecrets/\n" in (BASE_DIR / ".gitignore").read_text()


def test_everybody_waits_for_the_tables_and_only_one_makes_them():
    services = compose.services()
    assert [name for name in OURS if "gspnp.prepare" in services[name]["command"]] == ["prepare"]
    for name in OURS[1:]:
        assert services[name]["depends_on"]["prepare"]["condition"] == "service_completed_successfully"
    assert services["prepare"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert prepare.KEEP_TRYING in services["prepare"]["command"], "a first failure would fail all that wait for it"


def test_what_waits_for_the_database_goes_on_when_it_is_there(monkeypatch, capsys):
    comes = [OperationalError("connection refused\nIs the server running?"), InterfaceError("closed"), None]
    monkeypatch.setattr(prepare, "prepare", Mock(side_effect=comes))
    monkeypatch.setattr(prepare.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(connections, "close_all", lambda: None)
    prepare.prepare_at_last()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "connection refused" in said[0] and "trying again" in said[0]
    monkeypatch.setattr(prepare, "prepare", Mock(side_effect=ImproperlyConfigured("no key")))
    with pytest.raises(ImproperlyConfigured):
        prepare.prepare_at_last()


def test_settings_that_the_file_names_are_ours():
    known = set(re.findall(r"^#([A-Z_]+)=", (BASE_DIR / ".env.example").read_text(), re.MULTILINE))
    for name in OURS:
        assert set(compose.services()[name]["environment"]) - {"GSPNP_ENV_FILE"} <= known
        assert "data:/data" in compose.services()[name]["volumes"], "images, static files and open ports are shared"


def test_the_proxy_is_the_one_that_is_believed_and_finds_the_doors():
    services = compose.services()
    addresses = {
        name: one["networks"]["front"]["ipv4_address"]
        for name, one in services.items()
        if "front" in (one.get("networks") or {}) and isinstance(one["networks"], dict)
    }
    proxy = addresses.pop("proxy")
    assert {services[name]["environment"]["GSPNP_TRUSTED_PROXIES"] for name in OURS} == {proxy}
    behind = {
        f"{address}:{services[name]['environment']['GSPNP_' + name.split('-')[0].upper() + '_PORT']}"
        for name, address in addresses.items()
    }
    assert set(re.findall(r"server ([\d.]+:\d+)", NGINX)) == behind
    assert len(behind) == 4
    listened = set(re.findall(r"listen (\d+)[ ;]", NGINX))
    assert {port.split(":")[1] for port in services["proxy"]["ports"]} == listened


def test_health_checks_name_what_can_be_asked():
    for name in OURS[1:]:
        test = compose.services()[name]["healthcheck"]["test"]
        assert test[:-1] == ["CMD", "python", "-m", "gspnp.healthy"] and test[-1] in healthy.PROCESSES
        assert test[-1] == name.split("-")[0]


def test_of_two_listeners_each_is_asked_at_its_own_port(monkeypatch, capsys):
    """The second one may have no port at all, and the first one is ready."""
    asked = []

    class Link:
        def __init__(self, host, port, timeout) -> None:
            asked.append(port)

        def request(self, *_) -> None:
            raise OSError("Connection refused")

        def close(self) -> None:
            """Never open."""

    monkeypatch.setattr(healthy.http.client, "HTTPConnection", Link)
    with pytest.raises(SystemExit) as ended:
        healthy.main(["listen", "listen:5486", "console:8001"])
    assert ended.value.code == 1 and asked == [5484, 5486, 8001]
    assert "listen:5486: It does not answer at port 5486" in capsys.readouterr().out
    for wrong in ("listen:", "listen:0", "listen:x", "nobody:1", "listen:99999"):
        with pytest.raises(SystemExit, match="Say which"):
            healthy.main(["listen", wrong])


def test_prometheus_beside_the_containers_is_let_in_everywhere():
    """As the shipped file stands, nobody can read a metric of a container."""
    more = compose.FILE.parent / "docs" / "monitoring" / "compose.yml"
    done = subprocess.run(
        [require("docker-compose"), "-f", str(compose.FILE), "-f", str(more), "config", "--quiet"],
        cwd=BASE_DIR, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    added = compose.content(more)
    services = added["services"]
    reader = services["prometheus"]["networks"]["watch"]["ipv4_address"]
    targets = re.findall(r'"([\w.-]+):(\d+)"', (more.parent / "prometheus-compose.yml").read_text())
    (config,) = added["networks"]["watch"]["ipam"]["config"]
    hosts = {name: name for name in OURS[1:]} | {"listen": config["gateway"]}  # it is on the host's network
    ports = {"console-1": "8000", "console-2": "8000", "phones-1": "5481", "phones-2": "5481"}
    ports |= {"listen": str(healthy.SIDE_PORTS["listen"][1]), "work": str(healthy.SIDE_PORTS["work"][1])}
    assert set(targets) == {(host, ports[name]) for name, host in hosts.items()}
    for name in OURS[1:]:
        environment = services[name]["environment"]
        assert reader in environment["GSPNP_METRICS_NETWORKS"].split(",")
        bind = {"listen": config["gateway"], "work": "0.0.0.0"}.get(name)  # noqa: S104
        assert environment.get("GSPNP_METRICS_BIND") == bind
        assert name == "listen" or "watch" in services[name]["networks"]
    assert all(port.startswith("127.0.0.1:") for port in services["prometheus"]["ports"])


# --- what makes the secrets -------------------------------------------------------------------------------------------


def make_secrets(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"GSPNP_SECRETS": str(folder), "GSPNP_SECRETS_GROUP": str(os.getgid())}
    return subprocess.run(
        [str(DEPLOY / "make-secrets"), *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_secrets_are_made_once_and_fit_what_uses_them(tmp_path):
    arguments = ("console.example.net", "https://10.0.0.5:5482")
    assert make_secrets(tmp_path, "--self-signed", *arguments).returncode == 0
    made = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert set(made) == {one["file"].split("/")[-1] for one in compose.content()["secrets"].values()}
    settings = parse_env_file(made["gspnp.env"])
    assert len(parse_field_keys(settings["GSPNP_FIELD_KEYS"], "it")) == 1
    assert len(settings["SECRET_KEY"]) > 80 and len(settings["GSPNP_ADMIN_PASSWORD"]) >= 20
    password = made["postgres-password"].strip()
    assert settings["DATABASE_URL"] == f"postgres://gspnp:{password}@postgres:15432/gspnp"
    word = made["redis.conf"].split()[1]
    assert settings["REDIS_URL"] == f"redis://:{word}@redis:16379/0"
    assert (settings["GSPNP_HOSTS"], settings["GSPNP_PUBLIC_URL"]) == arguments
    assert all(path.stat().st_mode & 0o007 == 0 for path in [tmp_path, *tmp_path.rglob("*")])
    again = make_secrets(tmp_path, "--self-signed", "other.example.net", "https://10.0.0.6:5482")
    assert again.returncode == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()} == made
    assert make_secrets(tmp_path / "new").returncode == 2
    assert make_secrets(tmp_path / "new", "console.example.net", "10.0.0.5").returncode == 2
    assert not (tmp_path / "new").exists()


# --- Dockerfile -------------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def copied() -> list[str]:
    """What is taken from this folder."""
    rests = [rest.split() for word, rest in instructions() if word in ("COPY", "ADD") and "--from=" not in rest]
    return [source for rest in rests for source in rest[:-1]]


def reaches_the_builder(path: str) -> bool:
    """As .dockerignore says: the last line that matches decides."""
    lines = [line for line in (BASE_DIR / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    there = True
    for line in lines:
        pattern = line.lstrip("!").removeprefix("**/")
        parts = path.split("/")
        tried = {"/".join(parts[:end]) for end in range(1, len(parts) + 1)}
        tried |= set(parts) if "**/" in line else set()
        if any(fnmatch.fnmatch(one, pattern) for one in tried):
            there = line.startswith("!")
    return there


def test_the_image_runs_as_a_user_with_a_fixed_number_and_says_how_it_is():
    found = instructions()
    last = max(index for index, (word, _) in enumerate(found) if word == "FROM")
    assert [word for word, _ in found].count("FROM") == 2
    runtime = dict(found[last:])
    assert runtime["USER"] == compose.services()["console-1"]["user"] == "10001:10001"
    assert "gspnp.healthy" in runtime["HEALTHCHECK"]
    assert "--require-hashes" in DOCKERFILE and "ARG" not in dict(found)
    assert not any(word in ("ENV", "ARG") and re.search("KEY|PASS|SECRET|TOKEN", rest) for word, rest in found)


def test_what_it_copies_is_there_and_reaches_the_builder():
    sources = copied()
    assert {"gspnp", "devices", "provisioning", "sipmcast", "static", "templates", "manage.py"} <= set(sources)
    for source in sources:
        assert (BASE_DIR / source).exists(), source
        assert reaches_the_builder(source), source
    assert reaches_the_builder("gspnp/settings.py") and reaches_the_builder("static/console/shell.css")


@pytest.mark.parametrize(
    "path",
    [".env", ".git/config", "var/field-keys", "secrets/gspnp.env", "tests/cast.py", ".venv/bin/python", "docs/tls.md",
     "gspnp/__pycache__/settings.cpython-312.pyc", "field-keys", "backup.tar"],
)  # fmt: skip
def test_what_is_nobodys_business_does_not_reach_the_builder(path):
    assert not reaches_the_builder(path)


def test_the_image_has_the_tools_of_the_servers_version_from_its_own_debian():
    """A pg_dump that is older than the server makes no backup."""
    server = re.fullmatch(r"postgres:(\d+)-\w+", compose.services()["postgres"]["image"])
    assert server is not None
    runtime = [rest for word, rest in instructions() if word == "FROM"][-1]
    debian = {"bookworm": "15", "trixie": "17"}[runtime.rpartition("-")[2]]
    assert debian == server[1]
    runs = [rest for word, rest in instructions() if word == "RUN" and f"postgresql-client-{debian}" in rest]
    assert len(runs) == 1 and "purge" not in runs[0]
    text = (BASE_DIR / "docs" / "deploying.md").read_text(encoding="utf-8")
    assert "postgresql-client" in text[text.index("## Without containers") :]


# --- nginx.conf -------------------------------------------------------------------------------------------------------


def test_nginx_takes_the_proxys_configuration(tmp_path):
    files = Authority().files(tmp_path / "tls")
    text = NGINX.replace("/etc/gspnp/tls/fullchain.pem", str(files.cert))
    text = text.replace("/etc/gspnp/tls/privkey.pem", str(files.key)).replace("/tmp/", f"{tmp_path}/")
    text = re.sub(r"listen (?:[\d.]+:)?(\d+)", rf"listen {free_network()}3:\1", text)
    conf = tmp_path / "nginx.conf"
    conf.write_text(text.replace("/dev/stdout", "/dev/null"))
    done = subprocess.run(
        [require("nginx"), "-t", "-e", "stderr", "-c", str(conf)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


def test_the_proxy_names_no_path_in_a_log_and_adds_nothing_to_what_a_client_says():
    assert "$proxy_add_x_forwarded_for" not in NGINX
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in NGINX
    assert "proxy_set_header X-Request-ID $request_id;" in NGINX, "it is believed, as the address is"
    # A proxy_set_header further in would take away all of those further out.
    assert set(re.findall(r"\n( *)proxy_set_header", NGINX)) == {"    "}
    formats = re.search(r"log_format no_path([^;]*);", NGINX)
    assert formats and not re.search(r"\$(request|request_uri|uri|args|http_referer)\b", formats[1])
    assert set(re.findall(r"access_log ([^;]+);", NGINX)) == {"/dev/stdout no_path", "off"}
    phones = NGINX[NGINX.index("# --- the phones' door") :]
    assert "access_log off;" in phones and "error_log /dev/null emerg;" in phones
    assert "hash $remote_addr consistent;" in NGINX


# --- systemd ----------------------------------------------------------------------------------------------------------


def units() -> dict[str, str]:
    return {path.name: path.read_text() for path in (DEPLOY / "systemd").glob("*.*") if path.is_file()}


def test_systemd_takes_the_units(tmp_path):
    """As they are, but for the folder of the installation, which is this one."""
    folder = tmp_path / "units"
    shutil.copytree(DEPLOY / "systemd", folder)
    for path in folder.rglob("*.*"):
        if path.is_file():
            path.write_text(path.read_text().replace("/opt/gspnp/.venv/bin/python", "/bin/true"))
    names = [f"gspnp-{one}.service" for one in ("console@8000", "phones@5481", "listen", "listen@a", "work", "prepare")]
    done = subprocess.run(
        [require("systemd-analyze"), "verify", "--man=no", "gspnp.target", *names],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "gspnp" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_every_unit_is_hardened_and_only_the_listener_has_a_capability():
    found = units()
    assert set(found) == {
        "gspnp.target", "gspnp-prepare.service", "gspnp-console@.service", "gspnp-phones@.service",
        "gspnp-listen.service", "gspnp-listen@.service", "gspnp-work.service",
    }  # fmt: skip
    shared = (DEPLOY / "systemd" / "gspnp-.service.d" / "hardening.conf").read_text()
    for line in ("User=gspnp", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "UMask=0077"):
        assert f"\n{line}\n" in shared
    for name, text in found.items():
        assert ("CAP_" in text) == ("listen" in name), name
        if name.endswith(".service") and name != "gspnp-prepare.service":
            assert "\nRestart=always\n" in text
            assert ("gspnp-prepare" in text) == (name != "gspnp-listen@.service"), "elsewhere nobody migrates"
    prepare = found["gspnp-prepare.service"]
    assert "\nRestart=" not in prepare, "a first failure would fail all that require it, for good"
    assert "until " in prepare and "\nTimeoutStartSec=infinity\n" in prepare
    started = " ".join(found.values())
    for command in ("gspnp.prepare", "gspnp.serve console", "gspnp.serve phones", "listen_pnp", "manage.py work"):
        assert started.count(command) == (2 if command == "listen_pnp" else 1)


def started_by_the_units() -> list[str]:
    """What the units start, as it would stand in a Procfile."""
    lines = re.findall(r"(?m)^ExecStart=.*/opt/gspnp/\.venv/bin/(python.+)$", "\n".join(units().values()))
    return [line.removesuffix(" --site %i") for line in lines if "gspnp.prepare" not in line]


def test_units_containers_and_procfile_start_the_same():
    """One that lacked --keep-trying ended some seconds into an outage of the database."""
    procfile = (BASE_DIR / "Procfile").read_text().splitlines()
    wanted = {line.partition(": exec ")[2] for line in procfile if line}
    assert len(wanted) == 4
    assert set(started_by_the_units()) == wanted
    commands = (compose.services()[name]["command"] for name in OURS if name != "prepare")
    assert {" ".join(one).replace("python-raw", "python") for one in commands} == wanted


# --- several doors on one data folder ---------------------------------------------------------------------------------


def test_a_second_door_on_the_folder_is_seen_too_and_stays_when_the_first_ends(tmp_path):
    code = (
        "import pathlib, sys\nfrom gspnp import open_port\n"
        "open_port.leave(pathlib.Path(sys.argv[1]), int(sys.argv[2]))\nprint('left', flush=True)\nsys.stdin.read()"
    )
    doors = []
    for port in (8001, 8002):
        doors.append(
            subprocess.Popen(
                [sys.executable, "-c", code, str(tmp_path), str(port)],
                cwd=BASE_DIR,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )  # fmt: skip
        )
        assert doors[-1].stdout.readline() == "left\n"

    def ports() -> list[int]:
        return [port for port, _ in open_port.all_found(tmp_path)]

    try:
        assert ports() == [8001, 8002]
        doors[0].communicate("")
        assert ports() == [8002]
        assert open_port.found(tmp_path) == 8002
    finally:
        for door in doors:
            door.kill()
            door.communicate()
    assert ports() == []
    assert open_port.found(tmp_path) is None
