"""From boards and records to the data frames that tables and charts are made of."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import pandas as pd

from vibench.leaderboard.ablations import AblationBoard, AblationLine
from vibench.leaderboard.board import Board
from vibench.leaderboard.cells import board_title, row_name, score_text, variant_text
from vibench.leaderboard.cost import CostKind, cost_kinds, cost_of, cost_tables
from vibench.leaderboard.rank import Rank
from vibench.leaderboard.row import LEAKING, NOT_LEARNT, Row
from vibench.records.outcomes import Outcome
from vibench.training.curves import Curve

MOST_CURVES, CURVE_RANKS = 14, 20
"""More curves than this are told apart by nobody."""
MANY_TIMES = 30.0
"""From this ratio of largest to smallest value a cost axis is logarithmic."""
MOST_PAIRS = 12
"""More pairs of cameras than this do not fit beside one another."""
(_PARAMETERS,) = cost_kinds("parameters")
_CHARTED_COSTS = ("train-time", "latency", "parameters", "flops")
_STAYS_COMPARABLE = {"draw unknown"}
"""Obstacles that do not keep a printed number out of the history of a protocol."""


@dataclass(frozen=True)
class Line:
    """One line of a board."""

    board: Board
    section: str
    rank: Rank | None
    """As the section gives it; None for a row without one."""
    row: Row
    outcomes: tuple[Outcome, ...]
    """The records that the row's numbers come from, by seed; none of a published row."""
    folded: tuple[Line, ...] = ()
    """The single runs of a row over several seeds, and earlier ones that it leaves out."""
    told: str = ""
    """What tells it from another line of the same name."""

    @property
    def name(self) -> str:
        """Of the row, as boards name it."""
        return _told(row_name(self.row), self.told)

    @property
    def records(self) -> str:
        """The ids of the records, or where the number is printed."""
        return " ".join(outcome.id for outcome in self.outcomes) or self.row.evidence

    @property
    def mark(self) -> dict[str, Any]:
        """What every mark of a chart says of it; it has a rank-1."""
        r1 = self.row.scores["r1"]
        about = {"name": self.name, "source": self.row.source, "records": self.records}
        return {**about, "r1": r1.value, "r1_text": score_text(r1)}


def board_lines(board: Board, outcomes: Mapping[str, Outcome]) -> list[Line]:
    """The lines of a board in its order; ``outcomes`` holds the measured rows' records by id."""

    def line(section: str, rank: Rank | None, row: Row) -> Line:
        if row.source == "published":
            return Line(board, section, rank, row, ())
        behind = tuple(outcomes[run.evidence] for run in row.single_runs)
        folded = tuple(Line(board, section, None, run, (outcomes[run.evidence],)) for run in row.runs)
        return Line(board, section, rank, row, behind, folded)

    return [line(section.title, rank, row) for section in board.sections for rank, row in section.rows]


def measured_lines(lines: Iterable[Line]) -> list[Line]:
    """Those of a board that hold a rank and come from records, best rank-1 first; equal names have a record's id."""
    found = [line for line in lines if line.rank is not None and line.outcomes]
    counts = Counter(line.name for line in found)
    found = [replace(line, told=line.outcomes[0].id) if counts[line.name] > 1 else line for line in found]
    return sorted(found, key=lambda line: -line.row.scores["r1"].value)


def _told(name: str, by: str) -> str:
    return f"{name} [{by}]" if by else name


def scores_frame(lines: Sequence[Line]) -> pd.DataFrame:
    """The best row of every method under every protocol for `overview_chart`, ranked ones before others."""
    rows = []
    for line in (line for line in lines if "r1" in line.row.scores):
        rank = f"none: {', '.join(line.row.obstacles)}" if line.rank is None else str(line.rank)
        about = {"protocol": _setting(line.board), "ranked": line.rank is not None, "rank": rank}
        rows.append({**line.mark, **about})
    columns = ["name", "source", "records", "r1", "r1_text", "protocol", "ranked", "rank"]
    frame = pd.DataFrame(rows, columns=columns).sort_values(["ranked", "r1"], ascending=False, kind="stable")
    return frame.drop_duplicates(["name", "protocol"])


def timeline_frame(lines: Sequence[Line]) -> pd.DataFrame:
    """Rows with a year, that of the paper where there is one, for `timeline_chart`; without transfer.

    The staircase is of rows that no obstacle but an unknown draw keeps from a rank, and that look at nothing but the
    query and each gallery image, as far as their papers say.
    """
    rows = []
    for line in (line for line in lines if line.row.date and "r1" in line.row.scores and not line.board.trained_on):
        information = line.row.test_time_information
        comparable = line.section != LEAKING and not set(line.row.obstacles) - _STAYS_COMPARABLE
        about = {"information": information, "best": comparable and information in ("none", "unknown")}
        year = int((line.row.published or line.row).date[:4])
        rows.append({**line.mark, **about, "protocol": line.board.protocol, "year": year})
    if not rows:
        return pd.DataFrame()
    frame = pd.DataFrame(rows).drop_duplicates(["protocol", "name", "r1", "year"])
    for _, part in frame[frame["best"]].sort_values(["year", "r1"], ascending=[True, False]).groupby("protocol"):
        beaten = part["r1"] <= part["r1"].cummax().shift(fill_value=-1.0)
        frame.loc[part.index[beaten], "best"] = False
    return pd.concat([labelled(part, "best", "year") for _, part in frame.groupby("protocol", sort=False)])


def labelled(frame: pd.DataFrame, chosen: str, x: str, logarithmic: bool = False) -> pd.DataFrame:
    """With a column ``label``: the names of the chosen points, highest first, where they cover no label and no point.

    The column ``side`` is the end of a label that touches its point: left of what nothing cheaper or older beats there
    is room, unless the axis ends. Places are shares of the extents, and letters as wide as on a phone.
    """
    across = (np.log10(frame[x]) if logarithmic else frame[x]).to_numpy(np.float64)
    places = np.stack([(one - one.min()) / (np.ptp(one) or 1.0) for one in (across, frame["r1"].to_numpy())], axis=1)
    labels, sides = [""] * len(frame), ["right"] * len(frame)
    taken: list[tuple[float, float, float]] = []
    for at in sorted(np.flatnonzero(frame[chosen]).tolist(), key=lambda at: -places[at, 1]):
        name, (left, low) = str(frame["name"].iat[at]), places[at]
        width = _LETTER * len(name)
        sides[at] = "right" if left - width > -0.05 else "left"
        left, low = left - width if sides[at] == "right" else left, low + 0.5 * _LINE
        free = all(left > end or left + width < start or abs(low - other) > _LINE for start, end, other in taken)
        inside = (places[:, 0] > left) & (places[:, 0] < left + width) & (abs(places[:, 1] - low) < 0.7 * _LINE)
        if free and left + width < 1.05 and not np.delete(inside, at).any():
            taken.append((left, left + width, low))
            labels[at] = name
    return frame.assign(label=labels, side=sides)


_LETTER, _LINE = 0.018, 0.06
"""Width of a letter and height of a line, as shares of a chart's extents."""


def severity_frame(lines: Sequence[Line]) -> pd.DataFrame:
    """Scores of the same models over the severity of a corruption for `severity_chart`, by its settings.

    A curve has at least two severities, and begins at 0 with the models' scores on clean images where these are known.
    """
    # A model that finds nobody any more at some severity has learnt all the same.
    measured = [line for line in lines if line.outcomes and not set(line.row.obstacles) - {NOT_LEARNT}]
    clean = {_models_of(line): line for line in measured if line.board.corruption is None}
    curves: dict[tuple[str, tuple[int, int], tuple[object, ...]], dict[int, Line]] = {}
    for line in measured:
        corruption = line.board.corruption
        if corruption is not None and corruption.severity is not None:
            draw = "" if line.board.draw in ("none", "seeded") else f", {line.board.draw} draw"
            setting = f"{_setting(line.board)}{draw}: {replace(corruption, severity=None).label}"
            # Of other rules, or another seed, an image is corrupted otherwise.
            rules = corruption.version, corruption.seed
            curves.setdefault((setting, rules, _models_of(line)), {})[corruption.severity] = line
    rows = []
    drawn = {key: next(iter(curve.values())) for key, curve in curves.items() if len(curve) > 1}
    counts = Counter((setting, line.name) for (setting, *_), line in drawn.items())
    for at, (key, first) in enumerate(drawn.items()):
        setting, _, models = key
        curve, told = curves[key], first.outcomes[0].id if counts[setting, first.name] > 1 else ""
        mean = float(np.mean([line.row.scores["r1"].value for line in curve.values()]))
        start = {0: clean[models]} if models in clean else {}
        for severity, line in sorted({**start, **curve}.items()):
            about = {"setting": setting, "severity": severity, "map": line.row.scores["map"].value}
            rows.append({**line.mark, "name": _told(line.name, told), **about, "mean": mean, "curve": at})
    columns = ["setting", "name", "severity", "r1", "map", "records", "mean", "curve"]
    frame = pd.DataFrame(rows, columns=columns).sort_values(["setting", "mean"], ascending=[True, False], kind="stable")
    place = frame.drop_duplicates("curve").groupby("setting").cumcount()
    kept = frame.loc[place.index[place < MOST_CURVES], "curve"]
    return frame[frame["curve"].isin(kept)].drop(columns=["mean", "curve"])


def _models_of(line: Line) -> tuple[object, ...]:
    """What the points of a curve share: the models, and all rules but for the corruption."""
    board, checkpoints = line.board, {outcome.record.run.checkpoint_sha256 for outcome in line.outcomes}
    rules = board.dataset, board.dataset_version, board.protocol, board.draw, line.row.section
    return (*rules, line.name, *sorted(checkpoints))


@dataclass(frozen=True)
class CostFrame:
    """One cost of a board on one device (empty where none matters), for `cost_chart`."""

    kind: CostKind
    device: str
    logarithmic: bool
    frame: pd.DataFrame


def cost_frames(lines: Sequence[Line], board: Board) -> Iterator[CostFrame]:
    """A frame per cost with at least two rows."""
    known = {id(line.row): line for line in measured_lines(lines)}
    for table in cost_tables(board):
        for kind in (kind for kind in table.kinds if kind.name in _CHARTED_COSTS):
            rows = [
                {**line.mark, "information": line.row.section, "cost": value, "front": kind.name in one.pareto}
                | {"size": cost_of(line.row, _PARAMETERS)}
                for one in table.lines
                if (line := known.get(id(one.row))) and (value := one.value(kind)) is not None
            ]
            if len(rows) < 2:
                continue
            frame = pd.DataFrame(rows)
            frame["parameters"] = [f"{size:.1f}" if size else "unknown" for size in frame["size"].fillna(0.0)]
            # A mark without a size would not be drawn.
            frame["size"] = frame["size"].astype(float).fillna(frame["size"].min()).fillna(1.0)
            low, high = frame["cost"].min(), frame["cost"].max()
            logarithmic = bool(low > 0 and high / low > MANY_TIMES)
            yield CostFrame(kind, table.device, logarithmic, labelled(frame, "front", "cost", logarithmic))


def cmc_frame(lines: Sequence[Line]) -> pd.DataFrame:
    """The mean curve over the seeds of the best measured rows, for `cmc_chart`."""
    rows = []
    for line in measured_lines(lines)[:MOST_CURVES]:
        ranks = min(CURVE_RANKS, *(len(outcome.record.cmc) for outcome in line.outcomes))
        mean = 100.0 * np.mean([outcome.record.cmc[:ranks] for outcome in line.outcomes], axis=0)
        shares = enumerate(np.round(mean, 3).tolist(), start=1)
        rows += [(line.name, rank, share, line.records) for rank, share in shares]
    frame = pd.DataFrame(rows, columns=["name", "rank", "share", "records"])
    return frame if frame["rank"].max() > 1 else frame[:0]


def cameras_frame(lines: Sequence[Line]) -> pd.DataFrame:
    """Scores by query camera and by pairs of cameras for `cameras_chart`; kinds of a single column are left out."""
    rows: list[dict[str, Any]] = []
    for line in measured_lines(lines):
        for place, kind in enumerate(("cameras", "pairs")):
            found = [getattr(outcome, kind) for outcome in line.outcomes]
            # A mean over seeds only where every seed has valid queries there.
            for key in sorted(set.intersection(*(set(scores) for scores in found))):
                r1, mean_ap = np.mean([scores[key] for scores in found], axis=0)
                label = f"camera {key}" if kind == "cameras" else f"{key[0]} → {key[1]}"
                about = {"camera": label, "place": (place, key), "r1": float(r1), "map": float(mean_ap)}
                rows.append({**line.mark, **about})
    frame = pd.DataFrame(rows, columns=["name", "camera", "place", "r1", "map", "records"])
    for sort, most in ((0, math.inf), (1, MOST_PAIRS)):
        chosen = frame["place"].str[0] == sort
        if not 1 < frame.loc[chosen, "camera"].nunique() <= most:
            frame = frame[~chosen]
    order = {place: at for at, place in enumerate(sorted(set(frame["place"])))}
    return frame.assign(place=frame["place"].map(order))


def ablation_frame(ablation: AblationBoard) -> pd.DataFrame:
    """The variants of one method for `ablation_chart`. Printed numbers never stand beside those of a twin."""
    rows, counts = [], Counter(_variant(ablation, line) for line in ablation.lines)
    for line in ablation.lines:
        name = _variant(ablation, line)
        if counts[name] > 1:
            # Bars of one name would lie upon one another.
            name = _told(name, next(row.records[0] for row in (line.measured, line.printed) if row))
        for source, one in (("measured", line.measured), ("printed", line.printed)):
            if one is not None and "r1" in one.scores:
                score, spread = one.scores["r1"], one.scores["r1"].deviation or 0.0
                ends = max(0.0, score.value - spread), min(100.0, score.value + spread)
                rows.append((name, source, score.value, score_text(score), *ends, one.evidence))
    frame = pd.DataFrame(rows, columns=["variant", "source", "r1", "r1_text", "low", "high", "records"])
    return frame.assign(room=1.45 * frame["high"].max())


def _variant(ablation: AblationBoard, line: AblationLine) -> str:
    """The method stands in the title; a rival in its paper's tables keeps its own name."""
    row = line.printed or line.measured
    assert row is not None, "a line has one of the two"
    return variant_text(row) if row.variant and row.method == ablation.method else row_name(row)


def training_frames(curves: Iterable[Curve], outcomes: Mapping[str, Outcome]) -> dict[tuple[str, str], pd.DataFrame]:
    """Training curves by method and data set for `training_chart`; a run carries the records that evaluated it."""
    by_run: dict[str, list[str]] = {}
    for outcome in sorted(outcomes.values(), key=lambda outcome: outcome.id):
        by_run.setdefault(outcome.record.run.id, []).append(outcome.id)
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for curve in curves:
        about = curve.about
        trial = "" if about.trial is None else f", trial {about.trial}"
        label = f"{about.variant or about.method}, seed {about.seed}{trial}"
        records = " ".join(by_run.get(about.id, [])) or f"run {about.id}"
        points = found.setdefault((about.method, about.dataset), [])
        points += [(label, curve.place, epoch, total, records) for epoch, total in curve.totals]
    columns = ["run", "place", "epoch", "total", "records"]
    frames = {key: pd.DataFrame(points, columns=columns) for key, points in sorted(found.items()) if points}
    for frame in frames.values():
        # Runs of one variant, seed and trial are told apart by their folders.
        alike = frame.groupby("run")["place"].transform("nunique") > 1
        frame.loc[alike, "run"] = frame.loc[alike, "place"]
    return frames


def identities(names: Iterable[str]) -> list[str]:
    """What is fit for ids of the page and for files, none twice: small letters, digits and hyphens."""
    found: dict[str, None] = {}
    for name in names:
        # The names of files have an end.
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower())[:150].strip("-") or "nameless"
        others = (f"{plain}-{number}x" for number in count(len(found)))
        found[plain if plain not in found else next(other for other in others if other not in found)] = None
    return list(found)


def titles(boards: Sequence[Board]) -> dict[str, str]:
    """A title per board by its id, none twice."""
    counts = Counter(board_title(board) for board in boards)
    told = [
        board_title(board) + (f", rules {board.fingerprint[:8]}" if counts[board_title(board)] > 1 else "")
        for board in boards
    ]
    return dict(zip(identities(f"{board.dataset} {board.name}" for board in boards), told, strict=True))


def _setting(board: Board) -> str:
    """What a column of the overview stands for; draws share one, as most papers do not say theirs."""
    origin = f"{board.trained_on} → " if board.trained_on else ""
    return f"{origin}{board.protocol}" + (f" on {board.dataset} {board.dataset_version}" if board.synthetic else "")
