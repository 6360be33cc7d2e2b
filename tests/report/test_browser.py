"""The report in headless Chromium, as wide as a phone and a desktop screen, light and dark."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.records import record
from ttq_repro.paper.claims import CLAIMS
from ttq_repro.report.intervals import Estimate
from ttq_repro.report.ledger import Judgement, Verdict
from ttq_repro.report.page import read_files, write_page
from ttq_repro.report.run_list import RunList
from ttq_repro.table import Table

pytestmark = pytest.mark.browser
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PHONE, DESK = 390, 1280
LIGHT, DARK = 1, 0

#: Shows the report in a frame of a given width, expands all of it, and writes its measurements
#: into the page's text. Contrast is that of WCAG 2.2, against the nearest opaque background.
HARNESS = """<!doctype html><iframe src="report.html" style="border:0;width:WIDTHpx;height:900px">
</iframe><pre id="measured"></pre><script>
const frame = document.querySelector("iframe");
frame.onload = () => {
  const page = frame.contentDocument, view = frame.contentWindow, root = page.documentElement;
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const colour = text => text.match(/[\\d.]+/g).map(Number);
  const background = e => {
    for (; e; e = e.parentElement) {
      const c = colour(view.getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  page.querySelectorAll("details").forEach(d => d.open = true);
  let worst = {contrast: 99}, smallest = 99;
  const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement, style = view.getComputedStyle(e);
    if (!walker.currentNode.textContent.trim() || !e.getClientRects().length) continue;
    const [a, b] = [luminance(colour(style.color)), luminance(background(e))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < worst.contrast)
      worst = {contrast, text: walker.currentNode.textContent.trim().slice(0, 60)};
    smallest = Math.min(smallest, parseFloat(style.fontSize));
  }
  const beyond = [...page.body.querySelectorAll("*")]
    .filter(e => !e.closest(".scroll, .claims thead, svg"))
    .filter(e => e.getBoundingClientRect().right > root.clientWidth + 1);
  document.getElementById("measured").textContent = JSON.stringify({
    overflow: root.scrollWidth - root.clientWidth,
    beyond: beyond.map(e => e.outerHTML.slice(0, 80)),
    worst, smallest, page: luminance(background(page.body)),
    requests: view.performance.getEntriesByType("resource").map(r => r.name),
    scripts: page.scripts.length, images: [...page.images].map(i => i.complete && i.naturalWidth),
  });
};
</script>"""


@pytest.fixture(scope="module")
def browser() -> str:
    for program in PROGRAMS:
        if path := shutil.which(program):
            return path
    pytest.skip(f"none of {', '.join(PROGRAMS)} is installed")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serves a page that has everything: each verdict, wide tables, a figure, runs, a warning."""
    home = tmp_path_factory.mktemp("report")
    verdicts = list(Verdict)
    judgements = [
        Judgement(
            claim,
            verdicts[place % 4],
            None if place % 4 == 3 else Estimate.around(8.9 + place, 1 + place % 3, 0.3),
            "paper, bf16",
            ("make reproduce-table1 BUDGET=paper DEPTHS=20 PRECISION=fp32 DATA_DIR=...",),
        )
        for place, claim in enumerate(CLAIMS)
    ]
    cells = [f"column {n}" for n in range(14)]
    Table("`caption` " * 9, cells, [["not run: `make " + "x" * 70 + "`", *cells[1:]]] * 3).write(
        home / "tables", "table1"
    )
    Table("", cells, [cells]).write(home / "benchmarks", "sizes")
    (home / "figures").mkdir()
    (home / "figures" / "figure1.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="1600" height="300"/>'
    )
    runs = RunList()
    runs.add(
        record(
            identity="resnet20-" + "long" * 20,
            config={"data": {"name": "cifar10"}, "recipe": {"name": "y" * 90}},
            test_error={"final": 0.1},
        )
    )
    problem = f"skipped results/records/{'z' * 90}.json"
    write_page(home, judgements, runs, read_files(home), ["table2: not run"], [problem])
    for width in (PHONE, DESK):
        (home / f"{width}.html").write_text(HARNESS.replace("WIDTH", str(width)))
    handler = partial(_Silent, directory=str(home))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_the_page_that_is_measured_is_there(address: str) -> None:
    """Needs no browser, so that a page that cannot be written is noticed everywhere."""
    with urlopen(f"{address}/report.html") as page:
        assert b"column 13" in page.read()


def measure(browser: str, address: str, width: int, scheme: int, profile: Path) -> dict[str, Any]:
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            f"--user-data-dir={profile}", f"--blink-settings=preferredColorScheme={scheme}",
            "--window-size=1400,1000", "--virtual-time-budget=20000", "--dump-dom",
            f"{address}/{width}.html",
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    (text,) = re.findall(r'<pre id="measured">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(html.unescape(text))


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK], ids=["phone", "desk"])
def test_readable_in_either_scheme_at_either_width(
    browser: str, address: str, width: int, scheme: int, tmp_path: Path
) -> None:
    seen = measure(browser, address, width, scheme, tmp_path)
    assert seen["overflow"] == 0
    assert seen["beyond"] == []
    assert seen["worst"]["contrast"] >= 4.5, seen["worst"]
    assert seen["smallest"] >= 11
    assert (seen["page"] > 0.5) == (scheme == LIGHT)
    assert seen["images"] == [1600]
    assert [name for name in seen["requests"] if not name.startswith("data:")] == []
    assert seen["scripts"] == 0
