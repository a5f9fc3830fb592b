//! Requests of a batch, as a link takes them.

use std::collections::HashSet;

use bytes::Bytes;
use vestibule_wire::keys::RequestType;
use vestibule_wire::request::{self, Body};

use crate::admission::Class;
use crate::messages::tx::{BatchEntry, LargeRequest};
use crate::upstream::{
    ClientStream, Forward, ForwardBody, Kind, Repeat, StatementStep, StreamStep, is_of_catalog,
};

/// The number of the type of SELECT.
const SELECT: u16 = RequestType::Select as u16;

/// The number of the type of PREPARE.
const PREPARE: u16 = RequestType::Prepare as u16;

/// The number of the type of CALL.
const CALL: u16 = RequestType::Call as u16;

/// The request of an entry with this body and this number, but for what it sets.
#[inline]
pub(super) fn forward_of(
    entry: &BatchEntry,
    key: ClientStream,
    body: &[u8],
    number: u64,
    harmless: &HashSet<String>,
) -> Forward {
    Forward {
        id: entry.id,
        number,
        key,
        stream: 0,
        code: entry.code,
        kind: match entry.class {
            Class::Call => Kind::Call,
            _ => Kind::Other,
        },
        step: StreamStep::of(entry.meaning),
        sync: entry.sync,
        repeat: repeat_of(entry, body, harmless),
        is_of_catalog: entry.class == Class::Read && entry.code == SELECT && is_of_catalog(body),
        is_setting: false,
        catalog: entry.catalog,
        schema_version: 0,
        statement: StatementStep::of(entry.code, body),
    }
}

/// What one that waits means, as far as it matters in a stream.
pub(super) fn meaning(forward: &Forward) -> RequestType {
    match forward.step {
        StreamStep::Begin => RequestType::Begin,
        StreamStep::Commit => RequestType::Commit,
        StreamStep::Rollback => RequestType::Rollback,
        // Of a statement it does not matter which one it is, but for this.
        StreamStep::MayBegin => RequestType::Call,
        StreamStep::Nothing => RequestType::Select,
    }
}

/// Whether a request may be sent twice; `harmless` are the procedures of which that is declared.
#[inline]
fn repeat_of(entry: &BatchEntry, body: &[u8], harmless: &HashSet<String>) -> Repeat {
    match entry.class {
        _ if entry.stream != 0 => Repeat::InStream,
        Class::Read => Repeat::Read,
        // It changes what its session knows, and nothing else.
        Class::Call if entry.code == PREPARE => Repeat::HarmlessCall,
        Class::Call if harmless.is_empty() || entry.code != CALL => Repeat::Call,
        Class::Call => match request::decode(RequestType::Call, body) {
            Ok(Body::Call(call)) if harmless.contains(call.name) => Repeat::HarmlessCall,
            _ => Repeat::Call,
        },
        _ => Repeat::Write,
    }
}

/// The body of an entry.
pub(super) fn body_of<'a>(
    bytes: &'a [u8],
    entry: &BatchEntry,
    large: Option<LargeRequest>,
) -> ForwardBody<'a> {
    let (start, end) = (entry.start as usize, entry.end as usize);
    match large {
        Some(LargeRequest { mut frame, .. }) => {
            frame.truncate(end);
            ForwardBody::Own(Bytes::from(frame).slice(start..))
        }
        None => ForwardBody::Part(&bytes[start..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::claims::RequestId;
    use crate::serving::{Admitted, Role, Serving, State};
    use crate::upstream::ReplicaRead;

    fn entry(request: RequestType, class: Class) -> BatchEntry {
        BatchEntry {
            id: RequestId::NONE,
            session: 1,
            request,
            code: request as u16,
            meaning: request,
            class,
            sync: 1,
            stream: 0,
            admitted: Admitted::under(Serving {
                state: State::Assist,
                role: Role::Primary,
                drain_target: None,
                epoch: 1,
            }),
            catalog: 0,
            replica_read: ReplicaRead::No,
            is_large: false,
            start: 0,
            end: 0,
        }
    }

    #[test]
    fn a_call_is_harmless_by_its_name_and_eval_never_is() {
        let harmless = HashSet::from(["count".to_owned()]);
        let call = |name: &[u8]| {
            let head = [0x82, 0x22, 0xa0 | name.len() as u8];
            [&head, name, &[0x21, 0x90][..]].concat()
        };
        let of = |request, body: &[u8]| repeat_of(&entry(request, Class::Call), body, &harmless);
        assert_eq!(of(RequestType::Call, &call(b"count")), Repeat::HarmlessCall);
        assert_eq!(of(RequestType::Call, &call(b"counts")), Repeat::Call);
        assert_eq!(of(RequestType::Call, &[0xc0]), Repeat::Call);
        assert_eq!(of(RequestType::Eval, &call(b"count")), Repeat::Call);
        assert_eq!(of(RequestType::Prepare, &[]), Repeat::HarmlessCall);
        let mut in_stream = entry(RequestType::Call, Class::Call);
        in_stream.stream = 7;
        assert_eq!(
            repeat_of(&in_stream, &call(b"count"), &harmless),
            Repeat::InStream
        );
    }

    #[test]
    fn what_is_no_read_and_no_call_is_a_write() {
        let of = |class| repeat_of(&entry(RequestType::Select, class), &[], &HashSet::new());
        assert_eq!(of(Class::Read), Repeat::Read);
        for class in [Class::Write, Class::Begin, Class::Finish] {
            assert_eq!(of(class), Repeat::Write);
        }
    }
}
