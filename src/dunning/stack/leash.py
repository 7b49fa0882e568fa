"""Starts a program that cannot outlive the process that wanted it. Run by path, so that nothing is imported.

`leash.py SIGNAL PARENT USER COMMAND...`: when PARENT ends, however it ends, the kernel sends SIGNAL. With a
USER other than `-` root gives up its rights first, because PostgreSQL refuses to run as root.
Where the kernel has no such promise (outside Linux) an orderly end of the parent still stops everything.
"""

import contextlib
import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the command."""
    signal_number, parent, user, *command = sys.argv[1:]
    if user != "-":
        _become(user)
    # After the change of user, which would take the promise back.
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("leash: the parent is already gone")
    try:
        os.execvp(command[0], command)  # noqa: S606 - becoming the program is the point
    except OSError as error:
        sys.exit(f"leash: {command[0]}: {error.strerror}")


def _become(user: str) -> None:
    import pwd

    entry = pwd.getpwnam(user)
    with contextlib.suppress(PermissionError):
        os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = os.environ.get("TMPDIR", "/tmp")  # noqa: S108


if __name__ == "__main__":
    main()
