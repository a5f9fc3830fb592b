//! Options of `vestibule probe`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use vestibule_actors::ListenAddress;

use crate::cli::choices::{Described, one_of};
use crate::cli::secured::SecuredArgs;
use crate::cli::values::{duration, some_time, time_text};

/// How long a server has to answer, unless told otherwise: what Docker and Kubernetes give a probe
/// is more, or can be made so.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(3);

/// Options of `vestibule probe`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vestibule probe ready --writes
  vestibule probe live --tx-stalled 1m --http unix:/run/vestibule/http.sock
  vestibule probe ready --http https://localhost:8443 --tls-ca /etc/vestibule/tls/ca.crt

It asks the address of the server's --http-listen, and writes what that says. For images without \
curl: HEALTHCHECK CMD [\"vestibule\", \"probe\", \"ready\"].

Exit codes: 0 yes; 1 no, or no answer; 2 bad usage.")]
pub(crate) struct ProbeArgs {
    /// What is asked.
    #[arg(value_parser = one_of(Probe::ALL, Probe::described))]
    pub(crate) probe: Probe,
    /// The server's side door: HOST:PORT, https://HOST:PORT or unix:/PATH. By https, --tls-ca has
    /// to be given; otherwise options of TLS count for nothing.
    #[arg(
        long,
        env = "VESTIBULE_PROBE_HTTP",
        value_name = "ADDR",
        value_parser = door_address,
        default_value = "127.0.0.1:8081"
    )]
    pub(crate) http: DoorAddress,
    /// Of `ready`: no also while changes are refused, in solo or on a replica.
    #[arg(long)]
    pub(crate) writes: bool,
    /// Of `live`: no also if the engine's thread has stood still for so long.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) tx_stalled: Option<Duration>,
    /// How long it has to answer.
    #[arg(
        long,
        env = "VESTIBULE_PROBE_TIMEOUT",
        value_name = "TIME",
        value_parser = some_time,
        default_value = time_text(TIMEOUT_DEFAULT),
    )]
    pub(crate) timeout: Duration,
    /// How a server is known by TLS.
    #[command(flatten)]
    pub(crate) tls: SecuredArgs,
}

/// A name with a port, and the host in it without brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) name: String,
    pub(crate) host: String,
}

/// Where a side door is. What its name leads to is found when it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DoorAddress {
    /// `HOST:PORT`, with or without `http://` before it.
    Tcp(String),
    /// `https://HOST:PORT`
    Tls(HostPort),
    Unix(PathBuf),
}

impl fmt::Display for DoorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(name) => f.write_str(name),
            Self::Tls(own) => write!(f, "https://{}", own.name),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn door_address(text: &str) -> Result<DoorAddress, String> {
    if text.starts_with("unix:") || text.starts_with("unix/:") {
        return match text.parse() {
            Ok(ListenAddress::Unix(path)) => Ok(DoorAddress::Unix(path)),
            Ok(other) => Err(format!("{other} is no path")),
            Err(fault) => Err(fault.to_string()),
        };
    }
    let is_over_tls = text.starts_with("https://");
    let name = ["https://", "http://"]
        .into_iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let name = name
        .map_or(text, |rest| rest.trim_end_matches('/'))
        .to_owned();
    let parts = name.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match parts.map(|(host, port)| (host, port.parse::<u16>())) {
        Some((host, Ok(1..))) if is_over_tls => {
            let host = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned();
            Ok(DoorAddress::Tls(HostPort { name, host }))
        }
        Some((_, Ok(1..))) => Ok(DoorAddress::Tcp(name)),
        _ => Err("an address is HOST:PORT, https://HOST:PORT or unix:/PATH".to_owned()),
    }
}

/// What is asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    Live,
    Ready,
    Startup,
}

impl Probe {
    const ALL: [Self; 3] = [Self::Live, Self::Ready, Self::Startup];

    fn described(self) -> Described {
        let (name, help) = match self {
            Self::Live => ("live", "Whether its network side lives; if not, restart it"),
            Self::Ready => ("ready", "Whether it is to be sent clients; solo is ready"),
            Self::Startup => ("startup", "Whether it has loaded its data once"),
        };
        Described { name, help }
    }
}

impl ProbeArgs {
    /// The path that is asked for, with its question.
    ///
    /// # Errors
    ///
    /// An option that belongs to another probe.
    pub(crate) fn path(&self) -> Result<String, String> {
        let of = |option, probe| Err(format!("{option} is a question of `probe {probe}` only"));
        match self.probe {
            Probe::Live | Probe::Startup if self.writes => of("--writes", "ready"),
            Probe::Ready | Probe::Startup if self.tx_stalled.is_some() => {
                of("--tx-stalled", "live")
            }
            Probe::Ready if self.writes => Ok("/readyz?writes".to_owned()),
            Probe::Ready => Ok("/readyz".to_owned()),
            Probe::Startup => Ok("/startupz".to_owned()),
            Probe::Live => Ok(match self.tx_stalled {
                Some(time) => format!("/livez?tx_stalled={}ms", time.as_millis()),
                None => "/livez".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn path(args: &[&str]) -> Result<String, String> {
        let args = [&["vestibule", "probe"], args].concat();
        match Cli::try_parse_from(args).unwrap().command {
            Some(Command::Probe(args)) => args.path(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_probe_has_its_path_and_its_question() {
        for (args, expected) in [
            (&["live"][..], "/livez"),
            (
                &["live", "--tx-stalled", "90s"],
                "/livez?tx_stalled=90000ms",
            ),
            (&["ready"], "/readyz"),
            (&["ready", "--writes"], "/readyz?writes"),
            (&["startup"], "/startupz"),
        ] {
            assert_eq!(path(args).as_deref(), Ok(expected));
        }
        assert!(path(&["live", "--writes"]).is_err());
        assert!(path(&["ready", "--tx-stalled", "1s"]).is_err());
    }

    #[test]
    fn addresses_are_names_with_a_port_or_paths() {
        for text in [
            "127.0.0.1:8081",
            "localhost:8081",
            "[::1]:8081",
            "unix:/run/http.sock",
            "https://localhost:8443",
            "https://[::1]:8443",
        ] {
            let address = door_address(text).map(|own| own.to_string());
            assert_eq!(address.as_deref(), Ok(text));
        }
        let with_scheme = door_address("http://localhost:8081/").map(|own| own.to_string());
        assert_eq!(with_scheme.as_deref(), Ok("localhost:8081"));
        match door_address("https://[::1]:8443") {
            Ok(DoorAddress::Tls(own)) => assert_eq!(own.host, "::1"),
            other => panic!("{other:?}"),
        }
        for wrong in [
            "",
            "db1",
            ":8081",
            "db1:0",
            "db1:99999",
            "db1:",
            "unix:",
            "https://db1",
            "https://:8443",
        ] {
            assert!(door_address(wrong).is_err(), "{wrong}");
        }
    }
}
