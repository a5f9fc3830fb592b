//! Connection slots: how many connections there may be, and who may have one.
//!
//! | file | what |
//! |---|---|
//! | `descriptors` | how the process's descriptors are divided |
//! | `capacity` | which slot a new connection gets |
//! | `addresses` | how many connections one address has |
//! | `table` | the slots that are taken, counted |

mod addresses;
mod capacity;
mod descriptors;
mod table;

pub(crate) use capacity::{NoSlot, SlotKind};
pub(crate) use descriptors::ListenerKind;
pub(crate) use table::{ConnectionSlot, ConnectionSlots};
