//! Structs of options: open to more fields, and set by methods that are chained.

/// Defines a struct that may get more fields, with a method for each field that sets it.
#[doc(hidden)]
#[macro_export]
macro_rules! __settable {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$doc:meta])+ pub $field:ident: $value:ty,)+
        }
    ) => {
        $(#[$meta])*
        #[non_exhaustive]
        pub struct $name {
            $($(#[$doc])+ pub $field: $value,)+
        }

        impl $name {
            $(
                #[doc = concat!(
                    "Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ")."
                )]
                #[must_use]
                pub fn $field(mut self, $field: $value) -> Self {
                    self.$field = $field;
                    self
                }
            )+
        }
    };
}

pub use __settable as settable;
