"""Every picture; the one place that knows matplotlib."""

import os
import sys
from importlib import import_module

try:
    import_module("matplotlib")
except ValueError:  # MPLBACKEND names a backend that is not installed: files need none
    os.environ.pop("MPLBACKEND")
    for _half in [name for name in sys.modules if name.startswith("matplotlib.")]:
        del sys.modules[_half]  # of the failed import
    import_module("matplotlib")

from limbeck.displays.reliability import ReliabilityDisplay
from limbeck.displays.style import rendered, save
from limbeck.displays.tail import TailDisplay
from limbeck.displays.transfer_risk import TransferRiskDisplay

__all__ = ["ReliabilityDisplay", "TailDisplay", "TransferRiskDisplay", "rendered", "save"]
