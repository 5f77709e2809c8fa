"""Pictures: arrays and labels in, plotly figures (or one small SVG) out, all in one house template.

This room knows no type of ours: whoever has a surface or a run hands down its arrays. Every figure is
deterministic (no random ids, values rounded to six significant digits), so that a notebook's output
and a report can be compared byte for byte.
"""
