//! Components: programs beside the server that serve domains of their own (XEP-0114 1.6).
//!
//! What is for one goes the way of what is for another server, with a [`crate::federation`] pair of its own, whose two domains are
//! the same: that pair keeps messages while the program is away. But nobody is called: the program comes. [`line`] is the
//! seat of its stream; [`Components`] is what streams and the router see of all this.

mod house;
mod line;
mod programs;
mod stats;

pub use house::{Components, Summary};
pub use programs::Programs;
