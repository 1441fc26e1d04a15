"""From images to a record, with the toy method."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.training import toy_inputs  # noqa: F401  (registers the method)
from tests.training.toy.method import Toy
from vibench.conformance import check as checks
from vibench.conformance.check import check_method
from vibench.conformance.finding import Finding
from vibench.conformance.pipeline import check_pipeline

STAGES = ["training", "checkpoint", "evaluation", "profile"]


def test_a_sound_method_goes_all_the_way():
    findings = check_pipeline("toy", device="cpu")
    assert [finding.title for finding in findings] == STAGES
    assert all(finding.passed for finding in findings), findings
    assert findings[0].text.startswith("32 images of the tiny twin")


def test_a_method_that_needs_attributes_and_heatmaps_finds_the_twins():
    assert all(finding.passed for finding in check_pipeline("toy-inputs", device="cpu"))


def test_what_follows_a_failed_stage_is_not_reached(monkeypatch: pytest.MonkeyPatch):
    def losses(self: Toy, batch: Any) -> dict[str, torch.Tensor]:
        raise ValueError("no such batch")

    monkeypatch.setattr(Toy, "losses", losses)
    first, *others = check_pipeline("toy", device="cpu")
    assert first.outcome == "failed" and first.text == "it raises ValueError: no such batch."
    assert [finding.outcome for finding in others] == ["not reached"] * 3


@pytest.mark.parametrize(("outcome", "reached"), [("passed", True), ("failed", False)])
def test_the_pipeline_waits_for_the_contract(monkeypatch: pytest.MonkeyPatch, outcome: Any, reached: bool):
    monkeypatch.setattr(checks, "check_contract", lambda *_: [Finding("losses", outcome)])
    monkeypatch.setattr(checks, "check_pipeline", lambda *_: [Finding("training", "passed")])
    assert ("training" in [finding.title for finding in check_method("toy")]) is reached
