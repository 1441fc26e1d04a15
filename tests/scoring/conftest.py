"""One cache, and toy runs on the tiny twins, per module."""

from tests.caches import cache_folder as cache_folder
from tests.training.toy_runs import regdb_runs as regdb_runs
from tests.training.toy_runs import sysu_run as sysu_run
