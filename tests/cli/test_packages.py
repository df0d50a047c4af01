"""Exports are verified and compared by the command line: here, behind an address, and by the number of their job."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.cli.conftest import Cli, Inside
from tests.cli.test_bad_input import complaint
from tests.engine.packages import files_of, package
from tests.web import picture


class Silent(SimpleHTTPRequestHandler):
    """Says nothing on standard error, which is the command's here."""

    def log_message(self, *_: object) -> None: ...


@contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_two_exports_of_a_run(cli: Cli, inside: Inside) -> None:
    root = cli.folder / "pets"
    root.mkdir()
    for n in range(6):
        (root / f"{n}.jpg").write_bytes(picture(n))
    cli.ok("crawl", "--folder", "pets", "--label", "cat", "--out", "one.zip")
    (root / "0.jpg").unlink()
    (root / "9.jpg").write_bytes(picture(9))
    cli.ok("crawl", "--folder", "pets", "--label", "dog", "--out", "two.tar.gz")

    for name, code in (("one.zip", 0), ("two.tar.gz", 0)):
        done = inside("verify", name)
        assert (done.code, "is sound" in done.out) == (code, True), done
    told = inside("verify", "one.zip", "--json").json
    assert told["sound"] is True
    assert told["files"] > 6

    by_number, by_path = (inside("diff", *given, "--json").json for given in (("1", "2"), ("one.zip", "two.tar.gz")))
    assert by_number == by_path
    assert [by_path[name] for name in ("added", "removed", "changed", "same")] == [1, 1, 5, 0]
    assert by_path["changes"]["label"] == 5
    text = inside.ok("diff", "1", "2", "--limit", "1").out
    assert "1 added, 1 removed, 5 changed, 0 the same." in text
    assert "label: cat -> dog" in text
    inside.ok("export", "1", "--resize", "40", "--labels", "cat", "--out", "small.zip")
    told = inside("diff", "one.zip", "small.zip", "--json").json
    assert {name: count for name, count in told["changes"].items() if count} == {"resized": 6}
    assert told["options"]["labels"] == {"before": None, "after": ["cat"]}
    assert told["options"].keys() == {"labels", "resize"}
    text = inside.ok("diff", "one.zip", "small.zip", "--limit", "1").out
    assert "Changed: resized 6." in text
    assert 'option labels: - -> ["cat"]' in text
    assert re.search(r"resized: \d+ x \d+ jpeg -> \d+ x \d+ jpeg", text)
    assert "no export job 77" in complaint(inside("diff", "77", "1"), 2)
    assert "no export job 9999" in complaint(inside("diff", "9" * 30, "1"), 2)


def test_what_is_wrong_with_an_export(inside: Inside, cli: Cli) -> None:
    files = files_of(40)
    wrong = [(name, data + b"!") for name, data in files[:30]] + [*files[31:], ("\x1b[31mred\n", b"")]
    package(cli.folder, "tar", wrong)
    done = inside("verify", "export.tar")
    assert done.code == 1
    assert "NOT sound" in done.out
    assert "altered: 30, with other bytes than the manifest says" in done.out
    assert "and 10 more" in done.out
    assert f"missing: 1, in the manifest, but not there\n  {files[30][0]}" in done.out
    assert "\x1b" not in done.out
    told = inside("verify", "export.tar", "--json")
    assert (told.code, told.json["sound"], told.json["altered"]["count"]) == (1, False, 30)
    assert "neither a folder nor" in complaint(inside("verify", __file__), 2)
    assert "No such file" in complaint(inside("verify", "none.zip"), 2)
    for place in ("foo://x", "foo://x/y.zip", "s3://"):
        assert "neither a folder nor an address such as s3://bucket" in complaint(inside("verify", place), 2)


def test_behind_an_address(inside: Inside, cli: Cli) -> None:
    web = cli.folder / "web"
    web.mkdir()
    package(web, "zip", files_of(5))
    with served(web) as url:
        refused = complaint(inside("verify", f"{url}/export.zip?signature=s3cret"), 2)
        assert "--allow-private" in refused
        assert "s3cret" not in refused
        assert inside("verify", f"{url}/export.zip?signature=s3cret", "--allow-private").code == 0
        assert "404" in complaint(inside("verify", f"{url}/none.zip", "--allow-private"), 2)
        broken = web / "export.zip"
        with zipfile.ZipFile(broken, "a") as archive:
            archive.writestr("more", "x")
        done = inside("verify", f"{url}/export.zip", "--allow-private", "--json")
        assert (done.code, json.loads(done.out)["additional"]["files"]) == (1, ["more"])
    assert list((cli.folder / "home" / "tmp").iterdir()) == []
