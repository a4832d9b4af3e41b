"""The public API: every kind of image in, the network's own answer out, from any number of threads."""

from __future__ import annotations

import io
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import edgefer
from edgefer.artifact import Artifact
from edgefer.emotions import AUTHORS, EMOTIONS
from edgefer.errors import ArtifactError, EdgeferError, ImageError, UnavailableError, UsageError
from edgefer.export.run import Options, export
from edgefer.imageset import ImageSet
from edgefer.model.checkpoint import Checkpoint
from edgefer.runtime.recognizer import Prediction, Recognizer, load
from edgefer.weights import ARTIFACT


@pytest.fixture(scope="module")
def recognizer(tiny_artifact: Artifact) -> Recognizer:
    return load(tiny_artifact.path, threads=1)


@pytest.fixture(scope="module")
def fixed(tiny: Checkpoint, probe: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The tiny network for batches of exactly four, as engines with a fixed shape are."""
    return export(tiny, tmp_path_factory.mktemp("fixed") / "tiny", probe, Options(batch=(4,)))


def crops(count: int) -> list[np.ndarray]:
    """Different pictures of different sizes: uint8 RGB."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    return [cv2.resize(one, (40 + 3 * i, 140 - 2 * i), interpolation=cv2.INTER_CUBIC) for i, one in enumerate(coarse)]


def stacked(predictions: list[Prediction]) -> np.ndarray:
    return np.stack([prediction.probabilities for prediction in predictions])


def as_the_authors_do(checkpoint: Checkpoint, images: list[np.ndarray]) -> np.ndarray:
    """Pillow, torch and the plain network, in the steps of the authors' scripts; then one name after the other."""
    inputs = []
    for image in images:
        small = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR)).astype(np.float64) / 255
        gray = small @ np.array([0.299, 0.587, 0.114])
        inputs.append(np.stack([(gray - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]))
    with torch.inference_mode():
        scores = checkpoint.network(torch.tensor(np.stack(inputs), dtype=torch.float32))
    probabilities = torch.softmax(scores, dim=1).numpy()
    assert checkpoint.classes == AUTHORS
    return np.stack([probabilities[:, AUTHORS.index(name)] for name in EMOTIONS], axis=1)


def test_the_answer_is_that_of_the_pytorch_network(tiny: Checkpoint, recognizer: Recognizer) -> None:
    images = crops(9)
    expected = as_the_authors_do(tiny, images)
    predictions = recognizer(images, channels="rgb")
    assert np.abs(stacked(predictions) - expected).max() < 1e-6
    assert [p.label for p in predictions] == [EMOTIONS[i] for i in expected.argmax(axis=1)]
    assert [p.confidence for p in predictions] == pytest.approx(expected.max(axis=1).tolist(), abs=1e-6)


def test_real_weights_on_real_faces(shared: Path, tmp_path: Path) -> None:
    """The tiny network is nearly flat; a trained one tells a swapped class or a wrong mean at once."""
    from edgefer.model import checkpoint as checkpoints
    from edgefer.samples import encoded

    source = checkpoints.load(shared / "quarter_fer2013.pth")
    artifact = export(source, tmp_path / "quarter", ImageSet(encoded(4), "4 faces"), Options())
    images = crops(4) + [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for _, data in encoded(8, seed=1)]
    found = stacked(load(artifact.path, threads=1)(images, channels="rgb"))
    expected = as_the_authors_do(source, images)
    assert np.abs(found - expected).max() < 1e-5
    assert len(set(expected.argmax(axis=1))) > 1
    assert expected.max() > 0.5


def test_a_prediction(recognizer: Recognizer, face: np.ndarray) -> None:
    prediction = recognizer(face)
    assert isinstance(prediction, edgefer.Prediction)
    assert prediction.probabilities.shape == (7,)
    assert prediction.probabilities.dtype == np.float32
    assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert (prediction.probabilities > 0).all()
    assert prediction.label == EMOTIONS[int(prediction.probabilities.argmax())]
    assert type(prediction.confidence) is float
    assert prediction.confidence == prediction.probabilities.max()
    assert repr(prediction) == f"Prediction({prediction.label} {prediction.confidence:.2f})"


def test_a_prediction_cannot_be_changed(recognizer: Recognizer, face: np.ndarray) -> None:
    for prediction in (recognizer(face), recognizer([face])[0]):
        with pytest.raises(FrozenInstanceError):
            prediction.label = "joy"  # type: ignore[misc]
        with pytest.raises(ValueError, match="read-only"):
            prediction.probabilities[0] = 1
        again = pickle.loads(pickle.dumps(prediction))
        assert again.label == prediction.label
        assert np.array_equal(again.probabilities, prediction.probabilities)


def sources(face: np.ndarray, folder: Path) -> dict[str, Any]:
    """One picture in every form that a caller may have it in."""
    bgr = cv2.cvtColor(face, cv2.COLOR_RGB2BGR)
    png, bmp, webp = (cv2.imencode(suffix, bgr)[1].tobytes() for suffix in (".png", ".bmp", ".webp"))
    (folder / "face.png").write_bytes(png)
    lossless = io.BytesIO()
    Image.fromarray(face).save(lossless, "WEBP", lossless=True)
    assert webp  # OpenCV can write it
    return {
        "bgr": bgr,
        "bgra": np.dstack([bgr, np.full(bgr.shape[:2], 255, np.uint8)]),
        "16 bit": bgr.astype(np.uint16) * 257,
        "float": bgr.astype(np.float64) / 255,
        "pil": Image.fromarray(face),
        "pil rgba": Image.fromarray(face).convert("RGBA"),
        "png": png,
        "bytearray": bytearray(png),
        "memoryview": memoryview(png),
        "bmp": bmp,
        "webp": lossless.getvalue(),
        "str": str(folder / "face.png"),
        "path": folder / "face.png",
        "read by OpenCV": cv2.imread(str(folder / "face.png")),
    }


def test_one_picture_in_every_form_gives_one_answer(recognizer: Recognizer, face: np.ndarray, tmp_path: Path) -> None:
    expected = recognizer(face, channels="rgb").probabilities
    forms = sources(face, tmp_path)
    for name, source in forms.items():
        assert np.array_equal(recognizer(source).probabilities, expected), name
    together = recognizer(list(forms.values()))
    assert np.abs(stacked(together) - expected).max() < 1e-6
    gray = recognizer(face[..., 0]).probabilities
    assert np.array_equal(recognizer(face[..., :1]).probabilities, gray)
    assert np.array_equal(recognizer(Image.fromarray(face[..., 0])).probabilities, gray)


def test_the_channel_order_matters(recognizer: Recognizer, face: np.ndarray) -> None:
    assert not np.array_equal(recognizer(face).probabilities, recognizer(face, channels="rgb").probabilities)


def test_lists_keep_their_order(recognizer: Recognizer) -> None:
    images = crops(40)  # more than one batch
    alone = [recognizer(image) for image in images]
    assert np.abs(stacked(alone)[:-1] - stacked(alone)[1:]).max(axis=1).min() > 1e-5  # neighbours differ
    together = recognizer(images)
    assert isinstance(together, list)
    assert np.abs(stacked(together) - stacked(alone)).max() < 1e-6
    assert np.array_equal(stacked(recognizer(tuple(images))), stacked(together))
    assert np.array_equal(stacked(recognizer(images[::-1])), stacked(together)[::-1])


def test_an_empty_list_gives_an_empty_list(recognizer: Recognizer) -> None:
    assert recognizer([]) == []
    assert recognizer(()) == []


def test_a_bad_image_in_a_list_is_counted(recognizer: Recognizer, face: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"^image 2 of the list: the image is not an image: 0 bytes\.$") as caught:
        recognizer([face, face, b"", face])
    assert caught.value.hint
    with pytest.raises(ImageError, match="NaN"):
        recognizer(np.full((4, 4), np.nan))


@pytest.mark.parametrize("batch", [1, 3, 32])
@pytest.mark.parametrize("threads", [None, 1, 2])
def test_batch_and_threads_do_not_change_the_answer(
    recognizer: Recognizer, tiny_artifact: Artifact, batch: int, threads: int | None
) -> None:
    images = crops(7)
    expected = stacked([recognizer(image) for image in images])
    other = load(tiny_artifact.path, batch=batch, threads=threads)
    assert other.batch == batch
    assert np.abs(stacked(other(images)) - expected).max() < 1e-6


def test_images_are_given_in_batches_of_the_size_asked_for(tiny_artifact: Artifact) -> None:
    """A batch size that is accepted and ignored would show only as memory."""
    recognizer = load(tiny_artifact.path, batch=3, threads=1)
    sizes: list[int] = []
    engine = recognizer.engine

    class Counting:
        name = "counting"

        def __call__(self, images: np.ndarray) -> np.ndarray:
            sizes.append(len(images))
            return engine(images)

    Recognizer(recognizer.artifact, Counting(), batch=3)(crops(8))
    assert sizes == [3, 3, 2]


@pytest.mark.parametrize("count", [1, 4, 7])
def test_a_fixed_batch_takes_any_number_of_images(
    fixed: Artifact, recognizer: Recognizer, tiny: Checkpoint, count: int
) -> None:
    shape = onnx.load(fixed.model).graph.input[0].type.tensor_type.shape.dim[0].dim_value
    assert shape == 4
    images = crops(count)
    for batch in (1, 4, 32):
        found = stacked(load(fixed.path, threads=1, batch=batch)(images))
        assert found.shape == (count, 7)
        assert np.abs(found - stacked(recognizer(images))).max() < 1e-6


def test_a_batch_profile_is_kept_at_both_ends(tiny_artifact: Artifact) -> None:
    """TensorRT profiles have a smallest batch as well: a shorter last batch is filled up."""
    artifact = replace(tiny_artifact, manifest=replace(tiny_artifact.manifest, batch=(2, 3, 4)))
    engine, sizes = load(tiny_artifact.path, threads=1).engine, []

    class Profile:
        name = "profile"

        def __call__(self, images: np.ndarray) -> np.ndarray:
            sizes.append(len(images))
            return engine(images)

    assert len(Recognizer(artifact, Profile())(crops(9))) == 9
    assert sizes == [4, 4, 2]


def test_probabilities_of_preprocessed_faces(recognizer: Recognizer) -> None:
    images = crops(5)
    faces = np.stack([recognizer.preprocess(image) for image in images])
    assert np.array_equal(recognizer.probabilities(faces), stacked(recognizer(images, channels="rgb")))
    assert recognizer.probabilities(faces[:0]).shape == (0, 7)
    for wrong in (faces[0], faces.astype(np.float32), faces[:, :32], faces[..., :1], faces.transpose(0, 3, 1, 2)):
        with pytest.raises(ImageError, match="faces are"):
            recognizer.probabilities(wrong)


def test_many_threads_get_the_answers_of_one(recognizer: Recognizer) -> None:
    images = crops(50)
    expected = [recognizer(image).probabilities for image in images]

    def work(offset: int) -> bool:
        order = np.roll(np.arange(50), offset)
        return all(np.array_equal(recognizer(images[i]).probabilities, expected[i]) for i in order)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_calls_keep_no_state(recognizer: Recognizer, face: np.ndarray) -> None:
    """Neither the input nor an earlier answer changes."""
    before = face.copy()
    first = recognizer(face)
    kept = first.probabilities.copy()
    recognizer(crops(3))
    recognizer(face[::-1])
    assert np.array_equal(first.probabilities, kept)
    assert np.array_equal(face, before)


# --- load -----------------------------------------------------------------------------------------------------------


def test_load_takes_a_folder_or_a_single_file(tiny_artifact: Artifact, face: np.ndarray, tmp_path: Path) -> None:
    expected = load(tiny_artifact.path)(face).probabilities
    alone = shutil.copy(tiny_artifact.model, tmp_path / "fer.onnx")
    folder = shutil.copytree(tiny_artifact.path, tmp_path / "folder.onnx")
    for path in (str(tiny_artifact.path), alone, Path(alone), folder):
        assert np.abs(edgefer.load(path)(face).probabilities - expected).max() < 1e-6


def test_what_a_recognizer_says_of_itself(recognizer: Recognizer, tiny_artifact: Artifact) -> None:
    assert recognizer.preprocess == tiny_artifact.manifest.preprocess
    assert "onnxruntime" in recognizer.engine.name
    assert "CPUExecutionProvider" in recognizer.engine.name
    assert repr(recognizer) == f"Recognizer({tiny_artifact.path}, onnx fp32, {recognizer.engine.name})"


@pytest.mark.parametrize("arguments", [{"batch": 0}, {"batch": -3}, {"threads": 0}, {"threads": -1}])
def test_numbers_below_one_are_refused(tiny_artifact: Artifact, arguments: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=str(next(iter(arguments.values())))):
        load(tiny_artifact.path, **arguments)  # type: ignore[arg-type]


def test_without_a_path_the_shipped_model_is_loaded(
    face: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fer = edgefer.load()
    assert fer.artifact.path == ARTIFACT
    assert fer(face).label in EMOTIONS
    monkeypatch.setattr("edgefer.runtime.recognizer.ARTIFACT", tmp_path / "none.onnx")
    with pytest.raises(ArtifactError, match="no model ships") as caught:
        edgefer.load()
    assert caught.value.hint


def refused(call: Callable[[], object], kind: type[EdgeferError]) -> EdgeferError:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.hint
    return caught.value


def test_onnxruntime_missing(tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefer.optional.installed", lambda module: module != "onnxruntime")
    error = refused(lambda: load(tiny_artifact.path), UnavailableError)
    assert error.exit_code == 4
    assert "onnxruntime" in str(error)
    assert error.hint == 'pip install "edgefer[cpu]"'


def test_a_target_without_an_engine(tiny_artifact: Artifact) -> None:
    from edgefer.runtime.engines import open_engine

    foreign = replace(tiny_artifact, manifest=replace(tiny_artifact.manifest, target="abacus"))
    assert "abacus" in str(refused(lambda: open_engine(foreign), UnavailableError))


def test_an_engine_that_is_installed_but_broken(tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing DLL shows as an ImportError at the first use; it must name the package, not end in a traceback."""

    def broken(name: str) -> None:
        raise ImportError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr("edgefer.runtime.engines.import_module", broken)
    error = refused(lambda: load(tiny_artifact.path), UnavailableError)
    assert "onnxruntime" in str(error)
    assert "libcudart.so.12" in str(error)
