//! The extension interface: what a feature sees of the server, and all it may ask of it.
//!
//! A feature is a [`Module`]: it is built once per host, registers its hooks with a [`Registrar`],
//! and the tables are frozen. It stands as a [`Listed`] in the list of the server or of a program
//! around it (`examples/module_outside.rs` is one). The core calls hooks by table and knows no feature by name; no
//! feature knows another. Hooks run synchronously in the turn of the owner whose state they may
//! change; one that truly has to wait answers `Later` with a future.

pub mod account;
pub mod calls;
pub mod choice;
pub mod command;
pub mod deps;
pub mod elsewhere;
pub mod envelope;
pub mod facts;
pub mod http;
pub mod kinds;
mod listed;
pub mod meetings;
pub mod page;
pub mod parts;
pub mod registrar;
pub mod service;
pub mod shared;
pub mod slots;
pub mod tables;
pub mod turn;
pub mod web;

use std::sync::Arc;

use serde::de::DeserializeOwned;

pub use account::{
    Account, Backlog, Device, Entry, Outbox, Outgoing, Pushed, SessionId, SessionInfo, Uid,
};
pub use calls::{Calls, Door, RelayPass};
pub use deps::{AccountActs, AskError, Deps, Disk, Entrance, Farewell, Floor, Question};
pub use elsewhere::{Direction, Elsewhere, Link};
pub use envelope::{Copies, Effect, Envelope, Ledger, Origin, Receipt, Sent, Source, TurnFn};
pub use facts::{Class, Facts};
pub use http::{
    HttpAnswer, HttpBody, HttpBodyError, HttpContent, HttpHandler, HttpHeaders, HttpMethod,
    HttpRequest, HttpResponse, HttpRoute, HttpSource,
};
pub use kinds::{
    Crossing, Disco, Event, Inlined, Missed, Path, Phase, Reply, Request, SessionEvent, Sift,
    Stranger, Taken, To, Toll, Verb, Verdict, Which,
};
pub use listed::Listed;
pub use meetings::{MeetingTerms, Meetings, NotJoined};
pub use parts::{Part, Parts};
pub use registrar::{Builder, Registrar};
pub use shared::Shared;
pub use slots::{Flags, Keepsakes, SessionFlag, SessionSlot};
pub use tables::Tables;
pub use turn::Turn;
pub use web::{Web, WebAnswer, WebError, WebRequest, WebStream};

/// What a module is, for disco, the README table, DOAP and the shipped configuration.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// The name under `[modules.…]`.
    pub name: &'static str,
    /// Specifications with the version built, such as `("XEP-0199", "2.0.1")`.
    pub specs: &'static [(&'static str, &'static str)],
    /// One line for people.
    pub doc: &'static str,
    /// Whether a host has it unless the configuration says otherwise.
    pub on_by_default: bool,
}

/// One feature.
pub trait Module: Sized + Send + Sync + 'static {
    /// Who this is.
    const INFO: Info;
    /// Its section `[modules.<name>]`, globally or per host.
    type Config: DeserializeOwned + Default + crate::config::Describe;
    /// The administrative commands it offers; `register` says with [`Registrar::command`] what each does.
    const COMMANDS: &'static [command::Command] = &[];

    /// Builds the module for one host.
    ///
    /// # Errors
    /// A value that cannot work, in words for the administrator.
    fn build(config: Self::Config, deps: &Deps) -> Result<Self, ModuleError>;

    /// Claims what the module answers; called once, then the tables are frozen.
    fn register(self: Arc<Self>, r: &mut Registrar<'_>);
}

/// Why a module could not be built or registered.
#[derive(Debug, thiserror::Error)]
#[error("module {module}: {reason}")]
pub struct ModuleError {
    /// The module.
    pub module: &'static str,
    /// What is wrong and how to mend it.
    pub reason: String,
}
