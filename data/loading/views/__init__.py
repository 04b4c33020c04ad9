"""The named views of an image that a head may ask for, one file a view."""

from headbench.core.registry import discover
from headbench.data.loading.views.registry import FILE_VIEWS, VIEWS, FileView, Show, View

discover(__name__, list(__path__))

__all__ = ["FILE_VIEWS", "VIEWS", "FileView", "Show", "View"]
