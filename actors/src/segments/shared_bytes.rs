//! Bytes that a reply has from somebody else: a row that is too large to be copied.

use std::fmt;
use std::sync::Arc;

use super::pool::Segments;

/// Bytes that nobody changes, and that others may have too. They are charged in full: who had them
/// before may drop them meanwhile, and they stay as long as this does.
pub(super) struct SharedBytes {
    bytes: Arc<[u8]>,
    pool: Arc<Segments>,
}

impl SharedBytes {
    pub(super) fn new(pool: &Arc<Segments>, bytes: &Arc<[u8]>) -> Self {
        pool.charge(bytes.len());
        Self {
            bytes: bytes.clone(),
            pool: pool.clone(),
        }
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.bytes.len();
        f.debug_struct("SharedBytes").field("len", &len).finish()
    }
}

impl Drop for SharedBytes {
    fn drop(&mut self) {
        self.pool.discharge(self.bytes.len());
    }
}
