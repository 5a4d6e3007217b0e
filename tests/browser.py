"""A headless browser that opens a file, is asked by script, and gets keys as a person presses them.

It speaks the browser's own protocol (https://chromedevtools.github.io/devtools-protocol/) through two pipes: no port is opened.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_KEYS = {"ArrowRight": 39, "Tab": 9, "Home": 36}


def program() -> str:
    """Where the browser is; the test is skipped without one, and fails in CI, which has one."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        assert not os.environ.get("CI"), f"CI has no browser: {', '.join(_NAMES)}"
        pytest.skip(f"no browser on this machine: {', '.join(_NAMES)}")
    return found


class Tab:
    """One open page."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back, self._count, self._rest = to, back, 0, b""
        self.session = ""
        self.requests: list[str] = []

    def tell(self, method: str, **parameters: Any) -> Any:
        """A command of the protocol, and its answer."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._next()
            if heard.get("method") == "Network.requestWillBeSent":
                self.requests.append(heard["params"]["request"]["url"])
            if heard.get("id") == self._count:
                assert "error" not in heard, heard["error"]
                return heard["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._back, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        line, self._rest = self._rest.split(b"\0", 1)
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, script: str) -> Any:
        """What an asynchronous function of this body returns."""
        expression = f"(async () => {{ {script} }})()"
        said = self.tell("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def press(self, key: str) -> None:
        """A key, down and up."""
        for kind in ("keyDown", "keyUp"):
            self.tell(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=_KEYS[key]
            )


@contextmanager
def opened(html: str, *, width: int = 1000, before: str = "") -> Iterator[Tab]:
    """A page from a file, in a browser that has no network; `before` is a script that runs before all of the page's own."""
    name = program()
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        place = Path(folder) / "page.html"
        place.write_text(html, encoding="utf-8")
        read, to = os.pipe()
        back, write = os.pipe()
        command = [
            name, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
            f"--user-data-dir={folder}/profile", f"--window-size={width},1200", "--remote-debugging-pipe", "about:blank",
        ]  # fmt: skip
        # the browser reads its commands from 3 and answers on 4
        moved = f'exec 3<&{read} 4>&{write}; exec "$@"'
        running = subprocess.Popen(
            ["bash", "-c", moved, "browser", *command],
            pass_fds=(read, write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        try:
            tab = Tab(to, back)
            made = tab.tell("Target.createTarget", url="about:blank")["targetId"]
            tab.session = tab.tell("Target.attachToTarget", targetId=made, flatten=True)["sessionId"]
            tab.tell("Network.enable")
            tab.tell("Page.enable")
            if before:
                tab.tell("Page.addScriptToEvaluateOnNewDocument", source=before)
            tab.tell("Page.navigate", url=place.as_uri())
            tab.ask(
                "while (document.readyState !== 'complete') await new Promise((go) => setTimeout(go, 20))"
            )
            yield tab
        finally:
            running.terminate()
            running.wait(30)
            os.close(to)
            os.close(back)
