//! Key packages: published, counted, withdrawn, and handed out.

use std::sync::Arc;

use super::{At, Face, device_of, errors};
use crate::hooks::{Device as Client, Reply, Request, SessionId, Turn, Uid};
use crate::mls::package::{self, Terms};
use crate::proto::error::{Condition, ErrorType, StanzaError};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::proto::stanza::{MessageType, Stanza};
use crate::state::mls::{self, Device, MlsError, Offered, Taken, Wanted, is_device};
use crate::state::owned::{Line, Owner};
use crate::state::roster::Roster;
use crate::xml::{El, Element};

/// What a device has.
fn described(name: &str, device: &Device) -> Element {
    let element = Element::new("device", ns::MLS)
        .with_attr("id", name)
        .with_attr("count", &device.packages.to_string());
    match device.last.is_empty() {
        true => element,
        false => element.with_attr("last-resort", "true"),
    }
}

fn packages() -> Element {
    Element::new("packages", ns::MLS)
}

impl Face {
    /// A session says which device it is of; which client that is.
    fn sits(
        &self,
        session: Option<SessionId>,
        turn: &mut Turn<'_>,
        device: &str,
    ) -> Option<Client> {
        let session = turn.account.session_mut(session?)?;
        if let Some(at) = self.device.of_mut(session) {
            *at = At(device.to_owned());
        }
        Some(Client::of(session))
    }

    pub(super) fn publish(
        self: &Arc<Self>,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Reply, StanzaError> {
        let owner = Owner::of(turn.account).ok_or(Condition::NotAllowed)?;
        let device = device_of(request.payload)?.to_owned();
        let messages = self.messages(request.payload)?;
        let mut place = Line::enter(turn.account)?;
        let client = self.sits(request.session, turn, &device);
        let this = self.clone();
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            let identity = format!("{}/{device}", owner.jid());
            let published = match this.look_at(identity, messages).await {
                Ok(offered) => {
                    let number = offered.len() as u64;
                    let by = (device.as_str(), client.as_ref());
                    let published = this.mls.desk.publish(&owner, by, offered, this.mls.now());
                    published.await.map(|has| (has, number)).map_err(|error| {
                        if matches!(error, MlsError::Full) {
                            this.mls.counts.full.count();
                        }
                        error.into()
                    })
                }
                Err(error) => Err(error),
            };
            match published {
                Ok((has, number)) => {
                    this.mls.counts.published.add(number);
                    this.offer(&owner, &device).await;
                    packages().with_child(described(&device, &has)).into()
                }
                Err(error) => {
                    this.mls.counts.refused.count();
                    Reply::Error(error)
                }
            }
        })))
    }

    /// The messages of a request, within their bounds.
    fn messages(&self, payload: El<'_>) -> Result<Vec<Vec<u8>>, StanzaError> {
        let packages = payload.children().filter(|el| el.is("package", ns::MLS));
        let read = |(at, package): (usize, El<'_>)| {
            let bytes = mls::decode(package);
            let bytes = bytes.filter(|bytes| bytes.len() <= self.mls.package_bytes);
            bytes.ok_or_else(|| errors::package(Some(at), "syntax"))
        };
        let most = self.mls.packages.saturating_add(self.mls.suites.len());
        let messages: Vec<_> = packages
            .take(most + 1)
            .enumerate()
            .map(read)
            .collect::<Result<_, _>>()?;
        match messages.len() {
            0 => Err(Condition::BadRequest.into()),
            number if number > most => {
                self.mls.counts.full.count();
                Err(errors::package(None, "too-many"))
            }
            _ => Ok(messages),
        }
    }

    /// Signatures are looked at where nobody waits for a socket.
    async fn look_at(
        self: &Arc<Self>,
        identity: String,
        messages: Vec<Vec<u8>>,
    ) -> Result<Vec<Offered>, StanzaError> {
        let place = self.mls.validations.clone().acquire_owned().await;
        let this = self.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let _place = place;
            let terms = Terms {
                identity: &identity,
                suites: &this.mls.suites,
                now: this.mls.now(),
                longest: this.mls.life,
            };
            let look = |(at, bytes): (usize, Vec<u8>)| match package::validate(&bytes, &terms) {
                Ok(package) => Ok(Offered {
                    id: package.id,
                    suite: package.suite,
                    until: package.until,
                    last_resort: package.last_resort,
                    bytes,
                }),
                Err(error) => Err(errors::invalid(at, error)),
            };
            messages.into_iter().enumerate().map(look).collect()
        });
        let gone = |_| Err(Condition::InternalServerError.into());
        looked.await.unwrap_or_else(gone)
    }

    pub(super) fn list(
        self: &Arc<Self>,
        _: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Reply, StanzaError> {
        let owner = Owner::of(turn.account).ok_or(Condition::NotAllowed)?;
        let mut place = Line::enter(turn.account)?;
        let this = self.clone();
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            match this.mls.desk.devices(owner.uid()).await {
                Ok(devices) => {
                    let devices = devices.iter();
                    let devices = devices.map(|(name, device)| described(name, device));
                    packages().with_children(devices).into()
                }
                Err(error) => Reply::Error(MlsError::from(error).into()),
            }
        })))
    }

    pub(super) fn withdraw(
        self: &Arc<Self>,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Reply, StanzaError> {
        let owner = Owner::of(turn.account).ok_or(Condition::NotAllowed)?;
        let device = device_of(request.payload)?.to_owned();
        let mut place = Line::enter(turn.account)?;
        let this = self.clone();
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            match this.mls.desk.withdraw(owner.uid(), &device).await {
                Ok(true) => Reply::done(),
                Ok(false) => Reply::Error(Condition::ItemNotFound.into()),
                Err(error) => Reply::Error(error.into()),
            }
        })))
    }

    /// The client of a device is there: it hears what the device has, and what waits for it.
    pub(super) fn here(
        self: &Arc<Self>,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Reply, StanzaError> {
        let owner = Owner::of(turn.account).ok_or(Condition::NotAllowed)?;
        let device = device_of(request.payload)?.to_owned();
        let mut place = Line::enter(turn.account)?;
        let client = self.sits(request.session, turn, &device);
        let this = self.clone();
        Ok(Reply::Later(Box::pin(async move {
            place.reached().await;
            match this.mls.desk.here(&owner, &device, client.as_ref()).await {
                Ok(has) => {
                    this.offer(&owner, &device).await;
                    packages().with_child(described(&device, &has)).into()
                }
                Err(error) => Reply::Error(error.into()),
            }
        })))
    }

    /// Packages are handed out to whoever may write to the account, within the rates.
    pub(super) fn take(
        self: &Arc<Self>,
        request: &Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Reply, StanzaError> {
        let uid = Owner::of(turn.account)
            .ok_or(Condition::ItemNotFound)?
            .uid();
        let wanted = wanted(request.payload)?;
        if turn.account.shuts_out(request.from) {
            return Err(Condition::ItemNotFound.into());
        }
        let knows = knows(turn, request.from);
        if !self.mls.rates.take(uid, knows, self.mls.clock.now()) {
            self.mls.counts.rate.count();
            let this = self.clone();
            return Ok(Reply::Later(Box::pin(async move {
                Reply::Error(this.too_often(uid).await)
            })));
        }
        let (this, account) = (self.clone(), turn.account.jid.clone());
        Ok(Reply::Later(Box::pin(async move {
            match this.mls.desk.take(uid, wanted, this.mls.now()).await {
                Ok(taken) => {
                    this.tell_low(&account, &taken);
                    packages().with_children(taken.iter().map(handed)).into()
                }
                Err(error) => Reply::Error(error.into()),
            }
        })))
    }

    /// Whoever asks too often learns no more than others of an account that has nothing to hand out.
    async fn too_often(&self, uid: Uid) -> StanzaError {
        match self.mls.desk.devices(uid).await {
            Ok(devices) if devices.is_empty() => Condition::ItemNotFound.into(),
            Ok(_) => StanzaError::from(Condition::ResourceConstraint)
                .with_type(ErrorType::Wait)
                .with_text("Key packages of this account were asked for too often"),
            Err(error) => MlsError::from(error).into(),
        }
    }

    /// Devices that have few packages left are told.
    fn tell_low(self: &Arc<Self>, account: &Jid, taken: &[Taken]) {
        let low = self.mls.low;
        for one in taken {
            match one.last_resort {
                true => self.mls.counts.last_resort.count(),
                false => self.mls.counts.taken.count(),
            }
            if one.left > low {
                continue;
            }
            let hint = Element::new("low", ns::MLS)
                .with_attr("device", &one.device)
                .with_attr("count", &one.left.to_string());
            let stanza = Stanza::message(MessageType::Headline)
                .with_from(account.clone())
                .with_child(hint);
            let (this, device, stanza) = (self.clone(), one.device.clone(), Arc::new(stanza));
            let tell = move |turn: &mut Turn<'_>| this.push(turn, &device, &stanza);
            self.mls.floor.in_turn(account, Box::new(tell));
        }
    }
}

fn handed(taken: &Taken) -> Element {
    let element = Element::new("package", ns::MLS)
        .with_attr("device", &taken.device)
        .with_attr("suite", &taken.suite.to_string())
        .with_text(&mls::encode(&taken.bytes));
    match taken.last_resort {
        true => element.with_attr("last-resort", "true"),
        false => element,
    }
}

/// Where there is no account it is as where one has no devices.
pub(super) fn take_of_nobody(_: &Face, payload: El<'_>) -> StanzaError {
    let nothing = |_| Condition::ItemNotFound.into();
    wanted(payload).map_or_else(|error| error, nothing)
}

fn wanted(payload: El<'_>) -> Result<Wanted, StanzaError> {
    let device = |name| match payload.attr(name) {
        Some(device) if !is_device(device) => Err(StanzaError::from(Condition::BadRequest)),
        device => Ok(device.map(str::to_owned)),
    };
    let suite = payload.attr("suite").map(str::parse).transpose();
    Ok(Wanted {
        suite: suite.map_err(|_| Condition::BadRequest)?,
        device: device("device")?,
        except: device("except")?,
    })
}

/// Whether the account knows somebody: it has him in its roster.
fn knows(turn: &Turn<'_>, who: &Jid) -> bool {
    let roster = turn.account.parts.find::<Roster>();
    let item = roster.and_then(|roster| roster.item(&who.bare()));
    who.bare_str() == turn.account.jid.as_str() || item.is_some_and(|item| item.listed)
}
