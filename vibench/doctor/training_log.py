"""Logs of trainings: vibench's ``log.csv``, and what the codes of the AGW line and others print."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from vibench.doctor.diagnosis import Claims, Diagnosis, Finding
from vibench.doctor.performance import LEAKS, best_printed
from vibench.errors import cited
from vibench.files.reading import LARGEST_TEXT, read_text
from vibench.training.log import read_log

_LEAST_EPOCHS = 5
_FALLEN = 0.98
"""Of the first epoch's loss: above it a loss has not fallen."""
_RISEN = 2.0
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_RANK_1 = re.compile(rf"\b(?:rank|r|cmc|top)[-_ ]?@?1\b[^0-9a-z+-]{{1,6}}({_NUMBER})\s*(%?)", re.IGNORECASE)
_MAP = re.compile(rf"\bmAP\b[^0-9a-z+-]{{1,6}}({_NUMBER})\s*(%?)", re.IGNORECASE)
_EPOCH = re.compile(r"\bepoch\b\W{0,4}(\d{1,6})", re.IGNORECASE)
_LOSS = re.compile(rf"\b(?:total_?)?loss\b[^0-9a-z+-]{{0,6}}({_NUMBER}|nan|-?inf)(?![a-z])", re.IGNORECASE)
_RATE = re.compile(rf"\b(?:lr|learning[ _]rate)\b[^0-9a-z+-]{{1,6}}({_NUMBER})", re.IGNORECASE)
_SIGNS = {
    "re-ranking": re.compile(r"re-?_?rank(?!(?:ing)?\W{0,4}(?:false|none|no|off|0)\b)(?:ing|ed)?\b|k-reciprocal", re.I),
    "best epoch": re.compile(r"\bbest[ _-]?(?:epoch|acc|model|rank|r1|map)", re.I),
    "data set": re.compile(r"\b(sysu|regdb|llcm|hitsz|bupt)", re.I),
    "error": re.compile(r"^(Traceback \(most recent call last\)|\w*Error: |.*CUDA out of memory)", re.I),
}
_LONGEST_LINE = 2000
_CITED = 3


def is_log(text: str) -> bool:
    """Whether a text is the log of a training or of a test: it names epochs with losses, or scores."""
    epochs = losses = scores = 0
    for line in _lines(text[:1_000_000]):
        epochs += bool(_EPOCH.search(line))
        losses += bool(_LOSS.search(line))
        scores += bool(_RANK_1.search(line) and _MAP.search(line))
        if (epochs and losses) or scores:
            return True
    return False


def _lines(text: str) -> list[str]:
    return [line[:_LONGEST_LINE] for line in text.splitlines()]


def diagnose_text(path: Path, claims: Claims) -> Diagnosis | None:
    """The log of another code; None where the text is none. Raises `OSError` and `UnicodeDecodeError`."""
    text = read_text(path, "utf-8-sig", LARGEST_TEXT)
    if not is_log(text):
        return None
    lines = _lines(text)
    diagnosis = Diagnosis(str(path), "training log of another code")
    epochs = [int(match[1]) for line in lines if (match := _EPOCH.search(line))]
    losses = [(number, float(match[1])) for number, line in enumerate(lines, 1) if (match := _LOSS.search(line))]
    rates = [float(match[1]) for line in lines if (match := _RATE.search(line))]
    diagnosis.note("lines", len(lines))
    diagnosis.note("last epoch", max(epochs) if epochs else "")
    if losses:
        diagnosis.note("loss", f"{losses[0][1]:.4g} at first, {losses[-1][1]:.4g} at last")
    for sign, mark in _SIGNS.items():
        _sign(sign, [(number, line) for number, line in enumerate(lines, 1) if mark.search(line)], diagnosis)
    diagnosis.findings += _loss_findings([value for _, value in losses], _places(losses))
    diagnosis.findings += _rate_findings(rates)
    _scores(lines, diagnosis, claims)
    return diagnosis


def _places(losses: Sequence[tuple[int, float]]) -> str:
    odd = [number for number, value in losses if not math.isfinite(value)]
    return f"lines {cited(odd, _CITED)}" if odd else ""


def _sign(sign: str, found: Sequence[tuple[int, str]], diagnosis: Diagnosis) -> None:
    if not found:
        return
    number, line = found[0]
    evidence = f"{len(found)} lines, the first is line {number}: {' '.join(line.split())[:160]!r}"
    if sign == "data set":
        marks = {mark.lower() for _, line in found for mark in _SIGNS[sign].findall(line)}
        diagnosis.note("data set", ", ".join(sorted(marks)))
    elif sign == "re-ranking":
        diagnosis.findings.append(
            Finding(
                "doubtful",
                "the log speaks of re-ranking",
                evidence,
                "see whether its scores are re-ranked, which looks at all queries and the whole gallery; compare with "
                "vibench eval --rerank none and --rerank k-reciprocal",
            )
        )
    elif sign == "best epoch":
        diagnosis.findings.append(
            Finding(
                "doubtful",
                "the best epoch was chosen",
                f"{evidence}; no protocol leaves a validation split over, so the choice was probably made by the test",
                "report the last epoch, or say that the score is the best of many",
            )
        )
    elif sign == "error":
        diagnosis.findings.append(
            Finding("wrong", "the training ended with an error", evidence, "remove the cause and resume it")
        )


def _scores(lines: Sequence[str], diagnosis: Diagnosis, claims: Claims) -> None:
    """The scores that the log prints, as facts, and findings on them."""
    found = []
    for number, line in enumerate(lines, 1):
        rank, mean = _RANK_1.search(line), _MAP.search(line)
        if rank is not None:
            found.append((number, _fraction(rank), None if mean is None else _fraction(mean)))
    if not found:
        return
    diagnosis.note("scores", f"{len(found)} lines with a rank-1")
    number, best, mean_ap = max(found, key=lambda one: one[1])
    diagnosis.note("best of them", f"{_shown(best, mean_ap)}, line {number}")
    number, last, mean_ap = found[-1]
    diagnosis.note("last of them", f"{_shown(last, mean_ap)}, line {number}")
    odd = [number for number, rank, _ in found if not 0 <= rank <= 1]
    if odd:
        diagnosis.findings.append(
            Finding("wrong", "scores outside 0 to 100 %", f"lines {cited(odd, _CITED)}", "see how the code averages")
        )
    rules = claims.rules()
    limit = best_printed(rules.name).get("r1") if rules is not None else None
    if 0.9995 <= best <= 1:
        diagnosis.findings.append(Finding("doubtful", "a perfect score", f"rank-1 {best:.2%}", LEAKS))
    elif limit is not None and rules is not None and limit[0] + 0.05 < best <= 1:
        diagnosis.findings.append(
            Finding(
                "doubtful",
                "a score above every printed one",
                f"rank-1 {best:.2%}, where the best printed of {rules.name} is {limit[0]:.2%} ({limit[1]})",
                LEAKS,
            )
        )


def _fraction(match: re.Match[str]) -> float:
    value = float(match[1])
    return value / 100 if match[2] or value > 1 else value


def _shown(rank: float, mean_ap: float | None) -> str:
    return f"rank-1 {rank:.2%}" + ("" if mean_ap is None else f", mAP {mean_ap:.2%}")


def diagnose_log(path: Path) -> Diagnosis:
    """A ``log.csv`` of vibench's; `UsageError` for any other file."""
    diagnosis = Diagnosis(str(path), "training log of vibench")
    judge_log(path, diagnosis)
    if (path.parent / "run.json").is_file():
        diagnosis.note("run", path.parent)
        diagnosis.actions.append(f"vibench doctor {path.parent}")
    return diagnosis


def judge_log(path: Path, diagnosis: Diagnosis) -> None:
    """Facts and findings of a ``log.csv``."""
    rows = read_log(path)
    diagnosis.note("epochs in the log", len(rows))
    if not rows:
        return
    totals = [row["total"] for row in rows]
    diagnosis.note("loss", f"{totals[0]:.4g} in the first epoch, {totals[-1]:.4g} in the last")
    odd = [f"epoch {int(row['epoch'])}" for row in rows if not math.isfinite(row["total"])]
    diagnosis.findings += _loss_findings(totals, cited(odd, _CITED))
    diagnosis.findings += _rate_findings([row["lr"] for row in rows if "lr" in row])
    numbers = [int(row["epoch"]) for row in rows]
    if numbers != list(range(len(rows))):
        diagnosis.findings.append(
            Finding(
                "doubtful",
                "epochs are missing from the log",
                f"it has {len(rows)} epochs and ends with number {numbers[-1]}",
                "the log was edited, or moved away while training went on",
            )
        )


def _loss_findings(losses: Sequence[float], odd: str) -> list[Finding]:
    if any(not math.isfinite(value) for value in losses):
        return [
            Finding(
                "wrong",
                "a loss that is no number",
                odd,
                "train with --amp off or a smaller learning rate; weights from then on are worth nothing",
            )
        ]
    if len(losses) < _LEAST_EPOCHS:
        return []
    tail = losses[-max(1, len(losses) // 5) :]
    last, first, least = sum(tail) / len(tail), losses[0], min(losses)
    if first > 0 and last > _RISEN * first:
        return [
            Finding(
                "wrong",
                "the loss grows",
                f"{first:.4g} at first, {last:.4g} in the last fifth, {least:.4g} at least",
                "train with a smaller learning rate, or a warm-up",
            )
        ]
    if first > 0 and last > _FALLEN * first:
        return [
            Finding(
                "doubtful",
                "the loss does not fall",
                f"{first:.4g} at first, {last:.4g} in the last fifth of {len(losses)} values",
                "look at learning rate, labels and whether the parameters are given to the optimiser",
            )
        ]
    return []


def _rate_findings(rates: Sequence[float]) -> list[Finding]:
    if not rates or any(rate != 0 for rate in rates):
        return []
    return [
        Finding(
            "wrong",
            "a learning rate of zero",
            f"all {len(rates)} values are 0",
            "set optimizer.lr, or look at how the log prints it: small numbers may be rounded away",
        )
    ]
