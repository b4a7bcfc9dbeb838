//! Requests of clients: who asks (RFC 8489 §9.2.4), and Allocate, Refresh, CreatePermission and ChannelBind (RFC 8656).

use std::net::SocketAddr;
use std::time::Duration;

use super::allocation::{Client, Denied};
use super::answers::{Fault, Question, unknown};
use super::credentials::{Judged, LongTermKey, long_term_key, password, read_name};
use super::machine::{CHANNELS, Machine, Opening, Step};
use super::policy::Verdict;
use super::stun::{Message, Method, attribute};

/// The lifetime of who asks for none or for less (RFC 8656 §7.2).
const LIFETIME: Duration = Duration::from_secs(600);
/// The number of UDP, the one transport that is relayed (RFC 8656 §18.7).
const UDP: u8 = 17;
/// Addresses in one CreatePermission; more than any client has candidates.
const PEERS: usize = 32;

impl<S> Machine<S> {
    pub(super) fn request(
        &mut self,
        client: Client,
        message: &Message<'_>,
        out: &mut Vec<u8>,
    ) -> Step<'_, S> {
        match message.method {
            Method::Binding => return self.binding(client, message, out),
            Method::Allocate | Method::Refresh | Method::CreatePermission | Method::ChannelBind => {
            }
            _ => return Step::Nothing,
        }
        let question = Question::of(message);
        let (name, key) = match self.prove(client, message) {
            Ok(proved) => proved,
            Err(fault) => return self.challenge(client, &question, fault, out),
        };
        let unknown = unknown(message);
        if !unknown.is_empty() {
            return self.not_understood(&question, &key, &unknown, out);
        }
        let outcome = match message.method {
            Method::Allocate => return self.allocate(client, message, (name, key), out),
            Method::Refresh => self.refresh(client, message, name),
            Method::CreatePermission => {
                self.create_permission(client, message, name).map(|()| None)
            }
            _ => self.channel_bind(client, message, name).map(|()| None),
        };
        match outcome {
            Ok(lifetime) => self.succeed(&question, &key, out, |writer| match lifetime {
                Some(lifetime) => writer.put(attribute::LIFETIME, &seconds(lifetime)),
                None => writer,
            }),
            Err(fault) => self.fail(&question, &key, fault, out),
        }
    }

    /// Who asks, by the credentials of RFC 8489 §9.2: the name, and the key of the answer.
    fn prove<'a>(
        &mut self,
        client: Client,
        message: &Message<'a>,
    ) -> Result<(&'a str, LongTermKey), Fault> {
        if !message.has_integrity() {
            return Err(Fault::Unauthorized);
        }
        let text = |kind| message.text(kind).ok_or(Fault::BadRequest);
        let (name, nonce) = (text(attribute::USERNAME)?, text(attribute::NONCE)?);
        text(attribute::REALM)?;
        let now = self.clock.wall() / 1_000;
        if self.nonces.judge(nonce, client.address, now) == Judged::Stale {
            return Err(Fault::StaleNonce);
        }
        let known = self.allocations.get(&client);
        let key = match known.filter(|allocation| *allocation.name == *name) {
            // Who has an allocation keeps it for as long as it refreshes it: a call is not cut off in its midst.
            Some(allocation) => allocation.key,
            None => match read_name(name) {
                Some((until, _)) if until >= now => {
                    let password = password(&self.options.secret, name);
                    long_term_key(name, &self.options.realm, &password)
                }
                _ => return Err(self.unauthorized()),
            },
        };
        match message.is_by(&key) {
            true => Ok((name, key)),
            false => Err(self.unauthorized()),
        }
    }

    fn unauthorized(&mut self) -> Fault {
        self.count().unauthorized += 1;
        Fault::Unauthorized
    }

    /// RFC 8656 §7.2
    fn allocate(
        &mut self,
        client: Client,
        message: &Message<'_>,
        (name, key): (&str, LongTermKey),
        out: &mut Vec<u8>,
    ) -> Step<'_, S> {
        if let Some(allocation) = self.allocations.get(&client)
            && allocation.transaction == message.transaction
        {
            self.write_allocated(client, allocation, message.fingerprint, out);
            return Step::Answer;
        }
        if self.openings.contains_key(&client) {
            return Step::Nothing;
        }
        match self.open(client, message, (name, key)) {
            Ok(opening) => {
                self.openings.insert(client, message.transaction);
                Step::Open(opening)
            }
            Err(fault) => self.fail(&Question::of(message), &key, fault, out),
        }
    }

    fn open(
        &mut self,
        client: Client,
        message: &Message<'_>,
        (name, key): (&str, LongTermKey),
    ) -> Result<Opening<S>, Fault> {
        if self.allocations.contains_key(&client) {
            return Err(Fault::AllocationMismatch);
        }
        match message.attribute(attribute::REQUESTED_TRANSPORT) {
            Some([UDP, _, _, _]) => {}
            Some([_, _, _, _]) => return Err(Fault::TransportNotSupported),
            _ => return Err(Fault::BadRequest),
        }
        let family = message.attribute(attribute::REQUESTED_ADDRESS_FAMILY);
        let token = message.attribute(attribute::RESERVATION_TOKEN);
        let pair = message.attribute(attribute::EVEN_PORT);
        if token.is_some() && (family.is_some() || pair.is_some()) {
            return Err(Fault::BadRequest);
        }
        let (even, spare) = match pair {
            None => (false, false),
            Some([flags]) => (true, flags & 0x80 != 0),
            Some(_) => return Err(Fault::BadRequest),
        };
        let reserved = token.map(|token| self.take_reserved(token));
        let reserved = match reserved {
            Some(None) => return Err(Fault::InsufficientCapacity),
            Some(found) => found,
            None => None,
        };
        let ipv6 = match (family, &reserved) {
            (_, Some((_, local, _))) => local.is_ipv6(),
            (None, None) => false,
            (Some(family), None) => wants_ipv6(family)?,
        };
        let address = self
            .options
            .address(ipv6)
            .ok_or(Fault::FamilyNotSupported)?;
        if self.taken() >= self.options.bounds.allocations {
            return Err(Fault::InsufficientCapacity);
        }
        let (_, holder) = read_name(name).ok_or(Fault::BadRequest)?;
        let (reserved, reserved_for) = match reserved {
            Some((socket, local, owner)) => (Some((socket, local)), Some(owner)),
            None => (None, None),
        };
        Ok(Opening {
            client,
            address,
            even,
            spare,
            reserved,
            reserved_for,
            holder: holder.into(),
            name: name.into(),
            key,
            transaction: message.transaction,
            fingerprint: message.fingerprint,
            lifetime: self.lifetime(message)?,
        })
    }

    /// How long an allocation is to live from now.
    fn lifetime(&self, message: &Message<'_>) -> Result<Duration, Fault> {
        let most = self.options.bounds.lifetime;
        let wanted = requested_lifetime(message)?.unwrap_or(LIFETIME);
        Ok(wanted.max(LIFETIME).min(most))
    }

    /// RFC 8656 §8.2: for how long now.
    fn refresh(
        &mut self,
        client: Client,
        message: &Message<'_>,
        name: &str,
    ) -> Result<Option<Duration>, Fault> {
        let lifetime = self.lifetime(message)?;
        let now = self.clock.now();
        let allocation = self.allocations.get_mut(&client);
        let allocation = allocation.ok_or(Fault::AllocationMismatch)?;
        if *allocation.name != *name {
            return Err(Fault::WrongCredentials);
        }
        if let Some(family) = message.attribute(attribute::REQUESTED_ADDRESS_FAMILY)
            && wants_ipv6(family)? != allocation.relayed.is_ipv6()
        {
            return Err(Fault::PeerFamilyMismatch);
        }
        if requested_lifetime(message)? == Some(Duration::ZERO) {
            self.remove(client);
            return Ok(Some(Duration::ZERO));
        }
        allocation.until = now + lifetime;
        Ok(Some(lifetime))
    }

    /// The family of an allocation of this client that was made with this name.
    fn family(&self, client: Client, name: &str) -> Result<bool, Fault> {
        match self.allocations.get(&client) {
            None => Err(Fault::AllocationMismatch),
            Some(allocation) if *allocation.name != *name => Err(Fault::WrongCredentials),
            Some(allocation) => Ok(allocation.relayed.is_ipv6()),
        }
    }

    /// Whether this is a peer that the allocation can have.
    fn check_peer(&self, peer: SocketAddr, ipv6: bool) -> Result<SocketAddr, Fault> {
        if peer.is_ipv6() != ipv6 {
            return Err(Fault::PeerFamilyMismatch);
        }
        match self.judge(peer.ip()) {
            Verdict::Barred => Err(Fault::Forbidden),
            Verdict::Free | Verdict::Relayed => Ok(peer),
        }
    }

    /// RFC 8656 §10.2: all of them or none.
    fn create_permission(
        &mut self,
        client: Client,
        message: &Message<'_>,
        name: &str,
    ) -> Result<(), Fault> {
        let ipv6 = self.family(client, name)?;
        let mut peers = smallvec::SmallVec::<[_; 8]>::new();
        let named = message.attributes();
        for (_, value) in named.filter(|(kind, _)| *kind == attribute::XOR_PEER_ADDRESS) {
            let peer = message.address(value).ok_or(Fault::BadRequest)?;
            let peer = self.check_peer(peer, ipv6)?;
            if !peers.contains(&peer.ip()) {
                peers.push(peer.ip());
            }
        }
        if peers.is_empty() || peers.len() > PEERS {
            return Err(Fault::BadRequest);
        }
        let (now, most) = (self.clock.now(), self.options.bounds.permissions);
        let allocation = self.allocations.get_mut(&client);
        let allocation = allocation.ok_or(Fault::AllocationMismatch)?;
        let new = peers.iter().filter(|peer| !allocation.permits(**peer, now));
        if new.count() > allocation.permits_left(now, most) {
            return Err(Fault::InsufficientCapacity);
        }
        for peer in peers {
            allocation.permit(peer, now, most).map_err(denied)?;
        }
        Ok(())
    }

    /// RFC 8656 §12.2
    fn channel_bind(
        &mut self,
        client: Client,
        message: &Message<'_>,
        name: &str,
    ) -> Result<(), Fault> {
        let ipv6 = self.family(client, name)?;
        let number = match message.attribute(attribute::CHANNEL_NUMBER) {
            Some([a, b, _, _]) => u16::from_be_bytes([*a, *b]),
            _ => return Err(Fault::BadRequest),
        };
        let peer = message.attribute(attribute::XOR_PEER_ADDRESS);
        let peer = peer.and_then(|value| message.address(value));
        let peer = peer.filter(|_| CHANNELS.contains(&number));
        let peer = self.check_peer(peer.ok_or(Fault::BadRequest)?, ipv6)?;
        let now = self.clock.now();
        let bounds = &self.options.bounds;
        let allocation = self.allocations.get_mut(&client);
        let allocation = allocation.ok_or(Fault::AllocationMismatch)?;
        let permitted = allocation.permits(peer.ip(), now);
        if !permitted && allocation.permits_left(now, bounds.permissions) == 0 {
            return Err(Fault::InsufficientCapacity);
        }
        let bound = allocation.bind((number, peer), now, bounds.channels);
        bound.map_err(denied)?;
        allocation
            .permit(peer.ip(), now, bounds.permissions)
            .map_err(denied)
    }
}

fn denied(denied: Denied) -> Fault {
    match denied {
        Denied::Taken => Fault::BadRequest,
        Denied::Full => Fault::InsufficientCapacity,
    }
}

fn seconds(lifetime: Duration) -> [u8; 4] {
    u32::try_from(lifetime.as_secs())
        .unwrap_or(u32::MAX)
        .to_be_bytes()
}

/// The lifetime that a request names.
fn requested_lifetime(message: &Message<'_>) -> Result<Option<Duration>, Fault> {
    let Some(value) = message.attribute(attribute::LIFETIME) else {
        return Ok(None);
    };
    let seconds = value.try_into().map_err(|_| Fault::BadRequest)?;
    Ok(Some(Duration::from_secs(
        u32::from_be_bytes(seconds).into(),
    )))
}

/// The family of an address that a request names (RFC 8656 §18.6).
fn wants_ipv6(family: &[u8]) -> Result<bool, Fault> {
    match family {
        [1, _, _, _] => Ok(false),
        [2, _, _, _] => Ok(true),
        [_, _, _, _] => Err(Fault::FamilyNotSupported),
        _ => Err(Fault::BadRequest),
    }
}
