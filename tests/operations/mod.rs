//! What an administrator does with a running server: look at it, change it, keep it in bounds, supervise it.

mod ceiling;
pub mod dns;
mod metrics;
mod reload;
mod start;
mod status;
mod supervision;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use waxwing::proto::ns;
use waxwing::xml::Element;

use crate::support::client::Client;
use crate::support::process::Process;

/// A command that must succeed; what it wrote.
fn run(server: &Process, arguments: &[&str]) -> String {
    let (done, out, error) = server.run(arguments);
    assert!(done, "{arguments:?}: {out}{error}");
    out
}

/// A reload that must be refused; what it said.
fn refused(server: &Process) -> String {
    let (done, out, error) = server.run(&["reload"]);
    assert!(!done, "{out}{error}");
    error
}

/// Whether the session still takes part.
async fn answers(client: &mut Client) -> bool {
    let ping = Element::new("ping", ns::PING);
    client.request("get", Some("localhost"), ping).await.is_ok()
}

/// Whether somebody accepts connections there and keeps them.
fn is_served(address: SocketAddr) -> bool {
    let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5)) else {
        return false;
    };
    // Who is turned away is closed at once; who is let in hears nothing before it has spoken.
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let read = std::io::Read::read(&mut &stream, &mut [0; 1]);
    read.is_err_and(|error| {
        matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        )
    })
}

/// Waits until it is so.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port that was free a moment ago.
fn free_address() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// A self-signed certificate where the server looks for it; its SHA-256.
fn certificate(data: &Path, domain: &str) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let made = rcgen::generate_simple_self_signed(vec![domain.to_owned()]).unwrap();
    let folder = data.join("certificates").join(domain);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("fullchain.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("privkey.pem"), made.signing_key.serialize_pem()).unwrap();
    Sha256::digest(made.cert.der()).into()
}
