//! What two modules cannot both have, and who comes first.

use waxwing::hooks::{Listed, Path, Phase, Reply, To, Verb, Verdict};
use waxwing::proto::ns;
use waxwing::stream::Bindings;
use waxwing::stream::sasl::exchange::{Exchange, MechanismFactory, Surroundings};
use waxwing::stream::tables::When;
use waxwing::xml::Element;

use super::{NS, chat, module, next_message, online, refusal, server};

/// A mechanism in name only.
struct Named(&'static str);

impl MechanismFactory for Named {
    fn name(&self) -> &'static str {
        self.0
    }
    fn listed(&self) -> bool {
        false
    }
    fn offered(&self, _: &Bindings) -> bool {
        false
    }
    fn start(&self, _: Surroundings) -> Box<dyn Exchange> {
        unreachable!("never offered")
    }
}

module!(First, "first", |_deps, r| {
    r.host_iq(Verb::Get, (NS, "host"), |_| Reply::done());
    r.account_iq(To::Account, Verb::Set, (NS, "account"), |_, _| {
        Reply::done()
    });
    r.nonza((NS, "nonza"), |_, _, _| {});
    r.mechanism(Named("X-ONE"));
    r.bind_inline((NS, "bind"), |_, _, _| None);
    r.inline(
        When::BeforeBind,
        (NS, "inline"),
        |_| None,
        |_, _| Box::pin(async { Vec::new() }),
    );
});

macro_rules! rivals {
    ($($type:ident $name:literal |$r:ident| $claim:block $what:literal;)*) => {
        $(module!($type, $name, |_deps, $r| $claim);)*

        #[tokio::test]
        async fn a_claim_made_twice_fails_the_start() {
            $(assert_eq!(
                refusal(&[Listed::of::<First>(), Listed::of::<$type>()], &[]).await,
                format!(concat!("localhost: module ", $name, ": another module already answers ", $what), NS)
            );)*
        }
    };
}

rivals! {
    HostIq "host-iq" |r| { r.host_iq(Verb::Get, (NS, "host"), |_| Reply::done()); }
        "Get {{{}}}host to the host";
    AccountIq "account-iq" |r| {
        r.account_iq(To::Account, Verb::Set, (NS, "account"), |_, _| Reply::done());
    } "Set {{{}}}account to Account";
    NonzaRival "nonza" |r| { r.nonza((NS, "nonza"), |_, _, _| {}); }
        "the nonza {{{}}}nonza";
    BindRival "bind" |r| { r.bind_inline((NS, "bind"), |_, _, _| None); }
        "{{{}}}bind inside <bind/>";
    InlineRival "inline" |r| {
        r.inline(When::IntoSuccess, (NS, "inline"), |_| None, |_, _| Box::pin(async { Vec::new() }));
    } "{{{}}}inline inside <authenticate/>";
}

module!(SameMechanism, "same-mechanism", |_deps, r| {
    r.mechanism(Named("X-ONE"));
});
module!(BuiltIn, "built-in", |_deps, r| {
    r.mechanism(Named("SCRAM-SHA-256"));
});
module!(Namesake, "first", |_deps, _r| {});
module!(AnotherPing, "another-ping", |_deps, r| {
    r.host_iq(Verb::Get, (ns::PING, "ping"), |_| Reply::done());
});

#[tokio::test]
async fn names_and_what_the_server_itself_has_are_taken_too() {
    let cases: [(&[Listed], &str); 4] = [
        (
            &[Listed::of::<First>(), Listed::of::<SameMechanism>()],
            "module same-mechanism: another module already answers the SASL mechanism X-ONE",
        ),
        (
            &[Listed::of::<BuiltIn>()],
            "module built-in: another module already answers the SASL mechanism SCRAM-SHA-256",
        ),
        (
            &[Listed::of::<First>(), Listed::of::<Namesake>()],
            "module first: there is another module of this name",
        ),
        (
            &[Listed::of::<AnotherPing>()],
            "module another-ping: another module already answers Get {urn:xmpp:ping}ping to the host",
        ),
    ];
    for (modules, text) in cases {
        assert_eq!(refusal(modules, &[]).await, format!("localhost: {text}"));
    }
}

/// Writes its name on messages, in two phases.
macro_rules! writer {
    ($type:ident, $name:literal) => {
        module!($type, $name, |_deps, r| {
            for (phase, mark) in [(Phase::Record, "record"), (Phase::Check, "check")] {
                r.message(Path::FromClient, phase, move |envelope, _| {
                    let mark = Element::new("mark", NS).with_text(&format!("{} {mark}", $name));
                    envelope.amend().push(mark);
                    Verdict::Continue
                });
            }
        });
    };
}
writer!(Ann, "ann");
writer!(Ben, "ben");

#[tokio::test]
async fn phases_follow_each_other_and_modules_keep_the_order_of_the_list() {
    let modules = [Listed::of::<Ben>(), Listed::of::<Ann>()];
    let server = server(&modules, &[]).await.unwrap();
    let jid = server.account("alice").await.unwrap();
    let mut alice = online(&server, &jid, "one").await;
    alice.send(chat(&jid, "note")).await.unwrap();
    let message = next_message(&mut alice).await;
    let marks: Vec<String> = message
        .children()
        .filter(|child| child.is("mark", NS))
        .map(|mark| mark.text().into_owned())
        .collect();
    assert_eq!(
        marks,
        ["ben check", "ann check", "ben record", "ann record"]
    );
    alice.close().await.unwrap();
    server.stop().await;
}
