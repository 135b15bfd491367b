"""Kill a training at every file-system event, and see that the same command then ends in the same bytes.

    python tests/kills.py                        # both trainings, at every event of a longer run
    python tests/kills.py pretrain --processes 2

An event is the moment before a file below --out is opened for writing, renamed or removed, or a folder is made there.
All processes are forks of one that has imported everything, so a kill and a second run take a quarter of a second.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

EVENTS = ("open", "os.rename", "os.remove", "os.mkdir")
WRITES = os.O_WRONLY | os.O_RDWR


def count_events(out, kill_at=None):
    """Count the events below a folder from here on   ->  a list that grows by what happened; with `kill_at`, die then"""
    happened, inside = [], str(out)

    def hook(event, arguments):
        if event in EVENTS and str(arguments[0]).startswith(inside) and (event != "open" or arguments[2] & WRITES):
            if len(happened) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            happened.append(f"{event} {Path(arguments[0]).name}")

    sys.addaudithook(hook)
    return happened


def in_a_fork(main, arguments, out, kill_at=None):
    """Run a command in a process of its own   ->  None if it was killed, else the number of events"""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read)
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            sys.modules["matplotlib"] = None           # a picture takes longer than all the rest
            happened = count_events(out, kill_at)
            code = main(arguments)
            os.write(write, str(len(happened)).encode())
        finally:
            os._exit(code)
    os.close(write)
    with open(read, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return None
    assert os.WEXITSTATUS(status) == 0, (arguments, status)
    return int(said)


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def kill_everywhere(main, arguments, folder, events=None):
    """Kill at every event, or at those given; run again; compare   ->  the number of kills

    arguments: those of the command, as a function of --out.   Raises AssertionError, naming the event.
    """
    whole = folder / "whole"
    count = in_a_fork(main, arguments(whole), whole)
    expected, kills = files_below(whole), 0
    for event in range(count) if events is None else events:
        out = folder / "killed"
        shutil.rmtree(out, ignore_errors=True)
        assert in_a_fork(main, arguments(out), out, event) is None
        in_a_fork(main, arguments(out), out)
        found = files_below(out)
        wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        assert not wrong, f"killed at event {event} of {count}, {', '.join(wrong)} differ"
        kills += 1
    return kills


def _with_processes(arguments, folder, processes):
    """The same for a run that several processes share; the first of them is killed, and MPI ends the others."""
    from minconvbert.training.ranks import mpi_command

    command, environment = mpi_command(processes)

    def start(out, kill_at):
        return subprocess.run(
            [*command, __file__, "--rank", str(kill_at), str(out), *arguments(out)[1:], "--processes", str(processes)],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300).returncode

    assert start(folder / "whole", -1) == 0
    expected = files_below(folder / "whole")
    count = int((folder / "whole.events").read_text())
    for event in range(count):
        out = folder / "killed"
        shutil.rmtree(out, ignore_errors=True)
        assert start(out, event) != 0 and start(out, -1) == 0, event
        found = files_below(out)
        wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        assert not wrong, f"killed at event {event} of {count}, {', '.join(wrong)} differ"
    return count


def _rank(kill_at, out, arguments):
    """What each process of MPI does."""
    from minconvbert.commands import pretrain
    sys.modules["matplotlib"] = None
    first = os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK", "0")) == "0"
    happened = count_events(out, int(kill_at) if int(kill_at) >= 0 else None) if first else []
    code = pretrain.main(arguments)
    if first:
        Path(f"{out}.events").write_text(str(len(happened)))
    return code


def main(argv):
    if argv[:1] == ["--rank"]:
        return _rank(argv[1], argv[2], argv[3:])
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("training", nargs="*", default=["pretrain", "finetune"])
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args(argv)
    from test_outlives import finetuning, make_material, pretraining

    from minconvbert.__main__ import main as program
    for name in options.training:
        with tempfile.TemporaryDirectory() as folder:
            material = make_material(Path(folder) / "material")
            arguments = lambda out, name=name: (
                pretraining(material, out, 12) if name == "pretrain" else finetuning(
                    material, out, "--dev", str(material / "texts.jsonl"), "--save-every", "2"))
            if options.processes > 1:
                kills = _with_processes(arguments, Path(folder), options.processes)
            else:
                kills = kill_everywhere(program, arguments, Path(folder))
        print(json.dumps(dict(training=name, processes=options.processes, kills=kills, differ=0)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
