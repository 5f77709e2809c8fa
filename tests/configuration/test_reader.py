import json
import subprocess
import sys
from copy import deepcopy
from datetime import UTC, datetime, timedelta

import configuration_samples as samples
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.configuration.canonical import canonical_bytes, sha256, with_id
from quantlab.configuration.reader import check, read
from quantlab.errors import ConfigurationError

GOOD = canonical_bytes(samples.approved())


def put(path, value):
    """A change: set the value at a dotted path (keys and indices)."""

    def change(document):
        *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
        for key in parents:
            document = document[key]
        document[last] = value

    return change


def drop(path):
    def change(document):
        *parents, last = path.split(".")
        for key in parents:
            document = document[key]
        del document[last]

    return change


def signed(document):
    document["signature"] = {"algorithm": "Ed25519", "public_key": "x", "value": "y"}


def reapproved(change):
    """The change, made to the evidence before it was approved."""

    def both(document):
        change(document)
        for approval in document["lifecycle"]["approvals"]:
            approval["evidence_sha256"] = sha256(document["validation"])

    return both


# Changes by somebody who computes the id anew, and the reason for which each must be refused.
REHASHED = {
    "another schema": (put("schema.name", "other.config"), "not a quantlab configuration"),
    "unknown major": (put("schema.version", "4.0"), "knows major 3 only"),
    "older major": (put("schema.version", "2.9"), "knows major 3 only"),
    "version as a number": (put("schema.version", 3.0), "must read like '3.0'"),
    "needs a newer reader": (put("schema.least_reader", "3.2"), "upgrade quantlab"),
    "needs another major": (put("schema.least_reader", "4.0"), "upgrade quantlab"),
    "no version": (drop("schema.version"), "must read like '3.0'"),
    "no schema": (drop("schema"), "not a quantlab configuration"),
    "no section": (drop("risk_limits"), "'risk_limits' is a required property"),
    "no limit": (drop("risk_limits.max_leverage"), "'max_leverage' is a required property"),
    "no circuit breaker": (
        drop("risk_limits.circuit_breakers.max_daily_loss"),
        "'max_daily_loss' is a required",
    ),
    "unknown section": (put("extra", {}), "Additional properties are not allowed"),
    "unknown key": (put("execution.leverage", 10), "Additional properties are not allowed"),
    "wrong type": (put("risk_limits.max_leverage", "1"), "is not of type 'number'"),
    "bool for number": (put("cost_model.taker", True), "is not of type 'number'"),
    "percent for fraction": (
        put("risk_limits.circuit_breakers.max_daily_loss", 2),
        "greater than the maximum",
    ),
    "negative cost": (put("cost_model.taker", -0.1), "less than the minimum"),
    "unknown timeframe": (put("market.timeframe", "7m"), "is not one of"),
    "fill on the same bar": (put("execution.fill", "close"), "was expected"),
    "null without reason": (put("risk_limits.max_leverage", None), "is not of type 'number'"),
    "silent null": (drop("market.unmeasured.tick_size"), r"market\.tick_size is null without a reason"),
    "no reasons at all": (drop("market.unmeasured"), r"is null without a reason"),
    "reason without null": (put("market.tick_size", 0.5), "gives a reason for 'tick_size'"),
    "float for int": (put("strategy.parameters.fast.value", 5.5), "5\\.5 is not of type 'integer'"),
    "outside the search": (put("strategy.parameters.fast.value", 13), "outside what was searched"),
    "search outside the space": (
        put("strategy.parameters.fast.searched.high", 5000),
        "outside what was searched",
    ),
    "no parameters": (put("strategy.parameters", {}), "does not have enough|non-empty"),
    "no such day": (put("identity.created_at", "2026-02-30T00:00:00Z"), "a moment must read like"),
    "no zone": (put("identity.expires_at", "2026-05-01T12:00:00"), "does not match"),
    "expires before it begins": (
        put("identity.expires_at", "2026-01-31T11:59:59Z"),
        "must lie after created_at",
    ),
    "expired": (put("identity.expires_at", "2026-02-01T23:59:59Z"), "expired at 2026-02-01"),
    "from the future": (put("identity.created_at", "2026-02-03T00:00:00Z"), "comes from the future"),
    "approved in the future": (
        put("lifecycle.approvals.0.at", "2026-02-03T00:00:00Z"),
        "comes from the future",
    ),
    "refused by the gate": (reapproved(put("validation.approved", False)), "the gate refused"),
    "a failed test": (reapproved(put("validation.tests.0.passed", False)), "failed: .'trades'"),
    "no tests": (reapproved(put("validation.tests", [])), "no decisive test"),
    "engines disagree": (reapproved(put("validation.replay.agreed", False)), "second engine disagreed"),
    "other evidence": (put("validation.tests.0.value", 0.9), "ana approved other evidence"),
    "not approved": (put("lifecycle.approvals", []), "nobody has approved"),
    "approval without a name": (put("lifecycle.approvals.0.by", ""), "should be non-empty|is too short"),
    "revoked": (put("lifecycle.revoked", True), "was revoked"),
    "in discovery": (put("lifecycle.stage", "DISCOVERY"), "DISCOVERY may not be traded"),
    "on paper": (put("lifecycle.stage", "PAPER"), "PAPER may not be traded"),
    "decayed": (put("lifecycle.stage", "DECAY"), "DECAY may not be traded"),
    "unknown stage": (put("lifecycle.stage", "LIVE"), "is not one of"),
    "signed": (signed, "cannot verify signatures"),
}


def no_drawdown_stop(document):
    document["risk_limits"]["drawdown_stop"] = None
    document["risk_limits"]["unmeasured"] = {"drawdown_stop": "too short"}


REHASHED["no drawdown stop"] = (no_drawdown_stop, "without a drawdown stop")

# Changes by somebody who does not: the hash refuses them whatever they are.
ALTERED = {
    "parameter": put("strategy.parameters.fast.value", 8),
    "cost": put("cost_model.taker", 0.0),
    "leverage": put("risk_limits.max_leverage", 2),
    "expiry": put("identity.expires_at", "2027-05-01T12:00:00Z"),
    "approver": put("lifecycle.approvals.0.by", "eve"),
    "symbol": put("market.symbol", "ETH/USD"),
    "commit": put("identity.commit", "e" * 40),
    "dirty flag": put("identity.dirty", True),
    "id": put("identity.config_id", "0" * 64),
}

# Bytes that still hold the same content, or none.
REWRITTEN = {
    "trailing newline": lambda raw: raw + b"\n",
    "indented": lambda raw: json.dumps(json.loads(raw), indent=1).encode(),
    "other key order": lambda raw: json.dumps(
        dict(reversed(json.loads(raw).items())), separators=(",", ":")
    ).encode(),
    "another spelling of a number": lambda raw: raw.replace(b'"days_per_year":365', b'"days_per_year":365.0'),
    "exponent": lambda raw: raw.replace(b'"days_per_year":365', b'"days_per_year":3.65e2'),
    "escaped letter": lambda raw: raw.replace(b'"by":"ana"', b'"by":"\\u0061na"'),
    "repeated key": lambda raw: raw.replace(b'"revoked":false', b'"revoked":true,"revoked":false'),
    "NaN": lambda raw: raw.replace(b'"tick_size":null', b'"tick_size":NaN'),
    "Infinity": lambda raw: raw.replace(b'"max_leverage":1', b'"max_leverage":Infinity'),
    "overflow": lambda raw: raw.replace(b'"max_leverage":1', b'"max_leverage":1e999'),
    "truncated": lambda raw: raw[:-1],
    "first half": lambda raw: raw[: len(raw) // 2],
    "empty": lambda raw: b"",
    "null": lambda raw: b"null",
    "a list of it": lambda raw: b"[" + raw + b"]",
    "two of it": lambda raw: raw + raw,
    "UTF-16": lambda raw: raw.decode().encode("utf-16"),
    "byte order mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "not UTF-8": lambda raw: raw.replace(b'"by":"ana"', b'"by":"an\xff"'),
    "lone surrogate": lambda raw: raw.replace(b'"by":"ana"', b'"by":"\\ud800"'),
    "NUL bytes": lambda raw: b"\0" * len(raw),
    "deep nesting": lambda raw: raw[:-1] + b',"x":' + b"[" * 900 + b"]" * 900 + b"}",
}


def test_the_good_document_is_read(tmp_path):
    path = tmp_path / "good.v3.json"
    path.write_bytes(GOOD)
    expected = json.loads(GOOD)
    assert (
        read(GOOD, now=samples.NOW)
        == read(path, now=samples.NOW)
        == read(str(path), now=samples.NOW)
        == expected
    )
    assert canonical_bytes(expected) == GOOD


@pytest.mark.parametrize("name", REHASHED)
def test_a_document_that_must_not_be_traded_is_refused_for_its_reason(name):
    change, reason = REHASHED[name]
    document = samples.approved()
    change(document)
    if "identity" in document:
        document = with_id(document)
    with pytest.raises(ConfigurationError, match=reason):
        read(canonical_bytes(document), now=samples.NOW)


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_document_is_refused_by_its_hash(name):
    document = samples.approved()
    ALTERED[name](document)
    with pytest.raises(ConfigurationError, match="was altered after its export"):
        read(canonical_bytes(document), now=samples.NOW)


@pytest.mark.parametrize("name", REWRITTEN)
def test_rewritten_bytes_are_refused(name):
    raw = REWRITTEN[name](GOOD)
    assert raw != GOOD
    with pytest.raises(ConfigurationError):
        read(raw, now=samples.NOW)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
@settings(derandomize=True, max_examples=150, deadline=None)
def test_any_changed_byte_is_refused(position, change):
    raw = bytearray(GOOD)
    raw[position] ^= change
    with pytest.raises(ConfigurationError):
        read(bytes(raw), now=samples.NOW)


@given(st.integers(0, len(GOOD) - 1), st.sampled_from('0123456789.-+eE"{}[],:\\ \n\tnulltrefasx'))
@settings(derandomize=True, max_examples=150, deadline=None)
def test_any_inserted_character_is_refused(position, character):
    raw = GOOD[:position] + character.encode() + GOOD[position:]
    with pytest.raises(ConfigurationError):
        read(raw, now=samples.NOW)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 40))
@settings(derandomize=True, max_examples=100, deadline=None)
def test_any_deleted_piece_is_refused(position, length):
    with pytest.raises(ConfigurationError):
        read(GOOD[:position] + GOOD[position + length :], now=samples.NOW)


def test_expiry_to_the_second():
    expires = datetime(2026, 5, 1, 12, tzinfo=UTC)
    read(GOOD, now=expires - timedelta(seconds=1))
    with pytest.raises(ConfigurationError, match="expired"):
        read(GOOD, now=expires)


def test_clocks_may_differ_by_minutes_only():
    approved = datetime(2026, 2, 1, 8, 30, tzinfo=UTC)
    read(GOOD, now=approved - timedelta(minutes=5))
    with pytest.raises(ConfigurationError, match="future"):
        read(GOOD, now=approved - timedelta(minutes=5, seconds=1))


@pytest.mark.parametrize("now", [datetime(2026, 2, 2), "2026-02-02T00:00:00Z", 1_770_000_000])
def test_a_moment_without_a_zone_is_refused(now):
    with pytest.raises(ConfigurationError, match="time zone"):
        read(GOOD, now=now)


def test_without_a_moment_the_clock_decides():
    document = samples.approved()
    document["identity"]["expires_at"] = "2026-02-01T09:00:00Z"
    with pytest.raises(ConfigurationError, match="expired"):
        read(canonical_bytes(with_id(document)))  # every clock that runs this test is past that moment
    document["identity"]["expires_at"] = "9999-12-31T23:59:59Z"
    read(canonical_bytes(with_id(document)))


@pytest.mark.parametrize("source", ["missing.json", ".", "\0", None, 5, bytearray(GOOD)])
def test_a_source_that_cannot_be_read_is_a_configuration_error(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(source, now=samples.NOW)


def test_check_takes_a_parsed_document():
    check(samples.approved(), now=samples.NOW)
    document = deepcopy(samples.approved())
    document["market"]["symbol"] = "ETH/USD"
    with pytest.raises(ConfigurationError, match="altered"):
        check(document, now=samples.NOW)


def test_all_faults_of_the_schema_are_listed_with_path_and_remedy():
    document = samples.approved()
    document["market"]["timeframe"] = "7m"
    document["cost_model"]["taker"] = "cheap"
    with pytest.raises(ConfigurationError) as caught:
        read(canonical_bytes(with_id(document)), now=samples.NOW)
    message = str(caught.value)
    assert "$.market.timeframe" in message
    assert "$.cost_model.taker" in message
    assert "export the configuration again" in message


def test_a_bot_loads_no_numerics(tmp_path):
    path = tmp_path / "good.v3.json"
    document = samples.approved()
    document["identity"]["expires_at"] = "9999-12-31T23:59:59Z"
    path.write_bytes(canonical_bytes(with_id(document)))
    code = (
        "import sys, quantlab\n"
        "before = set(sys.modules)\n"
        "from quantlab.configuration import reader\n"
        "reader.read(sys.argv[1])\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"quantlab", "jsonschema", "rfc8785"} <= loaded
    assert not loaded & {
        "numpy",
        "pandas",
        "numba",
        "scipy",
        "pyarrow",
        "psycopg",
        "vectorbt",
        "plotly",
        "tqdm",
    }
