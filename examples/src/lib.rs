//! Examples of everwire, one idea each; see `examples/README.md`.
