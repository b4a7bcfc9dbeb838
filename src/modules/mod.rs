//! One feature, one file; this file is the one list.
//!
//! From the list come disco answers and the shipped configuration; `conformance/xeps.toml`, from which
//! the README's table and DOAP come, is compared with it. Inside a phase hooks run in its order.

pub mod caps;
pub mod claims;
pub mod disco;
pub mod offline;
pub mod ping;
pub mod roster;
pub mod session;

use crate::hooks::Listed;

/// Every module there is, in order.
pub const LIST: &[Listed] = &[
    Listed::of::<claims::Claims>(),
    Listed::of::<roster::Roster>(),
    Listed::of::<session::Session>(),
    Listed::of::<offline::Offline>(),
    Listed::of::<ping::Ping>(),
    Listed::of::<disco::Disco>(),
    Listed::of::<caps::Caps>(),
];
