"""Lists that lie elsewhere or are compressed, from the command line to the dataset."""

from __future__ import annotations

import gzip
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.cli.conftest import Cli
from tests.cli.test_bad_input import complaint
from tests.cli.test_runs import write_list
from tests.web import PictureWeb, expected, sha256_of


def test_gzipped_and_remote_lists_become_a_dataset(cli: Cli) -> None:
    with PictureWeb().served() as url, served(cli.folder) as lists:
        packed = cli.folder / "packed.csv.gz"
        packed.write_bytes(gzip.compress(write_list(cli.folder, url, 30).read_bytes()))
        (cli.folder / "remote.jsonl").write_text(
            "".join(json.dumps({"url": f"{url}/{n}.jpg", "label": "remote"}) + "\n" for n in range(30, 50))
        )
        arguments = ["--urls", str(packed), "--urls", f"{lists}/remote.jsonl", "--allow-private", "--out", "set.zip"]
        done = cli.ok("crawl", *arguments)
    assert f"Copying the list {lists}/remote.jsonl" in done.err
    with zipfile.ZipFile(cli.folder / "set.zip") as archive:
        rows = [json.loads(line) for line in archive.read("metadata.jsonl").splitlines()]
    labels = {sha256_of(n): "remote" if n >= 30 else "even" if n % 2 == 0 else "odd" for n in range(50)}
    assert {row["sha256"]: row["label"] for row in rows} == {
        sha256_of(n): labels[sha256_of(n)] for n in range(50) if expected(n) is None
    }
    assert len(list((cli.folder / "home" / "images" / "lists").iterdir())) == 2
    assert cli.ok("db", "doctor", "--json").json["status"] != "error"


def test_a_remote_list_in_a_private_network(cli: Cli) -> None:
    with served(cli.folder) as lists:
        assert "--allow-private" in complaint(cli.run("crawl", "--urls", f"{lists}/list.csv", "--json"), 2)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder's files on a loopback port."""
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
