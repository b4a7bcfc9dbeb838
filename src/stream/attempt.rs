//! Authentication as it runs: SASL1 (RFC 6120 §6) and SASL2 (XEP-0388 1.0.4) over one [`Exchange`], and what SASL2 does between
//! proof and success: upgrades (XEP-0480 0.2.0), inline requests, Bind 2 (XEP-0386).

use super::login::{Flow, Login, Stage};
use super::out::Out;
use super::question::{Answer, Bound, InlineRequest, Question, ResumeRequest, Resumed};
use super::resume::{self, Resume};
use super::sasl::exchange::{Exchange, Next, Proved, Step, Surroundings};
use super::sasl::failure::{SaslCondition, SaslFailure};
use super::sasl::hash::ScramHash;
use super::sasl::profile::{self, Profile};
use super::sasl::request::{self, Wishes};
use super::sasl::{offer, upgrade};
use super::seat::{Enable, End};
use super::tables::When;
use super::{acks, pipelining};
use crate::proto::{Condition, Jid, StreamCondition, StreamError};
use crate::xml::{El, Element};

/// One attempt to log in.
pub(super) struct Attempt {
    pub profile: Profile,
    mechanism: String,
    exchange: Box<dyn Exchange>,
    pub wishes: Wishes,
    /// Set once the mechanism succeeded.
    pub proved: Option<Proved>,
    /// The account's credentials at that time.
    generation: u64,
    /// The session, if Bind 2 was asked for and granted.
    pub bound: Option<Bound>,
    /// Whether acknowledgements begin with it, and how.
    pub acks: Option<Enable>,
    /// The session that goes on, with its `<resumed/>`.
    pub resumed: Option<(Resumed, Element)>,
    /// Why a session did not go on.
    pub not_resumed: Option<Element>,
    /// What goes into `<success/>`.
    pub results: Vec<Element>,
    phase: Phase,
}

/// What is waited for.
enum Phase {
    /// `<response/>`.
    Response,
    /// An answer for the exchange.
    Exchange,
    /// The desk has noted this failure.
    Noted(SaslFailure),
    /// The permission to come in.
    Authorized,
    /// `<next/>` for this upgrade.
    Next(ScramHash),
    /// `<task-data/>` with the password salted with this.
    Salted(ScramHash, Vec<u8>),
    /// The upgraded keys are stored.
    Upgraded,
    /// Inline requests are done.
    Inline,
    /// The former session of this id goes on, or not.
    Resumed(String),
    /// The resource is bound.
    Bound,
}

/// Failed attempts after which the stream ends (RFC 6120 §6.4.5).
const FAILURES: u8 = 3;

/// Attempts that try no secret and do not count: a client that knows `tls-unique` alone goes through the -PLUS mechanism of
/// each hash before it tries one without, and one that authenticates before it sees the features may find others.
const MISFITS: u8 = 3;

impl Attempt {
    pub fn is_waiting(&self) -> bool {
        !matches!(
            self.phase,
            Phase::Response | Phase::Next(_) | Phase::Salted(..)
        )
    }
}

impl Login {
    /// An element of SASL1 when no exchange is running.
    pub fn sasl1(&mut self, element: El<'_>, out: &mut Out<'_>) -> Flow {
        match element.name() {
            "auth" => {
                let initial = profile::initial(element);
                let mechanism = element.attr("mechanism");
                self.begin(
                    Profile::Sasl1,
                    mechanism,
                    initial,
                    Wishes::default(),
                    None,
                    out,
                )
            }
            "abort" => self.fail(Profile::Sasl1, SaslCondition::Aborted.into(), out),
            "response" => self.fail(Profile::Sasl1, SaslCondition::MalformedRequest.into(), out),
            _ => StreamCondition::UnsupportedStanzaType.into(),
        }
    }

    /// An element of SASL2 when no exchange is running.
    pub fn sasl2(&mut self, element: Element, out: &mut Out<'_>) -> Flow {
        let root = element.root();
        match (root.name(), self.host.clone()) {
            ("authenticate", Some(host)) => {
                if let Some(failure) = pipelining::mismatch(root, self.version.as_deref()) {
                    return self.fail(Profile::Sasl2, failure, out);
                }
                let initial = request::initial(root);
                let wishes = request::wishes(root, &host);
                let mechanism = root.attr("mechanism").map(str::to_owned);
                let mechanism = mechanism.as_deref();
                self.begin(
                    Profile::Sasl2,
                    mechanism,
                    initial,
                    wishes,
                    Some(element),
                    out,
                )
            }
            ("abort", _) => self.fail(Profile::Sasl2, SaslCondition::Aborted.into(), out),
            _ => StreamCondition::NotAuthorized.into(),
        }
    }

    fn begin(
        &mut self,
        profile: Profile,
        mechanism: Option<&str>,
        initial: Result<Option<zeroize::Zeroizing<Vec<u8>>>, SaslCondition>,
        wishes: Wishes,
        request: Option<Element>,
        out: &mut Out<'_>,
    ) -> Flow {
        if !self.is_secure() {
            return self.fail(profile, SaslCondition::EncryptionRequired.into(), out);
        }
        let Some(host) = self.host.clone() else {
            return StreamCondition::InternalServerError.into();
        };
        let surroundings = Surroundings {
            advertised: offer::listed(&host, &self.bindings),
            host,
            from: self.from.clone(),
            bindings: self.bindings.clone(),
            request,
            agent: wishes.agent.clone(),
        };
        let mechanism = mechanism.unwrap_or_default();
        let Some(mut exchange) = offer::start(mechanism, surroundings) else {
            return self.fail(profile, SaslCondition::InvalidMechanism.into(), out);
        };
        let next = match initial {
            Ok(initial) => exchange.step(Step::Start(initial.as_ref().map(|data| &***data))),
            Err(condition) => condition.into(),
        };
        let attempt = Attempt {
            profile,
            mechanism: mechanism.to_owned(),
            exchange,
            wishes,
            proved: None,
            generation: 0,
            bound: None,
            acks: None,
            resumed: None,
            not_resumed: None,
            results: Vec::new(),
            phase: Phase::Exchange,
        };
        self.follow(Box::new(attempt), next, out)
    }

    /// Does what the exchange wants next.
    fn follow(&mut self, mut attempt: Box<Attempt>, next: Next, out: &mut Out<'_>) -> Flow {
        match next {
            Next::Challenge(data) => {
                out.element(&attempt.profile.challenge(&data));
                self.wait(attempt, Phase::Response)
            }
            Next::Ask(question) => {
                out.ask(question);
                self.wait(attempt, Phase::Exchange)
            }
            Next::Failure(failure) => self.note(attempt, failure, out),
            Next::Success(proved) if self.contradicts_from(&proved) => {
                self.fail(attempt.profile, SaslCondition::InvalidAuthzid.into(), out)
            }
            Next::Success(proved) => {
                let user = proved.user.clone();
                let anonymous = proved.anonymous;
                let generation = proved.generation;
                attempt.proved = Some(proved);
                if anonymous {
                    attempt.wishes.tasks.clear();
                    return self.proceed(attempt, out);
                }
                out.ask(Question::Authorize { user, generation });
                self.wait(attempt, Phase::Authorized)
            }
        }
    }

    /// Mechanisms of modules are held to the `from` of the header too (XEP-0388 §4.4).
    fn contradicts_from(&self, proved: &Proved) -> bool {
        let from = self.from.as_ref();
        !proved.anonymous && from.is_some_and(|from| *from != proved.user)
    }

    fn wait(&mut self, mut attempt: Box<Attempt>, phase: Phase) -> Flow {
        attempt.phase = phase;
        self.stage = Stage::Sasl(attempt);
        Flow::Stay
    }

    /// A wrong proof is told to the desk, which may take its time, before the client hears of it.
    fn note(&mut self, attempt: Box<Attempt>, failure: SaslFailure, out: &mut Out<'_>) -> Flow {
        match attempt.exchange.user() {
            Some(user) if failure.condition == SaslCondition::NotAuthorized && !failure.misfit => {
                out.ask(Question::Failed {
                    user: user.clone(),
                    address: self.peer.address.clone(),
                });
                self.wait(attempt, Phase::Noted(failure))
            }
            _ => self.fail(attempt.profile, failure, out),
        }
    }

    /// Tells the client, and counts.
    fn fail(&mut self, profile: Profile, failure: SaslFailure, out: &mut Out<'_>) -> Flow {
        self.stage = Stage::Open;
        out.element(&profile.failure(&failure));
        if failure.misfit && self.misfits < MISFITS {
            self.misfits += 1;
            return Flow::Stay;
        }
        self.failures += 1;
        match self.failures >= FAILURES {
            true => StreamError::new(StreamCondition::PolicyViolation)
                .with_text("Too many failed attempts to authenticate")
                .into(),
            false => Flow::Stay,
        }
    }

    /// An element while an exchange is running. Anything that has no place here ends the stream (XEP-0388 §2.4).
    pub fn sasl_goes_on(&mut self, element: El<'_>, out: &mut Out<'_>) -> Flow {
        let Stage::Sasl(mut attempt) = std::mem::replace(&mut self.stage, Stage::Open) else {
            return StreamCondition::InternalServerError.into();
        };
        let profile = attempt.profile;
        if element.ns() != profile.ns() {
            return StreamCondition::NotAuthorized.into();
        }
        match (element.name(), &attempt.phase) {
            ("abort", _) => self.fail(profile, SaslCondition::Aborted.into(), out),
            ("response", Phase::Response) => {
                let next = match profile::data(element) {
                    Ok(data) => attempt.exchange.step(Step::Response(&data)),
                    Err(condition) => condition.into(),
                };
                self.follow(attempt, next, out)
            }
            ("next", Phase::Next(hash)) => {
                let hash = *hash;
                self.task_begins(attempt, hash, element, out)
            }
            ("task-data", Phase::Salted(..)) => self.task_data(attempt, element, out),
            ("auth", _) if profile == Profile::Sasl1 => self.begin_anew(element, out),
            _ => StreamCondition::NotAuthorized.into(),
        }
    }

    /// `<auth/>` in the middle of an exchange replaces it (RFC 6120 §6.4.2); it counts as a failed one, without being told.
    fn begin_anew(&mut self, element: El<'_>, out: &mut Out<'_>) -> Flow {
        self.failures += 1;
        match self.failures >= FAILURES {
            true => StreamCondition::PolicyViolation.into(),
            false => self.sasl1(element, out),
        }
    }

    fn task_begins(
        &mut self,
        attempt: Box<Attempt>,
        hash: ScramHash,
        next: El<'_>,
        out: &mut Out<'_>,
    ) -> Flow {
        if next.attr("task") != Some(hash.upgrade_task()) {
            return self.fail(Profile::Sasl2, SaslCondition::MalformedRequest.into(), out);
        }
        let salt = upgrade::fresh_salt();
        out.element(&upgrade::salt(&salt, self.iterations()));
        self.wait(attempt, Phase::Salted(hash, salt))
    }

    fn task_data(&mut self, attempt: Box<Attempt>, data: El<'_>, out: &mut Out<'_>) -> Flow {
        let (Phase::Salted(hash, salt), Some(proved)) = (&attempt.phase, &attempt.proved) else {
            return StreamCondition::InternalServerError.into();
        };
        match upgrade::keys(*hash, salt, self.iterations(), data) {
            Err(condition) => self.fail(Profile::Sasl2, condition.into(), out),
            Ok(keys) => {
                out.ask(Question::Upgrade {
                    user: proved.user.clone(),
                    hash: *hash,
                    keys,
                });
                self.wait(attempt, Phase::Upgraded)
            }
        }
    }

    fn iterations(&self) -> u32 {
        let host = self.host.as_ref();
        host.map_or(upgrade::ITERATIONS_MIN, |host| {
            host.mechanisms.iterations.max(upgrade::ITERATIONS_MIN)
        })
    }

    /// An answer of the desk to an attempt.
    pub fn sasl_answered(
        &mut self,
        mut attempt: Box<Attempt>,
        answer: Answer,
        out: &mut Out<'_>,
    ) -> Flow {
        let phase = std::mem::replace(&mut attempt.phase, Phase::Response);
        match (phase, answer) {
            (Phase::Exchange, answer) => {
                let next = attempt.exchange.step(Step::Answer(answer));
                self.follow(attempt, next, out)
            }
            (Phase::Noted(failure), Answer::Noted)
            | (Phase::Authorized, Answer::Authorized(Err(failure)))
            | (Phase::Upgraded, Answer::Upgraded(Err(failure))) => {
                self.fail(attempt.profile, failure, out)
            }
            (Phase::Authorized, Answer::Authorized(Ok(authorized))) => {
                attempt.generation = authorized.generation;
                let tasks = &mut attempt.wishes.tasks;
                tasks.retain(|hash| authorized.missing.contains(hash));
                self.proceed(attempt, out)
            }
            (Phase::Upgraded, Answer::Upgraded(Ok(()))) => self.proceed(attempt, out),
            (Phase::Inline, Answer::Inline(results)) => {
                attempt.results.extend(results);
                self.proceed(attempt, out)
            }
            (Phase::Resumed(previd), Answer::Resumed(Ok(resumed))) => {
                let element = resume::element(&previd, &resumed);
                attempt.resumed = Some((resumed, element));
                attempt.wishes.bind = None;
                attempt.wishes.before_bind.clear();
                self.proceed(attempt, out)
            }
            (Phase::Resumed(_), Answer::Resumed(Err(refusal))) => match resume::failed(&refusal) {
                Ok(failed) => {
                    attempt.not_resumed = Some(failed);
                    self.proceed(attempt, out)
                }
                Err(flow) => flow,
            },
            (Phase::Bound, Answer::Bound(bound)) => {
                // Without a resource the client is still authenticated, and may bind the classic way to hear why.
                attempt.bound = bound.ok();
                self.proceed(attempt, out)
            }
            _ => StreamCondition::InternalServerError.into(),
        }
    }

    /// The next thing to do between proof and success.
    fn proceed(&mut self, mut attempt: Box<Attempt>, out: &mut Out<'_>) -> Flow {
        let Some(proved) = &mut attempt.proved else {
            return StreamCondition::InternalServerError.into();
        };
        if let Some(hash) = attempt.wishes.tasks.pop_front() {
            out.element(&upgrade::offer(hash, proved.data.take()));
            return self.wait(attempt, Phase::Next(hash));
        }
        if let Some(wish) = attempt.wishes.resume.take() {
            return self.resume_inline(attempt, wish, out);
        }
        if !attempt.wishes.before_bind.is_empty() {
            return self.inline(attempt, When::BeforeBind, out);
        }
        if let Some(bind) = attempt.wishes.bind.take() {
            attempt.acks = bind.acks;
            let user = proved.user.clone();
            let anonymous = proved.anonymous;
            let agent = attempt.wishes.agent.clone();
            out.ask(self.bind2_request(user, anonymous, agent, bind));
            return self.wait(attempt, Phase::Bound);
        }
        if !attempt.wishes.into_success.is_empty() {
            return self.inline(attempt, When::IntoSuccess, out);
        }
        self.succeed(*attempt, out)
    }

    fn resume_inline(
        &mut self,
        mut attempt: Box<Attempt>,
        wish: Result<Resume, Condition>,
        out: &mut Out<'_>,
    ) -> Flow {
        let (wish, user) = match (wish, &attempt.proved) {
            (Ok(wish), Some(proved)) => (wish, proved.user.clone()),
            (Ok(_), None) => return StreamCondition::InternalServerError.into(),
            (Err(condition), _) => {
                attempt.not_resumed = Some(acks::failed(condition, None));
                return self.proceed(attempt, out);
            }
        };
        out.ask(Question::Resume(Box::new(ResumeRequest {
            user,
            token: wish.previd.clone(),
            h: wish.h,
            address: self.peer.address.clone(),
        })));
        self.wait(attempt, Phase::Resumed(wish.previd))
    }

    fn inline(&mut self, mut attempt: Box<Attempt>, when: When, out: &mut Out<'_>) -> Flow {
        let elements = match when {
            When::BeforeBind => std::mem::take(&mut attempt.wishes.before_bind),
            When::IntoSuccess => std::mem::take(&mut attempt.wishes.into_success),
        };
        let (Some(user), Some(host)) = (attempt.user(), &self.host) else {
            return StreamCondition::InternalServerError.into();
        };
        let proved = attempt.proved.as_ref();
        out.ask(Question::Inline(Box::new(InlineRequest {
            user: user.clone(),
            mechanism: attempt.mechanism.clone(),
            generation: attempt.generation,
            host: host.domain.clone(),
            anonymous: proved.is_some_and(|proved| proved.anonymous),
            agent: attempt.wishes.agent.clone(),
            when,
            elements,
        })));
        self.wait(attempt, Phase::Inline)
    }
}

/// A session that was bound for an attempt which then came to nothing must hear of it.
impl Drop for Attempt {
    fn drop(&mut self) {
        let bound = self.bound.take().map(|bound| bound.seat);
        let resumed = self.resumed.take().map(|(resumed, _)| resumed.seat);
        for seat in bound.into_iter().chain(resumed) {
            seat.closed(End::ConnectionLost);
        }
    }
}

impl Attempt {
    /// The full JID once bound, before that the bare one.
    pub(super) fn user(&self) -> Option<&Jid> {
        let bound = self.bound.as_ref().map(|bound| &bound.jid);
        let resumed = self.resumed.as_ref().map(|(resumed, _)| &resumed.jid);
        bound
            .or(resumed)
            .or(self.proved.as_ref().map(|proved| &proved.user))
    }
}
