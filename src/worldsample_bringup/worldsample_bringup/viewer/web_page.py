"""Serves the page of Rerun's viewer on this machine, with a policy that lets it speak with nobody else.

The page itself would fetch a font and send usage data elsewhere. A browser obeys the policy, whatever the
page's programs try.
"""

from __future__ import annotations

import re
import shutil
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

HOST = "127.0.0.1"
_FOREIGN = re.compile(rb"<link[^>]*https?://[^>]*>")
_PATH = re.compile(r"/[\w.-]*$")
_LOCAL = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?$")
_PASSED_ON = ("Content-Type", "Content-Length", "rerun-final-length")


def content_policy(stream_port: int) -> str:
    """The Content-Security-Policy of the page: this machine only."""
    here = f"http://{HOST}:{stream_port}"
    return (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        f"worker-src 'self' blob:; connect-src 'self' data: blob: {here}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


class WebPage:
    """The page, from its making until :meth:`close`.

    Args:
        port: of the page.
        source_port: where Rerun's own server of the page is, on this machine.
        stream_port: of the server that has the data.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, port: int, source_port: int, stream_port: int) -> None:
        stream = quote(f"rerun+http://{HOST}:{stream_port}/proxy", safe="")
        entry = f"/?url={stream}&hide_welcome_screen&persist=0&notebook=0"

        class Handler(_Handler):
            source = f"http://{HOST}:{source_port}"
            policy = content_policy(stream_port)
            start = entry

        self._server = ThreadingHTTPServer((HOST, port), Handler)
        self._server.daemon_threads = True
        self.address = f"http://{HOST}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    source = ""
    policy = ""
    start = ""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if not _LOCAL.match(self.headers.get("Host", "")) or not _PATH.match(path):
            self.send_error(404)
        elif path == "/" and not query:
            self.send_response(302)
            self.send_header("Location", self.start)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._pass_on(path)

    def _pass_on(self, path: str) -> None:
        try:
            with urllib.request.urlopen(self.source + path, timeout=20.0) as answer:
                text = _FOREIGN.sub(b"", answer.read()) if path in ("/", "/index.html") else None
                self.send_response(200)
                for name in _PASSED_ON:
                    if answer.headers[name] and not (text is not None and name == "Content-Length"):
                        self.send_header(name, answer.headers[name])
                if text is not None:
                    self.send_header("Content-Length", str(len(text)))
                self.send_header("Content-Security-Policy", self.policy)
                self.send_header("Cache-Control", "no-cache")
                self.end_headers()
                if text is not None:
                    self.wfile.write(text)
                else:
                    shutil.copyfileobj(answer, self.wfile)
        except urllib.error.HTTPError as error:
            self.send_error(error.code)
        except (OSError, ValueError):
            self.close_connection = True  # the browser or the viewer has gone away

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each file."""
