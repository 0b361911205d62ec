"""Every page and dialog of the dashboard, in both themes and on a phone: there, without an error, and for everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import pytest
from browsing import Tab, Tabs
from harness import Daemon
from page_world import drop_world, settle_world
from playwright.async_api import expect

Act = Callable[[Tab], Awaitable[None]]

PAGES = (
    ("/services", "Services"),
    ("/services/whisper-large", "HF_TOKEN"),
    ("/services/translate", "Rollout of revision 2"),
    ("/services/reranker", "Its definition is not valid"),
    ("/services/nothing", "There is no such service"),
    ("/services/llama-3.1-8b/logs", "loaded 8 shards"),
    ("/services/llama-3.1-8b/events", "routing.healthy"),
    ("/services/translate/revisions", "GENERATION"),
    ("/services/echo/tokens", "Tokens of echo"),
    ("/services/echo/try", "Answer"),
    ("/services/llama-3.1-8b/try", "Say something to"),
    ("/services/echo/access", "the latest first"),
    ("/services/echo/definition", "Resolved definition"),
    ("/models", "embeddings"),
    ("/models/llama", "tokenizer.json"),
    ("/models/reranker/definition", "start_comand"),
    ("/changes", "Nothing waits"),
    ("/activity", "service.status"),
    ("/activity/audit", "Create a token"),
    ("/activity/usage", "By token"),
    ("/tokens", "Signing keys"),
    ("/system", "State directory"),
    ("/system/checks", "models_dirs"),
    ("/system/config", "gateway.listen"),
    ("/nowhere", "There is no such page"),
)
"""Address, and a text that stands there once it is whole."""


def click(name: str) -> Act:
    async def act(tab: Tab) -> None:
        await tab.button(name).first.click()

    return act


def item(menu: str, name: str) -> Act:
    async def act(tab: Tab) -> None:
        await tab.choose(menu, name)

    return act


def press(key: str) -> Act:
    async def act(tab: Tab) -> None:
        await expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
        await tab.page.keyboard.press(key)

    return act


DIALOGS: tuple[tuple[str, Act, str], ...] = (
    ("/services", click("Start a service"), "Model folder"),
    ("/services", press("Control+k"), "Go to"),
    ("/services", press("?"), "Search on this page"),
    ("/services/echo", click("Modify"), "Desired routing count"),
    ("/services/echo", click("Scale"), "Routings wanted"),
    ("/services/echo", item("More", "Terminate"), "Type echo to confirm"),
    ("/services/translate", click("Promote"), "All requests go to the new revision"),
    ("/services/translate", click("Abort"), "The last good revision takes over again"),
    ("/services/translate/revisions", click("Go back to revision 1"), "is equal to 1"),
    ("/services/echo/tokens", click("Create a token"), "Valid for"),
    ("/models", click("New model folder"), "Below models_dirs"),
    ("/models/whisper", click("Validate"), "KeyError"),
    ("/tokens", click("Make a new key"), "New tokens are signed with it"),
)
"""Where, what opens it, and a text in it."""
TOUCHED = [one for one in DIALOGS if not one[1].__qualname__.startswith("press")]
"""A phone has no keys."""


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
async def test_every_page_and_dialog_is_whole_and_for_everybody(look: str, daemon: Daemon, tabs: Tabs) -> None:
    """In light as axe sees it whole, in dark where only the colours differ, on a phone where nothing may be wider."""
    drop_world(daemon)
    await settle_world(daemon)
    await daemon.token("*", name="somebody")
    options = {"size": (390, 844)} if look == "phone" else {"theme": look}
    tab: Tab = await tabs(daemon, **options)
    tab.expected = ["/v1/services/reranker", "/v1/services/nothing"]
    await tab.open()
    found = {
        where: await FAULTS[look](tab) async for where in visited(tab, PAGES, TOUCHED if look == "phone" else DIALOGS)
    }
    assert {where: faults for where, faults in found.items() if faults} == {}


async def visited(
    tab: Tab, pages: Iterable[tuple[str, str]], dialogs: Iterable[tuple[str, Act, str]]
) -> AsyncIterator[str]:
    """Each page once it is whole, then each dialog while it is open."""
    for path, text in pages:
        await tab.go(path)
        await expect(tab.page.get_by_role("main")).to_contain_text(text)
        yield path
    for path, act, text in dialogs:
        await tab.go(path)
        await act(tab)
        await expect(tab.dialog()).to_contain_text(text)
        yield f"{path} {text}"
        await tab.page.keyboard.press("Escape")
        await expect(tab.dialog()).to_be_hidden()


HIDDEN_TABS = """[...document.querySelectorAll(".tabs a[aria-current]")].filter((one) => {
  const { left, right } = one.getBoundingClientRect();
  return left < 0 || right > innerWidth;
}).map((one) => one.innerText)"""


async def does_not_fit(tab: Tab) -> list[str]:
    """The page never scrolls sideways, and the tab that is chosen is in sight."""
    over = await tab.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    hidden = await tab.page.evaluate(HIDDEN_TABS)
    return ([f"{over} px too wide"] if over > 0 else []) + [f"tab {name} is out of sight" for name in hidden]


FAULTS: dict[str, Callable[[Tab], Awaitable[list[str]]]] = {
    "light": Tab.faults,
    "dark": lambda tab: tab.faults("color-contrast"),
    "phone": does_not_fit,
}


async def test_the_sign_in_is_for_everybody(daemon: Daemon, tabs: Tabs) -> None:
    for theme in ("light", "dark"):
        tab = await tabs(daemon, token="", theme=theme)
        await tab.page.goto(daemon.url)
        await tab.button("Sign in").click()
        await tab.sees("Paste a token first.")
        assert await tab.faults() == []
