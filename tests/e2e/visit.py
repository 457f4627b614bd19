"""A report as it is open in a browser, and what an eye would see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

# What an eye sees, for the browser to measure.
_LOOKS = r"""
window.looks = (() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const shown = selector => all(selector).filter(it => it.checkVisibility());
  const said = them => them.map(it => it.textContent || it.outerHTML);
  const style = it => getComputedStyle(it);
  const box = it => it.getBoundingClientRect();

  const hex = text => [1, 3, 5].map(i => parseInt(text.slice(i, i + 2), 16));
  const rgb = text => text.startsWith("#") ? hex(text) : text.match(/[\d.]+/g).map(Number);
  const linear = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const light = colour => [0.2126, 0.7152, 0.0722].reduce((sum, share, i) => sum + share * linear(colour[i] / 255), 0);
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);

  const solid = it => (rgb(style(it).backgroundColor)[3] ?? 1) === 1;
  const ground = it => solid(it) ? rgb(style(it).backgroundColor) : ground(it.parentElement);
  const band = rgb(style(document.documentElement).getPropertyValue("--band"));
  const drawn = it => style(it).fill === "none" ? style(it).stroke : style(it).fill;
  const worst = it => it.closest("svg")
    ? Math.min(...[ground(it), band].map(below => contrast(rgb(drawn(it)), below)))
    : contrast(rgb(style(it).color), ground(it));

  const speaks = it => [...it.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const words = () => shown("body *").filter(it => speaks(it) && !it.closest("title, desc"));
  const scale = it => it.closest("svg") ? box(it.closest("svg")).width / it.closest("svg").viewBox.baseVal.width : 1;
  const shared = (a, b, from, to) => Math.min(a[to], b[to]) - Math.max(a[from], b[from]);
  const touch = (a, b) => shared(a, b, "left", "right") > 1 && shared(a, b, "top", "bottom") > 3;
  const across = (a, b) => a.left >= b.left - 1 && a.right <= b.right + 1;
  const inside = (a, b) => across(a, b) && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
  const collisions = (svg, texts) => texts.filter(
    (a, i) => !inside(box(a), box(svg)) || texts.slice(i + 1).some(b => touch(box(a), box(b)))
  );
  return {
    all, shown,
    texts: selector => said(all(selector)),
    pale: () => said([...words().filter(it => worst(it) < 4.5), ...shown("svg .mark").filter(it => worst(it) < 3)]),
    small: least => said(words().filter(it => parseFloat(style(it).fontSize) * scale(it) < least)),
    collided: () => shown("svg").flatMap(svg => said(collisions(svg, [...svg.querySelectorAll("text")]))),
    doubled: () => all("[id]").map(it => it.id).filter((id, place, ids) => ids.indexOf(id) !== place),
    gaps: row => [...row.cells].slice(3, 7).filter(cell => cell.querySelector("span.missing")).length,
    marks: name => all(".timeline-wide .mark").filter(it => it.getAttribute("style").includes(`(--${name})`)).length,
  };
})();
"""


class Visit:
    """A page as it is open in the browser, with everything that it complained about or asked for."""

    def __init__(self, browser: Browser, path: Path, scheme: Any = "light", width: int = 1280) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self.complaints.append(request.url))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.evaluate(_LOOKS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def tell(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    def texts(self, selector: str) -> list[str]:
        return [one.strip() for one in self.page.locator(selector).all_inner_texts()]

    def flaws(self) -> list[Any]:
        """What nobody wants to see in a report, whatever it tells."""
        return [
            *self.complaints,
            *(url for url in self.asked if not url.startswith(("data:", "file:"))),
            *self.tell("[...document.images].filter(it => !it.naturalWidth || !it.alt).map(it => it.alt)"),
            *self.tell("looks.pale()"),
            *self.tell("looks.small(11)"),
            *self.tell("looks.collided()"),
            *self.tell("looks.doubled()"),
        ]
