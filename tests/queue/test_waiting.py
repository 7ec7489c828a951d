"""How long the supervisor waits for what, with a runner and a clock that only pretend: no process, no second waited."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager

import pytest
from PIL import Image

from lib_lora.files import write_json
from lib_lora.job_host import JobHost
from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.queue.running.gpu_lease import GpuLease
from lib_lora.queue.running.job_runner import JobRunner
from lib_lora.queue.running.supervisor import Supervisor
from lib_lora.queue.running.timing import Timeouts
from lib_lora.queue.running.worker_pipe import patient
from lib_lora.runs.events import EventLog

PATIENCE = Timeouts()  # those of the program itself
TRAIN = TrainArguments(base="base", then_test=False)


class FakeClock:
    """Waiting moves it on at once."""

    def __init__(self):
        self.time, self.waits = 1000.0, []

    def now(self):
        return self.time

    def wait(self, event, seconds):
        self.time += seconds
        self.waits.append(seconds)
        return event.wait(0.001)  # other threads have their turn


class FakeWorker:
    """Does what a test says, a look at a time."""

    pid = 0
    outlives = False

    def __init__(self, clock, folder, does):
        self.clock, self.folder, self.code, self.killed_at = clock, folder, None, None
        self.wishes, self.sent, self.closed, self.born = [], [], False, clock.time
        self._does = does

    @property
    def age(self):
        return self.clock.time - self.born

    def end(self, state, code=0, **result):
        write_json(self.folder / "result.json", {"state": state, "error": "", "result": result})
        self.code = code

    def poll(self):
        return self.code

    def wait(self):
        return self.code

    def receive(self, timeout):
        self.clock.time += timeout
        return self._does(self)

    def send(self, message):
        self.sent.append(message)

    def stop(self, wish):
        self.wishes.append((wish, self.age))

    def kill(self):
        self.killed_at, self.code = self.age, -9

    def close(self):
        self.closed = True

    def fetch_events(self):
        pass

    def fetch_results(self):
        pass

    def log_tail(self):
        return []


class FakeRunner:
    """Gives each job a worker that does the same."""

    def __init__(self, queue, clock, does):
        self.queue, self.clock, self.does, self.workers = queue, clock, does, []

    def start(self, job):
        self.workers.append(FakeWorker(self.clock, self.queue.folder(job.id), self.does))
        return self.workers[-1]

    def end_left_behind(self, job, patience, giving_up):
        pass


class Host(JobHost):
    """Has a GPU that may be taken, and paints nothing."""

    def __init__(self):
        self.free = threading.Event()
        self.free.set()

    @contextmanager
    def gpu_session(self, allow_painting=False, give_up=None):
        while not self.free.wait(0.001):
            if give_up():
                raise RuntimeError("given up")
        yield

    def paints(self):
        return False

    def paint(self, pictures, base, each, stop):
        raise NotImplementedError

    def reconstruct(self, image, stop=None):
        return Image.new("RGB", (8, 8))

    def caption(self, captioner, image, stop=None):
        return []

    def worker_command(self):
        return []

    def worker_environment(self):
        return {}


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def attempt(tmp_path, clock):
    """attempt(does): a job whose worker does that, from start to end; its outcome, its worker and its queue."""

    def run(does, closing=None, free=True, before=lambda queue, number: None):
        queue, host = Queue(tmp_path), Host()
        number = queue.add("Mara", TRAIN).id
        job = queue.take("heavy", "me")
        if not free:
            host.free.clear()
        before(queue, number)
        runner = FakeRunner(queue, clock, does(queue, number))
        job_runner = JobRunner(
            job=job,
            queue=queue,
            host=lambda: host,
            runner=runner,
            patience=PATIENCE,
            clock=clock,
            closing=closing or threading.Event(),
            take_gpu=lambda: GpuLease(host, False, None),
        )
        with ExitStack() as held:
            outcome = job_runner.run(held)
        host.free.set()
        return outcome, runner.workers[0] if runner.workers else None

    return run


def test_a_worker_that_ends_is_closed_and_believed(attempt):
    def does(queue, number):
        return lambda worker: worker.end("finished", run="001") if worker.age > 60 else None

    outcome, worker = attempt(does)
    assert (outcome.state, outcome.result, worker.closed, worker.killed_at) == ("finished", {"run": "001"}, True, None)


@pytest.mark.parametrize(("wish", "seconds"), [("stop", PATIENCE.stop), ("pause", PATIENCE.pause)])
def test_one_that_does_not_hear_a_wish_is_killed_when_its_time_is_over(attempt, wish, seconds):
    def does(queue, number):
        def look(worker):
            if worker.age >= 10 and not worker.wishes:
                queue.wish(number, wish)

        return look

    outcome, worker = attempt(does)
    ((said, at),) = worker.wishes
    assert (said, outcome.state) == (wish, "stopped" if wish == "stop" else "paused")
    assert seconds <= worker.killed_at - at <= seconds + 2 * PATIENCE.poll
    assert outcome.code == "worker-too-slow"


def test_one_whose_steps_are_long_gets_longer(attempt):
    def does(queue, number):
        log = EventLog(queue.folder(number) / "events.jsonl")

        def look(worker):
            if worker.age >= 10 and not worker.wishes:
                log("step", step=1, total=9, seconds_per_step=100.0)
                queue.wish(number, "stop")

        return look

    _, worker = attempt(does)
    waited = worker.killed_at - worker.wishes[0][1]
    assert patient(PATIENCE.stop, 100.0) > PATIENCE.stop
    assert waited >= patient(PATIENCE.stop, 100.0)


def test_where_the_host_closes_it_is_asked_to_save_and_given_less_time(attempt):
    closing = threading.Event()

    def does(queue, number):
        return lambda worker: closing.set() if worker.age >= 10 else None

    outcome, worker = attempt(does, closing)
    assert worker.wishes[0][0] == "stop"
    assert PATIENCE.close <= worker.killed_at - worker.wishes[0][1] <= PATIENCE.close + 2 * PATIENCE.poll
    assert outcome.state == "interrupted"


def test_one_that_has_said_its_end_must_leave(attempt):
    def does(queue, number):
        def look(worker):
            if worker.age >= 10 and not (worker.folder / "result.json").exists():
                worker.end("finished", code=None)  # said, but it stays

        return look

    outcome, worker = attempt(does)
    assert 10 + PATIENCE.leave <= worker.killed_at <= 10 + PATIENCE.leave + 3 * PATIENCE.poll
    assert outcome.state == "finished"


def test_stopped_while_the_gpu_is_waited_for_no_worker_is_started(attempt, clock):
    outcome, worker = attempt(
        lambda queue, number: lambda worker: None, free=False, before=lambda queue, number: queue.wish(number, "stop")
    )
    assert (outcome.state, worker) == ("stopped", None)
    assert set(clock.waits) == {PATIENCE.poll}


def test_the_supervisor_runs_what_waits_in_its_order(tmp_path, clock):
    queue = Queue(tmp_path)
    names = ["Mara", "Ida", "Lena"]
    numbers = [queue.add(name, TRAIN).id for name in names]
    runner = FakeRunner(queue, clock, lambda worker: worker.end("finished"))
    supervisor = Supervisor(tmp_path, Host(), runner, PATIENCE, clock)
    supervisor.start()
    supervisor.wake()
    done = threading.Event()
    for _ in range(2000):
        if all(queue.get(number).state == "finished" for number in numbers):
            break
        done.wait(0.005)
    supervisor.close()
    assert [queue.get(number).state for number in numbers] == ["finished"] * 3
    assert [worker.folder.name for worker in runner.workers] == [str(number) for number in numbers]
