//! UDP sockets: those that listen for clients, and those at the ports that clients are given.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;

use socket2::{Domain, Protocol, Socket, Type};

use crate::runtime::random;

/// Ports that are tried before there is none.
const ATTEMPTS: usize = 64;
/// What waits in a socket that listens, so that a burst of many clients is not lost; the kernel cuts it to its maximum.
const RECEIVE_BYTES: usize = 4 << 20;

/// What is wanted of a port.
pub(super) struct Wish {
    pub(super) ip: IpAddr,
    pub(super) even: bool,
    /// The one after it as well.
    pub(super) spare: bool,
}

/// Opens a port by chance, so that nobody can tell the next one (RFC 8656 §7.2), and the one after it if that is wanted.
pub(super) fn open(
    wish: &Wish,
    ports: &RangeInclusive<u16>,
) -> Option<(UdpSocket, Option<UdpSocket>)> {
    let (first, last) = (*ports.start(), *ports.end());
    let count = u32::from(last.checked_sub(first)?) + 1;
    (0..ATTEMPTS).find_map(|_| {
        let chance = u32::from_be_bytes(random::bytes()) % count;
        let mut port = first.checked_add(u16::try_from(chance).ok()?)?;
        if wish.even && port % 2 == 1 {
            port = port.checked_add(1).filter(|port| *port <= last)?;
        }
        let socket = bind(wish.ip, port)?;
        let spare = match wish.spare {
            true => {
                let next = port.checked_add(1).filter(|port| *port <= last)?;
                Some(bind(wish.ip, next)?)
            }
            false => None,
        };
        Some((socket, spare))
    })
}

fn bind(ip: IpAddr, port: u16) -> Option<UdpSocket> {
    let socket = UdpSocket::bind((ip, port)).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

/// A socket that hears clients. `all`: every address that is listened on; the IPv6 wildcard takes IPv4 too unless that is
/// among them.
///
/// # Errors
/// The system's.
pub fn listen(address: SocketAddr, all: &[SocketAddr]) -> io::Result<UdpSocket> {
    let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
    match listen_on(address, all.contains(&v4)) {
        // A machine without IPv6: what was meant is "everywhere".
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() && !all.contains(&v4) => {
            listen_on(v4, false)
        }
        other => other,
    }
}

fn listen_on(address: SocketAddr, only_v6: bool) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_nonblocking(true)?;
    // Less than that is no reason not to serve.
    let _ = socket.set_recv_buffer_size(RECEIVE_BYTES);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The address of this machine that packets to the Internet at large come from; nothing is sent to learn it.
pub fn route(ipv6: bool) -> Option<IpAddr> {
    // Any public address will do.
    let (from, to) = match ipv6 {
        false => ("0.0.0.0:0", "192.0.9.1:9"),
        true => ("[::]:0", "[2001:4860::1]:9"),
    };
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(to).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

/// Tells addresses of this machine from others.
pub fn own_addresses() -> impl Fn(IpAddr) -> bool + Send + 'static {
    let has = |ip: IpAddr| UdpSocket::bind((ip, 0)).is_ok();
    // Where addresses that are not there may be bound (`ip_nonlocal_bind`), all would seem to be ours.
    let tells = !has(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    move |ip| tells && has(ip)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_pair_begins_with_an_even_port() {
        let wish = Wish {
            ip: LOOPBACK,
            even: true,
            spare: true,
        };
        let (socket, spare) = open(&wish, &(40_001..=60_000)).unwrap();
        let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
        assert_eq!(port(&socket) % 2, 0);
        assert_eq!(port(&spare.unwrap()), port(&socket) + 1);
    }

    #[test]
    fn without_a_free_port_there_is_none() {
        let taken = UdpSocket::bind((LOOPBACK, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let wish = Wish {
            ip: LOOPBACK,
            even: false,
            spare: false,
        };
        assert!(open(&wish, &(port..=port)).is_none());
        drop(taken);
        assert!(open(&wish, &(port..=port)).is_some());
    }

    #[test]
    fn this_machine_knows_its_own() {
        let own = own_addresses();
        assert!(own(LOOPBACK));
        assert!(!own("192.0.2.77".parse().unwrap()));
    }
}
