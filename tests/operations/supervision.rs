//! What a service manager does: hands down sockets, hears that the server is ready, lives, reloads and stops.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use waxwing::proto::ns;
use waxwing::xml::Element;

use super::{is_served, until};
use crate::support::client::Client;
use crate::support::process::Process;

/// A server started as a service manager does; ended when dropped.
struct Service(Child);

impl Service {
    /// With `socket` handed down as descriptor 3, and these variables.
    fn start(
        folder: &Path,
        config: &str,
        socket: Option<TcpListener>,
        env: &[(&str, &str)],
    ) -> Self {
        let file = folder.join("waxwing.toml");
        let data = folder.join("data");
        let text = format!("[server]\ndata_dir = {data:?}\n[hosts.localhost]\n{config}");
        std::fs::write(&file, text).unwrap();
        let given = match socket {
            Some(socket) => Stdio::from(OwnedFd::from(socket)),
            None => Stdio::null(),
        };
        // The process id is only known after the fork.
        let script = match &given {
            _ if config.contains("[[listen]]") => {
                "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\" 3<&0 </dev/null"
            }
            _ => "exec \"$@\"",
        };
        let child = Command::new("sh")
            .args([
                "-c",
                script,
                "sh",
                env!("CARGO_BIN_EXE_waxwing"),
                "--config",
            ])
            .arg(&file)
            .arg("serve")
            .envs(env.iter().copied())
            .stdin(given)
            .stderr(File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        Service(child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_socket_that_was_handed_down_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = socket.local_addr().unwrap();
    // Somebody connects before the server runs: nobody is lost.
    let early = std::net::TcpStream::connect(address).unwrap();
    let config = format!("[[listen]]\naddress = \"{address}\"\n");
    let service = Service::start(folder.path(), &config, Some(socket), &[]);
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
    until("clients can connect", || {
        log().contains("clients can connect")
    });
    assert!(is_served(address), "{}", log());
    assert!(!log().contains("ERROR"), "{}", log());
    let mut early = early;
    std::io::Write::write_all(&mut early, b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>").unwrap();
    early
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut answer = [0; 512];
    let length = std::io::Read::read(&mut early, &mut answer).unwrap();
    assert!(length > 0);
    drop(service);
}

#[test]
fn the_service_manager_hears_how_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let hear = || {
        let mut buffer = [0; 200];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    // What comes next, apart from signs of life.
    let next = || loop {
        let heard = hear();
        if heard != "WATCHDOG=1" {
            return heard;
        }
    };
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "[[listen]]\naddress = \"{}\"\n",
        socket.local_addr().unwrap()
    );
    let env = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "600000"),
    ];
    let mut service = Service::start(folder.path(), &config, Some(socket), &env);
    assert!(next().starts_with("READY=1\n"));
    for _ in 0..3 {
        assert_eq!(hear(), "WATCHDOG=1");
    }
    service.signal(Signal::HUP);
    assert!(next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert!(next().starts_with("READY=1\n"));
    service.signal(Signal::TERM);
    assert!(next().starts_with("STOPPING=1\n"));
    assert!(service.0.wait().unwrap().success());
}

/// As far as systemd of this machine can tell; it need not be there.
#[test]
fn systemd_understands_the_unit_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for name in ["waxwing.service", "waxwing.socket"] {
        let text = std::fs::read_to_string(root.join("config").join(name)).unwrap();
        let text = text.replace("/usr/local/bin/waxwing", env!("CARGO_BIN_EXE_waxwing"));
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let verified = Command::new("systemd-analyze")
        .args(["verify", "waxwing.service", "waxwing.socket"])
        .current_dir(folder.path())
        .env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display()))
        .output();
    if let Ok(output) = verified {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && !said.contains("waxwing"),
            "{said}"
        );
    }
}

/// XEP-0133 §4.30, §4.31
#[test]
fn an_administrator_ends_it_and_takes_that_back() {
    let mut server = Process::start(&["alice"], &["admin.admins=[\"alice@localhost\"]"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut alice = runtime
        .block_on(server.client("alice").connect(server.addr))
        .unwrap();
    runtime.block_on(alice.presence()).unwrap();
    let hears = |client: &mut Client, text: &'static str| {
        let says = move |el: &Element| {
            el.child("body", ns::CLIENT)
                .is_some_and(|b| b.text() == text)
        };
        runtime.block_on(client.wait_for(text, says)).unwrap();
    };
    let delayed = [
        "shutdown",
        "--yes",
        "--delay",
        "3600",
        "--announcement",
        "Soon.",
    ];
    assert!(server.run(&delayed).0);
    hears(&mut alice, "Soon.");
    assert!(server.run(&["status"]).1.contains("ends in 3"));
    assert!(
        server
            .run(&["cancel-end", "Not yet."])
            .1
            .contains("goes on")
    );
    hears(&mut alice, "Not yet.");
    assert!(!server.run(&["status"]).1.contains("ends in"));
    assert!(server.run(&["cancel-end"]).1.contains("Nothing"));
    // The last word counts.
    assert!(server.run(&["shutdown", "--yes", "--delay", "3600"]).0);
    assert!(server.run(&["restart", "--yes"]).0);
    assert_eq!(server.wait(Duration::from_secs(30)).code(), Some(75));
    server.restart();
    assert!(server.run(&["shutdown", "--yes", "--delay", "0"]).0);
    assert_eq!(server.wait(Duration::from_secs(30)).code(), Some(0));
    let (_, record, _) = {
        server.restart();
        server.run(&["audit", "list"])
    };
    assert!(
        record.contains("shutdown") && record.contains("restart"),
        "{record}"
    );
}
