//! The list of clients: those that are there, those that were, and those that have tokens (XEP-0494 §3.1).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use tokio::sync::oneshot;

use super::ClientAccess;
use crate::hooks::{SessionInfo, Turn};
use crate::proto::{Jid, datetime, ns};
use crate::state::clients::{Client, Known};
use crate::state::tokens::{self, Held};
use crate::store::StoreError;
use crate::stream::ScramHash;
use crate::xml::Element;

/// One client, or one session of a client that does not name itself.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// What it is called in requests; says nothing.
    pub reference: String,
    /// Its own id, never told to anybody.
    pub client: Option<String>,
    /// Its sessions, those without a connection included.
    pub sessions: Vec<Jid>,
    pub first: u64,
    pub last: u64,
    pub software: Option<String>,
    pub device: Option<String>,
    /// Whether it has shown the password that is in force.
    pub password: bool,
    /// Whether it may ever have shown one.
    knew: bool,
    /// Whether it has tokens that are good.
    pub fast: bool,
}

/// What is looked at of a session.
struct Session {
    jid: Jid,
    client: Option<String>,
    since: u64,
}

impl Session {
    fn of(session: &SessionInfo) -> Session {
        Session {
            jid: session.jid.clone(),
            client: session.client_id.as_deref().map(str::to_owned),
            since: session.since,
        }
    }
}

impl ClientAccess {
    /// The clients of an account that have access to it; none when there is no such account.
    pub(super) async fn list(&self, account: &Jid) -> Result<Vec<Entry>, StoreError> {
        let sessions = self.sessions(account).await;
        let (clients, jid) = (self.clients.clone(), account.bare());
        let read = self.deps.store.reading(move |view| {
            let Some(known) = clients.of_account(view, &jid)? else {
                return Ok(None);
            };
            let held = tokens::of_account(view, known.uid)?;
            Ok(Some((known, held)))
        });
        let Some((known, held)) = read.await? else {
            return Ok(Vec::new());
        };
        Ok(self.gather(account, sessions, known, held))
    }

    async fn sessions(&self, account: &Jid) -> Vec<Session> {
        let (answer, sessions) = oneshot::channel();
        let look = move |turn: &mut Turn<'_>| {
            let sessions: Vec<Session> = turn.account.sessions.iter().map(Session::of).collect();
            let _ = answer.send(sessions);
        };
        self.deps.floor.in_turn(account, Box::new(look));
        sessions.await.unwrap_or_default()
    }

    fn gather(
        &self,
        account: &Jid,
        sessions: Vec<Session>,
        known: Known,
        held: Vec<(String, Held)>,
    ) -> Vec<Entry> {
        let now = self.deps.clock.wall();
        let mut clients: BTreeMap<String, Entry> = BTreeMap::new();
        let mut entries = Vec::new();
        let of = |client: &str| self.entry(account, Some(client), client);
        for (client, seen) in known.clients {
            let mut entry = of(&client);
            entry.fill(seen, known.generation);
            clients.insert(client, entry);
        }
        for (client, held) in held {
            let good = [&held.fresh, &held.used].into_iter().flatten();
            let good = good.filter(|token| token.is_good(known.generation, now));
            let Some(issued) = good.map(|token| token.issued).min() else {
                continue;
            };
            // Of whom nothing else is known: tokens are given to who came with the password.
            let unknown = || Entry {
                password: true,
                ..of(&client)
            };
            let entry = clients.entry(client.clone()).or_insert_with(unknown);
            entry.fast = true;
            entry.seen(issued, issued);
        }
        for session in sessions {
            let named = session.client.as_deref();
            let name = named.unwrap_or(session.jid.as_str());
            let mut alone = self.entry(account, named, name);
            let entry = match named {
                Some(client) => clients
                    .entry(client.to_owned())
                    .or_insert_with(|| of(client)),
                None => &mut alone,
            };
            // What is still here after a new password was set knows that one too, and who has no token came by one.
            entry.password |= entry.knew && !entry.fast;
            entry.seen(session.since, now);
            entry.sessions.push(session.jid);
            if named.is_none() {
                entries.push(alone);
            }
        }
        let has_access = |entry: &Entry| entry.password || entry.fast || entry.is_connected();
        entries.extend(clients.into_values().filter(has_access));
        entries.sort_by(|a, b| (b.last, &a.reference).cmp(&(a.last, &b.reference)));
        entries
    }

    fn entry(&self, account: &Jid, client: Option<&str>, name: &str) -> Entry {
        let kind = if client.is_some() {
            "client"
        } else {
            "session"
        };
        let label = format!("{kind}\0{}\0{name}", account.bare_str());
        let digest = ScramHash::Sha256.hmac(self.deps.local.expose(), label.as_bytes());
        Entry {
            reference: BASE64.encode(digest.get(..12).unwrap_or_default()),
            client: client.map(str::to_owned),
            sessions: Vec::new(),
            first: u64::MAX,
            last: 0,
            software: None,
            device: None,
            password: false,
            knew: true,
            fast: false,
        }
    }
}

impl Entry {
    fn fill(&mut self, seen: Client, generation: u64) {
        self.seen(seen.first, seen.last);
        self.software = seen.software;
        self.device = seen.device;
        self.password = seen.password == Some(generation);
        self.knew = seen.password.is_some();
    }

    fn seen(&mut self, first: u64, last: u64) {
        self.first = self.first.min(first);
        self.last = self.last.max(last);
    }

    /// Whether it has a session, connected or waiting for it to come back.
    pub(super) fn is_connected(&self) -> bool {
        !self.sessions.is_empty()
    }

    pub(super) fn to_element(&self) -> Element {
        let new = |name| Element::new(name, ns::CLIENT_ACCESS);
        let text = |name, text: &str| new(name).with_text(text);
        let time = |name, at| text(name, &datetime::format(at));
        let ways = [("password", self.password), ("fast", self.fast)];
        let ways = ways.into_iter().filter(|(_, has)| *has);
        let software = self.software.as_deref().map(|name| text("software", name));
        let device = self.device.as_deref().map(|name| text("device", name));
        let named = software.is_some() || device.is_some();
        let agent = new("user-agent")
            .with_children(software)
            .with_children(device);
        new("client")
            .with_attr("connected", &self.is_connected().to_string())
            .with_attr("id", &self.reference)
            .with_attr("type", "session")
            .with_child(time("first-seen", self.first))
            .with_child(time("last-seen", self.last))
            .with_child(new("auth").with_children(ways.map(|(way, _)| new(way))))
            .with_child(new("permission").with_attr("status", "unrestricted"))
            .with_children(named.then_some(agent))
    }
}
