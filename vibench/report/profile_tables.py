"""Tables of profiles on the page, which sort like boards."""

from __future__ import annotations

from pathlib import Path

from vibench.leaderboard.profiles import FOLDER, READING, ProfileTable, Quantity
from vibench.profiling.profile import Profile
from vibench.report.markup import Markup, element
from vibench.report.numbers import ABSENT
from vibench.report.outcomes import relative_link
from vibench.report.tables import head, scrolling


def profile_section(tables: list[ProfileTable], leaderboards: Path, page: Path) -> Markup:
    """All tables of a leaderboards folder, with links to the profiles from where ``page`` will lie."""
    return element(
        "section",
        element("h2", "Profiles", id=FOLDER),
        element("p", READING, class_="note"),
        *(_table(table, leaderboards / FOLDER, page) for table in tables),
        aria_labelledby=FOLDER,
    )


def _table(table: ProfileTable, folder: Path, page: Path) -> Markup:
    title = f"Profiles on {table.title}"
    heads = [
        head("method", "Method and variant.", "text", "ascending"),
        head("recipe of", "The data set whose recipe was profiled.", "text", "ascending"),
        *(
            head(one.title, one.title, "number", "descending" if one.more_is_better else "ascending")
            for one in table.quantities
        ),
        head("profile", "The file of the profile.", "", ""),
    ]
    rows = [_row(table, profile, name, relative_link(folder / name, page)) for name, profile in table.lines]
    whole = element(
        "table",
        element("caption", title, class_="unseen"),
        element("thead", element("tr", *heads)),
        element("tbody", *rows),
        class_="board",
    )
    return element(
        "section",
        element("h3", table.title, id=table.name),
        scrolling(whole, title),
        aria_labelledby=table.name,
    )


def _row(table: ProfileTable, profile: Profile, name: str, link: str) -> Markup:
    return element(
        "tr",
        element("th", profile.label, scope="row"),
        element("td", profile.dataset),
        *(_cell(quantity, profile, name) for quantity in table.quantities),
        element("td", element("a", name.removesuffix(".json"), href=link), class_="evidence"),
    )


def _cell(quantity: Quantity, profile: Profile, name: str) -> Markup:
    value = quantity.value(profile)
    if value is None:
        return element("td", ABSENT, class_="number")
    return element(
        "td", quantity.text(profile), class_="number", data_value=repr(float(value)), title=f"profile {name}"
    )
