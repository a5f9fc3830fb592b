//! What has become of handshakes, and until when certificates are valid.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::Serialize;

use crate::shared::Shared;
#[cfg(feature = "tls")]
use crate::tls::{TlsIdentity, UpstreamTls};

/// What there is to tell of TLS; of a runtime that has no listener for it, and no upstreams by it,
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct TlsMetrics {
    /// Handshakes of clients by what they came to: `ok`, `failed`, `timeout` (longer than they
    /// may), `crowded_out` (they stood still while others waited) and `rejected` (without a slot,
    /// and not told why).
    pub handshakes: BTreeMap<&'static str, u64>,
    /// Looks at files that had changed, by what they came to: `taken`, or `refused`, since they do
    /// not fit each other.
    pub renewals: BTreeMap<&'static str, u64>,
    /// When the first certificate of each file ends. Serialized as Unix time in seconds.
    #[serde(serialize_with = "ends_in_unix_seconds")]
    pub ends: Vec<(PathBuf, SystemTime)>,
}

impl TlsMetrics {
    #[cfg(feature = "tls")]
    pub(crate) fn of(shared: &Shared) -> Self {
        let identity = shared.additions.tls.as_ref().map(|(identity, _)| identity);
        let gateway = shared.gateway.as_ref();
        let upstreams = gateway.and_then(|own| own.tls.as_ref());
        let of_clients = identity.map(TlsIdentity::ends).into_iter();
        let of_upstreams = upstreams.map(UpstreamTls::ends);
        // One file may be there for both.
        let ends: BTreeMap<_, _> = of_clients.chain(of_upstreams).flatten().collect();
        let mut renewals = identity.map(TlsIdentity::renewals).unwrap_or_default();
        for (result, count) in upstreams.map(UpstreamTls::renewals).unwrap_or_default() {
            *renewals.entry(result).or_default() += count;
        }
        Self {
            renewals,
            handshakes: identity.map(TlsIdentity::handshakes).unwrap_or_default(),
            ends: ends.into_iter().collect(),
        }
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) fn of(_: &Shared) -> Self {
        Self::default()
    }
}

fn ends_in_unix_seconds<S: serde::Serializer>(
    ends: &[(PathBuf, SystemTime)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let since_1970 = |end: &SystemTime| end.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = ends.iter().map(|(file, end)| {
        let seconds = since_1970(end).map_or(0, |own| own.as_secs());
        (file.display().to_string(), seconds)
    });
    serializer.collect_map(seconds)
}
