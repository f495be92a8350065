"""A real HTTP server on the loopback that misbehaves on request.

    from store.server import FINE, Fault, Server  # in any test: tests/ is on the path

    with Server() as server:
        url = server.serve("/weights.bin", content, Fault(cut_after=100), FINE)

Each request to a path meets its next fault, and the last one ever after; ``server.requests``
records them. With ``tls`` it is also an HTTP proxy that plays every host itself, over TLS: set
HTTPS_PROXY to ``server.base`` and REQUESTS_CA_BUNDLE to the certificate.
"""

import hashlib
import random
import re
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How an answer differs from a good one.

    Args:
        status: Another status, with an empty body.
        headers: Further headers, or others; None leaves one out.
        ranges: Whether a Range is honoured.
        conditions: Whether an If-Range is heeded.
        cut_after: Bytes of the body after which the connection is closed.
        stall_after: Bytes of the body after which nothing more comes.
        longer: How much more Content-Length says than there is; negative: less.
        chunked: Whether the body comes in chunks without a Content-Length.
        unsized: Whether the body ends with the connection and has no length.
        block: Bytes of the body sent at a time.
        pause: Seconds between them.
    """

    status: int | None = None
    headers: dict[str, str | None] = field(default_factory=dict)
    ranges: bool = True
    conditions: bool = True
    cut_after: int | None = None
    stall_after: int | None = None
    longer: int = 0
    chunked: bool = False
    unsized: bool = False
    block: int = 1 << 16
    pause: float = 0


FINE = Fault()
CONTENT = random.Random(0).randbytes(1_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[::-1]


@dataclass(frozen=True)
class Request:
    """A request that came in."""

    host: str
    path: str
    headers: Message


class Server:
    """Serve files and faults, in threads, until it is closed.

    Args:
        host: The name it is addressed by: "127.0.0.1" and "localhost" are two hosts to a client.
        tls: A certificate with its key, for being a proxy.
    """

    def __init__(self, host: str = "127.0.0.1", tls: Path | None = None) -> None:
        self.requests: list[Request] = []
        self.sent = 0
        self.closing = threading.Event()
        self.answers: dict[str, list[tuple[bytes, Fault]]] = {}
        self.tls = None
        if tls is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(tls)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = False  # so that closing waits for them, and nothing leaks
        self._http.ours = self
        self.base = f"http://{host}:{self._http.server_port}"

    def __enter__(self) -> "Server":
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def serve(self, path: str, content: bytes = b"", *faults: Fault) -> str:
        """Serve a file; one request after the other meets a fault.

        Returns:
            Its address.
        """
        self.answers[path] = [(content, fault) for fault in faults or (FINE,)]
        return self.base + path

    def then(self, path: str, content: bytes, *faults: Fault) -> None:
        """Serve another file there once the faults of the first are through."""
        self.answers[path] += [(content, fault) for fault in faults or (FINE,)]

    def redirect(self, path: str, to: str, **headers: str) -> str:
        """Redirect to another address."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.serve(path, b"", Fault(status=302, headers={"Location": to, **named}))

    def next_answer(self, path: str) -> tuple[bytes, Fault]:
        waiting = self.answers.get(path, [(b"", Fault(status=404))])
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


def certificate(folder: Path, *hosts: str) -> Path:
    """Create a certificate for some hosts, with its key in the same file."""
    path, names = folder / "certificate.pem", ",".join(f"DNS:{host}" for host in hosts)
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9"
    subject = ["-subj", "/CN=clipsonic test", "-addext", f"subjectAltName={names}"]
    subprocess.run(
        [*command.split(), *subject, "-keyout", path, "-out", folder / "public.pem"],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + (folder / "public.pem").read_bytes())
    return path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5

    def log_message(self, *_: object) -> None: ...

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.ours.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False

    def handle(self) -> None:
        with suppress(OSError):  # the client was killed
            super().handle()

    def finish(self) -> None:
        super().finish()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.close()

    def do_GET(self) -> None:
        ours = self.server.ours
        ours.requests.append(Request(self.headers["Host"], self.path, self.headers))
        content, fault = ours.next_answer(self.path)
        tag = f'"{hashlib.sha256(content).hexdigest()[:12]}"'
        start = self._start(content, fault, fault.headers.get("ETag", tag))
        body = content[min(start, len(content)) :]
        status = fault.status or (206 if start else 200)
        headers = {"ETag": tag, "Content-Length": str(len(body) + fault.longer)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if start >= len(content) > 0:
            status, body = 416, b""
            headers |= {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"}
        if fault.chunked or fault.unsized:
            del headers["Content-Length"]
        if fault.chunked:
            headers["Transfer-Encoding"] = "chunked"
        self.send_response(status)
        for name, value in (headers | fault.headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if fault.unsized or fault.longer:
            self.close_connection = True
        try:
            self._send(body, fault)
        except OSError:  # the client has gone
            self.close_connection = True

    def _start(self, content: bytes, fault: Fault, tag: str | None) -> int:
        requested = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        holds = not fault.conditions or condition in (None, tag, fault.headers.get("Last-Modified"))
        return int(requested[1]) if requested and holds and fault.ranges and not fault.status else 0

    def _send(self, body: bytes, fault: Fault) -> None:
        limits = [limit for limit in (fault.cut_after, fault.stall_after) if limit is not None]
        for at in range(0, min([len(body), *limits]), fault.block):
            piece = body[at : min([at + fault.block, len(body), *limits])]
            self.server.ours.sent += len(piece)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if fault.chunked else piece)
            time.sleep(fault.pause)
        if fault.stall_after is not None:
            self.server.ours.closing.wait(600)
        if limits:
            self.close_connection = True
        elif fault.chunked:
            self.wfile.write(b"0\r\n\r\n")
