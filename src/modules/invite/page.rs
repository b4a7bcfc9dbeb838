//! The page behind the link of an invitation (XEP-0401 §5.2, XEP-0379 §3.3): what it is, an app, the way into it, and a form
//! for who would rather make the account in the browser. It loads nothing, and runs nothing.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use super::Shared;
use super::qr::svg;
use super::words::Words;
use crate::hooks::command::Password;
use crate::hooks::{
    HttpContent, HttpHeaders, HttpMethod, HttpRequest, HttpResponse, HttpRoute, Registrar,
};
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

/// What browsers are told: the style of the page and its own form, and nothing else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = BASE64.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

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
        if !self.is_own_form(&headers) {
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

    /// A form of another website is not filled in here: browsers say where it comes from.
    fn is_own_form(&self, headers: &HttpHeaders) -> bool {
        let site = headers.get("sec-fetch-site");
        let origin = headers.get("origin");
        let form = headers.get("content-type").is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        form && site.is_none_or(|site| site == "same-origin")
            && origin.is_none_or(|origin| Some(origin) == self.url.as_deref())
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

/// Fields of `application/x-www-form-urlencoded`.
fn read(body: &[u8]) -> Given {
    let mut given = Given::default();
    for field in body.split(|byte| *byte == b'&').take(10) {
        let mut parts = field.splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next(), parts.next().unwrap_or_default());
        match name {
            Some(b"name") => given.name = decoded(value),
            Some(b"password") => given.password = decoded(value),
            Some(b"again") => given.again = decoded(value),
            _ => {}
        }
    }
    given
}

fn decoded(value: &[u8]) -> String {
    let (mut out, mut rest) = (Vec::with_capacity(value.len()), value);
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let hex = (*first == b'%').then(|| tail.split_at_checked(2)).flatten();
        let byte = hex.and_then(|(digits, tail)| {
            let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            Some((byte, tail))
        });
        match byte {
            Some((byte, tail)) => {
                out.push(byte);
                rest = tail;
            }
            None if *first == b'+' => out.push(b' '),
            None => out.push(*first),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
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
    let title = escaped(title);
    let page = format!(
        "<!DOCTYPE html><html lang=\"{}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>",
        words.lang
    );
    HttpResponse::new(status)
        .with_header("content-type", "text/html; charset=utf-8")
        .with_header("content-language", words.lang)
        .with_header("vary", "accept-language, user-agent")
        .with_header("cache-control", "no-store")
        .with_header("content-security-policy", POLICY.as_str())
        .with_header("x-content-type-options", "nosniff")
        .with_header("x-robots-tag", "noindex")
        // To no other website, which would learn the token; forms need it to say whence they come.
        .with_header("referrer-policy", "same-origin")
        .with_content(HttpContent::Bytes(page.into()))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read() {
        let given = read(b"name=a%2Bb+c&password=%C3%A9%&again=%4&other=x");
        assert_eq!(given.name, "a+b c");
        assert_eq!(given.password, "é%");
        assert_eq!(given.again, "%4");
    }

    #[test]
    fn nothing_breaks_out_of_the_page() {
        assert_eq!(
            escaped("<a href=\"'&'\">"),
            "&lt;a href=&quot;&#39;&amp;&#39;&quot;&gt;"
        );
    }

    #[test]
    fn every_system_has_apps() {
        assert!(apps("Mozilla/5.0 (Linux; Android 15)").contains("Conversations"));
        assert!(apps("Mozilla/5.0 (iPhone; CPU)").contains("Monal"));
        assert!(apps("curl").contains("Dino"));
    }
}
