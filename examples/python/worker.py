"""A Temporal worker that keeps itself registered: once on start-up, a heartbeat as often as the registry asks, and
a goodbye on exit. Needs only `temporalio`.

    TEMPORAL_REGISTRY_URL=http://127.0.0.1:8080 python worker.py
"""

import asyncio
import json
import os
import signal
import urllib.request
from datetime import timedelta

from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

REGISTRY = os.environ.get("TEMPORAL_REGISTRY_URL", "http://127.0.0.1:8080")
TOKEN = os.environ.get("TEMPORAL_REGISTRY_TOKEN", "")


def call(method, path, body):
    headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
    request = urllib.request.Request(REGISTRY + path, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"{}")


async def keep_registered(registration):
    worker, registered = f"/registry/workers/{registration['worker_id']}", False
    try:
        while True:
            try:
                path, body = (f"{worker}/heartbeat", {}) if registered else ("/registry/workers", registration)
                answer = await asyncio.to_thread(call, "POST", path, body)
                registered = answer.get("status") != "reregister"
                await asyncio.sleep(answer["heartbeat_interval_seconds"] if registered else 0)
            except OSError as error:  # the registry is away: the lease holds for a while, try again
                print(f"registry: {error}", flush=True)
                await asyncio.sleep(1)
    finally:
        call("POST", f"{worker}/drain", {})
        call("DELETE", worker, {})


@workflow.defn(name="py.echo.v1")
class Echo:
    @workflow.run
    async def run(self, message: dict) -> dict:
        await workflow.sleep(timedelta(milliseconds=message.get("sleep_ms", 1)))
        return {"echo": message["text"]}


async def main():
    queue = os.environ.get("TASK_QUEUE", "python")
    registration = {
        "worker_id": os.environ.get("WORKER_ID", "python-1"),
        "task_queue": queue,
        "ttl_seconds": int(os.environ.get("TTL_SECONDS", "15")),
        "workflows": [
            {
                "workflow_type": "py.echo.v1",
                "task_queue": queue,
                "description": "Echoes a text",
                "input_schema": {
                    "type": "object",
                    "properties": {"text": {"type": "string"}, "sleep_ms": {"type": "integer", "minimum": 0}},
                    "required": ["text"],
                },
            }
        ],
    }
    client = await Client.connect(
        os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"),
        namespace=os.environ.get("TEMPORAL_NAMESPACE", "default"),
    )
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with Worker(client, task_queue=queue, workflows=[Echo], workflow_runner=UnsandboxedWorkflowRunner()):
        registered = asyncio.create_task(keep_registered(registration))
        print("worker is up", flush=True)
        await stop.wait()
        registered.cancel()
        await asyncio.gather(registered, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
