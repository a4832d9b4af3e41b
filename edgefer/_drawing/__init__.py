"""Draw one face from a person, FACS action units and a light: what `edgefer.samples` photographs.

Coordinates are face units: x to the right, y down, the origin between the eyes, the chin of a face at rest at y = 1.05.
Soft shading comes from a small relief (an ellipsoid plus Gaussian bumps, lit from one side), contours from splines.
"""

from edgefer._drawing.canvas import FIELD
from edgefer._drawing.face import ActionUnits, Face, Person
from edgefer._drawing.portrait import draw
from edgefer._drawing.skin import Light

__all__ = ["FIELD", "ActionUnits", "Face", "Light", "Person", "draw"]
