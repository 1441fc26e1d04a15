"""One cache per module."""

from tests.caches import cache_folder as cache_folder
