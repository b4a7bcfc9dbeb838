//! HTTP: the listener that a metrics collector reads (Prometheus text format 0.0.4).
mod metrics;

pub use metrics::{Exposition, serve_metrics};
