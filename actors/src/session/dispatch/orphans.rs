//! Answers requests in the stream of a transaction that died with its Tx.

use super::{DecodedRequest, Dispatcher};

impl Dispatcher<'_> {
    /// Answers a request in the stream of a transaction that died with its Tx; false if it is not
    /// in one.
    pub(crate) fn answer_in_orphaned(&mut self, request: &DecodedRequest<'_>) -> bool {
        match self
            .session
            .answer_orphaned(request.stream, request.request_type)
        {
            None => return false,
            Some(Ok(())) => {
                let header = self.header(request.sync);
                header.write_empty(self.session.output());
            }
            Some(Err(error)) => self.refuse(request.sync, &error),
        }
        true
    }
}
