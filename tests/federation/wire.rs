//! A wire between two servers that can be held and cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Carries connections to a server.
pub struct Wire {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// Bytes of the caller, and of the other side, come no further.
    held: [AtomicBool; 2],
    /// No new connections.
    down: AtomicBool,
    connections: AtomicUsize,
    /// Counts cuts.
    cuts: watch::Sender<usize>,
    /// Counts the times that callers lost their connections while the other side did not.
    strands: watch::Sender<usize>,
}

impl Wire {
    pub async fn to(server: SocketAddr) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            held: Default::default(),
            down: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            cuts: watch::Sender::new(0),
            strands: watch::Sender::new(0),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                if !shared.down.load(Ordering::SeqCst) {
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(carry(caller, server, shared.clone()));
                }
            }
        });
        Wire { address, state }
    }

    /// What the caller says, or what is answered, does not arrive any more.
    pub fn hold(&self, caller: bool, answers: bool) {
        self.state.held[0].store(caller, Ordering::SeqCst);
        self.state.held[1].store(answers, Ordering::SeqCst);
    }

    /// Every connection breaks, and what was held is lost.
    pub fn cut(&self) {
        self.hold(false, false);
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Every connection breaks for its caller; the other side hears nothing of it.
    pub fn strand(&self) {
        self.state.strands.send_modify(|strands| *strands += 1);
    }

    /// New connections break at once, or do not.
    pub fn down(&self, down: bool) {
        self.state.down.store(down, Ordering::SeqCst);
    }

    /// Connections until now.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

async fn carry(caller: TcpStream, server: SocketAddr, state: Arc<State>) {
    let mut cuts = state.cuts.subscribe();
    let mut strands = state.strands.subscribe();
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut caller_reads, mut caller_writes) = caller.into_split();
    let (mut server_reads, mut server_writes) = server.into_split();
    tokio::select! {
        _ = cuts.changed() => return,
        _ = strands.changed() => {}
        () = pour(&mut caller_reads, &mut server_writes, &state.held[0]) => return,
        () = pour(&mut server_reads, &mut caller_writes, &state.held[1]) => return,
    }
    drop((caller_reads, caller_writes));
    // Held open until somebody cuts.
    let _ = cuts.changed().await;
}

async fn pour(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, held: &AtomicBool) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if held.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
