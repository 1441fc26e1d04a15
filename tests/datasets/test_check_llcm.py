"""LLCM's published counts on samples of the full size, without any image."""

from __future__ import annotations

from vibench.datasets import check_llcm, llcm
from vibench.datasets.listing import Sample


def full_size() -> list[Sample]:
    """Samples with LLCM's published totals; which identity has how many images is invented."""
    samples = []
    for modality, train, test, cameras in (
        ("visible", 16946, 8680, (1, 2, 3, 4, 5, 6, 7, 8, 9)),
        ("infrared", 13975, 7166, (1, 2, 4, 5, 6, 7, 8, 9)),
    ):
        folder = llcm.FOLDERS[modality]
        for number in range(train):
            pid = number % 713 + 1
            samples.append(Sample(f"{folder}/{pid:04d}/{number}.jpg", pid, 1, modality, "train"))
        for number in range(test):
            pid, camera = 714 + number % 351, cameras[number % len(cameras)]
            samples.append(Sample(f"test_{folder}/cam{camera}/{pid:04d}/{number}.jpg", pid, camera, modality, "test"))
    return samples


def test_published_totals_agree() -> None:
    counts = check_llcm.counts(full_size())
    assert all(count.agrees for count in counts)
    assert {count.quantity: count.expected for count in counts if count.verified} == {
        "identities": 1064,
        "images": 46767,
        "training identities": 713,
        "test identities": 351,
        "visible cameras of the test images": 9,
        "infrared cameras of the test images": 8,
    }


def test_unused_images_do_not_count() -> None:
    samples = [*full_size(), Sample("vis/9999/1.jpg", 9999, 1, "visible", "unused")]
    assert all(count.agrees for count in check_llcm.counts(samples))
    assert not all(count.agrees for count in check_llcm.counts(samples[1:]) if count.verified)
