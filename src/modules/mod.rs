//! One feature, one file; this file is the one list.
//!
//! From the list come disco answers and the shipped configuration; `conformance/xeps.toml`, from which
//! the README's table and DOAP come, is compared with it. Inside a phase hooks run in its order.

pub mod addresses;
pub mod announcements;
pub mod api;
pub mod archive;
pub mod archive_preferences;
pub mod archive_search;
pub mod archive_trim;
pub mod avatars;
pub mod blocking;
pub mod bookmarks;
pub mod bytestreams;
pub mod caps;
pub mod carbons;
pub mod channel_search;
pub mod claims;
pub mod client_access;
pub mod commands;
pub mod contact;
pub mod csi;
pub mod data_policy;
pub mod delegation;
pub mod disco;
pub mod displayed;
pub mod external_services;
pub mod fast;
pub mod host_meta;
pub mod invite;
pub mod keys;
pub mod last;
pub mod lists;
#[cfg(feature = "mls")]
pub mod mls;
pub mod muc;
pub mod node_archive;
pub mod offline;
pub mod outage;
pub mod pep;
pub mod ping;
pub mod private;
pub mod privilege;
pub mod pubsub;
pub mod push;
pub mod registration;
pub mod reporting;
pub mod room_stays;
pub mod room_watch;
pub mod roster;
pub mod rtbl;
pub mod server_info;
pub mod session;
pub mod strangers;
pub mod time;
pub mod upload;
pub mod vcard;
pub mod vcard4;
pub mod version;
pub mod web_client;
pub mod web_push;

use crate::hooks::Listed;

/// Every module there is, in order.
pub const LIST: &[Listed] = &[
    Listed::of::<lists::HostGate>(),
    Listed::of::<blocking::Blocking>(),
    Listed::of::<invite::Invitations>(),
    Listed::of::<strangers::Strangers>(),
    Listed::of::<reporting::Reporting>(),
    Listed::of::<claims::Claims>(),
    Listed::of::<roster::Roster>(),
    Listed::of::<session::Session>(),
    Listed::of::<offline::Offline>(),
    Listed::of::<carbons::Carbons>(),
    Listed::of::<archive::Archive>(),
    Listed::of::<archive_preferences::ArchivePreferences>(),
    Listed::of::<archive_trim::ArchiveTrim>(),
    Listed::of::<archive_search::ArchiveSearch>(),
    Listed::of::<csi::Csi>(),
    Listed::of::<push::Push>(),
    Listed::of::<web_push::WebPush>(),
    Listed::of::<fast::Fast>(),
    Listed::of::<client_access::ClientAccess>(),
    #[cfg(feature = "mls")]
    Listed::of::<mls::Mls>(),
    Listed::of::<ping::Ping>(),
    Listed::of::<time::Time>(),
    Listed::of::<version::Version>(),
    Listed::of::<last::Last>(),
    Listed::of::<contact::Contact>(),
    Listed::of::<outage::Outage>(),
    Listed::of::<data_policy::DataPolicy>(),
    Listed::of::<server_info::ServerInfo>(),
    Listed::of::<vcard::VCard>(),
    Listed::of::<private::Private>(),
    Listed::of::<privilege::Privilege>(),
    Listed::of::<delegation::Delegation>(),
    Listed::of::<addresses::Addresses>(),
    Listed::of::<pubsub::PubSub>(),
    Listed::of::<muc::Muc>(),
    Listed::of::<channel_search::ChannelSearch>(),
    Listed::of::<rtbl::Rtbl>(),
    Listed::of::<room_stays::RoomStays>(),
    Listed::of::<room_watch::RoomWatch>(),
    Listed::of::<upload::Upload>(),
    Listed::of::<bytestreams::Bytestreams>(),
    Listed::of::<external_services::ExternalServices>(),
    Listed::of::<registration::Registration>(),
    Listed::of::<announcements::Announcements>(),
    Listed::of::<commands::Commands>(),
    Listed::of::<api::Api>(),
    Listed::of::<disco::Disco>(),
    Listed::of::<caps::Caps>(),
    Listed::of::<pep::Pep>(),
    Listed::of::<node_archive::NodeArchive>(),
    Listed::of::<bookmarks::Bookmarks>(),
    Listed::of::<avatars::Avatars>(),
    Listed::of::<vcard4::VCard4>(),
    Listed::of::<displayed::Displayed>(),
    Listed::of::<keys::Keys>(),
    Listed::of::<host_meta::HostMeta>(),
    Listed::of::<web_client::WebClient>(),
];
