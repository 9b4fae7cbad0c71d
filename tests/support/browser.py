"""Debian's Chromium, driven by Playwright: one for all tests of this process, or one on a host of its own."""

import atexit
import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from playwright._impl._driver import compute_driver_executable, get_driver_env
from playwright.sync_api import Browser, BrowserContext, Page, Response, sync_playwright

from tests.support.netns import Host
from tests.support.parts import require
from tests.support.servers import die_with_the_suite

# No sandbox because the suite runs as root; the rest keeps it from calling home.
AT_ONCE = 8  # pages beside one another
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@cache
def _server() -> str:
    """Where the one Chromium of this process is driven: to start another for each test takes longer than most do."""
    folder = Path(tempfile.mkdtemp(prefix="gspnp-browser-"))
    config = folder / "config.json"
    config.write_text(json.dumps({"executablePath": require("chromium"), "args": FLAGS, "host": "127.0.0.1"}))
    process = subprocess.Popen(
        [*compute_driver_executable(), "launch-server", "--browser", "chromium", "--config", str(config)],
        stdout=subprocess.PIPE, text=True, env=get_driver_env(), preexec_fn=die_with_the_suite,
    )  # fmt: skip
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert address.startswith("ws://"), "Chromium does not start"

    @atexit.register
    def end() -> None:
        process.terminate()
        process.wait(10)

    return address


@contextmanager
def chromium() -> Iterator[Browser]:
    """The Chromium of this process; what is opened in here is closed with it. The database cannot be used in here:
    Playwright has its loop running."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.connect(_server())
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def chromium_on(host: Host, folder: Path) -> Iterator[Browser]:
    """Chromium inside that host's network namespace: it sees the console as another machine does."""
    wrapper = folder / "chromium"
    command = " ".join(f"'{part}'" for part in host.command(require("chromium")))
    wrapper.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(wrapper), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def sign_in(page: Page, url: str, name: str, password: str) -> None:
    """Through the login form, as a person does."""
    page.goto(url)
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", password)
    page.keyboard.press("Enter")
    page.wait_for_url(url)


def pages_at_rest(context: BrowserContext, urls: Iterable[str]) -> Iterator[tuple[Page, Response]]:
    """Each of these pages and the answer to it, when nothing has been fetched for half a second: several wait for that
    at once. A page is closed when the next one is asked for."""
    left = list(urls)
    while left:
        some, left = left[:AT_ONCE], left[AT_ONCE:]
        opened = []
        for url in some:
            page = context.new_page()
            answer = page.goto(url)
            assert answer is not None
            opened.append((page, answer))
        for page, answer in opened:
            page.wait_for_load_state("networkidle")
            yield page, answer
            page.close()
