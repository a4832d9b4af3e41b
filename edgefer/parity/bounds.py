"""How far an artifact's probabilities may lie from its checkpoint's. Free of torch: the bench reads it too."""

from __future__ import annotations

# Largest difference in any probability. fp32: summation order alone moves the softmax by less than 1e-6, a wrong
# weight by far more. fp16 has 11 bits; 5e-3 is what rounding every weight and activation to it can add up to here.
BOUNDS = {"fp32": 1e-5, "fp16": 5e-3}
