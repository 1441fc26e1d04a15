"""Matching as the gallery grows: the right neighbours, in chunks or at once, and an end with a reason."""

from __future__ import annotations

import time

import pytest
import torch

from tests.profiling.toy import Toy
from vibench.profiling import matching
from vibench.profiling.matching import NEAREST, QUERIES, nearest, profile_matching, repeated_chunks

CPU = torch.device("cpu")


@pytest.mark.parametrize("chunk", [3, 7, 50, 100])
def test_the_nearest_images_do_not_depend_on_the_chunks(chunk: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query, gallery = (torch.randn(count, 5, generator=generator) for count in (4, 50))
    values, rows = nearest(query, repeated_chunks(gallery, chunk, 50), torch.cdist)
    expected, places = torch.cdist(query, gallery).sort(dim=1)
    torch.testing.assert_close(values, expected[:, :NEAREST], rtol=1e-4, atol=1e-4)
    assert torch.equal(rows, places[:, :NEAREST])


def test_a_gallery_larger_than_the_pool_repeats_it() -> None:
    pool = torch.arange(10.0)[:, None]
    rows = torch.cat(list(repeated_chunks(pool, 4, 23)))[:, 0]
    assert rows.tolist() == [*range(10), *range(10), 0, 1, 2]


def test_a_plain_distance_meets_the_gallery_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "CHUNK_BYTES", 4 * 7 * 8)
    seen: list[int] = []
    plain = matching._cosine_distances

    def watched(query: torch.Tensor, gallery: torch.Tensor) -> torch.Tensor:
        seen.append(len(gallery))
        return plain(query, gallery)

    monkeypatch.setattr(matching, "_cosine_distances", watched)
    (found,) = profile_matching(Toy(), 7, CPU, seconds=1.0, galleries=(10, 100))
    assert (found.distance, found.query_mode, found.queries, found.chunked) == ("cosine", "all", QUERIES, True)
    assert [gallery.rows for gallery in found.galleries] == [10, 100] and not found.left_out
    assert max(seen) == 8


class Own(Toy):
    """Ranks by a distance of its own."""

    seen: list[tuple[int, str]]

    def distances(self, query: torch.Tensor, gallery: torch.Tensor, query_mode: str) -> torch.Tensor:
        self.seen.append((len(gallery), query_mode))
        time.sleep(0.02 * len(gallery) / 10)
        return torch.cdist(query, gallery)


@pytest.mark.parametrize(
    ("information", "modes"), [("none", ["all"]), ("gallery", ["all"]), ("gallery+queries", ["all", "single"])]
)
def test_a_distance_of_the_methods_own_has_the_gallery_as_it_needs_it(information: str, modes: list[str]) -> None:
    method = Own()
    method.seen, method.test_time_information = [], information
    found = profile_matching(method, 7, CPU, seconds=0.1, galleries=(10, 20))
    assert [(cost.distance, cost.query_mode) for cost in found] == [("method", mode) for mode in modes]
    assert all(cost.chunked == (information == "none") for cost in found)
    assert {mode for _, mode in method.seen} == set(modes)


def test_galleries_end_with_a_reason_where_time_would(monkeypatch: pytest.MonkeyPatch) -> None:
    method = Own()
    method.seen, method.test_time_information = [], "gallery"
    (found,) = profile_matching(method, 7, CPU, seconds=0.1, galleries=(10, 1000))
    assert [gallery.rows for gallery in found.galleries] == [10]
    assert "1,000 rows would take about" in found.left_out


def test_galleries_end_with_a_reason_where_the_hosts_memory_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "available_bytes", lambda: 1000)
    monkeypatch.setattr(matching, "resident_bytes", lambda: 1)
    method = Own()
    method.seen, method.test_time_information = [], "gallery"
    (found,) = profile_matching(method, 7, CPU, seconds=1.0, galleries=(10, 20))
    assert len(found.galleries) == 1
    assert "20 rows would need about" in found.left_out


def test_galleries_end_with_a_reason_where_the_gpus_memory_does() -> None:
    class Greedy(Own):
        def distances(self, query: torch.Tensor, gallery: torch.Tensor, query_mode: str) -> torch.Tensor:
            if len(gallery) > 10:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return torch.cdist(query, gallery)

    method = Greedy()
    method.test_time_information = "gallery"
    (found,) = profile_matching(method, 7, CPU, seconds=1.0, galleries=(10, 20))
    assert found.left_out == "a gallery of 20 rows does not fit into the memory of the device"
