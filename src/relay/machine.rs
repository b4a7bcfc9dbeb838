//! The relay as a machine without sockets: datagrams and addresses in, answers and what to forward out (RFC 8656).
//!
//! What is relayed allocates nothing. Whoever drives the machine opens sockets for it and closes them by dropping them.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::allocation::{Allocation, Client, Family, Made};
use super::answers::{Sealed, Unproven};
use super::counts::Counts;
use super::credentials::Nonces;
use super::frame::Frame;
use super::options::{Bounds, Options, RelayAddress};
use super::policy::Verdict;
use super::stun::{self, Class, Message, Method, Transaction, attribute};
use crate::runtime::bucket::Bucket;
use crate::runtime::clock::Clock;
use crate::runtime::random;

/// Numbers of channels: those above 0x4fff are of RFC 5766 §11, by which many clients still go.
pub(super) const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x7ffe;
/// How long a reserved port waits for the request that takes it (RFC 8656 §7.2).
const RESERVATION: Duration = Duration::from_secs(30);

/// What is to be done with what a client sent.
pub enum Step<'a, S> {
    /// Nothing.
    Nothing,
    /// The answer that was written goes back.
    Answer,
    /// The data goes to the peer, from this socket.
    Forward {
        /// The socket of the allocation.
        socket: &'a S,
        /// Where to.
        peer: SocketAddr,
        /// What.
        data: &'a [u8],
    },
    /// Somebody wants an allocation and has shown the credentials for it: see whether they still hold, open a socket,
    /// and say so ([`Machine::finish`]).
    Open(Opening<S>),
}

/// An allocation that is being made.
pub struct Opening<S> {
    /// Who wants it.
    pub client: Client,
    /// Where the socket belongs, unless there is one already.
    pub address: RelayAddress,
    /// Whether its port must be even.
    pub even: bool,
    /// Whether the port after it is wanted as well, for later.
    pub spare: bool,
    /// A port that was reserved for it.
    pub reserved: Option<(S, SocketAddr)>,
    /// Whose the credentials are, by the name they were given to.
    pub holder: Box<str>,
    pub(super) name: Box<str>,
    pub(super) seal: Sealed,
    pub(super) lacks: Option<Family>,
    pub(super) transaction: Transaction,
    pub(super) fingerprint: bool,
    pub(super) lifetime: Duration,
    /// Whose the reserved port is.
    pub(super) reserved_for: Option<Arc<str>>,
}

/// What was opened for an allocation.
pub struct Opened<S> {
    /// Who it counts for.
    pub owner: Arc<str>,
    /// The socket.
    pub socket: S,
    /// Where it is bound.
    pub local: SocketAddr,
    /// The one after it, if it was wanted.
    pub spare: Option<(S, SocketAddr)>,
}

/// Why an allocation is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The credentials do not hold any more.
    Unauthorized,
    /// Its owner has as many as it may.
    Quota,
    /// There is no port, or no room.
    Capacity,
}

/// A port that was opened beside another one.
struct Reservation<S> {
    token: [u8; 8],
    owner: Arc<str>,
    socket: S,
    local: SocketAddr,
    until: Instant,
}

/// All of the relay but its sockets.
pub struct Machine<S> {
    pub(super) clock: Clock,
    pub(super) options: Options,
    pub(super) nonces: Nonces,
    pub(super) unproven: Unproven,
    pub(super) allocations: HashMap<Client, Allocation<S>>,
    pub(super) openings: HashMap<Client, Transaction>,
    reservations: Vec<Reservation<S>>,
    owners: HashMap<Arc<str>, usize>,
    /// What peers may name of the relay's own.
    pub(super) own: Vec<IpAddr>,
    /// Those of them that nothing but allocations may be reached at.
    guarded: Vec<IpAddr>,
    /// Where allocations are, as peers name them.
    relayed: HashSet<SocketAddr>,
    rate: Bucket,
    indications: u64,
    next_id: u64,
    counts: Counts,
}

impl<S> Machine<S> {
    /// A relay without clients.
    pub fn new(options: Options, clock: Clock) -> Self {
        let [a, b, c, d, e, f, g, h] = random::bytes();
        let mut machine = Machine {
            unproven: Unproven::new(options.bounds.unproven),
            rate: rate(options.bounds.rate_total),
            clock,
            options,
            nonces: Nonces::default(),
            allocations: HashMap::new(),
            openings: HashMap::new(),
            reservations: Vec::new(),
            owners: HashMap::new(),
            own: Vec::new(),
            guarded: Vec::new(),
            relayed: HashSet::new(),
            indications: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            next_id: 0,
            counts: Counts::default(),
        };
        machine.learn_own();
        machine
    }

    /// Works by other options from now on; allocations that are there stay as they are.
    pub fn set_options(&mut self, options: Options) {
        self.rate = rate(options.bounds.rate_total);
        self.unproven = Unproven::new(options.bounds.unproven);
        self.options = options;
        self.learn_own();
    }

    fn learn_own(&mut self) {
        self.own = self.options.own();
        let allowed = &self.options.policy.allowed;
        self.guarded = self
            .own
            .iter()
            .copied()
            .filter(|ip| !allowed(*ip))
            .collect();
    }

    /// The bounds in force.
    pub fn bounds(&self) -> &Bounds {
        &self.options.bounds
    }

    /// How it works now.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        Counts {
            allocations: self.allocations.len() as u64,
            ..self.counts
        }
    }

    pub(super) fn count(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// A network or a client did not take a packet.
    pub fn lost(&mut self) {
        self.counts.dropped_full += 1;
    }

    /// A datagram, or one message of a connection, from a client. An answer is written to `out`.
    pub fn from_client<'a>(
        &'a mut self,
        client: Client,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Step<'a, S> {
        match bytes.first() {
            Some(0x40..=0x7f) => self.channel_data(client, bytes),
            Some(0..=3) => match Message::parse(bytes) {
                Ok(message) => self.message(client, message, out),
                Err(_) => self.malformed(),
            },
            _ => self.malformed(),
        }
    }

    fn malformed(&mut self) -> Step<'_, S> {
        self.counts.malformed += 1;
        Step::Nothing
    }

    fn message<'a>(
        &'a mut self,
        client: Client,
        message: Message<'a>,
        out: &mut Vec<u8>,
    ) -> Step<'a, S> {
        match (message.class, message.method) {
            (Class::Request, _) => self.request(client, &message, out),
            (Class::Indication, Method::Send) => self.send_indication(client, &message),
            // Answers are not for us, and a Binding indication keeps a way open (RFC 8489 §2).
            _ => Step::Nothing,
        }
    }

    /// RFC 8656 §12.5
    fn channel_data<'a>(&'a mut self, client: Client, bytes: &'a [u8]) -> Step<'a, S> {
        let number = stun::number(bytes, 0).unwrap_or_default();
        let length = usize::from(stun::number(bytes, 2).unwrap_or_default());
        let Some(data) = bytes.get(4..4 + length) else {
            return self.malformed();
        };
        let now = self.clock.now();
        let allocation = self.allocations.get(&client);
        match allocation.and_then(|allocation| allocation.peer(number, now)) {
            Some(peer) => self.forward(client, peer, data, now),
            None => {
                self.counts.dropped_unpermitted += 1;
                Step::Nothing
            }
        }
    }

    /// RFC 8656 §11.2
    fn send_indication<'a>(&'a mut self, client: Client, message: &Message<'a>) -> Step<'a, S> {
        let (mut peer, mut data) = (None, None);
        for (kind, value) in message.attributes() {
            match kind {
                attribute::XOR_PEER_ADDRESS if peer.is_none() => peer = message.address(value),
                attribute::DATA if data.is_none() => data = Some(value),
                attribute::XOR_PEER_ADDRESS | attribute::DATA => {}
                // What must be understood and is not: a way around fragmentation, for example.
                0..=0x7fff => return self.malformed(),
                _ => {}
            }
        }
        match (peer, data) {
            (Some(peer), Some(data)) => self.forward(client, peer, data, self.clock.now()),
            _ => self.malformed(),
        }
    }

    fn forward<'a>(
        &'a mut self,
        client: Client,
        peer: SocketAddr,
        data: &'a [u8],
        now: Instant,
    ) -> Step<'a, S> {
        let guarded = self.guarded.contains(&peer.ip());
        let reached = !guarded || self.relayed.contains(&peer);
        let allocation = self.allocations.get_mut(&client).filter(|_| reached);
        let Some(allocation) = allocation.filter(|it| it.permits(peer.ip(), now)) else {
            self.counts.dropped_unpermitted += 1;
            return Step::Nothing;
        };
        let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
        if !allocation.rate.try_take(bytes, now) || !self.rate.try_take(bytes, now) {
            self.counts.dropped_rate += 1;
            return Step::Nothing;
        }
        self.counts.to_peers.add(data.len());
        let peer = self.options.inward(peer);
        Step::Forward {
            socket: &allocation.socket,
            peer,
            data,
        }
    }

    /// A datagram at the address of an allocation. If it is true, the frame goes to the client as it is now.
    pub fn from_peer(
        &mut self,
        (client, id): (Client, u64),
        peer: SocketAddr,
        frame: &mut Frame,
    ) -> bool {
        let now = self.clock.now();
        let peer = self.options.outward(peer);
        let allocation = self.allocations.get_mut(&client);
        let allocation = allocation.filter(|allocation| allocation.id == id);
        let Some(allocation) = allocation.filter(|it| it.permits(peer.ip(), now)) else {
            self.counts.dropped_unpermitted += 1;
            return false;
        };
        let length = frame.bytes().len();
        let bytes = u32::try_from(length).unwrap_or(u32::MAX);
        if !allocation.rate.try_take(bytes, now) || !self.rate.try_take(bytes, now) {
            self.counts.dropped_rate += 1;
            return false;
        }
        let short = u16::try_from(length).unwrap_or(u16::MAX);
        match allocation.channel(peer, now) {
            Some(number) => {
                let ([a, b], [c, d]) = (number.to_be_bytes(), short.to_be_bytes());
                frame.prepend(&[a, b, c, d]);
            }
            None => {
                self.indications = self.indications.wrapping_add(1);
                let transaction = transaction(self.indications);
                frame.pad();
                frame.prepend(stun::data_indication(peer, &transaction, short).as_slice());
            }
        }
        self.counts.to_clients.add(length);
        true
    }

    /// Whether its owner may have one more.
    ///
    /// # Errors
    /// It has as many as it may.
    pub fn may_open(&self, owner: &str) -> Result<(), Failure> {
        match self.owners.get(owner) {
            Some(has) if *has >= self.options.bounds.allocations_per_owner => Err(Failure::Quota),
            _ => Ok(()),
        }
    }

    /// What became of an allocation that was to be opened: the answer is written to `out`. The number it has, if it was
    /// made; `None` and nothing written if nobody waits for it any more.
    pub fn finish(
        &mut self,
        opening: Opening<S>,
        opened: Result<Opened<S>, Failure>,
        out: &mut Vec<u8>,
    ) -> Option<u64> {
        out.clear();
        if self.openings.get(&opening.client) != Some(&opening.transaction) {
            return None;
        }
        self.openings.remove(&opening.client);
        let opened = opened.and_then(|it| {
            self.may_open(&it.owner)?;
            let reserved_for = opening.reserved_for.as_ref();
            match reserved_for.is_none_or(|owner| *owner == it.owner) {
                true => Ok(it),
                false => Err(Failure::Capacity),
            }
        });
        match opened {
            Ok(opened) => Some(self.insert(opening, opened, out)),
            Err(failure) => {
                self.refuse(&opening, failure, out);
                None
            }
        }
    }

    fn insert(&mut self, opening: Opening<S>, opened: Opened<S>, out: &mut Vec<u8>) -> u64 {
        let now = self.clock.now();
        self.next_id += 1;
        let relayed = SocketAddr::new(opening.address.external, opened.local.port());
        let made = Made {
            id: self.next_id,
            socket: opened.socket,
            relayed,
            owner: opened.owner.clone(),
            name: opening.name,
            seal: opening.seal,
            lacks: opening.lacks,
            transaction: opening.transaction,
        };
        let bounds = &self.options.bounds;
        let mut allocation = Allocation::new(made, now + opening.lifetime, rate(bounds.rate));
        if let Some((socket, local)) = opened.spare {
            let token = random::bytes();
            allocation.token = Some(token);
            self.reservations.push(Reservation {
                token,
                owner: opened.owner.clone(),
                socket,
                local,
                until: now + RESERVATION,
            });
        }
        self.write_allocated(opening.client, &allocation, opening.fingerprint, out);
        self.relayed.insert(relayed);
        *self.owners.entry(opened.owner).or_default() += 1;
        self.allocations.insert(opening.client, allocation);
        self.counts.allocated += 1;
        self.next_id
    }

    /// The socket of an allocation.
    pub fn socket(&self, client: Client) -> Option<&S> {
        self.allocations
            .get(&client)
            .map(|allocation| &allocation.socket)
    }

    /// Takes a reserved port, with the owner that reserved it.
    pub(super) fn take_reserved(&mut self, token: &[u8]) -> Option<(S, SocketAddr, Arc<str>)> {
        let now = self.clock.now();
        let mut reservations = self.reservations.iter();
        let at = reservations.position(|it| it.token == *token && it.until > now)?;
        let reservation = self.reservations.swap_remove(at);
        Some((reservation.socket, reservation.local, reservation.owner))
    }

    /// Places that are taken: allocations, those on their way, and reserved ports.
    pub(super) fn taken(&self) -> usize {
        self.allocations.len() + self.openings.len() + self.reservations.len()
    }

    pub(super) fn remove(&mut self, client: Client) {
        if let Some(allocation) = self.allocations.remove(&client) {
            self.forget(&allocation);
        }
    }

    fn forget(&mut self, allocation: &Allocation<S>) {
        self.relayed.remove(&allocation.relayed);
        if let Some(has) = self.owners.get_mut(&allocation.owner) {
            *has = has.saturating_sub(1);
            if *has == 0 {
                self.owners.remove(&allocation.owner);
            }
        }
    }

    fn remove_where(&mut self, gone: impl Fn(&Client, &Allocation<S>) -> bool) {
        let removed = self.allocations.extract_if(|client, it| gone(client, it));
        let removed: Vec<_> = removed.collect();
        for (_, allocation) in &removed {
            self.forget(allocation);
        }
    }

    /// Ends what has come to its end.
    pub fn expire(&mut self) {
        let now = self.clock.now();
        self.reservations
            .retain(|reservation| reservation.until > now);
        self.remove_where(|_, allocation| allocation.until <= now);
    }

    /// A connection of a client is over, and its allocation with it (RFC 8656 §3.1).
    pub fn gone(&mut self, line: u32) {
        self.openings.retain(|client, _| client.line != line);
        self.remove_where(|client, _| client.line == line);
    }

    /// Ends all that an owner has.
    pub fn end(&mut self, owner: &str) {
        self.reservations
            .retain(|reservation| *reservation.owner != *owner);
        self.remove_where(|_, allocation| *allocation.owner == *owner);
    }

    /// Ends all that anybody has.
    pub fn end_all(&mut self) {
        self.reservations.clear();
        self.remove_where(|_, _| true);
    }

    /// What may be done with a peer's address.
    pub(super) fn judge(&self, peer: IpAddr) -> Verdict {
        self.options.policy.judge(peer, &self.own)
    }
}

/// A budget of so many bytes a second, with room for a second's worth.
fn rate(bytes: u32) -> Bucket {
    Bucket::new(bytes, bytes)
}

/// For indications, which nobody answers: it need not be hard to guess.
fn transaction(number: u64) -> Transaction {
    let mut transaction = [0; 12];
    let bytes = number.to_be_bytes();
    let places = transaction.iter_mut().skip(4);
    places.zip(bytes).for_each(|(to, from)| *to = from);
    transaction
}
