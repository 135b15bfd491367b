"""Keep a graded file to itself, as far as a process can be kept.

A grading run cannot spoil the machine by accident, or by the simple tricks that students try. But this is not a
sandbox, which only the operating system can give, and no proof that nobody copied, because the solutions are public.
"""

import dis
import functools
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

MEMORY = 1 << 32                                       # bytes of address space
LARGEST_FILE = 1 << 26                                 # bytes, and so the largest answer that is handed back
KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "SYSTEMDRIVE", "PATHEXT")
REFUSED = ("socket.", "subprocess.Popen", "os.fork", "os.posix_spawn", "os.spawn", "os.exec", "os.system", "os.kill",
           "os.startfile", "pty.spawn", "winreg.")
WRITES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link", "os.symlink",
          "os.truncate", "os.utime"}
READS = {"os.listdir", "os.scandir"}


def environment(folder):
    """The environment variables that Python needs, and no others, which may be a teacher's secrets."""
    return {name: os.environ[name] for name in KEPT if name in os.environ} | dict.fromkeys(
        ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), str(folder)) | dict(
        OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")


@functools.lru_cache(maxsize=1)
def isolation():
    """The command that gives a process no network and ends all that it started; empty where the system has none."""
    command = ["unshare", "--user", "--map-current-user", "--net", "--pid", "--fork", "--kill-child"]
    if not shutil.which(command[0]):
        return []
    with suppress(OSError, subprocess.SubprocessError):
        if subprocess.run([*command, "true"], capture_output=True, timeout=5).returncode == 0:
            return command
    return []


def end(process, folder):
    """End the process and all that it started, also those that have left its group."""
    with suppress(AttributeError, ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    mark = f"HOME={folder}".encode()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in entry.read_bytes().split(b"\0"):
                os.kill(int(entry.parent.name), signal.SIGKILL)


def limit_resources(seconds):
    """Limit memory, time, file size, open files and further processes, where the system has such limits."""
    try:
        import resource
    except ImportError:
        return
    for name, most in (("AS", MEMORY), ("FSIZE", LARGEST_FILE), ("NPROC", 0), ("NOFILE", 64), ("CORE", 0),
                       ("CPU", int(seconds) + 2)):
        with suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def guard(folder, private, answer_code, own, borrowed):
    """From now on, refuse what a graded file must not do. This cannot be undone within the process.

    It may write in `folder` only, and may not read in `private`, where other learners' files are. `answer_code` is the
    package's solution: if it is about to run as a code object that is not in `own`, `borrowed` is raised.
    """
    folder, private = (os.path.realpath(path) for path in (folder, private))
    package = Path(__file__).parents[1]
    readable = [os.path.realpath(path) for path in
                (folder, sys.prefix, sys.base_prefix, package, package.with_name("weights"))]
    wanted = _steps(answer_code)

    def inside(path, *folders):
        if isinstance(path, int):
            return True                                # a file that is open already
        path = os.path.realpath(os.fsdecode(path))
        return path == os.devnull or any(path == f or path.startswith(f + os.sep) for f in folders)

    def hook(event, args):
        if event.startswith(REFUSED) and event != "socket.gethostname":
            raise PermissionError(f"a graded file may not do this: {event}")
        if event in WRITES or event == "open" and _writes(args):
            for path in args[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
                if not inside(path, folder):
                    raise PermissionError(f"a graded file may not write outside its own folder: {path}")
        elif event == "open" or event in READS:
            path = "." if args[0] is None else args[0]
            if inside(path, private) and not inside(path, *readable):
                raise PermissionError(f"a graded file may not read what lies beside it: {path}")
        elif event in ("exec", "function.__new__") and args[0] not in own:
            if any(_steps(code) == wanted for code in nested(args[0])):
                raise borrowed

    sys.addaudithook(hook)


def _writes(args):
    _, mode, flags = args
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def nested(code):
    """A code object and all that are defined in it, however deep."""
    yield code
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            yield from nested(constant)


def _steps(code):
    return code.co_name, [(step.opname, step.argrepr) for step in dis.get_instructions(code)
                          if not step.argrepr.startswith("<code")]
