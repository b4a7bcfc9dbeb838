//! Clock, randomness, token buckets, back-off, counts within an hour, a hand-over to tasks, what follows a turn, what counts as one address, which are public: what every room needs and none owns. No files, no sockets.

pub mod after;
pub mod backoff;
pub mod bucket;
pub mod clock;
pub mod handover;
pub mod hourly;
pub mod origin;
pub mod public;
pub mod random;
