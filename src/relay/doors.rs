//! Where clients come in by TCP, and by TLS over it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use super::serve::Relay;
use super::streams::Guest;
use crate::net::tls::{self, Side, TlsStore};
use crate::net::{Caller, Front, Serving};

/// After an error, so that one that stays does not fill a core.
const BREATH: Duration = Duration::from_millis(100);
/// Time for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at once; who comes beyond waits.
const HANDSHAKES: usize = 256;

/// Hands connections to the relay until the task is dropped.
pub async fn accept(listener: TcpListener, relay: Arc<Relay>) {
    loop {
        let (stream, address) = next(&listener).await;
        relay.take_in(guest(stream, address));
    }
}

/// The same for those that begin with TLS.
pub async fn accept_tls(listener: TcpListener, relay: Arc<Relay>, store: Arc<TlsStore>) {
    let seats = Arc::new(Semaphore::new(HANDSHAKES));
    while let Ok(seat) = seats.clone().acquire_owned().await {
        let (stream, address) = next(&listener).await;
        let (relay, store) = (relay.clone(), store.clone());
        tokio::spawn(async move {
            let _seat = seat;
            let handshake = tls::accept(stream, &store, None, Side::Relay);
            match timeout(HANDSHAKE, handshake).await {
                Ok(Ok((stream, _))) => relay.take_in(guest(*stream, address)),
                Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS with the relay"),
                Err(_) => tracing::debug!(%address, "no TLS with the relay in time"),
            }
        });
    }
}

/// Connections that turned out to be clients of the relay where others connect.
impl Front for Relay {
    fn serve(&self, caller: Caller) -> Serving {
        let (ticket, over) = oneshot::channel::<()>();
        self.take_in(Guest {
            address: SocketAddr::new(caller.peer, caller.port),
            stream: Box::new(caller.stream),
            ticket: Box::new(ticket),
        });
        Box::pin(async move {
            // It is dropped with the connection.
            let _ = over.await;
            None
        })
    }
}

fn guest(stream: impl super::Stream + 'static, address: SocketAddr) -> Guest {
    Guest {
        stream: Box::new(stream),
        address,
        ticket: Box::new(()),
    }
}

async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Packets of voice are small, and none shall wait for the next one.
                let _ = stream.set_nodelay(true);
                return (stream, address);
            }
            Err(error) => {
                tracing::warn!(%error, "the relay cannot accept a connection; trying again");
                sleep(BREATH).await;
            }
        }
    }
}
