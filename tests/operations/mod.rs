//! What an administrator does with a running server: look at it, change it, keep it in bounds.

mod metrics;
