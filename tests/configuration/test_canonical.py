import hashlib
import math
import struct
from datetime import UTC, datetime, timedelta, timezone

import configuration_samples as samples
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.configuration.canonical import canonical_bytes, config_id, parse, sha256, with_id
from quantlab.configuration.moments import to_datetime, to_text
from quantlab.errors import ConfigurationError

# RFC 8785, appendix B: IEEE 754 bits and their canonical text.
APPENDIX_B = """
0000000000000000 0
8000000000000000 0
0000000000000001 5e-324
8000000000000001 -5e-324
7fefffffffffffff 1.7976931348623157e+308
ffefffffffffffff -1.7976931348623157e+308
4340000000000000 9007199254740992
c340000000000000 -9007199254740992
4430000000000000 295147905179352830000
44b52d02c7e14af5 9.999999999999997e+22
44b52d02c7e14af6 1e+23
44b52d02c7e14af7 1.0000000000000001e+23
444b1ae4d6e2ef4e 999999999999999700000
444b1ae4d6e2ef4f 999999999999999900000
444b1ae4d6e2ef50 1e+21
3eb0c6f7a0b5ed8c 9.999999999999997e-7
3eb0c6f7a0b5ed8d 0.000001
41b3de4355555553 333333333.3333332
41b3de4355555554 333333333.33333325
41b3de4355555555 333333333.3333333
41b3de4355555556 333333333.3333334
41b3de4355555557 333333333.33333343
becbf647612f3696 -0.0000033333333333333333
43143ff3c1cb0959 1424953923781206.2
"""

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("line", APPENDIX_B.split("\n")[1:-1])
def test_numbers_of_the_rfc(line):
    bits, text = line.split()
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_bytes(value) == text.encode()


def test_example_of_the_rfc():
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert canonical_bytes(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@given(st.dictionaries(TEXT, JSON, max_size=4))
@settings(derandomize=True, max_examples=80, deadline=None)
def test_bytes_to_document_to_bytes_is_the_identity(document):
    raw = canonical_bytes(document)
    assert canonical_bytes(parse(raw)) == raw


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_numbers_keep_their_value(value):
    assert float(parse(canonical_bytes({"x": value}))["x"]) == value


def test_a_real_document_round_trips():
    raw = canonical_bytes(samples.approved())
    assert canonical_bytes(parse(raw)) == raw


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, r"\$\.a\[1\]\.b is nan: write null"),
        (-math.inf, r"\$\.a\[1\]\.b is -inf"),
        (2**53, "must lie within"),
        (np.float64(1.0), "is a float64"),
        (np.int64(1), "is a int64"),
        ((1, 2), "is a tuple"),
        ({1: 2}, "keys must be text"),
        ("\ud800", "canonical form"),
    ],
)
def test_what_has_no_canonical_form_is_named(value, message):
    with pytest.raises(ConfigurationError, match=message):
        canonical_bytes({"a": [0, {"b": value}]})


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"a":1,"a":1}', "occurs more than once"),
        (b'{"a":{"b":1,"b":2}}', "'b' occurs more than once"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b'{"a":-Infinity}', "-Infinity is not JSON"),
        (b'{"a":1e999}', "beyond the range"),
        (b'{"a":' + b"9" * 5000 + b"}", "more than 400 digits"),
        (b'{"a":' + b"9" * 390 + b"}", "beyond the range"),
        (b'{"a":1', "one UTF-8 JSON document"),
        (b'{"a":1} x', "Extra data"),
        (b"", "one UTF-8 JSON document"),
        (b"[1]", "must hold a JSON object, got list"),
        (b'\xef\xbb\xbf{"a":1}', "BOM"),
        (b'{"a":"\xff"}', "utf-8"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion"),
    ],
)
def test_what_other_readers_let_pass_is_refused(raw, message):
    with pytest.raises(ConfigurationError, match=message):
        parse(raw)


def test_the_id_is_the_hash_of_all_but_itself_and_the_signature():
    document = samples.approved()
    content = {key: value for key, value in document.items() if key != "signature"}
    del content["identity"]["config_id"]
    assert config_id(document) == hashlib.sha256(canonical_bytes(content)).hexdigest()

    document = samples.approved()
    stated = document["identity"]["config_id"]
    assert stated == config_id(document)
    assert config_id({**document, "signature": {"algorithm": "Ed25519"}}) == stated
    document["identity"]["config_id"] = "f" * 64
    assert config_id(document) == stated
    assert with_id(document)["identity"]["config_id"] == stated
    assert document["identity"]["config_id"] == "f" * 64  # with_id copies


def test_the_id_covers_every_section():
    document = samples.approved()
    for section in document:
        changed = {**document, section: {**document[section], "x": 1}}
        assert config_id(changed) != config_id(document), section


def test_order_and_kind_of_number_do_not_matter():
    assert sha256({"a": 1.0, "b": 2}) == sha256({"b": 2, "a": 1})


def test_no_identity_is_an_error():
    with pytest.raises(ConfigurationError, match=r"\$\.identity"):
        config_id({"schema": {}})


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30T00:00:00Z",
        "2026-01-01",
        "2026-01-01T00:00:00+00:00",
        "2026-1-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
        "2026-01-01T24:00:00Z",
        "",
        None,
        5,
    ],
)
def test_other_moments_are_refused(text):
    with pytest.raises(ConfigurationError, match="2026-01-31T12:00:00Z"):
        to_datetime(text)


def test_moments():
    berlin = datetime(2026, 1, 31, 13, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert to_text(berlin) == "2026-01-31T12:00:00Z"
    assert to_datetime("2026-01-31T12:00:00Z") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert to_text("2026-01-31T12:00:00Z") == "2026-01-31T12:00:00Z"
    with pytest.raises(ConfigurationError, match="time zone"):
        to_text(datetime(2026, 1, 31))
