"""A headless browser that opens a file and tells what a script in it found."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_REPORT = """
<script>
(async () => {
  const node = document.createElement("pre");
  node.id = "found";
  try { node.textContent = JSON.stringify(await (async () => { %s })()); }
  catch (error) { node.textContent = JSON.stringify({ error: String(error.stack ?? error) }); }
  document.body.append(node);
})();
</script></body>"""


def browser() -> str:
    """Where the browser is; the test is skipped without one, and fails in CI, which has one."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        assert not os.environ.get("CI"), f"CI has no browser: {', '.join(_NAMES)}"
        pytest.skip(f"no browser on this machine: {', '.join(_NAMES)}")
    return found


def ask(html: str, script: str, folder: Path, *, width: int = 1000, before: str = "") -> Any:
    """What an asynchronous function of this body returns in a page, from a file and without a network.

    `before` is a script that runs before all of the page's own.
    """
    program = browser()
    place = folder / "page.html"
    whole = html.replace("<head>", f"<head><script>{before}</script>", 1) if before else html
    place.write_text(whole.replace("</body>", _REPORT % script), encoding="utf-8")
    command = [
        program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
        f"--user-data-dir={folder / 'profile'}", f"--window-size={width},1200", "--virtual-time-budget=600000",
        "--dump-dom", place.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    match = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    status = re.search(r'<p id="status"[^>]*>(.*?)</p>', done.stdout, re.DOTALL)
    assert match, f"the script told nothing; the page says {status and status[1]!r}; {done.stderr[-2000:]}"
    found = json.loads(unescape(match[1]))
    assert not (isinstance(found, dict) and "error" in found), found["error"]
    return found
