//! XEP-0227: accounts leave a server and come into another, with everything that is theirs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use waxwing::proto::{PresenceType, Stanza, ns};
use waxwing::xml::Element;

use crate::never_lost::talk::{Receiver, Sender};
use crate::support::process::{Process, jid};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// The program on a data directory of its own, while no server runs.
fn on(data: &Path, engine: &str, arguments: &[&str]) -> Output {
    let config = data.parent().unwrap().join("alone.toml");
    fs::write(
        &config,
        "[hosts.localhost]\n[auth]\nscram_iterations = 4096\n",
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    command.arg("--config").arg(config);
    command.args(["--set", &format!("server.data_dir={}", data.display())]);
    command.args(["--set", &format!("store.engine={engine}")]);
    command.args(["--set", "store.reserve=0B"]);
    command.args(arguments).output().unwrap()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

/// Romeo with contacts, a vCard, private XML and a request; Juliet with messages that wait.
async fn furnished(process: &Process) {
    let mut romeo = process.client("romeo").connect(process.addr).await.unwrap();
    for (contact, group) in [
        ("nurse@example.org", "House"),
        ("benvolio@example.org", "Friends & <others>"),
    ] {
        let group = Element::new("group", ns::ROSTER).with_text(group);
        let item = Element::new("item", ns::ROSTER).with_attr("jid", contact);
        let item = item.with_attr("name", "A 'name'").with_child(group);
        let query = Element::new("query", ns::ROSTER).with_child(item);
        romeo.request("set", None, query).await.unwrap();
    }
    let name = Element::new("FN", ns::VCARD).with_text("Romeo Montague");
    let vcard = Element::new("vCard", ns::VCARD).with_child(name);
    romeo.request("set", None, vcard).await.unwrap();
    let prefs = Element::new("exodus", "exodus:prefs").with_text("Hamlet");
    let private = Element::new("query", ns::PRIVATE).with_child(prefs);
    romeo.request("set", None, private).await.unwrap();
    let tybalt = Element::new("item", ns::BLOCKING).with_attr("jid", "tybalt@example.org");
    let block = Element::new("block", ns::BLOCKING).with_child(tybalt);
    romeo.request("set", None, block).await.unwrap();
    crate::strangers::choose(&mut romeo, "hold").await.unwrap();
    crate::hiding::choose(&mut romeo, "relay").await.unwrap();
    let subscribe = Stanza::presence(PresenceType::Subscribe).with_to(jid("juliet"));
    romeo.send(subscribe).await.unwrap();
    romeo.close().await.unwrap();
    let mut sender = Sender::log_in(process, "romeo", jid("juliet"), 0).await;
    sender.deliver(30).await;
}

#[tokio::test]
async fn accounts_move_with_all_that_is_theirs() {
    let process = Process::start(&["romeo", "juliet"], &[]);
    furnished(&process).await;
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("all.xml"), folder.path().join("data"));
    let exported = process
        .command()
        .args(["export", file.to_str().unwrap()])
        .output();
    assert!(done(&exported.unwrap()).contains("Accounts exported: 2"));

    let import = |arguments: &[&str]| {
        let all = [&["import", file.to_str().unwrap()], arguments].concat();
        done(&on(&data, "sled", &all))
    };
    let text = import(&[]);
    assert!(text.contains("Accounts imported: 2; left out: 0"), "{text}");
    assert!(!text.contains("Left out"), "{text}");
    let original = fs::read_to_string(&file).unwrap();
    for part in [
        "benvolio@example.org",
        "Romeo Montague",
        "exodus:prefs",
        "tybalt@example.org",
        "<strangers xmlns='waxwing:account:0'>hold</strangers>",
        "<calls xmlns='waxwing:account:0'>relay</calls>",
        "offline-messages",
        "type='subscribe'",
    ] {
        assert!(original.contains(part), "{part} in {original}");
    }
    let again = || String::from_utf8(on(&data, "sled", &["export", "-"]).stdout).unwrap();
    assert_eq!(again(), original);

    // Once more changes nothing, unless it is told to.
    let text = import(&[]);
    assert!(text.contains("romeo@localhost is here already"), "{text}");
    assert!(text.contains("Accounts imported: 0; left out: 2"), "{text}");
    let text = import(&["--replace"]);
    assert!(text.contains("Accounts imported: 2; left out: 0"), "{text}");
    assert_eq!(again(), original);
    let checked = on(&data, "sled", &["store", "check"]);
    assert!(checked.status.success(), "{}", said(&checked));

    // They log in with the passwords they had, and get what waited for them.
    let sets = ["store.engine=sled"];
    let moved = Process::start_in(&data, folder, &[], &sets);
    let mut juliet = Receiver::log_in(&moved, "juliet", true).await;
    juliet.listen_until(29).await;
    assert!(juliet.got.iter().copied().eq(0..30));
    let mut romeo = moved.client("romeo").connect(moved.addr).await.unwrap();
    assert_eq!(romeo.roster().await.unwrap().len(), 3);
}

/// Into a server that runs: the new account can log in at once.
#[tokio::test]
async fn accounts_come_into_a_running_server() {
    let old = Process::start(&["romeo", "mercutio"], &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one.xml");
    let only = [
        "export",
        file.to_str().unwrap(),
        "--account",
        "mercutio@localhost",
    ];
    done(&old.command().args(only).output().unwrap());
    let new = Process::start(&["romeo"], &[]);
    let mut session = new.client("romeo").connect(new.addr).await.unwrap();
    let imported = new
        .command()
        .args(["import", file.to_str().unwrap()])
        .output();
    assert!(done(&imported.unwrap()).contains("Accounts imported: 1"));
    new.client("mercutio").connect(new.addr).await.unwrap();
    session.roster().await.unwrap();

    // Replaced, it is another account: its session ends.
    let mut mercutio = new.client("mercutio").connect(new.addr).await.unwrap();
    let replace = ["import", file.to_str().unwrap(), "--replace"];
    done(&new.command().args(replace).output().unwrap());
    while mercutio.next(Duration::from_secs(10)).await.is_some() {}
    assert!(mercutio.is_over());
    new.client("mercutio").connect(new.addr).await.unwrap();
    session.roster().await.unwrap();
}

/// XEP-0227 §4.10, example 11, with what other servers may write beside it.
#[test]
fn nodes_of_accounts_move_too() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("pep.xml"), folder.path().join("data"));
    fs::write(
        &file,
        "<server-data xmlns='urn:xmpp:pie:0'><host jid='localhost'><user name='romeo' password='pencil'>\
         <pubsub xmlns='http://jabber.org/protocol/pubsub#owner'>\
         <configure node='urn:xmpp:bookmarks:1'><x xmlns='jabber:x:data' type='form'>\
         <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/pubsub#node_config</value></field>\
         <field var='pubsub#access_model'><value>whitelist</value></field>\
         <field var='pubsub#max_items'><value>max</value></field>\
         <field var='pubsub#unheard_of'><value>1</value></field></x></configure>\
         <affiliations node='urn:xmpp:bookmarks:1'>\
         <affiliation jid='mercutio@example.net' affiliation='member'/></affiliations>\
         <subscriptions node='urn:xmpp:bookmarks:1'>\
         <subscription jid='mercutio@example.net' subscription='subscribed' subid='123-abc'/></subscriptions>\
         <odd/></pubsub>\
         <pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'>\
         <item id='theplay@conference.shakespeare.lit'><conference xmlns='urn:xmpp:bookmarks:1' autojoin='true'/></item>\
         <item id='orchard@conference.shakespeare.lit'><conference xmlns='urn:xmpp:bookmarks:1'/></item>\
         <item id='orchard@conference.shakespeare.lit'><conference xmlns='urn:xmpp:bookmarks:1'/></item>\
         </items><items node='http://jabber.org/protocol/nick'>\
         <item id='current'><nick xmlns='http://jabber.org/protocol/nick'>Romy</nick></item></items>\
         </pubsub></user></host></server-data>",
    )
    .unwrap();
    let text = done(&on(&data, "fjall", &["import", file.to_str().unwrap()]));
    assert!(text.contains("Accounts imported: 1; left out: 0"), "{text}");
    for left_out in ["settings of a node", "item of a node"] {
        assert!(text.contains(left_out), "{left_out}: {text}");
    }
    assert!(on(&data, "fjall", &["store", "check"]).status.success());
    let export = |data: &Path| String::from_utf8(on(data, "fjall", &["export", "-"]).stdout);
    let exported = export(&data).unwrap();
    for part in [
        "node='urn:xmpp:bookmarks:1'><x ",
        "<value>whitelist</value>",
        "<value>max</value>",
        "mercutio@example.net' affiliation='member'",
        "mercutio@example.net' subscription='subscribed'",
        "theplay@conference.shakespeare.lit",
        "Romy",
    ] {
        assert!(exported.contains(part), "{part} in {exported}");
    }
    let (copy, other) = (folder.path().join("copy.xml"), folder.path().join("other"));
    fs::write(&copy, &exported).unwrap();
    let text = done(&on(&other, "fjall", &["import", copy.to_str().unwrap()]));
    assert!(!text.contains("Left out"), "{text}");
    assert_eq!(export(&other).unwrap(), exported);
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A file that is cut off: whole accounts are in, the one that was cut off is not, and it goes on from there.
#[test]
fn a_file_that_is_cut_off_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("cut.xml"), folder.path().join("data"));
    let whole = fs::read_to_string(fixture("other.xml")).unwrap();
    let half = whole.find("mercutio@localhost").unwrap();
    fs::write(&file, &whole[..half]).unwrap();
    let cut = on(&data, "fjall", &["import", file.to_str().unwrap()]);
    assert_eq!(cut.status.code(), Some(1));
    assert!(
        said(&cut).contains("Accounts imported: 1"),
        "{}",
        said(&cut)
    );
    let list = said(&on(&data, "fjall", &["user", "list"]));
    assert!(
        list.contains("romeo@") && !list.contains("tybalt@"),
        "{list}"
    );
    assert!(on(&data, "fjall", &["store", "check"]).status.success());
    fs::write(&file, &whole).unwrap();
    let text = done(&on(&data, "fjall", &["import", file.to_str().unwrap()]));
    assert!(text.contains("Accounts imported: 2; left out: 2"), "{text}");
    for left_out in [
        "romeo@localhost is here already",
        "elsewhere.example has no accounts",
        "rule of a privacy list that is no blocked address",
        "contact that cannot be read",
        "without a password",
    ] {
        assert!(text.contains(left_out), "{left_out}: {text}");
    }
    let list = said(&on(&data, "fjall", &["user", "list"]));
    assert!(
        list.contains("tybalt@localhost") && list.contains("nurse@localhost"),
        "{list}"
    );
    assert!(list.contains("he fights"), "{list}");
}

/// Many at once, and one of them twice: the later one stays if it may replace the first, and otherwise the first.
#[test]
fn an_account_that_is_there_twice_is_one_account() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("many.xml");
    let mut users = String::new();
    for n in 0..40 {
        users += &format!("<user name='u{n}' password='pw'><vCard xmlns='vcard-temp'/></user>");
        if n % 8 == 0 {
            let vcard = "<vCard xmlns='vcard-temp'><FN>Again</FN></vCard>";
            users += &format!("<user name='u{n}' password='pw'>{vcard}</user>");
        }
    }
    let text = format!(
        "<server-data xmlns='urn:xmpp:pie:0'><host jid='localhost'>{users}</host></server-data>"
    );
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    for (flags, imported, again) in [
        (vec![], "Accounts imported: 40; left out: 5.", 0),
        (vec!["--replace"], "Accounts imported: 45; left out: 0.", 5),
    ] {
        let data = folder.path().join(format!("data{again}"));
        let text = done(&on(&data, "fjall", &[vec!["import", file], flags].concat()));
        assert!(text.contains(imported), "{text}");
        done(&on(&data, "fjall", &["store", "check"]));
        let exported = on(&data, "fjall", &["export", "-"]).stdout;
        let exported = String::from_utf8(exported).unwrap();
        assert_eq!(exported.matches("<user name=").count(), 40);
        assert_eq!(exported.matches("<FN>Again</FN>").count(), again);
    }
}

/// What ejabberd's `export_piefxis` wrote: the host in a file of its own, keys that are base64 twice.
#[tokio::test]
async fn what_ejabberd_wrote_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = fixture("ejabberd/main.xml");
    let text = done(&on(&data, "fjall", &["import", file.to_str().unwrap()]));
    assert!(text.contains("Accounts imported: 2; left out: 0"), "{text}");
    assert!(!text.contains("Left out"), "{text}");
    done(&on(&data, "fjall", &["store", "check"]));
    let exported = on(&data, "fjall", &["export", "-"]).stdout;
    let exported = String::from_utf8(exported).unwrap();
    for part in [
        "wherefore art thou",
        "Romeo Montague",
        "exodus:prefs",
        "<group>Friends</group>",
    ] {
        assert!(exported.contains(part), "{part} in {exported}");
    }
    let moved = Process::start_in(&data, folder, &[], &[]);
    let romeo = moved.client("romeo").mechanism("SCRAM-SHA-1");
    let mut romeo = romeo.connect(moved.addr).await.unwrap();
    romeo.presence().await.unwrap();
    let waited = romeo.wait_for("a message", |el| el.is("message", ns::CLIENT));
    let waited = waited.await.unwrap();
    let body = waited.child("body", ns::CLIENT).unwrap();
    assert_eq!(body.text(), "wherefore art thou");
}

/// What an older server kept in the two older ways of XEP-0048 becomes items of XEP-0402 at the first login.
#[tokio::test]
async fn old_bookmarks_become_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("old.xml"), folder.path().join("data"));
    fs::write(
        &file,
        "<server-data xmlns='urn:xmpp:pie:0'><host jid='localhost'><user name='romeo' password='pencil'>\
         <query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>\
         <conference jid='balcony@rooms' name='Balcony' autojoin='true'/>\
         <url name='The play' url='https://example.org/'/></storage></query>\
         <pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='storage:bookmarks'>\
         <item id='current'><storage xmlns='storage:bookmarks'>\
         <conference jid='orchard@rooms'/></storage></item></items></pubsub>\
         </user></host></server-data>",
    )
    .unwrap();
    done(&on(&data, "fjall", &["import", file.to_str().unwrap()]));
    let moved = Process::start_in(&data, folder, &[], &[]);
    let mut romeo = moved.client("romeo").connect(moved.addr).await.unwrap();
    let items = Element::new("items", ns::PUBSUB).with_attr("node", ns::BOOKMARKS);
    let items = Element::new("pubsub", ns::PUBSUB).with_child(items);
    let mut found = Vec::new();
    for _ in 0..100 {
        if let Ok(answer) = romeo.request("get", None, items.clone()).await {
            let items = answer.child("pubsub", ns::PUBSUB).unwrap();
            let items = items.child("items", ns::PUBSUB).unwrap();
            found = items
                .children()
                .filter_map(|item| item.attr("id"))
                .map(str::to_owned)
                .collect();
        }
        if found.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    found.sort();
    assert_eq!(found, ["balcony@rooms", "orchard@rooms"]);
    let asked = Element::new("storage", ns::BOOKMARKS_STORAGE);
    let asked = Element::new("query", ns::PRIVATE).with_child(asked);
    let answer = romeo.request("get", None, asked).await.unwrap();
    let storage = answer.child("query", ns::PRIVATE).unwrap();
    let storage = storage.child("storage", ns::BOOKMARKS_STORAGE).unwrap();
    let names: Vec<&str> = storage.children().map(|child| child.name()).collect();
    assert_eq!(
        names.iter().filter(|name| **name == "conference").count(),
        2
    );
    assert!(names.contains(&"url"), "{names:?}");
}
