import hashlib
import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from edgefer.data import Packed, load, pack
from edgefer.data.dataset import ArrayImage, Dataset, Face
from edgefer.emotions import EMOTIONS
from edgefer.errors import DataError
from edgefer.preprocess import Preprocess


@pytest.fixture
def folder(tmp_path, write_image):
    for i, (split, name) in enumerate([("train", "anger"), ("train", "sad"), ("val", "happy"), ("test", "fear")] * 5):
        write_image(tmp_path / "set" / split / name / f"{i:03d}.png", 20 + i, 30)
    return tmp_path / "set"


def gray_dataset(n=30):
    rng = np.random.default_rng(5)
    array = rng.integers(0, 256, (n, 48, 48), np.uint8)
    votes = rng.dirichlet(np.ones(7), n).astype(np.float32)
    faces = [
        Face(ArrayImage(array, i, ("a.csv", i)), i % 7, ("train", "val", "test")[i % 3], f"é{i}", votes[i], i % 2 == 0)
        for i in range(n)
    ]
    return Dataset("fer2013", faces, gray=True), array, votes


def test_colour_images_are_what_pillow_makes_of_the_files(folder, tmp_path):
    data = load(folder, "folder")
    packed = pack(data, Preprocess(), tmp_path / "a.safetensors", threads=2)
    assert packed.images.shape == (20, 64, 64, 3)
    assert isinstance(packed.images, np.memmap)
    assert packed.ids == [face.id for face in data.faces]
    for row, name in enumerate(packed.ids):
        expected = Image.open(folder / name).convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
        assert np.array_equal(packed.images[row], np.asarray(expected))
        assert EMOTIONS[packed.labels[row]] == {
            "anger": "anger", "sad": "sadness", "happy": "happiness", "fear": "fear",
        }[name.split("/")[1]]  # fmt: skip
        assert ("train", "val", "test")[packed.splits[row]] == name.split("/")[0]
    assert packed.votes is None
    assert packed.clean is None
    assert packed.counts() == data.counts()


@pytest.mark.parametrize("resize", ["pillow", "area", "linear"])
def test_gray_images_take_one_channel(tmp_path, resize):
    data, array, votes = gray_dataset()
    preprocess = Preprocess(resize=resize)
    packed = pack(data, preprocess, tmp_path / "a.safetensors")
    assert packed.images.shape == (30, 64, 64, 1)
    for row in range(30):
        assert np.array_equal(packed.images[row], preprocess(np.repeat(array[row][:, :, None], 3, axis=2))[:, :, :1])
    assert np.array_equal(packed.votes, votes)
    assert packed.clean.tolist() == [i % 2 == 0 for i in range(30)]
    assert packed.ids[3] == "é3"
    assert packed.preprocess == preprocess


def test_the_file_is_plain_safetensors(tmp_path):
    data, _, votes = gray_dataset()
    packed = pack(data, Preprocess(), tmp_path / "a.safetensors")
    tensors = load_file(tmp_path / "a.safetensors")
    assert set(tensors) == {"images", "labels", "splits", "ids", "id_offsets", "votes", "clean"}
    assert np.array_equal(tensors["images"], packed.images)
    assert tensors["labels"].tolist() == [i % 7 for i in range(30)]
    assert np.array_equal(tensors["votes"], votes)


def test_two_packs_are_byte_for_byte_the_same_wherever_the_set_lies(folder, tmp_path):
    pack(load(folder, "folder"), Preprocess(), tmp_path / "a.safetensors", threads=2)
    folder.rename(tmp_path / "moved")
    pack(load(tmp_path / "moved", "folder"), Preprocess(), tmp_path / "b.safetensors", threads=1)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_the_source_hash_is_as_documented(folder, tmp_path):
    data = load(folder, "folder")
    packed = pack(data, Preprocess(), tmp_path / "a.safetensors")
    expected = hashlib.sha256()
    for face in data.faces:
        expected.update(json.dumps([face.id, face.split, face.label, None, None, None]).encode())
        expected.update(hashlib.sha256((folder / face.id).read_bytes()).digest())
    assert packed.source_sha256 == expected.hexdigest()


@pytest.mark.parametrize("change", ["pixels", "label", "name", "split"])
def test_the_source_hash_changes_with_whatever_training_sees(folder, tmp_path, write_image, change):
    before = pack(load(folder, "folder"), Preprocess(), tmp_path / "a.safetensors").source_sha256
    file = next((folder / "train" / "anger").iterdir())
    if change == "pixels":
        write_image(file)
    else:
        target = {"label": "train/fear/" + file.name, "name": "train/anger/zz.png", "split": "val/anger/" + file.name}
        (folder / target[change]).parent.mkdir(exist_ok=True)
        file.rename(folder / target[change])
    assert pack(load(folder, "folder"), Preprocess(), tmp_path / "a.safetensors").source_sha256 != before


def test_an_unreadable_image_is_an_error_and_leaves_nothing(folder, tmp_path):
    out = tmp_path / "out" / "a.safetensors"
    bad = folder / "train" / "anger" / "bad.png"
    bad.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bad\.png is not a JPEG, PNG, WebP or BMP image"):
        pack(load(folder, "folder"), Preprocess(), out)
    assert list(out.parent.iterdir()) == []
    out.write_bytes(b"what was there")
    with pytest.raises(DataError):
        pack(load(folder, "folder"), Preprocess(), out)
    assert out.read_bytes() == b"what was there"
    assert list(out.parent.iterdir()) == [out]


def test_skip_bad_counts_and_lists_unreadable_images(folder, tmp_path):
    bad = folder / "train" / "anger" / "bad.png"
    bad.write_bytes(b"no image")
    data = load(folder, "folder", skip_bad=True)
    packed = pack(data, Preprocess(), tmp_path / "a.safetensors")
    assert len(packed) == 20
    assert "train/anger/bad.png" not in packed.ids
    assert [where for where, _ in data.skipped] == [str(bad)]
    assert packed.meta["skipped_count"] == "1"
    assert "bad.png" in json.loads(packed.meta["skipped"])[0]
    pack(data, Preprocess(), tmp_path / "b.safetensors")
    assert len(data.skipped) == 1
    packed.verify()


def test_a_colour_image_in_a_gray_set_is_an_error(tmp_path, write_image):
    write_image(tmp_path / "train" / "angry" / "1.png", gray=True)
    pack(load(tmp_path, "fer2013"), Preprocess(), tmp_path / "a.safetensors")
    write_image(tmp_path / "train" / "angry" / "2.png")
    with pytest.raises(DataError, match=r"2\.png: a colour image in a gray data set"):
        pack(load(tmp_path, "fer2013"), Preprocess(), tmp_path / "a.safetensors")


def test_no_images_a_folder_as_target_a_target_that_cannot_be(tmp_path, folder):
    with pytest.raises(DataError, match="has no images to pack"):
        pack(Dataset("folder", []), Preprocess(), tmp_path / "a.safetensors")
    with pytest.raises(DataError, match="is a folder"):
        pack(load(folder, "folder"), Preprocess(), tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be written"):
        pack(load(folder, "folder"), Preprocess(), tmp_path / "file" / "a.safetensors")


def test_a_full_disk_is_said_before_work_begins(tmp_path, folder, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(DataError, match="GB are free"):
        pack(load(folder, "folder"), Preprocess(), tmp_path / "a.safetensors")


def test_progress_ends_with_all(tmp_path):
    calls = []
    data, _, _ = gray_dataset(150)
    pack(data, Preprocess(), tmp_path / "a.safetensors", progress=lambda *at: calls.append(at))
    assert calls == [(64, 150), (128, 150), (150, 150)]


def test_ten_thousand_files_stream_through_little_memory(tmp_path):
    rng = np.random.default_rng(1)
    arrays = rng.integers(0, 256, (8, 32, 32, 3), np.uint8)
    files = []
    for i, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{i}.png")
        files.append((tmp_path / f"{i}.png").read_bytes())
    for name in EMOTIONS:
        (tmp_path / "set" / "train" / name).mkdir(parents=True)
    for i in range(10_000):
        (tmp_path / "set" / "train" / EMOTIONS[i % 7] / f"{i:05d}.png").write_bytes(files[i % 8])
    data = load(tmp_path / "set", "folder")
    tracemalloc.start()
    try:
        packed = pack(data, Preprocess(resize="area"), tmp_path / "a.safetensors", threads=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert packed.images.nbytes == 10_000 * 64 * 64 * 3  # 123 MB on disk
    assert peak < 20e6
    expected = [Preprocess(resize="area")(array) for array in arrays]
    for row in range(0, 10_000, 7):
        assert np.array_equal(packed.images[row], expected[int(packed.ids[row][-9:-4]) % 8])
    assert np.bincount(packed.labels, minlength=7).tolist() == [1429] * 4 + [1428] * 3
    packed.verify()


def test_open_is_what_pack_returns(tmp_path):
    data, _, _ = gray_dataset()
    packed = pack(data, Preprocess(), tmp_path / "a.safetensors")
    again = Packed.open(str(tmp_path / "a.safetensors"))
    assert again.meta == packed.meta
    assert np.array_equal(again.images, packed.images)
