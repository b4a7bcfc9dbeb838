//! The servers that are compared: each started on fresh data with the same accounts, on loopback, and stopped at the end.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;
use waxwing::proto::ns;
use waxwing::xml::Element;

use crate::client::{Builder, Client, Trust};
use crate::process::{HOST, Process};

const PASSWORD: &str = "pencil";
/// Where its rooms are.
pub const ROOMS: &str = "conference.localhost";
/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bounds that would be measured instead of the server.
const UNBOUNDED: &[&str] = &[
    "limits.session.bytes_per_second=1GiB",
    "limits.session.bytes_burst=1GiB",
    "limits.session.stanzas_per_second=1000000",
    "limits.session.stanzas_burst=1000000",
    "limits.connections.unauthenticated=20000",
    "modules.muc.joins=100000",
    "modules.muc.clients=100",
    "modules.muc.occupants=10000",
];

/// A server there is to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Waxwing,
    Prosody,
    ProsodyGenerational,
    Ejabberd,
}

impl Kind {
    /// In the order of the table.
    pub const ALL: [Kind; 4] = [
        Kind::Waxwing,
        Kind::Prosody,
        Kind::ProsodyGenerational,
        Kind::Ejabberd,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Waxwing => "waxwing",
            Kind::Prosody => "prosody",
            Kind::ProsodyGenerational => "prosody-generational",
            Kind::Ejabberd => "ejabberd",
        }
    }

    /// Starts it with accounts `u0`, `u1` …; otherwise says why it cannot.
    pub fn start(self, accounts: usize) -> Result<Server, String> {
        match self {
            Kind::Waxwing => Ok(waxwing(accounts)),
            Kind::Prosody => prosody("", accounts),
            Kind::ProsodyGenerational => prosody("gc = { mode = \"generational\" }", accounts),
            Kind::Ejabberd => ejabberd(accounts),
        }
    }
}

/// A server that runs; stopped when dropped.
pub struct Server {
    /// Where clients connect.
    pub addr: SocketAddr,
    /// Its process.
    pub pid: u32,
    trust: Trust,
    mechanism: &'static str,
    running: Running,
}

enum Running {
    Own(#[allow(dead_code)] Box<Process>),
    Other { child: Child, _folder: TempDir },
}

impl Server {
    /// A client of the account `u<n>`.
    pub fn client(&self, n: usize) -> Builder {
        Client::builder(&format!("u{n}@{HOST}"), PASSWORD)
            .trust(self.trust.clone())
            .mechanism(self.mechanism)
            .patience(PATIENCE)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Running::Other { child, .. } = &mut self.running {
            for pid in [self.pid, child.id()] {
                let _ = Command::new("kill")
                    .arg(pid.to_string())
                    .stderr(Stdio::null())
                    .status();
            }
            let began = Instant::now();
            while child.try_wait().is_ok_and(|status| status.is_none()) {
                if began.elapsed() > PATIENCE {
                    let _ = child.kill();
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

fn waxwing(accounts: usize) -> Server {
    let names: Vec<String> = (0..accounts).map(|n| format!("u{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let process = Process::start(&names, UNBOUNDED);
    Server {
        addr: process.addr,
        pid: process.id(),
        trust: process.trust(),
        mechanism: "SCRAM-SHA-256",
        running: Running::Own(Box::new(process)),
    }
}

/// Prosody as Debian ships it, with its archive on and its rate limits off.
fn prosody(more: &str, accounts: usize) -> Result<Server, String> {
    let program = find("prosody")?;
    let (place, port) = (Place::new("prosody"), free_port());
    let path = place.path();
    place.write(
        "prosody.cfg.lua",
        &format!(
            r#"
pidfile = "{path}/pid"
daemonize = false
data_path = "{path}"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
s2s_ports = {{ }}
modules_enabled = {{ "disco", "roster", "saslauth", "tls", "blocklist", "carbons", "pep", "private", "smacks", "vcard4",
  "vcard_legacy", "csi_simple", "ping", "register", "time", "uptime", "version", "mam", "posix" }}
allow_registration = true
authentication = "internal_hashed"
storage = "internal"
c2s_require_encryption = true
{more}
log = {{ warn = "{path}/log" }}
VirtualHost "{HOST}"
  ssl = {{ certificate = "{path}/cert.pem", key = "{path}/key.pem" }}
Component "conference.{HOST}" "muc"
"#
        ),
    );
    let mut command = as_user("prosody", &program);
    command
        .arg("--config")
        .arg(place.folder.path().join("prosody.cfg.lua"));
    place.start(command, port, accounts)
}

/// ejabberd as Debian ships it, with its archive on and its shapers off.
fn ejabberd(accounts: usize) -> Result<Server, String> {
    let program = find("ejabberdctl")?;
    let (place, port) = (Place::new("ejabberd"), free_port());
    let path = place.path();
    place.write(
        "ejabberd.yml",
        &format!(
            r#"
loglevel: warning
hosts: ["{HOST}"]
certfiles: ["{path}/cert.pem", "{path}/key.pem"]
listen:
  - {{port: {port}, ip: "127.0.0.1", module: ejabberd_c2s, shaper: none, access: all, starttls_required: true}}
auth_password_format: scram
disable_sasl_mechanisms: ["digest-md5", "X-OAUTH2"]
registration_timeout: infinity
shaper_rules: {{max_user_sessions: 20, max_user_offline_messages: 1000}}
modules:
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_disco: {{}}
  mod_last: {{}}
  mod_mam: {{assume_mam_usage: true, default: always}}
  mod_muc: {{access_create: all, max_users: 10000, max_users_presence: 10000, max_user_conferences: 1000, default_room_options: {{max_users: 10000}}}}
  mod_offline: {{access_max_user_messages: max_user_offline_messages}}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_pubsub: {{plugins: [flat, pep]}}
  mod_register: {{ip_access: all}}
  mod_roster: {{versioning: true}}
  mod_stream_mgmt: {{resend_on_timeout: if_offline}}
  mod_vcard: {{search: false}}
  mod_version: {{}}
"#
        ),
    );
    place.write("inetrc", "{lookup, [file, native]}.\n");
    place.write(
        "ejabberdctl.cfg",
        &format!(
            "ERLANG_NODE=waxwing_compare@localhost\nINET_DIST_INTERFACE=127.0.0.1\nERL_DIST_PORT={}\n\
             EJABBERD_PID_PATH={path}/pid\nERL_OPTIONS=\"-env ERL_CRASH_DUMP_BYTES 0\"\n",
            free_port()
        ),
    );
    let mut command = as_user("ejabberd", &program);
    for (flag, file) in [
        ("-f", "ejabberd.yml"),
        ("-c", "ejabberdctl.cfg"),
        ("-l", "logs"),
        ("-s", "spool"),
        ("-d", ""),
    ] {
        command.arg(flag).arg(place.folder.path().join(file));
    }
    command.arg("foreground").env("HOME", place.folder.path());
    place.start(command, port, accounts)
}

/// A folder that belongs to the server's user, with a certificate in it.
struct Place {
    folder: TempDir,
    user: &'static str,
    trust: Trust,
}

impl Place {
    fn new(user: &'static str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        // ejabberd does not start with a certificate for centuries.
        let years = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() / 31_556_952;
        params.not_after = rcgen::date_time_ymd(1972 + years as i32, 1, 1);
        let made = params.self_signed(&key).unwrap();
        let trust = Trust::Fingerprint(digest(made.der()));
        let place = Place {
            folder,
            user,
            trust,
        };
        place.write("cert.pem", &made.pem());
        place.write("key.pem", &key.serialize_pem());
        for inside in ["logs", "spool"] {
            fs::create_dir(place.folder.path().join(inside)).unwrap();
        }
        place
    }

    fn path(&self) -> String {
        self.folder.path().display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Starts the server and makes the accounts.
    fn start(self, mut command: Command, port: u16, accounts: usize) -> Result<Server, String> {
        let _ = Command::new("chown")
            .args(["-R", &format!("{}:", self.user)])
            .arg(self.folder.path())
            .status();
        let said = self.folder.path().join("stdout");
        let log = fs::File::create(&said).unwrap();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let Some(pid) = wait(&self.folder.path().join("pid"), addr) else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("did not start: {}", read(&said)));
        };
        let server = Server {
            addr,
            pid,
            trust: self.trust,
            mechanism: "SCRAM-SHA-1",
            running: Running::Other {
                child,
                _folder: self.folder,
            },
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        for n in 0..accounts {
            runtime
                .block_on(register(&server, n))
                .map_err(|error| format!("registration of u{n}: {error}; {}", read(&said)))?;
        }
        Ok(server)
    }
}

fn read(said: &Path) -> String {
    fs::read_to_string(said).unwrap_or_default()
}

/// Makes an account in-band (XEP-0077).
async fn register(server: &Server, n: usize) -> Result<(), crate::client::Error> {
    let mut client = server.client(n).open(server.addr).await?;
    client.open_stream().await?;
    client.start_tls().await?;
    let query = Element::new("query", "jabber:iq:register")
        .with_child(Element::new("username", "jabber:iq:register").with_text(&format!("u{n}")))
        .with_child(Element::new("password", "jabber:iq:register").with_text(PASSWORD));
    let iq = Element::new("iq", ns::CLIENT)
        .with_attr("type", "set")
        .with_attr("id", "r")
        .with_child(query);
    client.send(iq).await?;
    client
        .wait_for("an account", |el| {
            el.is("iq", ns::CLIENT) && el.attr("type") == Some("result")
        })
        .await?;
    client.close().await
}

fn digest(der: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(der).into()
}

/// The process that wrote its number there, once it can be reached.
fn wait(pid_file: &Path, addr: SocketAddr) -> Option<u32> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let pid = fs::read_to_string(pid_file)
            .ok()
            .and_then(|text| text.trim().parse().ok());
        if let (Some(pid), Ok(_)) = (pid, TcpStream::connect(addr)) {
            return Some(pid);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    None
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn find(program: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("{program} is not installed"))
}

/// The program as its own user, when we are root.
fn as_user(user: &str, program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            format!("--reuid={user}"),
            format!("--regid={user}"),
            "--init-groups".to_owned(),
        ])
        .arg(program);
    command
}
