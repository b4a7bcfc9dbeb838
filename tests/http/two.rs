//! HTTP/2: the same requests on one connection, and what would abuse it.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::web::{Web, server, with_tls};
use crate::support::server::Running;

/// What a client begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Types of frames (RFC 9113 §6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
/// GET, `/echo` or what else has six letters, https, localhost (RFC 7541).
const HEAD: &[u8] = b"\x82\x87\x04\x05/echo\x01\x09localhost";
const FILE: &[u8] = b"\x82\x87\x04\x05/file\x01\x09localhost";

async fn connect(server: &Running) -> SendRequest<Full<Bytes>> {
    let web = Web::tls(server, with_tls(server), "h2").await.unwrap();
    let io = TokioIo::new(web.into_stream());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A request, and status and body of its answer.
async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> (StatusCode, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(format!("https://localhost{path}"))
        .body(Full::from(body))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap();
    (status, body.to_bytes())
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

/// A connection of frames, which says this in its settings.
async fn raw(server: &Running, settings: &[u8]) -> Web {
    let mut web = Web::tls(server, with_tls(server), "h2").await.unwrap();
    web.send([PREFACE, &frame(SETTINGS, 0, 0, settings)].concat())
        .await;
    web
}

/// The error of the frame that says why the connection ends, if one does.
fn goes_away(mut bytes: &[u8]) -> Option<u32> {
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let payload = rest.get(..length)?;
        if *kind == GOAWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        bytes = &rest[length..];
    }
    None
}

#[tokio::test]
async fn requests_share_a_connection() {
    let server = server("").await;
    let mut sender = connect(&server).await;
    let (status, body) = ask(&mut sender, "GET", "/echo/a%20b?c=%64", Vec::new()).await;
    assert_eq!(status, 200);
    assert_eq!(body, "/a b c=%64 localhost 127.0.0.1 -\n");
    let (mut one, mut two) = (sender.clone(), sender.clone());
    let (file, put) = tokio::join!(
        ask(&mut one, "GET", "/file", Vec::new()),
        ask(&mut two, "PUT", "/sink", vec![7; 90_000]),
    );
    assert_eq!((file.0.as_u16(), file.1.len()), (200, 300_000));
    assert_eq!((put.0.as_u16(), &put.1[..]), (201, &b"90000 bytes\n"[..]));
    let (status, _) = ask(&mut sender, "PUT", "/sink", vec![7; 200_000]).await;
    assert_eq!(status, 413);
    let (status, _) = ask(&mut sender, "GET", "/nothing", Vec::new()).await;
    assert_eq!(status, 404);
    // WebSockets begin with HTTP/1.1.
    let (status, _) = ask(&mut sender, "GET", "/xmpp-websocket", Vec::new()).await;
    assert!(status.is_client_error(), "{status}");
    assert_eq!(server.figure("waxwing_http_connections"), 1.0);
    drop((sender, one, two));
    server.stop().await;
}

#[tokio::test]
async fn the_port_of_clients_speaks_it_too() {
    let server = server("").await;
    let web = Web::tls(&server, server.addr, "h2").await.unwrap();
    let io = TokioIo::new(web.into_stream());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let (status, _) = ask(&mut sender, "GET", "/echo", Vec::new()).await;
    assert_eq!(status, 200);
    drop(sender);
    server.stop().await;
}

#[tokio::test]
async fn who_takes_requests_back_as_fast_as_they_come_is_sent_away() {
    let server = server("").await;
    let mut web = raw(&server, &[]).await;
    let mut frames = Vec::new();
    for stream in (1..4_000).step_by(2) {
        frames.extend(frame(HEADERS, 5, stream, HEAD));
        // CANCEL
        frames.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    web.try_send(&frames).await;
    // ENHANCE_YOUR_CALM
    assert_eq!(goes_away(&web.rest_bytes().await), Some(11));
    let samples = server.own().metrics().samples();
    assert!(samples.sum("waxwing_http_requests_total") < 200.0);
    server.stop().await;
}

#[tokio::test]
async fn heads_without_an_end_are_not_kept() {
    let server = server("").await;
    let mut web = raw(&server, &[]).await;
    web.send(frame(HEADERS, 1, 1, HEAD)).await;
    // A literal field that is never indexed: `x: ` and 16,000 letters.
    let field = [&[0x10, 1, b'x', 0x7f, 0x81, 0x7c][..], &[b'y'; 16_000]].concat();
    for _ in 0..200 {
        if !web.try_send(&frame(CONTINUATION, 0, 1, &field)).await {
            break;
        }
    }
    assert!(goes_away(&web.rest_bytes().await).is_some());
    assert_eq!(server.figure("waxwing_http_requests_open"), 0.0);
    server.stop().await;
}

#[tokio::test]
async fn who_asks_nothing_and_who_takes_nothing_is_not_waited_for() {
    let server = server("[http]\nheader_timeout = \"1s\"\nidle_timeout = \"1s\"\n").await;
    let mut silent = raw(&server, &[]).await;
    silent.rest_bytes().await;
    // A window of nothing, so that the answer cannot be sent.
    let mut taking = raw(&server, &[0, 4, 0, 0, 0, 0]).await;
    taking.send(frame(HEADERS, 5, 1, FILE)).await;
    taking.rest_bytes().await;
    assert_eq!(server.figure("waxwing_http_requests_open"), 0.0);
    assert_eq!(server.figure("waxwing_http_connections"), 0.0);
    // Who waits for an answer is.
    let mut sender = connect(&server).await;
    let (status, _) = ask(&mut sender, "GET", "/echo", Vec::new()).await;
    assert_eq!(status, 200);
    drop(sender);
    server.stop().await;
}
