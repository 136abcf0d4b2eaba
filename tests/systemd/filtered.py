"""Runs a command under the system call filter of a systemd unit, where no systemd runs that could do so.

usage: filtered.py UNIT COMMAND [ARGUMENT ...]

SystemCallFilter=, MemoryDenyWriteExecute= and RestrictAddressFamilies= become seccomp filters, as systemd.exec(5) says,
but whatever they forbid kills the process, so that nothing forbidden goes unnoticed. The groups of system calls are
those that the installed systemd knows. Needs Debian's python3-seccomp and systemd.
"""

import os
import socket
import subprocess
import sys

import seccomp

WRITE, EXECUTE = 2, 4
FAMILIES_MAX = 45


def setting(unit, name):
    return [line.split("=", 1)[1].strip() for line in unit if line.startswith(name + "=")]


def members(names):
    """The system calls that names and @groups stand for."""
    calls = set()
    for name in names:
        if name.startswith("@"):
            listed = subprocess.run(
                ["systemd-analyze", "--no-pager", "syscall-filter", name], check=True, capture_output=True, text=True
            ).stdout
            inner = (line.strip() for line in listed.splitlines()[1:])
            calls |= members([line for line in inner if line and not line.startswith("#")])
        else:
            calls.add(name)
    return calls


def allowed(unit):
    calls = set()
    for line in setting(unit, "SystemCallFilter"):
        if line.startswith("~"):
            calls -= members(line[1:].split())
        else:
            calls |= members(line.split())
    # Allowed by systemd in any case, and what the loading of further filters takes.
    return calls | {"execve", "exit", "exit_group", "getrlimit", "rt_sigreturn", "sigreturn", "prctl", "seccomp"}


def main():
    path, command = sys.argv[1], sys.argv[2:]
    with open(path, encoding="utf-8") as file:
        unit = [line.strip() for line in file]

    memory = seccomp.SyscallFilter(seccomp.ALLOW)
    if setting(unit, "MemoryDenyWriteExecute") == ["yes"]:
        both = WRITE | EXECUTE
        memory.add_rule(seccomp.KILL_PROCESS, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, both, both))
        memory.add_rule(seccomp.KILL_PROCESS, "mprotect", seccomp.Arg(2, seccomp.MASKED_EQ, EXECUTE, EXECUTE))

    sockets = seccomp.SyscallFilter(seccomp.ALLOW)
    families = {int(getattr(socket, name)) for line in setting(unit, "RestrictAddressFamilies") for name in line.split()}
    for family in set(range(FAMILIES_MAX)) - families:
        sockets.add_rule(seccomp.KILL_PROCESS, "socket", seccomp.Arg(0, seccomp.EQ, family))

    calls = seccomp.SyscallFilter(seccomp.KILL_PROCESS)
    for call in sorted(allowed(unit)):
        try:
            calls.add_rule(seccomp.ALLOW, call)
        except (OSError, RuntimeError):
            pass  # Not a call of this architecture.

    for each in (memory, sockets, calls):
        each.load()
    os.execv(command[0], command)


main()
