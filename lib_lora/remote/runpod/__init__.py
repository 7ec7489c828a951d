"""Rents GPUs at RunPod: its API and answers, the request for a pod, and the watchdog that runs on each pod."""
