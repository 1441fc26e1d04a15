"""Where the data files that travel with vibench lie: inside a wheel, or in the repository."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def protocols_folder() -> Path:
    """The folder of protocol files: ``protocols/`` of the repository, or its copy inside the wheel."""
    return _shipped("protocols", _PACKAGE.parent / "protocols")


def published_folder() -> Path:
    """The folder of published numbers: ``leaderboards/published/``, or its copy inside the wheel."""
    return _shipped("published", _PACKAGE.parent / "leaderboards" / "published")


def _shipped(name: str, in_repository: Path) -> Path:
    packaged = _PACKAGE / "shipped" / name
    return packaged if packaged.is_dir() else in_repository
