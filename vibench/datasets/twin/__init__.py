"""The synthetic twin: procedurally rendered people in the real data sets' layout, with ground truth.

`make.make_twin` writes a twin, `preview.preview_sheet` draws a contact sheet.
"""
