//! Two servers on loopback that talk to each other, and others that misbehave.

mod hostile;
mod liar;
mod links;
mod lists;
mod resumption;
mod rooms;
mod strangers;
mod wire;
pub mod world;
