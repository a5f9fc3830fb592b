//! What may be sent twice, and what may not. Pure.
//!
//! | | refused with 7 | refused with 116, 279 | link lost after it was sent |
//! |---|---|---|---|
//! | reads | yes | yes | yes |
//! | writes | yes | yes | no: nobody knows whether it happened |
//! | CALL, EVAL, EXECUTE | no: may come from the middle of it | yes | no |
//! | PREPARE, CALL of what is declared harmless | yes | yes | yes |
//!
//! What was never sent is not sent twice, and may go elsewhere. What is in a stream belongs to a
//! transaction, or may: it goes nowhere else.

use vestibule_wire::ErrorCode;

/// What a request is for the question whether it may be sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// A SELECT.
    Read,
    /// Another request on data, which changes them in one step.
    Write,
    /// One of which nobody knows what it does.
    Call,
    /// A call of what may happen twice, as its owner has declared, or PREPARE.
    HarmlessCall,
    /// One in a stream.
    InStream,
}

impl Repeat {
    /// Whether it may be sent again after its upstream has refused it with this code.
    pub(crate) fn may_after_refusal(self, code: ErrorCode) -> bool {
        match code {
            ErrorCode::READONLY => !matches!(self, Self::Call | Self::InStream),
            ErrorCode::LOADING | ErrorCode::SHUTDOWN => self != Self::InStream,
            _ => false,
        }
    }

    /// Whether it may go elsewhere, if it was not sent.
    pub(crate) fn may_move(self) -> bool {
        self != Self::InStream
    }

    /// Whether it may be sent again after the link was lost that it was sent over.
    pub(crate) fn may_after_loss(self) -> bool {
        matches!(self, Self::Read | Self::HarmlessCall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_sent_twice_is_what_the_table_says() {
        let all = [
            (Repeat::Read, [true, true, true, true]),
            (Repeat::Write, [true, true, true, false]),
            (Repeat::Call, [false, true, true, false]),
            (Repeat::HarmlessCall, [true, true, true, true]),
            (Repeat::InStream, [false; 4]),
        ];
        for (repeat, expected) in all {
            let after = |code| repeat.may_after_refusal(code);
            let told = [
                after(ErrorCode::READONLY),
                after(ErrorCode::LOADING),
                after(ErrorCode::SHUTDOWN),
                repeat.may_after_loss(),
            ];
            assert_eq!(told, expected, "{repeat:?}");
            assert!(!after(ErrorCode::TUPLE_FOUND), "{repeat:?}: it was done");
            assert_eq!(repeat.may_move(), repeat != Repeat::InStream);
        }
    }
}
