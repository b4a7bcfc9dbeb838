//! Files: slots over XMPP, bytes over HTTPS (XEP-0363).

mod object_store;
mod stand_in;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use waxwing::proto::{Condition, ErrorType, StanzaError, datetime, ns};
use waxwing::runtime::clock::Clock;
use waxwing::xml::Element;

use crate::http::web::{Answer, Web};
use crate::support::client::{Client, Error};
use crate::support::process::{Process, jid};
use crate::support::server::{Running, start_own, start_server};

const URL: &str = "hosts.localhost.url=https://localhost:5443";
const SERVICE: &str = "upload.localhost";

async fn start(sets: &[&str]) -> Running {
    let sets: Vec<&str> = sets.iter().copied().chain([URL]).collect();
    start_server(&sets).await
}

async fn online(server: &Running, name: &str) -> Client {
    let jid = server.account(name).await.unwrap();
    server.client(&jid).connect(server.addr).await.unwrap()
}

async fn web(server: &Running) -> Web {
    Web::tls(server, server.addr, "http/1.1").await.unwrap()
}

/// The two addresses of a slot, without the part that names the server.
#[derive(Clone)]
struct Slot {
    put: String,
    get: String,
}

fn wish(name: &str, size: usize) -> Element {
    Element::new("request", ns::HTTP_UPLOAD)
        .with_attr("filename", name)
        .with_attr("size", &size.to_string())
}

async fn ask(client: &mut Client, wish: Element) -> Result<Slot, Error> {
    let slot = client.request("get", Some(SERVICE), wish).await?;
    let slot = slot.child("slot", ns::HTTP_UPLOAD).unwrap();
    let path = |name| {
        let url = slot
            .child(name, ns::HTTP_UPLOAD)
            .unwrap()
            .attr("url")
            .unwrap();
        url.strip_prefix("https://localhost:5443")
            .unwrap()
            .to_owned()
    };
    Ok(Slot {
        put: path("put"),
        get: path("get"),
    })
}

async fn slot(client: &mut Client, name: &str, size: usize) -> Slot {
    ask(client, wish(name, size)).await.unwrap()
}

async fn refused(client: &mut Client, wish: Element) -> StanzaError {
    match ask(client, wish).await {
        Err(Error::Refused(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was not refused"),
    }
}

async fn put(web: &mut Web, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    begin(web, path, headers, body.len()).await;
    web.send(body).await;
    web.answer(false).await.unwrap()
}

/// One that is not taken: its connection ends.
async fn refused_put(server: &Running, path: &str, body: &[u8]) -> Answer {
    let mut web = web(server).await;
    put(&mut web, path, &[], body).await
}

async fn begin(web: &mut Web, path: &str, headers: &[(&str, &str)], length: usize) {
    let mut head =
        format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    web.send(head + "\r\n").await;
}

/// How many files lie in the folder, whole or not.
fn files_in(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let count = |entry: std::fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => files_in(&entry.path()),
        false => 1,
    };
    entries.map(|entry| count(entry.unwrap())).sum()
}

fn files(server: &Running) -> usize {
    files_in(&server.data_dir().join("files"))
}

/// Waits until so many files lie there.
async fn files_become(server: &Running, count: usize) {
    for _ in 0..200 {
        if files(server) == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{} files", files(server));
}

#[tokio::test]
async fn the_service_is_found_and_says_what_it_takes() {
    let server = start(&["modules.upload.size=5MiB"]).await;
    let mut alice = online(&server, "alice").await;
    let items = Element::new("query", ns::DISCO_ITEMS);
    let items = alice
        .request("get", Some("localhost"), items)
        .await
        .unwrap();
    assert!(
        format!("{items:?}").contains("'upload.localhost'"),
        "{items:?}"
    );
    let info = Element::new("query", ns::DISCO_INFO);
    let info = alice.request("get", Some(SERVICE), info).await.unwrap();
    let info =
        waxwing::proto::disco::Info::parse(info.child("query", ns::DISCO_INFO).unwrap(), None);
    let identity = &info.identities[0];
    assert_eq!((&*identity.category, &*identity.kind), ("store", "file"));
    for purpose in ["message", "profile", "ephemeral"] {
        let feature = format!("{}#{purpose}", ns::UPLOAD_PURPOSE);
        assert!(info.features.contains(&feature), "{feature}");
    }
    assert!(
        !info
            .features
            .iter()
            .any(|feature| feature.ends_with("permanent"))
    );
    assert!(
        info.features
            .iter()
            .any(|feature| feature == ns::HTTP_UPLOAD)
    );
    let form = &info.forms[0];
    assert_eq!(form.form_type(), Some(ns::HTTP_UPLOAD));
    assert_eq!(form.value("max-file-size"), Some("5242880"));
    server.stop().await;
}

#[tokio::test]
async fn without_a_way_for_web_clients_there_is_no_service() {
    let server = start_server(&["http.on_client_ports=false"]).await;
    let mut alice = online(&server, "alice").await;
    let items = Element::new("query", ns::DISCO_ITEMS);
    let items = alice
        .request("get", Some("localhost"), items)
        .await
        .unwrap();
    assert!(!format!("{items:?}").contains("upload"), "{items:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_file_goes_up_and_whoever_has_its_address_gets_it() {
    let server = start(&[]).await;
    let mut alice = online(&server, "alice").await;
    let wish = wish("très cool.jpg", 5).with_attr("content-type", "image/jpeg");
    let slot = ask(&mut alice, wish).await.unwrap();
    assert!(slot.get.ends_with("/tr%C3%A8s%20cool.jpg"), "{}", slot.get);
    let mut web = web(&server).await;
    assert_eq!(web.get(&slot.get).await.status, 404);
    let stored = put(
        &mut web,
        &slot.put,
        &[("Content-Type", "image/jpeg")],
        b"hello",
    )
    .await;
    assert_eq!(stored.status, 201, "{}", stored.text());
    let got = web.get(&slot.get).await;
    assert_eq!((got.status, got.text()), (200, "hello"));
    let expected = [
        ("content-type", "image/jpeg"),
        (
            "content-disposition",
            "inline; filename=\"tr_s cool.jpg\"; filename*=UTF-8''tr%C3%A8s%20cool.jpg",
        ),
        ("x-content-type-options", "nosniff"),
        (
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'; sandbox",
        ),
        ("accept-ranges", "bytes"),
        ("access-control-allow-origin", "*"),
        (
            "etag",
            "\"blake3:ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f\"",
        ),
    ];
    for (name, value) in expected {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
    let cached = got.header("cache-control").unwrap();
    assert!(
        cached.starts_with("public, max-age=25") && cached.ends_with(", immutable"),
        "{cached}"
    );
    // The name in the address is for people.
    let (bare, _) = slot.get.rsplit_once('/').unwrap();
    assert_eq!(web.get(bare).await.text(), "hello");
    assert_eq!(server.figure("waxwing_upload_bytes_total") as u64, 5);
    server.stop().await;
}

#[tokio::test]
async fn parts_and_conditions() {
    let server = start(&[]).await;
    let mut alice = online(&server, "alice").await;
    let slot = slot(&mut alice, "a.bin", 10).await;
    let mut web = web(&server).await;
    assert_eq!(
        put(&mut web, &slot.put, &[], b"0123456789").await.status,
        201
    );
    let part = web.ask("GET", &slot.get, &[("Range", "bytes=2-4")]).await;
    assert_eq!((part.status, part.text()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    let end = web.ask("GET", &slot.get, &[("Range", "bytes=-1")]).await;
    assert_eq!((end.status, end.text()), (206, "9"));
    let beyond = web.ask("GET", &slot.get, &[("Range", "bytes=10-")]).await;
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some("bytes */10"))
    );
    let head = web.ask("HEAD", &slot.get, &[]).await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("10"))
    );
    let tag = head.header("etag").unwrap().to_owned();
    let same = web.ask("GET", &slot.get, &[("If-None-Match", &tag)]).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    let stale = [("If-Range", "\"x\""), ("Range", "bytes=2-4")];
    assert_eq!(web.ask("GET", &slot.get, &stale).await.text(), "0123456789");
    assert_eq!(
        web.ask("GET", &slot.get, &[("If-Match", "\"x\"")])
            .await
            .status,
        412
    );
    assert_eq!(web.ask("DELETE", &slot.get, &[]).await.status, 405);
    server.stop().await;
}

#[tokio::test]
async fn a_slot_is_for_one_file_and_nobody_guesses_it() {
    let server = start(&[]).await;
    let mut alice = online(&server, "alice").await;
    let slot = slot(&mut alice, "a", 5).await;
    let (path, key) = slot.put.split_once("?key=").unwrap();
    let other = |text: &str| {
        let mut other = text.to_owned();
        let first = if other.starts_with('a') { "b" } else { "a" };
        other.replace_range(0..1, first);
        other
    };
    for (path, status) in [
        (path.to_owned(), 403),
        (format!("{path}?key="), 403),
        (format!("{path}?key={}", other(key)), 403),
        (format!("{path}?key={}", key.to_uppercase()), 403),
        (format!("/upload/{}?key={key}", "a".repeat(26)), 404),
        (format!("/upload?key={key}"), 404),
        (format!("/upload/{}/a/b?key={key}", "a".repeat(26)), 404),
    ] {
        assert_eq!(
            refused_put(&server, &path, b"other").await.status,
            status,
            "{path}"
        );
    }
    assert_eq!(files(&server), 0);
    let mut web = web(&server).await;
    assert_eq!(put(&mut web, &slot.put, &[], b"first").await.status, 201);
    assert_eq!(refused_put(&server, &slot.put, b"again").await.status, 409);
    assert_eq!(web.get(&slot.get).await.text(), "first");
    server.stop().await;
}

#[tokio::test]
async fn nothing_leads_out_of_the_folder_and_nothing_is_listed() {
    let server = start(&[]).await;
    let mut alice = online(&server, "alice").await;
    let slot = slot(&mut alice, "../../../../etc/passwd", 5).await;
    assert!(
        slot.get.ends_with("/.._.._.._.._etc_passwd"),
        "{}",
        slot.get
    );
    let mut web = web(&server).await;
    assert_eq!(put(&mut web, &slot.put, &[], b"first").await.status, 201);
    let token = slot.get.split('/').nth(2).unwrap();
    for path in [
        "/upload".to_owned(),
        "/upload/".to_owned(),
        "/upload/new".to_owned(),
        format!("/upload/{}", &token[..2]),
        format!("/upload/{token}/../{token}/../../etc/passwd"),
        format!("/upload/{token}%2F..%2F..%2Flocal.key"),
        "/upload/../local.key".to_owned(),
        "/upload/..%2flocal.key".to_owned(),
        "/upload/%2e%2e/local.key".to_owned(),
        "/upload/%00".to_owned(),
    ] {
        let mut web = Web::tls(&server, server.addr, "http/1.1").await.unwrap();
        let status = web.get(&path).await.status;
        assert!(matches!(status, 400 | 404), "{path}: {status}");
    }
    server.stop().await;
}

#[tokio::test]
async fn only_what_was_asked_for_is_taken() {
    let server = start(&[]).await;
    let mut alice = online(&server, "alice").await;
    let wish = wish("a.png", 5).with_attr("content-type", "image/png");
    let slot = ask(&mut alice, wish).await.unwrap();
    for (body, headers, status) in [
        (&b"long er"[..], &[][..], 413),
        (b"shor", &[], 400),
        (b"", &[], 400),
        (b"hello", &[("Content-Type", "text/html")], 415),
    ] {
        let mut web = web(&server).await;
        let answer = put(&mut web, &slot.put, headers, body).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    let mut chunked = web(&server).await;
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        slot.put
    );
    chunked.send(head + "5\r\nhello\r\n0\r\n\r\n").await;
    assert_eq!(chunked.answer(false).await.unwrap().status, 411);
    assert_eq!(files(&server), 0);
    // None of that has used the slot up.
    let mut web = web(&server).await;
    let headers = [("Content-Type", "Image/PNG; x=y")];
    assert_eq!(
        put(&mut web, &slot.put, &headers, b"hello").await.status,
        201
    );
    server.stop().await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing_and_may_begin_again() {
    let server = start(&["http.body_timeout=1s"]).await;
    let mut alice = online(&server, "alice").await;
    let size = 1_000_000;
    let slot = slot(&mut alice, "a", size).await;
    // The connection is lost.
    let mut cut = web(&server).await;
    begin(&mut cut, &slot.put, &[], size).await;
    cut.send(vec![1; 600_000]).await;
    files_become(&server, 1).await;
    // Meanwhile nobody else uploads it.
    let mut other = web(&server).await;
    begin(&mut other, &slot.put, &[], size).await;
    assert_eq!(other.answer(false).await.unwrap().status, 409);
    drop(cut);
    files_become(&server, 0).await;
    // Nothing comes any more.
    let mut slow = Web::tls(&server, server.addr, "http/1.1").await.unwrap();
    begin(&mut slow, &slot.put, &[], size).await;
    slow.send(vec![1; 300_000]).await;
    files_become(&server, 1).await;
    assert_eq!(slow.answer(false).await.unwrap().status, 408);
    files_become(&server, 0).await;
    let mut web = Web::tls(&server, server.addr, "http/1.1").await.unwrap();
    assert_eq!(
        put(&mut web, &slot.put, &[], &vec![3; 1_000_000])
            .await
            .status,
        201
    );
    let got = web.get(&slot.get).await;
    assert!(got.body.len() == size && got.body.iter().all(|byte| *byte == 3));
    assert_eq!(files(&server), 1);
    server.stop().await;
}

#[tokio::test]
async fn so_many_uploads_at_once_and_no_more() {
    let server = start(&["modules.upload.uploads_each=1", "modules.upload.uploads=2"]).await;
    let mut busy = Vec::new();
    for name in ["alice", "bob"] {
        let mut client = online(&server, name).await;
        let slot_of_own = slot(&mut client, "a", 1_000_000).await;
        let mut web = web(&server).await;
        begin(&mut web, &slot_of_own.put, &[], 1_000_000).await;
        web.send(vec![1; 300_000]).await;
        busy.push((client, web));
        files_become(&server, busy.len()).await;
    }
    let second = slot(&mut busy[0].0, "b", 3).await;
    let mut carol = online(&server, "carol").await;
    let third = slot(&mut carol, "c", 3).await;
    for slot in [&second, &third] {
        let answer = refused_put(&server, &slot.put, b"abc").await;
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, Some("10"))
        );
    }
    // Bob's end makes room for carol, and alice has one on the way still.
    busy.truncate(1);
    files_become(&server, 1).await;
    let mut web = web(&server).await;
    assert_eq!(put(&mut web, &third.put, &[], b"abc").await.status, 201);
    assert_eq!(put(&mut web, &second.put, &[], b"abc").await.status, 503);
    server.stop().await;
}

#[tokio::test]
async fn active_content_is_saved_and_never_shown() {
    let server = start(&[]).await;
    let mut alice = online(&server, "alice").await;
    let mut web = web(&server).await;
    for (name, media) in [
        ("a.html", "text/html"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/svg+xml"),
        ("a.xml", "text/xml"),
        ("a.js", "text/javascript"),
        ("a.pdf", "application/pdf"),
        ("a.html", ""),
    ] {
        let wish = wish(name, 8).with_attr("content-type", media);
        let slot = ask(&mut alice, wish).await.unwrap();
        assert_eq!(put(&mut web, &slot.put, &[], b"<script>").await.status, 201);
        let got = web.get(&slot.get).await;
        assert_eq!(
            got.header("content-type"),
            Some("application/octet-stream"),
            "{name} {media}"
        );
        let how = got.header("content-disposition").unwrap();
        assert!(how.starts_with("attachment; "), "{how}");
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
        assert!(
            got.header("content-security-policy")
                .unwrap()
                .contains("sandbox")
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn names_do_not_break_out_of_headers_and_addresses() {
    let server = start(&[]).await;
    let mut alice = online(&server, "alice").await;
    let mut web = web(&server).await;
    for name in [
        "a\"; filename=\"b.exe",
        "a\nSet-Cookie: x=y",
        "a?b#c&key=d%2e",
        "\u{202e}gpj.exe",
        "日本語 🎉.png",
    ] {
        let slot = slot(&mut alice, name, 1).await;
        assert!(
            slot.get.is_ascii() && !slot.get.contains(['?', '#', ' ', '"']),
            "{}",
            slot.get
        );
        assert_eq!(put(&mut web, &slot.put, &[], b"a").await.status, 201);
        let got = web.get(&slot.get).await;
        assert_eq!(
            (got.status, got.header("set-cookie")),
            (200, None),
            "{name}"
        );
        let named = got.header("content-disposition").unwrap();
        assert_eq!(named.matches('"').count(), 2, "{named}");
    }
    server.stop().await;
}

#[tokio::test]
async fn bad_wishes() {
    let server = start(&["modules.upload.profile_size=2KiB"]).await;
    let mut alice = online(&server, "alice").await;
    let bare = Element::new("request", ns::HTTP_UPLOAD);
    let purpose = |name| Element::new(name, ns::UPLOAD_PURPOSE);
    let past = purpose("ephemeral").with_attr("expire-before", "2020-01-01T00:00:00Z");
    for (wish, condition) in [
        (bare.clone(), Condition::BadRequest),
        (
            bare.clone().with_attr("filename", "a"),
            Condition::BadRequest,
        ),
        (bare.clone().with_attr("size", "1"), Condition::BadRequest),
        (wish("a", 0), Condition::BadRequest),
        (
            bare.with_attr("filename", "a").with_attr("size", "-1"),
            Condition::BadRequest,
        ),
        (
            wish("a", 1).with_attr("content-type", "a/b\nc"),
            Condition::BadRequest,
        ),
        (wish(&"a".repeat(2_000), 1), Condition::NotAcceptable),
        (
            wish("a", 1).with_child(purpose("ephemeral")),
            Condition::BadRequest,
        ),
        (wish("a", 1).with_child(past), Condition::BadRequest),
        (
            wish("a", 1)
                .with_child(purpose("message"))
                .with_child(purpose("profile")),
            Condition::BadRequest,
        ),
        (
            wish("a", 1).with_child(purpose("permanent")),
            Condition::FeatureNotImplemented,
        ),
        (
            wish("a", 1).with_child(purpose("else")),
            Condition::FeatureNotImplemented,
        ),
    ] {
        let shown = format!("{wish:?}");
        assert_eq!(
            refused(&mut alice, wish).await.condition,
            condition,
            "{shown}"
        );
    }
    for (wish, most) in [
        (wish("a", 104_857_601), "104857600"),
        (wish("a", 2_049).with_child(purpose("profile")), "2048"),
    ] {
        let error = refused(&mut alice, wish).await;
        assert_eq!(
            (error.condition, error.kind),
            (Condition::NotAcceptable, ErrorType::Modify)
        );
        let large = error.app.unwrap();
        assert!(large.is("file-too-large", ns::HTTP_UPLOAD));
        let size = large.child("max-file-size", ns::HTTP_UPLOAD).unwrap();
        assert_eq!(size.text(), most);
    }
    server.stop().await;
}

#[tokio::test]
async fn quotas_say_when_to_try_again() {
    let sets = [
        "modules.upload.slots=2",
        "modules.upload.bytes=4KiB",
        "modules.upload.day=3KiB",
    ];
    let server = start(&sets).await;
    let mut alice = online(&server, "alice").await;
    let mut web = web(&server).await;
    let now = Clock::system().wall();
    let retry = |error: StanzaError| {
        assert_eq!(
            (error.condition, error.kind),
            (Condition::ResourceConstraint, ErrorType::Wait)
        );
        let retry = error.app.unwrap();
        assert!(retry.is("retry", ns::HTTP_UPLOAD));
        datetime::parse(retry.attr("stamp").unwrap()).unwrap()
    };
    let first = slot(&mut alice, "a", 2_000).await;
    let second = slot(&mut alice, "b", 100).await;
    // Two slots wait, for five minutes.
    let at = retry(refused(&mut alice, wish("c", 1)).await);
    assert!((now + 290_000..now + 310_000).contains(&at), "{now} {at}");
    assert_eq!(
        put(&mut web, &first.put, &[], &[0; 2_000]).await.status,
        201
    );
    assert_eq!(put(&mut web, &second.put, &[], &[0; 100]).await.status, 201);
    // What is left of the day.
    let at = retry(refused(&mut alice, wish("c", 1_000)).await);
    assert!(at > now && at.is_multiple_of(86_400_000), "{at}");
    // All there may be.
    retry(refused(&mut alice, wish("c", 3_000)).await);
    slot(&mut alice, "c", 900).await;
    // Others have their own.
    let mut bob = online(&server, "bob").await;
    slot(&mut bob, "a", 3_000).await;
    server.stop().await;
}

#[tokio::test]
async fn the_whole_host_has_a_bound_and_strangers_get_nothing() {
    let server = start(&["modules.upload.total=2KiB"]).await;
    let mut alice = online(&server, "alice").await;
    slot(&mut alice, "a", 1_500).await;
    let mut bob = online(&server, "bob").await;
    let error = refused(&mut bob, wish("a", 1_000)).await;
    assert_eq!(error.condition, Condition::ResourceConstraint);
    server.stop().await;

    let server = start(&["modules.upload.who=admins"]).await;
    let mut alice = online(&server, "alice").await;
    let error = refused(&mut alice, wish("a", 1)).await;
    assert_eq!(
        (error.condition, error.kind),
        (Condition::Forbidden, ErrorType::Auth)
    );
    server.stop().await;
}

#[tokio::test]
async fn no_file_outlives_the_moment_its_owner_named() {
    let server = start(&[]).await;
    let mut alice = online(&server, "alice").await;
    let end = Clock::system().wall() + 3_000;
    let ephemeral = Element::new("ephemeral", ns::UPLOAD_PURPOSE)
        .with_attr("expire-before", &datetime::format(end));
    let slot = ask(&mut alice, wish("a", 1).with_child(ephemeral))
        .await
        .unwrap();
    let mut web = web(&server).await;
    assert_eq!(put(&mut web, &slot.put, &[], b"a").await.status, 201);
    let got = web.get(&slot.get).await;
    let cached = got.header("cache-control").unwrap();
    let seconds: u64 = cached
        .strip_prefix("public, max-age=")
        .and_then(|rest| rest.strip_suffix(", immutable"))
        .unwrap()
        .parse()
        .unwrap();
    assert!(seconds <= 3, "{cached}");
    while Clock::system().wall() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(web.get(&slot.get).await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn files_go_with_their_account() {
    let server = start(&[]).await;
    let mut alice = online(&server, "alice").await;
    let mut bob = online(&server, "bob").await;
    let mut web = web(&server).await;
    let mut kept = Vec::new();
    for client in [&mut alice, &mut bob] {
        let slot = slot(client, "a", 1).await;
        assert_eq!(put(&mut web, &slot.put, &[], b"a").await.status, 201);
        kept.push(slot);
    }
    let open = slot(&mut alice, "b", 1).await;
    assert_eq!(files(&server), 2);
    server.accounts().delete(&alice.jid.bare()).await.unwrap();
    files_become(&server, 1).await;
    assert_eq!(web.get(&kept[0].get).await.status, 404);
    assert_eq!(web.get(&kept[1].get).await.status, 200);
    let late = put(&mut web, &open.put, &[], b"b").await.status;
    assert!(matches!(late, 403 | 404), "{late}");
    assert_eq!(files(&server), 1);
    server.stop().await;
}

/// XEP-0424: what is taken back takes its file along, if the configuration says so and the file is the sender's.
#[tokio::test]
async fn files_go_with_their_messages() {
    let server = start(&["modules.upload.retracted=true"]).await;
    let mut alice = online(&server, "alice").await;
    let mut bob = online(&server, "bob").await;
    let mut web = web(&server).await;
    let mut slots = Vec::new();
    for client in [&mut alice, &mut bob] {
        let slot = slot(client, "a.txt", 3).await;
        assert_eq!(put(&mut web, &slot.put, &[], b"abc").await.status, 201);
        slots.push(slot);
    }
    let (own, other) = (slots[0].get.clone(), slots[1].get.clone());
    let to = bob.jid.bare();
    for (id, path) in [("m1", &own), ("m2", &other)] {
        let message = format!(
            "<message to='{to}' type='chat' id='{id}'><body>https://localhost:5443{path}</body></message>"
        );
        alice.send(message.as_str()).await.unwrap();
    }
    for id in ["m2", "m1"] {
        let retract = format!(
            "<message to='{to}' type='chat' id='r{id}'><retract xmlns='{}' id='{id}'/></message>",
            ns::RETRACT
        );
        alice.send(retract.as_str()).await.unwrap();
    }
    files_become(&server, 1).await;
    for (path, status) in [(own, 404), (other, 200)] {
        assert_eq!(web.get(&path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn scripts_of_other_pages_may_upload() {
    let server = start(&[]).await;
    let mut web = web(&server).await;
    let asks = [
        ("Origin", "https://chat.example"),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "content-type"),
    ];
    let preflight = web.ask("OPTIONS", "/upload/x/y", &asks).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert!(
        preflight
            .header("access-control-allow-methods")
            .unwrap()
            .contains("PUT")
    );
    assert!(
        preflight
            .header("access-control-allow-headers")
            .unwrap()
            .contains("content-type")
    );
    server.stop().await;
}

#[tokio::test]
async fn slots_and_files_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_own(folder, &[URL], &[]).await.unwrap();
    let mut alice = online(&server, "alice").await;
    let mut first = web(&server).await;
    let (stored, open) = (
        slot(&mut alice, "a", 1).await,
        slot(&mut alice, "b", 1).await,
    );
    assert_eq!(put(&mut first, &stored.put, &[], b"a").await.status, 201);
    drop((first, alice));
    let folder = server.stop().await.unwrap();
    let server = start_own(folder, &[URL], &[]).await.unwrap();
    let mut web = web(&server).await;
    assert_eq!(web.get(&stored.get).await.text(), "a");
    assert_eq!(put(&mut web, &open.put, &[], b"b").await.status, 201);
    assert_eq!(web.get(&open.get).await.text(), "b");
    server.stop().await;
}

#[tokio::test]
async fn a_kill_in_the_middle_leaves_nothing_and_what_was_stored_stays() {
    let mut server = Process::start(&["romeo"], &[URL]);
    let folder = server.folder().join("data/files");
    let connect = async |server: &Process| {
        let client = server.client("romeo").connect(server.addr).await.unwrap();
        (
            client,
            Web::trusting(&server.trust(), server.addr, "http/1.1")
                .await
                .unwrap(),
        )
    };
    let (mut romeo, mut web) = connect(&server).await;
    let stored = slot(&mut romeo, "a", 3).await;
    assert_eq!(put(&mut web, &stored.put, &[], b"abc").await.status, 201);
    let cut = slot(&mut romeo, "b", 1_000_000).await;
    begin(&mut web, &cut.put, &[], 1_000_000).await;
    web.send(vec![1; 600_000]).await;
    for _ in 0..200 {
        if files_in(&folder) == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(files_in(&folder), 2);
    server.kill();
    server.restart();
    assert_eq!(files_in(&folder), 1);
    let (_romeo, mut web) = connect(&server).await;
    assert_eq!(web.get(&stored.get).await.text(), "abc");
    assert_eq!(web.get(&cut.get).await.status, 404);
    let again = put(&mut web, &cut.put, &[], &vec![2; 1_000_000]).await;
    assert_eq!(again.status, 201);

    // What the administrator sees of it, and does.
    let (done, list, _) = server.run(&["upload", "list"]);
    assert!(
        done && list.contains("romeo@localhost") && list.lines().count() >= 2,
        "{list}"
    );
    let token = stored.get.split('/').nth(2).unwrap();
    assert!(!list.contains(token), "{list}");
    let row = list
        .lines()
        .find(|line| line.trim_end().ends_with(" a"))
        .unwrap();
    let file = row.split_whitespace().next().unwrap();
    let (done, said, error) = server.run(&["upload", "delete", "--file", file, "--yes"]);
    assert!(done, "{said} {error}");
    assert_eq!(web.get(&stored.get).await.status, 404);
    let romeo = jid("romeo").bare();
    let (done, said, error) =
        server.run(&["upload", "delete", "--account", romeo.as_str(), "--yes"]);
    assert!(done, "{said} {error}");
    assert_eq!(files_in(&folder), 0);
}
