//! `choice!`: a closed list of words as an enum, readable from and written to the configuration.

/// Declares enums whose variants are the words allowed in the configuration.
///
/// ```
/// waxwing::choice! {
///     /// Where the log goes.
///     pub enum Target {
///         /// Standard error.
///         Stderr = "stderr",
///         /// The journal.
///         Journal = "journal",
///     }
/// }
/// assert_eq!(Target::Journal.as_str(), "journal");
/// ```
#[macro_export]
macro_rules! choice {
    ($($(#[doc = $doc:literal])* $vis:vis enum $name:ident { $($(#[doc = $vdoc:literal])* $variant:ident = $word:literal),+ $(,)? })+) => { $(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize)]
        $vis enum $name { $($(#[doc = $vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// Every allowed word.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word that stands for it in the configuration.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::config::Setting for $name {
            fn shape() -> $crate::config::Shape {
                $crate::config::Shape::words(Self::WORDS)
            }
        }
    )+ };
}
