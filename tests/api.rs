//! Administration over HTTP: the commands of a domain as JSON, for who has a token.

use serde_json::{Value, json};
use waxwing::admin::command::ask;
use waxwing::hooks::command::{ActError, Caller, Given, Line, Report, Rights};

use crate::http::web::{Answer, Web};
use crate::support::server::{Running, start_server};

const URL: &str = "hosts.localhost.url=https://localhost:5443";

async fn start(sets: &[&str]) -> Running {
    let sets: Vec<&str> = sets
        .iter()
        .copied()
        .chain([URL, "modules.api.enabled=true"])
        .collect();
    start_server(&sets).await
}

/// What the command line is told.
async fn line(
    server: &Running,
    command: &str,
    arguments: &[(&str, &str)],
) -> Result<Vec<Line>, ActError> {
    let given = arguments.iter();
    let given: Given = given
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect();
    let caller = Caller {
        name: "a test".to_owned(),
        jid: None,
        rights: Rights::Server,
    };
    let (report, mut said) = Report::new();
    let acts = server.own().acts().clone();
    ask(command, &given, &caller, &acts, &report).await?;
    drop(report);
    let mut lines = Vec::new();
    while let Some(line) = said.recv().await {
        lines.push(line);
    }
    Ok(lines)
}

async fn token(server: &Running, name: &str, scopes: &str) -> String {
    let lines = line(server, "token add", &[("name", name), ("scopes", scopes)]).await;
    match lines.unwrap().as_slice() {
        [Line::Fact(fact, token)] if fact == "token" => token.clone(),
        other => panic!("{other:?}"),
    }
}

/// A command over HTTP, on a connection of its own.
async fn post(server: &Running, token: &str, path: &str, body: impl AsRef<str>) -> Answer {
    let kind = [("Content-Type", "application/json")];
    send(server, token, path, &kind, body.as_ref()).await
}

async fn send(
    server: &Running,
    token: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut web = Web::tls(server, server.addr, "http/1.1").await.unwrap();
    let headers: String = headers
        .iter()
        .map(|(n, v)| format!("{n}: {v}\r\n"))
        .collect();
    let length = body.len();
    web.send(format!(
        "POST /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         {headers}Content-Length: {length}\r\n\r\n{body}"
    ))
    .await;
    web.answer(false).await.unwrap()
}

fn read(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    serde_json::from_slice(&answer.body).unwrap()
}

/// The word for programs of a refusal.
fn refused(answer: &Answer) -> (u16, String) {
    let why = read(answer);
    assert!(why["text"].as_str().is_some_and(|text| !text.is_empty()));
    (answer.status, why["error"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_token_does_what_it_is_for_until_it_is_removed() {
    let server = start(&[]).await;
    let ops = token(&server, "ops", "all").await;
    let added = json!({ "account": "juliet@localhost", "password": "pencil" }).to_string();
    let answer = post(&server, &ops, "/user/add", &added).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(read(&answer)["left_out"], 0);
    let juliet = "juliet@localhost".parse().unwrap();
    server.client(&juliet).connect(server.addr).await.unwrap();
    let again = post(&server, &ops, "/user/add", &added).await;
    assert_eq!(refused(&again), (409, "exists".to_owned()));
    let listed = read(&post(&server, &ops, "/user/list", "").await);
    assert_eq!(listed["rows"][0][0], "juliet@localhost");
    // It is written down who did it, without secrets.
    let audit = format!("{:?}", line(&server, "audit list", &[]).await.unwrap());
    assert!(audit.contains("token ops of localhost"), "{audit}");
    assert!(
        !audit.contains("pencil") && !audit.contains(&ops),
        "{audit}"
    );
    let tokens = format!("{:?}", line(&server, "token list", &[]).await.unwrap());
    assert!(
        tokens.contains("\"ops\"") && !tokens.contains(&ops),
        "{tokens}"
    );
    let twice = line(&server, "token add", &[("name", "ops"), ("scopes", "all")]).await;
    assert!(matches!(twice, Err(ActError::NotAllowed(_))), "{twice:?}");
    line(&server, "token remove", &[("name", "ops")])
        .await
        .unwrap();
    let answer = post(&server, &ops, "/user/list", "").await;
    assert_eq!(refused(&answer), (401, "unauthorized".to_owned()));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
}

#[tokio::test]
async fn a_token_is_for_its_scopes_and_its_domain() {
    let server = start(&[]).await;
    server.account("juliet").await.unwrap();
    let reading = token(&server, "reading", "read").await;
    let rooms = token(&server, "rooms", "room").await;
    let list = async |token: &str| post(&server, token, "/user/list", "{}").await.status;
    assert_eq!(list(&reading).await, 200);
    assert_eq!(list(&rooms).await, 403);
    let kick = json!({ "accounts": ["juliet@localhost"] }).to_string();
    for token in [&reading, &rooms] {
        let answer = post(&server, token, "/user/kick", &kick).await;
        assert_eq!(refused(&answer), (403, "forbidden".to_owned()));
    }
    assert_eq!(post(&server, &rooms, "/room/list", "{}").await.status, 200);
    for odd in ["", "write", "user ad"] {
        let made = line(&server, "token add", &[("name", "odd"), ("scopes", odd)]).await;
        assert!(matches!(made, Err(ActError::Bad(_))), "{odd}: {made:?}");
    }
    // What is for administrators of the server alone is not in a token of the domain.
    let described = described(&server, &reading).await;
    assert!(described["paths"].get("/user/list").is_some());
    assert!(described["paths"].get("/user/add").is_none());
}

/// The description, with the server's hand on it.
async fn described(server: &Running, token: &str) -> Value {
    let mut web = Web::tls(server, server.addr, "http/1.1").await.unwrap();
    let bearer = format!("bearer {token}");
    let answer = web
        .ask("GET", "/api/v1/openapi.json", &[("Authorization", &bearer)])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    read(&answer)
}

#[tokio::test]
async fn the_description_has_what_the_commands_declare() {
    let server = start(&[]).await;
    let all = token(&server, "all", "all").await;
    let described = described(&server, &all).await;
    assert_eq!(described["openapi"], "3.1.0");
    assert_eq!(
        described["servers"][0]["url"],
        "https://localhost:5443/api/v1"
    );
    let add = &described["paths"]["/user/add"]["post"];
    let body = &add["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["required"], json!(["account", "password"]));
    assert_eq!(body["properties"]["password"]["format"], "password");
    assert!(body["properties"].get("host").is_none());
    for status in ["200", "400", "401", "403", "404", "409", "429", "500"] {
        assert!(add["responses"].get(status).is_some(), "{status}");
    }
    // No token makes another.
    assert!(described["paths"].get("/token/add").is_none());
    let answer = post(&server, &all, "/token/add", "{}").await;
    assert_eq!(refused(&answer), (404, "no-such-command".to_owned()));
}

#[tokio::test]
async fn what_is_not_asked_as_it_must_be_is_refused() {
    let server = start(&["modules.api.body=1KiB"]).await;
    let all = token(&server, "all", "all").await;
    let bad = |body: &str| (body.to_owned(), 400, "bad-argument");
    let cases = [
        bad("{"),
        bad("[]"),
        bad("null"),
        bad("{\"account\":\"juliet@localhost\"}"),
        bad("{\"account\":7,\"password\":\"x\"}"),
        bad("{\"account\":\"@\",\"password\":\"x\"}"),
        bad("{\"account\":\"juliet@localhost\",\"password\":\"x\",\"again\":\"x\"}"),
        bad("{\"account\":\"juliet@localhost\",\"password\":\"x\",\"oops\":true}"),
        (
            "{\"account\":\"juliet@elsewhere.example\",\"password\":\"x\"}".to_owned(),
            403,
            "forbidden",
        ),
    ];
    for (body, status, word) in cases {
        let answer = post(&server, &all, "/user/add", &body).await;
        assert_eq!(refused(&answer), (status, word.to_owned()), "{body}");
    }
    let answer = post(&server, &all, "/user/add", "x".repeat(2_000)).await;
    assert_eq!(answer.status, 413);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = send(&server, &all, "/user/list", &form, "a=b").await;
    assert_eq!(refused(&answer), (415, "no-json".to_owned()));
    for path in ["", "/user", "/user/nothing", "/user/list/x", "/user%20list"] {
        let answer = post(&server, &all, path, "{}").await;
        assert_eq!(
            refused(&answer),
            (404, "no-such-command".to_owned()),
            "{path}"
        );
    }
    let mut web = Web::tls(&server, server.addr, "http/1.1").await.unwrap();
    let answer = web.get("/api/v1/user/list").await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
}

#[tokio::test]
async fn who_guesses_waits_and_who_asks_too_often_too() {
    let server = start(&["modules.api.guesses=3", "modules.api.requests=1"]).await;
    let all = token(&server, "all", "all").await;
    for _ in 0..10 {
        assert_eq!(post(&server, &all, "/user/count", "").await.status, 200);
    }
    let answer = post(&server, &all, "/user/count", "").await;
    assert_eq!(refused(&answer), (429, "too-many".to_owned()));
    assert!(answer.header("retry-after").is_some());
    for _ in 0..3 {
        let answer = post(&server, "waxwing_nothing", "/user/count", "").await;
        assert_eq!(answer.status, 401);
    }
    // Who has guessed too often is not told whether the next one is right.
    let answer = post(&server, &all, "/user/count", "").await;
    assert_eq!(answer.status, 429);
}

#[tokio::test]
async fn it_is_off_unless_it_is_turned_on() {
    let server = start_server(&[URL]).await;
    assert_eq!(post(&server, "x", "/user/list", "").await.status, 404);
    let added = line(&server, "token add", &[("name", "x"), ("scopes", "all")]).await;
    assert!(matches!(added, Err(ActError::Bad(_))), "{added:?}");
}

/// What a browser sends when a form of this address is filled in.
async fn fill(server: &Running, cookie: &str, site: &str, form: &str) -> Answer {
    let mut web = Web::tls(server, server.addr, "http/1.1").await.unwrap();
    let length = form.len();
    web.send(format!(
        "POST /status HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: {site}\r\nCookie: {cookie}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
    ))
    .await;
    web.answer(false).await.unwrap()
}

async fn status(server: &Running, headers: &[(&str, &str)]) -> Answer {
    let mut web = Web::tls(server, server.addr, "http/1.1").await.unwrap();
    web.ask("GET", "/status", headers).await
}

#[tokio::test]
async fn the_status_page_is_for_who_showed_a_token() {
    let server = start(&[]).await;
    let arguments = [("name", "me"), ("scopes", "status"), ("server", "true")];
    let made = line(&server, "token add", &arguments).await.unwrap();
    let [Line::Fact(_, token)] = made.as_slice() else {
        panic!("{made:?}");
    };
    let asked = status(&server, &[]).await;
    assert_eq!(asked.status, 200);
    assert!(asked.text().contains("name=\"token\"") && !asked.text().contains("<svg"));
    let form = format!("token={token}");
    let come = fill(&server, "", "same-origin", &form).await;
    assert_eq!(
        (come.status, come.header("location")),
        (303, Some("/status"))
    );
    let cookie = come.header("set-cookie").unwrap();
    for word in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/status"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert!(!cookie.contains(token.as_str()));
    let known = cookie.split(';').next().unwrap();
    let shown = status(&server, &[("Cookie", known)]).await;
    let page = shown.text();
    assert!(
        page.contains("<svg") && page.contains("Certificates"),
        "{page}"
    );
    assert!(page.contains("<th>localhost</th>"), "{page}");
    let policy = shown.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
    assert_eq!(shown.header("refresh"), Some("10"));
    // The page alone: commands do not know the browser.
    let mut web = Web::tls(&server, server.addr, "http/1.1").await.unwrap();
    let answer = web
        .ask("GET", "/api/v1/openapi.json", &[("Cookie", known)])
        .await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        fill(&server, known, "cross-site", "leave=1").await.status,
        403
    );
    assert_eq!(
        fill(&server, known, "same-origin", "leave=1").await.status,
        303
    );
    assert_eq!(status(&server, &[("Cookie", known)]).await.status, 401);
    // Without its token nobody is known either.
    let come = fill(&server, "", "same-origin", &form).await;
    let known = come
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    line(&server, "token remove", &[("name", "me")])
        .await
        .unwrap();
    assert_eq!(status(&server, &[("Cookie", &known)]).await.status, 401);
}

#[tokio::test]
async fn the_status_page_is_not_for_tokens_of_a_domain_or_for_something_else() {
    let server = start(&[]).await;
    let domain = token(&server, "domain", "status").await;
    let arguments = [("name", "read"), ("scopes", "read"), ("server", "true")];
    let made = line(&server, "token add", &arguments).await.unwrap();
    let [Line::Fact(_, reading)] = made.as_slice() else {
        panic!("{made:?}");
    };
    for token in [&domain, reading] {
        let form = format!("token={token}");
        let answer = fill(&server, "", "same-origin", &form).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.header("set-cookie").is_none());
        let bearer = format!("Bearer {token}");
        let answer = status(&server, &[("Authorization", &bearer)]).await;
        assert_eq!(answer.status, 403);
    }
    assert_eq!(
        fill(&server, "", "same-origin", "token=x").await.status,
        401
    );
}
