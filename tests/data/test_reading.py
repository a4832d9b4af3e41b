import pytest

from edgefer.data.reading import Problems, csv_rows, find, folder_images, integer, raw_rows, require, text_lines
from edgefer.errors import DataError


def rows(path, skip_bad=False):
    problems = Problems(skip_bad)
    return list(csv_rows(path, ("name", "label"), problems)), problems.skipped


def test_rows_come_with_their_line_and_stripped(tmp_path):
    (tmp_path / "a.csv").write_text("\ufeffname, label ,more\n\na.jpg, 3,x\n", encoding="utf-8")
    assert rows(tmp_path / "a.csv")[0] == [(3, {"name": "a.jpg", "label": "3", "more": "x"})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg,3\n", r"a\.csv:1: no header"),
        ("name,class\n", r"a\.csv:1: no column label"),
        ("", r"a\.csv is empty"),
        ("\nname,label\n", r"a\.csv:1: the first line is empty"),
        ("name,label\na.jpg,3\nb.jpg\n", r"a\.csv:3: 1 values for 2 columns"),
        ("name,label\na.jpg,3,4\n", r"a\.csv:2: 3 values for 2 columns"),
    ],
)
def test_a_broken_csv_is_an_error_with_its_line(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        rows(tmp_path / "a.csv")


def test_the_hint_for_a_missing_header_is_the_line_to_add(tmp_path):
    (tmp_path / "a.csv").write_text("a.jpg,3\n")
    with pytest.raises(DataError) as caught:
        rows(tmp_path / "a.csv")
    assert caught.value.hint == "add the line name,label at the top."


def test_skip_bad_lists_where_and_why(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("name,label\na.jpg\nb.jpg,1\n")
    assert rows(path, skip_bad=True) == (
        [(3, {"name": "b.jpg", "label": "1"})],
        [(f"{path}:2", "1 values for 2 columns.")],
    )


def test_what_is_not_text_is_an_error(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"name,label\n\xff\xfe\x00\x01,2\n")
    with pytest.raises(DataError, match=r"a\.csv:\d: not a csv file in UTF-8"):
        rows(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"a\.csv:\d: not UTF-8 text"):
        list(text_lines(tmp_path / "a.csv"))
    (tmp_path / "b.txt").write_text("")
    with pytest.raises(DataError, match="is empty"):
        list(text_lines(tmp_path / "b.txt"))


def test_missing_files_say_what_was_expected(tmp_path):
    with pytest.raises(DataError, match="does not exist") as caught:
        require(tmp_path / "x", "a thing")
    assert "a thing" in caught.value.hint
    with pytest.raises(DataError, match="has no thing") as caught:
        find(tmp_path, ("a", "b"), "thing")
    assert "a, b" in caught.value.hint
    with pytest.raises(DataError, match=r"none\.csv does not exist"):
        list(raw_rows(tmp_path / "none.csv"))


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), (" 3 ", 3), ("3.0", 3), ("-2", -2), ("", None), ("x", None), ("3.5", None), ("²", None), ("--1", None)],
)
def test_integer(text, value):
    assert integer(text) == value


def test_folder_images_ignores_clutter_only(tmp_path, write_image):
    for name in ("b.PNG", "a.jpg"):
        write_image(tmp_path / name)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in folder_images(tmp_path, Problems())] == ["a.jpg", "b.PNG"]
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"notes\.txt: not an image file"):
        folder_images(tmp_path, Problems())
    problems = Problems(skip_bad=True)
    assert len(folder_images(tmp_path, problems)) == 2
    assert problems.skipped[0][0].endswith("notes.txt")
