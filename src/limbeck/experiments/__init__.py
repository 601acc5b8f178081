"""The paper's figures and theorems and what goes beyond them, each a grid, a few lines of theory and one plot."""

from limbeck.experiments._errata import ERRATA, three_clusters
from limbeck.experiments._experiment import Experiment
from limbeck.experiments.curve import Curve
from limbeck.experiments.deep import Deep
from limbeck.experiments.figure1 import Figure1
from limbeck.experiments.figure2 import Figure2
from limbeck.experiments.figure3 import Figure3
from limbeck.experiments.figure4 import Figure4
from limbeck.experiments.figure5 import Figure5
from limbeck.experiments.nonlinear import Nonlinear
from limbeck.experiments.theorems import Theorems

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        *(Figure1(), Figure2(), Figure3(), Figure4(), Figure5()),
        *(Theorems(), Deep(), Curve(), Nonlinear()),
    )
}

__all__ = ["ERRATA", "EXPERIMENTS", "Experiment", "three_clusters"]
