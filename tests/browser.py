"""Debian's Chromium under Playwright, and what must hold on every page that it opens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID

from axe_playwright_python.base import AXE_SCRIPT
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from backend.http.access import COOKIE
from backend.services import identity
from tests.serving import Served

CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]

expect.set_options(timeout=30_000)  # of a busy machine; what is there sooner is not waited for


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """A browser's window. `complaints` are errors of the console, scripts that failed, and what the CSP forbade."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._heed)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heed(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def accessible(self) -> None:
        """axe finds no violation, and nothing reaches out of the window sideways."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE_SCRIPT)
        result = Axe("null").run(self.page)  # it is there: half a megabyte is not sent for every look
        assert result.violations_count == 0, f"{self.page.url}: {result.generate_report()}"
        wider = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, f"{self.page.url} is {wider} pixels too wide"


def opened(
    browser: Browser,
    served: Served,
    user_id: UUID | None,
    *,
    width: int = 1280,
    dark: bool = False,
    scripts: bool = True,
) -> tuple[BrowserContext, Visit]:
    """A window in a context of its own, logged in when there is somebody."""
    context = browser.new_context(
        base_url=served.url,
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        java_script_enabled=scripts,
        accept_downloads=True,
    )
    context.set_default_timeout(20_000)
    if user_id is not None:
        token = served.run(lambda session: identity.open_session(session, user_id, "Chromium"))
        host = urlsplit(served.url).hostname
        context.add_cookies([{"name": COOKIE, "value": token, "domain": host, "path": "/", "httpOnly": True}])
    return context, Visit(context.new_page())
