"""Requests byte by byte."""

import socket
from urllib.parse import urlsplit

from service.access.roles import Role


def exchange(address, *pieces, half_close=False, patience_seconds=30):
    """Send the pieces one by one, read to the end. What came, without the end's mark if the server did not make one in time."""
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), timeout=patience_seconds) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def head(*lines, start=b"POST /predict HTTP/1.1"):
    return b"\r\n".join([start, b"Host: x", *lines, b"", b""])


def keyed(guarded):
    return b"X-API-Key: " + guarded.key[Role.CLINICIAN]["X-API-Key"].encode()
