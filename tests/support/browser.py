"""Debian's Chromium on a host of its own, driven by Playwright: the technician's machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.netns import Host
from tests.support.parts import require

# No sandbox because the suite runs as root; the rest keeps it from calling home.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


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
