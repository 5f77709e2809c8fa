"""Markets: candles and their quality, resampling, synthetic and permuted markets."""
