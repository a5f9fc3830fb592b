//! What is said of messages in chunks, once both ends have agreed to them.

use vestibule_wire::Error;
use vestibule_wire::groups::chunk::{Chunk, FRAME_SIZE_MAX};
use vestibule_wire::groups::{Agreement, Group};
use vestibule_wire::request::Id;

use crate::connection::incoming::{AGREED, damage};
use crate::limits::{BUFFER_KEEP_MAX, CHUNK_MESSAGES_SENT_MAX, CHUNK_WINDOW_MAX};
use crate::session::dispatch::Dispatcher;

/// Most of what a client offers to hold that is used.
const SENT_MAX: Agreement = Agreement {
    window: CHUNK_WINDOW_MAX,
    messages_max: CHUNK_MESSAGES_SENT_MAX,
};

impl Dispatcher<'_> {
    /// What is answered to a client that asks for chunks: they begin behind the answer. None where
    /// the frame of a piece could be too large for a request, which would end the connection.
    pub(super) fn agree_to_chunks(&mut self, id: &Id) -> Option<Agreement> {
        let asked = id.chunks?;
        if self.shared.config.packet_size_max < FRAME_SIZE_MAX as u64 {
            return None;
        }
        self.session.agree_to_chunks(asked.at_most(SENT_MAX));
        Some(AGREED)
    }

    /// Takes a frame of the chunks' types: a piece may make a request whole, which is dispatched.
    pub(crate) fn take_chunk(&mut self, content: &[u8]) -> Result<(), Error> {
        match Chunk::read(content).map_err(damage)? {
            Chunk::Data {
                number,
                first,
                piece,
            } => {
                let packet_size_max = self.shared.config.packet_size_max;
                let Some(incoming) = self.session.incoming() else {
                    return Ok(());
                };
                let request = match incoming.take_kept() {
                    Some(kept) => Some(kept),
                    None => {
                        let buffers = &mut self.worker.buffers;
                        let brought = incoming.data(number, first, piece, packet_size_max, buffers);
                        let brought = brought.map_err(damage)?;
                        if !brought.answer.is_empty() {
                            self.session.append_copy(&brought.answer, Group::Control);
                        }
                        brought.request
                    }
                };
                if let Some(mut request) = request {
                    self.dispatch_gathered(&mut request, 0);
                    if self.session.has_left_frame()
                        && let Some(incoming) = self.session.incoming()
                    {
                        incoming.keep(request);
                    }
                }
            }
            Chunk::Credit { number, limit } => {
                self.session
                    .output_queue()
                    .credit(number, limit)
                    .map_err(damage)?;
            }
            Chunk::Stop { number, .. } => {
                self.session.output_queue().stop(number).map_err(damage)?;
            }
            Chunk::Reset { number, .. } => {
                if let Some(incoming) = self.session.incoming() {
                    incoming.reset(number);
                }
            }
        }
        Ok(())
    }

    /// Dispatches a request whose content starts there in a buffer of its own. If it is large and
    /// Tx is to have it, the buffer is taken: such a request is not copied. It joins the batch with
    /// that buffer in one step, so that a panic before leaves nothing there.
    pub(crate) fn dispatch_gathered(&mut self, frame: &mut Vec<u8>, start: usize) {
        if frame.len() <= BUFFER_KEEP_MAX {
            self.dispatch_frame(&frame[start..]);
            return;
        }
        self.has_own_frame = true;
        self.dispatch_frame(&frame[start..]);
        if let Some(request) = self.large_entry.take() {
            self.worker.outgoing.push_large(request, frame);
        }
    }

    /// Dispatches a request, and counts it if it is taken. What is answered at once joins its group
    /// if something waits. Whether it is taken.
    pub(crate) fn dispatch_frame(&mut self, content: &[u8]) -> bool {
        let mark = self.session.output_queue().mark();
        // A ping that goes ahead of a frame that was left is taken all the same.
        let is_ahead = self.session.has_left_frame();
        self.dispatch(content);
        let is_put_back = std::mem::take(&mut self.is_put_back);
        let is_taken = (is_ahead || !self.session.has_left_frame()) && !is_put_back;
        if is_taken {
            self.count_taken();
        }
        self.session.output_queue().regroup(mark, Group::Control);
        is_taken
    }
}
