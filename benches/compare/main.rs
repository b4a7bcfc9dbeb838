//! waxwing beside Prosody and ejabberd, measured from outside: CPU and memory of the server process for the same work.
//!
//! `cargo bench --bench compare` starts each server on fresh data, one after the other, as often as `--rounds N` says (3), and
//! prints a table; `--write` puts it into the README. `--only NAME` (repeatable) restricts the servers. `--part contacts` measures
//! a login of somebody with 200 contacts, or `--contacts N`, who have published avatars, keys and nicknames instead, `--part room`
//! what it costs to enter a room of 5,000, or with `--clients N` of so many clients of each account instead of 20. The others must be
//! installed (`apt install prosody ejabberd`), what is missing is left out; they are started from configurations written here
//! and need root, from which they step down to their own users.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "../../examples/client/mod.rs"]
mod client;
mod contacts;
mod load;
mod peer;
#[path = "../../tests/support/process.rs"]
#[allow(dead_code)]
mod process;
mod procfs;
mod room;
mod table;

use peer::{Kind, Server};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// What goes into the README.
    Everyday,
    /// With so many contacts.
    Contacts(usize),
    /// With so many clients of each account.
    Room(usize),
}

impl Part {
    async fn measure(self, server: &Server) -> Result<table::Figures, load::Failure> {
        match self {
            Part::Everyday => load::all(server).await,
            Part::Contacts(count) => contacts::all(server, count).await,
            Part::Room(clients) => room::all(server, clients).await,
        }
    }
}

/// What the command line asks for.
struct Wishes {
    rounds: usize,
    part: Part,
    only: Vec<String>,
    write: bool,
}

fn main() {
    let wishes = wishes();
    procfs::raise_descriptor_limit();
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| wishes.only.is_empty() || wishes.only.iter().any(|name| name == kind.name()))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut table = table::Table::default();
    for round in 1..=wishes.rounds {
        for &kind in &kinds {
            eprintln!("round {round}/{}: {}", wishes.rounds, kind.name());
            let figures = kind.start(load::ACCOUNTS).and_then(|server| {
                let figures = runtime.block_on(wishes.part.measure(&server));
                figures.map_err(|error| error.to_string())
            });
            match figures {
                Ok(figures) => {
                    for (what, figure) in &figures {
                        eprintln!("  {what}: {figure:.2}");
                    }
                    table.add(kind.name(), figures);
                }
                Err(error) => eprintln!("  left out: {error}"),
            }
        }
    }
    println!("{table}");
    for warning in table.warnings() {
        println!("{warning}");
    }
    if wishes.write {
        table::write_readme(&table.to_string());
    }
}

fn wishes() -> Wishes {
    let mut wishes = Wishes {
        rounds: 3,
        part: Part::Everyday,
        only: Vec::new(),
        write: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => {
                wishes.rounds = args
                    .next()
                    .and_then(|n| n.parse().ok())
                    .expect("--rounds N")
            }
            "--only" => wishes.only.push(args.next().expect("--only NAME")),
            "--write" => wishes.write = true,
            "--part" => {
                wishes.part = match args.next().as_deref() {
                    Some("contacts") => Part::Contacts(contacts::CONTACTS),
                    Some("room") => Part::Room(room::CLIENTS),
                    _ => panic!("--part contacts or --part room"),
                }
            }
            "--contacts" => {
                let count = args.next().and_then(|n| n.parse().ok());
                wishes.part = Part::Contacts(count.expect("--contacts N"));
            }
            "--clients" => {
                let clients = args.next().and_then(|n| n.parse().ok());
                wishes.part = Part::Room(clients.expect("--clients N"));
            }
            // What cargo adds.
            "--bench" => {}
            other => panic!(
                "{other}: not known; there are --rounds N, --only NAME, --part NAME, --write"
            ),
        }
    }
    assert!(
        wishes.part == Part::Everyday || !wishes.write,
        "the README has the table of the whole"
    );
    wishes
}
