"""What people do, in a browser: set up, talk to each other, lose the connection, read what was before."""

import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Window
from tests.client import PASSWORD, Account, register
from tests.running import Server

pytestmark = pytest.mark.requires("chromium")

Open = Callable[..., Awaitable[Window]]


async def sign_up(page: Page, name: str) -> None:
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Create account").click()
    await expect(page.locator("#connection")).to_have_attribute("data-state", "online")


async def log_in(page: Page, name: str) -> None:
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator("#connection")).to_have_attribute("data-state", "online")


async def write(page: Page, text: str) -> None:
    await page.get_by_label("Message", exact=True).fill(text)
    await page.get_by_label("Message", exact=True).press("Enter")


def message(page: Page, text: str) -> Locator:
    return page.locator("article.message:not([data-pending])", has_text=text)


async def open_room(page: Page, title: str) -> None:
    await page.get_by_role("navigation", name="Rooms").get_by_role("button", name=re.compile(title)).click()


def talking(server: Server, *names: str, title: str = "Harbour") -> tuple[str, list[Account]]:
    """Accounts that are members of one public room, of which the first is the owner."""
    owner = register(server.address, names[0])
    room: str = owner.do("create_room", title=title, kind="public")["room"]
    accounts = [owner]
    for name in names[1:]:
        invite = owner.do("create_invite")["token"]
        accounts.append(register(server.address, name, invite))
        accounts[-1].do("join_room", room=room)
    return room, accounts


async def shot(page: Page, name: str) -> None:
    """A picture to look at, where somebody wants one."""
    if folder := os.environ.get("CHAT_TEST_PICTURES"):
        await page.screenshot(path=str(Path(folder) / f"{name}.png"))


async def test_the_first_visitor_sets_up_the_first_account_and_makes_a_room(server: Server, open_window: Open) -> None:
    window = await open_window(server.address)
    await shot(window.page, "setup")
    await sign_up(window.page, "ann")
    await window.page.get_by_role("button", name="New room").first.click()
    await window.page.get_by_label("Title").fill("Harbour")
    await window.page.get_by_role("button", name="Create room").click()
    await write(window.page, "Hello, is anybody there?")
    await expect(message(window.page, "Hello, is anybody there?")).to_have_count(1)
    await shot(window.page, "first-message")
    await window.page.reload()
    await expect(window.page.locator("#connection")).to_have_attribute("data-state", "online")
    await open_room(window.page, "Harbour")
    await expect(message(window.page, "Hello, is anybody there?")).to_have_count(1)


async def test_two_people_talk_live(server: Server, open_window: Open) -> None:
    talking(server, "ann", "ben")
    ann, ben = (await open_window(server.address)).page, (await open_window(server.address)).page
    for page, name in ((ann, "ann"), (ben, "ben")):
        await log_in(page, name)
        await open_room(page, "Harbour")
    await write(ann, "Good morning, @ben")
    await expect(message(ben, "Good morning, @ben")).to_have_count(1)
    await write(ben, "Good morning to you")
    await expect(message(ann, "Good morning to you")).to_have_count(1)
    await shot(ann, "two-people")


async def test_an_invitation_link_lets_somebody_in(server: Server, open_window: Open) -> None:
    owner = register(server.address, "ann")
    room = owner.do("create_room", title="Harbour", kind="private")["room"]
    token = owner.do("create_invite", rooms=[room])["token"]
    page = (await open_window(f"{server.address}/#invite/{token}")).page
    await shot(page, "invited")
    await sign_up(page, "ben")
    await open_room(page, "Harbour")
    await write(page, "Thank you for having me")
    await expect(message(page, "Thank you for having me")).to_have_count(1)


async def test_what_is_written_offline_is_sent_once_when_the_server_is_back(server: Server, open_window: Open) -> None:
    room, (ann, _) = talking(server, "ann", "ben")
    page = (await open_window(server.address)).page
    await log_in(page, "ann")
    await open_room(page, "Harbour")
    await write(page, "before")
    await expect(message(page, "before")).to_have_count(1)
    server.kill()
    await expect(page.locator("#connection")).not_to_have_attribute("data-state", "online")
    for number in range(3):
        await write(page, f"while it was away {number}")
    await expect(page.locator("article.message[data-pending]")).to_have_count(3)
    await shot(page, "offline")
    server.start()
    await expect(page.locator("#connection")).to_have_attribute("data-state", "online", timeout=20_000)
    await expect(page.locator("article.message[data-pending]")).to_have_count(0, timeout=20_000)
    texts = [row["text"] for row in ann.ask("list_messages", room=room)["messages"]]
    assert texts == ["before", *(f"while it was away {number}" for number in range(3))]
    for number in range(3):
        await expect(message(page, f"while it was away {number}")).to_have_count(1)


async def test_a_page_that_is_loaded_anew_still_sends_what_was_not_acknowledged(
    server: Server, open_window: Open
) -> None:
    room, (ann,) = talking(server, "ann")
    window = await open_window(server.address)
    page = window.page
    await log_in(page, "ann")
    await open_room(page, "Harbour")
    await write(page, "first")
    await expect(message(page, "first")).to_have_count(1)
    server.kill()
    await write(page, "kept over a reload")
    await expect(page.locator("article.message[data-pending]")).to_have_count(1)
    server.start()
    await page.reload()
    await open_room(page, "Harbour")
    await expect(message(page, "kept over a reload")).to_have_count(1, timeout=20_000)
    texts = [row["text"] for row in ann.ask("list_messages", room=room)["messages"]]
    assert texts == ["first", "kept over a reload"]


async def test_history_comes_as_one_scrolls_up(server: Server, open_window: Open) -> None:
    room, (ann,) = talking(server, "ann")
    ann.do("rename_room", room=room, title="Long")
    for number in range(130):
        response = ann.post("send_message", room=room, text=f"{number:03d} of many")
        while response.status == 429:
            response = ann.post("send_message", room=room, text=f"{number:03d} of many")
    page = (await open_window(server.address)).page
    await log_in(page, "ann")
    await open_room(page, "Long")
    await expect(message(page, "129 of many")).to_be_visible()
    await expect(message(page, "000 of many")).to_have_count(0)
    for _ in range(60):
        if await message(page, "000 of many").count():
            break
        await page.locator("article.message").first.scroll_into_view_if_needed()
        await page.mouse.move(700, 300)
        await page.mouse.wheel(0, -4000)
        await page.wait_for_timeout(100)
    await expect(message(page, "000 of many")).to_have_count(1)
    seqs = await page.locator("article.message").evaluate_all("all => all.map(one => Number(one.dataset.seq))")
    assert seqs == sorted(set(seqs))


async def test_search_finds_what_was_said(server: Server, open_window: Open) -> None:
    room, (ann,) = talking(server, "ann")
    ann.do("send_message", room=room, text="the lighthouse keeper")
    ann.do("send_message", room=room, text="nothing of interest")
    page = (await open_window(server.address)).page
    await log_in(page, "ann")
    await page.get_by_label("Search").first.fill("LIGHTHOUSE")
    await page.get_by_label("Search").first.press("Enter")
    await expect(page.get_by_text("the lighthouse keeper").first).to_be_visible()
    await shot(page, "search")


async def test_unread_messages_are_counted_until_the_room_is_opened(server: Server, open_window: Open) -> None:
    room, (ann, ben) = talking(server, "ann", "ben")
    page = (await open_window(server.address)).page
    await log_in(page, "ben")
    ann.do("create_room", title="Elsewhere", kind="public")
    for number in range(3):
        ann.do("send_message", room=room, text=f"news {number}")
    entry = page.get_by_role("navigation", name="Rooms").get_by_role("button", name=re.compile("Harbour"))
    if await page.locator("article.message").count():  # the only room may be open already
        await expect(message(page, "news 2")).to_have_count(1)
    else:
        await expect(entry.locator(".unread")).to_have_text("3")
        await entry.click()
    await expect(entry.locator(".unread")).to_have_count(0)
    assert ben.ask("list_rooms")["rooms"][0]["unread"] == 0


async def test_a_phone_sees_the_same(server: Server, open_window: Open) -> None:
    room, (ann,) = talking(server, "ann")
    ann.do("send_message", room=room, text="small screens too")
    page = (await open_window(server.address, width=390, height=844)).page
    await log_in(page, "ann")
    if await page.get_by_role("navigation", name="Rooms").is_visible():
        await open_room(page, "Harbour")
    await expect(message(page, "small screens too")).to_be_visible()
    overflow = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    await shot(page, "phone")
