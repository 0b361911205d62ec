"""A real Chromium that looks at a real daemon, and what every visit must hold: no console error, no serious fault of
accessibility."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

from axe_playwright_python.async_playwright import Axe
from harness import Daemon, until
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, TimeoutError, async_playwright, expect

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
)
Theme = Literal["light", "dark"]
KEY = "orchestrator.token"

WEATHER = "net::ERR_NETWORK_CHANGED"
"""Chromium drops its requests when the machine's network changes, and each container that starts is such a change. The
page goes on by itself; that it does is no error of it."""

SEED = """(url, key, token) => {
  if (location.origin !== url || sessionStorage.getItem("seeded")) return;
  sessionStorage.setItem("seeded", "1");
  sessionStorage.setItem(key, token);
}"""
"""Signs in once, so that who signs out by hand stays so."""

expect.set_options(timeout=15_000)


class Tab:
    """One page of a browser. `expected`: patterns of console errors that belong to the test."""

    def __init__(self, page: Page, daemon: Daemon) -> None:
        self.page = page
        self.daemon = daemon
        self.expected: list[str] = []
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(f"{error}\n{error.stack}"))
        page.on("request", lambda request: self._asked(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and WEATHER not in message.text:
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def _asked(self, url: str) -> None:
        if not url.startswith((self.daemon.url, "blob:", "about:")):
            self.elsewhere.append(url)

    async def open(self, path: str = "/services") -> None:
        """As if typed into the address bar; what was there before is gone."""
        await self.page.goto(f"{self.daemon.url}/#{path}")
        await self.page.reload()

    async def go(self, path: str) -> None:
        await self.page.evaluate("path => { location.hash = path }", path)

    def button(self, name: str | re.Pattern[str], *, exact: bool = True) -> Locator:
        return self.page.get_by_role("button", name=name, exact=exact)

    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    async def sees(self, text: str | re.Pattern[str], within: Locator | None = None) -> None:
        await expect((within or self.page).get_by_text(text).first).to_be_visible()

    async def told(self, text: str) -> None:
        """A toast says so."""
        await expect(self.page.locator(".toast", has_text=text).first).to_be_visible()

    async def write(self, text: str) -> None:
        """In place of all that the editor has."""
        await self.page.get_by_role("textbox", name="Definition").click()
        for key in ("Control+a", "Delete"):
            await self.page.keyboard.press(key)
        await self.page.keyboard.insert_text(text)

    async def pair(self, group: str, name: str, value: str) -> None:
        """One more row of names and values."""
        await self.dialog().get_by_role("group", name=group).get_by_role("button", name="Add").click()
        await self.page.get_by_label(f"{group}: Name 1").fill(name)
        await self.page.get_by_label(f"{group}: Value 1").fill(value)

    async def choose(self, menu: str, item: str) -> None:
        """A menu closes when what lies around it moves: then it is opened again, as anybody would."""
        wanted = self.page.get_by_role("menuitem", name=item, exact=True)

        async def chosen() -> bool:
            if not await wanted.is_visible():
                await self.button(menu).last.click()
            try:
                await wanted.click(timeout=2000)
            except TimeoutError:
                return False
            return True

        await until(chosen, 30, what=f"{item} is chosen")

    async def faults(self, *rules: str) -> list[str]:
        """What axe finds that is serious or critical; `rules`: by these only."""
        found = await Axe().run(self.page, options={"runOnly": list(rules)} if rules else None)
        grave = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
        return [f"{one['id']}: {node['html'][:160]} {node['any'][:1]}" for one in grave for node in one["nodes"]]

    def unexpected(self) -> list[str]:
        return [one for one in self.errors if not any(re.search(pattern, one) for pattern in self.expected)]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


async def open_tab(
    browser: Browser,
    daemon: Daemon,
    *,
    token: str | None = None,
    theme: Theme = "light",
    size: tuple[int, int] = (1280, 820),
) -> Tab:
    """Signed in with `token` (None: the administrator's; empty: not at all) as if somebody had done it by hand."""
    viewport: Any = {"width": size[0], "height": size[1]}
    context = await browser.new_context(viewport=viewport, color_scheme=theme, reduced_motion="reduce")
    page = await context.new_page()
    tab = Tab(page, daemon)
    given = daemon.admin_token if token is None else token
    if given:
        await page.add_init_script(f"({SEED})({json.dumps(daemon.url)}, {json.dumps(KEY)}, {json.dumps(given)})")
    return tab


Tabs = Callable[..., Any]
