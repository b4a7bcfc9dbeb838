//! Calling other servers: for a pair that has something to send, and about a dialback key.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::caller::{ForKey, ForPair};
use super::house::{House, lock};
use super::keeper::Key;
use super::pair::Input;
use super::trouble::Trouble;
use crate::net::{DialError, dial};
use crate::proto::error::Condition;
use crate::proto::jid::Jid;
use crate::state::outbox;
use crate::stream::server::{self, Call, Demand, Failure, Purpose, Verdict, Verify};

/// A connection to a server of the domain.
pub(super) struct Reached {
    pub stream: TcpStream,
    pub address: SocketAddr,
    /// TLS at once.
    pub direct: bool,
}

impl House {
    /// Calls the other server of a pair; how it turns out is posted to the pair.
    pub(super) async fn call_other(self: Arc<Self>, key: Key) {
        let pair = key.pair().clone();
        let reached = match self.terms().policy.demand(&pair.remote) {
            Demand::Refused(why) => Err(Trouble::Policy(why)),
            Demand::Certificate | Demand::Dialback => self.reach(&pair.remote).await,
        };
        match reached {
            Err(trouble) => self.post(&key, Input::Failed(trouble)),
            Ok(reached) => {
                let earlier = match self.resumables.ours(&key) {
                    Some(line) => line.to_resume().await.map(|wish| (line, wish)),
                    None => None,
                };
                let caller = Arc::new(ForPair {
                    house: self.clone(),
                    key,
                    address: reached.address.to_string(),
                    earlier,
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
        let listeners = lock(&self.listeners).clone();
        match listeners {
            Some(listeners) => {
                listeners.call((reached.stream, reached.address), reached.direct, call)
            }
            None => call.fail(Failure::Stopped),
        }
    }

    /// Finds a domain's servers and connects to one.
    pub(super) async fn reach(&self, remote: &Jid) -> Result<Reached, Trouble> {
        let terms = self.terms_held();
        let find = terms.resolver.find(remote, terms.policy.find(remote));
        let targets = tokio::time::timeout(terms.connect_timeout, find)
            .await
            .map_err(|_| Trouble::Dns(format!("DNS gave no answer about {remote} in time")))??;
        let patience = terms.connect_timeout / 2;
        let mut failure = DialError::Nowhere;
        for target in targets {
            match dial(&target.addresses, patience).await {
                Ok((stream, address)) => {
                    return Ok(Reached {
                        stream,
                        address,
                        direct: target.direct,
                    });
                }
                Err(error) => failure = error,
            }
        }
        Err(Trouble::Dial(failure))
    }

    pub(super) async fn verify(self: Arc<Self>, verify: Verify) -> Verdict {
        let Ok(_permit) = self.verifying.acquire().await else {
            return Verdict::Error(Condition::ResourceConstraint);
        };
        let reached = match self.reach(&verify.remote).await {
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
