"""The libraries of the page: Vega from vl-convert, DataTables from itables, and the policy that lets them run."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from vibench.data.cache import cache_folder
from vibench.errors import UsageError
from vibench.files.writing import atomic_path, write_text

if TYPE_CHECKING:
    from vibench.report.figures import Figure

LIBRARIES = {"altair": "altair", "vl_convert": "vl-convert-python", "itables": "itables", "jinja2": "jinja2"}
"""Module and package of what the page needs."""


def require_libraries() -> None:
    """Raise `UsageError` where one of `LIBRARIES` is not installed."""
    missing = [package for module, package in LIBRARIES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f"the page needs {', '.join(missing)}, not installed here: pip install 'vibench[report]'")


def page_scripts() -> list[str]:
    """Vega, which defines ``vegaEmbed``, and DataTables, which defines ``DataTable``; neither asks any network."""
    from itables.utils import read_package_file

    module = read_package_file("html", "dt_bundle.js")
    body, _, exported = module.rpartition("export{")
    name = re.search(r"(\w+) as default", exported)
    if name is None:
        raise UsageError("itables has another form than this version of vibench knows: pip install 'itables<3'")
    scripts = [_vega(), f"(()=>{{{body}\nwindow.DataTable={name[1]};}})();"]
    # In a script nothing but this ends its element, and inside of strings both spellings mean the same.
    return [script.replace("</script", "<\\/script") for script in scripts]


def _vega() -> str:
    """Bundled once for each version of vl-convert, which takes two seconds, and kept among the caches."""
    import vl_convert

    kept = cache_folder() / f"vega-of-vl-convert-{version('vl-convert-python')}.js"
    try:
        return kept.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        bundle = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;")
    with suppress(OSError):
        write_text(kept, bundle)
    return bundle


def page_styles() -> list[str]:
    """The style of DataTables."""
    from itables.utils import read_package_file

    return [read_package_file("html", "dt_bundle.css").replace("</style", "<\\/style")]


def policy(styles: Iterable[str], scripts: Iterable[str]) -> str:
    """A content security policy that allows exactly these texts, and images that the page itself holds."""

    def hashes(texts: Iterable[str]) -> str:
        digests = (base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") for text in texts)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src {hashes(styles)}; script-src {hashes(scripts)}"
    )


def write_chart(path: Path, figure: Figure) -> None:
    """A chart of the page as a PNG or SVG file, as the suffix says, in light colours."""
    import vl_convert

    from vibench.report.charts import filled, form
    from vibench.report.theme import LIGHT

    spec = {**form(figure.chart, *figure.arguments), "title": figure.title}
    whole = filled(spec, figure.columns, LIGHT)
    png = path.suffix == ".png"
    content = vl_convert.vegalite_to_png(whole, scale=2) if png else vl_convert.vegalite_to_svg(whole).encode("utf-8")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
