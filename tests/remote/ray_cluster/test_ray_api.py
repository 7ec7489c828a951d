"""Ray's Jobs API for a client that trusts no answer. The fake answers as Ray 2.60 does, unless told otherwise."""

import json

import pytest
from fake_ray import FakeRay
from faults import misfit, raises

from lib_lora.remote.connection import Unreachable
from lib_lora.remote.http_exchange import Reply
from lib_lora.remote.ray_cluster import ray_api
from lib_lora.remote.ray_cluster.ray_api import RayApi, Resources

PACKAGE = "_ray_pkg_0123456789abcdef.zip"


@pytest.fixture
def ray(tmp_path):
    fake = FakeRay(tmp_path)
    fake.room = False
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def api(ray):
    return RayApi(ray.place().address(), "studio", pause=lambda seconds: None)


def submit(api, job="sameface-a-1-1"):
    api.submit(job, "python3 -m program", {"X": "1"}, PACKAGE, Resources(2, 4, 8 << 30))


def test_what_is_asked_for(ray, api):
    assert api.version() == "2.60.0"
    api.see_package(PACKAGE, lambda: b"PK")
    api.see_package(PACKAGE, lambda: 1 / 0)  # it is there
    assert ray.packages == {PACKAGE: b"PK"}
    submit(api)
    asked = ray.jobs["sameface-a-1-1"]["asked"]
    assert asked["runtime_env"] == {"working_dir": f"gcs://{PACKAGE}", "env_vars": {"X": "1"}}
    assert [asked[f"entrypoint_{name}"] for name in ("num_gpus", "num_cpus", "memory")] == [2, 4, 8 << 30]
    assert api.job("sameface-a-1-1").state == api.job_listed("sameface-a-1-1").state == "PENDING"
    assert api.job("sameface-b") is None
    api.stop("sameface-a-1-1")
    api.stop("sameface-b")
    assert api.job("sameface-a-1-1").state == "STOPPED"
    api.forget("sameface-a-1-1")
    assert api.job("sameface-a-1-1") is None


def test_a_job_is_submitted_once_though_its_answer_is_lost(ray, api):
    submit(api)
    submit(api)
    assert ray.asked.count("POST /api/jobs/") == 1
    answer, lost = ray.answer, []

    def once(method, path, body, token):
        found = answer(method, path, body, token)
        if method == "POST" and not lost:
            lost.append(path)
            return 502, b"bad gateway"
        return found

    ray.answer = once
    submit(api, "sameface-a-2-1")
    assert lost
    assert ray.asked.count("POST /api/jobs/") == 2
    assert list(ray.jobs) == ["sameface-a-1-1", "sameface-a-2-1"]


def test_whether_there_are_gpus(ray, api):
    assert not api.has_gpus()
    ray.gpus = 2
    assert api.has_gpus()
    for content in (b"[]", b'{"data": {"clusterStatus": {"loadMetricsReport": {"usage": {"GPU": 1}}}}}'):
        ray.answers["GET /api/cluster_status"] = (200, content)
        assert not api.has_gpus()
    for answer, code in (((503, b""), "ray-unreachable"), ((200, b""), "ray-answer-unreadable")):
        ray.answers["GET /api/cluster_status"] = answer
        with raises(code):  # nothing is known of GPUs
            api.has_gpus()
    assert ray.asked.count("GET /api/cluster_status") == 2 + 2 + 4 + 1


def test_many_who_ask_ask_once(ray, api):
    submit(api)
    ray.asked.clear()
    for _ in range(100):
        api.job_listed("sameface-a-1-1")
    assert ray.asked == ["GET /api/jobs/"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"status": "RUNNING"}',
        b'{"submission_id": "sameface-a-2-1", "status": "RUNNING"}',
        b'{"submission_id": "sameface-a-1-1", "status": "DANCING"}',
        b'{"submission_id": ["sameface-a-1-1"], "status": "RUNNING"}',
        b'{"submission_id": "../../x", "status": "RUNNING"}',
        "\ud800".encode("utf-8", "surrogatepass"),
    ],
)
def test_an_answer_about_a_job_that_is_none(ray, api, content):
    ray.answers["GET /api/jobs/sameface-a-1-1"] = (200, content)
    with raises("ray-answer-unreadable"):
        api.job("sameface-a-1-1")


def test_rows_that_make_no_sense_are_left_out(ray, api):
    rows = [None, 7, [], {}, {"submission_id": "../x", "status": "RUNNING"}, {"submission_id": "a", "status": {}}]
    good = {"submission_id": "a-1", "status": "FAILED", "message": "x\n\n \x1b[31mlast\x00 line\n", "error_type": 7}
    ray.answers["GET /api/jobs/"] = (200, json.dumps([*rows, good]).encode())
    assert api.job_listed("a") is None
    found = api.job_listed("a-1")
    assert (found.state, found.error, found.said) == ("FAILED", "", "[31mlast line")
    ray.answers["GET /api/jobs/"] = (200, b"{}")
    ray_api_fresh(api)
    with raises("ray-answer-unreadable"):
        api.job_listed("a-1")


def ray_api_fresh(api):
    """Have the list asked for again."""
    api._forget_list()


def test_an_answer_without_end(ray, api, monkeypatch):
    monkeypatch.setattr(ray_api, "_LONGEST", 1000)
    ray.answers["GET /api/jobs/a"] = (200, b'"' + b"x" * 100_000 + b'"')
    with raises("ray-unreachable", has="too long") as caught:
        api.job("a")
    assert isinstance(caught.value, Unreachable)


@pytest.mark.parametrize("version", [None, 7, "", "2.60\n", "x" * 50, "<b>"])
def test_a_version_that_is_none(ray, api, version):
    ray.answers["GET /api/version"] = (200, json.dumps({"ray_version": version}).encode())
    with raises("ray-answer-unreadable"):
        api.version()


def test_what_passes_is_tried_again_and_what_does_not_is_said(ray, api):
    ray.answers["GET /api/version"] = (503, b"<html>\nsoon\n")
    with raises("ray-unreachable", has=("503", "soon")):
        api.version()
    assert ray.asked.count("GET /api/version") == 4
    ray.answers["GET /api/version"] = (400, b"Traceback:\nValueError: no\n")
    with raises("ray-refused", has=("400", "ValueError: no")):
        api.version()
    ray.close()
    with raises("ray-unreachable", has=api.address):
        api.version()


def test_a_redirect_is_not_followed(ray, api):
    ray.answers["GET /api/version"] = (302, b"")
    with raises("ray-refused", has="302"):
        api.version()


def test_a_token_is_the_one_of_rays_own_programs(ray, api, monkeypatch, tmp_path):
    ray.token = "s3cret"
    with raises("ray-token-refused") as caught:
        api.version()
    monkeypatch.setenv("RAY_AUTH_TOKEN", " s3cret\n")
    assert api.version() == "2.60.0"
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (tmp_path / "token").write_text("s3cret\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert api.version() == "2.60.0"
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("https://head.example.org:443", True),
        ("http://127.0.0.1:8265", True),
        ("http://[::1]:8265", True),
        ("http://localhost:8265", True),
        ("http://head.example.org:8265", False),
        ("http://10.0.0.7:8265", False),
        ("http://localhost.example.org:8265", False),
    ],
)
def test_a_token_goes_where_nobody_else_can_read_it(monkeypatch, address, sent):
    headers = []

    def exchanged(_opener, request, *_):
        headers.append(request.get_header("Authorization"))
        return Reply(401, b"")

    monkeypatch.setattr(ray_api, "exchange", exchanged)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "s3cret")
    with raises("ray-token-refused" if sent else "ray-token-not-sent"):
        RayApi(address, "studio").version()
    assert headers == ["Bearer s3cret" if sent else None]


@pytest.mark.parametrize("job", ["", "../x", "a/b", "a?b", "A", "a b", "a\n", "ü", "a" * 200])
def test_nothing_hostile_gets_into_a_path(api, job):
    for ask in (api.job, api.stop, api.forget, api.log):
        with misfit("text"):
            ask(job)


def test_a_404_of_somebody_else_says_nothing_of_a_job(ray, api):
    api.see_package(PACKAGE, lambda: b"zip")
    api.submit("sameface-x-1", "true", {}, PACKAGE, Resources())
    for ask in (api.job, api.stop, api.forget):
        ray.plan(404, body=b"<html>nothing here</html>")
        with raises("ray-refused", has="404"):
            ask("sameface-x-1")
    ray.plan(404, body=b"<html>nothing here</html>")
    with raises("ray-refused", has="404"):
        api.see_package(PACKAGE, lambda: b"zip")
    assert api.job("sameface-x-1") is not None
    assert api.job("sameface-x-2") is None
