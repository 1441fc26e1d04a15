"""``vibench new-method``: a runnable method, its recipe and its test, in a folder of its author's."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from string import Template

from vibench.errors import UsageError, VibenchError
from vibench.files.writing import atomic_folder, write_text
from vibench.methods.registry import method_names

_TEMPLATE = Path(__file__).resolve().parent / "template"
_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class MethodName:
    """One name in the forms that a method's files need."""

    slug: str
    """On the command line and in records: ``my-method``."""

    @property
    def module(self) -> str:
        """Folder and Python package: ``my_method``."""
        return self.slug.replace("-", "_")

    @property
    def class_name(self) -> str:
        """``MyMethod``."""
        return "".join(word.capitalize() for word in self.slug.split("-"))

    @property
    def title(self) -> str:
        """``My method``."""
        return self.slug.replace("-", " ").capitalize()


def write_new_method(name: str, out: Path = Path()) -> Path:
    """Write the folder of a new method ``name`` into the folder ``out`` and return it.

    Raises `UsageError` for a name that cannot be one or is taken, for a folder that exists, and for a place inside
    vibench's own package.
    """
    method = parse_name(name)
    folder = Path(out) / method.module
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder}: exists already; choose another NAME, or another place with --out.")
    if folder.resolve().is_relative_to(_PACKAGE):
        raise UsageError(f"{folder}: lies inside vibench's own package; choose a folder of yours with --out.")
    words = {
        "slug": method.slug,
        "module": method.module,
        "class_name": method.class_name,
        "title": method.title,
    }
    try:
        with atomic_folder(folder) as temporary:
            for template in sorted(_TEMPLATE.glob("*.tmpl")):
                file = template.stem.replace("NAME", method.module)
                write_text(temporary / file, Template(template.read_text(encoding="utf-8")).substitute(words))
    except OSError as error:
        raise VibenchError(
            f"{folder}: cannot be written ({error.strerror}); choose another place with --out."
        ) from None
    return folder


def parse_name(name: str) -> MethodName:
    """``my-method`` or ``my_method``; `UsageError` for a name that no method can have, or one has."""
    slug = name.replace("_", "-")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug):
        raise UsageError(
            f"'{name}' cannot be the name of a method: use lower-case letters and digits, joined by '-', beginning "
            "with a letter, such as my-method."
        )
    method = MethodName(slug)
    if slug in method_names():
        raise UsageError(f"'{name}' is the name of a registered method; choose another.")
    if keyword.iskeyword(method.module) or keyword.issoftkeyword(method.module) or _is_module(method.module):
        raise UsageError(f"'{name}' is a word or a module of Python ('import {method.module}'); choose another name.")
    return method


def _is_module(name: str) -> bool:
    if name in sys.stdlib_module_names:
        return True
    spec = find_spec(name)
    # A folder without code in the working folder passes for a package as well, but has no file of its own.
    return spec is not None and spec.origin is not None
