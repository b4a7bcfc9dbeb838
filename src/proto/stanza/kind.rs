//! The three kinds of stanza and their types (RFC 6120 §8.2, RFC 6121 §4.7.1 and §5.2.2).

/// What a stanza is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Something to read.
    Message(MessageType),
    /// Availability and subscriptions.
    Presence(PresenceType),
    /// A question or its answer.
    Iq(IqType),
}

/// Writes an enum of `type` values with their names; `None` is the absent attribute.
macro_rules! types {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $text:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The value of the `type` attribute as written; absent for the default type.
            pub fn as_str(self) -> Option<&'static str> {
                match self { $($name::$variant => $text,)* }
            }

            /// Finds the type with this spelling of the attribute.
            fn named(text: Option<&str>) -> Option<$name> {
                [$($name::$variant),*].into_iter().find(|kind| kind.as_str() == text)
            }
        }
    };
}

types! {
    /// RFC 6121 §5.2.2.
    MessageType {
        /// Outside a conversation; also what an absent or unknown type means.
        Normal None,
        /// In a one-to-one conversation.
        Chat Some("chat"),
        /// In a room.
        Groupchat Some("groupchat"),
        /// An alert that expects no reply.
        Headline Some("headline"),
        /// The answer to a message that failed.
        Error Some("error"),
    }
}

types! {
    /// RFC 6121 §4.7.1.
    PresenceType {
        /// Available for communication: the absent type.
        Available None,
        /// No longer available.
        Unavailable Some("unavailable"),
        /// Wishes to subscribe.
        Subscribe Some("subscribe"),
        /// Allows a subscription.
        Subscribed Some("subscribed"),
        /// Gives up a subscription.
        Unsubscribe Some("unsubscribe"),
        /// Denies or cancels a subscription.
        Unsubscribed Some("unsubscribed"),
        /// A server asks for current presence.
        Probe Some("probe"),
        /// The answer to a presence that failed.
        Error Some("error"),
    }
}

types! {
    /// RFC 6120 §8.2.3.
    IqType {
        /// Asks for information.
        Get Some("get"),
        /// Asks for a change.
        Set Some("set"),
        /// Answers a get or set that worked.
        Result Some("result"),
        /// Answers a get or set that failed.
        Error Some("error"),
    }
}

impl Kind {
    /// The name of the element.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Message(_) => "message",
            Kind::Presence(_) => "presence",
            Kind::Iq(_) => "iq",
        }
    }

    /// The value of the `type` attribute; absent for the default type.
    pub fn type_attr(self) -> Option<&'static str> {
        match self {
            Kind::Message(kind) => kind.as_str(),
            Kind::Presence(kind) => kind.as_str(),
            Kind::Iq(kind) => kind.as_str(),
        }
    }

    /// Whether the type is `error`.
    pub fn is_error(self) -> bool {
        self.type_attr() == Some("error")
    }

    /// The same kind with type `error`.
    pub fn to_error(self) -> Kind {
        match self {
            Kind::Message(_) => Kind::Message(MessageType::Error),
            Kind::Presence(_) => Kind::Presence(PresenceType::Error),
            Kind::Iq(_) => Kind::Iq(IqType::Error),
        }
    }

    /// Reads name and `type`. An unknown message type is `normal`; `Err` holds the kind whose
    /// `type` is missing or unknown (the type in it is a placeholder), or nothing if the element
    /// is no stanza.
    pub(super) fn read(name: &str, kind: Option<&str>) -> Result<Kind, Option<Kind>> {
        match name {
            "message" => Ok(Kind::Message(MessageType::read(kind))),
            "presence" => PresenceType::named(kind)
                .map(Kind::Presence)
                .ok_or(Some(Kind::Presence(PresenceType::Available))),
            "iq" => IqType::named(kind)
                .map(Kind::Iq)
                .ok_or(Some(Kind::Iq(IqType::Get))),
            _ => Err(None),
        }
    }
}

impl MessageType {
    /// Anything unknown is `normal` (RFC 6121 §5.2.2).
    fn read(kind: Option<&str>) -> MessageType {
        MessageType::named(kind).unwrap_or(MessageType::Normal)
    }
}
