//! Accounts that people make for themselves: which names and passwords are taken, and how often somebody may try.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::admins::Admins;
use super::invites;
use crate::hooks::command::{ActError, Password};
use crate::hooks::{AccountActs, Deps};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::form::{Form, FormType};
use crate::proto::jid::Jid;
use crate::proto::ns;
use crate::runtime::clock::Clock;
use crate::store::Store;
use crate::xml::El;

/// What holds for new accounts of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Names that nobody takes.
    pub reserved: Vec<String>,
    /// Characters of a password at least.
    pub password: usize,
    /// Accounts of one address within an hour.
    pub per_address: usize,
    /// Of all addresses together.
    pub total: usize,
}

const HOUR: Duration = Duration::from_secs(3600);
/// Attempts of one address within an hour, for each account it may make.
const ATTEMPTS: usize = 10;
/// Wrong tokens of one address within an hour, and addresses that are remembered for some.
const WRONG: usize = 30;
const REMEMBERED: usize = 10_000;

/// What all who make accounts for a host remember together, over a reload too.
#[derive(Default)]
struct Lately {
    rules: Mutex<Option<Rules>>,
    /// When, from where, and whether an account came of it or may still come; bounded by what may be made.
    made: Mutex<VecDeque<(Instant, String, bool)>>,
    /// When and from where a wrong token came; the oldest are forgotten for new ones.
    wrong: Mutex<VecDeque<(Instant, String)>>,
}

/// Makes accounts for those who come to a host.
pub struct Newcomers {
    host: Jid,
    clock: Clock,
    store: Store,
    accounts: Arc<dyn AccountActs>,
    admins: Admins,
    lately: Arc<Lately>,
}

/// A name and a password.
pub struct Wish {
    /// The localpart.
    pub username: String,
    /// The password.
    pub password: String,
}

impl Wish {
    /// From a query of XEP-0077: by the elements of the namespace, or in a form (§4). `None` if one is missing, empty or doubled.
    pub fn read(query: El<'_>) -> Option<Self> {
        let form = Form::of(query);
        let form = match &form {
            Some(Ok(form)) if form.kind == FormType::Submit => Some(form),
            Some(_) => return None,
            None => None,
        };
        let find = |name: &str| match form {
            Some(form) => form.values(name).to_vec(),
            None => {
                let own = query.children().filter(|el| el.is(name, ns::REGISTER));
                own.map(|el| el.text().into_owned()).collect()
            }
        };
        let only = |name: &str| <[String; 1]>::try_from(find(name)).ok();
        let full = |name: &str| only(name).map(|[one]| one).filter(|text| !text.is_empty());
        Some(Wish {
            username: full("username")?,
            password: full("password")?,
        })
    }
}

/// Who asks for an account, and by what right.
#[derive(Debug, Clone, Copy)]
pub enum By<'a> {
    /// Anybody, from this address.
    Anyone(&'a str),
    /// Who was invited, to this name if one was said.
    Invitation(Option<&'a str>),
}

impl Newcomers {
    /// For the host that a module is built for.
    pub fn new(deps: &Deps) -> Self {
        let made: Result<_, std::convert::Infallible> =
            deps.shared.of(&deps.host, || Ok(Lately::default()));
        let lately = match made {
            Ok(lately) => lately,
            Err(never) => match never {},
        };
        Newcomers {
            host: deps.host.clone(),
            clock: deps.clock.clone(),
            store: deps.store.clone(),
            accounts: deps.accounts.clone(),
            admins: Admins::new(deps.administration.clone(), deps.store.clone()),
            lately,
        }
    }

    /// From now on these hold.
    pub fn set_rules(&self, rules: Rules) {
        *locked(&self.lately.rules) = Some(rules);
    }

    fn rules(&self) -> Rules {
        locked(&self.lately.rules).clone().unwrap_or(Rules {
            reserved: Vec::new(),
            password: 8,
            per_address: 3,
            total: 100,
        })
    }

    /// Whether a password may be this account's.
    ///
    /// # Errors
    /// `not-acceptable`, with the reason.
    pub fn acceptable(&self, username: &str, password: &str) -> Result<(), StanzaError> {
        let least = self.rules().password;
        if password.chars().count() < least {
            return Err(not_acceptable(&format!(
                "The password must have {least} characters or more"
            )));
        }
        if password.eq_ignore_ascii_case(username) {
            return Err(not_acceptable("The password must not be the name"));
        }
        Ok(())
    }

    /// Makes an account, disabled with a reason if there is one.
    ///
    /// # Errors
    /// As they are told to who asks.
    pub async fn make(
        &self,
        wish: Wish,
        by: By<'_>,
        disabled: Option<String>,
    ) -> Result<Jid, StanzaError> {
        let Wish { username, password } = wish;
        let account = Jid::new(Some(&username), self.host.domain(), None)
            .map_err(|error| not_acceptable(&error.to_string()))?;
        self.acceptable(&username, &password)?;
        let place = match by {
            By::Anyone(address) => Some((self.place(address)?, address)),
            By::Invitation(_) => None,
        };
        let made = self.make_here(&account, password, by, disabled).await;
        if let (Err(_), Some((place, address))) = (&made, place) {
            self.give_back(place, address);
        }
        made?;
        Ok(account)
    }

    async fn make_here(
        &self,
        account: &Jid,
        password: String,
        by: By<'_>,
        disabled: Option<String>,
    ) -> Result<(), StanzaError> {
        let node = account.node().unwrap_or_default();
        let own = matches!(by, By::Invitation(Some(name)) if name == node);
        if !own && self.is_kept(account, node).await? {
            return Err(StanzaError::from(Condition::Conflict).with_text("This name is reserved"));
        }
        let made = self
            .accounts
            .create(account.clone(), Password(password), disabled);
        made.await.map_err(|error| refusal(&error))
    }

    /// Whether a name is kept for somebody else. An administrator's is, also while there is no account of it.
    async fn is_kept(&self, account: &Jid, node: &str) -> Result<bool, StanzaError> {
        let broken = |_| StanzaError::from(Condition::InternalServerError);
        if self.rules().reserved.iter().any(|name| name == node) {
            return Ok(true);
        }
        let added = self
            .admins
            .added(self.host.domain())
            .await
            .map_err(broken)?;
        let mut all = self.admins.fixed(self.host.domain()).chain(&added);
        if all.any(|admin| admin == account) {
            return Ok(true);
        }
        let now = self.clock.wall();
        let invited = invites::is_promised(&self.store, account, now);
        invited.await.map_err(broken)
    }

    /// A place among those that may be made from here, taken until it is known that nothing came of it: many
    /// streams at once make no more than one after the other.
    fn place(&self, address: &str) -> Result<Instant, StanzaError> {
        let now = self.clock.now();
        let Rules {
            per_address, total, ..
        } = self.rules();
        let mut lately = locked(&self.lately.made);
        lately.retain(|(at, ..)| now.saturating_duration_since(*at) < HOUR);
        let made = lately.iter().filter(|(_, _, made)| *made).count();
        let own = lately.iter().filter(|(_, from, _)| from == address);
        let own_made = own.clone().filter(|(_, _, made)| *made).count();
        let too_many = made >= total
            || own_made >= per_address
            || own.count() >= per_address.saturating_mul(ATTEMPTS)
            || lately.len() >= total.saturating_mul(ATTEMPTS);
        if too_many {
            return Err(StanzaError::from(Condition::ResourceConstraint)
                .with_text("Too many new accounts; try again later"));
        }
        lately.push_back((now, address.to_owned(), true));
        Ok(now)
    }

    /// It stays an attempt.
    fn give_back(&self, place: Instant, address: &str) {
        let mut lately = locked(&self.lately.made);
        let mut taken = lately.iter_mut();
        let own = taken.find(|(at, from, made)| *made && *at == place && from == address);
        if let Some((.., made)) = own {
            *made = false;
        }
    }

    /// Whether an address may show another token: it has not shown too many wrong ones.
    pub fn may_try(&self, address: &str) -> bool {
        let now = self.clock.now();
        let mut wrong = locked(&self.lately.wrong);
        wrong.retain(|(at, _)| now.saturating_duration_since(*at) < HOUR);
        wrong.iter().filter(|(_, from)| from == address).count() < WRONG
    }

    /// An address has shown a token that is none.
    pub fn was_wrong(&self, address: &str) {
        let mut wrong = locked(&self.lately.wrong);
        if wrong.len() >= REMEMBERED {
            wrong.pop_front();
        }
        wrong.push_back((self.clock.now(), address.to_owned()));
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_acceptable(text: &str) -> StanzaError {
    StanzaError::from(Condition::NotAcceptable).with_text(text)
}

/// Why an account was not made, or not changed, as its user is told.
pub fn refusal(error: &ActError) -> StanzaError {
    let condition = match error {
        ActError::Exists(_) => Condition::Conflict,
        ActError::Bad(_) => Condition::NotAcceptable,
        ActError::NoSuchAccount(_) => Condition::RegistrationRequired,
        ActError::NoSuchHost { .. } | ActError::NotAllowed(_) | ActError::Forbidden => {
            Condition::NotAllowed
        }
        ActError::Interrupted | ActError::Failed(_) => Condition::InternalServerError,
    };
    StanzaError::from(condition)
}
