//! `[components."NAME"]`: programs beside the server that serve domains of their own.

use crate::config::{Bytes, Period};
use crate::{choice, settings};

settings! {
    /// A program beside the server that serves domains of its own: a gateway, a bot (XEP-0114). It connects to a [[listen]] of
    /// the kind "component".
    pub struct Component {
        /// Its domains, each with a stream of its own. Without any, the name of the section is its domain.
        pub domains: Vec<String> = Vec::new() => example("[\"irc.example.org\", \"irc.example.net\"]");
        /// What it proves itself with: a long random text, as of `openssl rand -hex 32`. Nobody else may read this file.
        pub secret: String = String::new() => hidden();
        /// Whether the domain above it lists it, so that clients find it.
        pub listed: bool = true;
        /// What happens when it connects while it is connected: "refuse" the new connection or "replace" the old one.
        pub conflict: ComponentConflict = ComponentConflict::Refuse;
        /// How long questions and presence wait for it when it is away, before they go back.
        pub patience: Period = Period::seconds(5) => within(Period::millis(0)..=Period::minutes(10));
        /// A message that it did not come to fetch for so long goes back to its sender.
        pub give_up_after: Period = Period::days(2) => within(Period::seconds(1)..=Period::days(30));
        /// Messages kept for it while it is away.
        pub queue_messages: u32 = 10_000 => within(1..=10_000_000);
        /// Their bytes.
        pub queue_bytes: Bytes = Bytes::mib(64) => within(Bytes::kib(256)..=Bytes::gib(64));
        /// Stanzas that wait to be written to one of its streams; messages wait on disk beyond that.
        pub stream_stanzas: u32 = 2_000 => within(16..=1_000_000);
        /// Their bytes.
        pub stream_bytes: Bytes = Bytes::mib(1) => within(Bytes::kib(64)..=Bytes::gib(1));
        /// And with those of presence and answers, which are not on disk: a room says at once to who enters who is there.
        pub stream_passing: Bytes = Bytes::mib(8) => within(Bytes::kib(64)..=Bytes::gib(1));
        /// Stanzas of one of its streams that came and are not through; no more are read meanwhile.
        pub stream_window: u32 = 256 => within(1..=100_000);
    }
}

impl Component {
    /// Its domains; `name` is that of its section.
    pub fn domains<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        match self.domains.is_empty() {
            true => vec![name],
            false => self.domains.iter().map(String::as_str).collect(),
        }
    }
}

choice! {
    /// What happens when a component connects twice.
    pub enum ComponentConflict {
        /// The second one ends with `conflict`.
        Refuse = "refuse",
        /// The first one ends with `conflict`.
        Replace = "replace",
    }
}
