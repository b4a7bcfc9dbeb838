//! A small XMPP client for examples, tests and load, built on waxwing's own reading and writing of
//! XML and, where it can be, on somebody else's SASL.
//!
//! Not a part of the library: programs include it with `#[path]`.
#![allow(dead_code)] // each program uses its own part of it

mod component;
mod connection;
mod error;
mod login;
mod mechanism;
mod tls;
mod token;
mod websocket;

use std::net::SocketAddr;
use std::time::Duration;

pub use connection::{Connection, Event};
pub use error::Error;
pub use mechanism::Binding;
pub use tls::Trust;
pub use token::Token;

use waxwing::proto::{Jid, PresenceType, Stanza, StanzaError, StreamError, ns};
use waxwing::runtime::random;
use waxwing::xml::{self, Element};

/// How to get from TCP to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// STARTTLS (RFC 6120 §5).
    StartTls,
    /// TLS from the first byte (XEP-0368).
    Direct,
    /// None at all, for loopback.
    Plain,
    /// A WebSocket over TLS (RFC 7395).
    WebSocket,
}

/// What a client is to do; the methods say it.
#[derive(Clone)]
pub struct Builder {
    jid: String,
    password: String,
    security: Security,
    trust: Option<Trust>,
    mechanism: Option<String>,
    binding: Binding,
    sasl2: bool,
    resource: Option<String>,
    acks: bool,
    resumable: bool,
    resume: Option<(String, u32)>,
    client_id: String,
    tokens: token::Wish,
    pipelined: bool,
    config_version: Option<String>,
    inline: Vec<Element>,
    patience: Duration,
}

impl Builder {
    /// Whom to believe to be the server; needed for TLS.
    pub fn trust(mut self, trust: Trust) -> Builder {
        self.trust = Some(trust);
        self
    }

    /// Other than STARTTLS.
    pub fn security(mut self, security: Security) -> Builder {
        self.security = security;
        self
    }

    /// This SASL mechanism and no other.
    pub fn mechanism(mut self, name: &str) -> Builder {
        self.mechanism = Some(name.to_owned());
        self
    }

    /// Channel binding, for SCRAM.
    pub fn binding(mut self, binding: Binding) -> Builder {
        self.binding = binding;
        self
    }

    /// SASL2 with Bind 2 instead of SASL and bind.
    pub fn sasl2(mut self) -> Builder {
        self.sasl2 = true;
        self
    }

    /// The resource to ask for; with Bind 2 the tag that becomes a part of it.
    pub fn resource(mut self, resource: &str) -> Builder {
        self.resource = Some(resource.to_owned());
        self
    }

    /// Stream management (XEP-0198): answers the server's requests.
    pub fn acks(mut self) -> Builder {
        self.acks = true;
        self
    }

    /// Stream management with resumption asked for.
    pub fn resumable(mut self) -> Builder {
        self.acks = true;
        self.resumable = true;
        self
    }

    /// Takes up the session of this id, of which `handled` stanzas came; if it is not there any
    /// more, binds.
    pub fn resume(mut self, id: &str, handled: u32) -> Builder {
        self.resume = Some((id.to_owned(), handled));
        self.resumable()
    }

    /// Another id of the client (XEP-0388 user-agent) than all others have.
    pub fn client_id(mut self, id: &str) -> Builder {
        self.client_id = id.to_owned();
        self
    }

    /// Asks for a token for this mechanism (XEP-0484).
    pub fn want_token(mut self, mechanism: &str) -> Builder {
        self.tokens.request = Some(mechanism.to_owned());
        self.sasl2()
    }

    /// Logs in with a token.
    pub fn token(mut self, token: &Token) -> Builder {
        self.tokens.with = Some(token.clone());
        self.sasl2()
    }

    /// Counts the uses of the token.
    pub fn count(mut self, count: u64) -> Builder {
        self.tokens.count = Some(count);
        self
    }

    /// The token is to be good no longer.
    pub fn invalidate(mut self) -> Builder {
        self.tokens.invalidate = true;
        self
    }

    /// Sends header and authentication at once, without knowing what is offered; with what names
    /// the features that are expected, if that is known (XEP-0509).
    pub fn pipelined(mut self, config_version: Option<&str>) -> Builder {
        self.pipelined = true;
        self.config_version = config_version.map(str::to_owned);
        self.sasl2()
    }

    /// Asks for this too when it binds (XEP-0386).
    pub fn inline(mut self, wish: Element) -> Builder {
        self.inline.push(wish);
        self.sasl2()
    }

    /// How long to wait for an answer, instead of ten seconds.
    pub fn patience(mut self, patience: Duration) -> Builder {
        self.patience = patience;
        self
    }

    /// Connects, secures the stream, logs in and binds.
    pub async fn connect(self, addr: SocketAddr) -> Result<Client, Error> {
        let patience = self.patience;
        let connecting = async {
            let mut client = self.open(addr).await?;
            client.log_in().await?;
            Ok(client)
        };
        match tokio::time::timeout(3 * patience, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(Error::Timeout("the login".to_owned())),
        }
    }

    /// Connects, with direct TLS does the handshake, and sends nothing: the rest is up to you.
    pub async fn open(self, addr: SocketAddr) -> Result<Client, Error> {
        let jid = Jid::parse(&self.jid)?;
        let mut connection = Connection::open(addr).await?;
        match self.security {
            Security::Direct => connection.secure(jid.domain(), &self.believed()?).await?,
            Security::WebSocket => {
                let trust = self.believed()?;
                connection.open_websocket(jid.domain(), &trust).await?;
            }
            Security::StartTls | Security::Plain => {}
        }
        Ok(Client {
            jid,
            stream_id: None,
            handled: None,
            acked: None,
            session: None,
            resumed: None,
            token: None,
            success: None,
            features: None,
            stream_error: None,
            over: false,
            connection,
            settings: self,
        })
    }

    fn believed(&self) -> Result<Trust, Error> {
        let trust = self.trust.clone();
        trust.ok_or_else(|| Error::NotOffered("anybody to trust".to_owned()))
    }
}

/// A client of one stream.
pub struct Client {
    /// Its own address; the full one once bound.
    pub jid: Jid,
    /// The id of the server's stream header.
    pub stream_id: Option<String>,
    /// With stream management, how many stanzas have come since it was enabled.
    pub handled: Option<u32>,
    /// The last count that the server acknowledged.
    pub acked: Option<u32>,
    /// The id to resume the session by.
    pub session: Option<String>,
    /// The answer to the wish to resume.
    pub resumed: Option<Element>,
    /// A token for the next time.
    pub token: Option<Token>,
    /// The `<success/>` of SASL2.
    pub success: Option<Element>,
    /// What was offered to log in with.
    pub features: Option<Element>,
    /// The error the stream ended with.
    pub stream_error: Option<StreamError>,
    over: bool,
    /// What it all goes through, for what is not foreseen here.
    pub connection: Connection,
    settings: Builder,
}

impl Client {
    /// A client for this account; for ANONYMOUS a domain and an empty password.
    pub fn builder(jid: &str, password: &str) -> Builder {
        Builder {
            jid: jid.to_owned(),
            password: password.to_owned(),
            security: Security::StartTls,
            trust: None,
            mechanism: None,
            binding: Binding::None,
            sasl2: false,
            resource: None,
            acks: false,
            resumable: false,
            resume: None,
            client_id: "d4565fa7-4d72-4749-b3d3-740edbf87770".to_owned(),
            tokens: token::Wish::default(),
            pipelined: false,
            config_version: None,
            inline: Vec::new(),
            patience: Duration::from_secs(10),
        }
    }

    /// Sends a stanza, an element, or text as it is.
    pub async fn send(&mut self, what: impl Outgoing) -> Result<(), Error> {
        self.connection.send(&what.bytes()).await
    }

    /// The next top-level element, if one comes in time; `None` too when the stream has ended.
    pub async fn next(&mut self, within: Duration) -> Option<Element> {
        while !self.over {
            match self.connection.next(within).await {
                Ok(Some(Event::Element(el))) => {
                    if !self.heed(&el).await {
                        return Some(el);
                    }
                }
                Ok(Some(Event::Header(_))) => {}
                Ok(Some(Event::Footer | Event::Closed)) | Err(_) => self.over = true,
                Ok(None) => return None,
            }
        }
        None
    }

    /// Whether the stream has ended and everything that came was taken.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The next element, which `wanted` must accept.
    pub async fn expect(
        &mut self,
        what: &str,
        wanted: impl FnOnce(&Element) -> bool,
    ) -> Result<Element, Error> {
        match self.next(self.settings.patience).await {
            Some(el) if wanted(&el) => Ok(el),
            Some(el) => Err(login::unexpected(what, &Event::Element(el))),
            None => Err(self.nothing(what)),
        }
    }

    /// The first element that `wanted` accepts; what else comes stays for later.
    pub async fn wait_for(
        &mut self,
        what: &str,
        wanted: impl Fn(&Element) -> bool,
    ) -> Result<Element, Error> {
        let fits = |event: &Event| matches!(event, Event::Element(el) if wanted(el));
        match self.connection.find(self.settings.patience, fits).await? {
            Some(Event::Element(el)) => {
                self.heed(&el).await;
                Ok(el)
            }
            _ => Err(self.nothing(what)),
        }
    }

    /// Nothing comes for so long; an error names what came.
    pub async fn expect_nothing(&mut self, during: Duration) -> Result<(), Error> {
        match self.next(during).await {
            None => Ok(()),
            Some(el) => Err(login::unexpected("nothing", &Event::Element(el))),
        }
    }

    /// Sends an iq and waits for its result; an error becomes [`Error::Refused`].
    pub async fn request(
        &mut self,
        kind: &str,
        to: Option<&str>,
        payload: Element,
    ) -> Result<Element, Error> {
        let id = random::id();
        let mut iq = Element::new("iq", ns::CLIENT)
            .with_attr("type", kind)
            .with_attr("id", &id)
            .with_child(payload);
        iq.set_attr("to", to);
        self.send(iq).await?;
        let answers = |el: &Element| {
            let answer = matches!(el.attr("type"), Some("result" | "error"));
            el.is("iq", ns::CLIENT) && answer && el.attr("id") == Some(&id)
        };
        let answer = self.wait_for("the answer to an iq", answers).await?;
        if answer.attr("type") == Some("result") {
            return Ok(answer);
        }
        let error = answer.child("error", ns::CLIENT).map(StanzaError::parse);
        Err(error.map_or_else(
            || login::unexpected("an error", &Event::Element(answer.clone())),
            Error::Refused,
        ))
    }

    /// Fetches the roster: its items. From here the server sends roster pushes too.
    pub async fn roster(&mut self) -> Result<Vec<Element>, Error> {
        let result = self
            .request("get", None, Element::new("query", ns::ROSTER))
            .await?;
        let query = result.child("query", ns::ROSTER);
        Ok(query
            .into_iter()
            .flat_map(|q| q.children())
            .map(|item| item.to_element())
            .collect())
    }

    /// Becomes available.
    pub async fn presence(&mut self) -> Result<(), Error> {
        self.send(Stanza::presence(PresenceType::Available)).await
    }

    /// Enables stream management.
    pub async fn enable_acks(&mut self) -> Result<Element, Error> {
        self.send(self.enable_element()).await?;
        let answer = self
            .wait_for("enabled", |el| el.ns() == ns::SM && el.name() != "r")
            .await?;
        if !answer.is("enabled", ns::SM) {
            return Err(login::unexpected("enabled", &Event::Element(answer)));
        }
        self.enabled(answer.root());
        Ok(answer)
    }

    fn enable_element(&self) -> Element {
        let enable = Element::new("enable", ns::SM);
        match self.settings.resumable {
            true => enable.with_attr("resume", "true"),
            false => enable,
        }
    }

    fn enabled(&mut self, enabled: xml::El<'_>) {
        self.handled = Some(0);
        self.session = enabled.attr("id").map(str::to_owned);
    }

    /// The server's word on how much it handled, when it resumed the session or could not.
    pub fn resumed_h(&self) -> Option<u32> {
        self.resumed.as_ref()?.attr("h")?.parse().ok()
    }

    /// Whether the session was resumed.
    pub fn is_resumed(&self) -> bool {
        let answer = self.resumed.as_ref();
        answer.is_some_and(|answer| answer.is("resumed", ns::SM))
    }

    /// Cuts the connection without a word; what it takes to resume.
    pub fn cut(self) -> (String, u32) {
        (
            self.session.unwrap_or_default(),
            self.handled.unwrap_or_default(),
        )
    }

    fn resume_element(&self) -> Option<Element> {
        let (id, handled) = self.settings.resume.as_ref()?;
        let resume = Element::new("resume", ns::SM).with_attr("previd", id);
        Some(resume.with_attr("h", &handled.to_string()))
    }

    fn heard_resumed(&mut self, answer: Element) {
        if let Some((id, handled)) = &self.settings.resume
            && answer.is("resumed", ns::SM)
        {
            self.session = Some(id.clone());
            self.handled = Some(*handled);
        }
        self.resumed = Some(answer);
    }

    /// Asks how much the server has handled and waits for the answer.
    pub async fn request_ack(&mut self) -> Result<u32, Error> {
        self.acked = None;
        self.send(Element::new("r", ns::SM)).await?;
        let ack = self.wait_for("an ack", |el| el.is("a", ns::SM)).await?;
        self.acked
            .ok_or_else(|| login::unexpected("an ack with h", &Event::Element(ack)))
    }

    /// Closes the stream and waits for the server to do the same.
    pub async fn close(mut self) -> Result<(), Error> {
        self.send("</stream:stream>").await?;
        let over = |event: &Event| matches!(event, Event::Footer | Event::Closed);
        match self.connection.find(self.settings.patience, over).await? {
            Some(_) => Ok(()),
            None => Err(Error::Timeout("the end of the stream".to_owned())),
        }
    }

    /// The next piece of the stream, which must come.
    pub async fn event(&mut self, wanted: &str) -> Result<Event, Error> {
        let event = self.connection.next(self.settings.patience).await?;
        event.ok_or_else(|| Error::Timeout(wanted.to_owned()))
    }

    /// Counts stanzas, answers ack requests, keeps acks and the stream error; true if the element
    /// was nothing but that.
    async fn heed(&mut self, el: &Element) -> bool {
        match (el.ns(), el.name()) {
            (ns::CLIENT, _) => self.handled = self.handled.map(|h| h.wrapping_add(1)),
            (ns::STREAM, "error") => self.stream_error = Some(StreamError::parse(el.root())),
            (ns::SM, "a") => self.acked = el.attr("h").and_then(|h| h.parse().ok()),
            (ns::SM, "r") => {
                if let Some(handled) = self.handled {
                    let ack = Element::new("a", ns::SM).with_attr("h", &handled.to_string());
                    return self.send(ack).await.is_ok();
                }
            }
            _ => {}
        }
        false
    }

    fn nothing(&self, wanted: &str) -> Error {
        match &self.stream_error {
            Some(error) => Error::Stream(error.clone()),
            None => Error::Timeout(wanted.to_owned()),
        }
    }
}

/// What a client can send.
pub trait Outgoing {
    /// Its bytes in a stream whose default namespace is `jabber:client`.
    fn bytes(&self) -> Vec<u8>;
}

impl Outgoing for Element {
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        xml::write::element(self.root(), ns::CLIENT, &mut out);
        out
    }
}

impl Outgoing for Stanza {
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(None, &mut out);
        out
    }
}

impl Outgoing for &str {
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}
