//! Calling other servers: for a pair that has something to send, and about a dialback key.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};

use super::caller::{ForKey, ForPair};
use super::house::{House, lock};
use super::keeper::Key;
use super::pair::Input;
use super::resolve::{Signed, Target};
use super::stats::Calling;
use super::trouble::Trouble;
use crate::net::tls::is_named;
use crate::net::{DialError, dial};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::state::outbox;
use crate::stream::server::{self, Call, Demand, Failure, Judge, Purpose, Verdict, Verify, Word};

/// A connection to a server of the domain.
pub(super) struct Reached {
    pub stream: TcpStream,
    pub address: SocketAddr,
    /// TLS at once.
    pub direct: bool,
    /// What TLS is told, if not the domain.
    pub name: Option<String>,
    /// What DNS says of its certificate.
    pub signed: Signed,
}

/// Addresses of one domain that are tried beside each other.
const BESIDE: usize = 32;

impl House {
    /// Calls the other server of a pair; how it turns out is posted to the pair.
    pub(super) async fn call_other(self: Arc<Self>, key: Key) {
        let refused = matches!(
            self.terms().policy.demand(&key.pair().remote),
            Demand::Refused(_)
        );
        if refused || !self.joins(&key) {
            self.call_apart(key).await;
        }
    }

    /// Calls it on a stream of its own.
    pub(super) async fn call_apart(self: Arc<Self>, key: Key) {
        let pair = key.pair().clone();
        let calling = self.stats.calling(&key);
        let reached = match self.terms().policy.demand(&pair.remote) {
            Demand::Refused(why) => Err(Trouble::Policy(why)),
            Demand::Certificate | Demand::Dialback => self.reach(&pair.remote, &calling).await,
        };
        match reached {
            Err(trouble) => self.post(&key, Input::Failed(trouble)),
            Ok(reached) => {
                let earlier = match self.resumables.ours(&key) {
                    Some(line) => line.to_resume().await.map(|wish| (line, wish)),
                    None => None,
                };
                calling.is("negotiating");
                let caller = Arc::new(ForPair {
                    house: self.clone(),
                    key,
                    address: reached.address.to_string(),
                    earlier,
                    _calling: calling,
                });
                let call = self.new_call(pair, Purpose::Stanzas, caller);
                self.drive(reached, call);
            }
        }
    }

    pub(super) fn new_call(
        self: &Arc<Self>,
        pair: outbox::Pair,
        purpose: Purpose,
        caller: Arc<dyn server::Caller>,
    ) -> Call {
        Call::new((pair.local, pair.remote), purpose, self.clone(), caller)
    }

    pub(super) fn drive(&self, reached: Reached, mut call: Call) {
        call.name = reached.name;
        call.judge = self.judge(&call.remote, reached.signed);
        let listeners = lock(&self.listeners).clone();
        match listeners {
            Some(listeners) => {
                listeners.call((reached.stream, reached.address), reached.direct, call)
            }
            None => call.fail(Failure::Stopped),
        }
    }

    /// Finds a domain's servers and connects to one.
    pub(super) async fn reach(&self, remote: &Jid, calling: &Calling) -> Result<Reached, Trouble> {
        let terms = self.terms_held();
        let (told, dane) = (terms.policy.find(remote), terms.policy.dane(remote));
        let find = terms.resolver.find(remote, told, dane);
        let targets = tokio::time::timeout(terms.connect_timeout, find)
            .await
            .map_err(|_| Trouble::Dns(format!("DNS gave no answer about {remote} in time")))??;
        calling.is("connecting");
        let patience = terms.connect_timeout / 2;
        let mut failure = DialError::Nowhere;
        // Of one priority whichever answers first, in their order; the next priority after that (XEP-0495 §4.1).
        for group in targets.chunk_by(|one, next| one.priority == next.priority) {
            let addresses = group.iter().flat_map(|target| &target.addresses);
            let addresses: Vec<SocketAddr> = addresses.take(BESIDE).copied().collect();
            match dial(&addresses, patience).await {
                Ok((stream, address)) => {
                    let has = |target: &&Target| target.addresses.contains(&address);
                    let Some(target) = group.iter().find(has) else {
                        continue;
                    };
                    return Ok(Reached {
                        stream,
                        address,
                        direct: target.direct,
                        name: target.name.clone(),
                        signed: target.signed.clone(),
                    });
                }
                Err(error) => failure = error,
            }
        }
        Err(Trouble::Dial(failure))
    }

    /// Who judges the certificate of a server, if DNS has a say in it.
    fn judge(&self, remote: &Jid, signed: Signed) -> Option<Judge> {
        let house = self.me()?;
        let (domain, Signed { records, host }) = (remote.domain().to_owned(), signed);
        let host = host?;
        Some(Box::new(move |chain| {
            let now = house.clock().wall();
            if !records.is_empty() {
                return match is_named(&records, chain, &[&domain, &host], now) {
                    Ok(()) => Word::Named,
                    Err(why) => Word::Others(why),
                };
            }
            let trust = &house.terms().trust;
            let for_domain = trust.proves(chain, &domain, now);
            Word::None(for_domain.or_else(|why| {
                let for_host = trust.proves(chain, &host, now);
                for_host.map_err(|_| why)
            }))
        }))
    }

    /// What the server of a domain says of a key that somebody gave in its name.
    pub(super) async fn verify(self: Arc<Self>, verify: Verify) -> Verdict {
        let Some(_place) = self.verifying.enter(&verify.remote) else {
            tracing::warn!(domain = %verify.remote, "too many dialback keys of one domain at once; one is not verified");
            return Verdict::Error(Condition::ResourceConstraint);
        };
        // Whoever gave the key is still there to hear the answer.
        let patience = self.terms().connect_timeout / 2;
        let domain = verify.remote.clone();
        match tokio::time::timeout(patience, self.clone().ask_server(verify)).await {
            Ok(verdict) => verdict,
            Err(_) => {
                tracing::info!(%domain, "a dialback key cannot be verified: its server does not answer");
                Verdict::Error(Condition::RemoteServerTimeout)
            }
        }
    }

    async fn ask_server(self: Arc<Self>, verify: Verify) -> Verdict {
        let Ok(_permit) = self.verifying.all.acquire().await else {
            return Verdict::Error(Condition::ResourceConstraint);
        };
        let reached = match self.reach(&verify.remote, &Calling::unseen()).await {
            Ok(reached) => reached,
            Err(trouble) => {
                tracing::info!(domain = %verify.remote, reason = %trouble, "a dialback key cannot be verified");
                return Verdict::Error(match trouble.is_final() {
                    true => Condition::RemoteServerNotFound,
                    false => Condition::RemoteServerTimeout,
                });
            }
        };
        let (reply, answer) = oneshot::channel();
        let caller = Arc::new(ForKey(Mutex::new(Some(reply))));
        let pair = outbox::Pair {
            local: verify.local.clone(),
            remote: verify.remote.clone(),
        };
        let call = self.new_call(pair, Purpose::Verify(verify), caller);
        self.drive(reached, call);
        let timeout = Verdict::Error(Condition::RemoteServerTimeout);
        answer.await.unwrap_or(timeout)
    }
}

/// Keys that are verified at once, in all.
const AT_ONCE: usize = 100;
/// Keys of one domain that are verified at once: whoever gives keys in its name must not make us flood its server.
const OF_ONE: usize = 10;

/// The keys that are being verified.
pub(super) struct Verifying {
    all: Semaphore,
    domains: Mutex<HashMap<Jid, usize>>,
}

impl Default for Verifying {
    fn default() -> Verifying {
        Verifying {
            all: Semaphore::new(AT_ONCE),
            domains: Mutex::default(),
        }
    }
}

/// One key that is being verified.
struct Place<'a>(&'a Verifying, Jid);

impl Verifying {
    fn enter(&self, domain: &Jid) -> Option<Place<'_>> {
        let mut domains = lock(&self.domains);
        let under_way = domains.entry(domain.clone()).or_default();
        if *under_way >= OF_ONE {
            return None;
        }
        *under_way += 1;
        Some(Place(self, domain.clone()))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut domains = lock(&self.0.domains);
        if let Some(under_way) = domains.get_mut(&self.1) {
            *under_way = under_way.saturating_sub(1);
            if *under_way == 0 {
                domains.remove(&self.1);
            }
        }
    }
}
