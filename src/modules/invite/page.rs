//! The page behind the link of an invitation (XEP-0401 §5.2, XEP-0379 §3.3): what it is, an app, the way into it, and a form
//! for who would rather make the account in the browser. It loads nothing, and runs nothing.

use std::net::IpAddr;
use std::sync::Arc;

use super::Shared;
use super::qr::svg;
use super::words::Words;
use crate::hooks::command::Password;
use crate::hooks::page::{escaped, fields, is_own_form, page};
use crate::hooks::{HttpHeaders, HttpMethod, HttpRequest, HttpResponse, HttpRoute, Registrar};
use crate::proto::error::{Condition, StanzaError};
use crate::proto::{Jid, datetime};
use crate::runtime::origin::Origin;
use crate::state::invites::{Invite, Kind};
use crate::state::newcomers::Wish;
use crate::state::token_id::Id;
use crate::store::Batch;

/// The path of all invitations.
pub(super) const PATH: &str = "/invite";

/// Bytes of a filled-in form.
const FORM: u64 = 4_096;

const STYLE: &str = "body{font:1.1em/1.5 system-ui,sans-serif;max-width:34em;margin:0 auto;padding:1em;color:#111;background:#fff}\
h1{font-size:1.5em;line-height:1.2;overflow-wrap:anywhere}li{margin:.7em 0}a{color:#0645ad}\
.go,button{display:inline-block;font:inherit;background:#0b57d0;color:#fff;border:0;border-radius:.4em;padding:.6em 1.2em;text-decoration:none}\
.go:focus,button:focus,input:focus{outline:3px solid #f90;outline-offset:2px}\
label{display:block;margin:.8em 0}input{display:block;font:inherit;width:100%;box-sizing:border-box;padding:.5em;border:1px solid #666;border-radius:.3em}\
svg{width:12em;max-width:100%}[role=alert]{border-left:.4em solid #b00020;padding-left:.8em}\
@media(prefers-color-scheme:dark){body{color:#eee;background:#111}a{color:#8ab4f8}input{color:#eee;background:#222}}";

/// Apps by the system that a browser says it runs on.
const APPS: &[(&str, &[(&str, &str)])] = &[
    (
        "Android",
        &[
            ("Conversations", "https://conversations.im/"),
            ("Cheogram", "https://cheogram.com/android"),
        ],
    ),
    (
        "iPhone",
        &[
            ("Monal", "https://monal-im.org/"),
            ("Siskin", "https://siskin.im/"),
        ],
    ),
    (
        "iPad",
        &[
            ("Monal", "https://monal-im.org/"),
            ("Siskin", "https://siskin.im/"),
        ],
    ),
    (
        "Macintosh",
        &[
            ("Monal", "https://monal-im.org/"),
            ("Beagle", "https://beagle.im/"),
        ],
    ),
    (
        "Windows",
        &[
            ("Gajim", "https://gajim.org/"),
            ("Dino", "https://dino.im/"),
        ],
    ),
    (
        "",
        &[
            ("Dino", "https://dino.im/"),
            ("Gajim", "https://gajim.org/"),
        ],
    ),
];

/// Serves it where web clients reach the host.
pub(super) fn begin(shared: &Arc<Shared>, r: &mut Registrar<'_>) {
    if shared.url.is_none() {
        return;
    }
    let this = shared.clone();
    r.http(HttpRoute::new(HttpMethod::Get, PATH), move |request| {
        let this = this.clone();
        async move { this.show(request).await }
    });
    let this = shared.clone();
    let form = HttpRoute::new(HttpMethod::Post, PATH).body(FORM);
    r.http(form, move |request| {
        let this = this.clone();
        async move { this.filled_in(request).await }
    });
}

/// A form as it came.
#[derive(Default)]
struct Given {
    name: String,
    password: String,
    again: String,
}

impl Shared {
    async fn show(self: &Arc<Self>, request: HttpRequest) -> HttpResponse {
        let HttpRequest {
            rest,
            peer,
            headers,
            ..
        } = request;
        let words = Words::wanted(headers.get("accept-language"));
        match self.meant(&rest, peer).await {
            Ok((token, _, invite)) => {
                let page = self.page(words, &token, &invite, agent(&headers), None);
                answer(200, words, &page.0, &page.1)
            }
            Err(error) => gone(words, &error),
        }
    }

    /// The invitation that a path names.
    async fn meant(&self, rest: &str, peer: IpAddr) -> Result<(String, Id, Invite), StanzaError> {
        let token = rest.strip_prefix('/').unwrap_or_default();
        let address = Origin::name(&peer.to_string());
        let (id, invite) = self.good(token, &address).await?;
        Ok((token.to_owned(), id, invite))
    }

    async fn filled_in(self: &Arc<Self>, request: HttpRequest) -> HttpResponse {
        let HttpRequest {
            rest,
            peer,
            headers,
            body,
            ..
        } = request;
        let words = Words::wanted(headers.get("accept-language"));
        if !is_own_form(&headers, self.url.as_deref()) {
            return HttpResponse::text(403, "This form is not from here.");
        }
        let Ok(body) = body.whole().await else {
            return HttpResponse::text(400, "This is no form.");
        };
        let (token, id, invite) = match self.meant(&rest, peer).await {
            Ok(found) => found,
            Err(error) => return gone(words, &error),
        };
        let given = read(&body);
        match self.fill(id, &invite, &given).await {
            Ok(account) => done(words, &invite, &account, agent(&headers)),
            Err(error) => {
                let wrong = wrong(words, &given, &error);
                let name = (wrong, given.name.as_str());
                let system = agent(&headers);
                let page = self.page(words, &token, &invite, system, Some(name));
                answer(422, words, &page.0, &page.1)
            }
        }
    }

    async fn fill(
        self: &Arc<Self>,
        id: Id,
        invite: &Invite,
        given: &Given,
    ) -> Result<Jid, StanzaError> {
        if given.password != given.again {
            return Err(Condition::BadRequest.into());
        }
        if invite.kind == Kind::Reset {
            return self.reset(id, invite, given).await;
        }
        if !invite.register {
            return Err(Condition::NotAllowed.into());
        }
        let username = invite
            .name
            .clone()
            .unwrap_or_else(|| given.name.trim().to_owned());
        if username.is_empty() {
            return Err(Condition::JidMalformed.into());
        }
        let name = Jid::new(Some(&username), self.host.domain(), None);
        name.map_err(|_| StanzaError::from(Condition::JidMalformed))?;
        let wish = Wish {
            username,
            password: given.password.clone(),
        };
        self.make(id, invite, wish).await
    }

    /// A new password; the link is used up before, so that it never works twice.
    async fn reset(&self, id: Id, invite: &Invite, given: &Given) -> Result<Jid, StanzaError> {
        let broken = || StanzaError::from(Condition::InternalServerError);
        let name = invite.name.as_deref().unwrap_or_default();
        self.newcomers.acceptable(name, &given.password)?;
        let account = Jid::new(Some(name), self.host.domain(), None).map_err(|_| broken())?;
        let mut batch = Batch::new();
        self.desk.use_up(&mut batch, id, invite);
        let used = self.deps.store.commit(batch).await;
        used.map_err(|_| StanzaError::from(Condition::ItemNotFound))?;
        let password = Password(given.password.clone());
        let set = self
            .deps
            .accounts
            .set_password(account.clone(), password, None);
        set.await.map_err(|_| broken())?;
        self.used.count();
        tracing::info!(%account, "a new password by a link");
        Ok(account)
    }

    /// Title and body of the page of an invitation; after an attempt with what was wrong and the name that was tried.
    fn page(
        &self,
        words: &Words,
        token: &str,
        invite: &Invite,
        system: &str,
        attempt: Option<(&str, &str)>,
    ) -> (String, String) {
        let title = self.title(words, invite);
        let mut body = String::new();
        if let Some((wrong, _)) = attempt {
            body += &format!("<p role=\"alert\">{}</p>", escaped(wrong));
        }
        let tried = attempt.map_or("", |(_, name)| name);
        if invite.kind == Kind::Reset {
            body += &form(words, invite, token, tried);
            return (title, body);
        }
        let uri = escaped(&self.uri(invite, token));
        let last = match invite.kind {
            Kind::Contact if !invite.register => words.step_contact,
            _ => words.step_account,
        };
        body += &format!("<p>{}</p>", escaped(words.what_it_is));
        body += &format!(
            "<ol><li>{} {}</li><li>{}<br><a class=\"go\" href=\"{uri}\">{}</a></li><li>{}</li></ol>",
            escaped(words.step_app),
            apps(system),
            escaped(words.step_open),
            escaped(words.open),
            escaped(last)
        );
        if invite.register {
            let open = if attempt.is_some() { " open" } else { "" };
            body += &format!(
                "<details{open}><summary>{}</summary>{}</details>",
                escaped(words.or_here),
                form(words, invite, token, tried)
            );
        }
        let link = self.link(token).unwrap_or_default();
        if let Some(code) = svg(&link, &escaped(words.camera)) {
            body += &format!("<p>{}</p>{code}", escaped(words.camera));
        }
        let when = words
            .until
            .replace("{when}", &datetime::format(invite.until / 60_000 * 60_000));
        body += &format!("<p>{}</p>", escaped(&when));
        (title, body)
    }

    fn title(&self, words: &Words, invite: &Invite) -> String {
        let whose = invite.name.as_deref().unwrap_or_default();
        match (invite.kind, invite.inviter.as_ref()) {
            (Kind::Reset, _) => {
                let account = format!("{whose}@{}", self.host);
                words.reset.replace("{who}", &account)
            }
            (Kind::Contact, Some(inviter)) => words.from_contact.replace("{who}", &inviter.account),
            _ => words.to_host.replace("{host}", self.host.as_str()),
        }
    }
}

fn agent(headers: &HttpHeaders) -> &str {
    headers.get("user-agent").unwrap_or_default()
}

fn apps(system: &str) -> String {
    let mut known = APPS.iter();
    let apps = known.find(|(name, _)| system.contains(name));
    let links = apps.map_or(&[][..], |(_, apps)| apps).iter();
    let links = links
        .map(|(name, url)| format!("<a href=\"{url}\" rel=\"noopener noreferrer\">{name}</a>"));
    links.collect::<Vec<_>>().join(", ")
}

fn form(words: &Words, invite: &Invite, token: &str, tried: &str) -> String {
    let reset = invite.kind == Kind::Reset;
    let name = match (reset, &invite.name) {
        (true, name) | (false, name @ Some(_)) => format!(
            "<input type=\"hidden\" name=\"name\" autocomplete=\"username\" value=\"{}\">",
            escaped(name.as_deref().unwrap_or_default())
        ),
        (false, None) => format!(
            "<label>{}<input name=\"name\" required maxlength=\"200\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" value=\"{}\"></label>",
            escaped(words.name),
            escaped(tried)
        ),
    };
    let secret = |label: &str, name: &str| {
        format!(
            "<label>{}<input type=\"password\" name=\"{name}\" required maxlength=\"500\" autocomplete=\"new-password\"></label>",
            escaped(label)
        )
    };
    format!(
        "<form method=\"post\" action=\"{PATH}/{}\">{name}{}{}<button>{}</button></form>",
        escaped(token),
        secret(words.password, "password"),
        secret(words.again, "again"),
        escaped(if reset { words.set } else { words.make })
    )
}

fn read(body: &[u8]) -> Given {
    let mut given = Given::default();
    for (name, value) in fields(body) {
        match name.as_str() {
            "name" => given.name = value,
            "password" => given.password = value,
            "again" => given.again = value,
            _ => {}
        }
    }
    given
}

fn wrong<'w>(words: &'w Words, given: &Given, error: &StanzaError) -> &'w str {
    match error.condition {
        Condition::BadRequest if given.password != given.again => words.differ,
        Condition::Conflict => words.taken,
        Condition::JidMalformed => words.bad_name,
        Condition::NotAcceptable => words.bad_password,
        _ => words.failed,
    }
}

fn done(words: &Words, invite: &Invite, account: &Jid, system: &str) -> HttpResponse {
    if invite.kind == Kind::Reset {
        let title = words.was_set.replace("{who}", account.as_str());
        return answer(200, words, &title, "");
    }
    let title = words.made.replace("{who}", account.as_str());
    let body = format!(
        "<p>{} {}. {}</p>",
        escaped(words.step_app),
        apps(system),
        escaped(words.made_text)
    );
    answer(201, words, &title, &body)
}

fn gone(words: &Words, error: &StanzaError) -> HttpResponse {
    let (status, title, text) = match error.condition {
        Condition::ItemNotFound => (404, words.gone, words.gone_text),
        Condition::ResourceConstraint => (429, words.failed, ""),
        _ => (500, words.failed, ""),
    };
    answer(status, words, title, &format!("<p>{}</p>", escaped(text)))
}

fn answer(status: u16, words: &Words, title: &str, body: &str) -> HttpResponse {
    page(status, words.lang, STYLE, (&escaped(title), body))
        .with_header("vary", "accept-language, user-agent")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_has_apps() {
        assert!(apps("Mozilla/5.0 (Linux; Android 15)").contains("Conversations"));
        assert!(apps("Mozilla/5.0 (iPhone; CPU)").contains("Monal"));
        assert!(apps("curl").contains("Dino"));
    }
}
