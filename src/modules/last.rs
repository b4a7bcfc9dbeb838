//! XEP-0012: Last Activity (2.0)

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::hooks::{
    Deps, Envelope, Info, Module, ModuleError, Path, Phase, Registrar, Reply, Request,
    SessionEvent, SessionId, SessionSlot, To, Turn, Verb, Verdict,
};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Kind, PresenceType};
use crate::runtime::clock::Clock;
use crate::settings;
use crate::state::roster::Roster;
use crate::store::{Batch, Key, Space, Store};
use crate::xml::Element;

settings! {
    /// Since when the server runs, and when accounts were last there, for those who may see their presence.
    pub struct Config {}
}

/// Longest status text kept, in bytes.
const STATUS: usize = 1_024;

const QUERY: (&str, &str) = (ns::LAST, "query");

/// When the process began to serve; modules may be built anew meanwhile.
static BEGAN: OnceLock<Instant> = OnceLock::new();

/// Answers with uptime, and with the time of the last logout.
pub struct Last {
    clock: Clock,
    store: Store,
}

/// What is stored of an account.
#[derive(Serialize, Deserialize)]
struct Left {
    /// Unix milliseconds.
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<String>,
}

/// The status text with which a session said goodbye.
#[derive(Default, Serialize, Deserialize)]
struct LastWords(Option<String>);

impl Module for Last {
    const INFO: Info = Info {
        name: "last",
        specs: &[("XEP-0012", "2.0")],
        doc: "How long the server runs, and when people were last there.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(_: Config, deps: &Deps) -> Result<Self, ModuleError> {
        BEGAN.get_or_init(|| deps.clock.now());
        Ok(Last {
            clock: deps.clock.clone(),
            store: deps.store.clone(),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        for at in [To::Host, To::OwnAccount, To::Account] {
            r.feature(at, ns::LAST);
        }
        let this = self.clone();
        r.host_iq(Verb::Get, QUERY, move |_| this.uptime());
        for to in [To::OwnAccount, To::Account] {
            let this = self.clone();
            r.account_iq(to, Verb::Get, QUERY, move |q, turn| {
                this.of_account(q, turn)
            });
        }
        r.unknown(Verb::Get, QUERY, Condition::Forbidden);
        r.iq_transit(Path::ToClient, Phase::Check, keep_from_strangers);
        let words = r.session_slot::<LastWords>("words", 1);
        r.presence(Path::FromClient, Phase::Record, move |envelope, turn| {
            note_words(words, envelope, turn);
            Verdict::Continue
        });
        r.session(move |event, session, turn| {
            if event == SessionEvent::Expired {
                self.note_end(words, session, turn);
            }
        });
    }
}

impl Last {
    /// §5.
    fn uptime(&self) -> Reply {
        let began = *BEGAN.get_or_init(|| self.clock.now());
        let up = self.clock.now().saturating_duration_since(began);
        seconds(up.as_secs(), None).into()
    }

    /// §3: only for whom the account's presence is for.
    fn of_account(&self, request: &Request<'_>, turn: &mut Turn<'_>) -> Reply {
        if !may_see(turn, request.from) {
            return Reply::Error(Condition::Forbidden.into());
        }
        if turn.account.guest || !turn.account.sessions.is_empty() {
            return seconds(0, None).into();
        }
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let key = Key::new().u64(turn.account.uid.0);
        Reply::Later(Box::pin(async move {
            // The end of the last session may just be being written.
            let _ = store.commit(Batch::new()).await;
            let stored = store
                .reading(move |view| view.get(Space::LAST_ACTIVITY, &key))
                .await;
            match stored {
                Ok(Some(value)) => match serde_json::from_slice::<Left>(&value) {
                    Ok(left) => {
                        let past = clock.wall().saturating_sub(left.at) / 1_000;
                        seconds(past, left.status.as_deref()).into()
                    }
                    Err(_) => Reply::Error(Condition::InternalServerError.into()),
                },
                // It was never there.
                Ok(None) => Reply::Error(Condition::ItemNotFound.into()),
                Err(_) => Reply::Error(Condition::InternalServerError.into()),
            }
        }))
    }

    /// The last session of an account is over.
    fn note_end(&self, words: SessionSlot<LastWords>, session: SessionId, turn: &mut Turn<'_>) {
        let account = &mut *turn.account;
        let last = account.sessions.iter().all(|other| other.id == session);
        if account.guest || !last {
            return;
        }
        let status = account
            .session_mut(session)
            .and_then(|info| words.take(info))
            .and_then(|words| words.0);
        let left = Left {
            at: self.clock.wall(),
            status,
        };
        let value = serde_json::to_vec(&left).unwrap_or_default();
        let mut batch = Batch::new().relaxed();
        batch.put(Space::LAST_ACTIVITY, &Key::new().u64(account.uid.0), value);
        turn.batch().merge(batch);
    }
}

/// Keeps what a session says with its unavailable presence; available presence takes it back.
fn note_words(words: SessionSlot<LastWords>, envelope: &Envelope, turn: &mut Turn<'_>) {
    let stanza = &envelope.stanza;
    let crate::hooks::Origin::Session(id) = envelope.origin else {
        return;
    };
    let Some(session) = turn.account.session_mut(id).filter(|_| stanza.to.is_none()) else {
        return;
    };
    match stanza.kind {
        Kind::Presence(PresenceType::Unavailable) => {
            let status = stanza.child("status", ns::CLIENT);
            let status = status.map(|status| shortened(&status.text()));
            if let (Some(status), Some(kept)) = (status, words.of_mut(session)) {
                kept.0 = Some(status);
            }
        }
        Kind::Presence(PresenceType::Available) => drop(words.take(session)),
        _ => {}
    }
}

/// §4: a resource is asked only by who may see its presence; it answers itself.
fn keep_from_strangers(envelope: &mut Envelope, turn: &mut Turn<'_>) -> Verdict {
    let asks = envelope.stanza.kind == Kind::Iq(IqType::Get)
        && envelope.to.is_full()
        && envelope
            .stanza
            .payload()
            .is_some_and(|payload| payload.is(QUERY.1, QUERY.0));
    let from = envelope.from().filter(|_| asks);
    match from {
        Some(from) if !may_see(turn, from) && !shown_to(turn, &envelope.to, from) => {
            Verdict::Bounce(Condition::Forbidden.into())
        }
        _ => Verdict::Continue,
    }
}

fn may_see(turn: &Turn<'_>, who: &Jid) -> bool {
    let roster = turn.account.parts.find::<Roster>();
    who.bare_str() == turn.account.jid.as_str()
        || roster.is_some_and(|roster| roster.state(&who.bare()).subscription.from())
}

/// Whether a resource sent its presence to somebody by itself.
fn shown_to(turn: &Turn<'_>, resource: &Jid, who: &Jid) -> bool {
    turn.account.resource(resource).is_some_and(|session| {
        let mut directed = session.directed.iter();
        directed.any(|to| to.bare_str() == who.bare_str())
    })
}

fn seconds(seconds: u64, status: Option<&str>) -> Element {
    Element::new("query", ns::LAST)
        .with_attr("seconds", &seconds.to_string())
        .with_text(status.unwrap_or_default())
}

fn shortened(text: &str) -> String {
    let mut end = text.len().min(STATUS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
