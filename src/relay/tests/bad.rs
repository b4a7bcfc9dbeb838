//! What must not work: forged, replayed and odd messages, floods, and tries to have somebody else flooded.

use super::*;

const METHODS: [Method; 4] = [
    Method::Allocate,
    Method::Refresh,
    Method::CreatePermission,
    Method::ChannelBind,
];

/// Attributes with which each of them would be done.
fn whole(writer: Writer<'_>) -> Writer<'_> {
    with_peers(udp(writer), &[PEER])
        .put(attribute::CHANNEL_NUMBER, &[0x40, 1, 0, 0])
        .put(attribute::LIFETIME, &[0; 4])
}

#[test]
fn what_is_sealed_wrongly_changes_nothing() {
    let (mut rig, mut caller) = allocated();
    caller.key[0] ^= 1;
    for method in METHODS {
        assert_eq!(
            rig.ask(&mut caller, method, whole),
            Came::Error(401),
            "{method:?}"
        );
    }
    // Nor what is not sealed at all.
    for method in METHODS {
        assert_eq!(
            rig.unproven(&caller, method, whole),
            Came::Error(401),
            "{method:?}"
        );
    }
    assert_eq!(rig.machine.counts().allocations, 1);
    assert_eq!(rig.send(&caller, PEER, b"x"), None);
    assert_eq!(rig.machine.counts().unauthorized, 4);
}

#[test]
fn what_was_heard_on_the_way_is_of_no_use_elsewhere_or_later() {
    let (mut rig, caller) = allocated();
    let mut bytes = Vec::new();
    let writer = Writer::new(&mut bytes, Class::Request, Method::Allocate, [9; 12])
        .put(attribute::USERNAME, caller.name.as_bytes())
        .put(attribute::REALM, b"example.org")
        .put(attribute::NONCE, caller.nonce.as_bytes());
    udp(writer).sealed(&caller.key).fingerprint();
    let elsewhere = Client {
        line: 0,
        address: "203.0.113.66:1000".parse().unwrap(),
    };
    assert_eq!(rig.give(elsewhere, &bytes), Came::Error(438));
    assert_eq!(rig.give(caller.client, &bytes), Came::Error(437));
    rig.hand.advance(Duration::from_secs(601));
    rig.machine.expire();
    assert_eq!(rig.give(caller.client, &bytes), Came::Error(438), "later");
    assert_eq!(rig.machine.counts().allocations, 0);
}

#[test]
fn what_must_be_understood_and_is_not_is_named() {
    let (mut rig, mut caller) = allocated();
    for method in METHODS {
        let came = rig.ask(&mut caller, method, |writer| {
            whole(writer)
                .put(0x0031, &[])
                .put(0x8031, &[])
                .put(attribute::DONT_FRAGMENT, &[])
        });
        assert_eq!(came, Came::Error(420), "{method:?}");
        let named = rig.attribute(attribute::UNKNOWN_ATTRIBUTES);
        assert_eq!(named, [0, 0x31, 0, 0x1a], "{method:?}");
    }
    let came = rig.ask(&mut caller, Method::Refresh, |writer| {
        (0..100).fold(writer, |writer, kind| writer.put(0x0100 + kind, &[]))
    });
    assert_eq!(came, Came::Error(420));
    assert_eq!(rig.attribute(attribute::UNKNOWN_ATTRIBUTES).len(), 16);
    // What need not be understood is passed over (RFC 8489 §14).
    let came = rig.ask(&mut caller, Method::Refresh, |writer| {
        writer.put(0x8031, b"odd")
    });
    assert_eq!(came, Came::Success);
}

/// RFC 8656 §11.2: nothing here can keep a datagram in one piece.
#[test]
fn a_datagram_that_must_stay_in_one_piece_is_not_sent() {
    let (mut rig, mut caller) = allocated();
    assert_eq!(rig.permit(&mut caller, &[PEER]), Came::Success);
    let mut bytes = Vec::new();
    let whole = Writer::new(&mut bytes, Class::Indication, Method::Send, [9; 12]);
    let _ = with_peers(whole, &[PEER])
        .put(attribute::DONT_FRAGMENT, &[])
        .put(attribute::DATA, b"x");
    assert_eq!(rig.forwarded(&caller, &bytes), None);
    assert!(rig.send(&caller, PEER, b"x").is_some());
}

#[test]
fn indications_that_lack_something_go_nowhere() {
    let (mut rig, mut caller) = allocated();
    assert_eq!(rig.permit(&mut caller, &[PEER]), Came::Success);
    let odd: [Fill; 5] = [
        |writer| writer,
        |writer| with_peers(writer, &[PEER]),
        |writer| writer.put(attribute::DATA, b"x"),
        |writer| {
            let half = &[0, 1, 0, 80, 1, 2][..];
            writer
                .put(attribute::XOR_PEER_ADDRESS, half)
                .put(attribute::DATA, b"x")
        },
        |writer| with_peers(writer, &["[::1]:80"]).put(attribute::DATA, b"x"),
    ];
    for fill in odd {
        let mut bytes = Vec::new();
        let _ = fill(Writer::new(
            &mut bytes,
            Class::Indication,
            Method::Send,
            [9; 12],
        ));
        assert_eq!(rig.forwarded(&caller, &bytes), None);
    }
    // Answers nobody asked for, and indications that are for clients.
    for (class, method) in [
        (Class::Success, Method::Allocate),
        (Class::Error, Method::Refresh),
        (Class::Indication, Method::Data),
        (Class::Indication, Method::Binding),
    ] {
        let mut bytes = Vec::new();
        let writer = Writer::new(&mut bytes, class, method, [9; 12]);
        let _ = with_peers(writer, &[PEER]).put(attribute::DATA, b"x");
        assert_eq!(rig.forwarded(&caller, &bytes), None, "{class:?} {method:?}");
    }
}

#[test]
fn a_peer_named_among_too_many_is_not_permitted() {
    let (mut rig, mut caller) = allocated();
    let peers: Vec<String> = (1..=33).map(|n| format!("8.8.8.{n}:1")).collect();
    let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
    assert_eq!(rig.permit(&mut caller, &peers), Came::Error(400));
    let again = [PEER; 32];
    assert_eq!(rig.permit(&mut caller, &again), Came::Success);
    let half = rig.ask(&mut caller, Method::CreatePermission, |writer| {
        writer.put(attribute::XOR_PEER_ADDRESS, &[0, 1, 0])
    });
    assert_eq!(half, Came::Error(400));
}

/// Each waits for word whether its account is there still; until then it has a place.
#[test]
fn who_waits_for_an_address_takes_a_place() {
    let mut rig = Rig::new(options());
    let mut waiting = Vec::new();
    for n in 1..=5 {
        let mut caller = rig.caller(&format!("203.0.113.{n}:1000"), &format!("{n}"));
        caller.transaction[0] += 1;
        let mut bytes = Vec::new();
        let writer = Writer::new(
            &mut bytes,
            Class::Request,
            Method::Allocate,
            caller.transaction,
        )
        .put(attribute::USERNAME, caller.name.as_bytes())
        .put(attribute::REALM, b"example.org")
        .put(attribute::NONCE, caller.nonce.as_bytes());
        udp(writer).sealed(&caller.key).fingerprint();
        for _ in 0..3 {
            match rig.machine.from_client(caller.client, &bytes, &mut rig.out) {
                Step::Open(opening) => waiting.push(opening),
                Step::Nothing | Step::Answer => {}
                Step::Forward { .. } => panic!("a request is not forwarded"),
            }
        }
    }
    assert_eq!(waiting.len(), 4, "as many as there may be, and each once");
    assert_eq!(came(&rig.out), Came::Error(508));
    assert_eq!(rig.machine.counts().allocations, 0);
}

/// Whatever somebody asks in another one's name, that one gets no more of it than was sent.
#[test]
fn nobody_has_somebody_else_flooded() {
    let questions: [(Method, Fill); 6] = [
        (Method::Binding, |writer| writer),
        (Method::Allocate, udp),
        (Method::Allocate, |writer| writer),
        (Method::Refresh, |writer| writer),
        (Method::CreatePermission, |writer| writer),
        (Method::ChannelBind, |writer| writer),
    ];
    for (method, fill) in questions {
        let mut rig = Rig::new(options());
        let client = Client {
            line: 0,
            address: "203.0.113.5:1000".parse().unwrap(),
        };
        let mut bytes = Vec::new();
        let _ = fill(Writer::new(&mut bytes, Class::Request, method, [1; 12]));
        let (mut asked, mut answered) = (0, 0);
        for _ in 0..100 {
            asked += bytes.len();
            if rig.give(client, &bytes) != Came::Nothing {
                answered += rig.out.len();
                assert!(rig.out.len() <= 100, "{method:?}: {} bytes", rig.out.len());
            }
        }
        assert!(
            answered <= asked,
            "{method:?}: {answered} bytes for {asked}"
        );
        assert!(rig.machine.counts().floods > 0);
    }
}
