"""Who comes in through the routes of a running webui, and what nobody gets through them."""

import base64
import re
import urllib.parse
from pathlib import Path

import pytest
from running import PREFIX, tracebacks

pytestmark = pytest.mark.webui(running=True)
USER, API = ("user", "pass word"), ("program", "s3cret")
STRANGE = (
    *("..", ".", "%2e%2e", "%2E.", "..%2f", "%2e%2e%2f%2e%2e%2f", "..%5c..%5c", "%252e%252e%252f", "....%2f%2f", "~"),
    *("%2fetc%2fpasswd", "/etc/passwd", "C:%5cWindows%5cwin.ini", "%00", "00%00.png", "00.png%00", "%0a", "%ff%fe"),
    *("character.yaml", "run.yaml", "..%2frun.yaml", "*", "CON", "001%20", "+1", "1e0", "-1", "%D9%A1"),
)


@pytest.fixture(scope="module")
def real(webui, character, trained, grid_job, base):
    """What there is to name in an address."""
    found = {"slug": character, "run": trained["run"], "number": str(trained["job"]["id"])}
    found["sha256"] = webui.api(f"/characters/{character}/photos")["photos"][0]["sha256"]
    found["grid"] = grid_job["job"]["result"]["grid"]
    rows = webui.api(f"/characters/{character}/runs/{found['run']}/grids/{found['grid']}")["rows"]
    found["name"] = next(row["url"] for row in rows if row["url"]).rpartition("/")[2].partition("?")[0]
    samples = webui.api(f"/characters/{character}/runs/{found['run']}")["samples"]
    found["sample"] = samples[0]["url"].rpartition("/")[2].partition("?")[0] if samples else ""
    found["base"], found["step"] = base, str(trained["steps"])
    found["combined"] = "001"  # of which there is none
    values = {"prompts": "smiling", "count": 1, "tries": 1, "run": trained["run"], "steps": 4, "painter": "webui"}
    made = webui.api(f"/characters/{character}/productions", values)
    webui.ended(made["job"]["id"], seconds=1800)
    found["production"] = made["production"]
    [picture] = webui.api(f"/characters/{character}/productions/{made['production']}")["pictures"][:1]
    found["produced"] = picture["url"].rpartition("/")[2].partition("?")[0]
    return found


def _address(route, real, **other):
    """The address of a route, with real names but for `other`."""
    kinds = {"/samples/": "sample", "/productions/": "produced"}  # of which {name} is another file than a grid's
    name = next((real[key] for part, key in kinds.items() if part in route["path"]), real["name"])
    names = {**real, "name": name, **other}
    return re.sub(r"\{([^}]+)\}", lambda part: names[part[1]], route["path"])


def _query(route, real):
    asked = {"name": "Mara", "word": "mrxa", "base": real["base"], "character": real["slug"], "after": "0"}
    words = {key: asked[key] for key in route["query"] if key in asked}
    return f"?{urllib.parse.urlencode(words)}" if words else ""


def _routes(webui, method):
    return [route for route in webui.api("/schema") if route["method"] == method]


def _there(route, real):
    """Whether the character has what a route gives: it was not invented, nothing was combined with it, and it may have
    no samples; and no picture of the library is named."""
    if route["path"].endswith("/{name}") and "/invented/" in route["path"]:
        return False
    if "{combined}" in route["path"] or route["path"].endswith("/library/preview"):
        return False
    return "/samples/" not in route["path"] or bool(real["sample"])


def _of_nobody(route):
    return re.sub(r"\{([^}]+)\}", lambda part: "999999" if part[1] == "number" else "nobody", route["path"])


def test_every_address_that_is_real_answers(webui, real):
    for route in _routes(webui, "GET"):
        if not _there(route, real):
            continue
        answer = webui.ask(_address(route, real) + _query(route, real))
        assert answer.status == 200, (route["path"], answer.content[:300])


def test_no_name_leads_outside(webui, real, folders):
    secret = b"this is not for you"
    files = [Path(folder) / "sameface-secret.png" for folder in (folders["data"], folders["loras"], webui.root)]
    ups = [f"{'..%2f' * count}sameface-secret.png" for count in range(1, 9)]
    whole = [urllib.parse.quote(str(path), safe="") for path in files]
    asked = 0
    try:
        for path in files:
            path.write_bytes(secret)
        for route in _routes(webui, "GET"):
            for part in re.findall(r"\{([^}]+)\}", route["path"]):
                for strange in (*STRANGE, *ups, *whole):
                    answer = webui.ask(_address(route, real, **{part: strange}) + _query(route, real))
                    asked += 1
                    assert answer.status in (400, 404, 405, 307), (route["path"], part, strange, answer.status)
                    assert secret not in answer.content
        for query in (
            "/plan?base=",
            "/triggers?name=",
            "/triggers/check?word=",
            f"/jobs/{real['number']}/events?after=",
        ):
            for strange in (*STRANGE, *ups, *whole):
                answer = webui.ask(f"{PREFIX}{query}{strange}")
                asked += 1
                assert answer.status in (200, 400, 403, 404), (query, strange, answer.status)
                assert secret not in answer.content
                assert b"root:" not in answer.content
    finally:
        for path in files:
            path.unlink(missing_ok=True)
    assert asked > 500


def test_what_is_no_json_is_refused(webui):
    for route in _routes(webui, "POST"):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = webui.ask(_of_nobody(route), b"{}", {"Content-Type": kind})
            assert answer.status == 415, (route["path"], kind, answer.status)
            assert answer.json()["error"]


@pytest.mark.usefixtures("restartable")
def test_with_logins_nobody_else_comes_in(webui, real, seen):
    if "{flags}" not in webui.command:
        pytest.skip("WEBUI_START has no {flags}, so it cannot be started with logins")
    every, posts = _routes(webui, "GET"), _routes(webui, "POST")
    gets = [route for route in every if _there(route, real)]
    webui.kill()
    try:
        flags = f"--gradio-auth '{':'.join(USER)}' --api-auth '{':'.join(API)}'"
        seen["start with logins seconds"] = round(webui.start(flags), 1)
        _nobody(webui, every, posts, real)
        known = _credentials(webui)
        for name, headers in known.items():
            for route in gets:
                answer = webui.ask(_address(route, real) + _query(route, real), headers=headers)
                assert answer.status == 200, (name, route["path"], answer.status)
            for route in posts:
                answer = webui.ask(_of_nobody(route), {}, headers)
                assert answer.status in (200, 400, 404), (name, route["path"], answer.status)
        token = known["token"]["X-SameFace"]
        assert webui.ask(f"{PREFIX}/state?token={token}").status == 200
        seen["routes behind logins"] = len(gets) + len(posts)
    finally:
        webui.kill()
        webui.start()
    assert webui.ask(f"{PREFIX}/state").status == 200


def _basic(user, word):
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{word}'.encode()).decode()}"}


def _nobody(webui, gets, posts, real):
    wrong = [
        {},
        _basic(API[0], "wrong"),
        _basic(*USER),  # the page's login is not the programs'
        {"Authorization": "Basic ?"},
        {"X-SameFace": "wrong"},
        {"Cookie": "access-token=wrong; access-token-unsecure=wrong"},
    ]
    for headers in wrong:
        for route in gets:
            answer = webui.ask(_address(route, real) + _query(route, real), headers=headers)
            assert answer.status == 401, (headers, route["path"], answer.status)
        for route in posts:
            answer = webui.ask(_of_nobody(route), {}, headers)
            assert answer.status == 401, (headers, route["path"], answer.status)
        assert webui.ask(f"{PREFIX}/nothing", headers=headers).status in (401, 404)


def _credentials(webui):
    """Headers of the three ways in: as a program, as a browser that is logged in, and as the page's script."""
    form = urllib.parse.urlencode({"username": USER[0], "password": USER[1]}).encode()
    login = webui.ask("/login", form, {"Content-Type": "application/x-www-form-urlencoded"})
    assert login.status == 200, login.content[:300]
    # http.client folds equal headers; the names and values of gradio's cookies have no comma
    cookies = "; ".join(re.findall(r"(access-token[^=;,]*=[^;]+)", login.headers["set-cookie"]))
    page = webui.ask("/", headers={"Cookie": cookies})
    found = re.search(r'data-token=\\?["\x27]?(?:\\u0022|&quot;)?([A-Za-z0-9_-]{30,})', page.content.decode("utf-8"))
    assert found, "the page has no token"
    return {"basic": _basic(*API), "cookie": {"Cookie": cookies}, "token": {"X-SameFace": found[1]}}


def test_the_console_has_no_trace_of_ours(webui):
    if not webui.log.is_file():
        pytest.skip("the webui was not started from here, so what it printed is not known")
    text = webui.log.read_text(encoding="utf-8", errors="replace")
    assert [one for one in tracebacks(text) if "lib_lora" in one or "sameface" in one] == []
