//! Bound clients: owners and their turns, seats, outboxes.

mod doors;
mod held;
mod inward;
pub mod nudge;
mod outward;
pub mod owners;
pub mod pressure;
pub mod seat;
pub mod stats;
pub mod successor;
pub mod tally;
mod unacked;
pub mod work;
