//! Truths that several features ask for: accounts and what they own, rosters, the message log.

pub mod accounts;
pub mod act;
pub mod admins;
pub mod arrival;
pub mod audit;
pub mod blocklist;
pub mod by_client;
pub mod capabilities;
pub mod clients;
pub mod consistency;
pub mod erasure;
pub mod guesses;
pub mod lists;
pub mod log;
mod looks;
pub mod nodes;
pub mod outbox;
pub mod owned;
pub mod pages;
pub mod protection;
pub mod resume;
pub mod rooms;
pub mod roster;
pub mod secret;
pub mod stored_xml;
pub mod subscription;
pub mod tokens;
