"""Switches mechanisms off, one at a time, and sees that a test fails without each, and passes with all of them. All are built
into one program, where the variable OFF in the environment says which one is off. Usage: run.py FOLDER [WORD...]: only those
with one of the words in their name."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

from table import MECHANISMS

SWITCH = """
/// Whether a mechanism is switched off.
#[allow(missing_docs)]
pub fn off(mechanism: &str) -> bool {
    std::env::var_os("OFF").is_some_and(|name| name == mechanism)
}
"""


def copied(folder):
    """The tree as it is, with every mechanism behind its switch."""
    shutil.rmtree(folder, ignore_errors=True)
    names = subprocess.check_output(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    for name in names.decode().split("\0"):
        if name and os.path.exists(name):
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, place)
    return folder


def renumber(folder):
    """Under a version of its own, so that Cargo can tell in a shared target folder what belongs to which."""
    for file, before in [("Cargo.toml", r'\A(?s:.*?)\nversion = "'), ("Cargo.lock", r'name = "temporal-registry"\nversion = "')]:
        path = folder / file
        text, count = re.subn(f'({before})[^"]*', r"\g<1>0.0.1", path.read_text(), count=1)
        if count != 1:
            sys.exit(f"{file} has no version")
        path.write_text(text)


def switch(folder):
    # The same edit may stand under several names.
    edits = {}
    for name, (of_mechanism, _) in MECHANISMS.items():
        for edit in of_mechanism:
            edits.setdefault(edit, []).append(name)
    for (file, before, after), names in edits.items():
        path = folder / file
        text = path.read_text()
        if text.count(before) != 1:
            sys.exit(f"{names[0]}: {file} has {text.count(before)} times {before!r}")
        off = " || ".join(f'crate::off("{name}")' for name in names)
        path.write_text(text.replace(before, after.replace("OFF", f"({off})" if len(names) > 1 else off)))
    with open(folder / "src/lib.rs", "a") as lib:
        lib.write(SWITCH)


def command(test):
    target, words = test.split()[0], test.split()[1:]
    if target == "proof":
        return ["cargo", "run", "--locked", "--quiet", "--example", "proof", "--", *words]
    of = ["--lib"] if target == "lib" else ["--test", target]
    return ["cargo", "test", "--locked", "--quiet", *of, "--", *words]


def outcome(folder, test, mechanism):
    """Whether the test passes without a mechanism, and what it says if not."""
    environment = {**os.environ, "OFF": mechanism, "MINUTES": os.environ.get("MINUTES", "2")}
    ran = subprocess.run(
        command(test), cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines = ran.stdout.splitlines()
    said = [at for at, line in enumerate(lines) if "panicked at" in line or line.startswith("Error:")]
    words = " ".join(lines[said[0] : said[0] + 3]) if said else "\n".join(lines[-5:])
    if ran.returncode != 0 and not said:
        sys.exit(f"{test} did not run without {mechanism!r}:\n{words}")
    return ran.returncode == 0, words[:400]


def main():
    folder, words = copied(pathlib.Path(sys.argv[1])), sys.argv[2:]
    renumber(folder)
    switch(folder)
    build = ["cargo", "test", "--locked", "--no-run", "--bins", "--lib", "--tests", "--examples"]
    subprocess.run(build, cwd=folder, check=True)
    sound, wrong = set(), []
    for mechanism, (_, tests) in MECHANISMS.items():
        if words and not any(word in mechanism for word in words):
            continue
        for test in tests:
            if test == "proof upgrade" and "OLD" not in os.environ:
                print(f"{mechanism}: {test} needs OLD, the program of an earlier build")
                continue
            if test not in sound:
                passes, said = outcome(folder, test, "")
                if not passes:
                    sys.exit(f"{test} fails although nothing is off: {said}")
                sound.add(test)
            began = time.monotonic()
            passes, said = outcome(folder, test, mechanism)
            verdict = "PASSES" if passes else "fails"
            print(f"{mechanism}: {test} {verdict} without it ({time.monotonic() - began:.0f} s)\n    {said}", flush=True)
            if passes:
                wrong.append(f"{mechanism}: {test}")
    sys.exit("\n".join(["nothing fails without:", *wrong]) if wrong else 0)


main()
