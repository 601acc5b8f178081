"""Exact knowledge distillation into linear students."""

__version__ = "0.1.0"
