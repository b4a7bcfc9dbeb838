//! Requests that are wrong, too large, too slow or too many: a clear status, and nothing done.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::web::{Web, server, without_tls};

#[tokio::test]
async fn what_nobody_offers() {
    let server = server("").await;
    let mut web = Web::plain(without_tls(&server)).await;
    let nothing = web.get("/nothing").await;
    assert_eq!(
        (nothing.status, nothing.text()),
        (404, "there is nothing here")
    );
    assert_eq!(nothing.header("server"), None);
    assert_eq!(nothing.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(web.get("/echoes").await.status, 404);
    for method in ["POST", "DELETE", "PATCH", "TRACE", "BREW"] {
        let mut web = Web::plain(without_tls(&server)).await;
        let refused = web.ask(method, "/echo", &[]).await;
        assert_eq!(
            (refused.status, refused.header("allow")),
            (405, Some("GET, HEAD, OPTIONS"))
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn paths_that_lead_elsewhere() {
    let server = server("").await;
    for path in [
        "/echo/..",
        "/echo/%2e%2e/etc",
        "/echo/a%2fb",
        "/echo//b",
        "/echo/a%00",
        "/echo/a%5cb",
        "/echo/%zz",
    ] {
        let mut web = Web::plain(without_tls(&server)).await;
        assert_eq!(web.get(path).await.status, 400, "{path}");
        assert!(web.is_over().await);
    }
    server.stop().await;
}

#[tokio::test]
async fn heads_that_are_no_heads() {
    let server = server("").await;
    for head in [
        "GET /echo HTTP/1.1\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: localhost\r\nHost: other.example\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: user@localhost\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "PUT /sink HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "GET /echo\r\n\r\n",
    ] {
        let mut web = Web::plain(without_tls(&server)).await;
        web.send(head).await;
        assert_eq!(web.answer(false).await.unwrap().status, 400, "{head}");
        assert!(web.is_over().await);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_too_large() {
    let server = server("[http]\nheader_bytes = \"8KiB\"\n").await;
    let mut web = Web::plain(without_tls(&server)).await;
    let long = "x".repeat(9_000);
    assert_eq!(
        web.ask("GET", "/echo", &[("X-Long", &long)]).await.status,
        431
    );
    assert!(web.is_over().await);
    let mut web = Web::plain(without_tls(&server)).await;
    let announced = web
        .ask("PUT", "/sink", &[("Content-Length", "100001")])
        .await;
    assert_eq!(announced.status, 413);
    let mut web = Web::plain(without_tls(&server)).await;
    web.send("PUT /sink HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..11 {
        web.send(format!("2710\r\n{}\r\n", "y".repeat(10_000)))
            .await;
    }
    let unannounced = web.answer(false).await.unwrap();
    assert_eq!(
        (unannounced.status, unannounced.text()),
        (400, "larger than allowed")
    );
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_nobody_asked_for_ends_no_connection_unannounced() {
    let server = server("").await;
    let mut web = Web::plain(without_tls(&server)).await;
    for _ in 0..2 {
        web.send("POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n")
            .await;
        // The body comes in a packet of its own.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        web.send("hello").await;
        let answer = web.answer(false).await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (404, None));
    }
    let mut web = Web::plain(without_tls(&server)).await;
    // Nor does one that is refused cut off who sends it.
    web.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n")
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(web.try_send(b"hello").await);
    let answer = web.answer(false).await.unwrap();
    assert_eq!(
        (answer.status, answer.header("connection")),
        (405, Some("close"))
    );
    let mut web = Web::plain(without_tls(&server)).await;
    for size in ["Content-Length: 70000", "Transfer-Encoding: chunked"] {
        web.send(format!(
            "POST /nothing HTTP/1.1\r\nHost: localhost\r\n{size}\r\n\r\n"
        ))
        .await;
        let answer = web.answer(false).await.unwrap();
        assert_eq!(answer.header("connection"), Some("close"), "{size}");
        assert!(web.is_over().await);
        web = Web::plain(without_tls(&server)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn an_answer_cannot_smuggle_headers() {
    let server = server("").await;
    let mut web = Web::plain(without_tls(&server)).await;
    let odd = web.get("/odd").await;
    assert_eq!((odd.status, odd.header("set-cookie")), (500, None));
    server.stop().await;
}

#[tokio::test]
async fn who_is_slow_is_not_waited_for() {
    let text = "[http]\nheader_timeout = \"1s\"\nidle_timeout = \"1s\"\nbody_timeout = \"1s\"\n";
    let server = server(text).await;
    let address = without_tls(&server);
    let mute = Web::plain(address).await;
    let mut slow_head = Web::plain(address).await;
    slow_head.send("GET /echo HTTP/1.1\r\nHo").await;
    let mut idle = Web::plain(address).await;
    assert_eq!(idle.get("/echo").await.status, 200);
    let mut slow_body = Web::plain(address).await;
    slow_body
        .send("PUT /sink HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc")
        .await;
    assert_eq!(slow_body.answer(false).await.unwrap().text(), "too slow");
    for mut web in [mute, slow_head, idle] {
        assert!(web.is_over().await);
    }
    server.stop().await;
}

#[tokio::test]
async fn who_asks_too_much_at_once_hears_so() {
    let text = "[limits.connections]\nexempt = []\n[http]\nrequests_per_address = 2\nrequests = 10\nproxies = [\"127.0.0.1\"]\n";
    let server = server(text).await;
    let address = without_tls(&server);
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(begun(address, "192.0.2.1").await);
    }
    let asked = async |from| {
        let mut web = Web::plain(address).await;
        web.ask("GET", "/echo", &[("X-Forwarded-For", from)]).await
    };
    let refused = asked("192.0.2.1").await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("5"))
    );
    assert_eq!(asked("192.0.2.2").await.status, 200);
    for last in 10..18 {
        open.push(begun(address, &format!("192.0.2.{last}")).await);
    }
    assert_eq!(asked("192.0.2.2").await.status, 503);
    for web in &mut open {
        web.send("c").await;
        assert_eq!(web.answer(false).await.unwrap().text(), "3 bytes");
    }
    assert_eq!(asked("192.0.2.1").await.status, 200);
    server.stop().await;
}

/// A request whose body is not whole yet, and that is being answered.
async fn begun(address: std::net::SocketAddr, from: &str) -> Web {
    let mut web = Web::plain(address).await;
    web.send(format!(
        "PUT /sink HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {from}\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    ))
    .await;
    assert_eq!(web.answer(true).await.unwrap().status, 100);
    web.send("ab").await;
    web
}

#[tokio::test]
async fn connections_are_bounded_too() {
    let server = server("[http]\nconnections = 10\n").await;
    let address = without_tls(&server);
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut web = Web::plain(address).await;
        assert_eq!(web.get("/echo").await.status, 200);
        open.push(web);
    }
    let mut web = Web::plain(address).await;
    assert_eq!(web.get("/echo").await.status, 503);
    drop(open);
    let mut status = 503;
    for _ in 0..200 {
        let mut web = Web::plain(address).await;
        web.send("GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        status = web.answer(false).await.map_or(503, |answer| answer.status);
        if status == 200 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(status, 200);
    server.stop().await;
}

/// Connects from an address of its own.
async fn from(address: [u8; 4], to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((address, 0).into())?;
    socket.connect(to).await
}

/// Those that the server has not closed.
fn still_open(connections: &mut Vec<TcpStream>) {
    let open = |stream: &mut TcpStream| {
        let read = stream.try_read(&mut [0; 512]);
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    connections.retain_mut(open);
}

#[tokio::test]
async fn ten_thousand_slow_requests_take_the_place_of_nobody_else() {
    let bounds =
        "[limits.connections]\nexempt = []\nper_address = 300\n[http]\nrequests_per_address = 50\n";
    let server = server(bounds).await;
    let to = without_tls(&server);
    for (slow, most_requests) in [
        ("GET /echo HTTP/1.1\r\nHost: local", 0.0),
        (
            "PUT /sink HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nslow",
            50.0,
        ),
    ] {
        let mut connections = Vec::new();
        for count in 1..=5_000 {
            // Who is refused may be so before all is said.
            if let Ok(mut stream) = from([127, 0, 0, 7], to).await {
                let _ = stream.write_all(slow.as_bytes()).await;
                connections.push(stream);
            }
            if count % 500 == 0 {
                still_open(&mut connections);
            }
        }
        still_open(&mut connections);
        let open = server.figure("waxwing_http_connections");
        assert!((1.0..=300.0).contains(&open), "{open}");
        let requests = server.figure("waxwing_http_requests_open");
        assert!(requests <= most_requests, "{requests}");
        assert!(connections.len() <= 300, "{}", connections.len());
        let mut other = Web::over(from([127, 0, 0, 8], to).await.unwrap());
        assert_eq!(other.get("/echo").await.status, 200);
        // Whoever came slowly goes on being waited for, within the time that it has.
        assert_eq!(
            server
                .own()
                .metrics()
                .samples()
                .sum("waxwing_http_timeouts_total"),
            0.0
        );
        drop(connections);
        for _ in 0..400 {
            if server.figure("waxwing_http_connections") <= 1.0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
    server.stop().await;
}
