//! A dialogue, played.

use std::collections::HashMap;
use std::time::Duration;

use waxwing::proto::{Jid, PresenceType, Stanza, ns};
use waxwing::xml::Element;

use super::pattern::{Variables, matches, substitute};
use super::script::{Action, Dialogue, Step};
use crate::support::client::{Builder, Client, Error, Event};
use crate::support::server::Running;

/// How long nothing must come where nothing may.
const QUIET: Duration = Duration::from_millis(250);
/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(5);

/// Plays a dialogue; the failure names the line.
pub async fn play(server: Running, dialogue: Dialogue) -> Result<(), String> {
    let mut stage = Stage {
        variables: Variables::from([("host".to_owned(), server.host.clone())]),
        server,
        accounts: HashMap::new(),
        sessions: HashMap::new(),
        ignored: Vec::new(),
        tolerated: Vec::new(),
    };
    for name in &dialogue.accounts {
        let jid = stage.server.account(name).await?;
        stage.variables.insert(name.clone(), jid.to_string());
        stage.accounts.insert(name.clone(), jid);
    }
    for step in dialogue.steps {
        let line = step.line;
        stage
            .step(step)
            .await
            .map_err(|failure| format!("{line}: {failure}"))?;
    }
    stage
        .end()
        .await
        .map_err(|failure| format!("end: {failure}"))
}

struct Stage {
    server: Running,
    variables: Variables,
    accounts: HashMap<String, Jid>,
    sessions: HashMap<String, Client>,
    /// Who ignores what.
    ignored: Vec<(String, Element)>,
    /// Who may receive what, once.
    tolerated: Vec<(String, Element)>,
}

impl Stage {
    async fn step(&mut self, step: Step) -> Result<(), String> {
        let who = step.who.as_str();
        match step.action {
            Action::Connect => self.connect(who).await,
            Action::GoOnline => self.go_online(who).await,
            Action::OpenConnection => self.open(who).await,
            Action::OpenStream => self.open_stream(who).await,
            Action::Secure => Ok(self.client(who)?.start_tls().await.map(drop)?),
            Action::LogIn => self.log_in(who).await,
            Action::Send(text) => {
                let text = substitute(&text, &self.variables);
                Ok(self.client(who)?.send(text.as_str()).await?)
            }
            Action::Receive(patterns) => self.receive(who, patterns).await,
            Action::ReceiveAnyOrder(patterns) => self.receive_any_order(who, patterns).await,
            Action::ReceiveHeader(pattern) => self.receive_header(who, &pattern).await,
            Action::MayReceive(patterns) => {
                let patterns = patterns
                    .into_iter()
                    .map(|pattern| (who.to_owned(), pattern));
                self.tolerated.extend(patterns);
                Ok(())
            }
            Action::ReceiveNothing => self.nothing(who, QUIET).await,
            Action::StreamError(condition) => self.stream_error(who, &condition).await,
            Action::Closed => self.closed(who).await,
            Action::Ignore(patterns) => {
                let patterns = patterns
                    .into_iter()
                    .map(|pattern| (who.to_owned(), pattern));
                self.ignored.extend(patterns);
                Ok(())
            }
            Action::Leave => Ok(self.remove(who)?.close().await?),
            Action::CutOff => self.remove(who).map(drop),
            Action::Contacts(other) => {
                self.follow(who, &other).await?;
                self.follow(&other, who).await
            }
            Action::Follow(other) => self.follow(who, &other).await,
            Action::Ask(other) => self.ask(who, &other).await,
        }
    }

    /// Nobody may have received more than was mentioned.
    async fn end(&mut self) -> Result<(), String> {
        let sessions: Vec<String> = self.sessions.keys().cloned().collect();
        let mut wait = QUIET;
        for who in sessions {
            self.nothing(&who, wait).await?;
            wait = Duration::from_millis(10);
        }
        Ok(())
    }

    async fn open(&mut self, who: &str) -> Result<(), String> {
        let client = self.builder(who)?.open(self.server.addr).await?;
        self.sessions.insert(who.to_owned(), client);
        Ok(())
    }

    async fn open_stream(&mut self, who: &str) -> Result<(), String> {
        if !self.sessions.contains_key(who) {
            self.open(who).await?;
        }
        Ok(self.client(who)?.open_stream().await.map(drop)?)
    }

    /// With SCRAM-SHA-1, which every server has to offer; the features came with the stream.
    async fn log_in(&mut self, who: &str) -> Result<(), String> {
        let offer = Element::new("mechanism", ns::SASL).with_text("SCRAM-SHA-1");
        let offer = Element::new("mechanisms", ns::SASL).with_child(offer);
        let features = Element::new("features", ns::STREAM).with_child(offer);
        let client = self.client(who)?;
        Ok(client.authenticate(&features).await.map(drop)?)
    }

    async fn connect(&mut self, who: &str) -> Result<(), String> {
        let resource = who.split_once('.').map_or("main", |(_, resource)| resource);
        let builder = self.builder(who)?.resource(resource);
        let client = builder.connect(self.server.addr).await?;
        let jid = client.jid.to_string();
        self.variables.insert(format!("{who}/"), jid);
        self.sessions.insert(who.to_owned(), client);
        Ok(())
    }

    async fn go_online(&mut self, who: &str) -> Result<(), String> {
        if !self.sessions.contains_key(who) {
            self.connect(who).await?;
        }
        let client = self.client(who)?;
        client.roster().await?;
        client.presence().await?;
        let own = client.jid.to_string();
        let is_own = |el: &Element| el.is("presence", ns::CLIENT) && el.attr("from") == Some(&own);
        Ok(client
            .wait_for("its own presence", is_own)
            .await
            .map(drop)?)
    }

    async fn receive(&mut self, who: &str, patterns: Vec<Element>) -> Result<(), String> {
        for pattern in patterns {
            let wanted = self.shown(&pattern);
            let got = self.next(who, &wanted).await?;
            if !matches(&pattern, &got, &mut self.variables) {
                return Err(difference(who, &wanted, &got));
            }
        }
        Ok(())
    }

    async fn receive_any_order(
        &mut self,
        who: &str,
        mut patterns: Vec<Element>,
    ) -> Result<(), String> {
        while !patterns.is_empty() {
            let wanted: Vec<String> = patterns.iter().map(|p| self.shown(p)).collect();
            let wanted = wanted.join("\n  ");
            let got = self.next(who, &wanted).await?;
            let variables = &mut self.variables;
            match patterns.iter().position(|p| matches(p, &got, variables)) {
                Some(at) => patterns.remove(at),
                None => return Err(difference(who, &wanted, &got)),
            };
        }
        Ok(())
    }

    async fn receive_header(&mut self, who: &str, pattern: &Element) -> Result<(), String> {
        match self.client(who)?.event("a header").await? {
            Event::Header(got) if matches(pattern, &got, &mut self.variables) => Ok(()),
            other => Err(difference(who, &self.shown(pattern), &other)),
        }
    }

    async fn stream_error(&mut self, who: &str, condition: &str) -> Result<(), String> {
        let got = self.next(who, condition).await?;
        if got.is("error", ns::STREAM) && got.has_child(condition, ns::STREAM_ERRORS) {
            return self.closed(who).await;
        }
        Err(difference(who, condition, &got))
    }

    async fn nothing(&mut self, who: &str, during: Duration) -> Result<(), String> {
        match self.arrival(who, during).await? {
            None => Ok(()),
            Some(got) => Err(difference(who, "nothing", &got)),
        }
    }

    async fn closed(&mut self, who: &str) -> Result<(), String> {
        let client = self.client(who)?;
        match client.next(PATIENCE).await {
            Some(got) => Err(difference(who, "the end of the stream", &got)),
            None if client.is_over() => Ok(()),
            None => Err(format!("{who} should be closed")),
        }
    }

    /// The next element that counts.
    async fn next(&mut self, who: &str, wanted: &str) -> Result<Element, String> {
        let got = self.arrival(who, PATIENCE).await?;
        got.ok_or_else(|| format!("{who} received nothing and should have received\n  {wanted}"))
    }

    async fn arrival(&mut self, who: &str, within: Duration) -> Result<Option<Element>, String> {
        loop {
            let Some(got) = self.client(who)?.next(within).await else {
                return Ok(None);
            };
            let mut scratch = self.variables.clone();
            let mut fits = |(name, pattern): &(String, Element)| {
                name == who && matches(pattern, &got, &mut scratch)
            };
            if self.ignored.iter().any(&mut fits) {
                continue;
            }
            match self.tolerated.iter().position(fits) {
                Some(at) => self.tolerated.remove(at),
                None => return Ok(Some(got)),
            };
        }
    }

    /// The follower asks, the other grants, before the sessions of the dialogue.
    async fn follow(&mut self, follower: &str, other: &str) -> Result<(), String> {
        let mut asking = self.setup(follower).await?;
        let mut granting = self.setup(other).await?;
        let (own, their) = (asking.jid.bare(), granting.jid.bare());
        let presence = |kind, to: &Jid| Stanza::presence(kind).with_to(to.clone());
        granting.presence().await?;
        asking
            .send(presence(PresenceType::Subscribe, &their))
            .await?;
        let asked = |el: &Element| el.attr("type") == Some("subscribe");
        granting.wait_for("a subscription request", asked).await?;
        granting
            .send(presence(PresenceType::Subscribed, &own))
            .await?;
        let push = "a roster push";
        asking
            .wait_for(push, |el| pushes(el, &their, ["to", "both"]))
            .await?;
        granting
            .wait_for(push, |el| pushes(el, &own, ["from", "both"]))
            .await?;
        asking.close().await?;
        Ok(granting.close().await?)
    }

    async fn ask(&mut self, who: &str, other: &str) -> Result<(), String> {
        let mut asking = self.setup(who).await?;
        let to = self.accounts.get(other).ok_or("no such account")?.clone();
        asking
            .send(Stanza::presence(PresenceType::Subscribe).with_to(to.clone()))
            .await?;
        let pushed = |el: &Element| pushes(el, &to, ["none", "from"]);
        asking.wait_for("a roster push", pushed).await?;
        Ok(asking.close().await?)
    }

    /// A session that arranges things, interested in the roster and not available.
    async fn setup(&mut self, who: &str) -> Result<Client, String> {
        let builder = self.builder(who)?.resource("setup");
        let mut client = builder.connect(self.server.addr).await?;
        client.roster().await?;
        Ok(client)
    }

    fn client(&mut self, who: &str) -> Result<&mut Client, String> {
        let client = self.sessions.get_mut(who);
        client.ok_or_else(|| format!("{who} has not connected"))
    }

    fn remove(&mut self, who: &str) -> Result<Client, String> {
        let client = self.sessions.remove(who);
        client.ok_or_else(|| format!("{who} has not connected"))
    }

    fn builder(&self, who: &str) -> Result<Builder, String> {
        let account = who.split('.').next().unwrap_or_default();
        let jid = self.accounts.get(account);
        let jid = jid.ok_or_else(|| format!("no account {account}"))?;
        Ok(self.server.client(jid))
    }

    fn shown(&self, pattern: &Element) -> String {
        substitute(&format!("{pattern:?}"), &self.variables)
    }
}

/// Whether it is a roster push for this contact in one of these states.
fn pushes(el: &Element, contact: &Jid, states: [&str; 2]) -> bool {
    let query = el.child("query", ns::ROSTER);
    let item = query.and_then(|query| query.child("item", ns::ROSTER));
    el.attr("type") == Some("set")
        && item.is_some_and(|item| {
            let state = item.attr("subscription").unwrap_or("none");
            item.attr("jid") == Some(contact.as_str()) && states.contains(&state)
        })
}

fn difference(who: &str, wanted: &str, got: &impl std::fmt::Debug) -> String {
    format!("{who} should receive\n  {wanted}\nand received\n  {got:?}")
}

impl From<Error> for String {
    fn from(error: Error) -> String {
        error.to_string()
    }
}
