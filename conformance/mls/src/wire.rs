//! A connection over XMPP to a waxwing: key packages and welcome messages go to accounts, messages of the group to a room that
//! puts them in order.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use waxwing::proto::ns;
use waxwing::runtime::random;
use waxwing::xml::{El, Element};

use crate::Fault;
use crate::client::{Client, Trust};
use crate::member::account_of;
use crate::post::{Accounts, Answer, Arrival, Entry, Post, Trouble};
use crate::stanzas::{MLS, away, changes, decode, iq, lies, lost, refusal, sealed, wrong};
use crate::web::{self, Lies};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of a welcome message that goes in a stanza.
const LARGE: usize = 32 << 10;

/// Messages of one page of an archive.
const PAGE: &str = "50";

/// The server, which may be at another address after it was started again.
#[derive(Clone)]
pub struct Server {
    /// Where it is.
    pub address: watch::Receiver<SocketAddr>,
    /// Who vouches for it.
    pub trust: Trust,
    /// Who puts messages of the group in order.
    pub home: Home,
    /// Whether people join by themselves, where that is a room.
    pub external: bool,
}

impl Server {
    /// The room that people join the group of by themselves.
    fn open_room(&self) -> Option<String> {
        match &self.home {
            Home::Room(room) if self.external => Some(room.clone()),
            _ => None,
        }
    }
}

/// Who puts messages of a group in order.
#[derive(Clone, Debug)]
pub enum Home {
    /// A room, to whose occupants it sends them.
    Room(String),
    /// An account, which sends them to the accounts of the members.
    Account(String),
}

impl Home {
    fn address(&self) -> &str {
        match self {
            Home::Room(address) | Home::Account(address) => address,
        }
    }
}

/// What came, as it came.
enum Came {
    Arrival(Arrival),
    /// A welcome message that lies elsewhere.
    Lies(String, Lies),
}

/// A device's connection.
pub struct Wire {
    server: Arc<Server>,
    identity: String,
    password: String,
    nick: String,
    client: Option<Client>,
    /// Stanzas sent since acknowledgements were enabled.
    sent: u32,
    arrived: VecDeque<Came>,
    /// Messages of the group that came before what was missed was there: their place is after that.
    early: Vec<Entry>,
    /// Whether what was missed is there.
    entered: bool,
    /// The last id in the account's own archive, for a group whose home is an account; all before it is there.
    kept: Option<String>,
}

impl Wire {
    /// For a device of an account that exists.
    pub fn new(server: &Arc<Server>, identity: &str, password: &str) -> Wire {
        Wire {
            server: Arc::clone(server),
            identity: identity.to_owned(),
            password: password.to_owned(),
            nick: identity.replace(['@', '/'], "."),
            client: None,
            sent: 0,
            arrived: VecDeque::new(),
            early: Vec::new(),
            entered: false,
            kept: None,
        }
    }

    /// Logs in; welcome messages for the device come from now on.
    pub async fn log_in(&mut self) -> Result<(), Trouble> {
        self.connect().await?;
        let here = Element::new("here", MLS).with_attr("device", self.device());
        self.ask("set", None, here).await.map(drop)
    }

    /// Enters the room, if there is one: what was said after the message with this id. What comes later comes from
    /// [`Post::next`], and the first of that may have come from here already.
    pub async fn enter(&mut self, after: Option<&str>) -> Result<Vec<Entry>, Trouble> {
        let after = match &self.server.home {
            Home::Room(_) => {
                self.join().await?;
                after.map(str::to_owned)
            }
            Home::Account(_) => self.kept.clone(),
        };
        let (missed, last) = self.catch_up(after).await?;
        let mut entries = Vec::new();
        for came in std::mem::take(&mut self.arrived) {
            match came {
                Came::Arrival(Arrival::Entry(entry)) => entries.push(entry),
                welcome => self.arrived.push_back(welcome),
            }
        }
        entries.extend(missed);
        entries.append(&mut self.early);
        self.kept = last;
        self.entered = true;
        Ok(entries)
    }

    /// Makes the room of the group, where handshake messages are put in order.
    pub async fn make_room(&mut self) -> Result<(), Trouble> {
        self.join().await?;
        let room = self.server.home.address().to_owned();
        let field = |(name, value): (&str, &str)| {
            let value = Element::new("value", ns::DATA_FORM).with_text(value);
            Element::new("field", ns::DATA_FORM)
                .with_attr("var", name)
                .with_child(value)
        };
        let fields = [
            ("FORM_TYPE", ns::MUC_ROOM_CONFIG),
            ("muc#roomconfig_persistentroom", "1"),
            ("{urn:waxwing:mls:0}ordered", "1"),
            (
                "{urn:waxwing:mls:0}external",
                if self.server.external { "1" } else { "0" },
            ),
        ];
        let form = Element::new("x", ns::DATA_FORM).with_attr("type", "submit");
        let form = form.with_children(fields.map(field));
        let query = Element::new("query", ns::MUC_OWNER).with_child(form);
        self.ask("set", Some(&room), query).await?;
        // Nothing was said there before.
        self.entered = true;
        Ok(())
    }

    fn device(&self) -> &str {
        self.identity
            .split_once('/')
            .map_or("", |(_, device)| device)
    }

    async fn connect(&mut self) -> Result<(), Trouble> {
        self.client = None;
        self.entered = false;
        self.early.clear();
        // Welcome messages are offered again.
        self.arrived
            .retain(|came| matches!(came, Came::Arrival(Arrival::Entry(_))));
        let builder = Client::builder(account_of(&self.identity), &self.password)
            .trust(self.server.trust.clone())
            .resource(self.device())
            .patience(PATIENCE)
            .acks();
        let address = *self.server.address.borrow();
        self.client = Some(builder.connect(address).await.map_err(lost)?);
        self.sent = 0;
        let presence = Element::new("presence", ns::CLIENT);
        self.put(presence).await
    }

    /// Enters the room without history: that comes from the archive.
    async fn join(&mut self) -> Result<(), Trouble> {
        let occupant = format!("{}/{}", self.server.home.address(), self.nick);
        let history = Element::new("history", ns::MUC).with_attr("maxstanzas", "0");
        let enter = Element::new("presence", ns::CLIENT)
            .with_attr("to", &occupant)
            .with_child(Element::new("x", ns::MUC).with_child(history));
        self.put(enter).await?;
        loop {
            let stanza = self.stanza().await?;
            let own = stanza.is("presence", ns::CLIENT) && stanza.attr("from") == Some(&occupant);
            match stanza.attr("type") {
                None if own => return Ok(()),
                Some("error") if own => return Err(wrong("entering the room", &stanza)),
                _ => self.sort(&stanza)?,
            }
        }
    }

    /// What an archive has after the message with this id, and the id of the last (XEP-0313).
    async fn catch_up(
        &mut self,
        mut after: Option<String>,
    ) -> Result<(Vec<Entry>, Option<String>), Trouble> {
        let mut entries = Vec::new();
        loop {
            let (page, fin) = self.page(after.as_deref()).await?;
            entries.extend(page);
            let fin = fin
                .child("fin", ns::MAM)
                .ok_or_else(|| wrong("an archive", &fin))?;
            let last = fin
                .child("set", ns::RSM)
                .and_then(|set| set.child("last", ns::RSM));
            let Some(last) = last else {
                return Ok((entries, after));
            };
            after = Some(last.text().into_owned());
            if fin.attr("complete") == Some("true") {
                return Ok((entries, after));
            }
        }
    }

    async fn page(&mut self, after: Option<&str>) -> Result<(Vec<Entry>, Element), Trouble> {
        let id = random::id();
        let text = |name, text: &str| Element::new(name, ns::RSM).with_text(text);
        let mut set = Element::new("set", ns::RSM).with_child(text("max", PAGE));
        if let Some(after) = after {
            set = set.with_child(text("after", after));
        }
        let query = Element::new("query", ns::MAM)
            .with_attr("queryid", &id)
            .with_child(set);
        let room = match &self.server.home {
            Home::Room(room) => Some(room.clone()),
            Home::Account(_) => None,
        };
        self.put(iq("set", room.as_deref(), &id, query)).await?;
        let mut entries = Vec::new();
        loop {
            let stanza = self.stanza().await?;
            if stanza.is("iq", ns::CLIENT) && stanza.attr("id") == Some(&id) {
                return match stanza.attr("type") {
                    Some("result") => Ok((entries, stanza)),
                    _ => Err(wrong("the archive", &stanza)),
                };
            }
            match stanza.child("result", ns::MAM) {
                Some(result) => entries.extend(self.archived(result)?),
                None => self.sort(&stanza)?,
            }
        }
    }

    async fn ask(
        &mut self,
        kind: &str,
        to: Option<&str>,
        payload: Element,
    ) -> Result<Element, Trouble> {
        let id = random::id();
        self.put(iq(kind, to, &id, payload)).await?;
        let answer = self.answer(&id).await?;
        match answer.attr("type") {
            Some("result") => Ok(answer),
            _ => Err(wrong("a request", &answer)),
        }
    }

    async fn put(&mut self, stanza: Element) -> Result<(), Trouble> {
        let client = self.client.as_mut().ok_or_else(away)?;
        self.sent = self.sent.wrapping_add(1);
        client.send(stanza).await.map_err(lost)
    }

    /// The next stanza, which must come in time.
    async fn stanza(&mut self) -> Result<Element, Trouble> {
        let client = self.client.as_mut().ok_or_else(away)?;
        match client.next(PATIENCE).await {
            Some(stanza) => Ok(stanza),
            None if client.is_over() => Err(away()),
            None => Err(Fault::from("the server does not answer").into()),
        }
    }

    /// Keeps what is of the group or a welcome message; the rest is of no interest here.
    fn sort(&mut self, stanza: &Element) -> Result<(), Trouble> {
        if !stanza.is("message", ns::CLIENT) || stanza.attr("type") == Some("error") {
            return Ok(());
        }
        if let Some(welcome) = stanza.child("welcome", MLS) {
            let id = self.archive_id(stanza.root(), account_of(&self.identity))?;
            self.arrived.push_back(match welcome.attr("url") {
                Some(url) => Came::Lies(id, lies(url, welcome)?),
                None => Came::Arrival(Arrival::Welcome {
                    id,
                    message: decode(welcome)?,
                }),
            });
        } else if let Some(message) = stanza.child("mls", MLS) {
            let message = decode(message)?;
            let id = match &self.server.home {
                Home::Room(room) => self.archive_id(stanza.root(), room)?,
                Home::Account(_) => {
                    let kept = self.archive_id(stanza.root(), account_of(&self.identity))?;
                    if self.entered {
                        self.kept = Some(kept);
                    }
                    stanza.attr("id").unwrap_or_default().to_owned()
                }
            };
            let entry = Entry { id, message };
            match self.entered {
                true => self.arrived.push_back(Came::Arrival(Arrival::Entry(entry))),
                false => self.early.push(entry),
            }
        }
        Ok(())
    }

    /// The id that an archive gave a message (XEP-0359).
    fn archive_id(&self, message: El<'_>, by: &str) -> Result<String, Trouble> {
        let right = |el: &El<'_>| el.is("stanza-id", ns::STANZA_ID) && el.attr("by") == Some(by);
        let id = message
            .children()
            .find(right)
            .and_then(|el| el.attr("id").map(str::to_owned));
        id.ok_or_else(|| Fault::from(format!("a message without an id by {by}")).into())
    }

    /// A message of the group from an archive: in that of an account it has the id that its home gave it.
    fn archived(&self, result: El<'_>) -> Result<Option<Entry>, Trouble> {
        let forwarded = result.child("forwarded", ns::FORWARD);
        let message = forwarded.and_then(|forwarded| forwarded.child("message", ns::CLIENT));
        let Some(message) = message else {
            return Ok(None);
        };
        let Some(sealed) = message.child("mls", MLS) else {
            return Ok(None);
        };
        let id = match &self.server.home {
            Home::Room(_) => result.attr("id"),
            Home::Account(home) if message.attr("from") == Some(home) => message.attr("id"),
            Home::Account(_) => return Ok(None),
        };
        Ok(Some(Entry {
            id: id.unwrap_or_default().to_owned(),
            message: decode(sealed)?,
        }))
    }

    /// Sends to a room: what it sends back has a place in the order.
    async fn send_to_room(
        &mut self,
        room: &str,
        message: &[u8],
        accounts: &Accounts,
    ) -> Result<Answer, Trouble> {
        let id = random::id();
        self.put(sealed(room, &id, message, accounts)).await?;
        loop {
            let stanza = self.stanza().await?;
            let own = stanza.is("message", ns::CLIENT) && stanza.attr("id") == Some(&id);
            match stanza.attr("type") {
                Some("error") if own => return refusal(&stanza),
                _ => self.sort(&stanza)?,
            }
            if own {
                return Ok(Answer::Accepted);
            }
        }
    }

    /// Sends to the account that is the home of the group: the result says that it has a place.
    async fn send_to_account(
        &mut self,
        home: &str,
        message: &[u8],
        accounts: &Accounts,
    ) -> Result<Answer, Trouble> {
        let id = random::id();
        let send = Element::new("send", MLS)
            .with_child(Element::new("mls", MLS).with_text(&STANDARD.encode(message)))
            .with_children(changes(accounts));
        self.put(iq("set", Some(home), &id, send)).await?;
        let answer = self.answer(&id).await?;
        match answer.attr("type") {
            Some("result") => Ok(Answer::Accepted),
            _ => refusal(&answer),
        }
    }

    /// Uploads a message, and says on an element where it lies.
    async fn uploaded(&mut self, element: Element, message: &[u8]) -> Result<Element, Trouble> {
        let domain = account_of(&self.identity).split_once('@');
        let service = format!("upload.{}", domain.map_or("", |(_, domain)| domain));
        let size = message.len().to_string();
        let wish = Element::new("request", ns::HTTP_UPLOAD)
            .with_attr("filename", "welcome.mls")
            .with_attr("size", &size);
        let answer = self.ask("get", Some(&service), wish).await?;
        let slot = answer.child("slot", ns::HTTP_UPLOAD);
        let url = |name| slot?.child(name, ns::HTTP_UPLOAD)?.attr("url");
        let (Some(put), Some(get)) = (url("put"), url("get")) else {
            return Err(wrong("a slot", &answer));
        };
        web::put(&self.server.trust, put, message).await?;
        let hash = Element::new("hash", ns::HASHES)
            .with_attr("algo", "sha-256")
            .with_text(&STANDARD.encode(Sha256::digest(message)));
        Ok(element
            .with_attr("url", get)
            .with_attr("size", &size)
            .with_child(hash))
    }

    async fn answer(&mut self, id: &str) -> Result<Element, Trouble> {
        loop {
            let stanza = self.stanza().await?;
            if stanza.is("iq", ns::CLIENT) && stanza.attr("id") == Some(id) {
                return Ok(stanza);
            }
            self.sort(&stanza)?;
        }
    }
}

impl Post for Wire {
    async fn come(&mut self, after: Option<&str>) -> Result<Vec<Entry>, Trouble> {
        self.log_in().await?;
        self.enter(after).await
    }

    async fn go(&mut self) {
        if let Some(client) = self.client.take() {
            // Whether it closes in time or not, it is gone.
            let _ = client.close().await;
        }
    }

    async fn found(&mut self, group: &[u8]) -> Result<(), Trouble> {
        let Home::Account(home) = self.server.home.clone() else {
            return Ok(());
        };
        let create = Element::new("create", MLS).with_attr("group", &STANDARD.encode(group));
        self.ask("set", Some(&home), create).await.map(drop)
    }

    async fn publish(&mut self, packages: &[Vec<u8>]) -> Result<(), Trouble> {
        let package =
            |bytes: &Vec<u8>| Element::new("package", MLS).with_text(&STANDARD.encode(bytes));
        let publish = Element::new("publish", MLS)
            .with_attr("device", self.device())
            .with_children(packages.iter().map(package));
        self.ask("set", None, publish).await.map(drop)
    }

    async fn take(&mut self, account: &str) -> Result<Vec<Vec<u8>>, Trouble> {
        let answer = self
            .ask("set", Some(account), Element::new("take", MLS))
            .await?;
        let packages = answer
            .child("packages", MLS)
            .into_iter()
            .flat_map(El::children);
        packages
            .filter(|el| el.is("package", MLS))
            .map(decode)
            .collect()
    }

    async fn send(&mut self, message: &[u8], accounts: &Accounts) -> Result<Answer, Trouble> {
        match self.server.home.clone() {
            Home::Room(room) => self.send_to_room(&room, message, accounts).await,
            Home::Account(home) => self.send_to_account(&home, message, accounts).await,
        }
    }

    async fn keep_state(&mut self, state: &[u8]) -> Result<(), Trouble> {
        let Some(room) = self.server.open_room() else {
            return Ok(());
        };
        let info = Element::new("group-info", MLS).with_text(&STANDARD.encode(state));
        let id = random::id();
        self.put(iq("set", Some(&room), &id, info)).await?;
        let answer = self.answer(&id).await?;
        let error = answer.child("error", ns::CLIENT);
        // Another commit came meanwhile, or whoever sent it.
        let overtaken = error.is_some_and(|error| {
            ["conflict", "forbidden"]
                .iter()
                .any(|name| error.has_child(name, ns::STANZA_ERRORS))
        });
        match answer.attr("type") == Some("result") || overtaken {
            true => Ok(()),
            false => Err(wrong("the state of the group", &answer)),
        }
    }

    async fn state(&mut self) -> Result<Option<Vec<u8>>, Trouble> {
        let Some(room) = self.server.open_room() else {
            return Ok(None);
        };
        let id = random::id();
        let ask = Element::new("group-info", MLS);
        self.put(iq("get", Some(&room), &id, ask)).await?;
        let answer = self.answer(&id).await?;
        if let Some(info) = answer.child("group-info", MLS) {
            return decode(info).map(Some);
        }
        let error = answer.child("error", ns::CLIENT);
        match error.is_some_and(|error| error.has_child("item-not-found", ns::STANZA_ERRORS)) {
            true => Ok(None),
            false => Err(wrong("a question for the state of the group", &answer)),
        }
    }

    async fn welcome(&mut self, identity: &str, welcome: &[u8]) -> Result<(), Trouble> {
        let device = identity.split_once('/').map_or("", |(_, device)| device);
        let content = Element::new("welcome", MLS)
            .with_attr("device", device)
            .with_attr("home", self.server.home.address());
        let content = match welcome.len() > LARGE {
            true => self.uploaded(content, welcome).await?,
            false => content.with_text(&STANDARD.encode(welcome)),
        };
        let message = Element::new("message", ns::CLIENT)
            .with_attr("to", account_of(identity))
            .with_attr("id", &random::id())
            .with_child(content)
            .with_child(Element::new("store", ns::HINTS));
        self.put(message).await?;
        // What is acknowledged is kept.
        let client = self.client.as_mut().ok_or_else(away)?;
        match client.request_ack().await.map_err(lost)? {
            handled if handled == self.sent => Ok(()),
            handled => {
                Err(Fault::from(format!("{handled} of {} stanzas were handled", self.sent)).into())
            }
        }
    }

    async fn received(&mut self, id: &str) -> Result<(), Trouble> {
        let received = Element::new("received", MLS)
            .with_attr("device", self.device())
            .with_attr("id", id);
        let id = random::id();
        self.put(iq("set", None, &id, received)).await?;
        let answer = self.answer(&id).await?;
        let error = answer.child("error", ns::CLIENT);
        // It may come twice, and be told before a connection is lost.
        let known = error.is_some_and(|error| error.has_child("item-not-found", ns::STANZA_ERRORS));
        match answer.attr("type") == Some("result") || known {
            true => Ok(()),
            false => Err(wrong("a welcome message that was received", &answer)),
        }
    }

    async fn next(&mut self) -> Result<Arrival, Trouble> {
        loop {
            // It stays where it is until it is there, as the wait may be given up.
            if let Some(Came::Lies(_, lies)) = self.arrived.front() {
                let message = web::get(&self.server.trust, lies).await?;
                if let Some(Came::Lies(id, _)) = self.arrived.pop_front() {
                    return Ok(Arrival::Welcome { id, message });
                }
            }
            if let Some(Came::Arrival(arrival)) = self.arrived.pop_front() {
                return Ok(arrival);
            }
            let client = self.client.as_mut().ok_or_else(away)?;
            match client.next(PATIENCE).await {
                Some(stanza) => self.sort(&stanza)?,
                None if client.is_over() => return Err(away()),
                None => {}
            }
        }
    }
}
