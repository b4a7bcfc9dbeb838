//! Capability hashes against the examples of XEP-0115 and XEP-0390.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::proto::disco::Identity;
use crate::proto::form::{Field, FormType};
use crate::xml::{Context, Limits, parse};

/// XEP-0115 §5.3.
const PSI: &str = r##"<query xmlns='http://jabber.org/protocol/disco#info'
         node='http://psi-im.org#q07IKJEyjvHSyhy//CH0CxmKi8w='>
<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
<feature var='http://jabber.org/protocol/caps'/>
<feature var='http://jabber.org/protocol/disco#info'/>
<feature var='http://jabber.org/protocol/disco#items'/>
<feature var='http://jabber.org/protocol/muc'/><x xmlns='jabber:x:data' type='result'>
<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
<field var='ip_version' type='text-multi' ><value>ipv4</value><value>ipv6</value></field>
<field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field>
<field var='software'><value>Psi</value></field><field var='software_version'>
<value>0.11</value></field></x></query>"##;

/// XEP-0390 §4.5.1.
const BOMBUS: &str = r##"<query xmlns="http://jabber.org/protocol/disco#info">
<identity category="client" name="BombusMod" type="mobile"/>
<feature var="http://jabber.org/protocol/si"/>
<feature var="http://jabber.org/protocol/bytestreams"/>
<feature var="http://jabber.org/protocol/chatstates"/>
<feature var="http://jabber.org/protocol/disco#info"/>
<feature var="http://jabber.org/protocol/disco#items"/><feature var="urn:xmpp:ping"/>
<feature var="jabber:iq:time"/><feature var="jabber:iq:privacy"/>
<feature var="jabber:iq:version"/><feature var="http://jabber.org/protocol/rosterx"/>
<feature var="urn:xmpp:time"/><feature var="jabber:x:oob"/>
<feature var="http://jabber.org/protocol/ibb"/>
<feature var="http://jabber.org/protocol/si/profile/file-transfer"/>
<feature var="urn:xmpp:receipts"/><feature var="jabber:iq:roster"/>
<feature var="jabber:iq:last"/></query>"##;

/// XEP-0390 §4.5.2.
const TKABBER: &str = r##"<query xmlns="http://jabber.org/protocol/disco#info">
<identity category="client" name="Tkabber" type="pc" xml:lang="en"/>
<identity category="client" name="Ткаббер" type="pc" xml:lang="ru"/><feature var="games:board"/>
<feature var="http://jabber.org/protocol/activity"/>
<feature var="http://jabber.org/protocol/activity+notify"/>
<feature var="http://jabber.org/protocol/bytestreams"/>
<feature var="http://jabber.org/protocol/chatstates"/>
<feature var="http://jabber.org/protocol/commands"/>
<feature var="http://jabber.org/protocol/disco#info"/>
<feature var="http://jabber.org/protocol/disco#items"/>
<feature var="http://jabber.org/protocol/evil"/>
<feature var="http://jabber.org/protocol/feature-neg"/>
<feature var="http://jabber.org/protocol/geoloc"/>
<feature var="http://jabber.org/protocol/geoloc+notify"/>
<feature var="http://jabber.org/protocol/ibb"/><feature var="http://jabber.org/protocol/iqibb"/>
<feature var="http://jabber.org/protocol/mood"/>
<feature var="http://jabber.org/protocol/mood+notify"/>
<feature var="http://jabber.org/protocol/rosterx"/>
<feature var="http://jabber.org/protocol/si"/>
<feature var="http://jabber.org/protocol/si/profile/file-transfer"/>
<feature var="http://jabber.org/protocol/tune"/>
<feature var="http://www.facebook.com/xmpp/messages"/>
<feature var="http://www.xmpp.org/extensions/xep-0084.html#ns-metadata+notify"/>
<feature var="jabber:iq:avatar"/><feature var="jabber:iq:browse"/>
<feature var="jabber:iq:dtcp"/><feature var="jabber:iq:filexfer"/><feature var="jabber:iq:ibb"/>
<feature var="jabber:iq:inband"/><feature var="jabber:iq:jidlink"/>
<feature var="jabber:iq:last"/><feature var="jabber:iq:oob"/><feature var="jabber:iq:privacy"/>
<feature var="jabber:iq:roster"/><feature var="jabber:iq:time"/>
<feature var="jabber:iq:version"/><feature var="jabber:x:data"/><feature var="jabber:x:event"/>
<feature var="jabber:x:oob"/><feature var="urn:xmpp:avatar:metadata+notify"/>
<feature var="urn:xmpp:ping"/><feature var="urn:xmpp:receipts"/><feature var="urn:xmpp:time"/>
<x xmlns="jabber:x:data" type="result"><field type="hidden" var="FORM_TYPE">
<value>urn:xmpp:dataforms:softwareinfo</value></field><field var="software">
<value>Tkabber</value></field><field var="software_version">
<value>0.11.1-svn-20111216-mod (Tcl/Tk 8.6b2)</value></field><field var="os">
<value>Windows</value></field><field var="os_version"><value>XP</value></field></x></query>"##;

fn info(text: &str) -> Info {
    let squeezed = text.replace(">\n<", "><");
    let query = parse(squeezed.as_bytes(), &Context::client(), &Limits::default()).unwrap();
    Info::parse(query.root(), None)
}

/// XEP-0115 §5.2.
fn exodus() -> Info {
    Info {
        identities: vec![Identity::new("client", "pc").with_name("Exodus 0.9.1")],
        features: [ns::MUC, ns::DISCO_ITEMS, ns::CAPS, ns::DISCO_INFO]
            .map(String::from)
            .to_vec(),
        ..Info::default()
    }
}

#[test]
fn verification_strings() {
    assert_eq!(ver(&exodus(), Hash::Sha1), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    assert_eq!(ver(&info(PSI), Hash::Sha1), "q07IKJEyjvHSyhy//CH0CxmKi8w=");
    assert!(verify_ver(
        &info(PSI),
        Hash::Sha1,
        "q07IKJEyjvHSyhy//CH0CxmKi8w="
    ));
    assert!(!verify_ver(
        &exodus(),
        Hash::Sha1,
        "q07IKJEyjvHSyhy//CH0CxmKi8w="
    ));
    let c = element(&exodus(), "http://code.google.com/p/exodus");
    assert_eq!(c.attr("ver"), Some("QgayPKawpkPSDYmwT/WM94uAlu0="));
}

#[test]
fn capability_hashes() {
    let hashes = |text: &str| [Hash::Sha256, Hash::Sha3_256].map(|h| hash(&info(text), h).unwrap());
    assert_eq!(
        hashes(BOMBUS),
        [
            "kzBZbkqJ3ADrj7v08reD1qcWUwNGHaidNUgD7nHpiw8=",
            "79mdYAfU9rEdTOcWDO7UEAt6E56SUzk/g6TnqUeuD9Q="
        ]
    );
    assert_eq!(
        hashes(TKABBER),
        [
            "u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=",
            "XpUJzLAc93258sMECZ3FJpebkzuyNXDzRNwQog8eycg="
        ]
    );
    assert_eq!(element2(&info(BOMBUS)).unwrap().children().count(), 2);
}

#[test]
fn hash_nodes() {
    let node = "urn:xmpp:caps#sha-256.u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=";
    let (function, value) = parse_hash_node(node).unwrap();
    assert_eq!(hash_node(function, value), node);
    assert_eq!(parse_hash_node("urn:xmpp:caps#md5.x"), None);
    assert_eq!(parse_hash_node("http://psi-im.org#x"), None);
}

#[test]
fn what_appears_twice_is_ill_formed() {
    let twice = |change: fn(&mut Info)| {
        let mut info = info(PSI);
        change(&mut info);
        let own = ver(&info, Hash::Sha1);
        !verify_ver(&info, Hash::Sha1, &own)
    };
    assert!(twice(|info| info.features.push(ns::MUC.to_owned())));
    assert!(twice(|info| info
        .identities
        .push(info.identities[0].clone())));
    assert!(twice(|info| info.forms.push(info.forms[0].clone())));
    assert!(twice(|info| info.forms[0].fields[0]
        .values
        .push("other".to_owned())));
    assert!(!twice(|_| {}));
}

#[test]
fn forms_without_a_type() {
    let mut info = info(PSI);
    info.forms
        .push(Form::new(FormType::Result).with_field(Field::text("os", "Linux")));
    assert_eq!(ver(&info, Hash::Sha1), "q07IKJEyjvHSyhy//CH0CxmKi8w=");
    assert_eq!(hash(&info, Hash::Sha256), None);
}

#[test]
fn tables_and_strangers_have_no_hash() {
    let mut table = info(TKABBER);
    table.forms[0].items.push(Vec::new());
    assert_eq!(hash(&table, Hash::Sha256), None);
    let stranger = Info {
        others: true,
        ..exodus()
    };
    assert_eq!(hash(&stranger, Hash::Sha256), None);
    assert!(element2(&stranger).is_none());
}
