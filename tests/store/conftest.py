"""A real PostgreSQL for every test: the embedded one, and Debian's 15 where it is installed."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from quantlab.settings import Settings
from quantlab.store import embedded, open_store
from quantlab.store.embedded import EmbeddedServer
from quantlab.store.store import Store

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
SERVERS = ["embedded", *(["debian15"] if (DEBIAN_15 / "initdb").exists() else [])]
_numbers = itertools.count()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped server's folder, made once by initdb."""
    root = tmp_path_factory.mktemp("template") / "postgres"
    server = EmbeddedServer(root)
    server.ensure()
    server.close()
    return root


@pytest.fixture
def new_home(template: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Make a home whose server was initialised but holds nothing."""

    def make(name: str = "home") -> Path:
        home = tmp_path / name
        home.mkdir(parents=True)
        subprocess.run(["cp", "-a", template, home / "postgres"], check=True)
        return home

    return make


@pytest.fixture(scope="session", params=SERVERS)
def address(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict]:
    """Connection parameters of a running server, whose database ``made`` has the newest schema."""
    root = tmp_path_factory.mktemp("server") / "postgres"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(embedded._OPTIONS, "fsync", "off")  # nothing is killed here
        if request.param == "embedded":
            subprocess.run(["cp", "-a", template, root], check=True)
        else:
            patch.setattr(embedded, "folders", lambda: {15: DEBIAN_15})
        server = EmbeddedServer(root)
        parameters = server.ensure()
    address = {key: parameters[key] for key in ("host", "port", "user")}
    create(address, "made")
    with open_store(Settings(home=root, dsn=conninfo(address, "made"))):
        pass
    yield address
    server.close()


def create(address: dict, name: str, source: str = "template1") -> None:
    with psycopg.connect(**address, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"create database {name} template {source}")


def conninfo(address: dict, name: str) -> str:
    return psycopg.conninfo.make_conninfo("", **address, dbname=name)


@pytest.fixture
def empty_dsn(address: dict) -> str:
    """Connection string of a database without a schema."""
    name = f"empty_{next(_numbers)}"
    create(address, name)
    return conninfo(address, name)


@pytest.fixture
def dsn(address: dict) -> str:
    """Connection string of a fresh database with the newest schema."""
    name = f"lab_{next(_numbers)}"
    create(address, name, "made")
    return conninfo(address, name)


@pytest.fixture
def store(dsn: str, tmp_path: Path) -> Iterator[Store]:
    """An open store on a fresh database."""
    with open_store(Settings(home=tmp_path / "unused", dsn=dsn)) as opened:
        yield opened


@pytest.fixture
def sql(store: Store, dsn: str) -> Iterator[psycopg.Connection]:
    """A superuser's own connection to the store's database, in autocommit mode."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection
