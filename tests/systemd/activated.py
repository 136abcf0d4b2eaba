"""Binds sockets and becomes a command that finds them as systemd would pass them on.

usage: activated.py MODE ADDRESS ... -- COMMAND [ARGUMENT ...]

An address is HOST:PORT or the path of a Unix socket, whose file gets MODE (octal). With `connection` in the place of
the mode, what is passed on is one connection to a socket, as under Accept=yes.
"""

import os
import socket
import sys


def bound(address, mode):
    if address.startswith("/"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        os.chmod(address, int(mode, 8))
    else:
        host, port = address.rsplit(":", 1)
        listener = socket.socket(socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
    listener.listen()
    return listener


def main():
    mode, addresses = sys.argv[1], sys.argv[2 : sys.argv.index("--")]
    command = sys.argv[sys.argv.index("--") + 1 :]
    sockets = [bound(address, "600" if mode == "connection" else mode) for address in addresses]
    if mode == "connection":
        clients = [socket.create_connection(listener.getsockname()) for listener in sockets]
        sockets = [listener.accept()[0] for listener in sockets] + clients
    # Out of the way of the numbers that they get, from 3 on.
    kept = [os.dup2(one.fileno(), 100 + place, inheritable=False) for place, one in enumerate(sockets)]
    count = len(addresses)
    for place in range(count):
        os.dup2(kept[place], 3 + place)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(count)
    os.execv(command[0], command)


main()
