//! The HTTP front: who is served where, what requests come to, and what bad ones do not.

mod bad;
mod client;
mod two;
pub mod web;

use web::{Answer, Web, server, server_at, with_tls, without_tls};

use crate::support::client::Security;

/// A request over one connection.
async fn echo(web: &mut Web) -> String {
    let answer = web.get("/echo/a%20b?c=%64").await;
    assert_eq!(answer.status, 200);
    answer.text().to_owned()
}

#[tokio::test]
async fn one_port_serves_xmpp_and_https() {
    let server = server("").await;
    for alpn in ["http/1.1", ""] {
        let mut web = Web::tls(&server, server.addr, alpn).await.unwrap();
        assert_eq!(echo(&mut web).await, "/a b c=%64 localhost 127.0.0.1 -");
        assert_eq!(echo(&mut web).await, "/a b c=%64 localhost 127.0.0.1 -");
    }
    // What says by ALPN that it is XMPP is.
    let mut web = Web::tls(&server, server.addr, "xmpp-client").await.unwrap();
    web.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(web.rest().await.contains("</stream:stream>"));
    let alice = server.account("alice").await.unwrap();
    for security in [Security::StartTls, Security::Direct] {
        let client = server.client(&alice).security(security);
        client
            .connect(server.addr)
            .await
            .unwrap()
            .close()
            .await
            .unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn web_clients_have_ports_of_their_own() {
    let server = server("").await;
    let mut web = Web::plain(without_tls(&server)).await;
    assert_eq!(echo(&mut web).await, "/a b c=%64 localhost 127.0.0.1 -");
    for alpn in ["http/1.1", ""] {
        let mut web = Web::tls(&server, with_tls(&server), alpn).await.unwrap();
        echo(&mut web).await;
    }
    assert!(
        Web::tls(&server, with_tls(&server), "xmpp-client")
            .await
            .is_err()
    );
    server.stop().await;
}

#[tokio::test]
async fn client_ports_can_be_left_to_xmpp() {
    let server = server("[http]\non_client_ports = false\n").await;
    assert!(Web::tls(&server, server.addr, "http/1.1").await.is_err());
    let mut web = Web::tls(&server, server.addr, "").await.unwrap();
    web.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(web.rest().await.contains("</stream:stream>"));
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_said_where_it_could_be_read() {
    let server = server("").await;
    for address in [server.addr, with_tls(&server)] {
        let mut web = Web::plain(address).await;
        let answer = web.get("/echo").await;
        assert_eq!(
            (answer.status, answer.header("connection")),
            (400, Some("close"))
        );
        assert!(answer.text().contains("https"), "{}", answer.text());
        assert!(web.is_over().await);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_trusted_proxy_says_whose_request_it_is() {
    let server = server("[http]\nproxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n").await;
    let mut web = Web::plain(without_tls(&server)).await;
    let whose = async |web: &mut Web, header, value| {
        let answer = web.ask("GET", "/echo", &[(header, value)]).await;
        answer.text().split(' ').nth(3).unwrap().to_owned()
    };
    for (header, value, peer) in [
        (
            "X-Forwarded-For",
            "198.51.100.1, 192.0.2.7, 10.1.1.1",
            "192.0.2.7",
        ),
        ("X-Forwarded-For", "2001:db8::1", "2001:db8::1"),
        ("X-Forwarded-For", "nonsense", "127.0.0.1"),
        ("Forwarded", "for=192.0.2.7", "127.0.0.1"),
    ] {
        assert_eq!(
            whose(&mut web, header, value).await,
            peer,
            "{header}: {value}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn nobody_else_says_whose_request_it_is() {
    let server = server("[http]\nproxies = []\n").await;
    let mut web = Web::plain(without_tls(&server)).await;
    let headers = [
        ("X-Forwarded-For", "192.0.2.7"),
        ("Forwarded", "for=192.0.2.7"),
    ];
    let answer = web.ask("GET", "/echo", &headers).await;
    assert_eq!(answer.text(), " - localhost 127.0.0.1 -");
    server.stop().await;
}

#[tokio::test]
async fn bodies_come_in_pieces_and_files_go_out_whole() {
    let server = server("").await;
    let mut web = Web::plain(without_tls(&server)).await;
    let head = "PUT /sink/x HTTP/1.1\r\nHost: localhost\r\n";
    web.send(format!("{head}Content-Length: 100000\r\n\r\n"))
        .await;
    for _ in 0..10 {
        web.send([7; 10_000]).await;
    }
    assert_eq!(web.answer(false).await.unwrap().text(), "100000 bytes");
    web.send(format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    ))
    .await;
    assert_eq!(web.answer(false).await.unwrap().text(), "5 bytes");
    let file = web.get("/file").await;
    assert_eq!(file.header("content-length"), Some("300000"));
    let intact = |(at, byte): (usize, &u8)| usize::from(*byte) == at % 251;
    assert!(file.body.len() == 300_000 && file.body.iter().enumerate().all(intact));
    let head = web.ask("HEAD", "/file", &[]).await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("300000"))
    );
    assert_eq!(web.get("/echo").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_file_that_is_shorter_than_promised_does_not_look_whole() {
    let server = server("").await;
    let mut web = Web::plain(without_tls(&server)).await;
    web.send("GET /file/cut HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert!(web.answer(false).await.is_none());
    server.stop().await;
}

#[tokio::test]
async fn scripts_of_web_pages_may_ask_where_the_feature_says_so() {
    let server = server("").await;
    let mut web = Web::plain(without_tls(&server)).await;
    let asks = [
        ("Origin", "https://chat.example"),
        ("Access-Control-Request-Method", "PUT"),
    ];
    let preflight = web.ask("OPTIONS", "/sink/x", &asks).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        preflight.header("access-control-allow-methods"),
        Some("PUT, OPTIONS")
    );
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        Some("x-name")
    );
    assert_eq!(preflight.header("access-control-allow-credentials"), None);
    assert_eq!(
        web.get("/file").await.header("access-control-allow-origin"),
        Some("*")
    );
    let closed = web.ask("OPTIONS", "/echo", &asks).await;
    assert_eq!(
        (closed.status, closed.header("allow")),
        (204, Some("GET, HEAD, OPTIONS"))
    );
    assert_eq!(closed.header("access-control-allow-origin"), None);
    server.stop().await;
}

#[tokio::test]
async fn the_name_chooses_the_host() {
    let text =
        "[hosts.\"other.example\"]\nurl = \"https://chat.example:8443\"\ncertificate = \"CERT\"\n";
    let server = two_hosts(text).await;
    let mut web = Web::plain(without_tls(&server)).await;
    for (name, host) in [
        ("localhost", Some("localhost")),
        ("LOCALHOST:5443", Some("localhost")),
        ("other.example.", Some("other.example")),
        ("upload.other.example", Some("other.example")),
        ("chat.example:8443", Some("other.example")),
        ("unknown.example", None),
        ("notother.example", None),
        ("[::1]:5280", None),
    ] {
        web.send(format!("GET /echo HTTP/1.1\r\nHost: {name}\r\n\r\n"))
            .await;
        let answer = web.answer(false).await.unwrap();
        match host {
            Some(host) => assert_eq!(answer.text().split(' ').nth(2), Some(host), "{name}"),
            None => {
                assert_eq!(answer.status, 421, "{name}");
                web = Web::plain(without_tls(&server)).await;
            }
        }
    }
    server.stop().await;
}

/// A second host, with a certificate of its own.
async fn two_hosts(text: &str) -> crate::support::server::Running {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["other.example".to_owned()]).unwrap();
    let file = folder.path().join("other.pem");
    std::fs::write(&file, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
    let server = server(&text.replace("CERT", file.to_str().unwrap())).await;
    drop(folder);
    server
}

/// The answer to a question for host-meta, as anybody's script gets it.
async fn host_meta(server: &crate::support::server::Running, path: &str) -> Answer {
    let mut web = Web::plain(without_tls(server)).await;
    let answer = web.get(&format!("/.well-known/{path}")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    answer
}

// XEP-0156 §2
#[tokio::test]
async fn web_clients_are_told_where_to_connect() {
    let text = "[http.websocket]\npath = \"/ws\"\n";
    let server = server_at("https://chat.example", text).await;
    let xrd = host_meta(&server, "host-meta").await;
    assert_eq!(xrd.header("content-type"), Some("application/xrd+xml"));
    let document = waxwing::xml::parse_document(&xrd.body, &waxwing::xml::Limits::new(10_000));
    let document = document.unwrap();
    assert!(document.is("XRD", "http://docs.oasis-open.org/ns/xri/xrd-1.0"));
    let of = |rel: &str| {
        let mut links = document.children();
        let link = links.find(|link| link.attr("rel") == Some(rel))?;
        Some(link.attr("href")?.to_owned())
    };
    let websocket = "urn:xmpp:alt-connections:websocket";
    assert_eq!(of(websocket).as_deref(), Some("wss://chat.example/ws"));
    let jrd = host_meta(&server, "host-meta.json").await;
    assert_eq!(jrd.header("content-type"), Some("application/json"));
    let jrd: serde_json::Value = serde_json::from_slice(&jrd.body).unwrap();
    let links = jrd["links"].as_array().unwrap();
    assert!(
        links
            .iter()
            .any(|link| link["rel"] == websocket && link["href"] == "wss://chat.example/ws")
    );
    server.stop().await;
}

/// What is not served, or others could read along, is not announced.
#[tokio::test]
async fn nothing_is_announced_that_is_not_there() {
    let off = "[http.websocket]\nenabled = false\n";
    for (url, text) in [("https://chat.example", off), ("http://chat.example", "")] {
        let server = server_at(url, text).await;
        let jrd = host_meta(&server, "host-meta.json").await;
        assert!(!jrd.text().contains("websocket"), "{}", jrd.text());
        server.stop().await;
    }
}

#[tokio::test]
async fn open_connections_do_not_hold_up_the_end() {
    let server = server("").await;
    let mut idle = Web::plain(without_tls(&server)).await;
    assert_eq!(idle.get("/echo").await.status, 200);
    let mut mute = Web::tls(&server, server.addr, "http/1.1").await.unwrap();
    let started = std::time::Instant::now();
    server.stop().await;
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
    assert!(idle.is_over().await && mute.is_over().await);
}
