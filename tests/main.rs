//! The integration tests: one binary, a module per capability.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod administration;
mod api;
mod archives;
mod arrows;
mod backup;
mod backup_load;
mod bosh;
mod bytestreams;
mod calls;
mod caps;
mod client_access;
mod command_line;
mod components;
mod conversations;
mod erasure;
mod extensions;
mod federation;
mod flood;
mod full_disk;
mod hiding;
mod hostile;
mod http;
mod invites;
mod lists;
mod logins;
mod mls;
mod muc;
mod muc_crowd;
mod muc_examples;
mod never_lost;
mod new_muc;
mod operations;
mod pep;
mod personal;
mod portable;
mod profiles;
mod pubsub;
mod push;
mod quickstart;
mod registration;
mod reports;
mod resumption;
mod ringing;
mod rtbl;
mod scenario;
mod settings;
mod soak;
mod store_backup;
mod store_conformance;
mod store_crash;
mod store_faults;
mod store_models;
mod store_open;
mod store_power;
mod strangers;
mod support;
mod tokens;
mod upload;
mod websocket;
mod xeps;
