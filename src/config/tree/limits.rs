//! `[limits]`: everything that comes from the network is bounded here.

use crate::config::{Bytes, Network, Period};
use crate::settings;

settings! {
    /// What a stream, an address or an account may use.
    pub struct Limits {
        /// Memory for the whole server. Near it queues are kept small, then new connections are refused; chats that are there go on.
        /// Without it: three quarters of what the machine, or its control group, has.
        pub memory: Option<Bytes> = None => example("\"2GiB\"");
        /// One XML stream.
        pub stream: StreamLimits = StreamLimits::default();
        /// Connections before and after login.
        pub connections: ConnectionLimits = ConnectionLimits::default();
        /// One logged-in session.
        pub session: SessionLimits = SessionLimits::default();
        /// Sessions whose client lost its connection and may come back.
        pub resume: ResumeLimits = ResumeLimits::default();
        /// One account.
        pub account: AccountLimits = AccountLimits::default();
        /// One stream of a component.
        pub component: ComponentLimits = ComponentLimits::default();
        /// Connections of bytestreams.
        pub bytestreams: BytestreamLimits = BytestreamLimits::default();
    }

    /// Connections of bytestreams (XEP-0065) that wait to be joined two by two. What goes beyond is closed at once.
    pub struct BytestreamLimits {
        /// All together.
        pub waiting: u32 = 1_000 => within(2..=1_000_000);
        /// Those of one address (of one /64 for IPv6); limits.connections.exempt is not counted.
        pub waiting_per_address: u32 = 20 => within(2..=1_000_000);
        /// How long one may wait.
        pub wait: Period = Period::minutes(2) => within(Period::seconds(1)..=Period::minutes(60));
    }

    /// One stream of a component. Who sends faster is read more slowly.
    pub struct ComponentLimits {
        /// Bytes a second.
        pub bytes_per_second: Bytes = Bytes::mib(4) => within(Bytes::kib(16)..=Bytes::gib(1));
        /// Stanzas a second.
        pub stanzas_per_second: u32 = 5_000 => within(10..=1_000_000);
    }

    /// One XML stream. What goes beyond ends it with policy-violation.
    pub struct StreamLimits {
        /// Largest stanza after login.
        pub stanza_bytes: Bytes = Bytes::kib(256) => within(Bytes(10_000)..=Bytes::mib(16));
        /// Largest element before login.
        pub stanza_bytes_before_login: Bytes = Bytes(10_000) => within(Bytes(10_000)..=Bytes::mib(1));
        /// Nested elements.
        pub depth: u32 = 100 => within(10..=1_000);
        /// Attributes of one element.
        pub attributes: u32 = 256 => within(16..=10_000);
        /// Namespace declarations in force at once.
        pub namespaces: u32 = 64 => within(16..=10_000);
        /// Longest element or attribute name.
        pub name_bytes: Bytes = Bytes::kib(1) => within(Bytes(64)..=Bytes::kib(64));
        /// Memory of a parsed stanza, as a multiple of its bytes.
        pub parsed_factor: u32 = 4 => within(2..=64);
        /// Time for the TLS handshake.
        pub tls_timeout: Period = Period::seconds(10) => within(Period::seconds(1)..=Period::minutes(5));
        /// Time until the stream header has come.
        pub header_timeout: Period = Period::seconds(10) => within(Period::seconds(1)..=Period::minutes(5));
        /// Time from the connection to the end of the login, all together.
        pub login_timeout: Period = Period::seconds(30) => within(Period::seconds(2)..=Period::minutes(10));
        /// Time from the login to the bound resource.
        pub bind_timeout: Period = Period::seconds(30) => within(Period::seconds(2)..=Period::minutes(10));
        /// Silence after which a session is asked whether it still lives.
        pub ping_after: Period = Period::minutes(5) => within(Period::seconds(10)..=Period::days(1));
        /// Time to answer before the session is taken for lost.
        pub ping_timeout: Period = Period::seconds(60) => within(Period::seconds(5)..=Period::minutes(60));
        /// Time in which a peer that takes nothing of what is written to it is taken for lost.
        pub write_timeout: Period = Period::seconds(60) => within(Period::seconds(5)..=Period::minutes(60));
        /// Time that is left to a peer to end its side of the stream.
        pub close_timeout: Period = Period::seconds(5) => within(Period::seconds(1)..=Period::minutes(1));
    }

    /// Connections before and after login. What goes beyond is closed at once.
    pub struct ConnectionLimits {
        /// All client connections together.
        pub total: u32 = 100_000 => within(1..=10_000_000);
        /// All client connections of one address (of one /64 for IPv6).
        pub per_address: u32 = 500 => within(1..=10_000_000);
        /// Connections not yet logged in, all together.
        pub unauthenticated: u32 = 5_000 => within(1..=1_000_000);
        /// Connections not yet logged in of one address (of one /64 for IPv6).
        pub unauthenticated_per_address: u32 = 50 => within(1..=1_000_000);
        /// Who connects waits for its turn while the server is later than this for those who are logged in; 0 lets everybody begin at once.
        pub pace_lag: Period = Period::millis(25) => within(Period::millis(0)..=Period::seconds(10));
        /// Who is not limited by address: by default this machine, where tunnels and onion services come from.
        pub exempt: Vec<Network> = Network::loopback() => example("[\"127.0.0.0/8\", \"::1\", \"192.0.2.7\"]");
    }

    /// One logged-in session. Who sends faster is read more slowly; nothing is lost by it.
    pub struct SessionLimits {
        /// Bytes a second from the client.
        pub bytes_per_second: Bytes = Bytes::mib(1) => within(Bytes::kib(1)..=Bytes::gib(1));
        /// Bytes that may come at once.
        pub bytes_burst: Bytes = Bytes::mib(4) => within(Bytes::kib(16)..=Bytes::gib(1));
        /// Stanzas a second from the client.
        pub stanzas_per_second: u32 = 1_000 => within(1..=1_000_000);
        /// Stanzas that may come at once.
        pub stanzas_burst: u32 = 4_000 => within(1..=1_000_000);
        /// Bytes that wait to be written to the client; beyond it messages wait in the store, and other stanzas go back.
        pub outgoing: Bytes = Bytes::mib(1) => within(Bytes::kib(64)..=Bytes::gib(1));
        /// And with those of rooms that the client is in: who enters learns at once who is there, and hears what is said meanwhile.
        pub outgoing_rooms: Bytes = Bytes::mib(8) => within(Bytes::kib(64)..=Bytes::gib(1));
        /// Stanzas that wait to be written or to be acknowledged by the client (XEP-0198).
        pub unacknowledged: u32 = 1_000 => within(10..=1_000_000);
        /// Bytes sent to a client that can resume its session, and not acknowledged; beyond it nothing more is sent.
        pub unacknowledged_bytes: Bytes = Bytes::mib(1) => within(Bytes::kib(64)..=Bytes::gib(1));
        /// Stanzas of one client that wait for the disk at once; further ones are not read yet.
        pub uncommitted: u32 = 64 => within(1..=10_000);
        /// Contacts and others who may be told of one session's presence directly.
        pub directed_presence: u32 = 1_000 => within(1..=100_000);
    }

    /// Sessions whose client lost its connection and may come back (XEP-0198). What goes beyond ends, oldest first.
    pub struct ResumeLimits {
        /// Time to come back, over a restart of the server too; 0s: sessions end with their connection.
        pub time: Period = Period::minutes(10) => within(Period::seconds(0)..=Period::days(7));
        /// Such sessions all together.
        pub sessions: u32 = 50_000 => within(0..=10_000_000);
        /// Such sessions of one account.
        pub sessions_per_account: u32 = 8 => within(0..=10_000);
        /// Bytes that all of them hold; beyond it they take messages from the store when they come back.
        pub bytes: Bytes = Bytes::mib(256) => within(Bytes(0)..=Bytes::gib(1024));
    }

    /// One account. What goes beyond is answered with resource-constraint.
    pub struct AccountLimits {
        /// Sessions at once.
        pub sessions: u32 = 20 => within(1..=10_000);
        /// Contacts, requests included.
        pub roster_items: u32 = 2_000 => within(1..=100_000);
        /// Groups of one contact.
        pub roster_groups: u32 = 50 => within(0..=1_000);
        /// Messages kept for an account that is away.
        pub offline_messages: u32 = 5_000 => within(0..=1_000_000);
        /// Their bytes.
        pub offline_bytes: Bytes = Bytes::mib(32) => within(Bytes(0)..=Bytes::gib(16));
        /// Clients that are remembered, with what lets them in without a password; a further one takes the place of another.
        pub clients: u32 = 50 => within(1..=10_000);
        /// Stanzas that wait for the account's turn.
        pub inbox: u32 = 1_000 => within(10..=1_000_000);
        /// And where they come from a service of this server: a room says at once to who enters who is there.
        pub inbox_services: u32 = 20_000 => within(10..=1_000_000);
    }
}
