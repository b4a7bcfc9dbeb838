//! XEP-0033: Extended Stanza Addressing (1.2.1): the multicast service of a host, for its own accounts

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::hooks::{
    Deps, Envelope, Info, Module, ModuleError, Origin, Path, Phase, Receipt, Registrar, Source, To,
    Turn, Verdict,
};
use crate::metrics::Counter;
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{Kind, PresenceType, Stanza};
use crate::settings;
use crate::store::Batch;
use crate::xml::{El, Element};

settings! {
    /// One message or presence to several people at once, sent to the host.
    pub struct Config {
        /// Addressees of one stanza.
        pub addressees: u32 = 50 => within(1..=1_000);
    }
}

/// Entities that one session may have shown its presence to, by this service and otherwise.
const SHOWN: usize = 1_000;

/// Sends copies.
pub struct Addresses {
    addressees: usize,
    limit: Counter,
}

/// Whom a stanza is for.
#[derive(Debug, Default)]
struct Header {
    /// Those who get it, each with whether he is hidden from the others.
    to: Vec<(Jid, bool)>,
    /// The addresses that everybody sees, as they are written in copies.
    seen: Vec<Element>,
}

impl Module for Addresses {
    const INFO: Info = Info {
        name: "addresses",
        specs: &[("XEP-0033", "1.2.1")],
        doc: "One stanza to several people at once.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        Ok(Addresses {
            addressees: config.addressees as usize,
            limit: deps.metrics.limit("modules.addresses.addressees"),
        })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::Host, ns::ADDRESS);
        let host = r.host().clone();
        let this = self.clone();
        let mine = host.clone();
        r.message(Path::FromClient, Phase::Record, move |envelope, turn| {
            this.see(&mine, envelope, turn)
        });
        r.presence(Path::FromClient, Phase::Record, move |envelope, turn| {
            self.see(&host, envelope, turn)
        });
    }
}

impl Addresses {
    fn see(&self, host: &Jid, envelope: &mut Envelope, turn: &mut Turn<'_>) -> Verdict {
        let stanza = envelope.stanza.clone();
        if envelope.to != *host || stanza.kind.is_error() {
            return Verdict::Continue;
        }
        let Some(addresses) = stanza.child("addresses", ns::ADDRESS) else {
            return Verdict::Continue;
        };
        match self.send(addresses, envelope, turn) {
            Ok(()) => Verdict::Consume,
            Err(error) => Verdict::Bounce(error),
        }
    }

    /// §6: to all, or to nobody.
    fn send(
        &self,
        addresses: El<'_>,
        envelope: &mut Envelope,
        turn: &mut Turn<'_>,
    ) -> Result<(), StanzaError> {
        if turn.account.guest {
            return Err(Condition::Forbidden.into());
        }
        let header = self.read(addresses, &envelope.to)?;
        if let Some((barred, _)) = header.to.iter().find(|(to, _)| turn.account.bars(to)) {
            return Err(StanzaError::from(Condition::Forbidden)
                .with_text(format!("{barred} gets nothing from this account")));
        }
        note_shown(&header, envelope, turn)?;
        let all = Arc::new(All::new(envelope.receipt.take()));
        for (to, hidden) in &header.to {
            let stanza = copy(&envelope.stanza, &header, to, *hidden);
            let mut copy = Envelope::new(Arc::new(stanza), to.clone(), envelope.origin.clone());
            copy.receipt = Some(all.receipt());
            turn.send_envelope(copy);
        }
        Ok(())
    }

    /// §4, with the errors of §9. What was delivered before is passed on and gets nothing again;
    /// the service itself, and what could lead back to it, is refused.
    fn read(&self, addresses: El<'_>, service: &Jid) -> Result<Header, StanzaError> {
        let mut header = Header::default();
        let all = addresses.children();
        for address in all.filter(|el| el.is("address", ns::ADDRESS)) {
            let kind = address.attr("type").ok_or(Condition::BadRequest)?;
            let recipient = matches!(kind, "to" | "cc" | "bcc");
            let delivered = address.attr("delivered") == Some("true");
            if recipient && !delivered {
                let jid = jid(address)?;
                if jid == *service {
                    return Err(StanzaError::from(Condition::NotAcceptable)
                        .with_text("This would come back to where it is"));
                }
                if header.to.iter().all(|(known, _)| *known != jid) {
                    header.to.push((jid, kind == "bcc"));
                }
            }
            if kind != "bcc" {
                let mut seen = address.to_element();
                if recipient {
                    seen.set_attr("delivered", Some("true"));
                }
                header.seen.push(seen);
            }
            if header.to.len() > self.addressees || header.seen.len() > 2 * self.addressees {
                self.limit.count();
                return Err(StanzaError::from(Condition::NotAcceptable)
                    .with_text(format!("At most {} addresses", self.addressees)));
            }
        }
        match header.to.is_empty() {
            true => Err(StanzaError::from(Condition::BadRequest).with_text("To nobody")),
            false => Ok(header),
        }
    }
}

/// §4.1, §4.2: URIs of other systems are not understood.
fn jid(address: El<'_>) -> Result<Jid, StanzaError> {
    match (address.attr("jid"), address.attr("uri")) {
        (Some(jid), None) => Jid::parse(jid).map_err(|_| Condition::JidMalformed.into()),
        (None, Some(_)) => Err(Condition::JidMalformed.into()),
        _ => Err(Condition::BadRequest.into()),
    }
}

/// What one addressee gets: of those who are hidden he sees only himself (§4.6.3).
fn copy(stanza: &Stanza, header: &Header, to: &Jid, hidden: bool) -> Stanza {
    let mut addresses =
        Element::new("addresses", ns::ADDRESS).with_children(header.seen.iter().cloned());
    if hidden {
        addresses = addresses.with_child(
            Element::new("address", ns::ADDRESS)
                .with_attr("type", "bcc")
                .with_attr("jid", to.as_str()),
        );
    }
    let mut copy = stanza.clone();
    copy.retain_children(|child| !child.is("addresses", ns::ADDRESS));
    copy.push(addresses);
    copy.to = Some(to.clone());
    copy
}

/// §5.1: who was shown presence is told of its end.
fn note_shown(
    header: &Header,
    envelope: &Envelope,
    turn: &mut Turn<'_>,
) -> Result<(), StanzaError> {
    let (Kind::Presence(kind), Origin::Session(session)) = (envelope.stanza.kind, &envelope.origin)
    else {
        return Ok(());
    };
    let available = match kind {
        PresenceType::Available => true,
        PresenceType::Unavailable => false,
        _ => return Err(Condition::NotAcceptable.into()),
    };
    let Some(session) = turn.account.session_mut(*session) else {
        return Ok(());
    };
    let named = |jid: &Jid| header.to.iter().any(|(to, _)| to == jid);
    session.directed.retain(|known| !named(known));
    if available {
        if session.directed.len() + header.to.len() > SHOWN {
            return Err(StanzaError::from(Condition::ResourceConstraint)
                .with_text("Presence was sent to too many at once"));
        }
        session
            .directed
            .extend(header.to.iter().map(|(to, _)| to.clone()));
    }
    Ok(())
}

/// Holds the receipt of a stanza until all its copies are through.
struct All {
    whole: Mutex<Option<Receipt>>,
    left: AtomicUsize,
    failed: AtomicBool,
}

impl All {
    fn new(whole: Option<Receipt>) -> Self {
        All {
            whole: Mutex::new(whole),
            left: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        }
    }

    fn receipt(self: &Arc<Self>) -> Receipt {
        self.left.fetch_add(1, Ordering::AcqRel);
        Receipt::new(self.clone(), 0)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Receipt>> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for All {
    /// No one copy's batch tells that all of them are handled.
    fn submitted(&self, _: u32, _: &mut Batch) {
        if let Some(whole) = self.lock().as_mut() {
            whole.submit(&mut Batch::new());
        }
    }

    fn completed(&self, _: u32, _: bool, handled: bool) {
        if !handled {
            self.failed.store(true, Ordering::Release);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let whole = self.lock().take();
        if let Some(whole) = whole.filter(|_| self.failed.load(Ordering::Acquire)) {
            whole.void();
        }
    }

    fn committing(&self) -> bool {
        self.lock().as_ref().is_some_and(Receipt::must_queue)
    }

    fn is_stale(&self) -> bool {
        self.lock().as_ref().is_some_and(Receipt::is_stale)
    }
}
