"""Every page and dialog of the dashboard, in both themes and on a phone: there, without an error, and for everybody."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import pytest
from browsing import Tab, Tabs, Theme
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
    ("/services/echo/access", ""),
    ("/services/echo/definition", "Resolved definition"),
    ("/models", "embeddings"),
    ("/models/llama", "tokenizer.json"),
    ("/models/reranker/definition", "start_comand"),
    ("/changes", "Nothing waits"),
    ("/activity", "service.status"),
    ("/activity/audit", "Create a token"),
    ("/activity/usage", ""),
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


@pytest.mark.parametrize(("theme", "size"), [("light", (1280, 820)), ("dark", (1280, 820)), ("light", (390, 844))])
async def test_every_page_and_dialog_is_whole_and_for_everybody(
    daemon: Daemon, tabs: Tabs, theme: Theme, size: tuple[int, int]
) -> None:
    drop_world(daemon)
    await settle_world(daemon)
    await daemon.token("*", name="somebody")
    tab = await tabs(daemon, theme=theme, size=size)
    tab.expected = ["/v1/services/reranker", "/v1/services/nothing"]
    await tab.open()
    found: dict[str, list[str]] = {}
    for path, text in PAGES:
        await tab.go(path)
        await expect(tab.page.get_by_role("main")).to_contain_text(text)
        found[path] = [*await tab.faults(), *await too_wide(tab)]
    for path, act, text in dialogs(size):
        await tab.go(path)
        await act(tab)
        await expect(tab.dialog()).to_contain_text(text)
        found[f"{path} {text}"] = await tab.faults()
        await tab.page.keyboard.press("Escape")
        await expect(tab.dialog()).to_be_hidden()
    assert {where: faults for where, faults in found.items() if faults} == {}


def dialogs(size: tuple[int, int]) -> Iterator[tuple[str, Act, str]]:
    """A phone has no keys."""
    return (one for one in DIALOGS if size[0] > 700 or not one[1].__qualname__.startswith("press"))


async def too_wide(tab: Tab) -> list[str]:
    """The page never scrolls sideways."""
    over = await tab.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [f"{over} px too wide"] if over > 0 else []


async def test_the_sign_in_is_for_everybody(daemon: Daemon, tabs: Tabs) -> None:
    for theme in ("light", "dark"):
        tab = await tabs(daemon, token="", theme=theme)
        await tab.page.goto(daemon.url)
        await tab.button("Sign in").click()
        await tab.sees("Paste a token first.")
        assert await tab.faults() == []
