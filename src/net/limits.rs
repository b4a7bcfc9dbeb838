//! How many connections: in all, per address, and not yet authenticated. Also the process's limit of file descriptors.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::options::ConnectionLimits;
use super::stats::{NetStats, count, uncount};
use super::turnstile::{Turn, Turnstile};
use crate::runtime::origin::Origin;

/// Descriptors kept for everything that is no client: store, log, federation, certificates.
const RESERVED_DESCRIPTORS: u64 = 256;

/// Refusals come in floods; one line in this time says enough.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Raises the soft limit of open files to the hard one and returns what is left for connections.
pub fn raise_descriptor_limit() -> u32 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit {
            current: limit.maximum,
            ..limit
        };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    let left = limit
        .current
        .unwrap_or(u64::MAX)
        .saturating_sub(RESERVED_DESCRIPTORS);
    u32::try_from(left).unwrap_or(u32::MAX)
}

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The server holds as many as it may.
    #[error("the server holds as many connections as it may")]
    Total,
    /// The address holds as many as it may.
    #[error("the address holds as many connections as it may")]
    Address,
    /// Memory is short.
    #[error("memory is short")]
    Memory,
    /// Too many are not yet authenticated.
    #[error("too many connections are not yet authenticated")]
    HalfOpen,
}

/// Counts connections against their limits; shared by all listeners.
pub struct Admission {
    limits: Mutex<ConnectionLimits>,
    counts: Mutex<Counts>,
    turnstile: Arc<Turnstile>,
    stats: Arc<NetStats>,
    /// Nobody is let in.
    short_of_memory: AtomicBool,
    /// When a refusal was logged last.
    logged: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Counts {
    all: Pair,
    by_address: HashMap<Origin, Pair>,
}

#[derive(Default, Clone, Copy)]
struct Pair {
    open: u32,
    half_open: u32,
}

impl Admission {
    /// Nobody is there yet.
    pub fn new(limits: ConnectionLimits, stats: Arc<NetStats>) -> Arc<Admission> {
        let turnstile = Arc::new(Turnstile::new(limits.pace_lag, stats.clone()));
        Arc::new(Admission {
            turnstile,
            limits: Mutex::new(limits),
            counts: Mutex::default(),
            short_of_memory: AtomicBool::new(false),
            logged: Mutex::default(),
            stats,
        })
    }

    /// New limits; who is there stays.
    pub fn set_limits(&self, limits: ConnectionLimits) {
        self.turnstile.set_aim(limits.pace_lag);
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Whether everybody new is turned away, whatever the limits allow.
    pub fn set_short_of_memory(&self, short: bool) {
        self.short_of_memory.store(short, Ordering::Relaxed);
    }

    /// Admits a connection, or says why not. It counts until its ticket is dropped. Without an address (not yet told by
    /// the proxy) it counts in the totals only, until [`Ticket::belongs_to`].
    pub fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Ticket, Refused> {
        self.enter_total()
            .inspect_err(|refused| self.refused(*refused))?;
        count(&self.stats.open);
        count(&self.stats.half_open);
        let mut ticket = Ticket {
            admission: self.clone(),
            origin: None,
            half_open: true,
        };
        if let Some(address) = address {
            ticket.belongs_to(address)?;
        }
        count(&self.stats.accepted);
        Ok(ticket)
    }

    /// Whether who comes from `address` has to wait before it may log in. Call it on the runtime.
    pub(super) fn turn(&self, address: IpAddr) -> Option<Turn> {
        self.turnstile.enter(Origin::of(address))
    }

    fn enter_total(&self) -> Result<(), Refused> {
        if self.short_of_memory.load(Ordering::Relaxed) {
            return Err(Refused::Memory);
        }
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all.open >= limits.total {
            return Err(Refused::Total);
        }
        if counts.all.half_open >= limits.half_open {
            return Err(Refused::HalfOpen);
        }
        counts.all.open += 1;
        counts.all.half_open += 1;
        Ok(())
    }

    fn enter_half_open(&self, origin: Option<Origin>) -> Result<(), Refused> {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let here = origin.and_then(|origin| counts.by_address.get(&origin).copied());
        let half_open = here.unwrap_or_default().half_open;
        if counts.all.half_open >= limits.half_open || half_open >= limits.half_open_per_address {
            return Err(Refused::HalfOpen);
        }
        counts.all.half_open += 1;
        if let Some(here) = origin.and_then(|origin| counts.by_address.get_mut(&origin)) {
            here.half_open += 1;
        }
        Ok(())
    }

    /// `None` for an exempt address.
    fn enter_address(&self, address: IpAddr) -> Result<Option<Origin>, Refused> {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if limits.exempt.iter().any(|net| net.contains(address)) {
            return Ok(None);
        }
        let origin = Origin::of(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let here = counts.by_address.get(&origin).copied().unwrap_or_default();
        if here.open >= limits.per_address {
            return Err(Refused::Address);
        }
        if here.half_open >= limits.half_open_per_address {
            return Err(Refused::HalfOpen);
        }
        let here = counts.by_address.entry(origin).or_default();
        here.open += 1;
        here.half_open += 1;
        Ok(Some(origin))
    }

    fn refused(&self, refused: Refused) {
        count(match refused {
            Refused::Total => &self.stats.refused_total,
            Refused::Address => &self.stats.refused_address,
            Refused::HalfOpen => &self.stats.refused_half_open,
            Refused::Memory => &self.stats.refused_memory,
        });
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            *logged = Some(Instant::now());
            tracing::warn!("connections are being refused: {refused}");
        }
    }

    fn leave(&self, origin: Option<Origin>, open: u32, half_open: u32) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all.take(open, half_open);
        let Some(origin) = origin else {
            return;
        };
        if let Entry::Occupied(mut here) = counts.by_address.entry(origin) {
            here.get_mut().take(open, half_open);
            if here.get().open == 0 {
                here.remove();
            }
        }
        // A flood from many addresses leaves no large empty table behind.
        if counts.by_address.capacity() > 1024
            && counts.by_address.len() * 8 < counts.by_address.capacity()
        {
            counts.by_address.shrink_to_fit();
        }
    }
}

impl Pair {
    fn take(&mut self, open: u32, half_open: u32) {
        self.open = self.open.saturating_sub(open);
        self.half_open = self.half_open.saturating_sub(half_open);
    }
}

/// One connection's place; dropping it frees the place.
pub struct Ticket {
    admission: Arc<Admission>,
    origin: Option<Origin>,
    half_open: bool,
}

impl Ticket {
    /// Counts the connection for `address`, once; only while it is not yet authenticated.
    pub fn belongs_to(&mut self, address: IpAddr) -> Result<(), Refused> {
        if self.origin.is_none() && self.half_open {
            let entered = self.admission.enter_address(address);
            self.origin = entered.inspect_err(|refused| self.admission.refused(*refused))?;
        }
        Ok(())
    }

    /// The connection, of this address, is to be authenticated after all: it counts as half-open again.
    pub fn unauthenticated(&mut self, address: IpAddr) -> Result<(), Refused> {
        if self.half_open {
            return Ok(());
        }
        let entered = self.admission.enter_half_open(self.origin);
        entered.inspect_err(|refused| self.admission.refused(*refused))?;
        count(&self.admission.stats.half_open);
        self.half_open = true;
        self.belongs_to(address)
    }

    /// The connection is authenticated: it no longer counts as half-open.
    pub fn authenticated(&mut self) {
        if std::mem::take(&mut self.half_open) {
            self.admission.leave(self.origin, 0, 1);
            uncount(&self.admission.stats.half_open);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.authenticated();
        self.admission.leave(self.origin, 1, 0);
        uncount(&self.admission.stats.open);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    fn admission(
        total: u32,
        per_address: u32,
        half_open: u32,
        half_open_per_address: u32,
    ) -> Arc<Admission> {
        let exempt = vec!["127.0.0.0/8".parse().unwrap()];
        let limits = ConnectionLimits {
            total,
            per_address,
            half_open,
            half_open_per_address,
            exempt,
            ..ConnectionLimits::default()
        };
        Admission::new(limits, Arc::default())
    }

    fn ip(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn an_ipv6_64_is_one_address_and_a_mapped_one_is_ipv4() {
        let admission = admission(10, 1, 10, 10);
        let _a = admission.admit(ip("2001:db8::1")).unwrap();
        assert_eq!(
            admission.admit(ip("2001:db8::ffff:1")).err(),
            Some(Refused::Address)
        );
        let _b = admission.admit(ip("2001:db8:0:1::1")).unwrap();
        let _c = admission.admit(ip("192.0.2.1")).unwrap();
        assert_eq!(
            admission.admit(ip("::ffff:192.0.2.1")).err(),
            Some(Refused::Address)
        );
    }

    #[test]
    fn places_are_freed_and_tables_emptied() {
        let admission = admission(2, 2, 1, 1);
        let mut first = admission.admit(ip("192.0.2.1")).unwrap();
        assert_eq!(
            admission.admit(ip("192.0.2.2")).err(),
            Some(Refused::HalfOpen)
        );
        first.authenticated();
        first.authenticated();
        let second = admission.admit(ip("192.0.2.1")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.2")).err(), Some(Refused::Total));
        drop((first, second));
        let counts = admission.counts.lock().unwrap();
        assert_eq!(
            (
                counts.all.open,
                counts.all.half_open,
                counts.by_address.len()
            ),
            (0, 0, 0)
        );
        let stats = &admission.stats;
        assert_eq!(
            (
                stats.open.load(Relaxed),
                stats.half_open.load(Relaxed),
                stats.accepted.load(Relaxed)
            ),
            (0, 0, 2)
        );
    }

    #[test]
    fn there_are_descriptors() {
        assert!(raise_descriptor_limit() > 0);
    }

    #[test]
    fn exempt_addresses_count_only_in_the_total() {
        let admission = admission(3, 1, 10, 1);
        let _held: Vec<Ticket> = (0..3)
            .map(|_| admission.admit(ip("127.0.0.1")).unwrap())
            .collect();
        assert_eq!(admission.admit(ip("127.0.0.1")).err(), Some(Refused::Total));
    }
}
