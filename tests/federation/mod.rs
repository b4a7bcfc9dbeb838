//! Two servers on loopback that talk to each other, and others that misbehave.

mod border;
mod hostile;
mod liar;
mod limits;
mod links;
mod lists;
mod lost;
mod resumption;
mod rooms;
mod strangers;
mod trials;
mod wire;
pub mod world;
