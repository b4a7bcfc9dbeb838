//! The real program as a child process: started, killed, started again on the same data.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use waxwing::admin::Password;
use waxwing::admin::cli::Program as _;
use waxwing::config::{Loaded, Request, load};
use waxwing::proto::Jid;
use waxwing::server::Waxwing;

use super::client::{Builder, Client, Trust};

/// The domain it serves.
pub const HOST: &str = "localhost";
const PASSWORD: &str = "pencil";

/// What tests need otherwise than people do.
const FOR_TESTS: &str = "
[server]
drain_timeout = \"5s\"
[limits.stream]
close_timeout = \"1s\"
[hosts.localhost]
[[listen]]
address = \"127.0.0.1:0\"
[auth]
scram_iterations = 4096
failures_free = 1000
[log]
level = \"warn,waxwing::server=info\"
";

/// A server in a process of its own, and its data.
pub struct Process {
    /// Where clients connect; another port after every start.
    pub addr: SocketAddr,
    child: Child,
    trust: Trust,
    config: PathBuf,
    sets: Vec<String>,
    /// Where its data lie, unless the caller said so.
    folder: TempDir,
}

impl Process {
    /// Starts a server with these accounts, with settings such as `store.engine=sled` over the defaults.
    pub fn start(accounts: &[&str], sets: &[&str]) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        Process::start_in(&data, folder, accounts, sets)
    }

    /// Like [`Process::start`] with the data in a directory of the caller's.
    pub fn start_in(data: &Path, folder: TempDir, accounts: &[&str], sets: &[&str]) -> Process {
        let config = folder.path().join("waxwing.toml");
        fs::write(&config, FOR_TESTS).unwrap();
        let mut all = vec![
            format!("server.data_dir={}", data.display()),
            "store.reserve=0B".to_owned(),
        ];
        all.extend(sets.iter().map(|set| (*set).to_owned()));
        let names: Vec<Jid> = accounts.iter().map(|name| jid(name)).collect();
        let trust = std::thread::scope(|scope| {
            let (config, sets) = (config.clone(), all.clone());
            let prepared = scope.spawn(move || prepare(config, sets, &names));
            prepared.join().unwrap()
        });
        let (child, addr) = spawn(&config, &all, &folder.path().join("log"));
        Process {
            addr,
            child,
            trust,
            config,
            sets: all,
            folder,
        }
    }

    /// The program with the configuration of the server, for a command beside it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
        command.arg("--config").arg(&self.config);
        for set in &self.sets {
            command.arg("--set").arg(set);
        }
        command
    }

    /// Ends it as kill -9 does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as a supervisor does.
    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Asks it to read its configuration again.
    pub fn hangup(&self) {
        kill_process(self.pid(), Signal::HUP).unwrap();
    }

    /// Writes into its configuration file, after what all tests have there.
    pub fn write_config(&self, more: &str) {
        fs::write(&self.config, format!("{FOR_TESTS}{more}")).unwrap();
    }

    /// Replaces its configuration file.
    pub fn replace_config(&self, text: &str) {
        fs::write(&self.config, text).unwrap();
    }

    /// Where its configuration file and the folder of its data are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the program on the same configuration, such as `waxwing status`: whether it succeeded, and what it wrote on
    /// standard output and standard error.
    pub fn run(&self, arguments: &[&str]) -> (bool, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
        command.arg("--config").arg(&self.config);
        for set in &self.sets {
            command.arg("--set").arg(set);
        }
        let output = command
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.success(),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// Waits until its log says something.
    pub fn wait_for_log(&self, what: &str) {
        let began = Instant::now();
        while !self.log().contains(what) {
            let log = self.log();
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "no {what} in:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until it has ended.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < within, "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it again, after it ended.
    pub fn restart(&mut self) {
        (self.child, self.addr) = spawn(&self.config, &self.sets, &self.log_file());
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Bytes of memory it has resident.
    pub fn rss(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib: u64 = line
            .and_then(|line| line.split_whitespace().nth(1))
            .unwrap()
            .parse()
            .unwrap();
        kib * 1024
    }

    /// All it has logged, over all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap()
    }

    /// A client of one of its accounts.
    pub fn client(&self, name: &str) -> Builder {
        Client::builder(jid(name).as_str(), PASSWORD)
            .trust(self.trust.clone())
            .patience(Duration::from_secs(30))
    }

    /// Whom clients believe to be it.
    pub fn trust(&self) -> Trust {
        self.trust.clone()
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// The address of an account.
pub fn jid(name: &str) -> Jid {
    Jid::new(Some(name), HOST, None).unwrap()
}

/// Makes the accounts and the certificate; outside of any runtime.
fn prepare(config: PathBuf, sets: Vec<String>, accounts: &[Jid]) -> Trust {
    let request = Request {
        file: Some(config),
        environment: Vec::new(),
        sets,
    };
    let loaded: Loaded =
        load(&request, &Waxwing::default().modules()).unwrap_or_else(|e| panic!("{e}"));
    let acts = Waxwing::default().acts(&loaded).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for account in accounts {
        let password = Password(PASSWORD.to_owned());
        runtime
            .block_on(acts.accounts().create(account, &password))
            .unwrap();
    }
    let digits = Waxwing::default()
        .fingerprint(&loaded, HOST)
        .unwrap()
        .replace(':', "");
    let bytes: Vec<u8> = (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    Trust::Fingerprint(bytes.try_into().unwrap())
}

/// Starts the program and waits until clients can connect.
fn spawn(config: &Path, sets: &[String], log: &Path) -> (Child, SocketAddr) {
    let file = OpenOptions::new().create(true).append(true).open(log);
    let file: File = file.unwrap();
    let before = usize::try_from(file.metadata().unwrap().len()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    command.arg("--config").arg(config);
    for set in sets {
        command.arg("--set").arg(set);
    }
    let mut child = command
        .arg("serve")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .unwrap();
    let began = Instant::now();
    loop {
        let text = fs::read_to_string(log).unwrap();
        let said = text.get(before..).unwrap_or_default();
        if let Some(addr) = said.lines().find_map(listens) {
            return (child, addr);
        }
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "it did not start: {said}");
        assert!(began.elapsed() < Duration::from_secs(60), "{said}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn listens(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line
        .contains("clients can connect")
        .then(|| line.split_once("address="))
        .flatten()?;
    rest.split_whitespace().next()?.parse().ok()
}
