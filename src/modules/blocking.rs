//! XEP-0191: Blocking Command (1.3)

use std::sync::Arc;

use crate::hooks::{
    Account, Deps, Envelope, Info, Module, ModuleError, Origin, Outgoing, Path, Phase, Registrar,
    Reply, Request, SessionFlag, To, Turn, Verb, Verdict,
};
use crate::metrics::Counter;
use crate::proto::error::{Condition, ErrorType, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{IqType, Kind, MessageType, PresenceType, Stanza};
use crate::runtime::random;
use crate::settings;
use crate::state::blocklist::{BlockList, blocks};
use crate::state::roster::Roster;
use crate::store::Batch;
use crate::xml::{El, Element};

settings! {
    /// Whom an account does not want to hear of.
    pub struct Config {
        /// Entries of one account's list.
        pub entries: u32 = 2_000 => within(1..=100_000);
    }
}

/// Answers for block lists, and keeps to them.
pub struct Blocking {
    entries: usize,
    full: Counter,
}

impl Module for Blocking {
    const INFO: Info = Info {
        name: "blocking",
        specs: &[("XEP-0191", "1.3")],
        doc: "People, servers or single clients that an account does not want to hear of.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(Blocking {
            entries: config.entries as usize,
            full: deps.metrics.limit("modules.blocking.entries"),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::Host, ns::BLOCKING);
        r.part(BlockList::load);
        r.bar(blocks);
        r.message(Path::FromClient, Phase::Check, sent);
        r.presence(Path::FromClient, Phase::Check, sent);
        r.iq_transit(Path::FromClient, Phase::Check, sent);
        r.message(Path::ToClient, Phase::Check, arrives);
        r.presence(Path::ToClient, Phase::Check, arrives);
        r.iq_transit(Path::ToClient, Phase::Check, arrives);
        let asked = r.session_flag("asked");
        let own = To::OwnAccount;
        r.account_iq(
            own,
            Verb::Get,
            (ns::BLOCKING, "blocklist"),
            move |q, turn| list(asked, q, turn),
        );
        let this = self.clone();
        r.account_iq(own, Verb::Set, (ns::BLOCKING, "block"), move |q, turn| {
            this.block(asked, q, turn).unwrap_or_else(Reply::Error)
        });
        r.account_iq(own, Verb::Set, (ns::BLOCKING, "unblock"), move |q, turn| {
            unblock(asked, q, turn).unwrap_or_else(Reply::Error)
        });
    }
}

/// §3.3: to whom one has blocked nothing goes out.
fn sent(envelope: &mut Envelope, turn: &mut Turn<'_>) -> Verdict {
    if envelope.stanza.to.is_none() || !blocks(turn.account, &envelope.to) {
        return Verdict::Continue;
    }
    if envelope.stanza.kind.is_error() || envelope.stanza.kind == Kind::Iq(IqType::Result) {
        return Verdict::Consume;
    }
    let error = StanzaError::from(Condition::NotAcceptable)
        .with_type(ErrorType::Cancel)
        .with_app(Element::new("blocked", ns::BLOCKING_ERRORS));
    Verdict::Bounce(error)
}

/// §3.3: whom one has blocked gets the answers of somebody who is not there. What comes from a room
/// is not refused: rooms put out who refuses.
fn arrives(envelope: &mut Envelope, turn: &mut Turn<'_>) -> Verdict {
    if !envelope
        .from()
        .is_some_and(|from| blocks(turn.account, from))
    {
        return Verdict::Continue;
    }
    if envelope.origin == Origin::Server && envelope.stanza.kind.is_error() {
        // The server's own word that something one sent was refused.
        return Verdict::Continue;
    }
    match envelope.stanza.kind {
        Kind::Message(MessageType::Error | MessageType::Groupchat)
        | Kind::Presence(_)
        | Kind::Iq(IqType::Result | IqType::Error) => Verdict::Consume,
        Kind::Message(_) | Kind::Iq(IqType::Get | IqType::Set) => {
            Verdict::Bounce(Condition::ServiceUnavailable.into())
        }
    }
}

/// §3.2; who has asked is told of changes.
fn list(asked: SessionFlag, request: &Request<'_>, turn: &mut Turn<'_>) -> Reply {
    if let Some(session) = request.session.and_then(|id| turn.account.session_mut(id)) {
        asked.set(session, true);
    }
    let list = turn.account.parts.find::<BlockList>();
    let mut entries: Vec<&Jid> = list.into_iter().flat_map(BlockList::entries).collect();
    entries.sort_unstable();
    command("blocklist", entries).into()
}

impl Blocking {
    /// §3.3: all of the items, or none.
    fn block(
        &self,
        asked: SessionFlag,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Reply, StanzaError> {
        let items = items(request.payload)?;
        if items.is_empty() {
            return Err(Condition::BadRequest.into());
        }
        let account = &mut *turn.account;
        let own = |item: &&Jid| item.bare_str() == account.jid.as_str();
        if account.guest || items.iter().any(|item| own(&item)) {
            return Err(Condition::NotAllowed.into());
        }
        let list = account.parts.find::<BlockList>();
        let known = list.map_or(0, BlockList::len);
        let is_new = |item: &&Jid| list.is_none_or(|list| !list.contains(item));
        if known + items.iter().filter(is_new).count() > self.entries {
            self.full.count();
            return Err(StanzaError::from(Condition::ResourceConstraint)
                .with_text("The block list is full"));
        }
        let goodbyes = goodbyes(account, &items);
        let uid = account.uid;
        if let Some(list) = account.parts.of::<BlockList>() {
            for item in &items {
                list.add(&mut turn.ledger.batch, uid, item);
            }
        }
        push(turn, asked, command("block", items.iter()));
        for goodbye in goodbyes {
            turn.send(goodbye);
        }
        Ok(Reply::done())
    }
}

/// §3.4, §3.5: some, or all.
fn unblock(
    asked: SessionFlag,
    request: &Request<'_>,
    turn: &mut Turn<'_>,
) -> Result<Reply, StanzaError> {
    let items = items(request.payload)?;
    let pushed = command("unblock", items.iter());
    let uid = turn.account.uid;
    let mut gone: Vec<Jid> = Vec::new();
    if let Some(list) = turn.account.parts.find_mut::<BlockList>() {
        let wanted = match items.is_empty() {
            true => list.entries().cloned().collect(),
            false => items,
        };
        for item in wanted {
            if list.remove(&mut turn.ledger.batch, uid, &item) {
                gone.push(item);
            }
        }
        if list.is_empty() {
            turn.account.parts.take::<BlockList>();
        }
    }
    push(turn, asked, pushed);
    for hello in hellos(turn.account, &gone) {
        turn.send(hello);
    }
    Ok(Reply::done())
}

/// The addresses in a command, without repetition.
fn items(command: El<'_>) -> Result<Vec<Jid>, StanzaError> {
    let mut items: Vec<Jid> = Vec::new();
    for item in command.children().filter(|el| el.is("item", ns::BLOCKING)) {
        let jid = item.attr("jid").ok_or(Condition::BadRequest)?;
        items.push(Jid::parse(jid).map_err(|_| StanzaError::from(Condition::JidMalformed))?);
    }
    items.sort_unstable();
    items.dedup();
    Ok(items)
}

fn command<'a>(name: &str, items: impl IntoIterator<Item = &'a Jid>) -> Element {
    let items = items.into_iter();
    Element::new(name, ns::BLOCKING).with_children(
        items.map(|jid| Element::new("item", ns::BLOCKING).with_attr("jid", jid.as_str())),
    )
}

/// Tells the sessions that asked for the list, after the commit.
fn push(turn: &mut Turn<'_>, asked: SessionFlag, command: Element) {
    turn.after_commit(move |turn| {
        let sessions = turn.account.sessions.iter();
        for session in sessions.filter(|session| asked.is_set(session)) {
            let stanza = Stanza::iq(IqType::Set)
                .with_to(session.jid.clone())
                .with_id(random::id())
                .with_child(command.clone());
            session.outbox.push(Outgoing {
                stanza: Arc::new(stanza),
                to: None,
                entry: None,
            });
        }
    });
}

/// Whom of an entry the account shows its presence to, by its roster.
fn shown(account: &Account, entry: &Jid) -> Vec<Jid> {
    let Some(roster) = account.parts.find::<Roster>() else {
        return Vec::new();
    };
    if entry.node().is_none() && entry.is_bare() {
        let same = |contact: &&Jid| contact.domain() == entry.domain();
        return roster.subscribers().filter(same).cloned().collect();
    }
    let subscribed = roster.state(&entry.bare()).subscription.from();
    subscribed.then(|| entry.clone()).into_iter().collect()
}

/// The unavailable presence for all who could see the account until now (§3.3); what was sent to
/// somebody directly is taken back as well.
fn goodbyes(account: &mut Account, items: &[Jid]) -> Vec<Stanza> {
    let mut fresh = BlockList::default();
    for item in items {
        fresh.add(&mut Batch::new(), account.uid, item);
    }
    let shown = items.iter().flat_map(|item| shown(account, item));
    let mut shown: Vec<Jid> = shown.filter(|who| !account.bars(who)).collect();
    shown.sort_unstable();
    shown.dedup();
    let mut goodbyes = Vec::new();
    for session in &mut account.sessions {
        let mut told: Vec<Jid> = match session.presence {
            Some(_) => shown.clone(),
            None => Vec::new(),
        };
        session.directed.retain(|to| {
            let gone = fresh.blocks(to);
            if gone && told.iter().all(|known| known.as_str() != to.bare_str()) {
                told.push(to.clone());
            }
            !gone
        });
        goodbyes.extend(told.into_iter().map(|to| {
            Stanza::presence(PresenceType::Unavailable)
                .with_from(session.jid.clone())
                .with_to(to)
        }));
    }
    goodbyes
}

/// The presence of the account for all who may see it again (§3.4), and questions for theirs.
fn hellos(account: &Account, gone: &[Jid]) -> Vec<Stanza> {
    let shown = gone.iter().flat_map(|item| shown(account, item));
    let mut shown: Vec<Jid> = shown.filter(|who| !account.bars(who)).collect();
    shown.sort_unstable();
    shown.dedup();
    let mut hellos = Vec::new();
    for session in account.available() {
        for (presence, to) in session
            .presence
            .iter()
            .flat_map(|p| shown.iter().map(move |to| (p, to)))
        {
            hellos.push(Stanza::clone(presence).with_to(to.clone()));
        }
    }
    if hellos.is_empty() && account.available().next().is_none() {
        return hellos;
    }
    let seen = account.parts.find::<Roster>().into_iter();
    let seen = seen.flat_map(Roster::subscriptions);
    let mut freed = BlockList::default();
    for item in gone {
        freed.add(&mut Batch::new(), account.uid, &item.bare());
    }
    for contact in seen.filter(|contact| freed.blocks(contact) && !account.bars(contact)) {
        hellos.push(
            Stanza::presence(PresenceType::Probe)
                .with_from(account.jid.clone())
                .with_to(contact.clone()),
        );
    }
    hellos
}
