"""The page that shows what a compilation did: one self-contained HTML file."""

from trtforge.report.html import FORMAT, render_html

__all__ = ["FORMAT", "render_html"]
