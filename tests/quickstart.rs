//! The first minutes of a newcomer: `waxwing quickstart`, commands beside it, its end, and a second start.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

struct Quickstart {
    child: Child,
    screen: String,
    _out: BufReader<ChildStdout>,
}

impl Quickstart {
    /// Starts it and reads its screen, which ends with the sentence about where everything is kept.
    fn start(directory: &Path, port: u16) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
        command
            .current_dir(directory)
            .args(["quickstart", "--port", &port.to_string()]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut screen = String::new();
        while !screen.contains("the next start") {
            if out.read_line(&mut screen).unwrap() == 0 {
                let mut errors = String::new();
                child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut errors)
                    .unwrap();
                panic!("quickstart ended: {screen}{errors}");
            }
        }
        Self {
            child,
            screen,
            _out: out,
        }
    }

    fn password(&self, account: &str) -> String {
        let line = self
            .screen
            .lines()
            .find(|line| line.contains(account))
            .unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    }

    fn terminate(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn waxwing(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    command
        .current_dir(directory)
        .args(["--config", "waxwing-data/waxwing.toml"])
        .args(arguments);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_first_minutes() {
    let directory = tempfile::tempdir().unwrap();
    let (path, port) = (directory.path(), free_port());
    let first = Quickstart::start(path, port);
    assert!(first.screen.contains(&format!("localhost, port {port}")));
    let shown: String = first
        .screen
        .split_whitespace()
        .filter(|word| word.matches(':').count() == 15)
        .collect::<Vec<_>>()
        .join(":");
    let certificate =
        CertificateDer::from_pem_file(path.join("waxwing-data/certificates/localhost.crt"))
            .unwrap();
    let bytes = Sha256::digest(&certificate);
    let fingerprint: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(shown, fingerprint.join(":"));

    // Beside the running server.
    let made = waxwing(
        path,
        &["user", "add", "mercutio@localhost", "--generate", "--json"],
    );
    assert!(
        made.status.success() && said(&made).contains("\"password\":"),
        "{made:?}"
    );
    let accounts = said(&waxwing(path, &["user", "list", "localhost"]));
    let names: Vec<&str> = accounts
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        names,
        ["juliet@localhost", "mercutio@localhost", "romeo@localhost"]
    );
    let again = waxwing(path, &["user", "add", "mercutio@localhost", "--generate"]);
    assert_eq!(again.status.code(), Some(1));

    // After it, on the store.
    let (romeo, juliet) = (
        first.password("romeo@localhost"),
        first.password("juliet@localhost"),
    );
    assert!(first.terminate().success());
    let removed = waxwing(path, &["user", "delete", "mercutio@localhost", "--yes"]);
    assert!(removed.status.success(), "{removed:?}");
    let check = waxwing(path, &["check"]);
    assert!(check.status.success(), "{check:?}");

    let second = Quickstart::start(path, port);
    assert_eq!(
        (
            second.password("romeo@localhost"),
            second.password("juliet@localhost")
        ),
        (romeo, juliet)
    );
    assert!(!said(&waxwing(path, &["user", "list"])).contains("mercutio"));
    assert!(second.terminate().success());
}

#[test]
fn a_port_in_use_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    let output = command
        .current_dir(directory.path())
        .args(["quickstart", "--port", &port])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.contains(&format!("something else listens on 127.0.0.1:{port}")),
        "{message}"
    );
}
