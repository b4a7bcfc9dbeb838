//! XEP-0313: Message Archive Management (1.1.3), with XEP-0359 (0.7.0) and XEP-0424's (0.4.2) tombstones

mod expiry;
mod query;
mod results;
mod retraction;

use std::sync::Arc;

use crate::config::{Bytes, Period};
use crate::hooks::{
    Deps, Envelope, Info, Module, ModuleError, Path, Phase, Registrar, Reply, To, Turn, Verb,
    Verdict,
};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{Kind, MessageType};
use crate::settings;
use crate::state::log::Preferences;
use crate::state::roster::Roster;

settings! {
    /// The archive of each account: what it sent and got, on all its clients.
    pub struct Config {
        /// How long messages are kept. 0s: until their owner removes them, or there are too many bytes; that is what people expect of their chats.
        pub age: Period = Period::seconds(0);
        /// Bytes of one account's archive; when it has more the oldest messages go. 0B: no bound.
        pub bytes: Bytes = Bytes::gib(1);
        /// Whether messages of rooms are archived for each member as well; rooms have archives of their own.
        pub groupchat: bool = false;
        /// Whether a retracted message leaves a tombstone in its place, in the archives of both sides.
        pub tombstones: bool = true;
        /// Messages of one page at the most.
        pub page: u32 = 250 => within(10..=1_000);
        /// Bytes of one page at the most; it always holds one message.
        pub page_bytes: Bytes = Bytes::kib(256) => within(Bytes::kib(16)..=Bytes::mib(16));
    }
}

/// Says what is archived, and answers queries.
pub struct Archive {
    config: Config,
    deps: Deps,
}

impl Module for Archive {
    const INFO: Info = Info {
        name: "archive",
        specs: &[
            ("XEP-0059", "1.0"),
            ("XEP-0313", "1.1.3"),
            ("XEP-0334", "1.0.0"),
            ("XEP-0359", "0.7.0"),
            ("XEP-0424", "0.4.2"),
        ],
        doc: "The archive of each account: its conversations on every client, old and new.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(Archive {
            config,
            deps: deps.clone(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        self.announce(r);
        self.answer(r);
        for path in [Path::FromClient, Path::ToClient] {
            let this = self.clone();
            r.message(path, Phase::Record, move |envelope, turn| {
                this.record(path, envelope, turn);
                Verdict::Continue
            });
            if self.config.tombstones {
                r.message(path, Phase::Mirror, |envelope, turn| {
                    retraction::see(envelope, turn);
                    Verdict::Continue
                });
            }
        }
        // XEP-0386 §3.3: a client that binds learns at once what it has missed.
        r.bound(|_, turn| results::ends_for_bound(turn));
        expiry::begin(&self, r);
    }
}

impl Archive {
    fn announce(&self, r: &mut Registrar<'_>) {
        let mut features = vec![
            ns::MAM,
            ns::MAM_EXTENDED,
            ns::MAM_GROUPCHAT_FIELD,
            ns::STANZA_ID,
            ns::RETRACT,
        ];
        if self.config.groupchat {
            features.push(ns::MAM_GROUPCHAT_AVAILABLE);
        }
        if self.config.tombstones {
            features.push(ns::RETRACT_TOMBSTONE);
        }
        for feature in features {
            r.feature(To::OwnAccount, feature);
        }
        // Clients look for these at the domain too.
        for feature in [ns::MAM, ns::STANZA_ID, ns::RETRACT] {
            r.feature(To::Host, feature);
        }
    }

    fn answer(self: &Arc<Self>, r: &mut Registrar<'_>) {
        const QUERY: (&str, &str) = (ns::MAM, "query");
        const METADATA: (&str, &str) = (ns::MAM, "metadata");
        let this = self.clone();
        r.account_iq(To::OwnAccount, Verb::Set, QUERY, move |request, turn| {
            results::begin(&this, request, turn).unwrap_or_else(Reply::Error)
        });
        let this = self.clone();
        r.account_iq(To::OwnAccount, Verb::Get, QUERY, move |_, turn| {
            query::offer(&this.config, turn).form().into()
        });
        r.account_iq(To::OwnAccount, Verb::Get, METADATA, results::metadata);
        // §8.1: nobody else's.
        for (verb, name) in [
            (Verb::Set, QUERY),
            (Verb::Get, QUERY),
            (Verb::Get, METADATA),
        ] {
            r.account_iq(To::Account, verb, name, |_, _| {
                Reply::Error(Condition::Forbidden.into())
            });
            r.unknown(verb, name, Condition::Forbidden);
        }
    }

    /// §6.1.1: whether the log of the account in whose turn it is keeps the message.
    fn record(&self, path: Path, envelope: &mut Envelope, turn: &Turn<'_>) {
        let Kind::Message(kind) = envelope.stanza.kind else {
            return;
        };
        let room = kind == MessageType::Groupchat;
        let wanted = if room {
            // A room sends what was said in it to everybody, the speaker too.
            self.config.groupchat && path == Path::ToClient && has_body(envelope)
        } else {
            envelope.facts.lasting(kind)
        };
        if !wanted || turn.account.guest {
            return;
        }
        let peer = match path {
            Path::FromClient => Some(&envelope.to),
            Path::ToClient => envelope.from(),
        };
        envelope.keep = peer.is_some_and(|peer| prefers(peer, turn));
    }
}

/// What the account has set, if anything.
fn prefers(peer: &Jid, turn: &Turn<'_>) -> bool {
    let roster = turn.account.parts.find::<Roster>();
    let rules = turn.account.parts.find::<Preferences>();
    rules.is_none_or(|rules| rules.want(peer, roster))
}

fn has_body(envelope: &Envelope) -> bool {
    let facts = &envelope.facts;
    facts.class == crate::hooks::Class::Content && !facts.no_store && !facts.no_archive
}
