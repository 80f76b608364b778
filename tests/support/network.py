"""Sockets that belong to another process's network, and the first words through a relay."""
import contextlib
import ctypes
import os
import socket

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def enter(network):
    if LIBC.setns(network, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def inside(pid):
    """Sockets made and threads started in here belong to the network of this process."""
    with open("/proc/thread-self/ns/net") as outer, open(f"/proc/{pid}/ns/net") as inner:
        enter(inner.fileno())
        try:
            yield
        finally:
            enter(outer.fileno())


def accepts(host, port):
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def read_head(connection):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        assert piece, f"closed after {head!r}"
        head += piece
    return head.decode()


def tunnel(connection, host, port):
    """Has the relay at the other end make a tunnel of this connection."""
    connection.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    head = read_head(connection)
    assert head.startswith("HTTP/1.1 200"), head
