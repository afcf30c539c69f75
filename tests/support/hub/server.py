"""A Hugging Face Hub on loopback, of a few small repositories, and huggingface_hub turned to it.

Knows: what huggingface_hub 2 asks a Hub, and what that answers: lists of files, redirects of large files to another
address, parts of files, error codes. Does not know: streamrvq.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_good"
Files = dict[str, bytes]


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Hub:
    """What the server has, and how it behaves. A test changes it while it runs.

    Attributes:
        repos: a repository's name → its commits, the newest last, each with its files.
        gated: repositories of which it gives files only with `TOKEN`.
        private: repositories that it denies to have without `TOKEN`.
        cut: of every body longer than this, so many bytes are sent before the connection breaks; once a path.
        breaks: how many times that is done.
        lies: a file's name → what is sent in its place, however often it is asked for.
        claims: a file's name → the bytes whose size and hashes are listed in place of its own.
        status: answered to everything, if not 0.
        hashes: whether it states any.
        asked: the requests so far, as "GET path".
        ranges: the header of every request for a part of a file.
    """

    repos: dict[str, list[Files]]
    gated: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    cut: int = 0
    breaks: int = 0
    lies: dict[str, bytes] = field(default_factory=dict)
    claims: dict[str, bytes] = field(default_factory=dict)
    status: int = 0
    hashes: bool = True
    asked: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def count(self) -> Counter[str]:
        """Requests by method."""
        return Counter(request.partition(" ")[0] for request in self.asked)

    def commit(self, repo: str, number: int = -1) -> str:
        """The name of a commit."""
        number %= len(self.repos[repo])
        return hashlib.sha1(f"{repo} {number}".encode()).hexdigest()

    def files(self, repo: str, revision: str) -> tuple[str, Files] | None:
        """A revision's commit and files: of main, of a tag v0, v1, …, of a request refs/pr/0, … or of a commit."""
        commits = {self.commit(repo, n): files for n, files in enumerate(self.repos[repo])}
        names = {"main": self.commit(repo)}
        for n, commit in enumerate(commits):
            names |= {f"v{n}": commit, f"refs/pr/{n}": commit}
        commit = names.get(revision, revision)
        return (commit, commits[commit]) if commit in commits else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", stated: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if stated is None else stated))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if stated is not None:
            self.close_connection = True

    def refuse(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"error": message}).encode()
        self.answer(status, body, X_Error_Code=code, X_Error_Message=message)

    def do_GET(self) -> None:
        hub, path = self.hub, urlsplit(self.path).path  # a revision's slashes are escaped in it
        hub.asked.append(f"{self.command} {path}")
        if hub.status:
            return self.answer(hub.status, b"{}")
        of_api = re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/revision/(.+))?", path)
        of_file = re.fullmatch(r"/(?:blobs/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        found = of_api or of_file
        trusted = self.headers.get("Authorization") == f"Bearer {TOKEN}" or path.startswith("/blobs/")
        if found is None or found[1] not in hub.repos or (found[1] in hub.private and not trusted):
            return self.refuse(401, "RepoNotFound", "Repository not found")
        if found[1] in hub.gated and of_file and not trusted:
            return self.refuse(401, "GatedRepo", "Access to this model is restricted")
        revision = unquote(found[2] or "main")
        there = hub.files(found[1], revision)
        if there is None:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if of_api:
            return self.list(found[1], *there)
        if found[3] not in there[1]:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        return self.send(path, found[3], *there)

    do_HEAD = do_GET

    def list(self, repo: str, commit: str, files: Files) -> None:
        siblings: list[dict[str, object]] = []
        for name, data in files.items():
            listed: dict[str, object] = {"rfilename": name}
            data = self.hub.claims.get(name, data)
            if self.hub.hashes:
                listed |= {"size": len(data), "blobId": git_hash(data)}
                if name.endswith(".safetensors"):
                    listed["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            siblings.append(listed)
        info = {"id": repo, "_id": "0", "sha": commit, "private": False, "tags": [], "siblings": siblings}
        self.answer(200, json.dumps(info).encode(), Content_Type="application/json")

    def send(self, path: str, name: str, commit: str, files: Files) -> None:
        hub, data = self.hub, files[name]
        large = name.endswith(".safetensors")
        tag = hashlib.sha256(data).hexdigest() if large else git_hash(data)
        if large and not path.startswith("/blobs/"):  # another host, as that of large files is
            where = f"http://localhost:{hub.port}/blobs{path}"
            return self.answer(
                302, Location=where, X_Linked_Etag=f'"{tag}"', X_Linked_Size=str(len(data)), X_Repo_Commit=commit
            )
        data = hub.lies.get(name, data)
        headers = {"ETag": f'"{tag}"', "X_Repo_Commit": commit, "Accept_Ranges": "bytes"}
        start = 0
        if "Range" in self.headers:
            hub.ranges.append(self.headers["Range"])
            asked = re.match(r"bytes=(\d+)-", self.headers["Range"])
            assert asked is not None
            start = int(asked[1])
            headers["Content_Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = data[start:]
        if hub.breaks and self.command == "GET" and len(body) > hub.cut:
            hub.breaks -= 1
            return self.answer(206 if start else 200, body[: hub.cut], len(body), **headers)
        return self.answer(206 if start else 200, body, **headers)


@contextmanager
def served(repos: dict[str, list[Files]]) -> Iterator[Hub]:
    """A Hub of ``repos`` on a port of its own."""
    hub = Hub(repos)
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


def turned_to(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn huggingface_hub in this process to ``hub``, as ``HF_ENDPOINT`` and ``HF_HOME`` do when it is imported."""
    import huggingface_hub
    from huggingface_hub import constants

    huggingface_hub.close_session()
    for name, value in {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
