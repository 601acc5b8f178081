"""Every picture; the one place that knows matplotlib."""

from limbeck.displays.reliability import ReliabilityDisplay
from limbeck.displays.style import rendered, save
from limbeck.displays.tail import TailDisplay
from limbeck.displays.transfer_risk import TransferRiskDisplay

__all__ = ["ReliabilityDisplay", "TailDisplay", "TransferRiskDisplay", "rendered", "save"]
