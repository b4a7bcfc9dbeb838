//! `waxwing s2s test`: another server is found, called and left; every step is told, with what to mend.

use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::house::{House, lock};
use super::line::Line;
use super::resolve::Target;
use super::stats::Calling;
use super::trouble::Trouble;
use crate::net::tls::certificate_in_words;
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::state::outbox;
use crate::stream::server::{Caller, Demand, Established, Failure, Line as _, Purpose, Verdict};
use crate::stream::{Seat, Tls, TlsVersion};
use crate::xml::El;

/// Wants to know how it goes.
struct Trial {
    house: Arc<House>,
    address: String,
    seen: Mutex<Vec<String>>,
    reply: Mutex<Option<oneshot::Sender<()>>>,
}

impl Trial {
    fn say(&self, line: String) {
        let mut seen = lock(&self.seen);
        // What was seen before authentication is seen again after it.
        if !seen.contains(&line) {
            seen.push(line);
        }
    }

    fn end(&self) {
        if let Some(reply) = lock(&self.reply).take() {
            // Whoever asked may have gone.
            let _ = reply.send(());
        }
    }
}

impl Caller for Trial {
    fn seen(&self, tls: &Tls, features: El<'_>) {
        let version = match tls.version {
            TlsVersion::Tls12 => "1.2",
            TlsVersion::Tls13 => "1.3",
        };
        self.say(format!("TLS: version {version}"));
        if let Some(own) = tls.peer_chain.first() {
            self.say(format!("certificate: {}", certificate_in_words(own)));
        }
        if let Some(mechanisms) = features.child("mechanisms", ns::SASL) {
            let names: Vec<String> = mechanisms.children().map(|el| el.text().into()).collect();
            self.say(format!("SASL: {}", names.join(", ")));
        }
        let known = [
            ("dialback", ns::DIALBACK_FEATURE, "dialback"),
            ("bidi", ns::BIDI_FEATURE, "streams both ways"),
            ("sm", ns::SM, "acknowledgements"),
        ];
        for (name, ns, words) in known {
            if features.child(name, ns).is_some() {
                self.say(format!("feature: {words}"));
            }
        }
    }

    fn ready(&self, how: &Established) -> Arc<dyn Seat> {
        self.say(match &how.doubt {
            Some(doubt) => format!("their certificate is not valid: {doubt}"),
            None if how.named => "their certificate is that which DNS names".to_owned(),
            None => "their certificate is valid".to_owned(),
        });
        self.say(format!("they believe us by {}", how.proof.name()));
        if how.bidi {
            self.say("stanzas go both ways on one stream".to_owned());
        }
        if how.resumption.is_some() {
            self.say("the stream can be resumed".to_owned());
        }
        self.say("all is well".to_owned());
        self.end();
        let line = Line::new(self.house.clone(), self.address.clone(), false);
        line.end(None);
        line.seat()
    }

    fn verified(&self, _: Verdict) {}

    fn failed(&self, why: Failure) {
        self.say(format!("stream: {why}"));
        self.say(format!("mend: {}", mend_stream(&why)));
        self.end();
    }
}

impl House {
    /// Finds, calls and leaves another server; what was seen, a line a step.
    pub async fn test(self: &Arc<Self>, local: Jid, remote: Jid) -> Vec<String> {
        let mut lines = Vec::new();
        let terms = self.terms_held();
        match terms.policy.demand(&remote) {
            Demand::Refused(why) => {
                lines.push(format!("policy: {why}"));
                lines.push(format!("mend: {}", mend(&Trouble::Policy(why))));
                return lines;
            }
            Demand::Certificate => lines.push("policy: a valid certificate is demanded".to_owned()),
            Demand::Dialback => lines.push("policy: dialback is enough".to_owned()),
        }
        let (told, dane) = (terms.policy.find(&remote), terms.policy.dane(&remote));
        let words = terms.resolver.dane_in_words(dane).await;
        lines.push(format!("certificates by DNS (DANE): {words}"));
        match told {
            Some(found) => lines.push(format!(
                "address by [[federation.peers]]: {}, port {}",
                found.host, found.port
            )),
            None => lines.extend(terms.resolver.services(&remote, dane).await),
        }
        match terms.resolver.find(&remote, told, dane).await {
            Err(trouble) => {
                lines.push(format!("DNS: {trouble}"));
                lines.push(format!("mend: {}", mend(&trouble)));
                return lines;
            }
            Ok(targets) => lines.extend(targets.iter().flat_map(addresses)),
        }
        match self.reach(&remote, &Calling::unseen()).await {
            Err(trouble) => {
                lines.push(format!("connection: {trouble}"));
                lines.push(format!("mend: {}", mend(&trouble)));
            }
            Ok(reached) => {
                lines.push(format!("connection: {} answers", reached.address));
                let (reply, end) = oneshot::channel();
                let trial = Arc::new(Trial {
                    house: self.clone(),
                    address: reached.address.to_string(),
                    seen: Mutex::default(),
                    reply: Mutex::new(Some(reply)),
                });
                let pair = outbox::Pair { local, remote };
                let call = self.new_call(pair, Purpose::Stanzas, trial.clone());
                self.drive(reached, call);
                // It ends by an outcome, or by the end of whoever would tell it.
                let _ = end.await;
                lines.append(&mut lock(&trial.seen));
            }
        }
        lines
    }
}

/// Where a server is, and how TLS begins there.
fn addresses(target: &Target) -> impl Iterator<Item = String> {
    let how = match target.direct {
        true => "direct TLS",
        false => "STARTTLS",
    };
    let addresses = target.addresses.iter();
    let host = target.signed.host.as_deref().unwrap_or_default();
    let records = target.signed.records.iter();
    let records = records.map(move |record| format!("TLSA for {host}: {record}, signed"));
    let addresses = addresses.map(move |address| format!("address: {address}, {how}"));
    addresses.chain(records)
}

fn mend(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::Nothing(_) => {
            "the domain needs an SRV record _xmpp-server._tcp, or an address; or say where it is in [[federation.peers]]"
        }
        Trouble::Policy(_) => "federation.allow and federation.block decide this",
        Trouble::Dns(_) => {
            "see whether the DNS servers of this machine (or those of federation.dns_servers) answer"
        }
        Trouble::Unproven(_) => {
            "its zone must be signed, with a TLSA record for its server; or dane = \"prefer\" for it in [[federation.peers]]"
        }
        Trouble::Dial(_) => {
            "the port must be open: see whether the server runs, and whether a firewall, there or here, stands between"
        }
        Trouble::Stream(why) => mend_stream(why),
        Trouble::Away | Trouble::Full => "wait",
    }
}

fn mend_stream(why: &Failure) -> &'static str {
    match why {
        Failure::NoTls => "it must offer STARTTLS or direct TLS: nothing is sent without",
        Failure::Tls(_) => {
            "see in its log why the handshake failed, and which versions of TLS it speaks"
        }
        Failure::Certificate(_) => {
            "its administrator must replace the certificate; until then demand = \"dialback-over-tls\" for it in [[federation.peers]]"
        }
        Failure::Rejected(_) => {
            "look at our own certificate with `waxwing check`, and whether its server finds ours by DNS and reaches it"
        }
        Failure::Stream(_) | Failure::Protocol(_) => "see in its log why it ends the stream",
        Failure::TimedOut | Failure::Lost => {
            "see whether it is overloaded, or whether something between cuts connections"
        }
        Failure::Stopped => "start this server",
    }
}
