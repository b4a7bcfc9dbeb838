//! Truths that several features ask for: accounts, rosters, the message log.

pub mod accounts;
pub mod guesses;
pub mod log;
pub mod roster;
pub mod secret;
pub mod subscription;
