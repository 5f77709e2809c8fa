import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import configuration_samples as samples
import pytest

from quantlab.configuration import export
from quantlab.configuration.canonical import canonical_bytes, parse, with_id
from quantlab.configuration.document import approve
from quantlab.configuration.reader import read
from quantlab.errors import ConfigurationError


def visible(folder):
    return sorted(path.name for path in Path(folder).iterdir() if not path.name.startswith("."))


def test_the_name_follows_from_the_content(tmp_path):
    document = samples.approved()
    path = export.write(document, tmp_path / "new" / "folder")
    name = f"sma_cross_synthetic-MOMENTUM-5-USD-1d_{document['identity']['config_id'][:16]}.v3.json"
    assert path == tmp_path / "new" / "folder" / name
    assert path.read_bytes() == canonical_bytes(document)
    assert read(path, now=samples.NOW) == parse(path.read_bytes())


def test_a_hostile_name_stays_in_the_folder(tmp_path):
    document = samples.approved()
    document["strategy"]["name"] = "../../etc/passwd\0"
    document["market"]["exchange"] = "x" * 500
    path = export.write(with_id(document), tmp_path)
    assert path.parent == tmp_path
    assert path.name.startswith("etc-passwd_xxx")
    assert len(path.name) < 255


def test_writing_twice_changes_nothing(tmp_path):
    first = export.write(samples.approved(), tmp_path)
    before = os.stat(first)
    assert export.write(samples.approved(), tmp_path) == first
    assert os.stat(first).st_mtime_ns == before.st_mtime_ns
    assert os.stat(first).st_ino == before.st_ino
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


def test_other_content_under_the_name_is_not_overwritten(tmp_path):
    path = export.write(samples.approved(), tmp_path)
    path.write_bytes(b"something else")
    with pytest.raises(ConfigurationError, match="exists with other content"):
        export.write(samples.approved(), tmp_path)
    assert path.read_bytes() == b"something else"


def test_only_what_may_be_traded_is_exported(tmp_path):
    altered = samples.approved()
    altered["cost_model"]["taker"] = 0.0
    invalid = samples.approved()
    del invalid["identity"]
    for document, reason in (
        (samples.candidate(), "nobody has approved"),
        (samples.candidate(failed="recency"), "the gate refused"),
        (altered, "was altered"),
        (invalid, "'identity' is a required property"),
    ):
        with pytest.raises(ConfigurationError, match=reason):
            export.write(document, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_old_document_can_be_exported_again(tmp_path):
    """The export asks whether it was tradable when approved; the reader asks about today."""
    document = samples.approved()
    document["identity"]["created_at"] = "2001-01-01T00:00:00Z"
    document["identity"]["expires_at"] = "2001-02-01T00:00:00Z"
    document["lifecycle"]["approvals"] = []
    document = approve(document, by="ana", reason="then", at="2001-01-02T00:00:00Z")
    path = export.write(document, tmp_path)
    with pytest.raises(ConfigurationError, match="expired"):
        read(path)


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    occupied = tmp_path / "file"
    occupied.write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        export.write(samples.approved(), occupied / "folder")


def test_a_failed_sync_leaves_nothing(tmp_path, monkeypatch):
    def fails(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(ConfigurationError, match="Input/output error"):
        export.write(samples.approved(), tmp_path)
    assert list(tmp_path.iterdir()) == []


# One process imports the package and forks for every way to die: the fork is killed, not a mock of it.
FORKS = """
import os, random, resource, signal, sys, time, traceback
from pathlib import Path
from quantlab.configuration import export
from quantlab.configuration.canonical import parse, with_id

root, source = Path(sys.argv[1]), Path(sys.argv[2])
document = parse(source.read_bytes())
export.validate(document)  # loads jsonschema before the forks
export.open = open

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def before(function):
    return die

def after(function):
    def call(*args, **options):
        function(*args, **options)
        die()
    return call

def half(function):
    def opened(path, mode):
        file = function(path, mode)
        class Half:
            def __enter__(self): return self
            def __exit__(self, *_): pass
            def write(self, raw):
                file.write(raw[: len(raw) // 2]); file.flush(); die()
        return Half()
    return opened

def once(name, module, wrap):
    setattr(module, name, wrap(getattr(module, name)))
    export.write(document, folder)

def full():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    export.write(document, folder)

def many():
    for generation in range(1, 100_000):
        document["identity"]["generation"] = generation
        export.write(with_id(document), folder)

ways = {
    "never": lambda: export.write(document, folder),
    "before the file": lambda: once("open", export, before),
    "after the file": lambda: once("open", export, after),
    "half written": lambda: once("open", export, half),
    "before sync": lambda: once("fsync", os, before),
    "after sync": lambda: once("fsync", os, after),
    "before rename": lambda: once("replace", os, before),
    "after rename": lambda: once("replace", os, after),
    "full disk": full,
    **{f"many {i}": many for i in range(6)},
}
rng = random.Random(7)
for way, run in ways.items():
    folder = root / way
    folder.mkdir()
    pid = os.fork()
    if pid == 0:
        try:
            run()
        except Exception:
            (root / f"{way}.error").write_text(traceback.format_exc())
            os._exit(1)
        os._exit(0)
    if run is many:
        while sum(not name.startswith(".") for name in os.listdir(folder)) < 2:
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.1))
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    (root / f"{way}.status").write_text(str(status))
"""


@pytest.fixture(scope="module")
def deaths(tmp_path_factory):
    """The folder in which every fork left its folder, its exit status and its error, if any."""
    root = tmp_path_factory.mktemp("deaths")
    source = tmp_path_factory.mktemp("source") / "source"
    source.write_bytes(canonical_bytes(samples.approved()))
    subprocess.run([sys.executable, "-c", FORKS, str(root), str(source)], check=True, timeout=300)
    return root


@pytest.mark.parametrize(
    ("point", "written"),
    [
        ("before the file", False),
        ("after the file", False),
        ("half written", False),
        ("before sync", False),
        ("after sync", False),
        ("before rename", False),
        ("after rename", True),
        ("never", True),
    ],
)
def test_killed_at_any_point_there_is_nothing_or_the_whole_file(deaths, tmp_path, point, written):
    expected = 0 if point == "never" else -signal.SIGKILL
    assert (deaths / f"{point}.status").read_text() == str(expected)
    folder = shutil.copytree(deaths / point, tmp_path / "out")
    files = visible(folder)
    assert len(files) == written
    for name in files:
        assert (folder / name).read_bytes() == canonical_bytes(samples.approved())
    path = export.write(samples.approved(), folder)  # and the next export completes it
    assert visible(folder) == [path.name]
    assert path.read_bytes() == canonical_bytes(samples.approved())


@pytest.mark.parametrize("attempt", range(6))
def test_killed_at_a_random_moment_every_file_is_whole(deaths, attempt):
    folder = deaths / f"many {attempt}"
    assert (deaths / f"many {attempt}.status").read_text() == str(-signal.SIGKILL)
    names = visible(folder)
    assert len(names) >= 2
    for name in names:
        read(folder / name, now=samples.NOW)
    assert len(list(folder.iterdir())) - len(names) <= 1  # at most the one hidden file it was writing


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(deaths):
    error = (deaths / "full disk.error").read_text()
    assert "ConfigurationError" in error
    assert "Nothing was exported" in error
    assert list((deaths / "full disk").iterdir()) == []


def test_the_schema_ships_with_the_package():
    schema = json.loads((Path(export.__file__).parent / "v3.schema.json").read_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
