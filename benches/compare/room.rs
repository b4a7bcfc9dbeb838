//! Entering a room of 5,000: what it costs, and how much is sent to who enters.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use waxwing::proto::{PresenceType, Stanza, ns};
use waxwing::xml::Element;

use crate::client::{Client, Outgoing};
use crate::load::{ACCOUNTS, Failure, SETTLE, log_in};
use crate::peer::{ROOMS, Server};
use crate::procfs::cpu_seconds;
use crate::table::Figures;

/// Clients of each account that are in the room; the last account makes it and enters again and again.
pub const CLIENTS: usize = 20;
/// Times that somebody enters.
const ENTERED: usize = 10;
/// How long what comes with that may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The room is filled while nobody but moderators is shown, for otherwise that takes some servers half an hour.
pub async fn all(server: &Server, clients: usize) -> Result<Figures, Failure> {
    let room = format!("crowd@{ROOMS}");
    let last = ACCOUNTS - 1;
    let mut owner = server.client(last).connect(server.addr).await?;
    enter(&mut owner, &room, "owner").await?;
    show(&mut owner, &room, &["moderator"]).await?;
    let who = (0..last * clients).map(|n| (n % last, format!("r{}", n / last)));
    let crowd = log_in(server, who.collect()).await?;
    let count = crowd.len() as f64;
    sleep(SETTLE).await;
    let before = cpu_seconds(server.pid);
    let mut listening = JoinSet::new();
    for (n, mut client) in crowd.into_iter().enumerate() {
        enter(&mut client, &room, &format!("nick{n}")).await?;
        listening.spawn(async move {
            while client.next(PATIENCE).await.is_some() || !client.is_over() {}
        });
    }
    let unseen = (cpu_seconds(server.pid) - before) * 1e6 / count;
    show(&mut owner, &room, &["moderator", "participant", "visitor"]).await?;
    listening
        .spawn(async move { while owner.next(PATIENCE).await.is_some() || !owner.is_over() {} });
    let names = (0..ENTERED).map(|n| (last, format!("late{n}"))).collect();
    let mut late = log_in(server, names).await?;
    sleep(SETTLE).await;
    let before = cpu_seconds(server.pid);
    let mut bytes = 0;
    for (n, client) in late.iter_mut().enumerate() {
        bytes += enter(client, &room, &format!("late{n}")).await?;
    }
    // The others hear of it meanwhile.
    sleep(SETTLE).await;
    let spent = cpu_seconds(server.pid) - before;
    listening.abort_all();
    let entered = ENTERED as f64;
    Ok(vec![
        ("entering a full room, CPU ms", spent * 1e3 / entered),
        (
            "of that for each presence, CPU µs",
            spent * 1e6 / (entered * 2.0 * count),
        ),
        ("sent to who enters, KB", bytes as f64 / 1024.0 / entered),
        ("entering where nobody is shown, CPU µs", unseen),
    ])
}

/// Enters; the bytes that come with it, up to the subject.
async fn enter(client: &mut Client, room: &str, nick: &str) -> Result<usize, Failure> {
    let history = Element::new("history", ns::MUC).with_attr("maxstanzas", "0");
    let join = Stanza::presence(PresenceType::Available)
        .with_to(format!("{room}/{nick}").parse()?)
        .with_child(Element::new("x", ns::MUC).with_child(history));
    client.send(join).await?;
    let mut bytes = 0;
    loop {
        let got = client.next(PATIENCE).await.ok_or("nobody lets it in")?;
        bytes += got.bytes().len();
        if got.attr("type") == Some("error") {
            return Err(format!("{nick} is not let in: {got:?}").into());
        }
        if got.is("message", ns::CLIENT) && got.has_child("subject", ns::CLIENT) {
            return Ok(bytes);
        }
    }
}

/// Has presence shown of those who have these roles.
async fn show(owner: &mut Client, room: &str, roles: &[&str]) -> Result<(), Failure> {
    let field = |var: &str, values: &[&str]| {
        let value = |text: &&str| Element::new("value", ns::DATA_FORM).with_text(text);
        Element::new("field", ns::DATA_FORM)
            .with_attr("var", var)
            .with_children(values.iter().map(value))
    };
    let form = Element::new("x", ns::DATA_FORM)
        .with_attr("type", "submit")
        .with_child(field("FORM_TYPE", &[ns::MUC_ROOM_CONFIG]))
        .with_child(field("muc#roomconfig_presencebroadcast", roles));
    let query = Element::new("query", ns::MUC_OWNER).with_child(form);
    owner.request("set", Some(room), query).await?;
    Ok(())
}
