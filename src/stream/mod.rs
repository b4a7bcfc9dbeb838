//! The stream machine: header, features, STARTTLS, SASL, bind, acknowledgements. No socket, no clock, no `async`.
//!
//! [`Machine`] takes an [`Input`] and appends [`Action`]s. What it cannot know it asks the [`Desk`]; what is bound it hands to a
//! [`Seat`].

pub mod acks;
mod attempt;
mod bind;
pub mod bind2;
mod bound;
pub mod component;
mod features;
mod framing;
mod header;
mod input;
mod login;
mod machine;
mod out;
mod pipelining;
mod question;
mod resume;
pub mod sasl;
mod seat;
pub mod server;
mod settings;
mod starttls;
mod stranger;
mod success;
pub mod tables;
mod tls;

pub use framing::Framing;
pub use input::{Action, Input};
pub use machine::Machine;
pub use question::{
    Answer, Authorized, BindRequest, Bound, Credentials, Desk, InlineRequest, ModuleQuestion,
    NotResumed, Question, ResumeRequest, Resumed, StrangerIq, UserAgent,
};
pub use sasl::failure::{SaslCondition, SaslFailure};
pub use sasl::hash::ScramHash;
pub use sasl::keys::{SALT_BYTES, ScramKeys};
pub use sasl::secret::Secret;
pub use seat::{AckError, Enable, End, Intake, NonzaVerdict, Outgoing, Resumption, Seat};
pub use settings::{Host, Hosts, Mechanisms, Settings, StreamLimits};
pub use tables::Tables;
pub use tls::{Bindings, Peer, Tls, TlsVersion};

#[cfg(test)]
mod tests;
