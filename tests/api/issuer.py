"""An identity provider on loopback: keys of its own, tokens signed with them, and where the public keys are told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from backend.config import Settings

AUDIENCE = "gleanset"
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def _made(algorithm: str) -> Private:
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else ed25519.Ed25519PrivateKey.generate()


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Issuer:
    """`keys` by their ids, with the algorithm; the server answers with `status`, and `body` when it is not None."""

    url: str = ""
    keys: dict[str, tuple[str, Private]] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    location: str | None = None
    delay: float = 0.0
    asked: int = 0

    def new_key(self, algorithm: str = "RS256") -> str:
        key_id = uuid4().hex
        self.keys[key_id] = (algorithm, _made(algorithm))
        return key_id

    def document(self) -> bytes:
        if self.body is not None:
            return self.body
        kinds = jwt.algorithms.get_default_algorithms()
        keys = [
            {"kid": key_id, "alg": algorithm, "use": "sig"} | json.loads(kinds[algorithm].to_jwk(private.public_key()))
            for key_id, (algorithm, private) in self.keys.items()
        ]
        return json.dumps(
            {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "secret"}, {"kty": "odd"}, 7, *keys]}
        ).encode()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Of somebody new, for an hour; a change to None leaves the claim out."""
        subject = str(uuid4())
        usual: dict[str, Any] = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": subject,
            "exp": time.time() + 3600,
            "email": f"{subject[:8]}@example.org",
            "name": "Ada",
        }
        return {name: value for name, value in (usual | changes).items() if value is not None}

    def token(self, key_id: str | None = None, **changes: Any) -> str:
        key_id = key_id or next(iter(self.keys))
        algorithm, private = self.keys[key_id]
        return jwt.encode(self.claims(**changes), private, algorithm, headers={"kid": key_id})

    def by_hand(self, header: dict[str, Any], secret: bytes, **changes: Any) -> str:
        """A token with any header, signed as HS256 is."""
        parts = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(self.claims(**changes)).encode())}"
        return f"{parts}.{encoded(hmac.digest(secret, parts.encode(), hashlib.sha256))}"

    def public_pem(self, key_id: str) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.keys[key_id][1].public_key().public_bytes(serialization.Encoding.PEM, form)


def trusting(issuer: Issuer, home: Path, url: str) -> Settings:
    """Settings of a team whose people the provider vouches for."""
    return Settings(home=home, database_url=url, accounts="team", oidc_issuer=issuer.url, oidc_audience=AUDIENCE)


@contextmanager
def issuing() -> Iterator[Issuer]:
    """The provider with one RSA key, until the end of the block."""
    issuer = Issuer()
    issuer.new_key()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            time.sleep(issuer.delay)
            good = self.path == "/.well-known/jwks.json"
            self.send_response(issuer.status if good else 404)
            if issuer.location:
                self.send_header("Location", issuer.location)
            self.end_headers()
            try:
                self.wfile.write(issuer.document())
            except OSError:
                return  # whoever asked had read enough

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nothing of it in the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
