//! Writing XEP-0227 (1.1): every account as it was at one moment, one after the other.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{DISABLED, MAM, PIE, PRIVACY, SCRAM, stored};
use crate::hooks::Uid;
use crate::proto::delay::Delay;
use crate::proto::jid::Jid;
use crate::proto::{forward, ns};
use crate::state::accounts::{self, Record};
use crate::state::blocklist::BlockList;
use crate::state::log::{self, Logged};
use crate::state::nodes::portable::{self, Leaving};
use crate::state::roster::Roster;
use crate::state::stored_xml;
use crate::store::{Direction, Fields, Frozen, Key, Mid, Range, Snapshot, Space, StoreError};
use crate::stream::ScramHash;
use crate::xml::{self, Element};

/// Which accounts.
#[derive(Clone, Debug)]
pub enum Which {
    /// All of these hosts.
    Hosts(Vec<String>),
    /// One.
    Account(Jid),
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such account.
    #[error("there is no account {0}")]
    Unknown(Jid),
    /// What reads it does not any more.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Accounts and messages read at once.
const PAGE: usize = 100;

/// Writes accounts to `out`; how many. `progress` hears how many so far.
///
/// # Errors
/// [`WriteError`]. What was written until then is not well-formed.
pub fn export(
    view: &Frozen,
    which: &Which,
    out: &mut impl Write,
    mut progress: impl FnMut(u64),
) -> Result<u64, WriteError> {
    let mut count = 0;
    write!(
        out,
        "<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='{PIE}'>\n"
    )?;
    match which {
        Which::Account(jid) => {
            let record = accounts::read(view, &accounts::account_key(jid))?;
            let record = record.ok_or_else(|| WriteError::Unknown(jid.clone()))?;
            open_host(jid.domain(), out)?;
            user(view, jid, &record, out)?;
            out.write_all(b"</host>\n")?;
            count = 1;
        }
        Which::Hosts(hosts) => {
            for host in hosts {
                open_host(host, out)?;
                each_account(view, host, |jid, record| {
                    user(view, jid, &record, out)?;
                    count += 1;
                    progress(count);
                    Ok(())
                })?;
                out.write_all(b"</host>\n")?;
            }
        }
    }
    out.write_all(b"</server-data>\n")?;
    out.flush()?;
    Ok(count)
}

fn open_host(host: &str, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"<host")?;
    attribute("jid", host, out)?;
    out.write_all(b">\n")
}

fn attribute(name: &str, value: &str, out: &mut impl Write) -> io::Result<()> {
    let mut bytes = format!(" {name}='").into_bytes();
    xml::write::attr_value(value, &mut bytes);
    bytes.push(b'\'');
    out.write_all(&bytes)
}

fn each_account(
    view: &Frozen,
    host: &str,
    mut each: impl FnMut(&Jid, Record) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let mut range = Range::prefix(Key::new().str(host));
    loop {
        let rows = view.scan(Space::ACCOUNT, &range, Direction::Forward, PAGE)?;
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        range = range.after(last.as_slice());
        for (key, _) in rows {
            let mut fields = Fields::of(&key);
            let parts = fields.str().zip(fields.str());
            let jid = parts.and_then(|(host, node)| Jid::new(Some(node), host, None).ok());
            let odd = || StoreError::Format("the name of an account".to_owned());
            let record = accounts::read(view, &Key::from(key.as_slice()))?;
            each(&jid.ok_or_else(odd)?, record.ok_or_else(odd)?)?;
        }
    }
}

fn user(view: &Frozen, jid: &Jid, record: &Record, out: &mut impl Write) -> Result<(), WriteError> {
    let uid = Uid(record.uid);
    out.write_all(b"<user")?;
    attribute("name", jid.node().unwrap_or_default(), out)?;
    out.write_all(b">\n")?;
    if let Some(reason) = &record.disabled {
        put(&Element::new("disabled", DISABLED).with_text(reason), out)?;
    }
    for hash in ScramHash::ALL {
        if let Some(scram) = credentials(record, hash) {
            put(&scram, out)?;
        }
    }
    let roster = Roster::load(view, uid)?;
    let items = roster.listed().map(|item| item.to_element());
    put(&Element::new("query", ns::ROSTER).with_children(items), out)?;
    for request in roster.requests() {
        if let Some(presence) = stored_xml::read(request.as_bytes()) {
            put(&presence, out)?;
        }
    }
    if let Some(list) = BlockList::load(view, uid)? {
        put(&privacy(&list), out)?;
    }
    for part in stored::parts(view, uid)? {
        put(&part, out)?;
    }
    nodes(view, jid, uid, out)?;
    archive(view, jid, uid, out)?;
    offline(view, jid, uid, out)?;
    out.write_all(b"</user>\n")?;
    Ok(())
}

/// §4.8: blocked addresses as the privacy list they are a view of (XEP-0191 §5).
fn privacy(blocked: &BlockList) -> Element {
    let mut entries: Vec<&str> = blocked.entries().map(Jid::as_str).collect();
    entries.sort_unstable();
    let item = |(order, jid): (usize, &str)| {
        Element::new("item", PRIVACY)
            .with_attr("type", "jid")
            .with_attr("value", jid)
            .with_attr("action", "deny")
            .with_attr("order", &(order + 1).to_string())
    };
    let list = Element::new("list", PRIVACY)
        .with_attr("name", "blocked")
        .with_children(entries.into_iter().enumerate().map(item));
    Element::new("query", PRIVACY)
        .with_child(Element::new("default", PRIVACY).with_attr("name", "blocked"))
        .with_child(list)
}

/// §4.3.
fn credentials(record: &Record, hash: ScramHash) -> Option<Element> {
    let keys = record.keys(hash)?;
    let part = |name, text: &str| Element::new(name, SCRAM).with_text(text);
    let scram = Element::new("scram-credentials", SCRAM)
        .with_attr("mechanism", hash.mechanism(false))
        .with_child(part("iter-count", &keys.iterations.to_string()))
        .with_child(part("salt", &BASE64.encode(&keys.salt)))
        .with_child(part("server-key", &BASE64.encode(&keys.server_key)))
        .with_child(part("stored-key", &BASE64.encode(&keys.stored_key)));
    Some(scram)
}

/// §4.10: first how every node is set up, then what is in them.
fn nodes(view: &Frozen, jid: &Jid, uid: Uid, out: &mut impl Write) -> Result<(), WriteError> {
    let mut begun = false;
    each_node(view, jid, uid, |node| {
        if !std::mem::replace(&mut begun, true) {
            writeln!(out, "<pubsub xmlns='{}'>", ns::PUBSUB_OWNER)?;
        }
        Ok(node.settings.iter().try_for_each(|part| put(part, out))?)
    })?;
    if !begun {
        return Ok(());
    }
    writeln!(out, "</pubsub>\n<pubsub xmlns='{}'>", ns::PUBSUB)?;
    each_node(view, jid, uid, |node| {
        out.write_all(b"<items")?;
        attribute("node", &node.name, out)?;
        out.write_all(b">\n")?;
        let mut after = None;
        loop {
            let items = node.items(view, after)?;
            let Some((last, _)) = items.last() else { break };
            after = Some(*last);
            items.iter().try_for_each(|(_, item)| put(item, out))?;
        }
        Ok(out.write_all(b"</items>\n")?)
    })?;
    Ok(out.write_all(b"</pubsub>\n")?)
}

fn each_node(
    view: &Frozen,
    jid: &Jid,
    uid: Uid,
    mut each: impl FnMut(&Leaving) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let mut after = None;
    while let Some(node) = portable::leaving(view, uid, jid, after.as_deref())? {
        each(&node)?;
        after = Some(node.name);
    }
    Ok(())
}

/// §4.11: what is kept, oldest first.
fn archive(view: &Frozen, jid: &Jid, uid: Uid, out: &mut impl Write) -> Result<(), WriteError> {
    let mut begun = false;
    pages(
        |after| log::after(view, uid, after, PAGE),
        |logged| {
            if !logged.entry.keep {
                return Ok(());
            }
            if !std::mem::replace(&mut begun, true) {
                writeln!(out, "<archive xmlns='{MAM}'>")?;
            }
            let delay = delay(jid, &logged);
            let result = Element::new("result", ns::MAM)
                .with_attr("id", &logged.entry.mid.to_string())
                .with_child(forward::wrap(&logged.stanza, Some(&delay)));
            Ok(put(&result, out)?)
        },
    )?;
    if begun {
        out.write_all(b"</archive>\n")?;
    }
    Ok(())
}

/// §4.5. What is in the archive too names its place there.
fn offline(view: &Frozen, jid: &Jid, uid: Uid, out: &mut impl Write) -> Result<(), WriteError> {
    let mut begun = false;
    pages(
        |after| log::undelivered(view, uid, after, PAGE),
        |logged| {
            if !std::mem::replace(&mut begun, true) {
                out.write_all(b"<offline-messages>\n")?;
            }
            let mut stanza = logged.stanza.clone();
            stanza.push(delay(jid, &logged).to_element());
            if logged.entry.keep {
                let id = Element::new("stanza-id", ns::STANZA_ID)
                    .with_attr("by", jid.bare_str())
                    .with_attr("id", &logged.entry.mid.to_string());
                stanza.push(id);
            }
            Ok(put(&stanza.to_element(), out)?)
        },
    )?;
    if begun {
        out.write_all(b"</offline-messages>\n")?;
    }
    Ok(())
}

fn delay(jid: &Jid, logged: &Logged) -> Delay {
    Delay {
        stamp: logged.at,
        from: Jid::new(None, jid.domain(), None).ok(),
    }
}

fn pages(
    read: impl Fn(Option<Mid>) -> Result<Vec<Logged>, StoreError>,
    mut each: impl FnMut(Logged) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let mut after = None;
    loop {
        let page = read(after)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.entry.mid);
        page.into_iter().try_for_each(&mut each)?;
    }
}

fn put(element: &Element, out: &mut impl Write) -> io::Result<()> {
    let mut bytes = Vec::new();
    xml::write::element(element.root(), PIE, &mut bytes);
    bytes.push(b'\n');
    out.write_all(&bytes)
}
