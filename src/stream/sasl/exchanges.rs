//! The mechanisms of the house as exchanges: SCRAM (RFC 5802), PLAIN (RFC 4616), ANONYMOUS (RFC 4505, XEP-0175 1.2).

use sasl::server::{Mechanism, Response};

use super::exchange::{Exchange, Next, Proved, Step, Surroundings, confused, explain, identify};
use super::failure::SaslCondition;
use super::hash::ScramHash;
use super::plain::Plain;
use super::scram::{Scram, downgrade_hash};
use super::scram_message::ClientFirst;
use crate::proto::Jid;
use crate::runtime::random;
use crate::stream::question::{Answer, Credentials, Question};

/// SCRAM: reads the name out of the first message, fetches the keys, lets [`Scram`] do the rest.
pub struct ScramExchange {
    hash: ScramHash,
    plus: bool,
    surroundings: Surroundings,
    user: Option<Jid>,
    state: ScramState,
}

enum ScramState {
    Start,
    /// The first message, until the keys are there.
    Keys(Vec<u8>),
    /// With the generation of the keys.
    Proof(Box<Scram>, u64),
}

impl ScramExchange {
    /// An exchange with this hash, with or without channel binding.
    pub fn new(hash: ScramHash, plus: bool, surroundings: Surroundings) -> ScramExchange {
        ScramExchange {
            hash,
            plus,
            surroundings,
            user: None,
            state: ScramState::Start,
        }
    }

    fn first(&mut self, message: &[u8]) -> Next {
        let Ok(first) = ClientFirst::parse(message) else {
            return SaslCondition::MalformedRequest.into();
        };
        match identify(
            &self.surroundings,
            &first.username,
            first.authzid.as_deref(),
        ) {
            Err(condition) => condition.into(),
            Ok(user) => {
                self.user = Some(user.clone());
                self.state = ScramState::Keys(message.to_vec());
                Next::Ask(Question::Credentials {
                    host: self.surroundings.host.domain.clone(),
                    user,
                    hash: self.hash,
                })
            }
        }
    }

    fn keys(&mut self, first: &[u8], answer: Answer) -> Next {
        let Credentials { keys, generation } = match answer {
            Answer::Credentials(Ok(credentials)) => credentials,
            Answer::Credentials(Err(failure)) => return Next::Failure(failure),
            _ => return confused(),
        };
        let advertised = self.surroundings.advertised.iter().copied();
        let bindings = self.surroundings.bindings.clone();
        let downgrade_hash = downgrade_hash(self.hash, advertised, &bindings);
        let mut scram = Scram::new(
            self.hash,
            self.plus,
            keys,
            bindings,
            Some(downgrade_hash),
            random::token(),
        );
        match scram.respond(first) {
            Ok(Response::Proceed(challenge)) => {
                self.state = ScramState::Proof(Box::new(scram), generation);
                Next::Challenge(challenge)
            }
            Ok(Response::Success(..)) => confused(),
            Err(error) => Next::Failure(explain(&error)),
        }
    }

    fn proof(&mut self, mut scram: Scram, generation: u64, message: &[u8]) -> Next {
        match (scram.respond(message), self.user.clone()) {
            (Ok(Response::Success(_, data)), Some(user)) => Next::Success(Proved {
                user,
                anonymous: false,
                data: Some(data),
                generation: Some(generation),
            }),
            (Err(error), _) => Next::Failure(explain(&error)),
            _ => confused(),
        }
    }
}

impl Exchange for ScramExchange {
    fn step(&mut self, step: Step<'_>) -> Next {
        let state = std::mem::replace(&mut self.state, ScramState::Start);
        match (state, step) {
            (ScramState::Start, Step::Start(None)) => Next::Challenge(Vec::new()),
            (ScramState::Start, Step::Start(Some(message)) | Step::Response(message)) => {
                self.first(message)
            }
            (ScramState::Keys(first), Step::Answer(answer)) => self.keys(&first, answer),
            (ScramState::Proof(scram, generation), Step::Response(message)) => {
                self.proof(*scram, generation, message)
            }
            _ => confused(),
        }
    }

    fn user(&self) -> Option<&Jid> {
        self.user.as_ref()
    }
}

/// PLAIN: the desk checks the password.
pub struct PlainExchange {
    surroundings: Surroundings,
    user: Option<Jid>,
}

impl PlainExchange {
    /// An exchange.
    pub fn new(surroundings: Surroundings) -> PlainExchange {
        PlainExchange {
            surroundings,
            user: None,
        }
    }

    fn message(&mut self, message: &[u8]) -> Next {
        let Some(plain) = Plain::parse(message) else {
            return SaslCondition::MalformedRequest.into();
        };
        match identify(&self.surroundings, &plain.authcid, plain.authzid.as_deref()) {
            Err(condition) => condition.into(),
            Ok(user) => {
                self.user = Some(user.clone());
                Next::Ask(Question::Password {
                    user,
                    password: plain.password,
                })
            }
        }
    }
}

impl Exchange for PlainExchange {
    fn step(&mut self, step: Step<'_>) -> Next {
        match (step, self.user.clone()) {
            (Step::Start(None), _) => Next::Challenge(Vec::new()),
            (Step::Start(Some(message)) | Step::Response(message), None) => self.message(message),
            (Step::Answer(Answer::Password(Ok(()))), Some(user)) => Next::Success(Proved {
                user,
                anonymous: false,
                data: None,
                generation: None,
            }),
            (Step::Answer(Answer::Password(Err(failure))), _) => Next::Failure(failure),
            _ => confused(),
        }
    }

    fn user(&self) -> Option<&Jid> {
        self.user.as_ref()
    }
}

/// ANONYMOUS: anybody, under a fresh name. Trace data is checked and forgotten.
pub struct AnonymousExchange {
    surroundings: Surroundings,
}

/// Longest trace, in characters (RFC 4505 §2).
const TRACE_MAX: usize = 255;

impl AnonymousExchange {
    /// An exchange.
    pub fn new(surroundings: Surroundings) -> AnonymousExchange {
        AnonymousExchange { surroundings }
    }
}

impl Exchange for AnonymousExchange {
    fn step(&mut self, step: Step<'_>) -> Next {
        let trace = match step {
            Step::Start(trace) => trace.unwrap_or_default(),
            Step::Response(trace) => trace,
            Step::Answer(_) => return confused(),
        };
        let legal = std::str::from_utf8(trace)
            .is_ok_and(|trace| trace.chars().count() <= TRACE_MAX && !trace.contains('\0'));
        if !legal {
            return SaslCondition::MalformedRequest.into();
        }
        match Jid::new(Some(&uuid()), self.surroundings.host.domain.domain(), None) {
            Err(_) => confused(),
            Ok(user) => Next::Success(Proved {
                user,
                anonymous: true,
                data: None,
                generation: None,
            }),
        }
    }

    fn user(&self) -> Option<&Jid> {
        None
    }
}

/// A random UUID, which XEP-0175 §3 recommends as localpart (RFC 4122 §4.4).
fn uuid() -> String {
    let random = u128::from_be_bytes(random::bytes::<16>());
    let versioned = random & !(0xF << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{versioned:032x}");
    let mut out = String::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn a_uuid_looks_like_one() {
        let uuid = uuid();
        let shape: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(shape, [8, 4, 4, 4, 12]);
        assert_eq!(uuid.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&uuid.as_bytes()[19]));
    }
}
