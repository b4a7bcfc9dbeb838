//! Two servers on loopback that talk to each other, and others that misbehave.

mod links;
mod lists;
mod strangers;
pub mod world;
