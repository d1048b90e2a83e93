"""A token server for a real registry: RS256 tokens that docker-registry verifies.

Spec: distribution, Token Authentication Implementation.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ISSUER, SERVICE = "wherry-tests", "registry"


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer:
    """Gives `user` what it asks for, and others the right to pull from `public/`."""

    def __init__(self, root: Path, user: str, password: str) -> None:
        self.root = root
        self.asked: list[dict[str, Any]] = []
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                "-subj", "/CN=wherry-tests", "-keyout", f"{root}/key.pem", "-out", f"{root}/certificate.pem",
            ],
            check=True, capture_output=True,
        )  # fmt: skip
        pem = (root / "certificate.pem").read_text()
        self._certificate = "".join(line for line in pem.splitlines() if "-----" not in line)
        self._basic = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                authorization = self.headers.get("Authorization", "")
                query = parse_qs(urlsplit(self.path).query)
                server.asked.append({"query": query, "authorization": authorization})
                if authorization and authorization != server._basic:
                    self.send(
                        401,
                        {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]},
                    )
                    return
                self.send(200, {"token": server.token(query.get("scope", []), known=bool(authorization))})

            def send(self, status: int, document: dict[str, Any]) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def realm(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/token"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def token(self, scopes: list[str], *, known: bool) -> str:
        """A token for what of `scopes` is granted."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            granted = actions.split(",") if known else ["pull"] if name.startswith("public/") else []
            access.append({"type": kind, "name": name, "actions": granted})
        now = int(time.time())
        claims = {
            "iss": ISSUER, "sub": "", "aud": SERVICE, "exp": now + 300, "nbf": now - 10, "iat": now,
            "jti": str(now), "access": access,
        }  # fmt: skip
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self._certificate]}
        signed = encode(json.dumps(header).encode()) + "." + encode(json.dumps(claims).encode())
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", f"{self.root}/key.pem"],
            input=signed.encode(),
            check=True,
            capture_output=True,
        ).stdout
        return f"{signed}.{encode(signature)}"
