//! Opening connections: several addresses, the next one tried when the one before takes long (RFC 8305 §5).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::listen;

/// How long one address has before the next is tried beside it (RFC 8305 §8).
const STAGGER: Duration = Duration::from_millis(250);

/// No address answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// There was no address to try.
    #[error("it has no address")]
    Nowhere,
    /// The last of them failed like this.
    #[error("{address}: {why}")]
    Failed {
        /// Which.
        address: SocketAddr,
        /// How, in words.
        why: String,
    },
    /// Time was up.
    #[error("{0}: no answer in time")]
    TimedOut(SocketAddr),
}

/// Connects to whichever of `addresses` answers first, in their order, within `patience`.
///
/// # Errors
/// What became of the one that failed last.
pub async fn dial(
    addresses: &[SocketAddr],
    patience: Duration,
) -> Result<(TcpStream, SocketAddr), DialError> {
    let first = *addresses.first().ok_or(DialError::Nowhere)?;
    match tokio::time::timeout(patience, race(addresses)).await {
        Ok(result) => result,
        Err(_) => Err(DialError::TimedOut(first)),
    }
}

async fn race(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), DialError> {
    let mut waiting = addresses.iter().copied();
    let mut trying = JoinSet::new();
    let mut failure = DialError::Nowhere;
    loop {
        let next = waiting.next();
        let last = next.is_none();
        if let Some(address) = next {
            trying.spawn(async move { (address, TcpStream::connect(address).await) });
        }
        loop {
            let turned_out = match last {
                true => trying.join_next().await,
                false => match tokio::time::timeout(STAGGER, trying.join_next()).await {
                    Ok(turned_out) => turned_out,
                    Err(_) => break,
                },
            };
            match turned_out {
                Some(Ok((address, Ok(stream)))) => {
                    listen::tune(&stream);
                    return Ok((stream, address));
                }
                Some(Ok((address, Err(error)))) => {
                    let why = words(&error);
                    failure = DialError::Failed { address, why };
                    if !last {
                        break;
                    }
                }
                Some(Err(_)) => {}
                None if last => return Err(failure),
                None => break,
            }
        }
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
        io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "it cannot be reached from here".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_dead_address_does_not_hold_up_the_next() {
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = dead.local_addr().unwrap();
        drop(dead);
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = alive.local_addr().unwrap();
        let patience = Duration::from_secs(20);
        let (_, address) = dial(&[gone, here], patience).await.unwrap();
        assert_eq!(address, here);
        let error = dial(&[gone], patience).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{gone}: the connection was refused")
        );
        assert_eq!(dial(&[], patience).await.unwrap_err(), DialError::Nowhere);
    }
}
