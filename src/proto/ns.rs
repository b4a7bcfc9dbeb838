//! Every namespace in one list, each with the specification that defines it.

// RFC 6120 and 6121, with what belongs to streams

/// RFC 6120 §4.8.2: content of client streams, and the canonical form inside the server.
pub const CLIENT: &str = "jabber:client";
/// RFC 6120 §4.8.2: content of server streams.
pub const SERVER: &str = "jabber:server";
/// RFC 6120 §4.8.1: the stream element, its features and errors.
pub const STREAM: &str = "http://etherx.jabber.org/streams";
/// RFC 6120 §4.9.2: conditions of stream errors.
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// RFC 6120 §8.3.2: conditions of stanza errors.
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// RFC 6120 §5: STARTTLS.
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// RFC 6120 §6: SASL.
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// RFC 6120 §7: resource binding.
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// RFC 3921 §3: session establishment, a no-op today.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// RFC 6121 §2: roster.
pub const ROSTER: &str = "jabber:iq:roster";
/// RFC 6121 §2.6: roster versioning.
pub const ROSTER_VER: &str = "urn:xmpp:features:rosterver";
/// RFC 6121 §3.4: pre-approved subscriptions.
pub const PRE_APPROVAL: &str = "urn:xmpp:features:pre-approval";
/// RFC 7395: streams in WebSocket messages.
pub const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
/// XEP-0205: application conditions such as stanza-too-big.
pub const ERRORS: &str = "urn:xmpp:errors";
/// XEP-0114: component protocol.
pub const COMPONENT: &str = "jabber:component:accept";
/// XEP-0124: BOSH.
pub const HTTP_BIND: &str = "http://jabber.org/protocol/httpbind";
/// XEP-0206: XMPP over BOSH.
pub const XBOSH: &str = "urn:xmpp:xbosh";
/// XEP-0198: stream management.
pub const SM: &str = "urn:xmpp:sm:3";
/// XEP-0220: server dialback.
pub const DIALBACK: &str = "jabber:server:dialback";
/// XEP-0220: the stream feature.
pub const DIALBACK_FEATURE: &str = "urn:xmpp:features:dialback";
/// XEP-0220: error conditions.
pub const DIALBACK_ERRORS: &str = "urn:xmpp:dialback:errors";
/// XEP-0288: bidirectional server streams.
pub const BIDI: &str = "urn:xmpp:bidi";
/// XEP-0288: the stream feature.
pub const BIDI_FEATURE: &str = "urn:xmpp:features:bidi";
/// XEP-0352: client state indication.
pub const CSI: &str = "urn:xmpp:csi:0";
/// XEP-0386: Bind 2.
pub const BIND2: &str = "urn:xmpp:bind:0";
/// XEP-0388: extensible SASL profile.
pub const SASL2: &str = "urn:xmpp:sasl:2";
/// XEP-0440: channel-binding types offered.
pub const SASL_CB: &str = "urn:xmpp:sasl-cb:0";
/// XEP-0478: stream limits advertisement.
pub const STREAM_LIMITS: &str = "urn:xmpp:stream-limits:0";
/// XEP-0480: SASL upgrade tasks.
pub const SASL_UPGRADE: &str = "urn:xmpp:sasl:upgrade:0";
/// XEP-0480: upgrade of SCRAM keys.
pub const SCRAM_UPGRADE: &str = "urn:xmpp:scram-upgrade:0";
/// XEP-0484: fast authentication streamlining tokens.
pub const FAST: &str = "urn:xmpp:fast:0";
/// XEP-0509: initial authentication pipelining.
pub const PIPELINING: &str = "urn:xmpp:iap:0";

// Forms, discovery, small payloads

/// XEP-0004: data forms.
pub const DATA_FORM: &str = "jabber:x:data";
/// XEP-0122: data forms validation.
pub const DATA_VALIDATE: &str = "http://jabber.org/protocol/xdata-validate";
/// XEP-0221: data forms media element.
pub const DATA_MEDIA: &str = "urn:xmpp:media-element";
/// XEP-0030: service discovery, information.
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// XEP-0030: service discovery, items.
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// XEP-0059: result set management.
pub const RSM: &str = "http://jabber.org/protocol/rsm";
/// XEP-0115: entity capabilities.
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// XEP-0115: caps optimization.
pub const CAPS_OPTIMIZE: &str = "http://jabber.org/protocol/caps#optimize";
/// XEP-0390: entity capabilities 2.0.
pub const CAPS2: &str = "urn:xmpp:caps";
/// XEP-0390: caps optimization.
pub const CAPS2_OPTIMIZE: &str = "urn:xmpp:caps:optimize";
/// XEP-0300: cryptographic hash functions.
pub const HASHES: &str = "urn:xmpp:hashes:2";
/// XEP-0203: delayed delivery.
pub const DELAY: &str = "urn:xmpp:delay";
/// XEP-0297: stanza forwarding.
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// XEP-0334: message processing hints.
pub const HINTS: &str = "urn:xmpp:hints";
/// XEP-0359: unique and stable stanza IDs.
pub const STANZA_ID: &str = "urn:xmpp:sid:0";
/// XEP-0050: ad-hoc commands.
pub const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// XEP-0133: service administration.
pub const ADMIN: &str = "http://jabber.org/protocol/admin";
/// XEP-0157: contact addresses, as a disco form.
pub const SERVER_INFO: &str = "http://jabber.org/network/serverinfo";
/// XEP-0455: where is told of outages, as a disco form.
pub const SOS: &str = "urn:xmpp:sos:0";
/// XEP-0504: what becomes of data, as a disco form.
pub const DATA_POLICY: &str = "urn:xmpp:data-policy:0";
/// XEP-0485: information on a server, at a node.
pub const SERVER_INFO_NODE: &str = "urn:xmpp:serverinfo:0";
/// XEP-0033: extended stanza addressing.
pub const ADDRESS: &str = "http://jabber.org/protocol/address";
/// XEP-0079: advanced message processing.
pub const AMP: &str = "http://jabber.org/protocol/amp";
/// XEP-0131: stanza headers.
pub const SHIM: &str = "http://jabber.org/protocol/shim";

// Accounts and contacts

/// XEP-0012: last activity.
pub const LAST: &str = "jabber:iq:last";
/// XEP-0049: private XML storage.
pub const PRIVATE: &str = "jabber:iq:private";
/// XEP-0054: vcard-temp.
pub const VCARD: &str = "vcard-temp";
/// XEP-0055: user search.
pub const SEARCH: &str = "jabber:iq:search";
/// XEP-0077: in-band registration.
pub const REGISTER: &str = "jabber:iq:register";
/// XEP-0077: the stream feature.
pub const REGISTER_FEATURE: &str = "http://jabber.org/features/iq-register";
/// XEP-0092: software version.
pub const VERSION: &str = "jabber:iq:version";
/// XEP-0144: roster item exchange.
pub const ROSTER_EXCHANGE: &str = "http://jabber.org/protocol/rosterx";
/// XEP-0153: vCard-based avatars.
pub const VCARD_UPDATE: &str = "vcard-temp:x:update";
/// XEP-0172: user nickname.
pub const NICK: &str = "http://jabber.org/protocol/nick";
/// XEP-0191: blocking command.
pub const BLOCKING: &str = "urn:xmpp:blocking";
/// XEP-0065: SOCKS5 bytestreams.
pub const BYTESTREAMS: &str = "http://jabber.org/protocol/bytestreams";
/// XEP-0191: the condition "blocked".
pub const BLOCKING_ERRORS: &str = "urn:xmpp:blocking:errors";
/// XEP-0199: ping.
pub const PING: &str = "urn:xmpp:ping";
/// XEP-0202: entity time.
pub const TIME: &str = "urn:xmpp:time";
/// XEP-0215: external service discovery.
pub const EXTDISCO: &str = "urn:xmpp:extdisco:2";
/// XEP-0227: portable import and export.
pub const PIE: &str = "urn:xmpp:pie:0";
/// XEP-0292: vCard4 over XMPP.
pub const VCARD4: &str = "urn:ietf:params:xml:ns:vcard-4.0";
/// XEP-0292: the node of a card.
pub const VCARD4_NODE: &str = "urn:xmpp:vcard4";
/// XEP-0283: moved.
pub const MOVED: &str = "urn:xmpp:moved:1";
/// XEP-0319: last user interaction in presence.
pub const IDLE: &str = "urn:xmpp:idle:1";
/// XEP-0357: push notifications.
pub const PUSH: &str = "urn:xmpp:push:0";
/// XEP-0357: the form that sums up what happened.
pub const PUSH_SUMMARY: &str = "urn:xmpp:push:summary";
/// Our own: web push (`docs/push.md`).
pub const WEB_PUSH: &str = "waxwing:web-push:0";
/// MUC2 (a ProtoXEP): rooms that bare addresses stay in.
pub const MUC2: &str = "urn:xmpp:muc:0";
/// MUC2: an account's server joins rooms for it.
pub const MUC2_PAM: &str = "urn:xmpp:muc:pam:0";
/// Our own: to be brought back into a room (`docs/rooms.md`).
pub const REJOIN: &str = "waxwing:rejoin:0";
/// XEP-0363: HTTP file upload.
pub const HTTP_UPLOAD: &str = "urn:xmpp:http:upload:0";
/// XEP-0363: purpose of an upload.
pub const UPLOAD_PURPOSE: &str = "urn:xmpp:http:upload:purpose:0";
/// XEP-0377: spam reporting.
pub const REPORTING: &str = "urn:xmpp:reporting:1";
/// XEP-0379: pre-authenticated roster subscription.
pub const PARS: &str = "urn:xmpp:pars:0";
/// XEP-0401: ad-hoc account invitation.
pub const INVITE: &str = "urn:xmpp:invite";
/// XEP-0445: pre-authenticated in-band registration.
pub const IBR_TOKEN: &str = "urn:xmpp:ibr-token:0";
/// XEP-0494: client access management.
pub const CLIENT_ACCESS: &str = "urn:xmpp:cam:0";

// Messages

/// XEP-0066: out of band data.
pub const OOB: &str = "jabber:x:oob";
/// XEP-0085: chat state notifications.
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// XEP-0184: message delivery receipts.
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// XEP-0224: attention.
pub const ATTENTION: &str = "urn:xmpp:attention:0";
/// XEP-0280: message carbons.
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// XEP-0280: every rule of §6.1 is followed.
pub const CARBONS_RULES: &str = "urn:xmpp:carbons:rules:0";
/// XEP-0308: last message correction.
pub const CORRECTION: &str = "urn:xmpp:message-correct:0";
/// XEP-0313: message archive management.
pub const MAM: &str = "urn:xmpp:mam:2";
/// XEP-0313: what `#extended` adds.
pub const MAM_EXTENDED: &str = "urn:xmpp:mam:2#extended";
/// XEP-0313: the field `include-groupchat` is understood.
pub const MAM_GROUPCHAT_FIELD: &str = "urn:xmpp:mam:2#groupchat-field";
/// XEP-0313: messages of rooms are in the archive.
pub const MAM_GROUPCHAT_AVAILABLE: &str = "urn:xmpp:mam:2#groupchat-available";
/// Message archive management, trim command: a proposal without number.
pub const MAM_TRIM: &str = "urn:xmpp:mamtrim:0";
/// XEP-0431: full text search in archives.
pub const FULLTEXT: &str = "urn:xmpp:fulltext:0";
/// XEP-0367: message attaching.
pub const ATTACHING: &str = "urn:xmpp:message-attaching:1";
/// XEP-0385: stateless inline media sharing.
pub const MEDIA_SHARING: &str = "urn:xmpp:sims:1";
/// XEP-0424: a retracted message leaves a tombstone.
pub const RETRACT_TOMBSTONE: &str = "urn:xmpp:message-retract:1#tombstone";
/// XEP-0447: stateless file sharing.
pub const FILE_SHARING: &str = "urn:xmpp:sfs:0";
/// XEP-0333: displayed markers.
pub const CHAT_MARKERS: &str = "urn:xmpp:chat-markers:0";
/// XEP-0166: Jingle.
pub const JINGLE: &str = "urn:xmpp:jingle:1";
/// XEP-0353: Jingle message initiation.
pub const JINGLE_MESSAGE: &str = "urn:xmpp:jingle-message:0";
/// XEP-0373: OpenPGP for XMPP.
pub const OPENPGP: &str = "urn:xmpp:openpgp:0";
/// XEP-0380: explicit message encryption.
pub const ENCRYPTION: &str = "urn:xmpp:eme:0";
/// XEP-0384: OMEMO.
pub const OMEMO: &str = "urn:xmpp:omemo:2";
/// XEP-0384 before 0.4: OMEMO as most clients speak it.
pub const OMEMO_LEGACY: &str = "eu.siacs.conversations.axolotl";
/// XEP-0409: IM routing, the next generation.
pub const IM_NG: &str = "urn:xmpp:im-ng:0";
/// XEP-0413: order-by.
pub const ORDER_BY: &str = "urn:xmpp:order-by:1";
/// XEP-0422: message fastening.
pub const FASTEN: &str = "urn:xmpp:fasten:0";
/// XEP-0424: message retraction.
pub const RETRACT: &str = "urn:xmpp:message-retract:1";
/// XEP-0424 before 0.4: message retraction, inside moderation as older clients know it.
pub const RETRACT_OLD: &str = "urn:xmpp:message-retract:0";
/// XEP-0425 before 0.3: moderation as older clients know it.
pub const MODERATE_OLD: &str = "urn:xmpp:message-moderate:0";
/// XEP-0425: moderated message retraction.
pub const MODERATE: &str = "urn:xmpp:message-moderate:1";
/// XEP-0372: references.
pub const REFERENCE: &str = "urn:xmpp:reference:0";
/// XEP-0428: fallback indication.
pub const FALLBACK: &str = "urn:xmpp:fallback:0";
/// XEP-0430: inbox.
pub const INBOX: &str = "urn:xmpp:inbox:1";
/// XEP-0444: message reactions.
pub const REACTIONS: &str = "urn:xmpp:reactions:0";
/// XEP-0461: message replies.
pub const REPLY: &str = "urn:xmpp:reply:0";
/// XEP-0482: call invites.
pub const CALL_INVITES: &str = "urn:xmpp:call-invites:0";
/// XEP-0490: message displayed synchronization.
pub const MDS: &str = "urn:xmpp:mds:displayed:0";
/// XEP-0490 §4.5.2
pub const MDS_ASSIST: &str = "urn:xmpp:mds:server-assist:0";
/// XEP-0492: chat notification settings.
pub const NOTIFICATION_SETTINGS: &str = "urn:xmpp:notification-settings:1";
/// XEP-0513: explicit mentions.
pub const MENTIONS: &str = "urn:xmpp:mentions:0";

// Rooms

/// XEP-0045: multi-user chat.
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// XEP-0045: seen by occupants.
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// XEP-0045: for admins.
pub const MUC_ADMIN: &str = "http://jabber.org/protocol/muc#admin";
/// XEP-0045: for owners.
pub const MUC_OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// XEP-0045 §7.4: messages keep the id their sender gave them.
pub const MUC_STABLE_ID: &str = "http://jabber.org/protocol/muc#stable_id";
/// XEP-0045 §16.5.1: the form for registration with a room.
pub const MUC_REGISTER: &str = "http://jabber.org/protocol/muc#register";
/// XEP-0045 §16.5.2: the form for requests for voice.
pub const MUC_REQUEST: &str = "http://jabber.org/protocol/muc#request";
/// XEP-0045 §16.5.3: the form for the configuration of a room.
pub const MUC_ROOM_CONFIG: &str = "http://jabber.org/protocol/muc#roomconfig";
/// XEP-0045 §16.5.4: the form that tells about a room.
pub const MUC_ROOM_INFO: &str = "http://jabber.org/protocol/muc#roominfo";
/// XEP-0410: the room answers pings to oneself.
pub const MUC_SELF_PING: &str = "http://jabber.org/protocol/muc#self-ping-optimization";
/// XEP-0307: unique room names.
pub const MUC_UNIQUE: &str = "http://jabber.org/protocol/muc#unique";
/// XEP-0317: what people are in a room beside their roles.
pub const HATS: &str = "urn:xmpp:hats:0";
/// XEP-0488: tokens that let people into rooms.
pub const MUC_TOKEN_INVITE: &str = "urn:xmpp:muc-token-invite:0";
/// XEP-0463: versions of the lists of a room.
pub const MUC_AFFILIATIONS: &str = "urn:xmpp:muc:affiliations:1";
/// XEP-0249: direct invitations.
pub const CONFERENCE: &str = "jabber:x:conference";
/// XEP-0421: anonymous unique occupant identifiers.
pub const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";
/// XEP-0433: extended channel search.
pub const CHANNEL_SEARCH: &str = "urn:xmpp:channel-search:0:search";

// Nodes

/// XEP-0060: publish-subscribe.
pub const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// XEP-0060: error conditions.
pub const PUBSUB_ERRORS: &str = "http://jabber.org/protocol/pubsub#errors";
/// XEP-0060: notifications.
pub const PUBSUB_EVENT: &str = "http://jabber.org/protocol/pubsub#event";
/// XEP-0060: options of a single publication.
pub const PUBLISH_OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";
/// XEP-0060: for owners.
pub const PUBSUB_OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
/// XEP-0462: lists of nodes by their type.
pub const PUBSUB_FILTER: &str = "urn:xmpp:pubsub-filter:0";
/// RFC 4287: Atom.
pub const ATOM: &str = "http://www.w3.org/2005/Atom";
/// XEP-0277, XEP-0472: the type of a microblog.
pub const MICROBLOG: &str = "urn:xmpp:microblog:0";
/// XEP-0472: the type of a social feed.
pub const SOCIAL_FEED: &str = "urn:xmpp:pubsub-social-feed:1";
/// XEP-0472: the type of a gallery.
pub const SOCIAL_FEED_GALLERY: &str = "urn:xmpp:pubsub-social-feed:gallery:1";
/// XEP-0503: the type of a space.
pub const SPACES: &str = "urn:xmpp:spaces:0";
/// XEP-0497: subscriptions to trees of nodes, and to what is said of them.
pub const EXTENDED_SUBSCRIPTIONS: &str = "urn:xmpp:pubsub-ext-sub:0";
/// XEP-0499: lists of what depends on a node.
pub const EXTENDED_DISCO: &str = "urn:xmpp:pubsub-ext-disco:0";
/// XEP-0496: relations between nodes.
pub const NODE_RELATIONS: &str = "urn:xmpp:pubsub-relationships:0";
/// XEP-0470: what is attached to an item.
pub const ATTACHMENTS: &str = "urn:xmpp:pubsub-attachments:1";
/// XEP-0470: a summary of what is attached to an item.
pub const ATTACHMENTS_SUMMARY: &str = "urn:xmpp:pubsub-attachments:summary:1";
/// XEP-0048: bookmarks in private storage.
pub const BOOKMARKS_STORAGE: &str = "storage:bookmarks";
/// XEP-0402: PEP native bookmarks.
pub const BOOKMARKS: &str = "urn:xmpp:bookmarks:1";
/// XEP-0411
pub const BOOKMARKS_CONVERSION: &str = "urn:xmpp:bookmarks-conversion:0";
/// XEP-0084: user avatar, the image.
pub const AVATAR_DATA: &str = "urn:xmpp:avatar:data";
/// XEP-0084: user avatar, what there is.
pub const AVATAR_METADATA: &str = "urn:xmpp:avatar:metadata";
/// XEP-0398: avatar conversion.
pub const VCARD_CONVERSION: &str = "urn:xmpp:pep-vcard-conversion:0";
/// XEP-0355: namespace delegation.
pub const DELEGATION: &str = "urn:xmpp:delegation:2";
/// XEP-0356: privileged entity.
pub const PRIVILEGE: &str = "urn:xmpp:privilege:2";
/// Messaging Layer Security, a protocol of our own (`docs/mls.md`).
pub const MLS: &str = "urn:waxwing:mls:0";
