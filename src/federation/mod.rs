//! Federation: finding other servers, the links to them, and what is kept for those that are away (RFC 6120 §3, §10.4).
//!
//! A pair of domains, ours and theirs, is an owner ([`pair::Pair`], a machine without sockets and clocks): it decides when
//! to call, what to hand to which stream, and what goes back to its sender. [`keeper`] gives it its turns and does what it
//! wants done; [`line`] is one stream, which may outlive its connection; [`House`] is what streams and the router see of all this.

mod caller;
mod calls;
mod dns;
mod flow;
mod further;
mod host_meta;
mod house;
mod input;
mod keeper;
mod line;
mod loss;
mod meters;
mod pair;
mod policy;
mod resolve;
mod resume;
mod seat;
mod shelf;
mod stats;
mod targets;
mod terms;
mod trial;
mod trouble;
mod unacked;
mod validating;
mod view;

pub(crate) use flow::{CHUNK, Capacity, Flow, wake};
pub(crate) use input::{Input, Item, Mark, Times, Way};
pub(crate) use keeper::{Ground, Key, Pairs, beat};
pub(crate) use shelf::{Bounds, Shelf, is_kept};

pub use house::{House, Streams};
pub use policy::{Found, Policy};
pub use resolve::Resolver;
pub use terms::Terms;
pub use trouble::Trouble;
pub use view::LinkSummary;
