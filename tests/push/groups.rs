//! Encrypted groups (MLS): whoever is added is told, on the device that it is; changes of a group wake nobody.

use waxwing::mls::testing;
use waxwing::state::mls::encode;

use super::*;
use crate::mls::{Device, mls, welcome_of};

fn welcome(to: &Jid, device: &str) -> Element {
    let welcome = mls("welcome")
        .with_attr("device", device)
        .with_attr("home", "romeo@localhost")
        .with_text(&encode(&testing::welcome(50)));
    welcome_of(to, "w", welcome)
}

async fn equipped(client: &mut Client, device: &'static str, node: &str) {
    let mut device = Device::new(&client.jid.bare(), device);
    let one = device.packages(1);
    device.publish(client, &one).await;
    let mut enable = enable();
    enable.set_attr("node", Some(node));
    set(client, enable).await.unwrap();
}

#[tokio::test]
async fn a_welcome_wakes_the_device_that_it_is_for() {
    let server = start("[modules.push]\ninterval = \"1s\"\ncontent = \"sender\"").await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    let mut desk = desk(&server, &juliet).await;
    equipped(&mut phone, "phone", "of the phone").await;
    equipped(&mut desk, "desk", "of the desk").await;
    let mut romeo = romeo(&server).await;
    // Who is there is told nothing.
    romeo.send(welcome(&juliet, "phone")).await.unwrap();
    let is = |el: &Element| el.has_child("welcome", ns::MLS);
    phone.wait_for("a welcome", is).await.unwrap();
    cut(&server, phone).await;
    desk.close().await.unwrap();

    for (device, node) in [("phone", "of the phone"), ("desk", "of the desk")] {
        romeo.send(welcome(&juliet, device)).await.unwrap();
        let told = service.told().await;
        assert_eq!((told.node(), told.messages()), (node, 1));
        let sender = told.value("last-message-sender");
        assert_eq!(sender, Some(romeo.jid.as_str()));
        service.is_told_nothing().await;
    }
    // One that is refused tells nobody anything.
    romeo.send(welcome(&juliet, "laptop")).await.unwrap();
    settled(&mut romeo).await;
    service.is_told_nothing().await;
}

#[tokio::test]
async fn what_is_said_in_a_group_wakes_and_its_changes_do_not() {
    let server = start(QUICK).await;
    let mut service = Service::attach(&server).await;
    let juliet = server.account("juliet").await.unwrap();
    let mut phone = phone(&server, &juliet).await;
    set(&mut phone, enable()).await.unwrap();
    phone.close().await.unwrap();
    let mut romeo = romeo(&server).await;
    let member = mls("member").with_attr("jid", juliet.as_str());
    let create = mls("create")
        .with_attr("group", &encode(b"g"))
        .with_child(member);
    set(&mut romeo, create).await.unwrap();
    let send = |epoch, kind| {
        let bytes = testing::private(b"g", epoch, kind);
        mls("send").with_child(mls("mls").with_text(&encode(&bytes)))
    };
    for (epoch, kind) in [(0, 3), (1, 2)] {
        set(&mut romeo, send(epoch, kind)).await.unwrap();
    }
    service.is_told_nothing().await;
    set(&mut romeo, send(1, 1)).await.unwrap();
    assert_eq!(service.told().await.messages(), 1);
}
