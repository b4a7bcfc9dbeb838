//! XEP-0357: Push Notifications (0.4.1)
//!
//! Publications come from the account's bare JID. What is worth one, and when it goes, is up to [`crate::state::push`].

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Period;
use crate::hooks::{
    AskError, Deps, Envelope, Info, Module, ModuleError, Path, Phase, Question, Registrar, Reply,
    Request, To, Turn, Verb, Verdict,
};
use crate::proto::error::{Condition, ErrorType, StanzaError};
use crate::proto::form::{Field, Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::settings;
use crate::state::push::{
    Content, Desk, Notice, Outcome, Pace, Parcel, Registration, Sending, Target, Way,
};
use crate::state::stored_xml;
use crate::store::Key;
use crate::xml::{El, Element};

settings! {
    /// Tells the push services of apps that something happened while a device is away.
    pub struct Config {
        /// What push services are told of messages, besides how many there are: "none", "sender" or "sender+body". They read it.
        pub content: Content = Content::None;
        /// Stands in the place of the text of a message that is not told; many services show nothing without any. It may be empty.
        pub placeholder: String = "New message".to_owned();
        /// Time between two notifications to a device; what happens meanwhile is told at once then. Calls do not wait.
        pub interval: Period = Period::seconds(10) => within(Period::seconds(1)..=Period::minutes(60));
        /// The longest pause before a service that fails is tried again.
        pub retry: Period = Period::minutes(60) => within(Period::seconds(10)..=Period::days(1));
        /// A registration ends when its service failed for so long.
        pub give_up: Period = Period::days(3) => within(Period::minutes(1)..=Period::days(90));
        /// Registrations an account may have; one more takes the place of the oldest.
        pub registrations: u32 = 20 => within(1..=1_000);
        /// Accounts whose devices may wait for notifications at once.
        pub accounts: u32 = 10_000 => within(1..=10_000_000);
    }
}

/// How long a push service may take to answer.
const ANSWER: Duration = Duration::from_secs(60);
/// Bytes of a node's name, and of the options that a client wants published.
const NODE: usize = 1_024;
const OPTIONS: usize = 4_096;

/// Takes registrations.
pub struct Push {
    desk: Arc<Desk<Publishing>>,
}

impl Module for Push {
    const INFO: Info = Info {
        name: "push",
        specs: &[("XEP-0357", "0.4.1"), ("XEP-0492", "0.2.0")],
        doc: "Apps are woken through their push services.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, deps: &Deps) -> Result<Self, ModuleError> {
        let way = Publishing {
            deps: deps.clone(),
            placeholder: config.placeholder,
        };
        let pace = Pace {
            content: config.content,
            interval: config.interval.get(),
            longest: config.retry.get(),
            give_up: config.give_up.get(),
            most: config.registrations as usize,
            accounts: config.accounts as usize,
        };
        let limits = ["modules.push.registrations", "modules.push.accounts"];
        let desk = Arc::new(Desk::new(way, pace, deps, limits));
        Ok(Push { desk })
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.feature(To::OwnAccount, ns::PUSH);
        // Where some clients look.
        r.feature(To::Host, ns::PUSH);
        self.desk.listen(r);
        let this = self.clone();
        r.account_iq(
            To::OwnAccount,
            Verb::Set,
            (ns::PUSH, "enable"),
            move |q, turn| this.enable(q, turn).unwrap_or_else(Reply::Error),
        );
        let this = self.clone();
        r.account_iq(
            To::OwnAccount,
            Verb::Set,
            (ns::PUSH, "disable"),
            move |q, turn| this.disable(q, turn).unwrap_or_else(Reply::Error),
        );
        r.message(Path::ToClient, Phase::Check, move |envelope, turn| {
            self.disabled_by_service(envelope, turn);
            Verdict::Continue
        });
    }
}

impl Push {
    /// §5.
    fn enable(&self, request: &Request<'_>, turn: &mut Turn<'_>) -> Result<Reply, StanzaError> {
        let (service, node) = addressed(request.payload)?;
        let options = match Form::of(request.payload) {
            None => None,
            Some(form) => Some(options(&form.map_err(|_| Condition::BadRequest)?)?),
        };
        let node = node.unwrap_or_default();
        if node.len() > NODE || options.as_ref().is_some_and(|it| it.len() > OPTIONS) {
            return Err(StanzaError::from(Condition::NotAcceptable)
                .with_text("The node or the options are too long"));
        }
        let place = Place {
            service,
            node: node.to_owned(),
            options,
        };
        self.desk.register(request, turn, place)
    }

    /// §6: one node, or all of the service.
    fn disable(&self, request: &Request<'_>, turn: &mut Turn<'_>) -> Result<Reply, StanzaError> {
        let (service, node) = addressed(request.payload)?;
        let node = node.map(str::to_owned);
        self.desk
            .unregister(turn, move |it| it.target.is(&service, node.as_deref()))
    }

    /// §8: the service says that it takes nothing for a node any more.
    fn disabled_by_service(&self, envelope: &Envelope, turn: &mut Turn<'_>) {
        if !self.desk.has_registrations(turn.account) {
            return;
        }
        let pubsub = envelope.stanza.child("pubsub", ns::PUBSUB);
        let (Some(pubsub), Some(service)) = (pubsub, envelope.from()) else {
            return;
        };
        let Some(node) = pubsub.attr("node").filter(|_| is_no_more(pubsub, turn)) else {
            return;
        };
        let (service, node) = (service.clone(), node.to_owned());
        let meant = move |it: &Registration<Place>| it.target.is(&service, Some(&node));
        if let Ok(Reply::Later(ended)) = self.desk.unregister(turn, meant) {
            tokio::spawn(ended);
        }
    }
}

/// Whether the account's affiliation is taken away.
fn is_no_more(pubsub: El<'_>, turn: &Turn<'_>) -> bool {
    let account = turn.account.jid.as_str();
    pubsub.children().any(|child| {
        child.is("affiliation", ns::PUBSUB)
            && child.attr("affiliation") == Some("none")
            && child.attr("jid").is_none_or(|jid| jid == account)
    })
}

/// The service and the node in a request.
fn addressed(payload: El<'_>) -> Result<(Jid, Option<&str>), StanzaError> {
    let jid = payload.attr("jid").ok_or_else(|| {
        StanzaError::from(Condition::BadRequest).with_text("Which service? There is no jid")
    })?;
    let jid = Jid::parse(jid).map_err(|_| Condition::JidMalformed)?;
    Ok((jid, payload.attr("node")))
}

/// §5: options to be published along.
fn options(form: &Form) -> Result<String, StanzaError> {
    if form.kind != FormType::Submit || form.form_type() != Some(ns::PUBLISH_OPTIONS) {
        return Err(StanzaError::from(Condition::BadRequest)
            .with_text("The form is none of publish-options"));
    }
    let xml = stored_xml::write(form.to_element().root());
    String::from_utf8(xml).map_err(|_| Condition::InternalServerError.into())
}

/// A node of a push service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Place {
    service: Jid,
    node: String,
    /// The form, as XML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    options: Option<String>,
}

impl Place {
    fn is(&self, service: &Jid, node: Option<&str>) -> bool {
        self.service == *service && node.is_none_or(|node| self.node == node)
    }
}

impl Target for Place {
    const KIND: u8 = 1;

    fn key(&self) -> Key {
        Key::new().str(self.service.as_str()).str(&self.node)
    }
}

/// Publishes to push services.
struct Publishing {
    deps: Deps,
    placeholder: String,
}

impl Way for Publishing {
    type Target = Place;
    const NAME: &'static str = "service";
    const CLIENTS: &'static str = "phone";

    fn send(&self, parcel: Parcel<Place>) -> Sending {
        let publication = publication(&parcel.target, summary(&parcel.notice, &self.placeholder));
        let deps = self.deps.clone();
        Box::pin(async move {
            let (from, to) = (parcel.account, parcel.target.service);
            let answer = deps.ask(from, to, Question::Set(publication), ANSWER).await;
            match answer {
                Ok(_) => Outcome::Arrived,
                Err(AskError::Refused(error)) => judge(&error),
                Err(error) => Outcome::Failed(error.to_string(), Duration::ZERO),
            }
        })
    }
}

/// §7.1: whether an error ends the registration.
fn judge(error: &StanzaError) -> Outcome {
    let why = error.condition.as_str().to_owned();
    match error.condition {
        // The service is away, or the server it is on; by these it may be meant for now or for ever.
        Condition::RemoteServerNotFound
        | Condition::RemoteServerTimeout
        | Condition::RecipientUnavailable
        | Condition::ResourceConstraint
        | Condition::InternalServerError
        | Condition::ServiceUnavailable
        | Condition::UndefinedCondition => Outcome::Failed(why, Duration::ZERO),
        _ if error.kind == ErrorType::Wait => Outcome::Failed(why, Duration::ZERO),
        _ => Outcome::Gone(why),
    }
}

/// §7.
fn publication(place: &Place, summary: Form) -> Element {
    let new = |name| Element::new(name, ns::PUBSUB);
    let notification = Element::new("notification", ns::PUSH).with_child(summary.to_element());
    let item = new("item").with_child(notification);
    let mut publish = new("publish").with_child(item);
    if !place.node.is_empty() {
        publish.set_attr("node", Some(&place.node));
    }
    let pubsub = new("pubsub").with_child(publish);
    let options = place.options.as_deref().map(str::as_bytes);
    match options.and_then(stored_xml::read) {
        Some(form) => pubsub.with_child(new("publish-options").with_child(form)),
        None => pubsub,
    }
}

/// §11.3.1: what of it is known, and may be told.
fn summary(notice: &Notice, placeholder: &str) -> Form {
    let form = Form::new(FormType::Submit).with_form_type(ns::PUSH_SUMMARY);
    let mut form = form.with_field(Field::text("message-count", &notice.messages.to_string()));
    if notice.requests > 0 {
        let requests = notice.requests.to_string();
        form = form.with_field(Field::text("pending-subscription-count", &requests));
    }
    let Some(last) = &notice.last else {
        return form;
    };
    if let Some(sender) = &last.sender {
        form = form.with_field(Field::text("last-message-sender", sender.as_str()));
    }
    match last.body.as_deref().unwrap_or(placeholder) {
        "" => form,
        body => form.with_field(Field::text("last-message-body", body)),
    }
}
