//! Our SCRAM against the client half of the `sasl` crate, which nobody here wrote.

use std::sync::Arc;

use ::sasl::client::Mechanism as Client;
use ::sasl::client::mechanisms::Scram as ClientScram;
use ::sasl::common::scram::{ScramProvider, Sha1, Sha256};
use ::sasl::common::{ChannelBinding, Credentials};
use ::sasl::server::{Mechanism, MechanismError, Response};

use super::play::*;
use crate::stream::sasl::scram::Scram;
use crate::stream::*;

fn meet<P: ScramProvider>(
    hash: ScramHash,
    plus: bool,
    binding: ChannelBinding,
    offered: Bindings,
    password: &str,
) -> Result<(), MechanismError> {
    let credentials = Credentials::default()
        .with_username("juliet")
        .with_password(password)
        .with_channel_binding(binding);
    let mut client = ClientScram::<P>::from_credentials(credentials).unwrap();
    let keys = ScramKeys::derive(hash, PASSWORD, b"0123456789abcdef", 4096);
    let downgrade = Some("aGFzaA==".to_owned());
    let mut server = Scram::new(
        hash,
        plus,
        keys,
        Arc::new(offered),
        downgrade,
        "server".into(),
    );
    assert_eq!(server.name(), hash.mechanism(plus));
    let Response::Proceed(challenge) = server.respond(&client.initial())? else {
        panic!("done too early")
    };
    let response = client.response(&challenge).unwrap();
    match server.respond(&response)? {
        Response::Success(identity, data) => {
            assert_eq!(identity, "juliet".into());
            client.success(&data).unwrap();
            Ok(())
        }
        Response::Proceed(_) => panic!("another step"),
    }
}

fn both(
    plus: bool,
    binding: ChannelBinding,
    offered: &Bindings,
    password: &str,
) -> [Result<(), MechanismError>; 2] {
    [
        meet::<Sha1>(
            ScramHash::Sha1,
            plus,
            binding.clone(),
            offered.clone(),
            password,
        ),
        meet::<Sha256>(ScramHash::Sha256, plus, binding, offered.clone(), password),
    ]
}

#[test]
fn it_agrees_where_it_should_and_only_there() {
    let offered = &Bindings::of(Some(&tls()));
    let nothing = &Bindings::default();
    let exporter = || ChannelBinding::TlsExporter(vec![5; 32]);
    let ok = [Ok(()), Ok(())];
    assert_eq!(both(false, ChannelBinding::None, offered, PASSWORD), ok);
    assert_eq!(both(false, ChannelBinding::None, nothing, PASSWORD), ok);
    assert_eq!(
        both(false, ChannelBinding::Unsupported, nothing, PASSWORD),
        ok
    );
    assert_eq!(both(true, exporter(), offered, PASSWORD), ok);
    let refused =
        |result: [Result<(), MechanismError>; 2]| assert!(result.iter().all(Result::is_err));
    refused(both(false, ChannelBinding::Unsupported, offered, PASSWORD));
    refused(both(
        true,
        ChannelBinding::TlsExporter(vec![4; 32]),
        offered,
        PASSWORD,
    ));
    refused(both(
        true,
        ChannelBinding::TlsUnique(vec![5; 32]),
        offered,
        PASSWORD,
    ));
    refused(both(true, exporter(), nothing, PASSWORD));
    refused(both(false, ChannelBinding::None, offered, "wrong"));
    refused(both(true, exporter(), offered, "wrong"));
}
