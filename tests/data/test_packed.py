import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefer.data import Packed, pack
from edgefer.data.dataset import ArrayImage, Dataset, Face
from edgefer.data.packed import HEADER_BYTES
from edgefer.errors import DataError
from edgefer.preprocess import Preprocess


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    array = np.random.default_rng(2).integers(0, 256, (9, 48, 48), np.uint8)
    votes = np.full(7, 1 / 7, np.float32)
    faces = [
        Face(ArrayImage(array, i, ("a", i)), i % 7, ("train", "val", "test")[i // 3], str(i), votes, i > 5)
        for i in range(9)
    ]
    path = tmp_path_factory.mktemp("packed") / "a.safetensors"
    pack(Dataset("fer2013", faces, gray=True), Preprocess(size=8), path)
    return path.read_bytes()


def write(path, content, edit):
    header = json.loads(content[8:HEADER_BYTES])
    edit(header)
    text = json.dumps(header).encode().ljust(HEADER_BYTES - 8)
    path.write_bytes(content[:8] + text + content[HEADER_BYTES:])


def test_fields(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    packed = Packed.open(tmp_path / "a")
    assert packed.labels.dtype == np.int64
    assert packed.splits.dtype == np.uint8
    assert packed.clean.dtype == bool
    assert packed.votes.dtype == np.float32
    assert packed.name == "fer2013"
    assert len(packed) == 9
    assert packed.indices("val").tolist() == [3, 4, 5]
    assert packed.id(4) == "4"
    assert packed.image(4).shape == (8, 8, 1)
    assert packed.report_differences()
    with pytest.raises(ValueError, match="read-only"):
        packed.images[0] = 0


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda h: h["__metadata__"].update(edgefer="pack/9"), "has schema pack/9, this version reads pack/1"),
        (lambda h: h.pop("__metadata__"), "has no schema of ours"),
        (lambda h: h["__metadata__"].pop("source_sha256"), "lacks source_sha256"),
        (lambda h: h["__metadata__"].update(preprocess="{}"), "damaged: preprocess must have"),
        (lambda h: h["__metadata__"].update(preprocess="no"), "damaged"),
        (lambda h: h["__metadata__"].update(classes="[]"), "has the classes"),
        (lambda h: h.pop("labels"), "no tensor labels"),
        (lambda h: h["images"].update(dtype="F32"), "images has the wrong type or size"),
        (lambda h: h["images"].update(shape=[9, 8, 8, 2]), "images has the wrong type or size"),
        (lambda h: h["images"].update(shape=[9, 4, 16, 1]), "images has the shape"),
        (lambda h: h["images"].update(shape=[9, 64]), "images has the shape"),
        (lambda h: h["images"].update(shape="x"), "header of images makes no sense"),
        (lambda h: h["votes"].update(shape=[7, 9]), "votes has the shape"),
        (lambda h: h["labels"].update(data_offsets=[-9, 0]), "labels has the wrong type or size"),
        (lambda h: h["clean"].update(data_offsets=[10**9, 10**9 + 9]), "is cut or damaged"),
        (lambda h: h["labels"].update(data_offsets=h["images"]["data_offsets"]), "labels has the wrong type or size"),
        (lambda h: h["labels"].update(data_offsets=[0, 9]), "is cut or damaged"),
        (lambda h: h["clean"].update(data_offsets=h["labels"]["data_offsets"]), "is cut or damaged"),
    ],
)
def test_a_header_that_does_not_fit_is_an_error(tmp_path, content, edit, message):
    write(tmp_path / "a", content, edit)
    with pytest.raises(DataError, match=message) as caught:
        Packed.open(tmp_path / "a")
    assert "edgefer data pack" in caught.value.hint


@pytest.mark.parametrize("name", ["labels", "splits", "clean", "votes", "id_offsets"])
def test_impossible_values_are_an_error(tmp_path, content, name):
    begin, end = json.loads(content[8:HEADER_BYTES])[name]["data_offsets"]
    damaged = bytearray(content)
    damaged[HEADER_BYTES + begin : HEADER_BYTES + end] = b"\x7f" * (end - begin)
    (tmp_path / "a").write_bytes(damaged)
    with pytest.raises(DataError, match=f"damaged: {name} holds impossible values"):
        Packed.open(tmp_path / "a")


@pytest.mark.parametrize("length", [0, 5, 8, 1000, HEADER_BYTES, HEADER_BYTES + 100, -1])
def test_a_cut_file_is_an_error(tmp_path, content, length):
    (tmp_path / "a").write_bytes(content[:length])
    with pytest.raises(DataError, match=r"is not a packed data set|is cut or damaged"):
        Packed.open(tmp_path / "a")


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        Packed.open(tmp_path / "none")
    with pytest.raises(DataError, match="cannot be read"):
        Packed.open(tmp_path)


def test_verify_finds_a_changed_pixel(tmp_path, content):
    damaged = bytearray(content)
    damaged[HEADER_BYTES + 5] ^= 1
    (tmp_path / "a").write_bytes(damaged)
    packed = Packed.open(tmp_path / "a")
    with pytest.raises(DataError, match="images do not match their hash"):
        packed.verify()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_raises_anything_but_a_data_error(tmp_path_factory, content, data):
    used = len(content[:HEADER_BYTES].rstrip())
    at = data.draw(st.integers(0, used - 1) | st.integers(HEADER_BYTES, len(content) - 1))
    damaged = bytearray(content)
    damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(damaged)
    try:
        packed = Packed.open(path)
    except DataError:
        return
    assert packed.images.shape == (9, 8, 8, 1)
    packed.counts()
