//! Commands over the control socket and by themselves, on accounts that are kept in memory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::client::Client;
use super::command::ask;
use super::socket::{ControlSocket, Request};
use super::*;
use crate::config::Administration;
use crate::hooks::command::Given;
use crate::proto::jid::Jid;
use crate::runtime::clock::Clock;
use crate::state::accounts::Accounts as Records;
use crate::state::admins::Admins;
use crate::state::audit::Audit;
use crate::store::{Options, Store};

struct Fake(
    Mutex<BTreeMap<Jid, (String, Option<String>)>>,
    Audit,
    Store,
    Records,
);

impl Default for Fake {
    fn default() -> Self {
        let clock = Clock::system();
        let store = Store::open(Options::memory(), clock.clone()).unwrap();
        let bounds = Administration {
            audit_age: std::time::Duration::from_secs(3600),
            audit_entries: 100,
            ..Default::default()
        };
        let audit = Audit::new(store.clone(), clock.clone(), &bounds);
        let secret = crate::stream::Secret::new(Vec::new());
        let records = Records::new(store.clone(), clock, 4096, secret);
        Fake(Mutex::default(), audit, store, records)
    }
}

impl Fake {
    fn change<T>(
        &self,
        account: &Jid,
        change: impl FnOnce(&mut (String, Option<String>)) -> T,
    ) -> Act<'_, T>
    where
        T: Send + 'static,
    {
        let mut accounts = self.0.lock().unwrap();
        let result = accounts.get_mut(account).map(change);
        let result = result.ok_or_else(|| ActError::NoSuchAccount(account.clone()));
        Box::pin(async move { result })
    }
}

fn info((account, (_, disabled)): (&Jid, &(String, Option<String>))) -> AccountInfo {
    AccountInfo {
        account: account.clone(),
        created: 0,
        disabled: disabled.clone(),
    }
}

impl Acts for Fake {
    fn accounts(&self) -> &dyn Accounts {
        self
    }

    fn operations(&self) -> Option<Arc<dyn Operations>> {
        None
    }

    fn records(&self) -> &Records {
        &self.3
    }

    fn store(&self) -> &Store {
        &self.2
    }

    fn pace(&self) -> Option<u64> {
        None
    }

    fn admins(&self) -> Admins {
        Admins::new(Default::default(), self.2.clone())
    }

    fn audit(&self) -> &Audit {
        &self.1
    }

    fn commands(&self) -> Vec<(Jid, Offered)> {
        Vec::new()
    }
}

impl Accounts for Fake {
    fn hosts(&self) -> Vec<String> {
        vec!["example.org".to_owned(), "localhost".to_owned()]
    }

    fn create<'a>(&'a self, account: &'a Jid, password: &'a Password) -> Act<'a, ()> {
        Box::pin(async move {
            let mut accounts = self.0.lock().unwrap();
            if accounts.contains_key(account) {
                return Err(ActError::Exists(account.clone()));
            }
            accounts.insert(account.clone(), (password.0.clone(), None));
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        host: &'a str,
        after: Option<&'a Jid>,
        limit: usize,
    ) -> Act<'a, Vec<AccountInfo>> {
        Box::pin(async move {
            let accounts = self.0.lock().unwrap();
            let of_host = accounts.iter().filter(|(jid, _)| jid.domain() == host);
            let later = of_host.filter(|(jid, _)| after.is_none_or(|after| *jid > after));
            Ok(later.take(limit).map(info).collect())
        })
    }

    fn show<'a>(&'a self, account: &'a Jid) -> Act<'a, Option<AccountInfo>> {
        let found = self.0.lock().unwrap().get_key_value(account).map(info);
        Box::pin(async move { Ok(found) })
    }

    fn set_password<'a>(&'a self, account: &'a Jid, password: &'a Password) -> Act<'a, ()> {
        self.change(account, |entry| entry.0 = password.0.clone())
    }

    fn disable<'a>(&'a self, account: &'a Jid, reason: &'a str) -> Act<'a, ()> {
        self.change(account, |entry| entry.1 = Some(reason.to_owned()))
    }

    fn enable<'a>(&'a self, account: &'a Jid) -> Act<'a, ()> {
        self.change(account, |entry| entry.1 = None)
    }

    fn delete<'a>(&'a self, account: &'a Jid) -> Act<'a, ()> {
        let removed = self.0.lock().unwrap().remove(account).map(drop);
        let removed = removed.ok_or_else(|| ActError::NoSuchAccount(account.clone()));
        Box::pin(async move { removed })
    }

    fn sessions<'a>(&'a self, _: &'a Jid) -> Act<'a, Vec<SessionInfo>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn online(&self, _: &str) -> Vec<(Jid, bool)> {
        Vec::new()
    }

    fn end_session<'a>(&'a self, _: &'a Jid, _: &'a str) -> Act<'a, bool> {
        Box::pin(async { Ok(true) })
    }

    fn end_sessions<'a>(&'a self, account: &'a Jid, _: &'a str) -> Act<'a, usize> {
        self.change(account, |_| 2)
    }
}

fn given(arguments: &[(&str, &str)]) -> Given {
    arguments
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect()
}

async fn act(
    acts: &Arc<Fake>,
    rights: Rights,
    name: &str,
    arguments: &[(&str, &str)],
) -> Result<Vec<Line>, ActError> {
    let acts: Arc<dyn Acts> = acts.clone();
    let (report, mut lines) = Report::new();
    let caller = Caller {
        name: "a test".to_owned(),
        jid: None,
        rights,
    };
    let given = given(arguments);
    let collect = async {
        let mut all = Vec::new();
        while let Some(line) = lines.recv().await {
            all.push(line);
        }
        all
    };
    let work = async move { ask(name, &given, &caller, &acts, &report).await };
    let (result, lines) = tokio::join!(work, collect);
    result.map(|()| lines)
}

fn said(text: &str) -> Vec<Line> {
    vec![Line::Said(text.to_owned())]
}

const ROMEO: (&str, &str) = ("account", "romeo@example.org");
const ROMEOS: (&str, &str) = ("accounts", "romeo@example.org");

#[tokio::test]
async fn an_account_from_its_first_day_to_its_last() {
    let acts = Arc::new(Fake::default());
    let do_it =
        async |name, arguments: &[(&str, &str)]| act(&acts, Rights::Server, name, arguments).await;
    let password = ("password", "r0m30");
    assert_eq!(
        do_it("user add", &[ROMEO, password]).await,
        Ok(said("romeo@example.org can log in now."))
    );
    let romeo = Jid::parse("romeo@example.org").unwrap();
    assert_eq!(
        do_it("user add", &[ROMEO, password]).await,
        Err(ActError::Exists(romeo.clone()))
    );
    do_it(
        "user passwd",
        &[("account", "ROMEO@Example.org"), ("password", "new")],
    )
    .await
    .unwrap();
    do_it("user disable", &[ROMEOS, ("reason", "spam")])
        .await
        .unwrap();
    assert_eq!(
        acts.0.lock().unwrap()[&romeo],
        ("new".to_owned(), Some("spam".to_owned()))
    );
    let shown = do_it("user show", &[ROMEO]).await.unwrap();
    assert!(shown.contains(&Line::Fact("disabled".to_owned(), "spam".to_owned())));
    do_it("user enable", &[ROMEOS]).await.unwrap();
    assert_eq!(
        do_it("user kick", &[ROMEOS]).await,
        Ok(said("Sessions of romeo@example.org ended: 2."))
    );
    do_it("user delete", &[ROMEOS]).await.unwrap();
    assert_eq!(
        do_it("user delete", &[ROMEOS]).await,
        Err(ActError::NoSuchAccount(romeo))
    );
}

#[tokio::test]
async fn bad_arguments_are_explained() {
    let acts = Arc::new(Fake::default());
    for (name, arguments, expected) in [
        (
            "user add",
            vec![ROMEO],
            "user add needs password: The password.",
        ),
        (
            "user add",
            vec![ROMEO, ("password", "")],
            "password: it is empty",
        ),
        (
            "user show",
            vec![("acount", "x")],
            "user show has no argument acount; did you mean account?",
        ),
        (
            "user show",
            vec![("account", "romeo")],
            "account: \"romeo\" is not an account; write it as user@example.org",
        ),
        (
            "user show",
            vec![("account", "a@b/c")],
            "account: \"a@b/c\" is not an account; write it as user@example.org",
        ),
        (
            "user list",
            vec![("host", "a@b")],
            "host: \"a@b\" is not a domain; write it as example.org",
        ),
        (
            "user list",
            vec![("host", "example.net")],
            "example.net has no accounts here; hosts with accounts: example.org, localhost",
        ),
    ] {
        let error = act(&acts, Rights::Server, name, &arguments)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn an_administrator_of_a_host_stays_in_it() {
    let acts = Arc::new(Fake::default());
    let own = || Rights::Host("example.org".to_owned());
    let add = [ROMEO, ("password", "x")];
    act(&acts, own(), "user add", &add).await.unwrap();
    act(&acts, own(), "user list", &[("host", "example.org")])
        .await
        .unwrap();
    for (name, arguments) in [
        ("user show", vec![("account", "romeo@localhost")]),
        ("user list", vec![("host", "localhost")]),
        ("user list", vec![]),
    ] {
        assert_eq!(
            act(&acts, own(), name, &arguments).await,
            Err(ActError::Forbidden),
            "{name} {arguments:?}"
        );
    }
}

#[tokio::test]
async fn many_accounts_are_listed_page_by_page() {
    let acts = Arc::new(Fake::default());
    for number in 0..1200 {
        let jid = Jid::parse(&format!("user{number:04}@localhost")).unwrap();
        acts.0.lock().unwrap().insert(jid, (String::new(), None));
    }
    let lines = act(&acts, Rights::Server, "user list", &[]).await.unwrap();
    assert_eq!(lines.len(), 1201);
    assert_eq!(
        lines[1200],
        Line::Row(vec![
            "user1199@localhost".to_owned(),
            "1970-01-01T00:00:00Z".to_owned(),
            String::new()
        ])
    );
}

fn served(path: &Path) -> Arc<Fake> {
    let acts = Arc::new(Fake::default());
    let socket = ControlSocket::bind(path).unwrap();
    tokio::spawn(socket.serve(Arc::clone(&acts) as Arc<dyn Acts>));
    acts
}

#[tokio::test]
async fn requests_over_the_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    assert!(Client::connect(&path).await.unwrap().is_none());
    let acts = served(&path);
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let taken = ControlSocket::bind(&path).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);

    let mut client = Client::connect(&path).await.unwrap().unwrap();
    let mut ask = async |command: &str, arguments: &[(&str, &str)]| {
        let request = Request {
            command: command.to_owned(),
            arguments: given(arguments),
        };
        client.send(&request).await.unwrap();
        let mut lines = Vec::new();
        loop {
            let line = client.line().await.unwrap();
            let last = matches!(line, Line::Done | Line::Failed { .. });
            lines.push(line);
            if last {
                return lines;
            }
        }
    };
    let done = ask("user add", &[ROMEO, ("password", "r0m30")]).await;
    assert_eq!(
        done,
        [said("romeo@example.org can log in now."), vec![Line::Done]].concat()
    );
    assert_eq!(acts.0.lock().unwrap().len(), 1);
    let unknown = ask("user ad", &[]).await;
    let text = "there is no command user ad; did you mean user add?".to_owned();
    assert_eq!(
        unknown,
        [Line::Failed {
            kind: "bad-argument".to_owned(),
            text
        }]
    );
}

#[tokio::test]
async fn a_file_left_behind_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let socket = ControlSocket::bind(&path).unwrap();
    drop(socket);
    assert!(!path.exists());
}

#[tokio::test]
async fn strange_requests_are_answered_or_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    served(&path);
    for (bytes, expected) in [
        (b"hello\n".to_vec(), "not a request"),
        (
            b"{\"command\":\"user add\",\"argument\":{}}\n".to_vec(),
            "not a request",
        ),
        (vec![b'x'; 70_000], ""),
        (b"{\"command\"".to_vec(), ""),
    ] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        let _ = stream.write_all(&bytes).await; // the server may end the connection before it has everything
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.contains(expected) && answer.is_empty() == expected.is_empty(),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn what_was_done_is_written_down_without_secrets() {
    let acts = Arc::new(Fake::default());
    let add = [ROMEO, ("password", "r0m30")];
    act(&acts, Rights::Server, "user add", &add).await.unwrap();
    act(&acts, Rights::Server, "user add", &add)
        .await
        .unwrap_err();
    act(&acts, Rights::Server, "user show", &[ROMEO])
        .await
        .unwrap();
    let lines = act(&acts, Rights::Server, "audit list", &[]).await.unwrap();
    let rows: Vec<String> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Row(row) => Some(row[1..].join("; ")),
            _ => None,
        })
        .collect();
    assert_eq!(
        rows,
        [
            "a test; user add; account=romeo@example.org; there is an account romeo@example.org already",
            "a test; user add; account=romeo@example.org; done",
        ]
    );
}
