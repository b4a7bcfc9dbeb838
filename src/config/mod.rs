//! The typed configuration: defaults, layers, where each value came from, and kind errors.
//!
//! One declaration ([`settings!`](crate::settings)) makes a section's struct, its defaults, its reader and its description; the shipped
//! `config/waxwing.toml`, every error message and the comparison for a reload come from that description.
pub mod choice;
pub mod schema;
pub mod tree;
pub mod units;

pub use schema::{Describe, Key, Section, Setting, Shape};
pub use tree::*;
pub use units::{Bytes, Period};
