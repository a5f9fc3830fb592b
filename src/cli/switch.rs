//! Options that are on or off.

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction};

/// What makes a switch of an option.
pub(crate) trait Switch {
    /// On where it stands alone, or what it says, so that what a file turns on can be turned off:
    /// `--read-only`, `--read-only=false`.
    fn switch(self, default: bool) -> Self;
}

impl Switch for Arg {
    fn switch(self, default: bool) -> Self {
        self.value_name("BOOL")
            .num_args(0..=1)
            .require_equals(true)
            .default_value(if default { "true" } else { "false" })
            .default_missing_value("true")
            .action(ArgAction::Set)
            .value_parser(BoolishValueParser::new())
    }
}
