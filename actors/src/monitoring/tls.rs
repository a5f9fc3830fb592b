//! What has become of handshakes, and until when certificates are valid.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::Serialize;

/// What there is to tell of TLS; of a runtime that has no listener for it, nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct TlsMetrics {
    /// Handshakes by what they came to: `ok`, `failed`, `timeout` (longer than they may),
    /// `crowded_out` (they stood still while others waited) and `rejected` (without a slot, and not
    /// told why).
    pub handshakes: BTreeMap<&'static str, u64>,
    /// When the first certificate of each file ends. Serialized as Unix time in seconds.
    #[serde(serialize_with = "ends_in_unix_seconds")]
    pub ends: Vec<(PathBuf, SystemTime)>,
}

impl TlsMetrics {
    #[cfg(feature = "tls")]
    pub(crate) fn of(identity: &crate::tls::TlsIdentity) -> Self {
        Self {
            handshakes: identity.handshakes(),
            ends: identity.ends(),
        }
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) fn of(identity: &crate::tls::TlsIdentity) -> Self {
        match *identity {}
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
