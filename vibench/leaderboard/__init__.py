"""Boards: evaluation records beside what papers print, ranked where they may be, as CSV, as Markdown and on a terminal.

Start with `board`, which builds them of `measured_rows` and printed ones (`published`, `method_facts`, `consensus`,
`audits`); `published_check` says what is wrong with the files of the latter, `latex` and `bibtex` are for articles, and
`update` goes the whole way from a leaderboards folder to its rendered files.
"""
