//! Listening sockets: IPv4 and IPv6, with the options a server wants.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections the kernel holds for us between two calls of `accept`; it cuts this to its own maximum.
const BACKLOG: i32 = 4096;
/// Unsent bytes the kernel takes from us per connection: enough to keep the line busy, small enough for a slow reader.
const UNSENT_BYTES: u32 = 128 * 1024;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct ListenError {
    /// The address as configured.
    pub address: SocketAddr,
    reason: String,
}

/// Opens all addresses, or none.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ListenError> {
    bind_or_take(addresses, &Inherited::default())
}

/// Opens all addresses, or none; those that were handed down are taken as they are.
pub fn bind_or_take(
    addresses: &[SocketAddr],
    inherited: &Inherited,
) -> Result<Vec<TcpListener>, ListenError> {
    addresses
        .iter()
        .map(|address| match inherited.take(*address) {
            Some(socket) => Ok(socket),
            None => listen(*address, addresses),
        })
        .collect()
}

/// Listening sockets that whoever started the process opened for it (systemd's socket activation).
#[derive(Debug, Default)]
pub struct Inherited(Mutex<Vec<std::net::TcpListener>>);

impl Inherited {
    /// Those of the environment (LISTEN_FDS).
    pub fn of_environment() -> Self {
        let mut given = listenfd::ListenFd::from_env();
        let sockets = (0..given.len()).filter_map(|at| given.take_tcp_listener(at).ok().flatten());
        Inherited(Mutex::new(sockets.collect()))
    }

    /// Where those listen that nobody has taken.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let addresses = sockets.iter().filter_map(|socket| socket.local_addr().ok());
        addresses.collect()
    }

    fn take(&self, address: SocketAddr) -> Option<TcpListener> {
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = sockets
            .iter()
            .position(|socket| socket.local_addr().is_ok_and(|own| own == address))?;
        let socket = sockets.swap_remove(found);
        socket.set_nonblocking(true).ok()?;
        TcpListener::from_std(socket).ok()
    }
}

fn listen(address: SocketAddr, all: &[SocketAddr]) -> Result<TcpListener, ListenError> {
    let only_v6 = all.contains(&SocketAddr::new(
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        address.port(),
    ));
    match open(address, only_v6) {
        // A machine without IPv6: what was meant is "everywhere".
        Err(error)
            if no_ipv6(&error)
                && address.ip().is_unspecified()
                && address.is_ipv6()
                && !only_v6 =>
        {
            tracing::warn!(%address, "this machine has no IPv6: listening on 0.0.0.0 instead");
            open(
                SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()),
                false,
            )
        }
        other => other,
    }
    .map_err(|error| ListenError {
        address,
        reason: explain(address, &error),
    })
}

fn open(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn no_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [
        rustix::io::Errno::AFNOSUPPORT,
        rustix::io::Errno::ADDRNOTAVAIL,
    ]
    .iter()
    .any(|errno| code == Some(errno.raw_os_error()))
}

fn explain(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program (perhaps another waxwing) already listens there".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine does not have the address {}", address.ip())
        }
        io::ErrorKind::PermissionDenied => {
            "the system does not allow it (ports below 1024 need a privilege)".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Options of an accepted socket. Failing to set one is no reason to lose the client.
pub(super) fn tune(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let outcomes = [
        socket.set_tcp_nodelay(true),
        socket.set_tcp_notsent_lowat(UNSENT_BYTES),
    ];
    for error in outcomes.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "socket option not set");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    async fn reaches(address: &str, port: u16) -> bool {
        let address: IpAddr = address.parse().unwrap();
        TcpStream::connect((address, port)).await.is_ok()
    }

    #[tokio::test]
    async fn the_ipv6_wildcard_takes_ipv4_too_unless_it_is_listed() {
        let both = bind(&["[::]:0".parse().unwrap()]).unwrap();
        let port = both[0].local_addr().unwrap().port();
        assert!(reaches("127.0.0.1", port).await);
        drop(both);
        let v4 = bind(&["0.0.0.0:0".parse().unwrap()]).unwrap();
        let port = v4[0].local_addr().unwrap().port();
        drop(v4);
        let pair: Vec<SocketAddr> = vec![
            format!("0.0.0.0:{port}").parse().unwrap(),
            format!("[::]:{port}").parse().unwrap(),
        ];
        if TcpListener::bind("[::1]:0").await.is_ok() {
            assert_eq!(bind(&pair).unwrap().len(), 2);
        }
    }

    #[tokio::test]
    async fn a_socket_that_was_handed_down_is_taken_once() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let inherited = Inherited(Mutex::new(vec![socket]));
        let taken = bind_or_take(&[address], &inherited).unwrap();
        assert!(reaches("127.0.0.1", address.port()).await);
        assert!(inherited.addresses().is_empty());
        assert!(bind_or_take(&[address], &inherited).is_err());
        drop(taken);
    }

    #[tokio::test]
    async fn an_address_in_use_is_explained() {
        let first = bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let error = bind(&[first[0].local_addr().unwrap()]).unwrap_err();
        assert!(error.to_string().contains("already listens"), "{error}");
    }
}
