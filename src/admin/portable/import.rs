//! Importing XEP-0227 (1.1): an account comes in whole or not at all, what is not understood is counted.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{DISABLED, PRIVACY, Piece, SCRAM, stored};
use crate::hooks::Entry;
use crate::proto::delay::Delay;
use crate::proto::jid::Jid;
use crate::proto::stanza::{Kind, PresenceType, Stanza};
use crate::proto::{forward, ns};
use crate::state::accounts::{AccountError, Accounts};
use crate::state::arrival::{Arrival, Login};
use crate::state::blocklist::BlockList;
use crate::state::calls::Hidden;
use crate::state::log;
use crate::state::nodes::portable::Arriving;
use crate::state::owned::{AccountSpace, Owner, Quota, WriteError};
use crate::state::protection::Chosen;
use crate::state::rejoin::Rejoin;
use crate::state::roster::{Item, Roster};
use crate::state::subscription::Subscription;
use crate::store::{Batch, CommitError, Mid, MidSource, Store};
use crate::stream::{ScramHash, ScramKeys};
use crate::xml::{El, Element};

/// Bytes written at once.
const BATCH: usize = 256 << 10;
/// Kinds of things that are told of as left out.
const KINDS: usize = 100;
/// Messages that an archive and the undelivered ones have in common, per account.
const SHARED: usize = 20_000;
/// Most PBKDF2 rounds: a login by PLAIN has to do them.
const ROUNDS: u32 = 10_000_000;

/// Why an account did not come in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The store did not take it.
    #[error("the store did not take it: {0}")]
    Commit(#[from] CommitError),
    /// An entry was not written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Counts what was left out, by kind.
#[derive(Debug, Default)]
pub struct LeftOut(pub BTreeMap<String, u64>);

impl LeftOut {
    /// One more of a kind.
    pub fn note(&mut self, what: impl Into<String>) {
        let what = what.into();
        if self.0.len() < KINDS || self.0.contains_key(&what) {
            *self.0.entry(what).or_default() += 1;
        }
    }
}

/// One account on its way in.
pub struct Incoming {
    store: Store,
    arrival: Arrival,
    batch: Batch,
    roster: Roster,
    block_list: BlockList,
    login: Login,
    disabled: Option<String>,
    now: u64,
    archived: MidSource,
    offline: MidSource,
    /// Ids of the other server by which a message may come twice.
    ids: HashMap<String, Mid>,
    nodes: Arriving,
}

impl Incoming {
    /// Begins; `now` is the wall clock in Unix milliseconds.
    ///
    /// # Errors
    /// [`ImportError`]; so for all of these.
    pub async fn begin(
        accounts: &Accounts,
        store: &Store,
        jid: &Jid,
        password: Option<String>,
        replace: bool,
        now: u64,
    ) -> Result<Self, ImportError> {
        let arrival = accounts.arrival(jid, replace).await?;
        Ok(Incoming {
            nodes: Arriving::new(store, arrival.uid(), arrival.jid(), now),
            arrival,
            store: store.clone(),
            batch: Batch::new().relaxed(),
            roster: Roster::default(),
            block_list: BlockList::default(),
            login: match password {
                Some(password) => login(password),
                None => Login::Keys(Vec::new()),
            },
            disabled: None,
            now,
            archived: MidSource::after(Mid::MIN),
            offline: MidSource::after(Mid::MIN),
            ids: HashMap::new(),
        })
    }

    /// Its address, and whether it takes the place of another.
    pub fn account(&self) -> (Jid, bool) {
        (self.arrival.jid().clone(), self.arrival.replaces())
    }

    /// Takes a piece of it.
    pub async fn take(&mut self, piece: &Piece, left_out: &mut LeftOut) -> Result<(), ImportError> {
        match piece {
            Piece::Part(part) => self.part(part, left_out).await?,
            Piece::Offline(message) if self.offline(message).is_none() => {
                left_out.note("undelivered message that cannot be read");
            }
            Piece::Archived(result) if self.archived(result).is_none() => {
                left_out.note("archived message that cannot be read");
            }
            Piece::Node(setting) if self.setting(setting).is_none() => {
                left_out.note("settings of a node that cannot be read");
            }
            Piece::Item(node, item) if self.item(node, item).is_none() => {
                left_out.note("item of a node that cannot be read");
            }
            _ => {}
        }
        if self.batch.bytes() > BATCH {
            self.flush().await?;
        }
        Ok(())
    }

    /// Makes the account. Whether there is a password that can be used.
    pub async fn finish(mut self) -> Result<bool, ImportError> {
        self.flush().await?;
        let usable = !matches!(&self.login, Login::Keys(keys) if keys.is_empty());
        self.arrival.finish(self.login, self.disabled).await?;
        Ok(usable)
    }

    /// Lets it go.
    pub async fn give_up(self) {
        if let Err(error) = self.arrival.give_up().await {
            tracing::warn!(%error, "what was imported of an account goes at the next start");
        }
    }

    async fn flush(&mut self) -> Result<(), ImportError> {
        let batch = std::mem::replace(&mut self.batch, Batch::new().relaxed());
        if !batch.is_empty() {
            self.store.commit(batch).await?;
        }
        Ok(())
    }

    async fn part(&mut self, part: &Element, left_out: &mut LeftOut) -> Result<(), ImportError> {
        if part.is("query", ns::ROSTER) {
            for item in part.children() {
                if self.contact(item).is_none() {
                    left_out.note("contact that cannot be read");
                }
                if self.batch.bytes() > BATCH {
                    self.flush().await?;
                }
            }
        } else if part.is("presence", ns::CLIENT) {
            if self.request(part).is_none() {
                left_out.note("presence that is no request to subscribe");
            }
        } else if part.is("scram-credentials", SCRAM) {
            match (scram(part), &mut self.login) {
                (Some(keys), Login::Keys(known)) => known.push(keys),
                // The password says more.
                (Some(_), Login::Password(_)) => {}
                (None, _) => left_out.note(format!(
                    "credentials for {}",
                    part.attr("mechanism").unwrap_or("no mechanism")
                )),
            }
        } else if part.is("blocklist", ns::BLOCKING) || part.is("query", PRIVACY) {
            self.blocked(part, left_out);
        } else if part.is("disabled", DISABLED) {
            self.disabled = Some(part.text().into_owned());
        } else if let Some(chosen) = Chosen::parse(part.root()) {
            Chosen::write(&mut self.batch, self.arrival.uid(), Some(chosen.0));
        } else if Hidden::parse(part.root()).is_some() {
            Hidden::write(&mut self.batch, self.arrival.uid(), true);
        } else if Rejoin::parse(part.root()).is_some() {
            Rejoin::write(&mut self.batch, self.arrival.uid(), true);
        } else if let Some((space, changes)) = stored::changes(part) {
            let owner = Owner::new(self.arrival.uid(), self.arrival.jid());
            let space = AccountSpace::built_in(&self.store, space, Quota::NONE);
            space.write(&owner, changes).await?;
        } else {
            left_out.note(format!("{} of {}", part.name(), part.ns()));
        }
        Ok(())
    }

    /// XEP-0191 is a view of the default privacy list (its §5): what denies addresses there, before anything is allowed.
    fn blocked(&mut self, part: &Element, left_out: &mut LeftOut) {
        let uid = self.arrival.uid();
        if part.ns() == ns::BLOCKING {
            for item in part.children() {
                match item.attr("jid").map(Jid::parse) {
                    Some(Ok(jid)) => drop(self.block_list.add(&mut self.batch, uid, &jid)),
                    _ => left_out.note("blocked address that cannot be read"),
                }
            }
            return;
        }
        let default = part.child("default", PRIVACY);
        let default = default.and_then(|default| default.attr("name"));
        for list in part.children().filter(|list| list.is("list", PRIVACY)) {
            if default.is_none() || list.attr("name") != default {
                left_out.note("privacy list that is not the default");
                continue;
            }
            let order = |item: &El<'_>| item.attr("order").and_then(|n| n.parse::<u64>().ok());
            let mut items: Vec<El<'_>> = list.children().collect();
            items.sort_by_key(order);
            let mut allowed = false;
            for item in items {
                let all = item.attr("action") == Some("deny") && item.children().next().is_none();
                let jid = item
                    .attr("value")
                    .filter(|_| item.attr("type") == Some("jid"));
                match jid.map(Jid::parse) {
                    Some(Ok(jid)) if all && !allowed => {
                        self.block_list.add(&mut self.batch, uid, &jid);
                    }
                    // What allows the rest says nothing.
                    None if item.attr("type").is_none() && !all => allowed = true,
                    _ => {
                        allowed |= item.attr("action") == Some("allow");
                        left_out.note("rule of a privacy list that is no blocked address");
                    }
                }
            }
        }
    }

    fn contact(&mut self, item: El<'_>) -> Option<()> {
        let jid = Jid::parse(item.attr("jid")?).ok()?.bare();
        if jid == *self.arrival.jid() {
            return None;
        }
        let subscription = match item.attr("subscription").unwrap_or("none") {
            "none" => Subscription::None,
            "to" => Subscription::To,
            "from" => Subscription::From,
            "both" => Subscription::Both,
            _ => return None,
        };
        let mut groups: Vec<Box<str>> = Vec::new();
        for group in item
            .children()
            .filter(|group| group.is("group", ns::ROSTER))
        {
            let name = group.text();
            if !name.is_empty() && !groups.iter().any(|known| **known == *name) {
                groups.push(name.into());
            }
        }
        let change = |known: &mut Item| {
            known.name = item
                .attr("name")
                .filter(|name| !name.is_empty())
                .map(Into::into);
            known.groups = groups;
            known.subscription = subscription;
            known.ask = item.attr("ask") == Some("subscribe") && !subscription.to();
            known.approved = matches!(item.attr("approved"), Some("true" | "1"));
            known.listed = true;
        };
        let uid = self.arrival.uid();
        self.roster.change(&mut self.batch, uid, &jid, change);
        Some(())
    }

    /// §4.9
    fn request(&mut self, presence: &Element) -> Option<()> {
        let stanza = Stanza::from_element(presence.clone()).ok()?;
        let from = stanza.from.as_ref()?.bare();
        if stanza.kind != Kind::Presence(PresenceType::Subscribe) {
            return None;
        }
        let stanza = stanza
            .with_from(from.clone())
            .with_to(self.arrival.jid().clone());
        let xml = String::from_utf8(stanza.to_bytes()).ok()?;
        let uid = self.arrival.uid();
        self.roster.change(&mut self.batch, uid, &from, |item| {
            if !item.subscription.from() {
                item.request = Some(xml.into());
            }
        });
        Some(())
    }

    fn setting(&mut self, setting: &Element) -> Option<()> {
        self.nodes.setting(&mut self.batch, setting.root())
    }

    fn item(&mut self, node: &str, item: &Element) -> Option<()> {
        self.nodes.item(&mut self.batch, node, item.root())
    }

    fn offline(&mut self, message: &Element) -> Option<()> {
        let mut stanza = message_of(message)?;
        let own = self.arrival.jid().clone();
        let delay = stanza.child("delay", ns::DELAY).and_then(Delay::parse);
        let at = delay.map_or(self.now, |delay| delay.stamp).min(self.now);
        let is_own_id = |el: El<'_>| {
            // ejabberd adds its older form.
            let kind = el.is("stanza-id", ns::STANZA_ID) || el.is("archived", "urn:xmpp:mam:tmp");
            kind && el.attr("by") == Some(own.as_str())
        };
        let is_own_delay = |el: El<'_>| {
            let from = el.attr("from");
            el.is("delay", ns::DELAY) && from.is_none_or(|from| from == own.domain())
        };
        let id = stanza.children().find(|el| is_own_id(*el));
        let id = id.and_then(|el| el.attr("id")).map(str::to_owned);
        // The server adds both again when it delivers.
        stanza.retain_children(|el| !is_own_delay(el) && !is_own_id(el));
        let mid = match &id {
            Some(id) => self.same(id, at, false),
            None => self.offline.draw(at),
        };
        let entry = Entry {
            mid,
            keep: id.is_some(),
        };
        log::import(
            &mut self.batch,
            self.arrival.uid(),
            &own,
            entry,
            &stanza,
            at,
            true,
        );
        Some(())
    }

    fn archived(&mut self, result: &Element) -> Option<()> {
        let forwarded = result.child("forwarded", ns::FORWARD)?;
        let (message, delay) = forward::unwrap(forwarded)?;
        let stanza = message_of(&message.to_element())?;
        let at = delay?.stamp.min(self.now);
        let mid = match result.attr("id") {
            Some(id) => self.same(id, at, true),
            None => self.archived.draw(at),
        };
        let entry = Entry { mid, keep: true };
        let own = self.arrival.jid().clone();
        log::import(
            &mut self.batch,
            self.arrival.uid(),
            &own,
            entry,
            &stanza,
            at,
            false,
        );
        Some(())
    }

    /// The id of a message that had another id on the other server: its own if it comes from a server like this one, so that
    /// clients find where they were.
    fn same(&mut self, id: &str, at: u64, archived: bool) -> Mid {
        if let Ok(mid) = id.parse::<Mid>()
            && mid.ms() <= self.now
        {
            return mid;
        }
        if let Some(mid) = self.ids.get(id) {
            return *mid;
        }
        let source = if archived {
            &mut self.archived
        } else {
            &mut self.offline
        };
        let mid = source.draw(at);
        // Those that come twice are among the newest.
        if self.ids.len() >= SHARED {
            self.ids.clear();
        }
        self.ids.insert(id.to_owned(), mid);
        mid
    }
}

fn message_of(element: &Element) -> Option<Stanza> {
    let stanza = Stanza::from_element(element.clone()).ok()?;
    matches!(stanza.kind, Kind::Message(_)).then_some(stanza)
}

/// A password, or what ejabberd writes in its place: `scram:` and stored key, server key, salt and rounds.
fn login(password: String) -> Login {
    match password.strip_prefix("scram:").and_then(ejabberd_keys) {
        Some(keys) => Login::Keys(vec![keys]),
        None => Login::Password(password),
    }
}

fn ejabberd_keys(text: &str) -> Option<(ScramHash, ScramKeys)> {
    let parts: Vec<&str> = text.split(',').collect();
    let (hash, parts) = match parts.as_slice() {
        ["sha256", parts @ ..] => (ScramHash::Sha256, parts),
        ["sha512", parts @ ..] => (ScramHash::Sha512, parts),
        parts => (ScramHash::Sha1, parts),
    };
    let [stored, server, salt, rounds] = parts else {
        return None;
    };
    keys(hash, rounds, salt, stored, server)
}

/// §4.3
fn scram(part: &Element) -> Option<(ScramHash, ScramKeys)> {
    let (hash, plus) = ScramHash::from_mechanism(part.attr("mechanism")?)?;
    let text = |name| {
        part.child(name, SCRAM)
            .map(|el| el.text().trim().to_owned())
    };
    let (rounds, salt) = (text("iter-count")?, text("salt")?);
    let found = keys(
        hash,
        &rounds,
        &salt,
        &text("stored-key")?,
        &text("server-key")?,
    );
    found.filter(|_| !plus)
}

fn keys(
    hash: ScramHash,
    rounds: &str,
    salt: &str,
    stored: &str,
    server: &str,
) -> Option<(ScramHash, ScramKeys)> {
    let decode = |text: &[u8]| BASE64.decode(text).ok();
    let mut keys = ScramKeys {
        iterations: rounds.parse().ok().filter(|n| (1..=ROUNDS).contains(n))?,
        salt: decode(salt.as_bytes()).filter(|salt| !salt.is_empty())?,
        stored_key: decode(stored.as_bytes())?,
        server_key: decode(server.as_bytes())?,
    };
    // ejabberd writes the base64 of what is base64 already.
    if keys.stored_key.len() == hash.size().div_ceil(3) * 4 {
        keys.salt = decode(&keys.salt)?;
        keys.stored_key = decode(&keys.stored_key)?;
        keys.server_key = decode(&keys.server_key)?;
    }
    let fits = keys.stored_key.len() == hash.size() && keys.server_key.len() == hash.size();
    fits.then_some((hash, keys))
}
