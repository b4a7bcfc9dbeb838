//! RFC 6120 §4.4, §4.9: how streams end, and that the seat hears of it once.

use std::time::Duration;

use super::play::*;
use crate::proto::{StreamCondition, StreamError};
use crate::stream::*;

fn closed(play: &Play) -> Vec<End> {
    play.seat.0.lock().unwrap().closed.clone()
}

#[test]
fn a_footer_is_answered() {
    let mut play = Play::bound();
    assert_eq!(play.say("</stream:stream>"), "</stream:stream>");
    assert!(play.closed);
    assert_eq!(closed(&play), [End::Footer]);
    let mut play = Play::tls().opened();
    assert_eq!(play.say("</stream:stream>"), "</stream:stream>");
    assert!(play.closed);
}

#[test]
fn after_our_footer_the_peer_has_a_while_for_its_own() {
    let mut play = Play::bound();
    let error = StreamError::from(StreamCondition::SystemShutdown);
    play.input(Input::Stop(Some(error)));
    assert_eq!(stream_error(&play.heard()), "system-shutdown");
    assert_eq!(play.deadline, Some(Duration::from_secs(2)));
    assert_eq!(closed(&play), [End::Shutdown]);
    assert_eq!(
        play.say("<message/><foo/>"),
        "",
        "it may finish its sentence"
    );
    assert!(play.seat.0.lock().unwrap().stanzas.is_empty());
    assert!(!play.closed);
    play.input(Input::Expired);
    assert!(play.closed);
    drop(play.machine);
    assert_eq!(play.seat.0.lock().unwrap().closed, [End::Shutdown]);
}

#[test]
fn the_end_has_many_names() {
    let stop = |error: Option<StreamCondition>| Input::Stop(error.map(StreamError::from));
    for (input, end) in [
        (stop(None), End::Footer),
        (stop(Some(StreamCondition::Conflict)), End::Error),
        (stop(Some(StreamCondition::ConnectionTimeout)), End::Timeout),
        (Input::Expired, End::Timeout),
    ] {
        let mut play = Play::bound();
        play.input(input);
        assert!(play.heard().ends_with("</stream:stream>"));
        assert_eq!(closed(&play), [end]);
    }
    let play = Play::bound();
    let seat = play.seat.clone();
    drop(play);
    assert_eq!(seat.0.lock().unwrap().closed, [End::ConnectionLost]);
}

#[test]
fn the_peers_error_ends_the_stream() {
    let error = "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    let mut play = Play::bound();
    assert_eq!(play.say(error), "</stream:stream>");
    assert_eq!(closed(&play), [End::Error]);
    play.say("</stream:stream>");
    assert!(play.closed);
    assert_eq!(Play::tls().opened().say(error), "</stream:stream>");
}

#[test]
fn bytes_that_are_no_xmpp_get_our_header_too() {
    for (wrong, condition) in [
        ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        ("<foo>", "bad-format"),
        ("<!DOCTYPE x>", "restricted-xml"),
    ] {
        let mut play = Play::tls();
        let heard = play.say(wrong);
        assert!(
            heard.starts_with("<?xml version='1.0'?><stream:stream "),
            "{heard}"
        );
        assert_eq!(stream_error(&heard), condition, "{wrong}");
        assert!(play.closed);
    }
}

#[test]
fn time_runs_out_in_every_state() {
    let seconds = |play: &Play| play.deadline.unwrap().as_secs();
    let mut play = Play::tls();
    assert_eq!(seconds(&play), 10);
    play.input(Input::Expired);
    let heard = play.heard();
    assert!(heard.starts_with("<?xml"));
    assert_eq!(stream_error(&heard), "connection-timeout");

    let mut play = Play::tcp();
    play.say(OPEN);
    assert_eq!(
        seconds(&play),
        20,
        "30 s in all, restarts do not renew them"
    );
    play.deadline = Some(Duration::from_secs(7));
    play.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    play.secure = false;
    play.input(Input::Secured(tls()));
    play.heard();
    play.say(OPEN);
    play.say(&plain("juliet", "wrong"));
    assert_eq!(seconds(&play), 7);
    play.input(Input::Expired);
    assert_eq!(stream_error(&play.heard()), "connection-timeout");

    let mut play = Play::authenticated();
    assert_eq!(seconds(&play), 20);
    play.input(Input::Expired);
    assert_eq!(stream_error(&play.heard()), "connection-timeout");
}

#[test]
fn a_session_bound_too_late_hears_that_nobody_is_there() {
    for late in [Input::Stop(None), Input::Footer] {
        let mut play = Play::authenticated();
        play.slow = true;
        play.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
        play.input(late);
        let question = play.pending.pop().unwrap();
        let answer = play.answer(question);
        play.input(Input::Answer(answer));
        assert_eq!(closed(&play), [End::ConnectionLost]);
    }
}
