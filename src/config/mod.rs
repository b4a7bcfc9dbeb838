//! The typed configuration: defaults, layers, where each value came from, and kind errors.
