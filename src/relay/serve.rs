//! The relay with its sockets: one thread of its own, so that nothing is locked and no packet changes threads.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::allocation::Client;
use super::counts::Counts;
use super::frame::Frame;
use super::machine::{Failure, Machine, Opened, Opening, Step};
use super::options::Options;
use super::orders::{Desk, Orders};
use super::ports;
use super::streams::{Guest, Pipe};
use crate::runtime::clock::Clock;
use crate::runtime::origin::Origin;

/// Datagrams taken from one socket before others have their turn.
const BATCH: usize = 32;
/// How often is looked for what has come to its end.
const SWEEP: Duration = Duration::from_secs(1);
/// How long it may take to learn whether credentials still hold.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who it is that credentials were given to; `None` if they do not hold any more.
pub type Admitted = Pin<Box<dyn Future<Output = Option<Arc<str>>> + Send>>;

/// Knows whether credentials that are right still hold.
pub trait Gate: Send + Sync {
    /// The owner behind the holder that a name of credentials names.
    fn admit(&self, holder: &str) -> Admitted;
}

/// Connections that wait to be let in; beyond it they are closed.
const GUESTS: usize = 256;

/// Where it hears of orders and of connections.
struct Heard {
    desk: Arc<Desk>,
    guests: mpsc::Receiver<Guest>,
}

/// A relay at work, until it is stopped or dropped.
pub struct Relay {
    desk: Arc<Desk>,
    guests: mpsc::Sender<Guest>,
    counts: Arc<Mutex<Counts>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Relay {
    /// Begins to serve clients on sockets that are bound already.
    ///
    /// # Errors
    /// The system gives no thread, or no events for it.
    pub fn start(
        options: Options,
        sockets: Vec<std::net::UdpSocket>,
        gate: Arc<dyn Gate>,
        clock: Clock,
    ) -> io::Result<Relay> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let desk: Arc<Desk> = Arc::default();
        let (guests, door) = mpsc::channel(GUESTS);
        let heard = Heard {
            desk: desk.clone(),
            guests: door,
        };
        let counts: Arc<Mutex<Counts>> = Arc::default();
        let shown = counts.clone();
        let thread = std::thread::Builder::new().name("relay".to_owned());
        let thread = thread.spawn(move || {
            let machine = Machine::new(options, clock);
            let shell = Rc::new(Shell::new(machine, gate));
            let work = LocalSet::new();
            work.block_on(&runtime, run(shell, sockets, heard, shown));
        })?;
        Ok(Relay {
            desk,
            guests,
            counts,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// What was counted, as of a second ago at most.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What counts it, to be asked as long as one likes.
    pub fn counting(&self) -> impl Fn() -> Counts + Send + Sync + use<> {
        let counts = self.counts.clone();
        move || *counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works by other options from now on.
    pub fn set_options(&self, options: Options) {
        self.desk.set_options(options);
    }

    /// Ends all allocations of an owner.
    pub fn end(&self, owner: &str) {
        self.desk.end(owner);
    }

    /// Serves a client on a connection, unless too many wait for that.
    pub fn take_in(&self, guest: Guest) {
        if let Err(error) = self.guests.try_send(guest) {
            tracing::debug!(%error, "a connection to the relay is closed");
        }
    }

    /// Ends every allocation, closes every socket, and waits for that.
    pub async fn stop(&self) {
        self.desk.stop();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A panic in it was reported by itself.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.desk.stop();
    }
}

/// A socket at which a client is heard.
#[derive(Clone)]
pub(super) enum Line {
    Datagrams(Rc<UdpSocket>),
    Stream(Rc<Pipe>),
}

impl Line {
    /// Whether it was taken; what is not is lost, as it may be on any network.
    fn send(&self, bytes: &[u8], to: SocketAddr) -> bool {
        match self {
            Line::Datagrams(socket) => socket.try_send_to(bytes, to).is_ok(),
            Line::Stream(pipe) => pipe.send(bytes),
        }
    }
}

/// The socket of an allocation, with the task that hears it.
pub(super) struct Seat {
    socket: Rc<UdpSocket>,
    task: Cell<Option<AbortHandle>>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Everything that the tasks of the thread share. Nothing in it is borrowed while a task waits.
pub(super) struct Shell {
    pub(super) machine: RefCell<Machine<Seat>>,
    pub(super) frame: RefCell<Frame>,
    out: RefCell<Vec<u8>>,
    gate: Arc<dyn Gate>,
    /// How often allocations were ended by order.
    ends: Cell<u64>,
    lines: Cell<u32>,
    /// Connections, by whose they are.
    pub(super) connections: RefCell<HashMap<Origin, usize>>,
}

impl Shell {
    fn new(machine: Machine<Seat>, gate: Arc<dyn Gate>) -> Shell {
        Shell {
            machine: RefCell::new(machine),
            frame: RefCell::default(),
            out: RefCell::default(),
            gate,
            ends: Cell::new(0),
            lines: Cell::new(0),
            connections: RefCell::default(),
        }
    }

    /// The number of a new line. They come round again after four thousand million connections.
    pub(super) fn new_line(&self) -> u32 {
        let line = self.lines.get();
        self.lines.set(line.wrapping_add(1));
        line
    }

    fn obey(&self, orders: Orders) {
        let mut machine = self.machine.borrow_mut();
        if orders.everybody || !orders.ended.is_empty() {
            self.ends.set(self.ends.get() + 1);
        }
        if orders.everybody {
            machine.end_all();
        }
        for owner in &orders.ended {
            machine.end(owner);
        }
        if let Some(options) = orders.options {
            machine.set_options(*options);
        }
    }

    /// Does what a client wants.
    pub(super) fn take(self: &Rc<Self>, client: Client, bytes: &[u8], line: &Line) {
        let mut out = self.out.borrow_mut();
        let mut machine = self.machine.borrow_mut();
        let taken = match machine.from_client(client, bytes, &mut out) {
            Step::Nothing => true,
            Step::Answer => line.send(&out, client.address),
            Step::Forward { socket, peer, data } => socket.socket.try_send_to(data, peer).is_ok(),
            Step::Open(opening) => {
                spawn_local(open(self.clone(), opening, line.clone()));
                true
            }
        };
        if !taken {
            machine.lost();
        }
    }

    /// Takes one datagram of a client; whether there may be more.
    fn hear(self: &Rc<Self>, number: u32, socket: &Rc<UdpSocket>, line: &Line) -> bool {
        let mut frame = self.frame.borrow_mut();
        match socket.try_recv_from(frame.room()) {
            Ok((length, address)) => {
                frame.received(length);
                let client = Client {
                    line: number,
                    address,
                };
                self.take(client, frame.bytes(), line);
                true
            }
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Takes one datagram of a peer; whether there may be more.
    fn hear_peer(&self, (client, id): (Client, u64), socket: &UdpSocket, line: &Line) -> bool {
        let mut frame = self.frame.borrow_mut();
        match socket.try_recv_from(frame.room()) {
            Ok((length, peer)) => {
                frame.received(length);
                let mut machine = self.machine.borrow_mut();
                if machine.from_peer((client, id), peer, &mut frame) {
                    if let Line::Stream(_) = line {
                        frame.pad();
                    }
                    if !line.send(frame.bytes(), client.address) {
                        machine.lost();
                    }
                }
                true
            }
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

async fn run(
    shell: Rc<Shell>,
    sockets: Vec<std::net::UdpSocket>,
    mut heard: Heard,
    shown: Arc<Mutex<Counts>>,
) {
    for socket in sockets {
        match UdpSocket::from_std(socket) {
            Ok(socket) => drop(spawn_local(hear(shell.clone(), Rc::new(socket)))),
            Err(error) => tracing::error!(%error, "a socket of the relay cannot be used"),
        }
    }
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            orders = heard.desk.next() => {
                if orders.stop {
                    return;
                }
                shell.obey(orders);
            }
            Some(guest) = heard.guests.recv() => guest.enter(&shell),
            _ = ticks.tick() => {
                let mut machine = shell.machine.borrow_mut();
                machine.expire();
                let counts = Counts {
                    connections: shell.connections.borrow().values().sum::<usize>() as u64,
                    ..machine.counts()
                };
                *shown.lock().unwrap_or_else(PoisonError::into_inner) = counts;
            }
        }
    }
}

/// Hears clients on one socket.
async fn hear(shell: Rc<Shell>, socket: Rc<UdpSocket>) {
    let number = shell.new_line();
    let line = Line::Datagrams(socket.clone());
    while socket.readable().await.is_ok() {
        let more = (0..BATCH).all(|_| shell.hear(number, &socket, &line));
        if more {
            tokio::task::yield_now().await;
        }
    }
}

/// Hears peers at one allocation.
async fn hear_peers(shell: Rc<Shell>, who: (Client, u64), socket: Rc<UdpSocket>, line: Line) {
    while socket.readable().await.is_ok() {
        let more = (0..BATCH).all(|_| shell.hear_peer(who, &socket, &line));
        if more {
            tokio::task::yield_now().await;
        }
    }
}

/// Makes an allocation, if the credentials still hold.
async fn open(shell: Rc<Shell>, mut opening: Opening<Seat>, line: Line) {
    let client = opening.client;
    let opened = match admitted(&shell, &opening.holder).await {
        Err(failure) => Err(failure),
        Ok(owner) => shell
            .machine
            .borrow()
            .may_open(&owner)
            .and_then(|()| bind(&shell, &mut opening, owner)),
    };
    let mut out = shell.out.borrow_mut();
    let mut machine = shell.machine.borrow_mut();
    if let Some(id) = machine.finish(opening, opened, &mut out)
        && let Some(seat) = machine.socket(client)
    {
        let hearing = hear_peers(
            shell.clone(),
            (client, id),
            seat.socket.clone(),
            line.clone(),
        );
        seat.task.set(Some(spawn_local(hearing).abort_handle()));
    }
    if !out.is_empty() && !line.send(&out, client.address) {
        machine.lost();
    }
}

/// Whose the credentials are now. Whoever was shut out while that was looked up is looked up again.
async fn admitted(shell: &Rc<Shell>, holder: &str) -> Result<Arc<str>, Failure> {
    loop {
        let ends = shell.ends.get();
        let owner = timeout(PATIENCE, shell.gate.admit(holder)).await;
        if shell.ends.get() == ends {
            let owner = owner.map_err(|_| Failure::Capacity)?;
            return owner.ok_or(Failure::Unauthorized);
        }
    }
}

fn bind(
    shell: &Shell,
    opening: &mut Opening<Seat>,
    owner: Arc<str>,
) -> Result<Opened<Seat>, Failure> {
    if let Some((socket, local)) = opening.reserved.take() {
        return Ok(Opened {
            owner,
            socket,
            local,
            spare: None,
        });
    }
    let ports = shell.machine.borrow().options().ports.clone();
    let wish = ports::Wish {
        ip: opening.address.local,
        even: opening.even,
        spare: opening.spare,
    };
    let (socket, spare) = ports::open(&wish, &ports).ok_or(Failure::Capacity)?;
    let (socket, local) = seat(socket)?;
    let spare = spare.map(seat).transpose()?;
    Ok(Opened {
        owner,
        socket,
        local,
        spare,
    })
}

fn seat(socket: std::net::UdpSocket) -> Result<(Seat, SocketAddr), Failure> {
    let made = UdpSocket::from_std(socket).and_then(|socket| {
        let local = socket.local_addr()?;
        Ok((socket, local))
    });
    let (socket, local) = made.map_err(|error| {
        tracing::warn!(%error, "a socket for an allocation cannot be used");
        Failure::Capacity
    })?;
    let seat = Seat {
        socket: Rc::new(socket),
        task: Cell::new(None),
    };
    Ok((seat, local))
}
