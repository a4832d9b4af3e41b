"""What was written is read again; what was changed, cut or forged is refused before an engine sees it."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgefer.artifact import (
    MANIFEST,
    PARITY,
    Artifact,
    Manifest,
    append_manifest,
    dump,
    open_artifact,
    read_parity,
    sha256_path,
)
from edgefer.embedded import METADATA_KEY, split_onnx
from edgefer.emotions import EMOTIONS
from edgefer.errors import ArtifactError


@pytest.fixture
def artifact(tiny_artifact: Artifact, tmp_path: Path) -> Path:
    """A copy of the tiny artifact that a test may spoil."""
    return Path(shutil.copytree(tiny_artifact.path, tmp_path / "tiny"))


@pytest.fixture
def alone(tiny_artifact: Artifact, tmp_path: Path) -> Path:
    """The ONNX file without its folder."""
    return Path(shutil.copy(tiny_artifact.model, tmp_path / "renamed.onnx"))


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ArtifactError) as caught:
        call()
    assert caught.value.hint.strip()
    return str(caught.value)


def sealed(values: dict[str, Any]) -> dict[str, Any]:
    """What somebody can do who knows how seals are made: a second writing of the formula."""
    body = {key: value for key, value in values.items() if key != "seal"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return {**body, "seal": hashlib.sha256(text.encode()).hexdigest()}


def leaves(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value in nested JSON with the way to it."""
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        yield (*path, key), value
        yield from leaves(value, (*path, key))


def edited(values: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(values)
    at: Any = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return changed


def other(value: Any) -> Any:
    """Another value of the same type, as somebody would type it into an editor."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    return type(value)() if value else [1]


# --- a folder -------------------------------------------------------------------------------------------------------


def test_round_trip(tiny_artifact: Artifact) -> None:
    opened = open_artifact(str(tiny_artifact.path))
    assert opened == tiny_artifact
    assert opened.model == tiny_artifact.path / "model.onnx"
    values = json.loads((tiny_artifact.path / MANIFEST).read_bytes())
    assert Manifest.from_dict(values, "x").to_dict() == values == sealed(values)
    assert values["labels"] == list(EMOTIONS)
    for name, digest in values["files"].items():
        assert hashlib.sha256((opened.path / name).read_bytes()).hexdigest() == digest
    assert set(values["files"]) == {"model.onnx", PARITY}


def test_parity_report_is_read_from_the_folder(tiny_artifact: Artifact, alone: Path) -> None:
    assert read_parity(tiny_artifact) == json.loads((tiny_artifact.path / PARITY).read_bytes())
    assert read_parity(open_artifact(alone)) is None


def test_a_folder_may_be_called_like_a_file(artifact: Path) -> None:
    """`edgefer export --out fer.onnx` makes a folder of that name, which must load like any other."""
    folder = artifact.rename(artifact.with_name("fer.onnx"))
    opened = open_artifact(folder)
    assert opened.model == folder / "model.onnx"
    assert read_parity(opened) is not None


def test_every_edit_of_the_manifest_is_noticed(artifact: Path) -> None:
    file = artifact / MANIFEST
    values = json.loads(file.read_bytes())
    places = list(leaves(values))
    assert len(places) > 40
    for path, value in places:
        assert other(value) != value
        file.write_bytes(dump(edited(values, path, other(value))))
        refusal(lambda: open_artifact(artifact))
    for key in values:
        file.write_bytes(dump({name: value for name, value in values.items() if name != key}))
        refusal(lambda: open_artifact(artifact))
    file.write_bytes(dump({**values, "note": "harmless"}))
    assert "was changed after the export" in refusal(lambda: open_artifact(artifact))
    file.write_bytes(dump(values))
    assert open_artifact(artifact).manifest.to_dict() == values


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"3",
        b'"schema"',
        b"\xff\xfe\0",
        b"[" * 200_000,
        b"1" * 10_000,
        b"{}",
        b'{"schema": 1}',
    ],
)
def test_a_manifest_that_is_none(artifact: Path, content: bytes) -> None:
    (artifact / MANIFEST).write_bytes(content)
    assert str(artifact / MANIFEST) in refusal(lambda: open_artifact(artifact))


def test_a_manifest_of_another_schema(artifact: Path) -> None:
    values = json.loads((artifact / MANIFEST).read_bytes())
    for schema in (0, 2, "1", None):
        (artifact / MANIFEST).write_bytes(dump(sealed({**values, "schema": schema})))
        assert f"schema {schema}" in refusal(lambda: open_artifact(artifact))


def test_a_huge_manifest_is_not_read(artifact: Path) -> None:
    with (artifact / MANIFEST).open("wb") as stream:
        stream.truncate(2 << 20)
    assert "too large" in refusal(lambda: open_artifact(artifact))


@pytest.mark.parametrize(
    "change",
    [
        {"labels": list(EMOTIONS[::-1])},
        {"labels": list(EMOTIONS[:6])},
        {"labels": [1, 2, 3, 4, 5, 6, 7]},
        {"labels": None},
        {"preprocess": None},
        {"preprocess": {"size": 64}},
        {"parameters": [1]},
        {"parameters": ["1", "2"]},
        {"batch": "8"},
        {"batch": [1.5]},
        {"batch": 8},
        {"target": None},
        {"precision": 16},
        {"specialized": "yes"},
        {"architecture": []},
        {"tools": "torch"},
        {"files": []},
        {"files": {}},
        {"proof": None},
        {"unknown": 1},
    ],
)
def test_a_forged_manifest_of_nonsense_is_an_artifact_error(artifact: Path, change: dict[str, Any]) -> None:
    """The seal is no secret: what comes with a right one can still be anything."""
    values = json.loads((artifact / MANIFEST).read_bytes())
    (artifact / MANIFEST).write_bytes(dump(sealed({**values, **change})))
    refusal(lambda: open_artifact(artifact))


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "..", ".", "", "a/b", "..\\secret", "C:\\secret", "C:secret", "parts/", "./model"],
)
def test_files_outside_the_folder_are_refused_unread(artifact: Path, name: str) -> None:
    (artifact.parent / "secret").write_bytes(b"secret")
    digest = hashlib.sha256(b"secret").hexdigest()
    values = json.loads((artifact / MANIFEST).read_bytes())
    for files in ({name: digest}, {**values["files"], name: digest}):
        (artifact / MANIFEST).write_bytes(dump(sealed({**values, "files": files})))
        assert "outside its folder" in refusal(lambda: open_artifact(artifact))


def test_the_model_is_found_whatever_the_order_of_the_files(artifact: Path) -> None:
    """The seal sorts keys, so a manifest rewritten by a JSON tool is still ours; parity.json is never the model."""
    values = json.loads((artifact / MANIFEST).read_bytes())
    values["files"] = dict(reversed(values["files"].items()))
    (artifact / MANIFEST).write_bytes(dump(values))
    assert open_artifact(artifact).model.name == "model.onnx"
    (artifact / MANIFEST).write_bytes(dump(sealed({**values, "files": {PARITY: values["files"][PARITY]}})))
    assert "no model" in refusal(lambda: open_artifact(artifact))


@pytest.mark.parametrize("name", ["model.onnx", PARITY])
def test_a_changed_file_is_refused(artifact: Path, name: str) -> None:
    file = artifact / name
    whole = file.read_bytes()
    for at in range(0, len(whole), len(whole) // 25):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        assert f"{file} is not the file that was exported" in refusal(lambda: open_artifact(artifact))
    for damaged in (whole[:-1], whole[: len(whole) // 2], b"", whole + b"\0"):
        file.write_bytes(damaged)
        assert "its hash differs" in refusal(lambda: open_artifact(artifact))


def test_a_model_of_somebody_else_is_refused(artifact: Path) -> None:
    (artifact / "model.onnx").write_bytes(foreign_model().SerializeToString())
    assert "its hash differs" in refusal(lambda: open_artifact(artifact))


@pytest.mark.parametrize("name", ["model.onnx", PARITY, MANIFEST])
def test_a_missing_file_is_named(artifact: Path, name: str) -> None:
    (artifact / name).unlink()
    message = refusal(lambda: open_artifact(artifact))
    assert name in message
    assert "missing" in message or "holds no" in message


def test_paths_that_are_no_artifact(tmp_path: Path) -> None:
    (tmp_path / "face.jpg").write_bytes(b"x")
    assert "does not exist" in refusal(lambda: open_artifact(tmp_path / "nothing"))
    assert "is not an artifact" in refusal(lambda: open_artifact(tmp_path / "face.jpg"))
    assert "holds no manifest.json" in refusal(lambda: open_artifact(tmp_path))


def test_hash_of_a_folder_covers_names_and_contents(tmp_path: Path) -> None:
    """An .mlpackage is a folder; moving a file within it changes the model as much as editing it."""
    package = tmp_path / "model.mlpackage"
    (package / "Data").mkdir(parents=True)
    contents = {"Manifest.json": b"{}", "Data/weight.bin": b"weights", "Data/model.mlmodel": b"model"}
    for name, data in contents.items():
        (package / name).write_bytes(data)
    lines = [f"{name} {hashlib.sha256(data).hexdigest()}\n" for name, data in sorted(contents.items())]
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert sha256_path(package) == expected
    (package / "Data/weight.bin").rename(package / "Data/weights.bin")
    assert sha256_path(package) != expected


# --- an ONNX file alone ---------------------------------------------------------------------------------------------


def foreign_model(**metadata: str) -> onnx.ModelProto:
    """A valid model that is not ours: y = relu(x)."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy")
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y]))
    helper.set_model_props(model, metadata)
    return model


def test_an_onnx_file_stands_alone(alone: Path, tiny_artifact: Artifact) -> None:
    opened = open_artifact(alone)
    assert opened.model == alone
    expected = replace(tiny_artifact.manifest, files={}, proof="")
    assert replace(opened.manifest, files={}, proof="") == expected


def test_onnx_reads_our_file_and_agrees_on_the_hash(alone: Path) -> None:
    """The few protobuf fields are read and written without onnx; onnx is the oracle."""
    model = onnx.load(alone)
    onnx.checker.check_model(model, full_check=True)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert set(properties) == {METADATA_KEY}
    manifest = open_artifact(alone).manifest
    assert json.loads(properties[METADATA_KEY]) == manifest.to_dict()
    del model.metadata_props[:]
    payload = model.SerializeToString(deterministic=True)
    assert hashlib.sha256(payload).hexdigest() == manifest.content_sha256
    assert append_manifest(payload, manifest) == alone.read_bytes()


def test_every_flipped_bit_is_noticed(alone: Path) -> None:
    whole = alone.read_bytes()
    tail = len(whole) - len(append_manifest(b"", open_artifact(alone).manifest))
    payload, manifest = range(0, tail, tail // 40), range(tail, len(whole), 3)
    for at in (*payload, *manifest):
        alone.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        refusal(lambda: open_artifact(alone))
    for cut in (0, 1, tail // 2, tail, tail + 5, len(whole) - 1):
        alone.write_bytes(whole[:cut])
        refusal(lambda: open_artifact(alone))
    alone.write_bytes(whole)
    open_artifact(alone)


def test_a_forged_manifest_inside_is_refused(alone: Path, tiny_artifact: Artifact) -> None:
    values = {**tiny_artifact.manifest.to_dict(), "files": {"../x": "0"}}
    payload = foreign_model(**{METADATA_KEY: json.dumps(sealed(values))}).SerializeToString()
    alone.write_bytes(payload)
    assert "outside its folder" in refusal(lambda: open_artifact(alone))
    alone.write_bytes(foreign_model(**{METADATA_KEY: "[" * 100_000}).SerializeToString())
    assert "is not JSON" in refusal(lambda: open_artifact(alone))
    alone.write_bytes(append_manifest(foreign_model().SerializeToString(), tiny_artifact.manifest))
    assert "its hash differs" in refusal(lambda: open_artifact(alone))  # our manifest on another model


@pytest.mark.parametrize("metadata", [{}, {"author": "somebody"}])
def test_a_foreign_model_is_refused(tmp_path: Path, metadata: dict[str, str]) -> None:
    file = tmp_path / "relu.onnx"
    onnx.save(foreign_model(**metadata), file)
    assert "carries no edgefer manifest" in refusal(lambda: open_artifact(file))


@given(
    version=st.integers(-(2**63), 2**63 - 1),
    name=st.text(max_size=300),
    metadata=st.dictionaries(st.text(max_size=20), st.text(max_size=300), max_size=4),
)
@settings(deadline=None)
def test_split_agrees_with_protobuf(version: int, name: str, metadata: dict[str, str]) -> None:
    """Whatever other fields and metadata a model has: the hash is that of the message without metadata."""
    model = foreign_model(**metadata)
    model.model_version, model.producer_name = version, name  # varints of one to ten bytes
    model.functions.add().name = name  # a field behind the metadata
    data = model.SerializeToString()
    del model.metadata_props[:]
    plain = model.SerializeToString()
    expected = metadata[METADATA_KEY].encode() if METADATA_KEY in metadata else None
    assert split_onnx(data) == (hashlib.sha256(plain).hexdigest(), expected)


@pytest.mark.parametrize(
    "data",
    [
        b"\x0b" + bytes(8),  # a group: long gone from protobuf, and without an end
        b"\x08" + b"\xff" * 11,  # a varint of more than ten bytes
        b"\x08\x80",  # a varint without an end
        b"\x0a\x05abcd",  # five bytes announced, four there
        b"\x09" + bytes(7),
        b"\x0d" + bytes(3),
        b"\x72\x03\x0a\x05a",  # metadata whose key ends beyond it
    ],
)
def test_what_protobuf_refuses_is_refused(data: bytes) -> None:
    model = onnx.ModelProto()
    with pytest.raises(DecodeError):
        model.ParseFromString(data)
    with pytest.raises((ValueError, IndexError)):
        split_onnx(data)


@given(noise=st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_noise_is_an_artifact_error(noise: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "noise.onnx"
    file.write_bytes(noise)
    refusal(lambda: open_artifact(file))


@given(edits=st.lists(st.tuples(st.integers(0, 2**20), st.integers(1, 255)), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_is_an_artifact_error(
    edits: list[tuple[int, int]], tiny_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Damage in the manifest's half of a small file, where the parser works hardest."""
    payload = foreign_model().SerializeToString()
    manifest = replace(tiny_artifact.manifest, files={"model.onnx": hashlib.sha256(payload).hexdigest()})
    whole = append_manifest(payload, manifest)
    file = tmp_path_factory.getbasetemp() / "damaged.onnx"
    file.write_bytes(whole)
    open_artifact(file)
    data = bytearray(whole)
    for at, change in edits:
        data[at % len(data)] ^= change
    file.write_bytes(data)
    with contextlib.suppress(ArtifactError):
        assert open_artifact(file).manifest == manifest  # a space of the JSON became a tab
