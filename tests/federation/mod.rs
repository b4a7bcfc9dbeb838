//! Two servers on loopback that talk to each other, and others that misbehave.

mod border;
mod calls;
mod dane;
mod forged;
mod further;
mod hostile;
mod liar;
mod limits;
mod links;
mod lists;
mod lost;
mod resumption;
mod room_watch;
mod rooms;
mod server_info;
mod strangers;
mod trials;
mod wire;
pub mod world;
