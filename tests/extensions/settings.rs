//! A module's section of the configuration, for all hosts and for one.

use std::sync::Arc;

use waxwing::hooks::{Deps, Info, Listed, Module, ModuleError, Registrar, Reply, Verb};
use waxwing::xml::Element;

use super::{NS, online, refusal, server};

waxwing::settings! {
    /// How visitors are greeted.
    struct Config {
        /// The word.
        word: String = "hello".to_owned();
        /// How often.
        times: u32 = 1 => within(1..=3);
    }
}

struct Greeter(String);

impl Module for Greeter {
    const INFO: Info = Info {
        name: "greeter",
        specs: &[],
        doc: "Greets.",
        on_by_default: true,
    };
    type Config = Config;

    fn build(config: Config, _: &Deps) -> Result<Self, ModuleError> {
        if config.word.is_empty() {
            return Err(ModuleError {
                module: Self::INFO.name,
                reason: "`word` is empty; give one".to_owned(),
            });
        }
        Ok(Greeter(vec![config.word; config.times as usize].join(" ")))
    }

    fn register(self: Arc<Self>, r: &mut Registrar<'_>) {
        r.host_iq(Verb::Get, (NS, "greet"), move |_| {
            Reply::from(Element::new("greet", NS).with_text(&self.0))
        });
    }
}

const MODULES: &[Listed] = &[Listed::of::<Greeter>()];

/// What a server with these settings says, if it has the module.
async fn greeting(sets: &[&str]) -> Option<String> {
    let server = server(MODULES, sets).await.unwrap();
    let jid = server.account("alice").await.unwrap();
    let mut alice = online(&server, &jid, "one").await;
    let greet = Element::new("greet", NS);
    let answer = alice.request("get", Some("localhost"), greet).await.ok();
    alice.close().await.unwrap();
    server.stop().await;
    Some(answer?.child("greet", NS)?.text().into_owned())
}

#[tokio::test]
async fn the_host_overrides_the_rest_key_by_key() {
    let said = |sets| async move { greeting(sets).await };
    assert_eq!(said(&[]).await.as_deref(), Some("hello"));
    let sets: &[&str] = &[
        "modules.greeter.times=2",
        "modules.greeter.word=hey",
        "hosts.localhost.modules.greeter.word=ho",
    ];
    assert_eq!(said(sets).await.as_deref(), Some("ho ho"));
    let sets: &[&str] = &["hosts.localhost.modules.greeter.enabled=false"];
    assert_eq!(said(sets).await, None);
    let sets: &[&str] = &[
        "modules.greeter.enabled=false",
        "hosts.localhost.modules.greeter.enabled=true",
    ];
    assert_eq!(said(sets).await.as_deref(), Some("hello"));
}

#[tokio::test]
async fn mistakes_are_named() {
    let cases = [
        (
            "modules.greeter.wrod=hi",
            "modules.greeter.wrod: no such key; did you mean word?",
        ),
        (
            "hosts.localhost.modules.greeter.tims=2",
            "hosts.localhost.modules.greeter.tims: no such key; did you mean times?",
        ),
        (
            "hosts.localhost.modules.greeter.times=7",
            "hosts.localhost.modules.greeter.times: 7 is not allowed; give a whole number, from 1 to 3",
        ),
        (
            "modules.greter.word=hi",
            "modules.greter: no such module; did you mean greeter?",
        ),
        (
            "modules.greeter.word=",
            "localhost: module greeter: `word` is empty; give one",
        ),
    ];
    for (set, text) in cases {
        let said = refusal(MODULES, &[set]).await;
        assert!(said.contains(text), "{set}: {said}");
    }
}
