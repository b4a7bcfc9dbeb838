//! The typed configuration: defaults, layers, where each value came from, and kind errors.
//!
//! One declaration ([`settings!`](crate::settings)) makes a section's struct, its defaults, its reader and its description; the shipped
//! `config/waxwing.toml`, every error message and the comparison for a reload come from that description.
mod administration;
mod check;
mod choice;
mod diff;
mod layer;
mod levels;
mod load;
mod merge;
mod modules;
mod network;
mod problem;
mod rules;
pub mod schema;
mod shipped;
#[cfg(test)]
mod tests;
pub mod tree;
pub mod units;

pub use administration::Administration;
pub use check::Origins;
pub use diff::{Change, diff, effective, without_restart};
pub use levels::log_levels;
pub use load::{Loaded, Request, load};
pub use modules::ModuleSettings;
pub use network::Network;
pub use problem::{Place, Problem, Problems, nearest};
pub use rules::web_name;
pub use schema::{Describe, Key, Section, Setting, Shape};
pub use shipped::text as shipped_text;
pub use tree::*;
pub use units::{Bytes, Period};
