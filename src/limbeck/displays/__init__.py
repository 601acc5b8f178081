"""Every picture; the one place that knows matplotlib."""

from limbeck.displays.style import rendered, save

__all__ = ["rendered", "save"]
