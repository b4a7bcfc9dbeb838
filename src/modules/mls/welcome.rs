//! Welcomes: each is for one device, and waits for it until it says that it has it. No archive has them.

use std::sync::Arc;

use super::{Face, device_of, errors};
use crate::hooks::{Device as Client, Envelope, Facts, Missed, Reply, Request, Turn, Verdict};
use crate::mls::framing::{self, Frame};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{Kind, MessageType, Stanza};
use crate::state::mls::{self, Elsewhere, MlsError, Waiting};
use crate::state::owned::{Line, Owner};
use crate::store::Mid;
use crate::xml::{El, Element};

/// The welcome that a message brings.
fn welcome(stanza: &Stanza) -> Option<El<'_>> {
    match stanza.kind {
        Kind::Message(MessageType::Normal | MessageType::Chat) => stanza.child("welcome", ns::MLS),
        _ => None,
    }
}

impl Face {
    /// It is nothing for the archive of who sends it, nor for its other clients.
    pub(super) fn sent(&self, envelope: &mut Envelope) -> Verdict {
        if welcome(&envelope.stanza).is_some() {
            envelope.facts.no_archive = true;
            envelope.facts.no_copy = true;
        }
        Verdict::Continue
    }

    /// It is put with those that wait for the device.
    pub(super) fn arrives(
        self: &Arc<Self>,
        envelope: &mut Envelope,
        turn: &mut Turn<'_>,
    ) -> Verdict {
        let Some(welcome) = welcome(&envelope.stanza) else {
            return Verdict::Continue;
        };
        let device = match checked(welcome) {
            Ok(device) => device.to_owned(),
            Err(error) => return Verdict::Bounce(error),
        };
        let Some(owner) = Owner::of(turn.account) else {
            return Verdict::Bounce(Condition::ItemNotFound.into());
        };
        let (this, kept) = (self.clone(), envelope.stanza.clone());
        let stanza = kept.to_bytes();
        Verdict::Later(Box::pin(async move {
            match this
                .mls
                .desk
                .keep_welcome(&owner, &device, stanza.to_vec())
                .await
            {
                Ok((mid, client)) => {
                    this.mls.counts.kept.count();
                    let waiting = Waiting {
                        mid,
                        stanza: stanza.to_vec(),
                    };
                    this.hand(owner.jid(), &device, &waiting);
                    if let Some(client) = client {
                        this.wake(owner.jid(), client, kept);
                    }
                    Verdict::Consume
                }
                Err(MlsError::Full) => {
                    this.mls.counts.full_welcomes.count();
                    Verdict::Bounce(
                        StanzaError::from(Condition::ResourceConstraint)
                            .with_text("As many welcomes as may be wait for this device"),
                    )
                }
                Err(error) => Verdict::Bounce(error.into()),
            }
        }))
    }

    /// Gives a welcome to the sessions of its device, if there are any.
    fn hand(self: &Arc<Self>, account: &Jid, device: &str, waiting: &Waiting) {
        let Ok(mut stanza) = Stanza::from_bytes(&waiting.stanza) else {
            tracing::error!(%account, "a welcome cannot be read; run `waxwing check`");
            return;
        };
        let id = Element::new("stanza-id", ns::STANZA_ID)
            .with_attr("by", account.as_str())
            .with_attr("id", &waiting.mid.to_string());
        stanza.push(id);
        let (this, device, stanza) = (self.clone(), device.to_owned(), Arc::new(stanza));
        let hand = move |turn: &mut Turn<'_>| this.push(turn, &device, &stanza);
        self.mls.floor.in_turn(account, Box::new(hand));
    }

    /// The client of a device that is away may have somebody who wakes it.
    fn wake(&self, account: &Jid, client: Client, welcome: Arc<Stanza>) {
        let missed = Missed {
            facts: Facts::of(&welcome),
            stanza: welcome,
            only: Some(client),
            nick: None,
            open: false,
        };
        let tell = move |turn: &mut Turn<'_>| {
            let tables = turn.account.tables.clone();
            for hook in tables.missed() {
                hook(&missed, turn);
            }
        };
        self.mls.floor.in_turn(account, Box::new(tell));
    }

    /// Gives a device all that waits for it.
    pub(super) async fn offer(self: &Arc<Self>, owner: &Owner, device: &str) {
        match self.mls.desk.welcomes(owner.uid(), device).await {
            Ok(waiting) => {
                for one in &waiting {
                    self.hand(owner.jid(), device, one);
                }
            }
            Err(error) => {
                tracing::error!(account = %owner.jid(), %error, "the welcomes of a device cannot be read");
            }
        }
    }

    /// The device has one.
    pub(super) fn received(
        self: &Arc<Self>,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Reply, StanzaError> {
        let owner = Owner::of(turn.account).ok_or(Condition::NotAllowed)?;
        let device = device_of(request.payload)?.to_owned();
        let id = request
            .payload
            .attr("id")
            .and_then(|id| id.parse::<Mid>().ok());
        let id = id.ok_or(Condition::ItemNotFound)?;
        let mut place = Line::enter(turn.account)?;
        let this = self.clone();
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            match this.mls.desk.welcomed(owner.uid(), &device, id).await {
                Ok(true) => {
                    this.mls.counts.received.count();
                    Reply::done()
                }
                Ok(false) => Reply::Error(Condition::ItemNotFound.into()),
                Err(error) => Reply::Error(error.into()),
            }
        })))
    }
}

/// The device that a welcome is for: it names a home, and has a Welcome or says where one lies.
fn checked(welcome: El<'_>) -> Result<&str, StanzaError> {
    let device = device_of(welcome)?;
    let home = welcome.attr("home").and_then(|home| Jid::parse(home).ok());
    if home.is_none() {
        return Err(errors::message("home"));
    }
    if Elsewhere::read(welcome)?.is_some() {
        return Ok(device);
    }
    let bytes = mls::decode(welcome).ok_or_else(|| errors::message("base64"))?;
    match framing::read(&bytes) {
        Ok(Frame::Welcome | Frame::Opaque) => Ok(device),
        Ok(_) => Err(errors::message("kind")),
        Err(error) => Err(errors::message("syntax").with_text(error.to_string())),
    }
}
