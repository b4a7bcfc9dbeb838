//! Dialogues in plain text, played against a server.
//!
//! A file holds dialogues, each under a heading `== What is shown`. Lines that begin with `#` are
//! comments; every other line that is not indented is a step, and the indented lines after it are
//! its XML. A line `deviates: reason` after the heading says that the server does otherwise: then the
//! dialogue must fail, so that nobody forgets to take the line out. Accounts exist because they are mentioned; each dialogue has its own.
//!
//! ```text
//! alice connects                  a stream from TCP to a bound resource
//! alice.phone connects            another session of alice, with the resource "phone"
//! alice goes online               connects if need be, asks for the roster, sends presence, and
//!                                 takes the answer and its own presence
//! alice opens a connection        TCP and nothing else
//! alice opens a stream            a header, and features come back
//! alice secures the stream        STARTTLS and a new stream
//! alice logs in                   SASL and a new stream; no resource
//! alice sends: XML                as it stands, variables replaced
//! alice receives: XML             these elements, in this order
//! alice receives in any order: XML
//! alice may receive: XML          from now on, each of these once
//! alice receives a header: XML    the stream header, written as an empty element
//! alice receives nothing          for a quarter of a second
//! alice gets the stream error C   and then the stream ends
//! alice is closed                 the stream ends
//! alice ignores: XML              such elements are dropped from now on
//! alice ignores presence and pushes  available, unavailable, and roster pushes
//! alice leaves                    closes its stream
//! alice is cut off                the connection breaks
//! alice and bob are contacts      see each other's presence
//! alice follows bob               sees bob's presence, bob does not see hers
//! alice asks bob                  has asked to follow him and got no answer
//! ```
//!
//! In XML, `{alice}` is a bare address, `{alice/}` the full address of a session, `{host}` the
//! domain, `{1000 x}` a thousand x, and `{=name}` as a whole value keeps what stands there for `{name}`
//! later. What is
//! received must have the name, namespace, attributes and children that are written, the children in
//! any order, and nothing else, except: the root may have other attributes than a missing `type`;
//! `stanza-id`, `delay`, the avatar hash of XEP-0398, the versions of XEP-0463, and `by` and `<text/>` of an error need not be
//! mentioned, nor what an error echoes; `_='more'` allows more attributes and children; `*` stands for any value or text, and `?` for any value or no attribute.
//! At the end of a dialogue no session may have received more than was mentioned.

mod pattern;
mod play;
mod script;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::support::server::start_server;
use script::Dialogue;

/// Makes a test of each file and knows them all.
macro_rules! files {
    ($($name:ident)*) => {
        const FILES: &[&str] = &[$(stringify!($name)),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                play_file(stringify!($name)).await;
            }
        )*
    };
}

files! {
    addresses
    archive
    attachments
    bind
    carbons
    channel_search
    csi
    blocking
    delivery
    information
    muc
    muc_admin
    muc_archive
    muc_more
    muc_owner
    muc_talk
    muc_versions
    node_archive
    pep
    presence
    private_xml
    pubsub
    pubsub_access
    pubsub_kinds
    pubsub_relations
    pubsub_subscriptions
    roster
    sasl
    stanza_errors
    stream_errors
    subscriptions
    subscription_states
}

#[test]
fn every_file_is_played_and_can_be_read() {
    let mut found: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    found.sort();
    let mut listed = FILES.to_vec();
    listed.sort_unstable();
    assert_eq!(found, listed);
    for name in FILES {
        assert!(!read(name).is_empty(), "{name} is empty");
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenario")
}

fn read(name: &str) -> Vec<Dialogue> {
    let path = folder().join(format!("{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap();
    script::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Plays the dialogues of a file, eight at a time, or those whose heading holds `WAXWING_DIALOGUE`.
async fn play_file(name: &str) {
    let turns = Arc::new(Semaphore::new(8));
    let server = start_server(&["modules.pubsub.enabled=true"]).await;
    let wanted = std::env::var("WAXWING_DIALOGUE").unwrap_or_default();
    let mut playing = Vec::new();
    for dialogue in read(name) {
        if dialogue.heading.contains(&wanted) {
            let server = server.clone();
            let (heading, deviates) = (dialogue.heading.clone(), dialogue.deviates.is_some());
            let turns = turns.clone();
            let task = tokio::spawn(async move {
                let _turn = turns.acquire().await;
                play::play(server, dialogue).await
            });
            playing.push((heading, deviates, task));
        }
    }
    let (mut failures, all) = (Vec::new(), playing.len());
    for (heading, deviates, task) in playing {
        let failure = match task.await.unwrap() {
            Err(failure) if !deviates => failure,
            Ok(()) if deviates => " deviates no longer".to_owned(),
            _ => continue,
        };
        failures.push(format!("== {heading}\n{name}.txt:{failure}\n"));
    }
    server.stop().await;
    assert!(
        failures.is_empty(),
        "{} of {all} dialogues failed\n\n{}",
        failures.len(),
        failures.join("\n")
    );
}
