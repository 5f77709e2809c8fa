"""The engine: costs, kernels, sweep, surface, and the plain replay that checks them."""
