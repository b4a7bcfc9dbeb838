//! A DNS server with a few records (RFC 1035), and `waxwing check` asking it.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;

/// Type of a question and, for each name, the answer's data.
pub type Records = Vec<(&'static str, u16, Vec<u8>)>;

pub const A: u16 = 1;
pub const SRV: u16 = 33;

fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

pub fn srv(port: u16, target: &str) -> Vec<u8> {
    let mut data = vec![0, 0, 0, 5];
    data.extend_from_slice(&port.to_be_bytes());
    data.extend_from_slice(&name(target));
    data
}

/// What a DNS server knows.
#[derive(Default)]
pub struct Zone {
    pub records: Records,
    /// It says that it has checked the signatures of all this (the AD bit).
    pub signed: bool,
    /// The signatures of this name are wrong.
    pub bogus: &'static str,
}

/// Answers until the process ends.
pub fn dns(records: Records) -> SocketAddr {
    serve(Zone {
        records,
        ..Zone::default()
    })
}

/// Answers until the process ends.
pub fn serve(zone: Zone) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let answer = answer(&buffer[..length], &zone);
            socket.send_to(&answer, from).unwrap();
        }
    });
    address
}

fn answer(question: &[u8], zone: &Zone) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let asked = question[12..end].to_ascii_lowercase();
    let kind = u16::from_be_bytes([question[end], question[end + 1]]);
    let bogus = !zone.bogus.is_empty() && name(zone.bogus) == asked;
    let flags = match (bogus, zone.signed) {
        // It failed.
        (true, _) => 0x82,
        (false, true) => 0xa0,
        (false, false) => 0x80,
    };
    let records = zone.records.iter().filter(|_| !bogus);
    let fitting: Vec<&Vec<u8>> = records
        .filter(|(of, known, _)| name(of) == asked && *known == kind)
        .map(|(_, _, data)| data)
        .collect();
    let mut answer = question[..2].to_vec();
    // A response, recursion available.
    answer.extend_from_slice(&[
        0x81,
        flags,
        0,
        1,
        0,
        u8::try_from(fitting.len()).unwrap(),
        0,
        0,
        0,
        0,
    ]);
    answer.extend_from_slice(&question[12..end + 4]);
    for data in fitting {
        answer.extend_from_slice(&[0xc0, 12]);
        answer.extend_from_slice(&kind.to_be_bytes());
        answer.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        answer.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        answer.extend_from_slice(data);
    }
    answer
}

fn check(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_waxwing"))
        .current_dir(folder)
        .args(["check"])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), text)
}

/// The configuration of a domain, with a certificate that nobody will like but that is there.
fn prepare(folder: &Path) -> u16 {
    let port = super::free_address().port();
    let text = format!(
        "[server]\ndata_dir = {:?}\n[hosts.\"chat.example\"]\n[[listen]]\naddress = \"0.0.0.0:{port}\"\n[store]\nreserve = 0\n",
        folder.join("data")
    );
    std::fs::write(folder.join("waxwing.toml"), text).unwrap();
    super::certificate(&folder.join("data"), "chat.example");
    use std::os::unix::fs::PermissionsExt;
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(folder.join("data"), private).unwrap();
    port
}

#[test]
fn check_compares_what_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let port = prepare(folder.path());
    let address = vec![192, 0, 2, 1];
    let server = dns(vec![
        (
            "_xmpp-client._tcp.chat.example",
            SRV,
            srv(port, "im.example"),
        ),
        (
            "_xmpps-client._tcp.chat.example",
            SRV,
            srv(443, "im.example"),
        ),
        ("im.example", A, address.clone()),
    ]);
    let (well, said) = check(folder.path(), &["--resolver", &server.to_string()]);
    assert!(well, "{said}");
    for expected in [
        &format!("ok       DNS: _xmpp-client._tcp.chat.example → im.example:{port}"),
        &format!(
            "warning  DNS: _xmpps-client._tcp.chat.example names port 443 of im.example, the server listens on {port}"
        ),
        "warning  certificate of chat.example: it is self-signed",
        "ok       the clock",
        "ok       free disk space",
        &format!("\n_xmpp-client._tcp.chat.example. 3600 IN SRV 0 5 {port} chat.example.\n"),
    ] {
        assert!(said.contains(expected), "no {expected} in:\n{said}");
    }
    let server = dns(vec![(
        "_xmpp-client._tcp.chat.example",
        SRV,
        srv(port, "gone.example"),
    )]);
    let (well, said) = check(folder.path(), &["--resolver", &server.to_string()]);
    assert!(!well);
    assert!(
        said.contains(
            "error    DNS: _xmpp-client._tcp.chat.example names gone.example, which has no address"
        ),
        "{said}"
    );
    let (well, said) = check(folder.path(), &["--resolver", &dns(Vec::new()).to_string()]);
    assert!(!well);
    assert!(
        said.contains("is not published: nobody finds chat.example"),
        "{said}"
    );
}

#[test]
fn a_dns_server_that_does_not_answer_costs_seconds_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let port = prepare(folder.path());
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let began = std::time::Instant::now();
    let resolver = mute.local_addr().unwrap().to_string();
    let (well, said) = check(folder.path(), &["--resolver", &resolver]);
    assert!(well, "{said}");
    assert!(
        said.contains("warning  DNS: _xmpp-client._tcp.chat.example cannot be looked up"),
        "{said}"
    );
    assert!(began.elapsed() < std::time::Duration::from_secs(30));
    let (well, said) = check(folder.path(), &["--offline"]);
    assert!(well && !said.contains("DNS:"), "{said}");
    let record = format!("3600 IN SRV 0 5 {port} chat.example.");
    assert!(said.contains(&record), "{said}");
}

#[test]
fn what_will_not_work_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let port = prepare(folder.path());
    std::fs::remove_file(
        folder
            .path()
            .join("data/certificates/chat.example/privkey.pem"),
    )
    .unwrap();
    let other = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let taken = other.local_addr().unwrap().port();
    let file = folder.path().join("waxwing.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.replace(&port.to_string(), &taken.to_string())
            .replace("reserve = 0", "reserve = \"1000GiB\""),
    )
    .unwrap();
    let (well, said) = check(folder.path(), &["--offline"]);
    assert!(!well);
    for expected in [
        "error    certificate of chat.example",
        "is in use by another program",
        "error    free disk space",
    ] {
        assert!(said.contains(expected), "no {expected} in:\n{said}");
    }
}
