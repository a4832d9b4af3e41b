"""The drawn faces: deterministic, valid, different from each other, and telling the expressions apart."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import FrozenInstanceError, asdict
from itertools import combinations

import cv2
import numpy as np
import pytest

from edgefer import _drawing, samples
from edgefer.emotions import EMOTIONS

_DIGEST = """
import hashlib
from edgefer import samples
digest = hashlib.sha256()
for emotion in samples.EMOTIONS:
    digest.update(samples.render(emotion, 5, 96).tobytes())
for name, data in samples.encoded(8, seed=2):
    digest.update(name.encode() + data)
print(digest.hexdigest())
"""


def _decode(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_two_processes_draw_the_same_bytes() -> None:
    runs = [subprocess.run([sys.executable, "-c", _DIGEST], capture_output=True, text=True) for _ in range(2)]
    assert runs[0].returncode == 0, runs[0].stderr
    assert runs[0].stdout == runs[1].stdout
    digest = hashlib.sha256()
    for emotion in EMOTIONS:  # in another order and with other calls between: no state is shared
        digest.update(samples.render(emotion, 5, 96).tobytes())
        samples.render(emotion, 6, 40)
    for name, data in samples.encoded(8, seed=2):
        digest.update(name.encode() + data)
    assert digest.hexdigest() == runs[0].stdout.strip()


@pytest.mark.parametrize("size", [16, 40, 64, 101, 224, 400])
def test_render_shape_and_type(size: int) -> None:
    image = samples.render("fear", 3, size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_exposure_is_that_of_a_photograph(emotion: str) -> None:
    for seed in range(6):
        gray = cv2.cvtColor(samples.render(emotion, seed, 96), cv2.COLOR_RGB2GRAY)
        assert 25 < gray.mean() < 230
        assert gray.std() > 18
        assert ((gray == 0) | (gray == 255)).mean() < 0.35  # seldom clipped


def test_seeds_and_emotions_differ() -> None:
    images = {(e, seed): samples.render(e, seed, 64).astype(float) for e in EMOTIONS for seed in (0, 1)}
    for a, b in combinations(images, 2):
        assert np.abs(images[a] - images[b]).mean() > 3, (a, b)


def test_colours_are_rgb() -> None:
    """Skin is redder than blue: a swapped channel order would turn people blue."""
    warm = 0
    for seed in range(12):
        middle = samples.render("neutral", seed, 96)[40:70, 30:66].astype(float)
        warm += middle[..., 0].mean() > middle[..., 2].mean() + 4
    assert warm >= 11


def test_every_style_draws() -> None:
    """Each hairstyle, beard and pair of glasses occurs, and none fails at any expression."""
    people = [samples._person(seed) for seed in range(150)]
    assert {p.hairstyle for p in people} == set(samples._STYLES)
    assert {p.beard for p in people} == {"none", "stubble", "full", "moustache", "goatee"}
    assert {p.glasses for p in people} == {"none", "dark", "metal", "brown"}
    for trait in ("hairstyle", "beard", "glasses"):
        first = {getattr(p, trait): seed for seed, p in reversed(list(enumerate(people)))}
        for seed in first.values():
            assert samples.render(EMOTIONS[seed % 7], seed, 48).shape == (48, 48, 3)


def test_skin_spans_light_to_dark() -> None:
    luma = [float(np.dot(samples._person(seed).skin, (0.299, 0.587, 0.114))) for seed in range(200)]
    assert min(luma) < 80
    assert max(luma) > 190
    assert 0.25 < np.mean(np.array(luma) < 130) < 0.75


def _mean_units(emotion: str) -> dict[str, float]:
    units = [asdict(samples.action_units(emotion, seed)) for seed in range(30)]
    return {name: float(np.mean([u[name] for u in units])) for name in units[0]}


def test_action_units_are_intensities() -> None:
    for emotion in EMOTIONS:
        for seed in range(30):
            assert all(0 <= value <= 1 for value in asdict(samples.action_units(emotion, seed)).values())


@pytest.mark.parametrize(
    ("unit", "emotion"),
    [
        ("jaw_drop", "surprise"),
        ("lip_corner_puller", "happiness"),
        ("cheek_raiser", "happiness"),
        ("lip_corner_depressor", "sadness"),
        ("lid_droop", "sadness"),
        ("lip_stretcher", "fear"),
        ("upper_lid_raiser", "fear"),
        ("brow_lowerer", "anger"),
        ("lip_tightener", "anger"),
        ("nose_wrinkler", "disgust"),
        ("upper_lip_raiser", "disgust"),
        ("outer_brow_raiser", "surprise"),
    ],
)
def test_leading_action_unit(unit: str, emotion: str) -> None:
    strength = {e: _mean_units(e)[unit] for e in EMOTIONS}
    assert max(strength, key=lambda e: strength[e]) == emotion


def _face(emotion: str, seed: int) -> _drawing.Face:
    return _drawing.Face(samples._person(seed), samples.action_units(emotion, seed), 0.0, 0.0)


@pytest.mark.parametrize("seed", range(10))
def test_geometry_follows_the_expression(seed: int) -> None:
    faces = {emotion: _face(emotion, seed) for emotion in EMOTIONS}

    def gape(emotion: str) -> float:
        lips = faces[emotion].lips
        return float(np.max(lips["floor"][:, 1] - lips["roof"][:, 1]))

    def inner_brow(emotion: str) -> float:
        return float(faces[emotion].brow(1)[0][0, 1])  # y points down

    def opening(emotion: str) -> float:
        upper, lower = faces[emotion].lids(1)
        return float(np.max(lower[:, 1] - upper[:, 1]))

    def corner_lift(emotion: str) -> float:
        floor = faces[emotion].lips["roof"]
        return float(floor[16, 1] - (floor[0, 1] + floor[-1, 1]) / 2)

    assert gape("surprise") == max(map(gape, EMOTIONS))
    assert gape("surprise") > gape("neutral") + 0.1
    assert inner_brow("anger") > inner_brow("neutral") > inner_brow("sadness")
    assert inner_brow("surprise") < inner_brow("neutral")
    assert opening("fear") > opening("neutral") > opening("disgust")
    assert corner_lift("happiness") > corner_lift("neutral") > corner_lift("sadness")


@pytest.mark.parametrize("seed", range(10))
def test_features_lie_on_the_face(seed: int) -> None:
    for emotion in EMOTIONS:
        face = _face(emotion, seed)
        outline = face.contour.reshape(-1, 1, 2)
        points = [*face.lips.values(), *face.lids(-1), *face.lids(1), *face.brow(-1), *face.brow(1)]
        for x, y in np.concatenate(points):
            assert cv2.pointPolygonTest(outline, (float(x), float(y)), False) > 0, (emotion, x, y)
        roof, floor = face.lips["roof"], face.lips["floor"]
        assert np.all(floor[:, 1] >= roof[:, 1] - 1e-6)
        upper, lower = face.lids(1)
        assert np.all(lower[:, 1] >= upper[:, 1] - 1e-6)


def test_expressions_can_be_told_apart() -> None:
    """Nearest class mean on 64x64 gray portraits, people not seen before: 1/7 would be chance."""

    def portrait(emotion: str, seed: int) -> np.ndarray:
        light = _drawing.Light((0.0, -0.4, 0.9), (250.0, 248.0, 240.0), 0.4)
        backdrop = np.full((192, 192, 3), 120, np.uint8)
        drawn = _drawing.draw(_face(emotion, seed), light, backdrop, np.random.default_rng(seed))
        gray = cv2.cvtColor(cv2.resize(drawn, (64, 64), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        halves = [gray[24:38, 20:44].astype(float), gray[40:60, 22:42].astype(float)]  # eyes with brows; mouth
        return np.concatenate([((half - half.mean()) / half.std()).ravel() for half in halves])

    centers = np.stack([np.mean([portrait(e, seed) for seed in range(14)], axis=0) for e in EMOTIONS])
    hits = [
        int(np.argmin(((centers - portrait(emotion, seed)) ** 2).sum(axis=1))) == index
        for index, emotion in enumerate(EMOTIONS)
        for seed in range(14, 22)
    ]
    assert np.mean(hits) > 0.6


def test_faces_cycle_through_the_expressions() -> None:
    drawn = samples.faces(9, seed=1, size=48)
    assert [sample.emotion for sample in drawn] == [*EMOTIONS, "anger", "disgust"]
    assert len({sample.name for sample in drawn}) == 9
    assert all(sample.image.shape == (48, 48, 3) for sample in drawn)
    again = samples.faces(2, seed=1, size=48)  # a shorter list is the beginning of a longer one
    assert all(np.array_equal(a.image, b.image) for a, b in zip(again, drawn, strict=False))
    other = samples.faces(2, seed=2, size=48)
    assert not np.array_equal(other[0].image, drawn[0].image)
    with pytest.raises(FrozenInstanceError):
        drawn[0].name = "other"  # type: ignore[misc]
    assert samples.faces(0) == []


def test_encoded_is_a_mixed_set_that_decodes() -> None:
    files = samples.encoded(56, seed=0)
    assert len({name for name, _ in files}) == len(files)
    shapes = []
    for name, data in files:
        image = _decode(data)
        assert image is not None, name
        assert data.startswith(b"\x89PNG" if name.endswith(".png") else b"\xff\xd8")
        assert image.std() > 12, name
        shapes.append(image.shape)
    assert all(40 <= side <= 400 for shape in shapes for side in shape[:2])
    assert {name[-4:] for name, _ in files} == {".png", ".jpg"}
    assert {len(shape) for shape in shapes} == {2, 3}
    assert any(shape[0] != shape[1] for shape in shapes)
    assert any(shape[0] == shape[1] for shape in shapes)
    assert min(max(shape[:2]) for shape in shapes) < 64 < 224 < max(max(shape[:2]) for shape in shapes)


def test_contact_sheet_places_every_face() -> None:
    drawn = samples.faces(5, seed=0, size=60)
    sheet = samples.contact_sheet(drawn, 3, tile=60)
    gap = 6
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == gap + 3 * (60 + gap)
    assert np.array_equal(sheet[gap : gap + 60, gap : gap + 60], drawn[0].image)
    assert np.all(sheet[:gap] == 255)
    row = (sheet.shape[0] - gap) // 2
    assert np.array_equal(sheet[gap + row : gap + row + 60, 72 : 72 + 60], drawn[4].image)
    assert np.all(sheet[gap + row :, 72 + 66 :] == 255)  # the last place is empty
    caption = sheet[gap + 60 : gap + row, gap : gap + 60]
    assert caption.min() < 120


def test_contact_sheet_captions_stay_inside_their_column() -> None:
    drawn = samples.faces(2, seed=0, size=60)
    wide = samples.contact_sheet(drawn, 2, ["a caption far too long to fit\nand a second line gy", "x"], tile=60)
    plain = samples.contact_sheet(drawn, 2, ["", ""], tile=60)
    assert wide.shape[0] > plain.shape[0]
    assert np.all(wide[:, 66:72] == 255)
    assert np.all(wide[-4:] == 255)
    assert plain.shape[0] == 60 + 2 * 6  # no captions, no room for them


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: samples.render("joy", 0), "emotion must be one of anger, .*, not 'joy'"),
        (lambda: samples.render("anger", -1), "seed must be a whole number of at least 0, not -1"),
        (lambda: samples.render("anger", 1.5), "seed must be a whole number"),  # type: ignore[arg-type]
        (lambda: samples.render("anger", 0, 8), "size must be a whole number from 16 to 1024, not 8"),
        (lambda: samples.render("anger", 0, 5000), "size must be"),
        (lambda: samples.action_units("joy", 0), "emotion must be"),
        (lambda: samples.faces(-1), "count must be"),
        (lambda: samples.faces(1, seed=-2), "seed must be"),
        (lambda: samples.encoded(-1), "count must be"),
        (lambda: samples.encoded(1, seed=-1), "seed must be"),
        (lambda: samples.contact_sheet([], 3), "at least one sample"),
        (lambda: samples.contact_sheet(samples.faces(1, size=48), 0), "columns must be"),
        (lambda: samples.contact_sheet(samples.faces(1, size=48), 1, tile=10), "tile must be"),
        (lambda: samples.contact_sheet(samples.faces(2, size=48), 1, ["one"]), "2 samples need as many labels, not 1"),
    ],
)
def test_wrong_arguments(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_module_needs_neither_torch_nor_pillow() -> None:
    code = "import sys, edgefer.samples as s; s.encoded(2); print({'torch', 'PIL', 'onnx'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
