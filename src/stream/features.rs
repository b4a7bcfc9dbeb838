//! Stream features in the order of XEP-0170 1.0, with XEP-0440 1.0.0 and XEP-0478 0.2.0.

use super::bind2;
use super::sasl::offer;
use super::settings::{Host, Settings};
use super::tables::{FeatureContext, Stage};
use super::tls::{Bindings, Peer};
use crate::proto::{Jid, ns};
use crate::xml::{Element, Limits};

/// On a stream that must be or may be secured first. Where it must be, nothing else is there (RFC 6120 §5.3.1).
pub(super) fn insecure(peer: &Peer) -> Element {
    let starttls = Element::new("starttls", ns::TLS);
    let starttls = match peer.secure_by_place {
        true => starttls,
        false => starttls.with_child(Element::new("required", ns::TLS)),
    };
    let offered = peer.starttls.then_some(starttls);
    Element::new("features", ns::STREAM).with_children(offered)
}

/// On a secured stream: how to log in.
pub(super) fn secured(
    start: Element,
    settings: &Settings,
    host: &Host,
    bindings: &Bindings,
) -> Element {
    let context = FeatureContext {
        host,
        bindings,
        user: None,
    };
    let names = offer::listed(host, bindings);
    let mut features = start.with_children(of_modules(Stage::Secured, &context));
    if !bindings.is_empty() {
        features = features.with_child(binding_types(bindings));
    }
    if !names.is_empty() {
        features = features
            .with_child(
                Element::new("mechanisms", ns::SASL).with_children(mechanisms(&names, ns::SASL)),
            )
            .with_child(authentication(&names, &context));
    }
    features.with_child(limits(settings, &settings.limits.before_login))
}

/// On an authenticated stream: what to do before or, after Bind 2, beside sending stanzas.
pub(super) fn authenticated(
    settings: &Settings,
    context: &FeatureContext<'_>,
    bound: bool,
    acks: bool,
) -> Element {
    let mut features = Element::new("features", ns::STREAM);
    if !bound {
        let optional = Element::new("optional", ns::SESSION);
        features = features
            .with_child(Element::new("bind", ns::BIND))
            .with_child(Element::new("session", ns::SESSION).with_child(optional));
    }
    if !acks {
        features = features.with_child(Element::new("sm", ns::SM));
    }
    features
        .with_children(of_modules(Stage::Authenticated, context))
        .with_child(limits(settings, &settings.limits.after_login))
}

/// The context of [`authenticated`].
pub(super) fn context<'a>(
    host: &'a Host,
    bindings: &'a Bindings,
    user: &'a Jid,
) -> FeatureContext<'a> {
    FeatureContext {
        host,
        bindings,
        user: Some(user),
    }
}

fn of_modules(stage: Stage, context: &FeatureContext<'_>) -> Vec<Element> {
    let features = context.host.tables.features.iter();
    features
        .filter(|feature| feature.stage == stage)
        .filter_map(|feature| (feature.make)(context))
        .collect()
}

fn mechanisms<'a>(names: &'a [&str], ns: &'a str) -> impl Iterator<Item = Element> + 'a {
    names
        .iter()
        .map(move |name| Element::new("mechanism", ns).with_text(name))
}

/// `<authentication/>` of SASL2 (XEP-0388 §2.1) with what can be done inline and what can be upgraded (XEP-0480 §2.1).
fn authentication(names: &[&str], context: &FeatureContext<'_>) -> Element {
    let tables = &context.host.tables;
    let inline = Element::new("inline", ns::SASL2)
        .with_child(Element::new("sm", ns::SM))
        .with_child(bind2::feature(tables))
        .with_children(
            tables
                .inlines
                .iter()
                .filter_map(|inline| (inline.make)(context)),
        );
    let upgrades = context.host.mechanisms.upgrades.iter();
    Element::new("authentication", ns::SASL2)
        .with_children(mechanisms(names, ns::SASL2))
        .with_child(inline)
        .with_children(
            upgrades.map(|hash| {
                Element::new("upgrade", ns::SASL_UPGRADE).with_text(hash.upgrade_task())
            }),
        )
}

fn binding_types(bindings: &Bindings) -> Element {
    let types = bindings.names();
    Element::new("sasl-channel-binding", ns::SASL_CB).with_children(
        types.map(|name| Element::new("channel-binding", ns::SASL_CB).with_attr("type", name)),
    )
}

fn limits(settings: &Settings, limits: &Limits) -> Element {
    let number =
        |name, value: u64| Element::new(name, ns::STREAM_LIMITS).with_text(&value.to_string());
    Element::new("limits", ns::STREAM_LIMITS)
        .with_child(number("max-bytes", limits.stanza_bytes as u64))
        .with_child(number("idle-seconds", settings.limits.idle.as_secs()))
}
