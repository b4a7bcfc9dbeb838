//! Clock, randomness, token buckets, back-off: what every room needs and none owns. No I/O.
