"""The Pareto front of accuracy against cost."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Per (cost, accuracy) point: is there none that costs no more, is no less accurate, and is better in one?"""
    return [
        not any(
            other_cost <= cost and other_score >= score and (other_cost < cost or other_score > score)
            for other_cost, other_score in points
        )
        for cost, score in points
    ]
