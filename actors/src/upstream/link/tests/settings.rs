//! What a client has set before is set on its new link, before all else.

use super::*;

/// The body of what sets something again.
const SETTING: &[u8] = &[0x80, 9];

/// A link on which one thing is set again, with a request that waits behind it.
fn setting() -> (Model, RequestId, u64) {
    let mut own = Model::new();
    let again = Forward {
        is_setting: true,
        ..Forward::of_ours(key(1, 0), RequestType::Update as u16)
    };
    own.link
        .set_again(again, Bytes::from_static(SETTING), &own.claims);
    let behind = own.submit(1, Kind::Other, &[0x80]);
    own.greet();
    let sent = own.written();
    assert_eq!(sent.len(), 1, "nothing goes before it is answered");
    assert_eq!(sent[0].1, SETTING);
    assert!(own.link.is_logged_in() && !own.link.is_ready());
    (own, behind, sent[0].0.sync)
}

fn error(code: ErrorCode) -> u32 {
    CODE_ERROR | u32::from(code.0)
}

#[test]
fn requests_go_when_what_their_client_has_set_is_set() {
    // What is refused for what it is, is so at any time.
    for code in [0, error(ErrorCode::ILLEGAL_PARAMS)] {
        let (mut own, _, sync) = setting();
        own.reply(sync, code, &[0x80]);
        assert!(own.link.is_ready());
        own.link.pump(&own.claims);
        assert_eq!(own.written().len(), 1, "{code:x}");
        assert!(own.told.all.is_empty(), "nobody is told of it");
    }
}

#[test]
fn what_is_answered_at_length_is_set_as_well() {
    let (mut own, _, sync) = setting();
    let mut bytes = Vec::new();
    let header = ReplyHeader {
        sync,
        schema_version: 1,
    };
    header.pass_on(&mut bytes, 0, &vec![0xc0; 2 * UPSTREAM_REPLY_LARGE]);
    // It is large before it is whole, and no client waits for it.
    own.told.is_abandoned = true;
    for part in bytes.chunks(UPSTREAM_REPLY_LARGE) {
        own.receive(part).unwrap();
    }
    assert!(own.link.is_ready() && own.told.all.is_empty());
    own.link.pump(&own.claims);
    assert_eq!(own.written().len(), 1);
}

#[test]
fn where_it_cannot_be_set_now_nothing_is_sent_and_the_link_ends() {
    for code in [ErrorCode::LOADING, ErrorCode::SHUTDOWN] {
        let (mut own, behind, sync) = setting();
        let mut bytes = Vec::new();
        let header = ReplyHeader {
            sync,
            schema_version: 1,
        };
        header.pass_on(&mut bytes, error(code), &[0x81, 0x31, 0xa2, b'n', b'o']);
        let fault = own.receive(&bytes).unwrap_err();
        let refusal = Refusal::Setting(Error::new(code, "no"));
        assert_eq!(fault, LinkFault::Refused(refusal));
        assert!(!fault.is_of_user() && own.written().is_empty());
        let end = own.link.end();
        assert_eq!((unsent(&end), end.sent), (vec![behind], vec![]));
    }
}
