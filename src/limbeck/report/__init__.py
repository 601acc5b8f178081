"""Results -> one self-contained HTML file, without network or script. Computes nothing: same input, same page."""

from limbeck.report.page import Facts, Figure, Grid, Page, Section, write
from limbeck.report.reproduced import render

__all__ = ["Facts", "Figure", "Grid", "Page", "Section", "render", "write"]
