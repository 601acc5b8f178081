"""Data sets that ship, and tables and pools read from files."""

from limbeck.data.digits import Digits, check_source, load_digits

__all__ = ["Digits", "check_source", "load_digits"]
