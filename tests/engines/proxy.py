"""A network that can be cut: connections to a port of the loopback interface, passed on to another."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

FAILURE = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """Passes bytes on in both directions until `cut`; from `mute` on it takes connections and says nothing."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: list[socket.socket] = []
        self.mute = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                if self.mute:
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open.append(server)
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)

    def cut(self) -> None:
        """Close every connection on both sides; new ones are passed on."""
        while self._open:
            one = self._open.pop()
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # closing alone does not wake who waits for a connection
        self._accepting.join(10)
        self._listener.close()
        self.cut()


class FailingService(Proxy):
    """Answers requests of HTTP whose first line holds one of the words in `failing` as a server that has broken down."""

    failing: tuple[bytes, ...] = ()
    failed = 0  # requests

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                line = data.partition(b"\r\n")[0]
                if [word for word in self.failing if word in line]:
                    self.failed += 1
                    source.sendall(FAILURE)
                    source.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)
