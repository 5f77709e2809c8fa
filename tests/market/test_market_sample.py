import hashlib

import numpy as np
import pytest

from quantlab.errors import CandlesError
from quantlab.market import sample
from quantlab.market.candles import NO_TRADE, iso
from quantlab.market.sample import FILE_NAME, SHA256, sample_candles
from quantlab.settings import sample_folder


def test_the_sample_is_what_its_notice_says():
    candles = sample_candles()
    assert (candles.exchange, candles.symbol, candles.timeframe) == ("coinbase", "BTC/USD", "1h")
    assert len(candles) == 16_449
    assert repr(candles).endswith("2017-12-01T00:00Z to 2019-10-17T08:00Z, 0 missing)")
    quality = candles.quality()
    assert quality.no_trade == 26
    assert quality.invented_opens > 0.999
    assert len(quality.suspicious["filled outage"]) == 18
    assert np.flatnonzero(candles.open[1:] != candles.close[:-1]).size == 6
    quiet = [iso(ms) for ms in candles.timestamps[(candles.flags & NO_TRADE) > 0]]
    assert quiet[8:23:14] == ["2018-08-10T01:00Z", "2018-08-10T15:00Z"]


def test_the_checksums_agree():
    folder = sample_folder()
    assert (folder / "SHA256SUMS").read_text() == f"{SHA256}  {FILE_NAME}\n"
    assert SHA256 in (folder / "NOTICE.md").read_text()
    assert hashlib.sha256((folder / FILE_NAME).read_bytes()).hexdigest() == SHA256


def test_an_altered_or_absent_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "sample_folder", lambda: tmp_path)
    with pytest.raises(CandlesError, match="are not at"):
        sample_candles()
    content = (sample_folder() / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(content[:-1] + b"x")
    with pytest.raises(CandlesError, match="was altered: its SHA-256 is"):
        sample_candles()
