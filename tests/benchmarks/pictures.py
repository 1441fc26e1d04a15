"""The two pictures of README.md: ``python -m tests.benchmarks.pictures --out leaderboards/pictures``.

``twin.png`` is the upper part of the sheet that ``vibench data twin --preview`` draws; ``page.png`` shows two cuttings
of the page that ``vibench report`` writes of the committed boards, as a browser displays them: the first rows of the
twin's board, and two of its charts. Needs Chromium.
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.report.chromium import NAMES, Tab, find_chromium
from vibench.datasets.twin.preview import preview_sheet
from vibench.report.write import write_report

LEADERBOARDS = Path(__file__).resolve().parents[2] / "leaderboards"
PEOPLE, ROWS = 4, 6
"""Of the contact sheet and of the board."""
WIDTH = 1000
"""Pixels of each picture."""
WINDOW = 1180
"""Pixels of the browser's window, in which the board shows all its scores."""
COLOURS = {"twin.png": 144, "page.png": 160}
HEADING = "document.getElementById('scores')"
LAST_ROW = f"document.querySelectorAll('#rows tbody tr')[{ROWS - 1}]"
CHART = "document.querySelector('figure[id^=sysu-mm01-twin][id$=-cmc]')"
NEIGHBOUR = CHART.replace("-cmc", "-cameras")
"""The figure beside it."""


def contact_sheet() -> Image.Image:
    return preview_sheet("sysu-mm01", 0, identities=PEOPLE)


def cuttings(page: Path, binary: str, profile: Path) -> Image.Image:
    """The first rows of the twin's board and, below them, two charts."""
    with Tab(binary, profile) as tab:
        tab.call("Emulation.setDeviceMetricsOverride", width=WINDOW, height=800, deviceScaleFactor=1, mobile=False)
        tab.call("Emulation.setScrollbarsHidden", hidden=True)
        tab.open(page.as_uri())
        for figure in (CHART, NEIGHBOUR):
            tab.middle(figure)
            tab.wait(f"{figure}.querySelector('.chart.drawn')")
        tab.evaluate("scrollTo(0, 0)")
        parts = [_cutting(tab, HEADING, LAST_ROW), _cutting(tab, CHART, f"{CHART}.querySelector('.chart')")]
    whole = Image.new("RGB", (WINDOW, sum(part.height for part in parts)))
    whole.paste(parts[0], (0, 0))
    whole.paste(parts[1], (0, parts[0].height))
    return whole


def _cutting(tab: Tab, first: str, last: str) -> Image.Image:
    """The page from the upper edge of one element to the lower edge of another, both JavaScript expressions."""
    top = tab.evaluate(f"{first}.getBoundingClientRect().top + scrollY") - 12
    bottom = tab.evaluate(f"{last}.getBoundingClientRect().bottom + scrollY") + 4
    clip = {"x": 0, "y": top, "width": WINDOW, "height": bottom - top, "scale": 1}
    answer = tab.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
    return Image.open(io.BytesIO(base64.b64decode(answer["data"]))).convert("RGB")


def save(picture: Image.Image, folder: Path, name: str) -> None:
    """`WIDTH` wide, as a PNG of few colours, which is a third of the size."""
    picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    picture.quantize(COLOURS[name], dither=Image.Dither.NONE).save(folder / name, optimize=True)
    print(f"{folder / name}: {picture.width}x{picture.height}, {(folder / name).stat().st_size / 1024:.0f} KB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of twin.png and page.png")
    options = parser.parse_args()
    binary = find_chromium()
    if binary is None:
        sys.exit(f"a picture of the page needs one of {', '.join(NAMES)} on the PATH")
    options.out.mkdir(parents=True, exist_ok=True)
    save(contact_sheet(), options.out, "twin.png")
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch) / "report.html"
        write_report(LEADERBOARDS, page, runs=LEADERBOARDS / "runs")
        save(cuttings(page, binary, Path(scratch) / "profile"), options.out, "page.png")


if __name__ == "__main__":
    main()
