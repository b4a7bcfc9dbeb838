//! What the server acknowledged arrives: over kill -9, SIGTERM, lost connections, and readers that do not read.
//!
//! More rounds of the kills by `WAXWING_TEST_ROUNDS`.

mod connections;
mod kills;
pub mod talk;
