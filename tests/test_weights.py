"""The files that ship: sizes, proof, and that they belong together."""

from __future__ import annotations

import numpy as np
import torch

from edgefer.artifact import open_artifact
from edgefer.emotions import EMOTIONS, permutation
from edgefer.model import checkpoint as checkpoints
from edgefer.preprocess import Preprocess
from edgefer.runtime.recognizer import load
from edgefer.samples import faces
from edgefer.weights import ARTIFACT, CHECKPOINT


def test_they_belong_together_and_are_small() -> None:
    manifest = open_artifact(ARTIFACT).manifest
    checkpoint = checkpoints.load(CHECKPOINT)
    assert manifest.proof == "passed"
    assert manifest.precision == "fp16"
    assert manifest.checkpoint_sha256 == checkpoint.sha256
    assert manifest.weights_sha256 == checkpoints.weights_sha256(checkpoint.network)
    assert checkpoint.training["data"]["dataset"] == "fer2013"
    assert CHECKPOINT.stat().st_size < 11e6
    assert ARTIFACT.stat().st_size < 6e6


def test_the_artifact_says_what_the_checkpoint_says() -> None:
    checkpoint = checkpoints.load(CHECKPOINT)
    pictures = [sample.image for sample in faces(14)]
    small = np.stack([Preprocess()(picture) for picture in pictures])
    with torch.no_grad():
        logits = checkpoint.network(torch.from_numpy(Preprocess().normalize(small)))
    expected = torch.softmax(logits, 1).numpy()[:, permutation(checkpoint.classes)]
    found = np.stack([p.probabilities for p in load()(pictures, channels="rgb")])
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_it_knows_a_smile_when_it_is_drawn() -> None:
    """No accuracy of people, only that label names and outputs are in step: most drawn smiles are happiness."""
    smiles = [sample.image for sample in faces(70) if sample.emotion == "happiness"]
    labels = [p.label for p in load()(smiles, channels="rgb")]
    assert set(labels) <= set(EMOTIONS)
    assert labels.count("happiness") >= 7
