"""Every form that is read, every damage that is refused, with the first culprit named."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from edgefer.emotions import AUTHORS, EMOTIONS
from edgefer.errors import CheckpointError
from edgefer.model import checkpoint as checkpoints
from edgefer.model.checkpoint import Checkpoint
from edgefer.preprocess import Preprocess


def state_of(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in checkpoint.network.state_dict().items()}


@pytest.mark.parametrize("wrapper", [None, "model_state_dict", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_the_authors_forms(tiny: Checkpoint, tmp_path: Path, wrapper: str | None, prefix: str) -> None:
    state = {prefix + key: value for key, value in state_of(tiny).items()}
    path = tmp_path / "c.pth"
    torch.save({wrapper: state, "epoch": 7} if wrapper else state, path)
    loaded = checkpoints.load(path)
    assert loaded.architecture == tiny.architecture
    assert loaded.classes == AUTHORS
    assert loaded.preprocess == Preprocess()
    assert loaded.origin == "authors"
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not loaded.network.training
    for key, value in state_of(tiny).items():
        assert torch.equal(loaded.network.state_dict()[key], value)


def test_old_files_without_batch_counters(tiny: Checkpoint, tmp_path: Path) -> None:
    state = {key: value for key, value in state_of(tiny).items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "c.pth")
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(checkpoints.load(tmp_path / "c.pth").network(x), tiny.network(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_ours_keeps_everything(tiny: Checkpoint, tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "c.safetensors"
    preprocess = Preprocess(size=48, grayscale=False, resize="area", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    checkpoints.save(Checkpoint(tiny.network, preprocess, EMOTIONS, training={"recipe": "strong"}), path, dtype)
    loaded = checkpoints.load(path)
    assert loaded.preprocess == preprocess
    assert loaded.classes == EMOTIONS
    assert loaded.training == {"recipe": "strong"}
    assert loaded.origin == "edgefer"
    for key, value in state_of(tiny).items():
        expected = value.to(dtype).float() if value.is_floating_point() else value
        assert torch.equal(loaded.network.state_dict()[key], expected)


def test_weights_hash_ignores_the_file_form(tiny: Checkpoint, tiny_file: Path, tmp_path: Path) -> None:
    checkpoints.save(tiny, tmp_path / "c.safetensors")
    one, two = checkpoints.load(tiny_file), checkpoints.load(tmp_path / "c.safetensors")
    assert one.sha256 != two.sha256
    assert checkpoints.weights_sha256(one.network) == checkpoints.weights_sha256(two.network)


def test_the_trained_checkpoint(shared: Path) -> None:
    loaded = checkpoints.load(shared / "quarter_fer2013.pth")
    assert "quarter" in loaded.describe()
    assert "authors' order" in loaded.describe()


def broken(tiny: Checkpoint, tmp_path: Path, change: object) -> Path:
    state = state_of(tiny)
    change(state)  # type: ignore[operator]
    path = tmp_path / "broken.pth"
    torch.save(state, path)
    return path


CHANGES = {
    "missing": (lambda s: s.pop("res_block2.conv2.bias"), "res_block2.conv2.bias is missing"),
    "missing width": (lambda s: s.pop("conv2.weight"), "conv2.weight is missing"),
    "unexpected": (lambda s: s.update(extra=torch.zeros(1)), "extra is not part"),
    "shape": (lambda s: s.update({"fc2.bias": torch.zeros(5)}), r"fc2.bias has shape \[5\], not \[16\]"),
    "rank": (lambda s: s.update({"conv1.weight": torch.zeros(8)}), r"conv1.weight has shape \[8\]"),
    "nan": (lambda s: s["fc1.weight"].view(-1)[3].fill_(float("nan")), "fc1.weight holds NaN"),
    "inf": (lambda s: s["bn2.running_mean"][1].fill_(float("inf")), "bn2.running_mean holds NaN or inf"),
    "variance": (lambda s: s["bn2.running_var"][1].fill_(-1.0), "bn2.running_var holds negative"),
    "classes": (lambda s: s.update({"fc4.weight": torch.zeros(6, 16), "fc4.bias": torch.zeros(6)}), "has 6 classes"),
    "channels": (lambda s: s.update({"conv1.weight": torch.zeros(8, 1, 3, 3)}), "takes 1 input channels"),
    "text": (lambda s: s.update({"fc1.bias": "hello"}), "fc1.bias is a str"),
}


@pytest.mark.parametrize("what", sorted(CHANGES))
def test_what_is_wrong_is_named(tiny: Checkpoint, tmp_path: Path, what: str) -> None:
    change, message = CHANGES[what]
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoints.load(broken(tiny, tmp_path, change))
    assert caught.value.hint


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("__import__('pathlib').Path('pwned').touch()",)


def test_code_in_a_pickle_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model_state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="more than plain tensors"):
        checkpoints.load(tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError):
        checkpoints.load(tmp_path / "plain.pth")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_truncated(tiny: Checkpoint, tiny_file: Path, tmp_path: Path, suffix: str, share: float) -> None:
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".pth":
        whole.write_bytes(tiny_file.read_bytes())
    else:
        checkpoints.save(tiny, whole)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    with pytest.raises(CheckpointError):
        checkpoints.load(cut)


def test_missing_empty_folder_and_nonsense(tmp_path: Path) -> None:
    (tmp_path / "empty.pth").touch()
    (tmp_path / "text.pth").write_text("hello, this is no checkpoint")
    torch.save([1, 2, 3], tmp_path / "list.pth")
    for name, message in {
        "nothing.pth": "does not exist",
        "empty.pth": "0 bytes",
        "text.pth": "text.pth",
        "list.pth": "holds a list",
        ".": "is a folder",
    }.items():
        with pytest.raises(CheckpointError, match=message):
            checkpoints.load(tmp_path / name)


@pytest.mark.parametrize(
    "metadata",
    [
        "not json",
        '{"schema": 99}',
        '{"schema": 1}',
        '{"schema": 1, "classes": ["a"], "preprocess": {}, "training": {}}',
    ],
)
def test_broken_metadata(tiny: Checkpoint, tmp_path: Path, metadata: str) -> None:
    path = tmp_path / "c.safetensors"
    safetensors.torch.save_file(state_of(tiny), path, metadata={"edgefer": metadata})
    with pytest.raises(CheckpointError):
        checkpoints.load(path)
