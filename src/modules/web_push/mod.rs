//! Web push (RFC 8030, 8291, 8292): straight to the endpoint that a client registers, encrypted for it. How clients register
//! is specified in `docs/push.md`; no XEP does.
//!
//! What is worth a notification, and when it goes, is up to [`crate::state::push`].

mod seal;
mod target;
mod vapid;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::config::Period;
use crate::hooks::{
    Deps, Info, Module, ModuleError, Registrar, Reply, Request, To, Turn, Verb, Web, WebAnswer,
    WebError, WebRequest,
};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Field, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::runtime::clock::Clock;
use crate::settings;
use crate::state::push::{
    Call, Content, Desk, Device, Notice, Outcome, Pace, Parcel, Sending, Way,
};

use seal::{MOST, seal};
use target::Endpoint;
use vapid::{Vapid, VapidError};

settings! {
    /// Tells clients through the push services of browsers and of UnifiedPush that something happened while they are away. The
    /// services are reached as `[web]` says; they cannot read what they carry.
    pub struct Config {
        /// What clients are told of messages, besides how many there are: "none", "sender" or "sender+body".
        pub content: Content = Content::None;
        /// Whom push services may turn to when something is wrong: an address that begins with "mailto:" or "https:". If empty it
        /// is the address xmpp@ of the host.
        pub contact: String = String::new() => example("\"mailto:admin@example.org\"");
        /// Time between two notifications to a client; what happens meanwhile is told at once then. Calls do not wait.
        pub interval: Period = Period::seconds(10) => within(Period::seconds(1)..=Period::minutes(60));
        /// The longest pause before a service that fails is tried again.
        pub retry: Period = Period::minutes(60) => within(Period::seconds(10)..=Period::days(1));
        /// A registration ends when its service failed for so long.
        pub give_up: Period = Period::days(3) => within(Period::minutes(1)..=Period::days(90));
        /// Registrations an account may have; one more takes the place of the oldest.
        pub registrations: u32 = 20 => within(1..=1_000);
        /// Accounts whose clients may wait for notifications at once.
        pub accounts: u32 = 10_000 => within(1..=10_000_000);
    }
}

/// The field of the form in disco#info with the public key.
const SERVER_KEY: &str = "application-server-key";
/// For how many seconds a push service keeps what it cannot deliver.
const KEPT: u32 = 24 * 3_600;
/// The same for an invitation to a call.
const RINGS: u32 = 60;

/// Takes registrations.
pub struct WebPush {
    offer: Option<Offer>,
}

/// What is offered when there is a key.
struct Offer {
    desk: Arc<Desk<Posting>>,
    key: String,
}

impl Module for WebPush {
    const INFO: Info = Info {
        name: "web_push",
        specs: &[("RFC 8030", ""), ("RFC 8291", ""), ("RFC 8292", "")],
        doc: "Clients are woken through web push, encrypted, without a server of their own.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let contact = contact(&config.contact, &deps.host)?;
        let vapid = match Vapid::open(&deps.store, &deps.host, contact) {
            Ok(vapid) => vapid,
            Err(error @ VapidError::Commit(_)) => {
                tracing::warn!(host = %deps.host, %error, "there is no web push: its key cannot be stored");
                return Ok(WebPush { offer: None });
            }
            Err(error) => return Err(refused(error.to_string())),
        };
        let key = vapid.public();
        let way = Posting(Arc::new(Sender {
            vapid,
            web: deps.web.clone(),
            clock: deps.clock.clone(),
        }));
        let pace = Pace {
            content: config.content,
            interval: config.interval.get(),
            longest: config.retry.get(),
            give_up: config.give_up.get(),
            most: config.registrations as usize,
            accounts: config.accounts as usize,
        };
        let limits = [
            "modules.web_push.registrations",
            "modules.web_push.accounts",
        ];
        let desk = Arc::new(Desk::new(way, pace, deps, limits));
        let offer = Some(Offer { desk, key });
        Ok(WebPush { offer })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        let Some(offer) = &self.offer else {
            return;
        };
        r.feature(To::OwnAccount, ns::WEB_PUSH);
        let form = Form::new(FormType::Result).with_form_type(ns::WEB_PUSH);
        r.disco_form(
            To::OwnAccount,
            form.with_field(Field::text(SERVER_KEY, &offer.key)),
        );
        offer.desk.listen(r);
        let desk = offer.desk.clone();
        r.account_iq(
            To::OwnAccount,
            Verb::Set,
            (ns::WEB_PUSH, "enable"),
            move |q, turn| enable(&desk, q, turn).unwrap_or_else(Reply::Error),
        );
        let desk = offer.desk.clone();
        r.account_iq(
            To::OwnAccount,
            Verb::Set,
            (ns::WEB_PUSH, "disable"),
            move |q, turn| disable(&desk, q, turn).unwrap_or_else(Reply::Error),
        );
    }
}

fn refused(reason: String) -> ModuleError {
    ModuleError {
        module: WebPush::INFO.name,
        reason,
    }
}

fn contact(configured: &str, host: &Jid) -> Result<String, ModuleError> {
    match configured {
        "" => Ok(format!("mailto:xmpp@{}", host.domain())),
        given if given.starts_with("mailto:") || given.starts_with("https:") => {
            Ok(given.to_owned())
        }
        given => Err(refused(format!(
            "contact = \"{given}\" must begin with \"mailto:\" or \"https:\""
        ))),
    }
}

fn enable(
    desk: &Arc<Desk<Posting>>,
    request: &Request<'_>,
    turn: &mut Turn<'_>,
) -> Result<Reply, StanzaError> {
    let target = Endpoint::read(request.payload)?;
    desk.register(request, turn, target)
}

/// One endpoint, or all that the client registered that asks.
fn disable(
    desk: &Arc<Desk<Posting>>,
    request: &Request<'_>,
    turn: &mut Turn<'_>,
) -> Result<Reply, StanzaError> {
    if let Some(endpoint) = request.payload.attr("endpoint").map(str::to_owned) {
        return desk.unregister(turn, move |it| it.target.is(&endpoint));
    }
    let session = request.session.and_then(|id| turn.account.session(id));
    let device = Device::of(session.ok_or(Condition::NotAllowed)?);
    desk.unregister(turn, move |it| it.device == device)
}

/// Sends to push services of the web.
struct Posting(Arc<Sender>);

struct Sender {
    vapid: Vapid,
    web: Arc<dyn Web>,
    clock: Clock,
}

impl Way for Posting {
    type Target = Endpoint;
    const NAME: &'static str = "web";
    const CLIENTS: &'static str = "web";

    fn send(&self, parcel: Parcel<Endpoint>) -> Sending {
        let sender = self.0.clone();
        Box::pin(async move {
            match sender.request(&parcel) {
                Ok(request) => judge(sender.web.fetch(request).await),
                Err(why) => Outcome::Failed(why, Duration::ZERO),
            }
        })
    }
}

impl Sender {
    /// RFC 8030 §5, RFC 8291 §4, RFC 8292 §3.
    fn request(&self, parcel: &Parcel<Endpoint>) -> Result<WebRequest, String> {
        let Parcel {
            account,
            target,
            notice,
        } = parcel;
        let text = text(account, notice);
        let keys = target.keys().ok_or("what is stored are no keys")?;
        let body = seal(&text, &keys).map_err(|error| error.to_string())?;
        let authorization = self
            .vapid
            .authorization(&target.origin(), self.clock.wall());
        // What was not delivered yet is replaced by what comes under the same topic: it tells the same and more.
        let (ttl, urgency, topic) = match notice.call {
            Some(Call::Invited(_)) => (RINGS, "high", "call"),
            Some(Call::Over(_)) => (KEPT, "high", "call"),
            None => (KEPT, "normal", "messages"),
        };
        Ok(WebRequest {
            method: "POST",
            url: target.url().to_owned(),
            headers: vec![
                (
                    "authorization",
                    authorization.map_err(|error| error.to_string())?,
                ),
                ("content-encoding", "aes128gcm".to_owned()),
                ("content-type", "application/octet-stream".to_owned()),
                ("ttl", ttl.to_string()),
                ("urgency", urgency.to_owned()),
                ("topic", topic.to_owned()),
            ],
            body: body.into(),
        })
    }
}

/// What the client reads: JSON, for service workers have no parser of XML.
#[derive(Serialize)]
struct Told<'a> {
    account: &'a str,
    messages: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<ToldCall<'a>>,
}

#[derive(Serialize)]
struct ToldCall<'a> {
    state: &'static str,
    id: &'a str,
}

fn text(account: &Jid, notice: &Notice) -> Vec<u8> {
    let last = notice.last.as_ref();
    let mut told = Told {
        account: account.as_str(),
        messages: notice.messages,
        requests: (notice.requests > 0).then_some(notice.requests),
        sender: last.and_then(|last| Some(last.sender.as_ref()?.as_str())),
        body: last.and_then(|last| last.body.as_deref()),
        call: notice.call.as_ref().map(|call| match call {
            Call::Invited(id) => ToldCall {
                state: "invited",
                id,
            },
            Call::Over(id) => ToldCall { state: "over", id },
        }),
    };
    let all = serde_json::to_vec(&told).unwrap_or_default();
    (told.sender, told.body) = (None, None);
    let least = serde_json::to_vec(&told).unwrap_or_default();
    // With the longest addresses it may not fit.
    let mut fitting = [all, least].into_iter().filter(|text| text.len() <= MOST);
    fitting.next().unwrap_or_else(|| b"{}".to_vec())
}

/// RFC 8030 §5, §7.3, §8.4.
fn judge(answer: Result<WebAnswer, WebError>) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error @ (WebError::BadAddress | WebError::NotPublic)) => {
            return Outcome::Gone(error.to_string());
        }
        Err(error) => return Outcome::Failed(error.to_string(), Duration::ZERO),
    };
    let why = format!("the service answers with status {}", answer.status);
    match answer.status {
        200..=299 => Outcome::Arrived,
        404 | 410 => Outcome::Gone(why),
        _ => {
            let after = answer.header("retry-after");
            let after = after.and_then(|after| after.trim().parse().ok());
            Outcome::Failed(why, Duration::from_secs(after.unwrap_or(0)))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::state::push::Last;

    fn answer(status: u16, after: Option<&str>) -> Outcome {
        let header = |after: &str| ("retry-after".to_owned(), after.to_owned());
        judge(Ok(WebAnswer {
            status,
            headers: after.map(header).into_iter().collect(),
            body: Vec::new(),
        }))
    }

    fn pause(outcome: Outcome) -> Duration {
        match outcome {
            Outcome::Failed(_, after) => after,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn what_ends_a_registration_and_what_is_waited_out() {
        assert_eq!(answer(201, None), Outcome::Arrived);
        for status in [404, 410] {
            assert!(matches!(answer(status, None), Outcome::Gone(_)));
        }
        for status in [301, 400, 401, 403, 413, 500, 503] {
            assert_eq!(pause(answer(status, None)), Duration::ZERO);
        }
        assert_eq!(pause(answer(429, Some("120"))), Duration::from_secs(120));
        assert_eq!(pause(answer(503, Some("-1"))), Duration::ZERO);
        assert!(matches!(judge(Err(WebError::NotPublic)), Outcome::Gone(_)));
        assert_eq!(pause(judge(Err(WebError::TimedOut))), Duration::ZERO);
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let account = Jid::parse("juliet@a.example").unwrap();
        let sender = format!("{}@a.example/{}", "n".repeat(1_000), "r".repeat(1_000));
        let mut notice = Notice {
            messages: 3,
            requests: 1,
            last: Some(Last {
                sender: Some(Jid::parse(&sender).unwrap()),
                body: Some("x".repeat(1_000)),
            }),
            call: Some(Call::Invited("c1".to_owned())),
        };
        let read = |notice: &Notice| -> serde_json::Value {
            serde_json::from_slice(&text(&account, notice)).unwrap()
        };
        assert_eq!(read(&notice).get("sender"), Some(&json!(sender)));
        notice.last.as_mut().unwrap().body = Some("\u{1}".repeat(1_000));
        let least = json!({
            "account": "juliet@a.example",
            "messages": 3,
            "requests": 1,
            "call": { "state": "invited", "id": "c1" },
        });
        assert_eq!(read(&notice), least);
    }

    #[test]
    fn who_may_be_turned_to() {
        let host = Jid::parse("a.example").unwrap();
        assert_eq!(contact("", &host).unwrap(), "mailto:xmpp@a.example");
        assert!(contact("https://a.example/push", &host).is_ok());
        let error = contact("admin@a.example", &host).unwrap_err();
        assert!(error.to_string().contains("must begin with"), "{error}");
    }
}
