//! A chat client as a web page, of files that the administrator put there.

use std::fs;

use super::web::{Web, server, server_at, without_tls};
use crate::support::server::{Running, start_text_own};

/// A server that has the client at a path, with files that pretend to be it.
async fn serving(text: &str) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("converse.min.js", "window.converse = {};"),
        ("converse.min.css", "body {}"),
        (".secret", "hush"),
        ("locales/de.js", "Hallo"),
        ("logo.svg", "<svg/>"),
        ("odd.thing", "?"),
    ] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let text = format!("[modules.web_client]\nfolder = {:?}\n{text}", folder.path());
    let server = server_at("https://chat.example:5443", &text).await;
    (server, folder)
}

#[tokio::test]
async fn the_page_starts_the_client_and_loads_nothing_else() {
    let (server, _folder) = serving("").await;
    let mut web = Web::plain(without_tls(&server)).await;
    for path in ["/chat", "/chat/"] {
        let page = web.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.contains("script-src 'self' 'wasm-unsafe-eval';"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(page.text().contains("src=\"/chat/converse.min.js\""));
        assert!(page.text().contains("src=\"/chat/start.js\""));
    }
    let start = web.get("/chat/start.js").await;
    assert_eq!(
        start.header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    for wanted in [
        "\"default_domain\":\"localhost\"",
        "\"assets_path\":\"/chat/\"",
        "\"websocket_url\":\"wss://chat.example:5443/xmpp-websocket\"",
        "\"bosh_service_url\":\"https://chat.example:5443/http-bind\"",
    ] {
        assert!(start.text().contains(wanted), "{}", start.text());
    }
    server.stop().await;
}

#[tokio::test]
async fn its_files_come_as_what_they_are_and_once() {
    let (server, folder) = serving("path = \"/talk\"\n").await;
    let mut web = Web::plain(without_tls(&server)).await;
    for (path, kind, text) in [
        (
            "/talk/converse.min.js",
            "text/javascript; charset=utf-8",
            "window.converse = {};",
        ),
        (
            "/talk/locales/de.js",
            "text/javascript; charset=utf-8",
            "Hallo",
        ),
        ("/talk/logo.svg", "image/svg+xml", "<svg/>"),
        ("/talk/odd.thing", "application/octet-stream", "?"),
    ] {
        let file = web.get(path).await;
        assert_eq!((file.status, file.text()), (200, text), "{path}");
        assert_eq!(file.header("content-type"), Some(kind), "{path}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        let tag = file.header("etag").unwrap().to_owned();
        let again = web.ask("GET", path, &[("If-None-Match", &tag)]).await;
        assert_eq!(again.status, 304, "{path}");
    }
    let tag = web.get("/talk/logo.svg").await;
    fs::write(folder.path().join("logo.svg"), "<svg id='new'/>").unwrap();
    let tag = tag.header("etag").unwrap().to_owned();
    let changed = web
        .ask("GET", "/talk/logo.svg", &[("If-None-Match", &tag)])
        .await;
    assert_eq!(changed.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn nothing_leads_out_of_its_folder() {
    let (server, _folder) = serving("").await;
    let mut web = Web::plain(without_tls(&server)).await;
    for path in [
        "/chat/.secret",
        "/chat/locales",
        "/chat/missing.js",
        "/chat/converse.min.js/more",
        "/chatter",
    ] {
        assert_eq!(web.get(path).await.status, 404, "{path}");
    }
    for path in [
        "/chat/../chat/.secret",
        "/chat/%2e%2e/etc/passwd",
        "/chat/..%2fetc",
    ] {
        let mut web = Web::plain(without_tls(&server)).await;
        let answer = web.get(path).await;
        assert!(
            matches!(answer.status, 400 | 404),
            "{path}: {}",
            answer.status
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn without_files_there_is_none() {
    let plain = server("").await;
    let mut web = Web::plain(without_tls(&plain)).await;
    assert_eq!(web.get("/chat").await.status, 404);
    plain.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let text = format!(
        "[server]\ndata_dir = {data:?}\n[hosts.localhost]\n[[listen]]\naddress = \"127.0.0.1:0\"\n[modules.web_client]\nfolder = {:?}\n",
        folder.path()
    );
    let refused = start_text_own(folder, &text, "localhost", &[]).await;
    let Err(error) = refused else {
        panic!("it started")
    };
    assert!(error.to_string().contains("converse.min.js"), "{error}");
}
