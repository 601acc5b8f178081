"""Every picture; the one place that knows matplotlib."""

from limbeck.displays.style import save

__all__ = ["save"]
