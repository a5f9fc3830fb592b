//! A command line without arguments is the default, and every option does something.

use clap::{CommandFactory as _, Parser as _};

use vestibule_actors::config::{Grace, SoloPolicy};
use vestibule_engine::{GuestRights, JournalSync};

use super::*;
use crate::cli::Cli;
use crate::cli::data::DATA_DIR_DEFAULT;

/// The options without any argument. Variables of the environment that set one are not there
/// when tests run.
fn defaults() -> ServeArgs {
    Cli::try_parse_from(["vestibule"]).unwrap().serve
}

#[test]
fn without_arguments_the_runtime_has_its_own_defaults() {
    let config = Config::default()
        // An embedder lets the system pick the port; a server has one that clients know.
        .listen(vec!["127.0.0.1:3301".parse().unwrap()]);
    assert_eq!(defaults().config(), config);
}

#[test]
fn without_arguments_the_engine_has_its_own_defaults() {
    let options = EngineOptions::new(DATA_DIR_DEFAULT);
    assert_eq!(defaults().engine_options(), options);
    // What is not in the options of the engine as long as it is not chosen.
    let args = ["vestibule", "--journal-sync", "interval"];
    let chosen = Cli::try_parse_from(args).unwrap().serve.engine_options();
    assert_eq!(chosen.journal_sync, JournalSync::ALL[1]);
    let args = ["vestibule", "--shutdown-grace-period", "auto"];
    let chosen = Cli::try_parse_from(args).unwrap().serve.config();
    assert_eq!(chosen.settings.shutdown_grace_period, Grace::AUTO);
}

#[test]
fn without_arguments_upstreams_have_their_own_defaults() {
    assert_eq!(
        defaults().gateway.upstreams(&HandedOver::default()),
        Upstreams::default()
    );
}

#[test]
fn a_choice_is_made_by_its_name() {
    for policy in SoloPolicy::ALL {
        let args = ["vestibule", "--solo-policy", policy.name()];
        let args = Cli::try_parse_from(args).unwrap().serve;
        assert_eq!(args.config().settings.solo_policy, policy);
    }
    for rights in GuestRights::ALL {
        let args = ["vestibule", "--guest", rights.name()];
        let args = Cli::try_parse_from(args).unwrap().serve;
        assert_eq!(args.engine_options().guest, rights);
    }
    for sync in JournalSync::ALL {
        let args = ["vestibule", "--journal-sync", sync.name()];
        let args = Cli::try_parse_from(args).unwrap().serve;
        assert_eq!(args.engine_options().journal_sync, sync);
    }
    assert!(Cli::try_parse_from(["vestibule", "--guest", "granted"]).is_err());
}

/// What is to be given beside an option so that it counts.
fn beside(option: &str) -> &'static [&'static str] {
    match option {
        "journal_sync_period" => &["--journal-sync", "interval"],
        "grace_auto_min" | "grace_auto_max" => &["--shutdown-grace-period", "auto"],
        "upstream" => &["--upstream", "a=host:1"],
        _ => &[],
    }
}

/// A value of an option that is not its default; none for an option that has no value.
fn another_value(option: &str) -> Option<&'static str> {
    Some(match option {
        "listen" | "admin_listen" | "listen_reads" => "127.0.0.1:1",
        "tls_listen" | "tls_listen_reads" => "127.0.0.1:1",
        "unix_socket_mode" => "0600",
        "tls_certificate" | "tls_key" | "tls_client_ca" => "elsewhere",
        "upstream_tls_ca" | "upstream_tls_certificate" | "upstream_tls_key" => "elsewhere",
        "upstream_tls_server_name" => "elsewhere",
        "data" | "admin_password_file" | "http_token_file" | "upstream_password_file" => {
            "elsewhere"
        }
        "upstream_users" => "one",
        "mode" => "pinned",
        "upstream" => "b=host:2",
        "server_version" => "2.11.0",
        "http_listen" => "unix:/elsewhere",
        "http_host" => "elsewhere",
        "journal_sync" => "never",
        "solo_policy" | "solo_policy_new" => "hold",
        "guest" => "none",
        "log_format" => "json",
        "administrator" | "instance_name" | "upstream_user" | "retry_calls" => "alice",
        "primary" => "a",
        "read_from" => "primary",
        "lost" => "close",
        "checkpoint_count" | "session_threads" | "login_failures_free" => "7",
        "shutdown_grace_period" => "forever",
        "log" => "debug",
        "user_share" | "address_share" | "user_address_share" => "77",
        "connection_transactions_max" | "transactions_max" => "777",
        "force_recovery" | "read_only" | "debug_procedures" => return None,
        "metrics_tarantool" | "http_tls" => return None,
        option if option.ends_with("_max") && !option.starts_with("grace") => match option {
            "hold_time_max" | "staleness_max" => "77s",
            "upstream_requests_max" | "upstream_calls_max" => "77",
            "login_delay_max" => "7s",
            _ => "77777",
        },
        "connections_max" | "checkpoint_journal_size" => "77777",
        // All others are times.
        _ => "77s",
    })
}

#[test]
fn every_option_changes_what_is_served() {
    let told = |args: &[String]| {
        let args = Cli::try_parse_from(args).unwrap_or_else(|fault| panic!("{args:?}: {fault}"));
        let serve = args.serve;
        // The rest is for the command itself.
        let rest = (
            &serve.storage.data,
            &serve.log,
            serve.debug_procedures,
            &serve.listening.admin_password_file,
            &serve.side_door,
            &serve.gateway,
            &serve.tls,
        );
        format!("{:?} {:?} {rest:?}", serve.config(), serve.engine_options())
    };
    let command = Cli::command();
    let ids = command
        .get_arguments()
        .map(|option| option.get_id().to_string());
    let options: Vec<String> = ids
        .filter(|id| !["help", "version", "config"].contains(&&**id))
        .collect();
    assert!(options.len() > 30, "{options:?}");
    for option in options {
        let mut args = vec!["vestibule".to_owned()];
        args.extend(beside(&option).iter().map(|&own| own.to_owned()));
        let before = told(&args);
        // On by default: there is something to be seen when it is off.
        let off = if option == "metrics_tarantool" {
            "=false"
        } else {
            ""
        };
        args.push(format!("--{}{off}", option.replace('_', "-")));
        args.extend(another_value(&option).map(str::to_owned));
        assert_ne!(told(&args), before, "--{option} changes nothing");
    }
}
