//! IPv4 and IPv6 at the relay (RFC 8656 §7.2).

use super::*;

const SIX: &str = "2a00:1450::9";
const SIX_PEER: &str = "[2a00:1450::1]:4000";

fn at(addresses: &[&str]) -> Rig {
    let mut options = options();
    options.addresses = addresses
        .iter()
        .map(|address| RelayAddress {
            local: ip(address),
            external: ip(address),
        })
        .collect();
    Rig::new(options)
}

fn six(writer: Writer<'_>) -> Writer<'_> {
    udp(writer).put(attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])
}

fn both(writer: Writer<'_>) -> Writer<'_> {
    udp(writer).put(attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0])
}

#[test]
fn an_ipv6_address_is_for_ipv6_peers() {
    let mut rig = at(&[RELAY, SIX]);
    let mut caller = rig.caller("203.0.113.5:1", "a");
    assert_eq!(rig.ask(&mut caller, Method::Allocate, six), Came::Success);
    assert_eq!(rig.address(attribute::XOR_RELAYED_ADDRESS).ip(), ip(SIX));
    assert_eq!(rig.permit(&mut caller, &[PEER]), Came::Error(443));
    assert_eq!(rig.permit(&mut caller, &[SIX_PEER]), Came::Success);
    let (_, peer, _) = rig.send(&caller, SIX_PEER, b"x").unwrap();
    assert_eq!(peer, SIX_PEER.parse().unwrap());
    let got = rig.heard(&caller, SIX_PEER, b"hello").unwrap();
    let message = Message::parse(&got).unwrap();
    assert_eq!(message.attribute(attribute::DATA), Some(&b"hello"[..]));
    for peer in [
        "[::1]:80",
        "[fe80::1]:80",
        "[fd00::1]:80",
        "[2002:7f00:1::]:80",
    ] {
        assert_eq!(rig.permit(&mut caller, &[peer]), Came::Error(403), "{peer}");
    }
    for (family, expected) in [(1, Came::Error(443)), (2, Came::Success)] {
        let came = rig.ask(&mut caller, Method::Refresh, |writer| {
            writer.put(attribute::REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0])
        });
        assert_eq!(came, expected);
    }
}

/// An allocation has one address: who asks for two is told which one is missing.
#[test]
fn who_asks_for_both_gets_one_and_is_told_so() {
    for (addresses, got, lacks) in [
        (&[RELAY, SIX][..], RELAY, 2),
        (&[RELAY], RELAY, 2),
        (&[SIX], SIX, 1),
    ] {
        let mut rig = at(addresses);
        let mut caller = rig.caller("203.0.113.5:1", "a");
        assert_eq!(rig.ask(&mut caller, Method::Allocate, both), Came::Success);
        for again in [false, true] {
            assert_eq!(rig.address(attribute::XOR_RELAYED_ADDRESS).ip(), ip(got));
            let error = rig.attribute(attribute::ADDRESS_ERROR_CODE);
            assert_eq!(error[..4], [lacks, 0, 4, 40], "once more: {again}");
            assert_eq!(
                rig.ask_again(&caller, Method::Allocate, both),
                Came::Success
            );
        }
    }
}

#[test]
fn what_cannot_be_wished_together() {
    let mut rig = at(&[RELAY, SIX]);
    let mut caller = rig.caller("203.0.113.5:1", "a");
    let mut ask = |fill: Fill| rig.ask(&mut caller, Method::Allocate, fill);
    let refused: [Fill; 7] = [
        |writer| both(writer).put(attribute::REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0]),
        |writer| both(writer).put(attribute::EVEN_PORT, &[0x80]),
        |writer| both(writer).put(attribute::RESERVATION_TOKEN, &[0; 8]),
        |writer| udp(writer).put(attribute::ADDITIONAL_ADDRESS_FAMILY, &[1, 0, 0, 0]),
        |writer| udp(writer).put(attribute::ADDITIONAL_ADDRESS_FAMILY, &[2]),
        |writer| pair(writer).put(attribute::RESERVATION_TOKEN, &[0; 8]),
        |writer| udp(writer).put(attribute::EVEN_PORT, &[0x80, 0]),
    ];
    for fill in refused {
        assert_eq!(ask(fill), Came::Error(400));
    }
    assert_eq!(
        ask(|writer| both(writer).put(attribute::EVEN_PORT, &[0])),
        Came::Success
    );
}
