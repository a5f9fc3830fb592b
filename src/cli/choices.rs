//! Options that choose one of some values, and what `--help` says of each.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use vestibule_actors::config::{Grace, SoloPolicy};
use vestibule_actors::{LinkMode, OnLost, ReadFrom};
use vestibule_engine::{GuestRights, JournalSync};

use crate::cli::values::duration;

/// A choice as `--help` shows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Described {
    /// What chooses it.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) help: &'static str,
}

/// One of some values, by its name.
pub(crate) fn one_of<T, const N: usize>(
    values: [T; N],
    describe: fn(T) -> Described,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let names = values.map(|value| {
        let Described { name, help } = describe(value);
        PossibleValue::new(name).help(help)
    });
    PossibleValuesParser::new(names).map(move |given| {
        let mut values = values.into_iter();
        let chosen = values.find(|value| describe(*value).name == given);
        chosen.expect("only names of values are let through")
    })
}

pub(crate) fn described_guest(rights: GuestRights) -> Described {
    let help = match rights {
        GuestRights::Super => {
            "Everything. Only while every address to listen on is a loopback address"
        }
        GuestRights::Granted => {
            "What it owns and what it and its roles were granted, nothing on data at first. The \
             log names at each start what is open to everybody"
        }
    };
    Described {
        name: rights.name(),
        help,
    }
}

pub(crate) fn described_journal_sync(sync: JournalSync) -> Described {
    let help = match sync {
        JournalSync::Turn => "Before the replies of each turn: acknowledged means on disk",
        JournalSync::Interval(_) => {
            "Every so often: a crash of the machine may lose the last period"
        }
        JournalSync::Never => {
            "Left to the operating system: a crash of the process loses nothing, one of the \
             machine may"
        }
    };
    Described {
        name: sync.name(),
        help,
    }
}

pub(crate) fn described_solo_policy(policy: SoloPolicy) -> Described {
    let help = match policy {
        SoloPolicy::Reject => "Answer busy, keep the connection",
        SoloPolicy::Close => "Answer busy, close the connection",
        SoloPolicy::Hold => "Keep the request for a while, then answer busy",
    };
    Described {
        name: policy.name(),
        help,
    }
}

pub(crate) fn described_link_mode(mode: LinkMode) -> Described {
    let help = match mode {
        LinkMode::Shared => "All clients of one user share one, of each session thread",
        LinkMode::Pinned => {
            "Each client has its own, with a session of its own upstream, and it is closed with \
             it: 64 clients of each session thread have one at a time"
        }
    };
    Described {
        name: mode.name(),
        help,
    }
}

pub(crate) fn described_on_lost(lost: OnLost) -> Described {
    let help = match lost {
        OnLost::Error => "Error 115 with the field `outcome` = `unknown`",
        OnLost::Close => "Nothing: their connections are closed, as the upstream's own would be",
    };
    Described {
        name: lost.name(),
        help,
    }
}

pub(crate) fn described_read_from(read_from: ReadFrom) -> Described {
    let help = match read_from {
        ReadFrom::Primary => "By the upstream that takes changes",
        ReadFrom::Replica => {
            "By a replica, where one has all that the connection has seen, and elsewhere by the \
             upstream that takes changes"
        }
    };
    Described {
        name: read_from.name(),
        help,
    }
}

/// A duration, `auto` or `forever`.
pub(crate) fn grace(text: &str) -> Result<Grace, String> {
    match text {
        "auto" => Ok(Grace::AUTO),
        "forever" => Ok(Grace::Forever),
        time => duration(time).map(Grace::Limited),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_grace_without_end_has_to_be_spelled_out() {
        assert_eq!(grace("0"), Ok(Grace::Limited(Duration::ZERO)));
        assert_eq!(grace("auto"), Ok(Grace::AUTO));
        assert_eq!(grace("forever"), Ok(Grace::Forever));
        assert!(grace("").is_err());
        assert!(grace("-1s").is_err());
    }
}
