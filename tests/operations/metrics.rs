//! Metrics: scraped over HTTP in the Prometheus text format, and listed in docs/metrics.md.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use waxwing::proto::ns;
use waxwing::xml::Element;

use crate::support::server::{Running, start_server};

const LISTEN: &str = "metrics.listen=127.0.0.1:0";

/// One HTTP request; head and body of the answer.
pub async fn http(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let text = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    let read = tokio::time::timeout(Duration::from_secs(10), read).await;
    read.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

async fn scrape(server: &Running) -> String {
    let address = server.own().metrics_address().unwrap();
    let (head, body) = http(address, "GET /metrics").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    body
}

/// The value of one line.
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in:\n{text}"));
    line.trim().parse().unwrap()
}

#[tokio::test]
async fn a_collector_sees_what_happens() {
    let server = start_server(&[LISTEN]).await;
    let (romeo, juliet) = (
        server.account("romeo").await.unwrap(),
        server.account("juliet").await.unwrap(),
    );
    let before = scrape(&server).await;
    assert_eq!(value(&before, "waxwing_sessions "), 0.0);
    let mut sender = server.client(&romeo).connect(server.addr).await.unwrap();
    let mut receiver = server.client(&juliet).connect(server.addr).await.unwrap();
    receiver.presence().await.unwrap();
    receiver.roster().await.unwrap();
    let text = format!("<message to='{juliet}' type='chat'><body>hi</body></message>");
    sender.send(text.as_str()).await.unwrap();
    let message = |el: &Element| el.is("message", ns::CLIENT);
    receiver.wait_for("the message", message).await.unwrap();
    let after = scrape(&server).await;
    for (name, expected) in [
        ("waxwing_sessions ", 2.0),
        ("waxwing_streams{state=\"bound\"} ", 2.0),
        ("waxwing_streams{state=\"login\"} ", 0.0),
        ("waxwing_logins_total ", 2.0),
        ("waxwing_stanzas_received_total{kind=\"message\"} ", 1.0),
        ("waxwing_stanzas_received_total{kind=\"presence\"} ", 1.0),
        ("waxwing_stanzas_sent_total{kind=\"message\"} ", 1.0),
        ("waxwing_store_read_only ", 0.0),
    ] {
        assert_eq!(value(&after, name), expected, "{name}");
    }
    assert!(value(&after, "waxwing_commit_seconds_count ") > 0.0);
    assert!(value(&after, "waxwing_memory_bytes ") > 1e6);
    let ceiling = value(&after, "waxwing_memory_ceiling_bytes ");
    assert!(ceiling > 1e6, "{ceiling}");
    let expiry = "waxwing_certificate_expiry_timestamp_seconds{host=\"localhost\"} ";
    assert!(value(&after, expiry) > 1e9);
    assert!(!after.contains("romeo"), "metrics name nobody");
}

#[tokio::test]
async fn a_bound_that_is_reached_is_counted() {
    let server = start_server(&[LISTEN, "limits.account.sessions=1"]).await;
    let romeo = server.account("romeo").await.unwrap();
    let _first = server.client(&romeo).connect(server.addr).await.unwrap();
    assert!(server.client(&romeo).connect(server.addr).await.is_err());
    let text = scrape(&server).await;
    let name = "waxwing_limits_reached_total{limit=\"limits.account.sessions\"} ";
    assert_eq!(value(&text, name), 1.0);
}

#[tokio::test]
async fn nothing_else_is_there_to_be_had() {
    let server = start_server(&[LISTEN]).await;
    let address = server.own().metrics_address().unwrap();
    for (request, status) in [
        ("GET /", "404"),
        ("GET /metrics/x", "404"),
        ("POST /metrics", "405"),
        ("HEAD /metrics", "200"),
        ("GET /healthz", "200"),
        ("GET /readyz", "200"),
        ("POST /readyz", "405"),
        ("nonsense", "400"),
    ] {
        let (head, _) = http(address, request).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}: {head}"
        );
    }
    let quiet = start_server(&[]).await;
    assert_eq!(quiet.own().metrics_address(), None);
}

/// `WAXWING_WRITE=1` writes the table anew.
#[tokio::test]
async fn the_table_in_the_documentation_is_complete() {
    let server = start_server(&[
        "federation.enabled=true",
        "federation.listen=[\"127.0.0.1:0\"]",
    ])
    .await;
    let table = server.own().metrics().samples().table();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let text = format!(
        "# Metrics\n\nWith `[metrics] listen = \"127.0.0.1:5280\"` a collector such as Prometheus reads these at \
         `http://127.0.0.1:5280/metrics`. They name hosts, never accounts.\n\n{table}"
    );
    if std::env::var_os("WAXWING_WRITE").is_some() {
        std::fs::write(file, &text).unwrap();
    }
    let written = std::fs::read_to_string(file).unwrap_or_default();
    let hint = "run WAXWING_WRITE=1 cargo test --test main operations::metrics";
    assert!(written == text, "docs/metrics.md is not up to date: {hint}");
}
