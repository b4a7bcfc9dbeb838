//! Groups without a room: their home is an account, which puts what its devices and contacts send in one order, and passes
//! it on to all who take part.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::{Face, errors};
use crate::hooks::{Effect, Envelope, Floor, Origin, Reply, Request, Turn};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, Stanza};
use crate::state::mls::order::{self, Changed, Order, Terms};
use crate::state::mls::{self, Desk, Home, Info, Letter, MlsError, Parcel, Place, SendError};
use crate::state::owned::{Line, Owner};
use crate::store::StoreError;
use crate::xml::{El, Element};

/// Bytes of the id of a group (RFC 9420 leaves it open).
const GROUP: usize = 255;
/// What is shown where MLS is not known.
const FALLBACK: &str = "This message is encrypted with MLS.";
/// Bytes of a hash that are enough to tell messages apart.
const ID: usize = 16;
/// Parcels read at once.
const PAGE: usize = 100;

/// Parcels on their way.
#[derive(Default)]
pub(super) struct Post {
    under_way: Mutex<HashSet<Place>>,
    /// Done once what the server before this one left has been passed on. Nothing goes before that: the order is the home's.
    left: OnceCell<()>,
    /// One may lie there that nobody takes care of.
    again: AtomicBool,
}

/// A parcel on its way to several; when nobody is left who has it on his way, all have it.
struct Delivery {
    place: Place,
    desk: Desk,
    post: Arc<Post>,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let (place, desk, post) = (self.place, self.desk.clone(), self.post.clone());
        // While the server ends there is none: then they are looked for when it starts.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            if desk.delivered(place).await.is_err() {
                post.again.store(true, Ordering::Release);
            }
            post.forget(place);
        });
    }
}

impl Post {
    fn forget(&self, place: Place) {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        under_way.remove(&place);
    }

    /// Passes a parcel on, unless it is on its way.
    fn carry(self: &Arc<Self>, floor: &dyn Floor, desk: &Desk, place: Place, parcel: &Parcel) {
        let mut under_way = self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !under_way.insert(place) {
            return;
        }
        drop(under_way);
        let delivery = Arc::new(Delivery {
            place,
            desk: desk.clone(),
            post: self.clone(),
        });
        let Ok(stanza) = Stanza::from_bytes(parcel.stanza.as_bytes()) else {
            tracing::error!(home = %parcel.home, "a message of a group cannot be read; run `waxwing check`");
            return;
        };
        for to in &parcel.to {
            let copy = Arc::new(stanza.clone().with_to(to.clone()));
            let mut envelope = Envelope::new(copy, to.clone(), Origin::Account);
            let delivery = delivery.clone();
            let done = Effect::Free(Box::new(move || drop(delivery)));
            envelope.ledger.effects.push(done);
            floor.route(Box::new(envelope));
        }
    }
}

impl Face {
    /// Looks for parcels that nobody takes care of.
    pub(super) fn look_for_parcels(self: &Arc<Self>) {
        let post = &self.mls.post;
        if post.left.initialized() && !post.again.swap(false, Ordering::AcqRel) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            let looked = match this.mls.post.left.initialized() {
                true => this.carry_all().await,
                false => this.carry_left().await,
            };
            match looked {
                // If the server stops, the next one looks again.
                Ok(()) | Err(StoreError::Closed) => {}
                Err(error) => {
                    tracing::error!(%error, "messages of groups cannot be read; run `waxwing check`");
                    this.mls.post.again.store(true, Ordering::Release);
                }
            }
        });
    }

    /// Passes on what was on its way when the server before this one ended; whoever comes meanwhile waits for it.
    async fn carry_left(&self) -> Result<(), StoreError> {
        let left = &self.mls.post.left;
        left.get_or_try_init(|| self.carry_all()).await.copied()
    }

    async fn carry_all(&self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.mls.desk.parcels(after, PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = Some(*last);
            for (place, parcel) in &page {
                if parcel.home.domain() == self.mls.host.domain() {
                    let (floor, desk) = (&*self.mls.floor, &self.mls.desk);
                    self.mls.post.carry(floor, desk, *place, parcel);
                }
            }
        }
    }

    pub(super) fn create(
        self: &Arc<Self>,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Reply, StanzaError> {
        let owner = Owner::of(turn.account).ok_or(Condition::NotAllowed)?;
        let group = group_of(request.payload)?;
        let epoch = request.payload.attr("epoch").unwrap_or("0").parse();
        let epoch = epoch.map_err(|_| Condition::BadRequest)?;
        let mut participants = BTreeSet::from([owner.jid().clone()]);
        let members = request.payload.children();
        for member in members.filter(|el| el.is("member", ns::MLS)) {
            let jid = Jid::parse(member.attr("jid").unwrap_or_default());
            participants.insert(jid.map_err(|_| Condition::JidMalformed)?.bare());
        }
        let home = Home {
            order: Order::new(&group, epoch, owner.jid().clone()),
            participants,
        };
        let mut place = Line::enter(turn.account)?;
        let this = self.clone();
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            match this.mls.desk.found(&owner, &group, home).await {
                Ok(()) => Reply::done(),
                Err(error) => Reply::Error(this.bounded(error)),
            }
        })))
    }

    pub(super) fn end(
        self: &Arc<Self>,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Reply, StanzaError> {
        let owner = Owner::of(turn.account).ok_or(Condition::NotAllowed)?;
        let group = group_of(request.payload)?;
        let mut place = Line::enter(turn.account)?;
        let this = self.clone();
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            match this.mls.desk.disband(owner.uid(), &group).await {
                Ok(true) => Reply::done(),
                Ok(false) => Reply::Error(Condition::ItemNotFound.into()),
                Err(error) => Reply::Error(error.into()),
            }
        })))
    }

    /// A message for a group: what was there first goes to all, in this order.
    pub(super) fn send(
        self: &Arc<Self>,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Reply, StanzaError> {
        let owner = Owner::of(turn.account).ok_or(Condition::ItemNotFound)?;
        let (bytes, changed) = sent(request.payload)?;
        let from = request.from.clone();
        let mut place = Line::enter(turn.account)?;
        let this = self.clone();
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            let sent = this.pass_on(&owner, &from, &bytes, &changed).await;
            sent.map_or_else(Reply::Error, Reply::from)
        })))
    }

    async fn pass_on(
        &self,
        owner: &Owner,
        from: &Jid,
        bytes: &[u8],
        changed: &Changed,
    ) -> Result<Element, StanzaError> {
        let framed = order::framed(bytes)?;
        let id = id_of(bytes);
        let stanza = sealed(owner.jid(), from, bytes, &id).to_bytes();
        let letter = Letter {
            from,
            framed,
            bytes,
            changed,
            id: &id,
            stanza: &String::from_utf8_lossy(&stanza),
        };
        let terms = Terms {
            window: self.mls.window,
            // Other devices of those who take part.
            external: true,
        };
        self.carry_left().await.map_err(MlsError::from)?;
        match self.mls.desk.accept(owner, &letter, terms).await {
            Ok(accepted) => {
                let (floor, desk) = (&*self.mls.floor, &self.mls.desk);
                let parcel = &accepted.parcel;
                self.mls.post.carry(floor, desk, accepted.place, parcel);
                self.mls.counts.passed_on.count();
                Ok(Element::new("sent", ns::MLS)
                    .with_attr("id", &id)
                    .with_attr("epoch", &accepted.epoch.to_string()))
            }
            Err(SendError::Order(refused, winner)) => {
                self.mls.counts.out_of_order.count();
                let winner = winner.map(|bytes| mls::encode(&bytes));
                Err(refused.to_error(&framed, winner.as_deref()))
            }
            Err(SendError::Mls(error)) => Err(self.bounded(error)),
        }
    }

    fn bounded(&self, error: MlsError) -> StanzaError {
        if matches!(error, MlsError::Full) {
            self.mls.counts.full_groups.count();
        }
        error.into()
    }

    /// Where a group is, for who takes part.
    pub(super) fn group(
        self: &Arc<Self>,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Reply, StanzaError> {
        let owner = Owner::of(turn.account).ok_or(Condition::ItemNotFound)?;
        let (group, who) = (group_of(request.payload)?, request.from.bare());
        let mut place = Line::enter(turn.account)?;
        let this = self.clone();
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            match this.of_participant(&owner, &group, &who).await {
                Ok(home) => home.order.to_element().into(),
                Err(error) => Reply::Error(error),
            }
        })))
    }

    async fn of_participant(
        &self,
        owner: &Owner,
        group: &[u8],
        who: &Jid,
    ) -> Result<Home, StanzaError> {
        let home = self.mls.desk.home(owner.uid(), group).await;
        let home = home.map_err(MlsError::from)?;
        let home = home.filter(|home| home.participants.contains(who));
        // Nobody else learns that there is one.
        home.ok_or_else(|| errors::no_group(group))
    }

    /// The state of a group, for who takes part with another device.
    pub(super) fn info(
        self: &Arc<Self>,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Reply, StanzaError> {
        let owner = Owner::of(turn.account).ok_or(Condition::ItemNotFound)?;
        let (group, who) = (group_of(request.payload)?, request.from.bare());
        let mut place = Line::enter(turn.account)?;
        let this = self.clone();
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            let home = match this.of_participant(&owner, &group, &who).await {
                Ok(home) => home,
                Err(error) => return Reply::Error(error),
            };
            let info = this.mls.desk.info(owner.uid(), &group, home.order.epoch);
            match info.await {
                Ok(Some(kept)) => match Info::shown(&kept) {
                    Some(info) => info.into(),
                    None => Reply::Error(Condition::InternalServerError.into()),
                },
                Ok(None) => Reply::Error(Condition::ItemNotFound.into()),
                Err(error) => Reply::Error(MlsError::from(error).into()),
            }
        })))
    }

    /// The state of an epoch is kept from whoever began it.
    pub(super) fn keep_info(
        self: &Arc<Self>,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Reply, StanzaError> {
        let owner = Owner::of(turn.account).ok_or(Condition::ItemNotFound)?;
        let info = Info::read(request.payload, self.mls.group_info)?;
        let who = request.from.bare();
        let mut place = Line::enter(turn.account)?;
        let this = self.clone();
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            let kept = this.kept_info(&owner, &who, &info).await;
            kept.map_or_else(Reply::Error, |()| Reply::done())
        })))
    }

    async fn kept_info(&self, owner: &Owner, who: &Jid, info: &Info) -> Result<(), StanzaError> {
        let home = self.of_participant(owner, &info.group, who).await?;
        if home.order.epoch != info.epoch {
            return Err(Condition::Conflict.into());
        }
        if home.order.by != *who {
            return Err(Condition::Forbidden.into());
        }
        let kept = self.mls.desk.keep_info(owner, info);
        kept.await.map_err(StanzaError::from)
    }
}

/// The group that a request names.
fn group_of(payload: El<'_>) -> Result<Vec<u8>, StanzaError> {
    let group = payload.attr("group").and_then(mls::decode_text);
    let group = group.filter(|group| group.len() <= GROUP);
    group.ok_or_else(|| Condition::BadRequest.into())
}

/// A message for a group, and who comes and goes with it.
fn sent(payload: El<'_>) -> Result<(Vec<u8>, Changed), StanzaError> {
    let bytes = order::message_in(payload.children())?;
    let bytes = bytes.ok_or(order::Unfit::Count)?;
    order::framed(&bytes)?;
    Ok((bytes, Changed::read(payload.children())?))
}

/// Where there is no account it is as where there is no such group; nor does a message for one reach any.
pub(super) fn send_to_nobody(_: &Face, payload: El<'_>) -> StanzaError {
    none(sent(payload).and_then(|(bytes, _)| Ok(order::framed(&bytes)?.group.to_owned())))
}

/// Nor is there anything to tell of it.
pub(super) fn ask_nobody(_: &Face, payload: El<'_>) -> StanzaError {
    none(group_of(payload))
}

/// Nor is its state kept.
pub(super) fn give_nobody(face: &Face, payload: El<'_>) -> StanzaError {
    none(Info::read(payload, face.mls.group_info).map(|info| info.group))
}

fn none(group: Result<Vec<u8>, StanzaError>) -> StanzaError {
    group.map_or_else(|error| error, |group| errors::no_group(&group))
}

/// The id of a message, which is the same when it is sent again because the answer was lost: those who have it know it by that.
fn id_of(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let half = digest.get(..ID).unwrap_or(&digest);
    URL_SAFE_NO_PAD.encode(half)
}

/// What all get who take part.
fn sealed(home: &Jid, sender: &Jid, bytes: &[u8], id: &str) -> Stanza {
    let mls = Element::new("mls", ns::MLS)
        .with_attr("sender", sender.as_str())
        .with_text(&mls::encode(bytes));
    let encryption = Element::new("encryption", ns::ENCRYPTION)
        .with_attr("namespace", ns::MLS)
        .with_attr("name", "MLS");
    Stanza::message(MessageType::Chat)
        .with_from(home.clone())
        .with_id(id)
        .with_child(mls)
        .with_child(encryption)
        .with_child(Element::new("store", ns::HINTS))
        .with_child(Element::new("body", ns::CLIENT).with_text(FALLBACK))
}
