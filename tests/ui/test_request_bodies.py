"""A body whose file goes to disk as it comes, in whatever bits, is what JSON says; and who has a place."""

from __future__ import annotations

import base64
import io
import json
import os
import time

import pytest
from faults import raises
from hypothesis import example, given
from hypothesis import strategies as st

from lib_lora.ui.http import request_bodies, responses
from lib_lora.ui.http.request_bodies import Full, StreamedBody, TooLarge, Uploads
from lib_lora.ui.http.request_context import MB
from lib_lora.ui.routes.route_table import all_routes


def parted(raw: bytes, size: int = 7, most: int = 1 << 20):
    file = io.BytesIO()
    one = StreamedBody("data", file, most)
    for at in range(0, len(raw), size):
        one.feed(raw[at : at + size])
    return json.loads(one.rest), file.getvalue()


PLAIN = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda one: st.lists(one, max_size=3))


@given(
    st.binary(max_size=200),
    st.dictionaries(st.text().filter(lambda key: key != "data"), PLAIN | st.just({"data": "QUJD"}), max_size=4),
    st.integers(1, 50),
    st.integers(0, 4),
    st.booleans(),
)
@example(b"x", {"a": ["data", ":"], "b": 'data":"'}, 1, 1, True)
@example(b"", {"data\\": "x", "c": "\\"}, 1, 2, False)
def test_it_is_what_json_says(data, others, size, place, indented):
    items = list(others.items())
    items.insert(place, ("data", base64.b64encode(data).decode()))
    text = json.dumps(dict(items), indent=2 if indented else None).replace("/", "\\/" if indented else "/")
    values, file = parted(text.encode(), size)
    assert values == {**others, "data": ""}
    assert file == data


@pytest.mark.parametrize(
    "text",
    ["QUJ", "QUJDR", "QU=D", "QQ==QUJD", "Q===", "QUJD\\n", "QU JD", "QUJD\\u0041", "ü", "QUJD-_"],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_what_is_no_base64_is_refused(text, size):
    with raises("base64-invalid", has="base64"):
        parted(f'{{"data": "{text}"}}'.encode(), size)


@pytest.mark.parametrize("text", ['{"data": null}', '{"data": ["QUJD"]}', "[]", '{"x": {"data": "QUJD"}}', "null"])
def test_where_no_file_comes_the_rest_is_as_it_was(text):
    assert parted(text.encode()) == (json.loads(text), b"")


def test_the_last_one_counts():
    assert parted(b'{"data": "QUJDREVG", "data": "WFla"}')[1] == b"XYZ"


def test_its_sizes_have_an_end(tmp_path):
    with raises("upload-too-large") as refused:
        parted(b'{"data": "' + b"QUJD" * 400_000, 1 << 16, most=1 << 20)
    assert isinstance(refused.value, TooLarge)  # which is a status of its own
    with raises("request-too-long"):
        parted(b'{"name": "' + b"x" * (1 << 17), 1 << 15)


def test_places_are_few_and_small_together(monkeypatch):
    uploads = Uploads()
    with pytest.raises(Full), uploads.place(1), uploads.place(1), uploads.place(1), uploads.place(1), uploads.place(1):
        raise AssertionError
    with uploads.place(request_bodies.SUM + 1), pytest.raises(Full), uploads.place(1):  # one alone is always taken
        raise AssertionError
    with (
        uploads.place(request_bodies.SUM // 2),
        uploads.place(request_bodies.SUM // 2),
        pytest.raises(Full),
        uploads.place(1),
    ):
        raise AssertionError


# ------------------------------------------------------------------------------------------------------ by the route

PHOTOS = "/characters/mara/photos"


def test_no_large_body_is_held_in_memory():
    large = [route for route in all_routes() if route.limit > 4 * MB]
    assert len(large) > 1
    assert [route.path for route in large if not (route.file and route.first)] == []


def test_a_route_says_that_there_is_no_place_and_leaves_nothing(page, monkeypatch):
    page.character()
    body = {"name": "a.jpg", "data": base64.b64encode(b"no picture").decode()}
    monkeypatch.setattr(request_bodies, "AT_ONCE", 0)
    assert page.code_of(PHOTOS, body, 429) == "busy"
    monkeypatch.undo()
    monkeypatch.setattr(responses, "_SPARE", 1 << 60)
    assert page.code_of(PHOTOS, body, 507) == "disk-full"
    monkeypatch.undo()
    page.done(PHOTOS, body)
    assert list((page.root / "uploads").iterdir()) == []


def test_nobody_is_looked_up_before_a_body_is_read(page):
    def body():
        raise AssertionError
        yield b""

    headers = {"Content-Type": "application/json"}
    answer = page.client.post(page.prefix + "/characters/nobody/photos", content=body(), headers=headers)
    assert answer.status_code == 404


def test_what_a_killed_process_has_left_goes_and_what_is_on_its_way_stays(tmp_path):
    for name in ("old", "new"):
        (tmp_path / "uploads" / name).mkdir(parents=True)
        (tmp_path / "uploads" / name / "file").write_bytes(b"x")
    os.utime(tmp_path / "uploads" / "old", (0, time.time() - 2 * 24 * 3600))
    responses.sweep(tmp_path)
    responses.sweep(tmp_path / "nowhere")
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == ["new"]
