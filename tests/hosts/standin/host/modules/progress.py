"""The progress line's tasks, and the route that it asks."""

import random
import string
import time
from collections import OrderedDict
from typing import Optional

from pydantic import BaseModel

from modules import shared

current_task = None
pending_tasks = OrderedDict()
finished_tasks = []


def start_task(id_task):
    global current_task
    current_task = id_task
    pending_tasks.pop(id_task, None)


def finish_task(id_task):
    global current_task
    if current_task == id_task:
        current_task = None
    finished_tasks.append(id_task)
    del finished_tasks[:-16]


def create_task_id(task_type):
    return f"task({task_type}-{''.join(random.choices(string.ascii_uppercase + string.digits, k=7))})"


def add_task_to_queue(id_job):
    pending_tasks[id_job] = time.time()


class ProgressRequest(BaseModel):
    id_task: Optional[str] = None  # noqa: UP045
    id_live_preview: int = -1
    live_preview: bool = True


def progressapi(req: ProgressRequest):
    """As ``/internal/progress`` answers."""
    active, queued = req.id_task == current_task, req.id_task in pending_tasks
    answer = {"active": active, "queued": queued, "completed": req.id_task in finished_tasks, "progress": None}
    if not active:
        waiting = sorted(pending_tasks, key=lambda task: pending_tasks[task])
        place = f"In queue: {waiting.index(req.id_task) + 1}/{len(waiting)}" if queued else "Waiting..."
        return {**answer, "textinfo": place}
    state = shared.state
    done = state.job_no / state.job_count if state.job_count > 0 else 0
    return {**answer, "progress": min(done, 1), "textinfo": state.textinfo}


def setup_progress_api(app):
    app.add_api_route("/internal/progress", progressapi, methods=["POST"])
