//! What the simulation of the runtime is made of.

pub(crate) mod clock;
pub(crate) mod pipe;
