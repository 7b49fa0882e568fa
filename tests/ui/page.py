"""The Temporal UI as a person sees it: visible text only, and a picture of every step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 30.0
T = TypeVar("T")


@dataclass
class Page:
    """What is on the screen. Selenium waits in a thread, so that the stack is served meanwhile."""

    browser: Chrome
    ui: str
    shots: Path

    async def open(self, path: str) -> None:
        """A page of the namespace."""
        await asyncio.to_thread(self.browser.get, f"{self.ui}/namespaces/default/{path}")

    async def click(self, words: str) -> None:
        """A link or a tab, by what stands on it."""
        await asyncio.to_thread(self._until, lambda: self._press(words), f"a link {words!r}")

    async def reads(self, shot: str, *parts: str) -> str:
        """Wait until every part is to be read; returns all visible text."""
        return await asyncio.to_thread(self._reads, shot, parts)

    async def reads_frame(self, shot: str, frame: str, *parts: str) -> str:
        """The same inside a frame, where the UI puts Markdown."""
        return await asyncio.to_thread(self._reads_frame, shot, frame, parts)

    def _press(self, words: str) -> bool:
        links = self.browser.find_elements(By.XPATH, f"//a[contains(normalize-space(.), '{words}')]")
        if links:
            links[0].click()
        return bool(links)

    def _reads(self, shot: str, parts: tuple[str, ...]) -> str:
        try:
            self._until(lambda: all(part in self._text() for part in parts), " and ".join(parts))
        finally:
            self.browser.save_screenshot(str(self.shots / f"{shot}.png"))
        return self._text()

    def _reads_frame(self, shot: str, frame: str, parts: tuple[str, ...]) -> str:
        self._until(lambda: self._enter(frame), f"the frame {frame}")
        try:
            return self._reads(shot, parts)
        finally:
            self.browser.switch_to.default_content()

    def _enter(self, frame: str) -> bool:
        found = self.browser.find_elements(By.ID, frame)
        if found:
            self.browser.switch_to.frame(found[0])
        return bool(found)

    def _text(self) -> str:
        return str(self.browser.find_element(By.TAG_NAME, "body").text)

    def _until(self, is_so: Callable[[], bool], what: str) -> None:
        waiting = WebDriverWait(self.browser, PATIENCE, ignored_exceptions=(StaleElementReferenceException,))
        try:
            waiting.until(lambda _: is_so())
        except TimeoutException:
            raise AssertionError(f"the page never shows {what}; it reads:\n{self._text()}") from None
