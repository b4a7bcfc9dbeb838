//! How many connections and requests there are: in all, and of one address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Those that are there.
#[derive(Default)]
pub(super) struct Seats(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    connections: usize,
    requests: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Which bound was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    All,
    Address,
}

/// A connection's seat, free when dropped.
pub(super) struct ConnectionSeat(Arc<Seats>);

/// A request's seat, free when dropped.
pub(super) struct RequestSeat {
    seats: Arc<Seats>,
    origin: Option<IpAddr>,
}

impl Seats {
    /// A seat for a connection, if there are fewer than `most`.
    pub(super) fn connection(self: &Arc<Self>, most: usize) -> Option<ConnectionSeat> {
        let mut taken = self.taken();
        if taken.connections >= most {
            return None;
        }
        taken.connections += 1;
        Some(ConnectionSeat(self.clone()))
    }

    /// A seat for a request: of all there are fewer than `most`, and of this address, if it is counted, fewer than the
    /// number that comes with it.
    pub(super) fn request(
        self: &Arc<Self>,
        most: usize,
        of_address: Option<(IpAddr, usize)>,
    ) -> Result<RequestSeat, Full> {
        let mut taken = self.taken();
        if taken.requests >= most {
            return Err(Full::All);
        }
        let origin = match of_address {
            Some((address, most)) => {
                let origin = origin(address);
                let here = taken.by_address.entry(origin).or_default();
                if *here >= most {
                    return Err(Full::Address);
                }
                *here += 1;
                Some(origin)
            }
            None => None,
        };
        taken.requests += 1;
        Ok(RequestSeat {
            seats: self.clone(),
            origin,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSeat {
    fn drop(&mut self) {
        let mut taken = self.0.taken();
        taken.connections = taken.connections.saturating_sub(1);
    }
}

impl Drop for RequestSeat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.requests = taken.requests.saturating_sub(1);
        let Some(origin) = self.origin else { return };
        if let Entry::Occupied(mut here) = taken.by_address.entry(origin) {
            *here.get_mut() = here.get().saturating_sub(1);
            if *here.get() == 0 {
                here.remove();
            }
        }
        if taken.by_address.is_empty() {
            taken.by_address.shrink_to(64);
        }
    }
}

/// What counts as one address: of IPv6 a /64.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn seats_are_bounded_and_come_free() {
        let seats = Arc::new(Seats::default());
        let of = |text: &str| Some((text.parse().unwrap(), 1));
        let first = seats.request(2, of("2001:db8::1")).ok().unwrap();
        assert_eq!(
            seats.request(2, of("2001:db8::2")).err(),
            Some(Full::Address)
        );
        let _second = seats.request(2, of("192.0.2.1")).ok().unwrap();
        assert_eq!(seats.request(2, None).err(), Some(Full::All));
        drop(first);
        assert!(seats.request(2, of("2001:db8::2")).is_ok());
        assert_eq!(seats.taken().by_address.len(), 1);
        let connection = seats.connection(1);
        assert!(connection.is_some() && seats.connection(1).is_none());
        drop(connection);
        assert!(seats.connection(1).is_some());
    }
}
