//! When another value of an option is taken: by a reload, or at the next start.

use std::fmt;

/// When another value of an option is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// By a reload, while the server serves.
    OnReload,
    /// At a start.
    AtStart,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnReload => "reload",
            Self::AtStart => "restart",
        })
    }
}

use Taken::{AtStart, OnReload};

/// Every option that a file may set. A test holds it against the options, and another one against
/// what a reload has the server go by.
const TABLE: &[(&str, Taken)] = &[
    ("log", OnReload),
    ("log_format", OnReload),
    ("instance_name", AtStart),
    ("listen", AtStart),
    ("admin_listen", AtStart),
    ("unix_socket_mode", AtStart),
    ("guest", AtStart),
    ("administrator", OnReload),
    ("admin_password_file", AtStart),
    ("tls_listen", AtStart),
    ("tls_certificate", OnReload),
    ("tls_key", OnReload),
    ("tls_client_ca", OnReload),
    ("connections_max", OnReload),
    ("connections_per_address_max", OnReload),
    ("connections_memory_max", OnReload),
    ("session_threads", AtStart),
    ("packet_size_max", AtStart),
    ("half_frame_timeout", OnReload),
    ("authentication_timeout", OnReload),
    ("admin_authentication_timeout", OnReload),
    ("unread_timeout", OnReload),
    ("idle_timeout", OnReload),
    ("half_closed_timeout", OnReload),
    ("login_failures_free", OnReload),
    ("login_delay_max", OnReload),
    ("request_timeout", OnReload),
    ("wait_timeout", OnReload),
    ("transaction_timeout", OnReload),
    // The table of requests that wait has its size from the start.
    ("waits_max", AtStart),
    ("transactions_max", AtStart),
    ("connection_transactions_max", AtStart),
    ("reservations_max", AtStart),
    ("user_share", AtStart),
    ("address_share", AtStart),
    ("user_address_share", AtStart),
    ("tx_stall_after", OnReload),
    ("solo_policy", OnReload),
    ("solo_policy_new", OnReload),
    ("hold_time_max", OnReload),
    ("hold_requests_max", OnReload),
    ("hold_bytes_max", OnReload),
    ("shutdown_grace_period", OnReload),
    ("grace_auto_min", OnReload),
    ("grace_auto_max", OnReload),
    ("lameduck", OnReload),
    ("http_listen", AtStart),
    ("http_tls", AtStart),
    ("http_host", OnReload),
    ("http_token_file", OnReload),
    ("metrics_tarantool", OnReload),
    ("data", AtStart),
    ("read_only", AtStart),
    ("force_recovery", AtStart),
    ("memory_max", OnReload),
    ("tuple_size_max", AtStart),
    ("journal_sync", AtStart),
    ("journal_sync_period", AtStart),
    ("checkpoint_journal_size", OnReload),
    ("checkpoint_interval", OnReload),
    ("checkpoint_count", OnReload),
    ("debug_procedures", AtStart),
    ("upstream", AtStart),
    ("upstream_user", AtStart),
    ("upstream_password_file", AtStart),
    ("upstream_users", OnReload),
    ("mode", AtStart),
    ("primary", AtStart),
    ("upstream_requests_max", AtStart),
    ("upstream_calls_max", AtStart),
    ("upstream_tls_ca", OnReload),
    ("upstream_tls_certificate", OnReload),
    ("upstream_tls_key", OnReload),
    ("upstream_tls_server_name", OnReload),
    ("server_version", AtStart),
    ("silent_after", AtStart),
    ("silent_abandon", AtStart),
    ("probe_interval", AtStart),
    ("connect_timeout", AtStart),
    ("failover_hold", AtStart),
    ("lost", AtStart),
    ("staleness_max", AtStart),
    ("read_from", AtStart),
    ("listen_reads", AtStart),
    ("tls_listen_reads", AtStart),
    ("retry_calls", AtStart),
];

/// When another value of the option is taken that has this name in clap.
pub(super) fn taken(id: &str) -> Taken {
    let row = TABLE.iter().find(|(own, _)| *own == id);
    row.map_or(AtStart, |(_, taken)| *taken)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;
    use crate::config::options::options;

    #[test]
    fn every_option_is_in_the_table_once() {
        let options = options(&Cli::command());
        let options: BTreeSet<_> = options.iter().map(|own| own.id().to_owned()).collect();
        let table: BTreeSet<_> = TABLE.iter().map(|(id, _)| (*id).to_owned()).collect();
        assert_eq!(table.len(), TABLE.len(), "each is there once");
        assert_eq!(options, table);
    }
}
