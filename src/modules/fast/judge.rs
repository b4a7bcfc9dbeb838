//! Whether a token lets its client in (XEP-0484 §5.1): the same steps whether or not there is such an account, client or token.

use super::ht::Ht;
use super::{ATTEMPTS, Fast};
use crate::hooks::Uid;
use crate::proto::Jid;
use crate::state::by_client::PutError;
use crate::state::tokens::{Held, Look, Token};
use crate::store::CommitError;
use crate::stream::{SaslCondition, SaslFailure, Secret};

/// What a client shows.
pub(super) struct Presented {
    pub ht: Ht,
    pub account: Jid,
    /// The id of the client.
    pub client: String,
    pub proof: Vec<u8>,
    /// What the connection is bound to.
    pub data: Vec<u8>,
    pub count: Option<u64>,
    pub invalidate: bool,
}

/// What the client hears of it.
pub(super) struct Proof {
    pub answer: Vec<u8>,
    /// The credentials the token was given for.
    pub generation: u64,
}

/// In, or not.
pub(super) type Judgement = Result<Proof, SaslFailure>;

impl Fast {
    /// Judges, and keeps what follows from it before anybody hears of it.
    pub(super) async fn judge(&self, presented: &Presented) -> Judgement {
        let judgement = self.weighed(presented).await;
        self.count(match &judgement {
            Ok(_) => "accepted",
            Err(failure) if failure.condition == SaslCondition::CredentialsExpired => "expired",
            Err(_) => "refused",
        });
        judgement
    }

    async fn weighed(&self, presented: &Presented) -> Judgement {
        for _ in 0..ATTEMPTS {
            let look = self
                .tokens
                .look(&presented.account, &presented.client)
                .await
                .map_err(|error| broken(presented, &error))?;
            let (held, answer) = weigh(&look, presented, &self.local, self.clock.wall())?;
            let put = match held == look.held {
                true => Ok(()),
                false => self.tokens.put(&look, &held).await,
            };
            match put {
                Ok(()) => {
                    return Ok(Proof {
                        answer,
                        generation: look.generation,
                    });
                }
                // The same client came by another way at the same time, or was revoked.
                Err(PutError::Commit(CommitError::Precondition)) => {}
                Err(error) => return Err(broken(presented, &error)),
            }
        }
        Err(SaslCondition::TemporaryAuthFailure.into())
    }
}

/// What the client's tokens become when it uses one, and the answer.
///
/// # Errors
/// `not-authorized` for what is no proof or was seen before; `credentials-expired` for a token that was good once.
fn weigh(
    look: &Look,
    presented: &Presented,
    local: &Secret,
    now: u64,
) -> Result<(Held, Vec<u8>), SaslCondition> {
    let ht = presented.ht;
    let owner = (look.uid.unwrap_or(Uid(0)), presented.client.as_str());
    let stand_in = Token::of_nobody(ht.name);
    let prove = |token: Option<&Token>| {
        // A token is for its mechanism alone (§3.4).
        let token = token.filter(|token| token.mechanism == ht.name);
        let secret = token.unwrap_or(&stand_in).secret(local, owner);
        let right = ht.is_proof(&secret, &presented.data, &presented.proof);
        let token = token.filter(|_| right)?.clone();
        Some((token, ht.answer(&secret, &presented.data)))
    };
    let fresh = prove(look.held.fresh.as_ref());
    let used = prove(look.held.used.as_ref());
    let is_fresh = fresh.is_some();
    let (mut token, answer) = fresh.or(used).ok_or(SaslCondition::NotAuthorized)?;
    if !token.is_good(look.generation, now) {
        return Err(SaslCondition::CredentialsExpired);
    }
    if presented.count.is_some() {
        if token.count >= presented.count {
            return Err(SaslCondition::NotAuthorized);
        }
        token.count = presented.count;
    }
    if presented.invalidate {
        return Ok((Held::default(), answer));
    }
    let later = |fresh: &Token| !is_fresh && fresh.expires >= token.expires;
    let held = Held {
        fresh: look.held.fresh.clone().filter(later),
        used: Some(token),
    };
    Ok((held, answer))
}

fn broken(presented: &Presented, error: &dyn std::fmt::Display) -> SaslFailure {
    tracing::error!(account = %presented.account, %error, "a token cannot be looked at");
    SaslCondition::TemporaryAuthFailure.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::metrics::Counter;
    use crate::runtime::clock::Clock;
    use crate::state::accounts::Accounts;
    use crate::state::tokens::Tokens;
    use crate::store::{Options, Store, testing};
    use crate::stream::ScramHash;

    const CLIENT: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";

    /// What is found of a client that has no token.
    async fn look() -> Look {
        let store = Store::with_engine(testing::memory(), Options::memory(), Clock::system());
        let store = store.unwrap();
        let secret = Secret::new(vec![1; 32]);
        let accounts = Accounts::new(store.clone(), Clock::system(), 4096, secret);
        let jid = Jid::parse("juliet@example.org").unwrap();
        accounts.create(&jid, "pencil").await.unwrap();
        let tokens = Tokens::new(store, 3, Counter::default());
        tokens.look(&jid, CLIENT).await.unwrap()
    }

    fn local() -> Secret {
        Secret::new(vec![9; 32])
    }

    fn shown(look: &Look, token: &Token) -> Presented {
        let ht = Ht::named(&token.mechanism).unwrap();
        let secret = token.secret(&local(), (look.uid.unwrap(), CLIENT));
        let hash = ScramHash::Sha256;
        Presented {
            ht,
            account: Jid::parse("juliet@example.org").unwrap(),
            client: CLIENT.to_owned(),
            proof: hash.hmac(secret.expose(), b"Initiator"),
            data: Vec::new(),
            count: None,
            invalidate: false,
        }
    }

    fn token(expires: u64) -> Token {
        Token::new("HT-SHA-256-NONE", 0, expires, 0)
    }

    #[tokio::test]
    async fn the_end_of_a_token_is_told_to_who_has_it_alone() {
        let mut look = look().await;
        let token = token(100);
        look.held.used = Some(token.clone());
        let mut presented = shown(&look, &token);
        assert!(weigh(&look, &presented, &local(), 99).is_ok());
        let late = weigh(&look, &presented, &local(), 100);
        assert_eq!(late.unwrap_err(), SaslCondition::CredentialsExpired);
        presented.proof.reverse();
        let wrong = weigh(&look, &presented, &local(), 100);
        assert_eq!(wrong.unwrap_err(), SaslCondition::NotAuthorized);
    }

    #[tokio::test]
    async fn the_fresh_one_takes_the_place_of_the_used_one() {
        let mut look = look().await;
        let (used, fresh) = (token(100), token(200));
        look.held = Held {
            fresh: Some(fresh.clone()),
            used: Some(used.clone()),
        };
        let (held, _) = weigh(&look, &shown(&look, &used), &local(), 1).unwrap();
        assert_eq!(held, look.held, "nothing to write");
        let (held, _) = weigh(&look, &shown(&look, &fresh), &local(), 1).unwrap();
        assert_eq!((held.fresh, held.used), (None, Some(fresh)));
        // §3.5: what ends earlier than the one that was used goes.
        let early = token(50);
        look.held.fresh = Some(early.clone());
        let (held, _) = weigh(&look, &shown(&look, &used), &local(), 1).unwrap();
        assert_eq!((held.fresh, held.used), (None, Some(used)));
    }

    #[tokio::test]
    async fn a_stand_in_opens_nothing() {
        let look = look().await;
        let nobody = Token::of_nobody("HT-SHA-256-NONE");
        let refused = weigh(&look, &shown(&look, &nobody), &local(), 0);
        assert_eq!(refused.unwrap_err(), SaslCondition::NotAuthorized);
    }
}
