"""What is being painted, and the wishes about it."""

import threading
import time

from modules.standin_setup import note


class State:
    skipped = interrupted = stopping_generation = False
    job = ""
    job_no = job_count = sampling_step = sampling_steps = 0
    job_timestamp = "0"
    current_image = current_latent = textinfo = None
    id_live_preview = 0
    time_start = None

    def __init__(self):
        self.server_command = None
        self.signal = threading.Event()

    def request(self, command):
        self.server_command = command
        self.signal.set()

    def wait_for_server_command(self, timeout=None):
        if not self.signal.wait(timeout):
            return None
        self.signal.clear()
        command, self.server_command = self.server_command, None
        return command

    def skip(self):
        self.skipped = True

    def interrupt(self):
        self.interrupted = True

    def stop_generating(self):
        self.stopping_generation = True

    def nextjob(self):
        self.job_no += 1
        self.sampling_step = 0

    def begin(self, job="(unknown)"):
        note(f"begin {job.split('-')[0]}")
        self.job, self.job_no, self.job_count, self.sampling_step = job, 0, -1, 0
        self.time_start, self.textinfo, self.current_image, self.id_live_preview = time.time(), None, None, 0
        self.skipped = self.interrupted = self.stopping_generation = False

    def end(self):
        note("end")
        self.job, self.job_count = "", 0

    def assign_current_image(self, image):
        self.current_image = image
        self.id_live_preview += 1
