//! Waking clients that are away: what they registered, what is worth waking them for, and at what pace.
//!
//! A registration belongs to one device, which is told while no session of it is connected: one that is detached
//! (XEP-0198 §5) or gone. Registrations lie in the store; what is in memory is which devices of an account have any, and the
//! lines of devices that were told something lately ([`Desk`]), bounded. Each way of telling ([`Way`]) has a desk of its own.
//! A line sends one notification at once and then one per interval, which tells of all that came meanwhile; only calls do not
//! wait, and even those not in a flood. What does not arrive is tried again after growing pauses, until the registration is
//! given up.

mod chats;
mod desk;
mod face;
mod line;
mod notice;
mod registrations;
mod watch;

pub use desk::{Desk, Outcome, Pace, Parcel, Sending, Way};
pub use notice::{Call, Content, Last, Notice};
pub use registrations::{Device, Registration, Target, has_devices};
