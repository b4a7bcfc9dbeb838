//! Bound clients: owners and their turns, seats, outboxes.

pub mod nudge;
pub mod owners;
pub mod pressure;
pub mod seat;
pub mod stats;
pub mod tally;
mod unacked;
pub mod work;
