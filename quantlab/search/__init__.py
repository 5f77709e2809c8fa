"""Search: a study asks a sampler for batches of cells and evaluates each batch in one sweep call."""
