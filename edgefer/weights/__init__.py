"""The model that ships with the package: a checkpoint, and the proven ONNX file made from it. See MODEL_CARD.md."""

from __future__ import annotations

from pathlib import Path

from edgefer.errors import ArtifactError

CHECKPOINT = Path(__file__).parent / "default.safetensors"
ARTIFACT = Path(__file__).parent / "default.onnx"


def shipped(path: Path) -> Path:
    """Return `path`, one of the two above.

    Raises:
        ArtifactError: this version ships no model.
    """
    if not path.is_file():
        raise ArtifactError(
            "no model ships with this version of edgefer.", "pass a checkpoint or an artifact of yours."
        )
    return path
