//! The work that every server is given, and what it costs the server.

use std::error::Error;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use waxwing::proto::ns;
use waxwing::runtime::random;
use waxwing::xml::Element;

use crate::client::Client;
use crate::peer::Server;
use crate::procfs::{cpu_seconds, rss};
use crate::table::Figures;

/// Accounts `u0`, `u1` …
pub const ACCOUNTS: usize = 250;
/// Sessions of each account while idle sessions are measured.
const RESOURCES: usize = 4;
/// Logins under way at a time.
const AT_ONCE: usize = 8;
/// Pairs that chat.
const PAIRS: usize = 25;
/// Messages each of a pair has under way when all are as busy as can be.
const WINDOW: usize = 4;
/// How long a kind of chat is measured.
const MEASURED: Duration = Duration::from_secs(6);
/// A pause in which a server finishes what it does after logins.
pub const SETTLE: Duration = Duration::from_secs(4);
/// Time between two messages of a client when all is quiet: 200 messages a second in all.
const SPARSE: Duration = Duration::from_millis(250);
/// After this long without anything all has arrived.
const QUIET: Duration = Duration::from_secs(4);
/// Presence updates of each session.
const UPDATES: usize = 5;

pub type Failure = Box<dyn Error + Send + Sync>;

/// All figures of one server.
pub async fn all(server: &Server) -> Result<Figures, Failure> {
    let mut figures = Figures::new();
    let everybody = idle(server, &mut figures).await?;
    figures.push((
        "presence delivered, CPU µs",
        presence(server, everybody).await?,
    ));
    sleep(SETTLE).await;
    for (no_store, busy, sparse) in [
        (
            true,
            "busy message, not stored, CPU µs",
            "sparse message with acks, not stored, CPU µs",
        ),
        (
            false,
            "busy message, stored, CPU µs",
            "sparse message with acks, stored, CPU µs",
        ),
    ] {
        figures.push((busy, chat(server, no_store, Pace::Busy).await?));
        figures.push((sparse, chat(server, no_store, Pace::Sparse).await?));
    }
    Ok(figures)
}

/// Many sessions that do nothing; leaves them connected.
async fn idle(server: &Server, figures: &mut Figures) -> Result<Vec<Client>, Failure> {
    // What a server allocates once is not the sessions'.
    drop(log_in(server, (0..4).map(|n| (n, "first".to_owned())).collect()).await?);
    sleep(SETTLE).await;
    let (cpu, memory) = (cpu_seconds(server.pid), rss(server.pid));
    let who: Vec<(usize, String)> = (0..ACCOUNTS * RESOURCES)
        .map(|n| (n % ACCOUNTS, format!("r{}", n / ACCOUNTS)))
        .collect();
    let count = who.len() as f64;
    let clients = log_in(server, who).await?;
    figures.push((
        "login, CPU ms",
        (cpu_seconds(server.pid) - cpu) * 1e3 / count,
    ));
    sleep(SETTLE).await;
    figures.push((
        "idle session, KB of memory",
        (rss(server.pid) - memory) / 1024.0 / count,
    ));
    Ok(clients)
}

pub async fn log_in(server: &Server, who: Vec<(usize, String)>) -> Result<Vec<Client>, Failure> {
    let mut clients = Vec::with_capacity(who.len());
    let mut waiting = who.into_iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_ONCE {
            let Some((account, resource)) = waiting.next() else {
                break;
            };
            let (builder, addr) = (server.client(account).resource(&resource), server.addr);
            running.spawn(async move {
                let mut client = builder.connect(addr).await?;
                client.roster().await?;
                client.enable_acks().await?;
                client.presence().await?;
                Ok::<_, Failure>(client)
            });
        }
        match running.join_next().await {
            Some(client) => clients.push(client??),
            None => return Ok(clients),
        }
    }
}

/// Presence updates, which go to the account's own sessions.
async fn presence(server: &Server, clients: Vec<Client>) -> Result<f64, Failure> {
    let before = cpu_seconds(server.pid);
    let mut running = JoinSet::new();
    for mut client in clients {
        running.spawn(async move {
            let mut seen = 0;
            for n in 0..UPDATES {
                let status = Element::new("status", ns::CLIENT).with_text(&format!("mood {n}"));
                client
                    .send(Element::new("presence", ns::CLIENT).with_child(status))
                    .await?;
                seen += read_until(
                    &mut client,
                    Instant::now() + Duration::from_millis(500),
                    is_presence,
                )
                .await;
            }
            seen += read_until_quiet(&mut client, is_presence).await;
            Ok::<_, Failure>(seen)
        });
    }
    let mut delivered = 0;
    while let Some(seen) = running.join_next().await {
        delivered += seen??;
    }
    if delivered == 0 {
        return Err("no presence was delivered".into());
    }
    Ok((cpu_seconds(server.pid) - before) * 1e6 / delivered as f64)
}

#[derive(Clone, Copy, PartialEq)]
enum Pace {
    /// As fast as answers come.
    Busy,
    /// Now and then, and every message is followed by a request for an acknowledgement.
    Sparse,
}

/// Pairs that chat; CPU per message.
async fn chat(server: &Server, no_store: bool, pace: Pace) -> Result<f64, Failure> {
    let who = (0..2 * PAIRS).map(|n| (n, "chat".to_owned())).collect();
    let mut clients = log_in(server, who).await?;
    clients.sort_by_key(|client| client.jid.as_str().to_owned());
    let names: Vec<String> = clients
        .iter()
        .map(|client| client.jid.bare_str().to_owned())
        .collect();
    sleep(SETTLE).await;
    let (before, until) = (cpu_seconds(server.pid), Instant::now() + MEASURED);
    let mut running = JoinSet::new();
    for (n, client) in clients.into_iter().enumerate() {
        let talk = Talk {
            to: names[n ^ 1].clone(),
            hint: if no_store { "no-store" } else { "store" },
        };
        match pace {
            Pace::Busy => running.spawn(busy(client, talk, until)),
            Pace::Sparse => running.spawn(sparse(client, talk, until)),
        };
    }
    let (mut sent, mut received) = (0, 0);
    while let Some(counts) = running.join_next().await {
        let (own_sent, own_received) = counts??;
        sent += own_sent;
        received += own_received;
    }
    let cost = (cpu_seconds(server.pid) - before) * 1e6 / received.max(1) as f64;
    if sent == received {
        Ok(cost)
    } else {
        Err(format!("{sent} messages sent, {received} received").into())
    }
}

/// Keeps a window of messages under way to a peer that does the same; what was sent and what came.
async fn busy(mut client: Client, talk: Talk, until: Instant) -> Result<(usize, usize), Failure> {
    let (mut sent, mut received) = (0, 0);
    while sent < WINDOW {
        client.send(talk.message().as_str()).await?;
        sent += 1;
    }
    while let Some(element) = client.next(QUIET).await {
        if is_chat(&element) {
            received += 1;
            if Instant::now() < until {
                client.send(talk.message().as_str()).await?;
                sent += 1;
            }
        }
    }
    leave(client).await?;
    Ok((sent, received))
}

/// Sends a message every now and then; what was sent and what came.
async fn sparse(mut client: Client, talk: Talk, until: Instant) -> Result<(usize, usize), Failure> {
    let (mut sent, mut received) = (0, 0);
    let mut due = Instant::now();
    while due < until {
        received += read_until(&mut client, due, is_chat).await;
        let request = format!("{}<r xmlns='{}'/>", talk.message(), ns::SM);
        client.send(request.as_str()).await?;
        sent += 1;
        due += SPARSE;
    }
    received += read_until_quiet(&mut client, is_chat).await;
    leave(client).await?;
    Ok((sent, received))
}

/// Acknowledges everything and goes, so that nothing comes again.
async fn leave(mut client: Client) -> Result<(), Failure> {
    let handled = client.handled.unwrap_or(0).to_string();
    client
        .send(Element::new("a", ns::SM).with_attr("h", &handled))
        .await?;
    Ok(client.close().await?)
}

async fn read_until(client: &mut Client, until: Instant, counted: fn(&Element) -> bool) -> usize {
    let mut count = 0;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        match client.next(left).await {
            Some(element) => count += usize::from(counted(&element)),
            None if client.is_over() => break,
            None => {}
        }
    }
    count
}

async fn read_until_quiet(client: &mut Client, counted: fn(&Element) -> bool) -> usize {
    let mut count = 0;
    while let Some(element) = client.next(QUIET).await {
        count += usize::from(counted(&element));
    }
    count
}

fn is_chat(element: &Element) -> bool {
    element.is("message", ns::CLIENT) && element.attr("type") == Some("chat")
}

fn is_presence(element: &Element) -> bool {
    element.is("presence", ns::CLIENT)
}

/// What one says to another.
struct Talk {
    to: String,
    hint: &'static str,
}

impl Talk {
    fn message(&self) -> String {
        let (to, id, hint) = (&self.to, random::id(), self.hint);
        let body = "a line of a chat, neither long nor short ".repeat(3);
        format!(
            "<message to='{to}' type='chat' id='{id}'><body>{body}</body><{hint} xmlns='urn:xmpp:hints'/></message>"
        )
    }
}
