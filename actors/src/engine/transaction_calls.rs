//! `box.begin`, `box.commit`, `box.rollback`: CALLs that mean BEGIN, COMMIT and ROLLBACK.
//!
//! ```text
//!   CALL box.begin {timeout = 5}, in a stream ─▶ session: Begin { timeout: 5 }, sent on as it is
//!                                             ─▶ Tx: the same, answered as a CALL
//! ```
//!
//! Outside of a stream a transaction would end with the call, and procedures answer.

use vestibule_wire::Error;
use vestibule_wire::keys::RequestType;
use vestibule_wire::msgpack::{DecodeError, Kind, Reader};
use vestibule_wire::request::{Begin, Body, Call};

/// Levels of isolation by their names; each one's place is its number.
const ISOLATION_LEVELS: [&str; 5] = [
    "default",
    "read-committed",
    "read-confirmed",
    "best-effort",
    "linearizable",
];

/// What a CALL in a stream means, if it is one of these.
///
/// # Errors
///
/// [`ErrorCode::ILLEGAL_PARAMS`](vestibule_wire::ErrorCode::ILLEGAL_PARAMS) for options of
/// `box.begin` that make no sense.
pub(crate) fn transaction_call(
    call: &Call<'_>,
) -> Result<Option<(RequestType, Body<'static>)>, Error> {
    Ok(Some(match call.name {
        "box.begin" => (RequestType::Begin, Body::Begin(begin_options(call.args)?)),
        "box.commit" => (RequestType::Commit, Body::Commit),
        "box.rollback" => (RequestType::Rollback, Body::Rollback),
        _ => return Ok(None),
    }))
}

fn begin_options(args: &[u8]) -> Result<Begin, Error> {
    let mut options = Begin {
        timeout: None,
        isolation: 0,
    };
    let malformed = |_: DecodeError| illegal("options should be a table");
    let mut reader = Reader::new(args);
    if reader.read_array_len().map_err(malformed)? == 0 {
        return Ok(options);
    }
    match reader.peek().map_err(malformed)? {
        Kind::Nil => return Ok(options),
        // An empty table has no names.
        Kind::Array if reader.read_array_len() == Ok(0) => return Ok(options),
        _ => {}
    }
    for _ in 0..reader.read_map_len().map_err(malformed)? {
        match reader.read_str().map_err(malformed)? {
            "timeout" => options.timeout = Some(read_timeout(&mut reader)?),
            "txn_isolation" => options.isolation = read_isolation(&mut reader)?,
            "is_sync" => drop(reader.skip().map_err(malformed)?),
            other => return Err(illegal(&format!("unexpected option '{other}'"))),
        }
    }
    Ok(options)
}

fn read_timeout(reader: &mut Reader<'_>) -> Result<f64, Error> {
    let read = match reader.peek() {
        Ok(Kind::Float | Kind::Double) => reader.read_f64().ok(),
        Ok(Kind::Uint) => reader.read_uint().ok().map(|seconds| seconds as f64),
        _ => None,
    };
    let timeout = read.filter(|seconds| *seconds > 0.0);
    timeout.ok_or_else(|| illegal("timeout must be a number greater than 0"))
}

fn read_isolation(reader: &mut Reader<'_>) -> Result<u64, Error> {
    let read = match reader.peek() {
        Ok(Kind::Str) => {
            let name = reader.read_str().ok();
            let at = name.and_then(|name| ISOLATION_LEVELS.iter().position(|own| *own == name));
            at.map(|at| at as u64)
        }
        _ => reader.read_uint().ok(),
    };
    let level = read.filter(|level| *level < ISOLATION_LEVELS.len() as u64);
    let wrong = "txn_isolation must be one of box.txn_isolation_level (keys or values)";
    level.ok_or_else(|| illegal(wrong))
}

fn illegal(what: &str) -> Error {
    Error::illegal_params(format!("Illegal parameters, {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(args: &[u8]) -> Result<Option<(RequestType, Body<'static>)>, String> {
        let (name, wrap_results) = ("box.begin", true);
        let call = Call {
            name,
            args,
            wrap_results,
        };
        transaction_call(&call).map_err(|error| error.message().to_owned())
    }

    fn begun(timeout: Option<f64>, isolation: u64) -> Option<(RequestType, Body<'static>)> {
        let options = Begin { timeout, isolation };
        Some((RequestType::Begin, Body::Begin(options)))
    }

    #[test]
    fn options_of_begin_are_those_of_lua() {
        for nothing in [&b"\x90"[..], b"\x91\xc0", b"\x91\x90", b"\x91\x80"] {
            assert_eq!(begin(nothing), Ok(begun(None, 0)));
        }
        assert_eq!(
            begin(b"\x91\x82\xa7timeout\x05\xadtxn_isolation\xabbest-effort"),
            Ok(begun(Some(5.0), 3))
        );
        assert_eq!(begin(b"\x91\x81\xadtxn_isolation\x04"), Ok(begun(None, 4)));
        for (args, told) in [
            (&b"\x91\x05"[..], "options should be a table"),
            (
                b"\x91\x81\xa7timeout\x00",
                "timeout must be a number greater than 0",
            ),
            (
                b"\x91\x81\xa7timeout\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
                "timeout must be a number greater than 0",
            ),
            (
                b"\x91\x81\xadtxn_isolation\x05",
                "txn_isolation must be one of box.txn_isolation_level (keys or values)",
            ),
            (b"\x91\x81\xa1x\x05", "unexpected option 'x'"),
        ] {
            assert_eq!(begin(args), Err(format!("Illegal parameters, {told}")));
        }
    }
}
