"""Speaks to the registry as a worker or client of the reference system does: Temporal signals, queries and updates
only. Prints one line per row and exits non-zero on the first that is not as the reference has it."""

import asyncio
import os
import sys
import time

from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.api.common.v1 import Payload

SPEC_FIELDS = {
    "workflow_type", "version", "task_queue", "description", "input_schema", "schedule_input_warnings",
    "search_attributes", "enabled", "labels",
}
WORKER_FIELDS = {
    "worker_id", "task_queue", "ttl_seconds", "last_seen_epoch", "environment", "labels", "workflows", "healthy",
}
TARGET_FIELDS = {"workflow_type", "task_queue", "input_schema", "schedule_input_warnings", "search_attributes"}
STATUS_FIELDS = {
    "workflow_count", "worker_count", "healthy_worker_count", "started_at_epoch",
    "last_registry_service_started_epoch", "registry_service_process_id",
}


def row(name, good, seen=None):
    print(("ok   " if good else "FAIL ") + name, "" if good else seen, flush=True)
    if not good:
        sys.exit(1)


async def until(name, ask, good):
    """Signals are not answered: ask until it shows, for at most 10 s."""
    end = time.monotonic() + 10
    while True:
        seen = await ask()
        if good(seen) or time.monotonic() > end:
            return row(name, good(seen), seen)


async def main():
    client = await Client.connect(os.environ["TEMPORAL_ADDRESS"], namespace=os.environ["TEMPORAL_NAMESPACE"])
    registry = client.get_workflow_handle("workflow-registry")
    query = registry.query
    spec = {
        "workflow_type": "sig.v1",
        "task_queue": "sig",
        "version": "1",
        "description": "by signal",
        "input_schema": {"type": "object"},
        "schedule_input_warnings": [{"field": "day", "message": "set it"}],
        "search_attributes": [],
        "enabled": True,
        "labels": {"a": "b"},
    }
    registration = {
        "worker_id": "sig-1", "task_queue": "sig", "workflows": [spec], "ttl_seconds": 60,
        "environment": "test", "labels": {"x": "y"},
    }
    await registry.signal("register_worker", registration)
    await until("register_worker", lambda: query("get_workflow", "sig.v1"), lambda seen: seen is not None)
    info = await query("get_workflow", "sig.v1")
    row("get_workflow has the fields of the reference", set(info) == SPEC_FIELDS | {"workers"}, info)
    row("its spec is as sent", {key: info[key] for key in SPEC_FIELDS} == spec, info)
    row("a worker has the fields of the reference", set(info["workers"][0]) == WORKER_FIELDS, info)
    row("the worker is healthy", info["workers"][0]["healthy"] is True, info)
    row("list_workflows", [w["workflow_type"] for w in await query("list_workflows")] == ["sig.v1"])
    row("get_workflow of an unknown type is null", await query("get_workflow", "nope") is None)
    target = await query("resolve_workflow", "sig.v1")
    row("resolve_workflow", set(target) == TARGET_FIELDS and target["task_queue"] == "sig", target)
    workers = await query("list_workers")
    row("list_workers", len(workers) == 1 and set(workers[0]) == WORKER_FIELDS, workers)
    row("list_search_attributes", await query("list_search_attributes") == [])

    seen_before = workers[0]["last_seen_epoch"]
    await registry.signal("heartbeat_worker", {"worker_id": "sig-1"})
    seen = lambda ws: ws[0]["last_seen_epoch"] > seen_before  # noqa: E731
    await until("heartbeat_worker", lambda: query("list_workers"), seen)

    await registry.signal("register_worker", {**registration, "workflows": [{**spec, "description": "other"}]})
    await registry.signal("put_workflow", {"workflow": {**spec, "description": "put"}, "overwrite": False})
    await registry.signal("heartbeat_worker", {"worker_id": "sig-1"})
    described = lambda word: lambda seen: seen["description"] == word  # noqa: E731
    await until("a differing spec never overwrites", lambda: query("get_workflow", "sig.v1"), described("by signal"))
    await registry.signal("put_workflow", {"workflow": {**spec, "description": "put"}, "overwrite": True})
    await until("put_workflow overwrites when asked", lambda: query("get_workflow", "sig.v1"), described("put"))
    await registry.signal("set_workflow_enabled", {"workflow_type": "sig.v1", "enabled": False})
    await until("set_workflow_enabled", lambda: query("resolve_workflow", "sig.v1"), lambda seen: seen is None)
    await registry.signal("registry_service_started", {"process_id": "p-1", "event": "started"})
    marked = lambda seen: seen["registry_service_process_id"] == "p-1"  # noqa: E731
    await until("registry_service_started", lambda: query("get_status"), marked)
    await registry.signal("registry_service_heartbeat", {"process_id": "p-2"})
    status = await query("get_status")
    row("get_status", set(status) == STATUS_FIELDS and status["worker_count"] == 1, status)

    claimed = await registry.execute_update("claim_slug_id", {"name": "Tui Build!"})
    row("claim_slug_id", claimed == {"slug": "tui-build", "counter": 1, "workflow_id": "tui-build-r1"}, claimed)
    claimed = await registry.execute_update("claim_slug_id", {"name": "tui_build"})
    row("claim_slug_id counts on", claimed["workflow_id"] == "tui-build-r2", claimed)
    counters = await query("list_slug_counters")
    fields = {"slug", "counter", "last_claimed_epoch"}
    row("list_slug_counters", len(counters) == 1 and set(counters[0]) == fields, counters)
    reset = await registry.execute_update("reset_slug", {"name": "tui build"})
    row("reset_slug", reset == {"slug": "tui-build", "previous_counter": 2, "reset_to": 0}, reset)
    for body in ({"name": "@@@"}, {"name": ""}, {"name": "x" * 129}, {"nam": "x"}, 7, None):
        try:
            await asyncio.wait_for(registry.execute_update("claim_slug_id", body), 5)
            row(f"claim_slug_id {str(body)[:20]} fails", False)
        except WorkflowUpdateFailedError:
            row(f"claim_slug_id {str(body)[:20]} fails alone", True)

    binary = RawValue(Payload(metadata={"encoding": b"binary/plain"}, data=b"\x00\xff"))
    huge = {**registration, "labels": {"big": "x" * 1_000_000}}
    bad = [{}, [], 7, None, "text", {"worker_id": ""}, {"worker_id": 5}, {"worker_id": "a", "extra": 1}, binary]
    names = ["register_worker", "put_workflow", "heartbeat_worker", "unregister_worker", "set_workflow_enabled",
             "unregister_workflow", "registry_service_started"]
    for name in names:
        for body in bad:
            await registry.signal(name, body)
        await registry.signal(name, args=[])
        await registry.signal(name, args=[{}, {}])
    await registry.signal("register_worker", huge)
    began = time.monotonic()
    claimed = await registry.execute_update("claim_slug_id", {"name": "after the noise"})
    row("a claim beside bad signals is not delayed", time.monotonic() - began < 2, time.monotonic() - began)
    print("bad signals:", len(names) * (len(bad) + 2) + 1, flush=True)

    await registry.signal("unregister_worker", {"worker_id": "sig-1"})
    await until("unregister_worker", lambda: query("list_workers"), lambda seen: seen == [])
    await registry.signal("unregister_workflow", {"workflow_type": "sig.v1"})
    await until("unregister_workflow", lambda: query("list_workflows"), lambda seen: seen == [])


asyncio.run(main())
# Without the interpreter's own end: a thread of Temporal's SDK that still returns from its last call brings it down
# ("PyGILState_Release: thread state must be current when releasing") about once in ten runs.
sys.stdout.flush()
os._exit(0)
