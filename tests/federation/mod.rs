//! Two servers on loopback that talk to each other, and others that misbehave.

mod links;
mod strangers;
mod world;
