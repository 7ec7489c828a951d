"""A damaged jobs.sqlite: whatever is wrong with it, all jobs are as they were, or it is said; never a traceback."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from faults import raises

from lib_lora.errors import UserError
from lib_lora.queue import queue_file, queue_mending, queue_rows
from lib_lora.queue.job_types import AuditArguments, TrainArguments
from lib_lora.queue.queue import Queue

WRITABLE = "PRAGMA writable_schema = ON"


@pytest.fixture(autouse=True)
def _nobody_else_writes(monkeypatch):
    monkeypatch.setattr(queue_mending, "WRITING", 0.0)


def filled(root, size):
    """A queue's folder with jobs of all kinds, in a file of several pages."""
    queue = Queue(root)
    for number in range(40):
        queue.add(f"Mara {number}", TrainArguments(base="b" * size, settings={"seed": number}))
    for number in range(5):
        queue.add(f"Mara {number}", AuditArguments())
    queue.take("heavy", "me")
    queue.note_run(1, "001")
    queue.end(1, "finished", result={"steps": 3})
    queue.take("heavy", "me")
    queue.pause_all(True)
    return root


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("sound") / "Daten ü", 300)


@pytest.fixture
def copy(sound, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(sound, root)
    return root


def all_of(queue):
    return queue.jobs(1000), queue.paused()


def change(root, *statements):
    db = sqlite3.connect(root / "jobs.sqlite", isolation_level=None)
    for statement in statements:
        db.execute(statement)
    db.close()


def same_or_said(root, expected):
    """Open it as a new process does; returns what is said."""
    try:
        queue = Queue(root)
        there, paused = all_of(queue)
        said = queue.notice()
    except UserError as error:  # the next call works
        queue = Queue(root)
        there, paused, said = *all_of(queue), str(error)
    if not said:
        assert (there, paused) == expected
    sound = {job.id: job for job in expected[0]}
    assert all(sound[job.id] == job for job in there)  # nothing false is taken over
    left = 45 - len(there)
    if said and left and "taken over" in said:
        assert "damaged and left out" in said or "may be missing" in said or "0 jobs were taken over" in said, said
    return said, len(there)


@pytest.mark.parametrize(
    ("statements", "left"),
    [
        (["UPDATE jobs SET character = 'Mars 7' WHERE id = 8"], 44),
        (["UPDATE jobs SET state = 'waitinf' WHERE id = 8"], 44),
        (["UPDATE jobs SET lane = 'heavx' WHERE id = 8"], 44),
        (["UPDATE jobs SET arguments = '{' WHERE id = 8"], 44),
        (["UPDATE jobs SET arguments = replace(arguments, '7', '8') WHERE id = 8"], 44),
        (["UPDATE jobs SET character = CAST(X'4DFF' AS TEXT) WHERE id = 8"], 44),
        (["UPDATE jobs SET character = X'4D61' WHERE id = 8"], 44),
        (["UPDATE jobs SET place = 'first' WHERE id = 8"], 44),
        (["UPDATE jobs SET pid = 1e300 WHERE id = 8"], 44),
        (["UPDATE facts SET value = '3' WHERE name = 'paused'"], 45),
        (["ALTER TABLE jobs RENAME COLUMN character TO charactes"], 45),
        (["ALTER TABLE jobs RENAME TO jobt"], 45),
        (["ALTER TABLE facts RENAME COLUMN value TO vblue"], 45),
        (["DROP TABLE facts"], 45),
        (["DROP TABLE jobs"], 0),
        (["PRAGMA user_version = 0"], 45),
        (["PRAGMA user_version = 1"], 45),
        ([WRITABLE, "UPDATE sqlite_master SET sql = replace(sql, 'TABLE jobs', 'TABLF jobs')"], 45),
        ([WRITABLE, "UPDATE sqlite_master SET sql = replace(sql, 'error TEXT', 'error TEXU')"], 45),
        ([WRITABLE, "UPDATE sqlite_master SET name = 'jobb' WHERE name = 'jobs'"], 45),
        ([WRITABLE, "UPDATE sqlite_master SET type = 'tablf' WHERE name = 'jobs'"], 45),
    ],
    ids=lambda value: value[-1][:60] if isinstance(value, list) else str(value),
)
def test_what_was_written_wrong_is_said_and_the_rest_is_taken_over(copy, sound, statements, left):
    expected = all_of(Queue(sound))
    change(copy, *statements)
    said, there = same_or_said(copy, expected)
    assert "was damaged and is now" in said
    assert there == left
    if left == 44:
        assert "1 job was damaged and left out (number 8)" in said
    assert Queue(copy).add("new", TrainArguments(base="x")).id > there


def test_an_old_file_is_sealed_and_nothing_is_said(copy, sound):
    change(copy, "ALTER TABLE jobs DROP COLUMN seal", "PRAGMA user_version = 1")
    queue = Queue(copy)
    assert all_of(queue) == all_of(Queue(sound))
    assert queue.notice() == ""
    change(copy, "UPDATE jobs SET kind = 'trbin' WHERE id = 9")
    assert "(number 9)" in Queue(copy).notice()


@pytest.mark.parametrize("call", ["get", "resume", "forget", "wish", "end", "jobs", "open", "take"])
def test_damage_that_comes_while_it_is_used_is_one_sentence(copy, call):
    queue = Queue(copy)
    change(copy, "UPDATE jobs SET owner = 'nobody', character = 'x' WHERE id = 3")
    if call == "take":
        change(copy, "UPDATE jobs SET place = -99 WHERE id = 3")
        queue.end(2, "finished")
        queue.pause_all(False)
    if call == "end":
        change(copy, "UPDATE jobs SET state = 'running' WHERE id = 3")
    arguments = {"jobs": (), "open": (), "take": ("heavy", "me"), "wish": (3, "stop"), "end": (3, "failed")}
    with raises("queue-begun-anew", has="3"):
        getattr(queue, call)(*arguments.get(call, (3,)))
    assert 3 not in [job.id for job in queue.jobs(1000)]


def test_a_renamed_column_while_it_is_used_is_one_sentence(copy, sound):
    queue = Queue(copy)
    change(copy, "ALTER TABLE jobs RENAME COLUMN place TO plbce")
    with raises("queue-begun-anew", has="45"):
        queue.open()
    assert queue.jobs(1000) == Queue(sound).jobs(1000)


def test_a_file_that_was_emptied_is_said(copy):
    (copy / "jobs.sqlite").write_bytes(b"")
    queue = Queue(copy)
    assert "was damaged" in queue.notice()
    assert queue.jobs() == []


@pytest.mark.parametrize(("size", "same", "taken_over"), [(20, 33, 1), (300, 29, 0), (900, 27, 3)])
def test_bits_flipped_anywhere(tmp_path, size, same, taken_over):
    """Also zeros, and a file that is cut off. The draws are fixed: `same` and `taken_over` are what was counted, which
    another version of SQLite, that fills its pages otherwise, may change a little."""
    sound, copy = filled(tmp_path / "sound", size), tmp_path / "copy"
    expected, data = all_of(Queue(sound)), (sound / "jobs.sqlite").read_bytes()
    shutil.copytree(sound, copy)
    draw, counts = random.Random(size), {"same": 0, "said": 0, "all taken over": 0}
    for number in range(50):
        changed = bytearray(data)
        at = draw.randrange(len(data)) if number % 3 else draw.randrange(600)  # the header and the schema more often
        if number % 10 == 8:
            changed[at : at + 512] = bytes(len(changed[at : at + 512]))
        elif number % 10 == 9:
            del changed[at:]
        else:
            changed[at] ^= 1 << draw.randrange(8)
        for path in copy.glob("jobs.sqlite*"):
            path.unlink()
        (copy / "jobs.sqlite").write_bytes(changed)
        said, there = same_or_said(copy, expected)
        counts["said" if said else "same"] += 1
        counts["all taken over"] += bool(said) and there == 45
    assert abs(counts["same"] - same) <= 2, counts
    assert abs(counts["said"] - (50 - same)) <= 2, counts
    assert abs(counts["all taken over"] - taken_over) <= 1, counts


def test_a_row_that_its_page_no_longer_names_is_said(copy, sound):
    """SQLite reads on without an error; only the index still knows the number."""
    path, data = copy / "jobs.sqlite", bytearray((sound / "jobs.sqlite").read_bytes())
    page = next(
        at
        for at in range(0, len(data), 4096)
        if data[at] == 0x0D and b"Mara 7" in data[at : at + 4096]  # a leaf of the table
    )
    count = int.from_bytes(data[page + 3 : page + 5], "big")
    data[page + 3 : page + 5] = (count - 1).to_bytes(2, "big")
    path.write_bytes(data)
    said, there = same_or_said(copy, all_of(Queue(sound)))
    assert there == 44
    assert "1 job was damaged and left out (number " in said


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"tablefactsfacts", b"tablefact\xf3facts"),  # SQLite quotes the name in what it says
        (b"CREATE TABLE facts", b"\xc3REATE TABLE facts"),
    ],
)
def test_damaged_text_that_sqlite_quotes_is_said(copy, sound, before, after):
    data = (sound / "jobs.sqlite").read_bytes()
    assert data.count(before) == 1
    (copy / "jobs.sqlite").write_bytes(data.replace(before, after))
    said, there = same_or_said(copy, all_of(Queue(sound)))
    assert "45 jobs were taken over" in said
    assert there == 45


def test_another_schema_format_is_said(copy, sound):
    data = bytearray((sound / "jobs.sqlite").read_bytes())
    data[44:48] = (9).to_bytes(4, "big")  # sqlite.org/fileformat2.html#the_database_header
    (copy / "jobs.sqlite").write_bytes(data)
    said, _ = same_or_said(copy, all_of(Queue(sound)))
    assert "was damaged" in said


def test_a_page_that_is_just_being_written_is_no_damage(killed, monkeypatch):
    """SQLite writes the head of a page, then the page; a busy machine may stop the writer in between."""
    monkeypatch.setattr(queue_mending, "WRITING", 10.0)
    log = killed / "jobs.sqlite-wal"
    whole = log.read_bytes()
    log.write_bytes(whole[:-4096] + bytes(4096))
    writer = threading.Timer(0.5, log.write_bytes, [whole])
    writer.start()
    assert not queue_mending.log_is_damaged(killed / "jobs.sqlite")
    writer.join()


@pytest.fixture
def looked_at(monkeypatch):
    """How the log looks at a time is told by `looked_at.content`; nobody really waits. Times of each look."""

    class FaceSample(list):
        now = 0.0

        def sleep(self, seconds):
            self.now += seconds

        def look(self, _path):
            self.append(self.now)
            return self.content(self.now)

    looks = FaceSample()
    monkeypatch.setattr(queue_mending, "WRITING", 2.0)
    monkeypatch.setattr(queue_mending, "time", SimpleNamespace(monotonic=lambda: looks.now, sleep=looks.sleep))
    monkeypatch.setattr(queue_mending, "_content", looks.look)
    return looks


def test_a_log_that_is_still_being_written_is_waited_for(killed, looked_at):
    """However slowly: what counts is the time since somebody wrote to it."""
    whole = (killed / "jobs.sqlite-wal").read_bytes()

    def content(now):
        left = max(4000 - 1000 * int(now / 1.5), 0)  # a part each 1.5 seconds
        return whole[: len(whole) - left] + b"x" * left

    looked_at.content = content
    assert not queue_mending.log_is_damaged(killed / "jobs.sqlite")
    assert 6.0 <= looked_at.now < 6.5


def test_a_damaged_log_is_looked_at_seldom_and_not_for_ever(killed, looked_at):
    broken = (killed / "jobs.sqlite-wal").read_bytes()[:-4096] + bytes(4096)
    looked_at.content = lambda now: broken
    assert queue_mending.log_is_damaged(killed / "jobs.sqlite")
    assert 2.0 <= looked_at.now < 2.5
    assert len(looked_at) < 10


def test_a_damaged_log_that_grows_is_not_waited_for_without_end(killed, looked_at):
    broken = (killed / "jobs.sqlite-wal").read_bytes()[:-4096] + bytes(4096)
    looked_at.content = lambda now: broken + b"x" * int(now * 100)
    assert queue_mending.log_is_damaged(killed / "jobs.sqlite")
    assert 10.0 <= looked_at.now < 10.5
    assert len(looked_at) < 35


def test_a_log_that_is_deleted_meanwhile_is_no_damage(killed, monkeypatch):
    """Whoever closes the file last writes all of it into the file."""
    monkeypatch.setattr(queue_mending, "WRITING", 5.0)
    log = killed / "jobs.sqlite-wal"
    log.write_bytes(log.read_bytes()[:-4096] + bytes(4096))
    writer = threading.Timer(0.3, log.unlink)
    writer.start()
    assert not queue_mending.log_is_damaged(killed / "jobs.sqlite")
    writer.join()
    found = queue_mending.saved(killed / "jobs.sqlite", killed)
    assert not found.cut
    assert len(found.rows) == 45


def test_a_log_that_is_deleted_as_it_is_copied_is_no_damage(killed, monkeypatch):
    real, copied = shutil.copyfile, []

    def copyfile(source, target):
        copied.append(source)
        if str(source).endswith("-wal"):
            source.unlink()
        return real(source, target)

    monkeypatch.setattr(queue_mending.shutil, "copyfile", copyfile)
    assert len(queue_mending.saved(killed / "jobs.sqlite", killed).rows) == 45
    assert len(copied) == 2


def test_an_error_of_the_block_itself_is_not_the_file_s(copy):
    queue = Queue(copy)
    for write in (False, True):
        with pytest.raises(UnicodeDecodeError, match="invalid start byte"), queue._file.open(write=write):
            b"\xff".decode()
    assert len(queue.jobs(1000)) == 45


@pytest.fixture
def killed(copy):
    """A queue whose last changes are in the log alone, as after kill -9."""
    db = sqlite3.connect(copy / "jobs.sqlite")  # keeps the log
    db.execute("SELECT COUNT(*) FROM jobs").fetchone()
    queue = Queue(copy)
    for number in range(3):
        queue.add(f"late {number}", TrainArguments(base="x"))
    for part in queue_mending.PARTS:
        path = copy / f"jobs.sqlite{part}"
        if path.exists():
            shutil.copy(path, path.with_name(f"kept{part}"))
    db.close()
    for path in copy.glob("jobs.sqlite*"):
        path.unlink()
    for part in queue_mending.PARTS[:2]:
        (copy / f"kept{part}").rename(copy / f"jobs.sqlite{part}")
    return copy


def test_a_damaged_log_of_changes_is_said(killed):
    log = killed / "jobs.sqlite-wal"
    whole, main = log.read_bytes(), (killed / "jobs.sqlite").read_bytes()
    assert not queue_mending.log_is_damaged(killed / "jobs.sqlite")
    draw, expected = random.Random(2), None
    for flip in range(12):
        for path in killed.glob("jobs.sqlite*"):
            path.unlink()
        (killed / "jobs.sqlite").write_bytes(main)
        changed = bytearray(whole)
        if flip:
            changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        log.write_bytes(changed)
        queue = Queue(killed)
        there, said = queue.jobs(1000), queue.notice()
        expected = expected or there
        assert there == expected or "What was changed last may be missing" in said
        assert (said == "") == (flip == 0) or there == expected
    assert len(expected) == 48


def test_a_log_that_ends_in_the_middle_of_a_change_is_no_damage(killed):
    log = killed / "jobs.sqlite-wal"
    log.write_bytes(log.read_bytes()[:-1000])
    queue = Queue(killed)
    assert queue.notice() == ""
    assert len(queue.jobs(1000)) == 47


def test_killed_while_it_is_mended_nothing_is_lost(copy, monkeypatch):
    change(copy, "UPDATE jobs SET character = 'x' WHERE id = 3")
    real = type(copy).replace

    def killed(self, target):
        if self.parent.name == "mending":
            raise SystemExit
        return real(self, target)

    monkeypatch.setattr(type(copy), "replace", killed)
    with pytest.raises(SystemExit):
        Queue(copy)
    monkeypatch.undo()
    assert not (copy / "jobs.sqlite").exists()
    queue = Queue(copy)
    assert len(queue.jobs(1000)) == 44
    assert "(number 3)" in queue.notice()


def test_a_locked_or_full_file_is_not_called_damaged(copy, monkeypatch):
    monkeypatch.setattr(queue_file, "_PATIENCE", 0.1)
    other = sqlite3.connect(copy / "jobs.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with raises("queue-unusable"):
        Queue(copy).add("x", TrainArguments(base="x"))
    other.close()
    assert not list(copy.glob("*damaged*"))


OPENED = """
import sys
from pathlib import Path
from lib_lora.queue.queue import Queue
assert Queue(Path(sys.argv[1])).paused()
"""


def test_a_file_that_is_there_is_not_opened_to_be_made(copy):
    """Closing it would give up this process's locks, and the next process would delete the log that it writes to."""
    kept = queue_file.QueueFile(copy)
    with kept.kept_open():
        kept._make_file()  # two threads that both saw no file
        subprocess.run([sys.executable, "-c", OPENED, str(copy)], check=True, cwd=Path(__file__).parents[2])
        assert (copy / "jobs.sqlite-wal").exists()


def test_a_thread_that_makes_the_file_takes_no_lock_from_another(tmp_path, monkeypatch):
    opened, connected = threading.Event(), threading.Event()

    class ClosedLate:
        def __init__(self, stream):
            self.stream = stream

        def close(self):
            connected.wait(2)  # the other thread may not connect before this ends
            self.stream.close()

    def slow(file, mode="r", **how):
        stream = open(file, mode, **how)  # noqa: SIM115
        if Path(file).name == "jobs.sqlite":
            opened.set()
            return ClosedLate(stream)
        return stream

    monkeypatch.setattr(queue_file, "open", slow, raising=False)
    queue = Queue(tmp_path)
    makes = threading.Thread(target=queue.jobs, daemon=True)
    makes.start()
    assert opened.wait(30)
    with queue.kept_open():
        connected.set()
        makes.join(30)
        added = queue.add("Mara", AuditArguments())
        queue.pause_all(True)
        subprocess.run([sys.executable, "-c", OPENED, str(tmp_path)], check=True, cwd=Path(__file__).parents[2])
        assert (tmp_path / "jobs.sqlite-wal").stat().st_size  # for that process it is not the last connection
        assert queue.get(added.id) == added


@pytest.mark.skipif(os.name == "nt", reason="no file that is open can be deleted there")
def test_a_log_that_was_deleted_while_it_was_used_is_said(copy):
    kept = queue_file.QueueFile(copy)
    with kept.kept_open():
        Queue(copy).pause_all(False)  # is in the log
        (copy / "jobs.sqlite-wal").unlink()
        queue = Queue(copy)
        assert queue.notice().startswith("The list of jobs was damaged")
        assert len(queue.jobs(1000)) == 45


@pytest.mark.parametrize(
    ("code", "damaged"), [(11, True), (267, True), (522, True), (10, False), (266, False), (7, False), (3082, False)]
)
def test_what_the_disk_does_not_give_is_no_damage(code, damaged, copy, monkeypatch):
    said = f"*** in database main ***\nTree 5 page 5: unable to get the page. error code={code}"

    class Answers:
        def __init__(self, *_, **__):
            pass

        def execute(self, text):
            return SimpleNamespace(fetchone=lambda: (said if "integrity" in text else queue_file.FILE_VERSION,))

        def close(self):
            pass

    monkeypatch.setattr(queue_mending.sqlite3, "connect", Answers)
    assert bool(queue_mending.damage(copy / "jobs.sqlite", queue_file.FILE_VERSION, 1.0)) is damaged


def test_a_seal_is_of_all_that_a_row_says(sound):
    db = sqlite3.connect(sound / "jobs.sqlite")
    row = db.execute("SELECT * FROM jobs").fetchone()
    db.close()
    queue_rows.check(row)
    for place in range(len(queue_rows.COLUMNS)):
        changed = list(row)
        changed[place] = f"{row[place]}1" if isinstance(row[place], str) else (row[place] or 0) + 1
        with pytest.raises(queue_rows.DamagedRowError):
            queue_rows.check(changed)
