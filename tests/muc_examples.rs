//! Every numbered example of XEP-0045 1.35.5 that a server answers is played: by the dialogues that name it, or by a test. What is
//! not has its reason here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The last one.
const LAST: u32 = 220;

/// Played by tests that need other settings, or a server that stops.
const TESTS: &[(u32, u32, &str, &str)] = &[
    (7, 7, "tests/muc.rs", "the_list_of_rooms_comes_in_pages"),
    (
        30,
        30,
        "tests/muc.rs",
        "a_room_that_is_full_lets_its_owner_in",
    ),
    (
        152,
        152,
        "tests/muc.rs",
        "only_who_may_makes_rooms_and_no_ghost_stays",
    ),
    (
        207,
        207,
        "src/modules/muc/room/tests/members.rs",
        "when_the_service_stops_those_learn_it_whose_sessions_it_does_not_keep",
    ),
];

/// Not played.
const SKIPPED: &[(u32, u32, &str)] = &[
    (
        14,
        17,
        "a client answers: a server passes the question on to it",
    ),
    (
        34,
        34,
        "a room may add such an address, and none here does: history gives no address away",
    ),
    (158, 158, "every room here has something to configure"),
    (208, 217, "what clients make of addresses on web pages"),
    (
        219,
        219,
        "a room here takes nothing away from what it passes on (example 220)",
    ),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The numbers in `Examples 1, 3 to 5` up to the end of that list.
fn numbers(list: &str) -> Vec<u32> {
    let end = list.find([';', '§', ':', '(']).unwrap_or(list.len());
    let mut all = Vec::new();
    for part in list[..end].split(',') {
        let mut ends = part
            .split(" to ")
            .map(|number| number.trim().parse::<u32>());
        match (ends.next(), ends.next()) {
            (Some(Ok(first)), Some(Ok(last))) => all.extend(first..=last),
            (Some(Ok(one)), _) => all.push(one),
            _ => {}
        }
    }
    all
}

/// What the dialogues of rooms say that they play, of this specification.
fn played() -> BTreeSet<u32> {
    let mut played = BTreeSet::new();
    for name in ["muc", "muc_admin", "muc_owner", "muc_talk"] {
        let path = root().join(format!("tests/scenario/{name}.txt"));
        let text = std::fs::read_to_string(path).unwrap();
        for line in text.lines() {
            for label in ["# Examples ", "# Example "] {
                let list = line.strip_prefix(label);
                played.extend(list.into_iter().flat_map(numbers));
            }
        }
    }
    played
}

#[test]
fn every_example_is_played_or_has_a_reason() {
    let mut known: BTreeMap<u32, &str> = BTreeMap::new();
    known.extend(played().into_iter().map(|number| (number, "a dialogue")));
    for (first, last, file, test) in TESTS {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        assert!(text.contains(&format!("fn {test}(")), "{file}: {test}");
        known.extend((*first..=*last).map(|number| (number, *test)));
    }
    for (first, last, reason) in SKIPPED {
        for number in *first..=*last {
            let twice = known.insert(number, reason);
            assert_eq!(twice, None, "example {number} is played, and skipped");
        }
    }
    let missing: Vec<u32> = (1..=LAST).filter(|n| !known.contains_key(n)).collect();
    assert_eq!(missing, [] as [u32; 0]);
    assert_eq!(known.keys().next_back(), Some(&LAST));
}
