//! A module that waxwing does not know, and a server that has it.
//!
//! The module answers for people who are away: whoever writes to an account without a session is
//! told so, once in a while; the message waits for its recipient as always. Try it:
//!
//! ```text
//! cargo run --example module_outside -- quickstart
//! ```
//!
//! and write from one of the two accounts to the other while that one is offline. The program is
//! waxwing itself with one more line in its list of modules: every command works as usual, and
//! `defaults` prints the section `[modules.away]`, which a host may override with
//! `[hosts."example.org".modules.away]`.
#![allow(missing_docs)] // a program has no callers

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use waxwing::config::Period;
use waxwing::hooks::{
    Class, Deps, Envelope, Info, Listed, Module, ModuleError, Origin, Path, Phase, Registrar, Turn,
    Verdict,
};
use waxwing::proto::{Jid, Kind, MessageType, Stanza, ns};
use waxwing::runtime::clock::Clock;
use waxwing::xml::Element;

/// The modules of this server that are not waxwing's own. Their hooks run after those of its own.
pub const MODULES: &[Listed] = &[Listed::of::<Away>()];

fn main() -> ExitCode {
    waxwing::admin::cli::main(&waxwing::server::Waxwing::with(MODULES))
}

// What can be configured. The text of a key is what `waxwing defaults` prints above it; a value
// outside its range, or a key that is misspelt, is refused with the line it stands on.
waxwing::settings! {
    /// Answers for people who are away.
    pub struct Config {
        /// What is said.
        pub text: String = "I am away and will read this later.".to_owned();
        /// How long the same person is not told again.
        pub again_after: Period = Period::minutes(60) => within(Period::seconds(1)..=Period::days(30));
    }
}

/// One of these is built for each host that has the module on.
pub struct Away {
    text: String,
    again_after: Duration,
    clock: Clock,
    /// Who was told, by whom, when. This is no truth that anybody relies on: after a restart
    /// somebody is told once more. What must not be lost goes into the store, by `turn.batch()`.
    told: Mutex<HashMap<(Jid, Jid), Instant>>,
}

/// Everything is bounded: beyond this many pairs nobody is told until some are forgotten.
const PAIRS: usize = 10_000;

impl Module for Away {
    const INFO: Info = Info {
        name: "away",
        // Specifications, which appear in the README of a server that lists the module.
        specs: &[],
        doc: "Tells people who write to somebody who is away.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        if config.text.trim().is_empty() {
            // Shown to the administrator; the server does not start.
            return Err(ModuleError {
                module: Self::INFO.name,
                reason: "`text` says nothing; write something, or `enabled = false`".to_owned(),
            });
        }
        Ok(Away {
            text: config.text,
            again_after: config.again_after.0,
            clock: deps.clock.clone(),
            told: Mutex::default(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        // On the path to an account, after the commit, when no session of it took the message.
        let this = self.clone();
        r.message(Path::ToClient, Phase::Absent, move |envelope, turn| {
            this.answer(envelope, turn);
            // After the commit there is nothing left to decide.
            Verdict::Continue
        });
        r.every(Duration::from_secs(60), move || self.forget());
    }
}

impl Away {
    /// Runs in the turn of the account that is away: nothing here may wait.
    fn answer(&self, envelope: &Envelope, turn: &mut Turn<'_>) {
        let Some(sender) = self.deserves_answer(envelope, &turn.account.jid) else {
            return;
        };
        let body = Element::new("body", ns::CLIENT).with_text(&self.text);
        // A hint so that nobody keeps this, and no other server like this one answers to it.
        let hint = Element::new("no-store", ns::HINTS);
        let answer = Stanza::message(MessageType::Chat)
            .with_from(turn.account.jid.clone())
            .with_to(sender)
            .with_child(body)
            .with_child(hint);
        turn.send(answer);
    }

    /// Who is to be told, if this is something people say and its sender was not told lately.
    fn deserves_answer(&self, envelope: &Envelope, account: &Jid) -> Option<Jid> {
        let spoken = matches!(envelope.stanza.kind, Kind::Message(MessageType::Chat))
            && envelope.facts.class == Class::Content
            && !envelope.facts.no_store
            && matches!(envelope.origin, Origin::Session(_) | Origin::Remote);
        let sender = envelope
            .from()
            .filter(|from| spoken && from.bare() != *account)?;
        let now = self.clock.now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = (account.clone(), sender.bare());
        let lately = |at: &Instant| now.duration_since(*at) < self.again_after;
        if told.get(&pair).is_some_and(lately) || told.len() >= PAIRS {
            return None;
        }
        told.insert(pair, now);
        Some(sender.clone())
    }

    fn forget(&self) {
        let now = self.clock.now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| now.duration_since(*at) < self.again_after);
    }
}
