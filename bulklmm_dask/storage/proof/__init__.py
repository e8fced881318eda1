"""How a store proves what it holds: stamp, seal, manifest, and arrays read through them."""
