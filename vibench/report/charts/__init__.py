"""Altair charts, each a function whose data, named ``frame``, has the columns that its docstring says.

`overview`, `boards` and `methods` hold them; `theme` has their colours, and fills in frames. In a notebook::

    altair.Chart.from_dict(filled(form(cmc_chart), cmc_frame(lines), LIGHT))
"""
