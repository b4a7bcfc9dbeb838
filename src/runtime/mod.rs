//! Clock, randomness, token buckets, back-off: what every room needs and none owns. No I/O.

pub mod backoff;
pub mod bucket;
pub mod clock;
pub mod random;
