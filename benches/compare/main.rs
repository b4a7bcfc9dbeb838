//! waxwing beside Prosody and ejabberd, measured from outside: CPU and memory of the server process for the same work.
//!
//! `cargo bench --bench compare` starts each server on fresh data, one after the other, as often as `--rounds N` says (3), and
//! prints a table; `--write` puts it into the README. `--only NAME` (repeatable) restricts the servers. The others must be
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
mod load;
mod peer;
#[path = "../../tests/support/process.rs"]
#[allow(dead_code)]
mod process;
mod procfs;
mod table;

use peer::Kind;

/// What the command line asks for.
struct Wishes {
    rounds: usize,
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
                let figures = runtime.block_on(load::all(&server));
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
            // What cargo adds.
            "--bench" => {}
            other => panic!("{other}: not known; there are --rounds N, --only NAME, --write"),
        }
    }
    wishes
}
