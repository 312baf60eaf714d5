"""Fails when a test has left a process behind: one that carries the mark of this test run, or one that a runner
started which is no more. Usage: leftovers.py MARK, where the tests ran with TEST_RUN=MARK in their environment."""

import os
import pathlib
import sys
import time


def environment(process):
    try:
        pairs = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(pair.split(b"=", 1) for pair in pairs if b"=" in pair)


def command(process):
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "gone by now"


def is_orphan(runner_mark):
    """The mark is `<namespace>/<process id of the runner>/<its start time>/<id>`."""
    try:
        namespace, runner, started, _ = runner_mark.decode().split("/")
        if namespace != os.readlink("/proc/self/ns/pid"):
            return False
        stat = pathlib.Path("/proc", runner, "stat").read_text()
    except (OSError, ValueError):
        return True
    return stat.rpartition(")")[2].split()[19] != started


def leftovers(mark):
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        variables = environment(process)
        runner_mark = variables.get(b"TEMPORAL_REGISTRY_RUN")
        if variables.get(b"TEST_RUN") == mark.encode() or (runner_mark and is_orphan(runner_mark)):
            found.append(f"{process.name}: {command(process)}")
    return found


def main():
    deadline = time.monotonic() + 10  # what was told to end as the tests did may take a moment
    while found := leftovers(sys.argv[1]):
        if time.monotonic() > deadline:
            sys.exit("processes were left behind by the tests:\n  " + "\n  ".join(found))
        time.sleep(0.1)


main()
