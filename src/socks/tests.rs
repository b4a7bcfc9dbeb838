//! Two connections in memory, and what goes between them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::hello::{self, Code, HelloError, Name};
use super::lobby::{Full, Lobby};
use super::pump;
use crate::hooks::{MeetingTerms, NotJoined};
use crate::metrics::Counter;

fn terms(seat: Arc<()>) -> MeetingTerms {
    MeetingTerms {
        rate: 0,
        idle: Duration::from_millis(300),
        bytes: Counter::default(),
        seat: Box::new(seat),
    }
}

#[test]
fn a_name_is_a_hash_whatever_the_case_of_its_digits() {
    let name = |text: &str| Name::parse(text.as_bytes());
    assert_eq!(name(&"aB".repeat(20)), name(&"Ab".repeat(20)));
    for wrong in [
        "a".repeat(39),
        "a".repeat(41),
        "g".repeat(40),
        String::new(),
    ] {
        assert_eq!(name(&wrong), None, "{wrong}");
    }
}

#[tokio::test]
async fn what_was_asked_is_repeated_in_the_answer() {
    let (mut client, mut server) = duplex(1_000);
    let address = [&[3, 40], &[b'A'; 40][..], &[4, 56]].concat();
    let request = [&[5, 2, 1, 0, 5, 1, 0], &address[..]].concat();
    client.write_all(&request).await.unwrap();
    let asked = hello::read(&mut server).await.unwrap();
    let answer = asked.answer(Code::Welcome);
    assert_eq!(answer, [&[5, 0, 0], &address[..]].concat());
    assert_eq!(client.read_u16().await.unwrap(), 0x0500);
}

#[tokio::test]
async fn what_breaks_off_is_an_error() {
    for length in 0..9 {
        let (mut client, mut server) = duplex(1_000);
        let words = &[5, 1, 0, 5, 1, 0, 3, 40, b'a'][..length];
        client.write_all(words).await.unwrap();
        client.shutdown().await.unwrap();
        let error = hello::read(&mut server).await.unwrap_err();
        assert!(matches!(error, HelloError::Io(_)), "{length}: {error}");
    }
}

#[test]
fn places_are_counted_and_come_free() {
    let lobby = Lobby::default();
    let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|address| address.parse().unwrap());
    let place = lobby.enter(one, (2, 1)).unwrap_or_else(|_| panic!("full"));
    assert_eq!(lobby.enter(one, (2, 1)).err(), Some(Full::Address));
    let _second = lobby.enter(other, (2, 1));
    assert_eq!(lobby.enter(other, (2, 5)).err(), Some(Full::All));
    drop(place);
    assert!(lobby.enter(one, (2, 1)).is_ok());
}

#[test]
fn two_of_a_name_are_joined_once() {
    let lobby = Lobby::default();
    let name = Name::parse(&[b'a'; 40]).unwrap();
    let seat = Arc::new(());
    assert_eq!(
        lobby.join(name, terms(seat.clone())),
        Err(NotJoined::Nobody)
    );
    let first = lobby.wait(name).unwrap();
    assert_eq!(lobby.join(name, terms(seat.clone())), Err(NotJoined::Alone));
    let second = lobby.wait(name).unwrap();
    assert!(lobby.wait(name).is_none());
    drop(second);
    let second = lobby.wait(name).unwrap();
    assert_eq!(Arc::strong_count(&seat), 1);
    assert_eq!(lobby.join(name, terms(seat.clone())), Ok(()));
    assert_eq!(
        lobby.join(name, terms(seat.clone())),
        Err(NotJoined::Nobody)
    );
    // The name is free again; those who were joined do not take it from who comes now.
    let third = lobby.wait(name).unwrap();
    drop((first, second));
    assert_eq!(lobby.join(name, terms(seat.clone())), Err(NotJoined::Alone));
    drop(third);
    assert_eq!(Arc::strong_count(&seat), 1);
}

#[tokio::test]
async fn it_ends_when_both_are_through_and_when_nobody_says_anything() {
    for silent in [false, true] {
        let seat = Arc::new(());
        let (mut romeo, one) = duplex(64);
        let (mut juliet, other) = duplex(64);
        let early = (one, b"wherefore ".to_vec());
        let carried = tokio::spawn(pump::carry(early, (other, Vec::new()), terms(seat.clone())));
        romeo.write_all(b"art thou").await.unwrap();
        if !silent {
            romeo.shutdown().await.unwrap();
            juliet.shutdown().await.unwrap();
        }
        carried.await.unwrap();
        let mut heard = String::new();
        juliet.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "wherefore art thou");
        assert_eq!(Arc::strong_count(&seat), 1);
    }
}
