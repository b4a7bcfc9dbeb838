//! Requests of clients: who asks (RFC 8489 §9.2.4), and Allocate, Refresh, CreatePermission and ChannelBind (RFC 8656).

use std::net::SocketAddr;
use std::time::Duration;

use super::allocation::{Client, Denied, Family};
use super::answers::{Fault, Question, Sealed, unknown};
use super::credentials::{Algorithm, Judged, password, read_name};
use super::machine::{CHANNELS, Machine, Opening, Step};
use super::options::RelayAddress;
use super::policy::Verdict;
use super::stun::{Message, Method, Seal, attribute};

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
        let (name, seal) = match self.prove(client, message) {
            Ok(proved) => proved,
            Err(fault) => return self.challenge(client, &question, fault, out),
        };
        let unknown = unknown(message);
        if !unknown.is_empty() {
            return self.not_understood(&question, &seal, &unknown, out);
        }
        let outcome = match message.method {
            Method::Allocate => return self.allocate(client, message, (name, seal), out),
            Method::Refresh => self.refresh(client, message, name),
            Method::CreatePermission => {
                self.create_permission(client, message, name).map(|()| None)
            }
            _ => self.channel_bind(client, message, name).map(|()| None),
        };
        match outcome {
            Ok(lifetime) => self.succeed(&question, &seal, out, |writer| match lifetime {
                Some(lifetime) => writer.put(attribute::LIFETIME, &seconds(lifetime)),
                None => writer,
            }),
            Err(fault) => self.fail(&question, &seal, fault, out),
        }
    }

    /// Who asks, by the checks of RFC 8489 §9.2.4 in their order: the name, and how answers are sealed.
    fn prove<'a>(
        &mut self,
        client: Client,
        message: &Message<'a>,
    ) -> Result<(&'a str, Sealed), Fault> {
        if !message.has_integrity() {
            return Err(Fault::Unauthorized);
        }
        let text = |kind| message.text(kind).ok_or(Fault::BadRequest);
        let (_, nonce) = (text(attribute::REALM)?, text(attribute::NONCE)?);
        let name = match message.text(attribute::USERNAME) {
            Some(name) => name,
            // Names are not remembered here, so that none is found by its hash.
            None if message.attribute(attribute::USERHASH).is_some() => {
                return Err(self.unauthorized());
            }
            None => return Err(Fault::BadRequest),
        };
        let (algorithm, seal) = algorithm(message)?;
        let now = self.clock.wall() / 1_000;
        let known = self.allocations.get(&client);
        let known = known.filter(|allocation| *allocation.name == *name);
        let key = match known.map(|allocation| allocation.seal.key) {
            // Who has an allocation keeps it for as long as it refreshes it: a call is not cut off in its midst.
            Some(key) if algorithm.made(&key) => key,
            known => match read_name(name) {
                Some((until, _)) if known.is_some() || until >= now => {
                    let password = password(&self.options.secret, name);
                    algorithm.key(name, &self.options.realm, &password)
                }
                _ => return Err(self.unauthorized()),
            },
        };
        if !message.is_by(key.as_slice()) {
            return Err(self.unauthorized());
        }
        match self.nonces.judge(nonce, client.address, now) {
            Judged::Good => Ok((name, Sealed { key, seal })),
            Judged::Stale => Err(Fault::StaleNonce),
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
        (name, seal): (&str, Sealed),
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
        match self.open(client, message, (name, seal)) {
            Ok(opening) => {
                self.openings.insert(client, message.transaction);
                Step::Open(opening)
            }
            Err(fault) => self.fail(&Question::of(message), &seal, fault, out),
        }
    }

    fn open(
        &mut self,
        client: Client,
        message: &Message<'_>,
        (name, seal): (&str, Sealed),
    ) -> Result<Opening<S>, Fault> {
        if self.allocations.contains_key(&client) {
            return Err(Fault::AllocationMismatch);
        }
        match message.attribute(attribute::REQUESTED_TRANSPORT) {
            Some([UDP, _, _, _]) => {}
            Some([_, _, _, _]) => return Err(Fault::TransportNotSupported),
            _ => return Err(Fault::BadRequest),
        }
        let wish = wish(message)?;
        let reserved = wish.token.map(|token| self.take_reserved(token));
        let reserved = match reserved {
            Some(None) => return Err(Fault::InsufficientCapacity),
            Some(found) => found,
            None => None,
        };
        let (address, lacks) = match &reserved {
            Some((_, local, _)) => (self.options.address(local.is_ipv6()), None),
            None => self.address_for(&wish),
        };
        let address = address.ok_or(Fault::FamilyNotSupported)?;
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
            even: wish.even,
            spare: wish.spare,
            reserved,
            reserved_for,
            holder: holder.into(),
            name: name.into(),
            seal,
            lacks,
            transaction: message.transaction,
            fingerprint: message.fingerprint,
            lifetime: self.lifetime(message)?,
        })
    }

    /// The address for a wish, and the family that it lacks where both are wished: an allocation has one (RFC 8656 §7.2).
    fn address_for(&self, wish: &Wish<'_>) -> (Option<RelayAddress>, Option<Family>) {
        let first = self.options.address(wish.ipv6);
        match (first, wish.both) {
            (first, false) => (first, None),
            (Some(first), true) => (Some(first), Some(Family::V6)),
            (None, true) => (self.options.address(true), Some(Family::V4)),
        }
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

/// What is wished of an allocation, and may be wished together (RFC 8656 §7.2).
struct Wish<'a> {
    ipv6: bool,
    /// An IPv6 address beside the IPv4 one.
    both: bool,
    token: Option<&'a [u8]>,
    even: bool,
    spare: bool,
}

fn wish<'a>(message: &Message<'a>) -> Result<Wish<'a>, Fault> {
    let family = message.attribute(attribute::REQUESTED_ADDRESS_FAMILY);
    let additional = message.attribute(attribute::ADDITIONAL_ADDRESS_FAMILY);
    let token = message.attribute(attribute::RESERVATION_TOKEN);
    let pair = message.attribute(attribute::EVEN_PORT);
    let (even, spare) = match pair {
        None => (false, false),
        Some([flags]) => (true, flags & 0x80 != 0),
        Some(_) => return Err(Fault::BadRequest),
    };
    let alone = family.is_none() && additional.is_none() && pair.is_none();
    if token.is_some() && !alone || additional.is_some() && (family.is_some() || spare) {
        return Err(Fault::BadRequest);
    }
    let both = match additional {
        None => false,
        Some([2, _, _, _]) => true,
        Some(_) => return Err(Fault::BadRequest),
    };
    Ok(Wish {
        ipv6: family.map(wants_ipv6).transpose()?.unwrap_or_default(),
        both,
        token,
        even,
        spare,
    })
}

/// What the key is made with and how answers are sealed (RFC 8489 §9.2.4): who names one algorithm names all that were
/// offered, or somebody on the way took the better one out.
fn algorithm(message: &Message<'_>) -> Result<(Algorithm, Seal), Fault> {
    let one = message.attribute(attribute::PASSWORD_ALGORITHM);
    let all = message.attribute(attribute::PASSWORD_ALGORITHMS);
    match (one, all) {
        (None, None) => Ok((Algorithm::Md5, Seal::Sha1)),
        (Some(one), Some(all)) if *all == Algorithm::OFFERED => {
            let algorithm = Algorithm::read(one).ok_or(Fault::BadRequest)?;
            Ok((algorithm, Seal::Sha256))
        }
        _ => Err(Fault::BadRequest),
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
