//! From an open connection to a bound session: header, STARTTLS, SASL or SASL2, binding.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sasl::client::Mechanism;
use waxwing::proto::{Jid, ns};
use waxwing::xml::{El, Element};

use super::connection::Event;
use super::error::Error;
use super::mechanism::{Binding, mechanism, sasl_error};
use super::token::Ht;
use super::{Client, Outgoing, Security};

/// The mechanisms a client takes by itself, best first.
const BY_STRENGTH: [&str; 3] = ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"];

impl Client {
    /// Everything from the first byte to the bound resource.
    pub(super) async fn log_in(&mut self) -> Result<(), Error> {
        if self.settings.pipelined {
            return self.log_in_at_once().await;
        }
        let mut features = self.open_stream().await?;
        if self.settings.security == Security::StartTls {
            features = self.start_tls().await?;
        }
        self.features = Some(features.clone());
        if self.settings.sasl2 {
            self.authenticate2(&features).await?;
        } else {
            let features = self.authenticate(&features).await?;
            if !self.resume().await? {
                self.bind(&features).await?;
            }
        }
        Ok(())
    }

    /// One flight: header and `<authenticate/>`.
    async fn log_in_at_once(&mut self) -> Result<(), Error> {
        if self.settings.security == Security::StartTls {
            self.open_stream().await?;
            self.secure().await?;
        }
        let (name, mut mechanism) = self.choose(None)?;
        let initial = STANDARD.encode(mechanism.initial());
        let mut flight = self.header().into_bytes();
        flight.extend(self.authenticate2_element(&name, &initial).bytes());
        self.connection.send(&flight).await?;
        self.features = Some(self.opened().await?);
        self.answered2(&name, mechanism).await?;
        Ok(())
    }

    /// Asks to resume, if that is wished; whether the session goes on.
    async fn resume(&mut self) -> Result<bool, Error> {
        let Some(resume) = self.resume_element() else {
            return Ok(false);
        };
        self.send(resume).await?;
        let answer = self.next_top("an answer to resume").await?;
        if answer.ns() != ns::SM {
            return Err(unexpected("resumed", &Event::Element(answer)));
        }
        self.heard_resumed(answer);
        Ok(self.is_resumed())
    }

    /// Sends a stream header and returns the features that answer it.
    pub async fn open_stream(&mut self) -> Result<Element, Error> {
        let header = self.header();
        self.send(header.as_str()).await?;
        self.opened().await
    }

    fn header(&self) -> String {
        format!(
            "<?xml version='1.0'?><stream:stream to='{}' version='1.0' xml:lang='en' \
             xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
            self.jid.domain()
        )
    }

    async fn opened(&mut self) -> Result<Element, Error> {
        match self.event("a stream header").await? {
            Event::Header(header) => self.stream_id = header.attr("id").map(str::to_owned),
            other => return Err(unexpected("a stream header", &other)),
        }
        self.top("features", ns::STREAM).await
    }

    /// Negotiates STARTTLS and opens the stream anew (RFC 6120 §5).
    pub async fn start_tls(&mut self) -> Result<Element, Error> {
        self.secure().await?;
        self.open_stream().await
    }

    async fn secure(&mut self) -> Result<(), Error> {
        self.send(Element::new("starttls", ns::TLS)).await?;
        self.top("proceed", ns::TLS).await?;
        let (domain, trust) = (self.jid.domain().to_owned(), self.settings.believed()?);
        self.connection.secure(&domain, &trust).await
    }

    /// SASL as in RFC 6120 §6; returns the features of the restarted stream.
    pub async fn authenticate(&mut self, features: &Element) -> Result<Element, Error> {
        let offered = features.child("mechanisms", ns::SASL);
        let (name, mut mechanism) = self.choose(offered)?;
        let initial = match mechanism.initial() {
            empty if empty.is_empty() => "=".to_owned(),
            initial => STANDARD.encode(initial),
        };
        let auth = Element::new("auth", ns::SASL).with_attr("mechanism", &name);
        self.send(auth.with_text(&initial)).await?;
        loop {
            let answer = self.next_top("an answer to SASL").await?;
            match (answer.ns(), answer.name()) {
                (ns::SASL, "challenge") => {
                    let response = mechanism
                        .response(&decode(answer.root())?)
                        .map_err(sasl_error)?;
                    let response =
                        Element::new("response", ns::SASL).with_text(&STANDARD.encode(response));
                    self.send(response).await?;
                }
                (ns::SASL, "success") => {
                    check_success(mechanism.as_mut(), &name, &decode(answer.root())?)?;
                    return self.open_stream().await;
                }
                (ns::SASL, "failure") => return Err(failure(answer.root())),
                _ => return Err(unexpected("an answer to SASL", &Event::Element(answer))),
            }
        }
    }

    /// Binds a resource (RFC 6120 §7) and, if wanted, enables stream management.
    pub async fn bind(&mut self, features: &Element) -> Result<(), Error> {
        if !features.has_child("bind", ns::BIND) {
            return Err(Error::NotOffered("resource binding".to_owned()));
        }
        let mut bind = Element::new("bind", ns::BIND);
        if let Some(resource) = &self.settings.resource {
            bind = bind.with_child(Element::new("resource", ns::BIND).with_text(resource));
        }
        let result = self.request("set", None, bind).await?;
        let bound = result
            .child("bind", ns::BIND)
            .and_then(|bind| bind.child("jid", ns::BIND));
        let bound =
            bound.ok_or_else(|| unexpected("a bound jid", &Event::Element(result.clone())))?;
        self.jid = Jid::parse(&bound.text())?;
        if self.settings.acks {
            self.enable_acks().await?;
        }
        Ok(())
    }

    /// SASL2 with Bind 2 in one exchange (XEP-0388, XEP-0386); returns the features that follow.
    pub async fn authenticate2(&mut self, features: &Element) -> Result<Element, Error> {
        let offered = features.child("authentication", ns::SASL2);
        let (name, mut mechanism) = self.choose(offered)?;
        let initial = STANDARD.encode(mechanism.initial());
        self.send(self.authenticate2_element(&name, &initial))
            .await?;
        self.answered2(&name, mechanism).await
    }

    async fn answered2(
        &mut self,
        name: &str,
        mut mechanism: Box<dyn Mechanism + Send>,
    ) -> Result<Element, Error> {
        loop {
            let answer = self.next_top("an answer to SASL2").await?;
            match (answer.ns(), answer.name()) {
                (ns::SASL2, "challenge") => {
                    let response = mechanism
                        .response(&decode(answer.root())?)
                        .map_err(sasl_error)?;
                    let response =
                        Element::new("response", ns::SASL2).with_text(&STANDARD.encode(response));
                    self.send(response).await?;
                }
                (ns::SASL2, "success") => {
                    let data = answer.child("additional-data", ns::SASL2);
                    let data = data.map(decode).transpose()?.unwrap_or_default();
                    check_success(mechanism.as_mut(), name, &data)?;
                    self.success = Some(answer.clone());
                    self.token = self.settings.tokens.given(answer.root());
                    let jid = answer.child("authorization-identifier", ns::SASL2);
                    if let Some(jid) = jid {
                        self.jid = Jid::parse(&jid.text())?;
                    }
                    for name in ["resumed", "failed"] {
                        if let Some(resumed) = answer.child(name, ns::SM) {
                            self.heard_resumed(resumed.to_element());
                        }
                    }
                    if self.is_resumed() {
                        return Ok(Element::new("features", ns::STREAM));
                    }
                    let bound = answer.child("bound", ns::BIND2);
                    if let Some(enabled) = bound.and_then(|bound| bound.child("enabled", ns::SM)) {
                        self.enabled(enabled);
                    }
                    return self.top("features", ns::STREAM).await;
                }
                (ns::SASL2, "failure") => return Err(failure(answer.root())),
                _ => return Err(unexpected("an answer to SASL2", &Event::Element(answer))),
            }
        }
    }

    fn authenticate2_element(&self, mechanism: &str, initial: &str) -> Element {
        let leaf = |name, ns, text: &str| Element::new(name, ns).with_text(text);
        let agent = Element::new("user-agent", ns::SASL2)
            .with_attr("id", &self.settings.client_id)
            .with_child(leaf("software", ns::SASL2, "waxwing client"));
        let tag = self.settings.resource.as_deref().unwrap_or("client");
        let mut bind = Element::new("bind", ns::BIND2).with_child(leaf("tag", ns::BIND2, tag));
        if self.settings.acks {
            bind = bind.with_child(self.enable_element());
        }
        bind = bind.with_children(self.settings.inline.iter().cloned());
        let version = self.settings.config_version.as_ref().map(|version| {
            Element::new("config-version", ns::PIPELINING).with_attr("value", version)
        });
        Element::new("authenticate", ns::SASL2)
            .with_attr("mechanism", mechanism)
            .with_child(leaf("initial-response", ns::SASL2, initial))
            .with_child(agent)
            .with_children(self.resume_element())
            .with_child(bind)
            .with_children(self.settings.tokens.elements())
            .with_children(version)
    }

    /// The mechanism asked for, offered or not, or the best one that is offered.
    fn choose(
        &self,
        offered: Option<El<'_>>,
    ) -> Result<(String, Box<dyn Mechanism + Send>), Error> {
        let (user, tls) = (self.jid.node().unwrap_or_default(), self.connection.tls());
        if let Some(token) = &self.settings.tokens.with {
            let ht = Ht::new(user, token, tls)?;
            return Ok((token.mechanism.clone(), Box::new(ht)));
        }
        let offered: Vec<String> = offered
            .into_iter()
            .flat_map(|list| list.children().filter(|child| child.name() == "mechanism"))
            .map(|child| child.text().into_owned())
            .collect();
        let binding = self.settings.binding;
        let plus = matches!(binding, Binding::Exporter | Binding::EndPoint);
        let best = || {
            let suffix = if plus { "-PLUS" } else { "" };
            let names = BY_STRENGTH.iter().map(|name| format!("{name}{suffix}"));
            names.into_iter().find(|name| offered.contains(name))
        };
        let name = self.settings.mechanism.clone().or_else(best);
        let name =
            name.ok_or_else(|| Error::NotOffered("a mechanism that is safe to use".to_owned()))?;
        let chosen = mechanism(&name, user, &self.settings.password, binding, tls)?;
        Ok((name, chosen))
    }

    /// The next top-level element, which must be this one.
    pub async fn top(&mut self, name: &str, ns: &str) -> Result<Element, Error> {
        let el = self.next_top(name).await?;
        match el.is(name, ns) {
            true => Ok(el),
            false => Err(unexpected(name, &Event::Element(el))),
        }
    }

    async fn next_top(&mut self, wanted: &str) -> Result<Element, Error> {
        match self.event(wanted).await? {
            Event::Element(el) if el.is("error", ns::STREAM) => {
                Err(Error::Stream(waxwing::proto::StreamError::parse(el.root())))
            }
            Event::Element(el) => Ok(el),
            other => Err(unexpected(wanted, &other)),
        }
    }
}

pub fn unexpected(wanted: &str, got: &Event) -> Error {
    Error::Unexpected {
        wanted: wanted.to_owned(),
        got: format!("{got:?}"),
    }
}

fn decode(el: El<'_>) -> Result<Vec<u8>, Error> {
    match &*el.text() {
        "=" => Ok(Vec::new()),
        text => STANDARD.decode(text).map_err(sasl_error),
    }
}

/// The server must prove itself where the mechanism has it do so.
fn check_success(mechanism: &mut dyn Mechanism, name: &str, data: &[u8]) -> Result<(), Error> {
    if name.starts_with("SCRAM-") || name.starts_with("HT-") {
        mechanism.success(data).map_err(sasl_error)?;
    }
    Ok(())
}

fn failure(el: El<'_>) -> Error {
    let condition = el.children().find(|child| child.name() != "text");
    Error::Login(
        condition
            .map_or("no condition", |child| child.name())
            .to_owned(),
    )
}
