"""An artifact: a directory with the model file, `manifest.json` and `parity.json`; read, checked, hashed, written.

The manifest is what the runtime knows about the model: labels, preprocessing, precision, hashes. It is sealed with a
hash of itself, so that an edit by hand is noticed, and holds the hashes of the files beside it, which are checked
before any engine sees their bytes. An ONNX file and a Core ML package carry the same manifest inside, so that they
stand alone; that copy names the hash of the rest instead: see `edgefer.embedded`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from edgefer.embedded import append_onnx, is_mlpackage, split_mlpackage, split_onnx
from edgefer.emotions import EMOTIONS
from edgefer.errors import ArtifactError
from edgefer.files import package_files, sha256_file
from edgefer.preprocess import Preprocess

SCHEMA = 1
MANIFEST = "manifest.json"
PARITY = "parity.json"
_MAX_MANIFEST = 1 << 20
_REBUILD = "export it again with `edgefer export`."


@dataclass(frozen=True)
class Manifest:
    """What an artifact says about itself.

    Attributes:
        target: "onnx", "tensorrt", "tensorrt-rtx" or "coreml".
        precision: "fp32", "fp16", "int8" or "int4": the type of most weights, as read back from the built file.
        labels: names of the outputs; always the canonical order.
        preprocess: how images become its input.
        architecture: the widths, as `Architecture.to_dict` gives them, and "name" where it is a preset.
        specialized: whether the exact rewrites were applied.
        parameters: learnable scalars of the checkpoint's network, and of what the file holds.
        batch: None when any batch size goes; [n] when fixed; [min, opt, max] for an optimisation profile.
        checkpoint_sha256, weights_sha256: of the checkpoint's file, and of its float32 weights whatever the file.
        content_sha256: of weights and normalised graph; equal for two exports of one checkpoint.
        tools: versions of what built it.
        device: what it was built on and for, when that matters (engines); empty when it runs anywhere.
        files: SHA-256 of each file (or package folder) of the artifact, by name; the model comes first.
        proof: "passed"; "evaluated" when the saved file was proven by evaluating it operation by operation, since its
            engine does not run where it was built; or "not run".
        layers: for engines, which kinds of layer compute in which number type, as found in what was built.
    """

    target: str
    precision: str
    labels: tuple[str, ...]
    preprocess: Preprocess
    architecture: Mapping[str, Any]
    specialized: bool
    parameters: tuple[int, int]
    batch: tuple[int, ...] | None
    checkpoint_sha256: str
    weights_sha256: str
    content_sha256: str
    tools: Mapping[str, str]
    device: Mapping[str, Any]
    files: Mapping[str, str]
    proof: str
    layers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """Name of the model file."""
        return next(name for name in self.files if name != PARITY)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, sealed."""
        values: dict[str, Any] = {"schema": SCHEMA}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, Preprocess):
                value = value.to_dict()
            elif isinstance(value, tuple):
                value = list(value)
            elif isinstance(value, Mapping):
                value = dict(value)
            values[name] = value
        return {**values, "seal": _seal(values)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], name: str) -> Manifest:
        """Rebuild from `to_dict`; `name` stands for the file in messages.

        Raises:
            ArtifactError: another schema, a broken seal, or a value that is missing or makes no sense.
        """
        if not isinstance(values, Mapping) or "schema" not in values:
            raise ArtifactError(f"{name} is not an edgefer manifest.", _REBUILD)
        if values["schema"] != SCHEMA:
            raise ArtifactError(
                f"{name} has manifest schema {values['schema']}; this version reads {SCHEMA}.",
                "use the edgefer version that wrote it, or export it again.",
            )
        unsealed = {key: value for key, value in values.items() if key != "seal"}
        if values.get("seal") != _seal(unsealed):
            raise ArtifactError(f"{name} was changed after the export: its seal does not match.", _REBUILD)
        del unsealed["schema"]
        try:
            _check_types(unsealed)
            manifest = cls(
                **{
                    **unsealed,
                    "labels": tuple(unsealed["labels"]),
                    "preprocess": Preprocess.from_dict(unsealed["preprocess"]),
                    "parameters": tuple(unsealed["parameters"]),
                    "batch": None if unsealed["batch"] is None else tuple(unsealed["batch"]),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{name} is incomplete: {error}.", _REBUILD) from None
        if manifest.labels != EMOTIONS:
            raise ArtifactError(f"{name} has the labels {', '.join(map(str, manifest.labels))}.", _REBUILD)
        if not set(manifest.files) - {PARITY} or not all(map(_is_plain_name, manifest.files)):
            raise ArtifactError(f"{name} names files outside its folder, or no model.", _REBUILD)
        return manifest


@dataclass(frozen=True)
class Artifact:
    """A manifest and where its model file lies. Made by `open_artifact`, which has checked the hashes."""

    path: Path
    manifest: Manifest

    @property
    def alone(self) -> bool:
        """Whether this is a model file (or package) by itself, without the directory around it."""
        return not self.path.is_dir() or is_mlpackage(self.path)

    @property
    def model(self) -> Path:
        """The model file, or package folder."""
        return self.path if self.alone else self.path / self.manifest.model


def open_artifact(path: str | os.PathLike[str]) -> Artifact:
    """Open an artifact directory, or an ONNX file or Core ML package that carries its manifest; check every hash.

    Raises:
        ArtifactError: missing, incomplete, of another schema, or any byte is not what the export wrote.
    """
    place = Path(path)
    if is_mlpackage(place):
        return _open_alone(place, "Core ML package")
    if place.is_dir():
        return _open_directory(place)
    if not place.is_file():
        raise ArtifactError(f"{place} does not exist.", "pass the directory that `edgefer export --out` wrote.")
    if place.suffix != ".onnx":
        raise ArtifactError(f"{place} is not an artifact.", "pass the directory that `edgefer export --out` wrote.")
    return _open_alone(place, "ONNX file")


def read_manifest(place: Path) -> Manifest:
    """Read the manifest of an artifact directory: schema and seal are checked, the files beside it are not.

    Raises:
        ArtifactError: there is none, or it was edited, is damaged or of another schema.
    """
    file = place / MANIFEST
    if not file.is_file():
        raise ArtifactError(f"{place} holds no {MANIFEST}.", "pass the directory that `edgefer export --out` wrote.")
    if file.stat().st_size > _MAX_MANIFEST:
        raise ArtifactError(f"{file} is too large for a manifest.", _REBUILD)
    return Manifest.from_dict(_parse(file.read_bytes(), str(file)), str(file))


def _open_directory(place: Path) -> Artifact:
    manifest = read_manifest(place)
    for name, expected in manifest.files.items():
        if not (place / name).exists():
            raise ArtifactError(f"{place / name} is missing.", _REBUILD)
        if sha256_path(place / name) != expected:
            raise ArtifactError(f"{place / name} is not the file that was exported: its hash differs.", _REBUILD)
    return Artifact(place, manifest)


def _open_alone(place: Path, kind: str) -> Artifact:
    try:
        content, embedded = split_mlpackage(place) if place.is_dir() else split_onnx(place.read_bytes())
    except (IndexError, ValueError):
        raise ArtifactError(f"{place} is not a whole {kind}.", "copy or download it again.") from None
    if embedded is None:
        raise ArtifactError(
            f"{place} carries no edgefer manifest.", "only files written by `edgefer export` can be loaded."
        )
    manifest = Manifest.from_dict(_parse(embedded, str(place)), str(place))
    if manifest.files[manifest.model] != content:
        raise ArtifactError(f"{place} is not the file that was exported: its hash differs.", _REBUILD)
    return Artifact(place, manifest)


def read_parity(artifact: Artifact) -> dict[str, Any] | None:
    """The parity report of an artifact directory, None for a model file alone."""
    if artifact.alone:
        return None
    report = _parse((artifact.path / PARITY).read_bytes(), PARITY)
    return dict(report)


def sha256_path(path: Path) -> str:
    """Hash of a file, or of a folder: over the sorted relative names and the hashes of the files in it."""
    if path.is_file():
        return sha256_file(path)
    digest = hashlib.sha256()
    for file in package_files(path):
        digest.update(f"{file.relative_to(path).as_posix()} {sha256_file(file)}\n".encode())
    return digest.hexdigest()


def dump(values: Mapping[str, Any]) -> bytes:
    """JSON as we write it: readable, stable, ending in a newline."""
    return (json.dumps(values, indent=2) + "\n").encode()


def embedded_manifest(manifest: Manifest) -> bytes:
    """The manifest as model files carry it inside: JSON on one line, the same bytes for the same manifest."""
    return json.dumps(manifest.to_dict(), sort_keys=True).encode()


def append_manifest(payload: bytes, manifest: Manifest) -> bytes:
    """Return an ONNX file's bytes with `manifest` in its metadata. `payload` must have no metadata yet."""
    return append_onnx(payload, embedded_manifest(manifest))


def _parse(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):  # not UTF-8, not JSON, endless digits; nested without end
        raise ArtifactError(f"{name} is not JSON.", _REBUILD) from None


def _check_types(values: Mapping[str, Any]) -> None:
    """Raise ValueError for a value whose type cannot be what an export wrote."""
    kinds: dict[str, type] = {"specialized": bool}
    kinds |= dict.fromkeys(
        ("target", "precision", "checkpoint_sha256", "weights_sha256", "content_sha256", "proof"), str
    )
    kinds |= dict.fromkeys(("preprocess", "architecture", "tools", "device", "files"), dict)
    if "layers" in values:  # manifests of 0.1.0 have none
        kinds["layers"] = dict
    for key, kind in kinds.items():
        if not isinstance(values[key], kind):
            raise ValueError(f"{key} is {values[key]!r}")
    batch, parameters = values["batch"], values["parameters"]
    if len(parameters) != 2 or not all(type(n) is int for n in (*parameters, *(batch or ()))):
        raise ValueError(f"parameters are {parameters!r} and batch is {batch!r}")


def _is_plain_name(file: str) -> bool:
    """Whether a name can only mean an entry of the folder it is looked up in, on every system."""
    return file not in ("", ".", "..") and PurePosixPath(file).name == PureWindowsPath(file).name == file


def _seal(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
