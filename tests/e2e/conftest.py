"""The worlds of the end-to-end tests. When a test fails, the report shows what its processes said last."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.netns import Lab
from tests.support.site import DATABASE, Site
from tests.support.world import World

SERVERS = ("listen", "phones", "work")
LOG_LINES = 40

sites: list[Site] = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for site in sites:
            for path in sorted(site.folder.glob("*.log")):
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
                report.sections.append((f"{site.folder.name}/{path.name}", "\n".join(lines)))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    made = Lab(os.environ.get("PYTEST_XDIST_WORKER", ""))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def empty_database(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database with nothing in it, made once and copied for every world."""
    site = Site(tmp_path_factory.mktemp("empty"), lab.host("migrate"))
    site.prepare()
    return site.folder / DATABASE


@pytest.fixture(scope="module")
def make_world(
    lab: Lab, empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., World]]:
    """Build a world; it ends with the module. No process is started."""
    made: list[World] = []

    def make(settings: Mapping[str, str] | None = None) -> World:
        world = World(lab, tmp_path_factory.mktemp("site"), settings)
        world.site.prepare(empty_database)
        made.append(world)
        sites.append(world.site)
        return world

    yield make
    for world in made:
        sites.remove(world.site)
        world.close()


@pytest.fixture(scope="module")
def world(make_world: Callable[..., World]) -> World:
    """A world where everything runs that phones need."""
    built = make_world()
    built.site.start(*SERVERS)
    return built
