"""BibTeX for the rows of boards: the papers of their methods, from ``papers.bib`` or from what else is known."""

from __future__ import annotations

from collections.abc import Iterable

from vibench.leaderboard.latex_text import escaped
from vibench.leaderboard.papers_bib import KIND, Bibliography, Entry
from vibench.leaderboard.published import Published
from vibench.leaderboard.row import Row


def key_of(row: Row, published: Published) -> str:
    """The key by which a row's paper is cited; empty where nothing is known of it."""
    method = _printed_method(row, published)
    facts = published.facts(method, "", "")
    return facts.paper or (method if facts.venue and facts.year else "")


def bibliography(rows: Iterable[Row], published: Published) -> Bibliography:
    """The entries of the rows' papers by key, in the order in which they first appear."""
    entries: dict[str, Entry] = {}
    for row in rows:
        key = key_of(row, published)
        if key and key not in entries:
            entries[key] = published.bibliography.get(key) or _bare_entry(_printed_method(row, published), published)
    return entries


def bibtex(entries: Bibliography) -> str:
    """The text of entries, in their order."""
    return "\n".join(
        f"@{entry[KIND]}{{{key},\n"
        + "".join(f"  {name} = {{{value}}},\n" for name, value in entry.items() if name != KIND)
        + "}\n"
        for key, entry in entries.items()
    )


def _printed_method(row: Row, published: Published) -> str:
    method = row.method if row.source == "published" else row.printed_name.partition("/")[0] or row.method
    return method if (method, "") in published.methods.rows else ""


def _bare_entry(method: str, published: Published) -> Entry:
    """What is known of a paper of which no title is, with a note that says so."""
    facts = published.facts(method, "", "")
    in_repository = facts.venue == "repository" and facts.code
    return {
        KIND: "misc",
        "howpublished": f"\\url{{https://github.com/{facts.code}}}" if in_repository else escaped(facts.venue),
        "year": facts.year,
        "note": f"{escaped(facts.label)}; title and authors are not known here",
    }
