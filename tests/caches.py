"""One cache for the tests of a module, which picture or evaluate the same small runs again and again.

A conftest imports the fixture for its folder.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
