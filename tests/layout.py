"""How a headless browser lays a page out: what sticks out of a screen, and what falls on which sheet of paper."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from browser import opened, program

__all__ = ["A4_PIXELS", "as_printed", "by_sheet", "measured", "printed"]

A4_PIXELS = round((210 - 2 * 13) / 25.4 * 96)
"""Between the margins of a sheet."""

_MEASURE = """
const html = %s, told = [];
for (const wide of %s) {
  const frame = document.createElement('iframe');
  frame.width = wide; frame.height = 900; frame.style.border = '0'; frame.srcdoc = html;
  const loaded = new Promise(done => { frame.onload = done; });
  document.body.append(frame);
  await loaded;
  const page = frame.contentDocument, width = page.documentElement.clientWidth;
  for (const folded of [true, false]) {
    page.querySelectorAll('details').forEach(each => { each.open = !folded; });
    const out = [];
    for (const each of page.body.querySelectorAll('*')) {
      const box = each.getBoundingClientRect();
      // what moves sideways inside its own frame is not in the way
      const moves = each.parentElement.closest('.wide, pre');
      const inside = moves && frame.contentWindow.getComputedStyle(moves).overflowX === 'auto';
      // what is for readers of the page by ear takes no room
      const head = each.closest('thead');
      const unseen = head && frame.contentWindow.getComputedStyle(head).clipPath !== 'none';
      const hidden = unseen || each.closest('.skip') || box.right < 0 || box.width === 0;
      if (box.right > width + 1 && !inside && !hidden)
        out.push(each.tagName + ' ' + each.className + ': ' + each.textContent.slice(0, 60));
    }
    told.push({width: wide, folded: folded, seen: width, scrolls: page.documentElement.scrollWidth, out: out.slice(0, 5)});
  }
}
return told;
"""


def measured(html: str, widths: tuple[int, ...]) -> list[dict[str, Any]]:
    """A page laid out at several widths, folded and opened: how wide it came out, and what sticks out of it.

    Frames are used because a browser's own window has a least width.
    """
    script = _MEASURE % (json.dumps(html).replace("</", "<\\/"), list(widths))
    with opened("<!doctype html><html><head></head><body></body></html>") as tab:
        found: list[dict[str, Any]] = tab.ask(script)
    return found


def as_printed(html: str) -> str:
    """A page whose rules for paper hold on the screen."""
    return html.replace("@media print", "@media all").replace("@media screen", "@media speech")


def printed(page: Path, folder: Path) -> bytes:
    """A page as PDF."""
    place = folder / f"{page.stem}.pdf"
    command = [
        program(), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
        f"--user-data-dir={folder / 'profile'}", "--no-pdf-header-footer", f"--print-to-pdf={place}", page.as_uri(),
    ]  # fmt: skip
    made = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert place.is_file(), made.stderr[-2000:]
    return place.read_bytes()


def _pages(tree: bytes, objects: dict[int, bytes]) -> list[int]:
    """Its sheets in their order."""
    found: list[int] = []
    for kid in re.findall(rb"(\d+) 0 R", re.search(rb"/Kids\s*\[(.*?)\]", tree, re.DOTALL)[1]):  # type: ignore[index]
        body = objects[int(kid)]
        found += _pages(body, objects) if re.search(rb"/Type\s*/Pages\b", body) else [int(kid)]
    return found


def by_sheet(pdf: bytes, tag: str = "Table") -> tuple[int, list[set[int]]]:
    """How many sheets there are, and on which of them each table (or what has another tag) lies, counted from nought.

    The browser tags what it prints: an element of the structure names the sheet its letters are on (ISO 32000-1, 14.7.2).
    """
    objects = {
        int(found[1]): found[2]
        for found in re.finditer(rb"(?:^|\n)(\d+) 0 obj\n(.*?)\nendobj", pdf, re.DOTALL)
    }
    [tree] = [
        body for body in objects.values() if re.search(rb"/Type\s*/Pages\b", body) and b"/Parent" not in body
    ]
    sheets = _pages(tree, objects)
    children: dict[int, list[int]] = {}
    for number, body in objects.items():
        if b"/StructElem" in body and (above := re.search(rb"/P (\d+) 0 R", body)):
            children.setdefault(int(above[1]), []).append(number)

    def lies_on(number: int) -> set[int]:
        own = {sheets.index(int(each)) for each in re.findall(rb"/Pg (\d+) 0 R", objects[number])}
        return own.union(*(lies_on(each) for each in children.get(number, ())))

    return len(sheets), [
        lies_on(number)
        for number, body in objects.items()
        if b"/StructElem" in body and re.search(rb"/S /" + tag.encode() + rb"\b", body)
    ]
